//! Networks that several families share: autoencoders and text encoders; blocks of transformers; schedules of noise.

pub(crate) mod blocks;
pub(crate) mod given_text;
pub(crate) mod joint;
pub(crate) mod massive;
pub(crate) mod mlp;
pub(crate) mod networks;
pub(crate) mod patches;
pub mod schedule;
pub(crate) mod sincos_positions;
pub mod text;
pub(crate) mod transformer_file;
pub mod vae;
pub(crate) mod vit_block;

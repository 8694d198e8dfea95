//! Networks that several families share: autoencoders and text encoders; and schedules of noise.

pub mod schedule;
pub mod text;
pub mod vae;

//! The U-Net of Stable Diffusion (diffusers' UNet2DConditionModel), with every activation of the vocabulary.

pub(crate) mod blocks;
mod catalogue;
mod conditions;
mod config;
pub(crate) mod down_path;
mod network;
mod time;
mod transformer;

pub use catalogue::catalogue;
pub use conditions::{Conditions, SdxlConditioning, TIME_IDS};
pub(crate) use config::MASK_CHANNELS;
pub use config::{Middle, TextTimeWidths, UnetConfig, UnetLevel};
pub use network::Unet;

/// Width of a feed-forward's inside over the width of its block.
const FFN_RATIO: usize = 4;

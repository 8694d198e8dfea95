//! Stable Diffusion 1, 2 and XL: the U-Net on latents with text, what is put on it, and its single files.

mod adapter_host;
mod architecture;
mod components;
mod configure;
mod control_image;
pub mod controlnet;
mod denoiser;
mod ids;
mod known;
pub mod lora;
pub mod single_file;
pub mod unet;

pub use self::control_image::control_image;
use self::known::KNOWN;
use crate::{
    error::Result,
    model::{
        family::{Checkpoint, Family, KnownCheckpoint},
        spec::ModelSpec,
    },
};

/// Key of the family.
pub const KEY: &str = "stable-diffusion";

/// Stable Diffusion 1, 2 and XL and what has their U-Nets.
pub struct StableDiffusion;

impl Family for StableDiffusion {
    fn key(&self) -> &'static str {
        KEY
    }

    fn recognises(&self, checkpoint: &Checkpoint) -> bool {
        configure::recognises(checkpoint)
    }

    fn configure(&self, checkpoint: Checkpoint) -> Result<ModelSpec> {
        configure::configure(checkpoint)
    }

    fn known_checkpoints(&self) -> &'static [KnownCheckpoint] {
        KNOWN
    }

    fn looks_for(&self) -> &'static str {
        "a folder of the hub's layout has unet/config.json"
    }

    fn first_activations(&self) -> &'static [&'static str] {
        &["up-level1-repeat1-vit-block0-cross-q"]
    }
}

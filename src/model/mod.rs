//! Denoisers, autoencoder, text encoders and schedules in candle; names equal the tensor names in files. In: tensors
//! and configurations. Out: latents, text states, and the activations a probe meets. `extract` calls it; it knows
//! neither windows nor threads.

pub mod adaptable;
pub mod adm;
pub mod attention;
pub mod config;
pub mod controlnet;
mod extent;
pub mod feed_forward;
pub mod formats;
pub mod layers;
pub mod lora;
pub mod norms;
pub mod original;
pub mod resnet;
pub mod schedule;
pub mod text;
pub mod timestep;
pub mod unet;
pub mod vae;

pub use extent::Extent;

//! Denoisers, autoencoder, text encoders and schedules in candle; names equal the tensor names in files. In: tensors
//! and configurations. Out: latents, text states, and the activations a probe meets. `extract` calls it; it knows
//! neither windows nor threads.

pub mod adapters;
pub mod extent;
pub mod tokens;

pub use extent::Extent;

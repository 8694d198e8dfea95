//! LoRA files: small additions to the weights of a U-Net and its text encoders, W' = W + scale·(alpha/rank)·up·down.
//! In: a file with the names of kohya's scripts, of PEFT or of diffusers, old or new. Out: low-rank branches of
//! [layers](super::layers). `extract` calls it when the LoRAs of a request change.

mod file;
mod names;

pub use file::{Fit, Layer, LoraFile, layers_of, set_branches};
pub use names::Part;

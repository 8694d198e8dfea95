//! Stable Diffusion 1, 2 and XL: the U-Net on latents with text, what is put on it, and its single files.

pub mod controlnet;
mod ids;
pub mod lora;
pub mod single_file;
pub mod unet;

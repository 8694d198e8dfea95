//! ADM, the text-free pixel U-Net of guided-diffusion (Dhariwal and Nichol, *Diffusion Models Beat GANs on Image
//! Synthesis*), as DifFormer, DifFeed and DIFT-ADM look into it. In: `config.json`, tensors, a noisy picture and its
//! timestep. Out: the predicted noise, and the activations a probe meets. `extract` calls it.

mod catalogue;
mod config;
mod ids;
mod layers;
mod network;
mod open;
mod plan;
mod recognise;
#[cfg(test)]
mod tests;

pub use catalogue::catalogue;
pub use config::{AdmConfig, COLOURS, Heads, Level, NoiseSchedule};
pub use network::AdmUnet;
pub use open::{config_alone, open, open_demo};

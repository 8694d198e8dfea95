//! Layers that networks are built of, with low-rank branches, in number formats of the CPU and GPUs.

pub mod adaptable;
pub mod attention;
pub mod feed_forward;
pub mod formats;
pub mod layers;
pub mod modulation;
pub mod norms;
pub mod resnet;
pub mod rms_norm;
pub mod time_embedding;

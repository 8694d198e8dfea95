//! Layers that networks are built of, with low-rank branches, in number formats of the CPU and GPUs.

pub mod adaptable;
pub(crate) mod attention;
pub(crate) mod feed_forward;
pub(crate) mod formats;
pub mod layers;
pub(crate) mod modulation;
pub mod norms;
pub(crate) mod resnet;
pub(crate) mod rms_norm;
pub(crate) mod time_embedding;

//! ControlNets (diffusers' ControlNetModel): copies of a U-Net's first half that look at a control image, such as edges or
//! depth, and add what they see to the U-Net's skips. In: the U-Net's own input and a control image. Out: residuals.

mod config;
mod file;
mod half;
mod kind;
mod network;

pub use config::{ChannelOrder, ControlNetConfig};
pub(crate) use file::{ControlNetFile, check_names};
pub use network::ControlNet;

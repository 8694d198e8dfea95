//! Where a model computes: the devices of this machine, and their names. In: the name of a device. Out: candle's device
//! with the number format that runs there. Called by `extract/`, the engine and the command line.
//!
//! NVIDIA's GPUs are found only by a build with the feature `cuda`, Apple's by one with `metal`.

mod choice;
mod compute;
#[cfg(feature = "cuda")]
mod cuda;
mod listing;
mod memory;
mod smi;

pub use choice::{DeviceChoice, Precision};
pub use compute::Compute;
pub use listing::{Device, Devices};
pub use memory::set_weights_memory;
pub(crate) use memory::{WEIGHTS_MEMORY, available, give_pages_back, weights_memory, weights_memory_text};
pub(crate) use smi::{driver_files, gpus_by_smi};

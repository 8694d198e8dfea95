//! A device that is open, with the number format that runs there.

use candle_core::{DType, Device, DeviceLocation};

use super::{DeviceChoice, Precision};
use crate::error::{Error, Result};

/// A device and a number format that fit together.
#[derive(Debug, Clone)]
pub struct Compute {
    /// The device.
    pub device: Device,
    /// The format computed in: f32 on every CPU.
    pub dtype: DType,
}

impl Compute {
    /// The processor.
    pub const CPU: Self = Self {
        device: Device::Cpu,
        dtype: DType::F32,
    };

    /// A device that is named, with the number format that runs there. `Auto` is the CPU here: what looks for a GPU has to
    /// try it ([`crate::extract::self_check`]).
    ///
    /// # Errors
    ///
    /// Where the device is not there, or this build has no operators for it.
    pub fn open(choice: DeviceChoice, precision: Precision) -> Result<Self> {
        let unavailable = |error: candle_core::Error| {
            let words = Error::from(error);
            let wrong_build = match choice {
                DeviceChoice::Cuda(_) => !cfg!(feature = "cuda"),
                _ => !cfg!(feature = "metal"),
            };
            let hint = match wrong_build {
                true => " (this build has no operators for it)",
                false => "",
            };
            Error::failed(format!(
                "the device {choice} cannot be used: {words}{hint}; `featscope doctor` says which devices there are, \
                 `--device cpu` works everywhere"
            ))
        };
        let device = match choice {
            DeviceChoice::Cpu | DeviceChoice::Auto => Device::Cpu,
            DeviceChoice::Cuda(number) => Device::new_cuda(number).map_err(unavailable)?,
            DeviceChoice::Metal(number) => Device::new_metal(number).map_err(unavailable)?,
        };
        let dtype = match precision {
            _ if device.is_cpu() => DType::F32,
            Precision::F32 => DType::F32,
            Precision::F16 => DType::F16,
            Precision::Bf16 => DType::BF16,
        };
        Ok(Self { device, dtype })
    }

    /// `cpu`, `cuda:0`, `metal:0`.
    pub fn device_name(&self) -> String {
        let choice = match self.device.location() {
            DeviceLocation::Cpu => DeviceChoice::Cpu,
            DeviceLocation::Cuda { gpu_id } => DeviceChoice::Cuda(gpu_id),
            DeviceLocation::Metal { gpu_id } => DeviceChoice::Metal(gpu_id),
        };
        choice.to_string()
    }

    /// `f32`, `f16`, `bf16`.
    pub fn dtype_name(&self) -> &'static str {
        self.dtype.as_str()
    }
}

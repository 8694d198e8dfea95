//! NVIDIA's GPUs, by the driver's own interface.

use candle_core::cuda_backend::cudarc::driver::{
    DriverError,
    result::{self, device},
    sys::CUresult,
};

use super::{
    DeviceChoice,
    listing::Device,
    smi::{SmiGpu, driver_files, gpus_by_smi},
};

/// Every GPU that CUDA shows to this process, in its order; in words, why there is none.
pub fn devices() -> Result<Vec<Device>, String> {
    result::init().map_err(|error| describe(&error))?;
    let count = device::get_count().map_err(|error| describe(&error))?;
    let known = gpus_by_smi();
    let found = (0..count).map(|ordinal| one(ordinal, &known).map_err(|error| describe(&error)));
    found.collect()
}

fn one(ordinal: i32, known: &[SmiGpu]) -> Result<Device, DriverError> {
    let handle = device::get(ordinal)?;
    let uuid = device::get_uuid(handle)?;
    let uuid: String = uuid.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // How much is free is asked of nvidia-smi: here it would take a context, which takes memory itself.
    let by_smi = known.iter().find(|gpu| {
        let plain: String = gpu.uuid.chars().filter(char::is_ascii_hexdigit).collect();
        plain.ends_with(&uuid)
    });
    // SAFETY: the handle comes from `device::get`.
    #[allow(unsafe_code, reason = "a question to the driver, which has no safe form")]
    let total = unsafe { device::total_mem(handle) }?;
    Ok(Device {
        choice: DeviceChoice::Cuda(usize::try_from(ordinal).unwrap_or_default()),
        name: device::get_name(handle)?,
        free_bytes: by_smi.map(|gpu| gpu.free_bytes),
        total_bytes: u64::try_from(total).ok(),
    })
}

/// Describes the driver's answer, and what helps.
fn describe(error: &DriverError) -> String {
    let help = match error.0 {
        CUresult::CUDA_ERROR_NO_DEVICE => match driver_files().is_empty() {
            true => "no NVIDIA GPU is there, or CUDA_VISIBLE_DEVICES hides it",
            false => "its driver is there, but shows no GPU: CUDA_VISIBLE_DEVICES may hide it, or a container lacks it",
        },
        CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
        | CUresult::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE
        | CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
            "the driver is older than CUDA 13: version 580 or newer is needed; after an update the machine may have to be \
             started anew"
        }
        CUresult::CUDA_ERROR_SYSTEM_NOT_READY => {
            "its services are not running: NVIDIA's fabric manager, on some servers"
        }
        _ => "what `nvidia-smi` says may help",
    };
    format!("CUDA answers {:?}: {help}", error.0)
}

//! The devices there are.

use serde::{Deserialize, Serialize};

use super::DeviceChoice;

/// A device that a model can compute on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Name on the command line.
    pub choice: DeviceChoice,
    /// Product name.
    pub name: String,
    /// Memory that is free, in bytes, where that is known.
    pub free_bytes: Option<u64>,
    /// All its memory, in bytes, where that is known.
    pub total_bytes: Option<u64>,
}

impl Device {
    /// Name and memory in words.
    pub fn describe(&self) -> String {
        const GIB: f64 = (1_u64 << 30) as f64;
        let gib = |bytes: u64| bytes as f64 / GIB;
        let Self { choice, name, .. } = self;
        match (self.free_bytes, self.total_bytes) {
            (Some(free), Some(total)) => {
                format!("{choice}: {name}, {:.1} of {:.1} GiB free", gib(free), gib(total))
            }
            (None, Some(total)) => format!("{choice}: {name}, {:.1} GiB", gib(total)),
            _ => format!("{choice}: {name}"),
        }
    }
}

/// The devices of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Devices {
    /// The GPUs, in order, and the CPU.
    pub found: Vec<Device>,
    /// Why there is no GPU among them, or not every one; none where nothing is amiss.
    pub trouble: Option<String>,
}

impl Devices {
    /// Looks for them. Nothing is computed, and no GPU's memory taken.
    pub fn look() -> Self {
        #[allow(unused_mut, reason = "without GPUs nothing is added")]
        let mut devices = Self::default();
        #[cfg(feature = "cuda")]
        devices.add_cuda();
        #[cfg(feature = "metal")]
        devices.add_metal();
        devices.found.push(cpu());
        devices
    }

    /// The GPUs among them.
    pub fn gpus(&self) -> impl Iterator<Item = &Device> {
        self.found.iter().filter(|device| device.choice.is_gpu())
    }

    #[cfg(feature = "cuda")]
    fn add_cuda(&mut self) {
        match super::cuda::devices() {
            Ok(found) if found.is_empty() => self.trouble = Some("the NVIDIA driver finds no GPU".to_owned()),
            Ok(found) => self.found.extend(found),
            Err(words) => self.trouble = Some(words),
        }
    }

    #[cfg(feature = "metal")]
    fn add_metal(&mut self) {
        let found = candle_core::Device::new_metal(0);
        match found {
            Ok(_) => self.found.push(Device {
                choice: DeviceChoice::Metal(0),
                name: "Apple GPU".to_owned(),
                free_bytes: None,
                total_bytes: None,
            }),
            Err(error) => self.trouble = Some(crate::error::Error::from(error).to_string()),
        }
    }
}

fn cpu() -> Device {
    let threads = rayon::current_num_threads();
    Device {
        choice: DeviceChoice::Cpu,
        name: format!("the processor, {threads} threads"),
        free_bytes: None,
        total_bytes: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_there_and_memory_is_told_where_it_is_known() {
        let devices = Devices::look();
        assert_eq!(
            devices.found.last().map(|device| device.choice),
            Some(DeviceChoice::Cpu)
        );
        let gpu = Device {
            choice: DeviceChoice::Cuda(1),
            name: "NVIDIA H100".to_owned(),
            free_bytes: Some(3 << 30),
            total_bytes: Some(80 << 30),
        };
        assert_eq!(gpu.describe(), "cuda:1: NVIDIA H100, 3.0 of 80.0 GiB free");
    }
}

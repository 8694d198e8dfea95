//! GPUs as NVIDIA's own tool lists them: it needs no CUDA library, and makes no context that takes memory.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A GPU as `nvidia-smi` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmiGpu {
    /// `GPU-…`.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Memory that is free, in bytes.
    pub free_bytes: u64,
    /// All its memory, in bytes.
    pub total_bytes: u64,
    /// Version of the driver.
    pub driver: String,
}

/// Every GPU that `nvidia-smi` lists; none where it is not there.
pub(crate) fn gpus_by_smi() -> Vec<SmiGpu> {
    let output = Command::new("nvidia-smi")
        .args([
            "--query-gpu=uuid,name,memory.free,memory.total,driver_version",
            "--format=csv,noheader,nounits",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => gpus_of(&String::from_utf8_lossy(&output.stdout)),
        _ => Vec::new(),
    }
}

/// The lines of `nvidia-smi`'s table; what is no line of it is left out.
fn gpus_of(table: &str) -> Vec<SmiGpu> {
    const MIB: u64 = 1 << 20;
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [uuid, name, free, total, driver] = fields.as_slice() else {
            return None;
        };
        Some(SmiGpu {
            uuid: (*uuid).to_owned(),
            name: (*name).to_owned(),
            free_bytes: free.parse::<u64>().ok()?.checked_mul(MIB)?,
            total_bytes: total.parse::<u64>().ok()?.checked_mul(MIB)?,
            driver: (*driver).to_owned(),
        })
    };
    table.lines().filter_map(line).collect()
}

/// Traces of an NVIDIA driver on this machine: the kernel's module, or its way into WSL.
pub(crate) fn driver_files() -> Vec<PathBuf> {
    [
        "/proc/driver/nvidia/version",
        "/dev/nvidiactl",
        "/usr/lib/wsl/lib/libcuda.so.1",
    ]
    .into_iter()
    .filter(|path| Path::new(path).exists())
    .map(PathBuf::from)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_and_what_is_none_of_it_is_left_out() {
        let table = "GPU-5a1, NVIDIA H100 80GB HBM3, 80995, 81559, 580.65.06\n\
                     No devices were found\n\
                     GPU-77, NVIDIA GeForce RTX 4090, [N/A], 24564, 580.65.06\n";
        let found = gpus_of(table);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "NVIDIA H100 80GB HBM3");
        assert_eq!(found[0].free_bytes, 80995 << 20);
        assert_eq!(found[0].total_bytes, 81559 << 20);
        assert!(gpus_of("").is_empty());
    }
}

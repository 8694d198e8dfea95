//! How much memory there is, so that a request that cannot fit is refused and not killed half-way; and what becomes of memory
//! that a pass lets go of.

use candle_core::Device;

use crate::error::{Error, Result};

const GIB: f64 = (1_u64 << 30) as f64;

/// Refuses what needs more memory than is free; where the system does not tell, nothing is refused.
pub fn check(bytes: usize, what: &str, advice: &str) -> Result<()> {
    match available() {
        Some(free) if bytes > free => Err(Error::usage(format!(
            "{what} would take {:.1} GiB of memory, {:.1} GiB are free: {advice}",
            bytes as f64 / GIB,
            free as f64 / GIB
        ))),
        _ => Ok(()),
    }
}

/// Bytes that can be used without swapping, as the Linux kernel estimates them.
fn available() -> Option<usize> {
    const KIB: usize = 1 << 10;
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(KIB)
}

/// While one of these is there, memory that is let go of is kept for what comes next, up to a bound, instead of being given back
/// to the system and asked for again: a pass makes tensors of 5 to 130 MB by the hundred, and a fresh page costs more than the
/// convolution that fills it saves. When it is dropped, all is given back. On the CPU it does something on Linux with glibc alone;
/// GPUs keep pages by themselves, and give them back when all work is done.
#[derive(Debug)]
pub struct KeptPages {
    device: Device,
}

impl KeptPages {
    /// Keeps pages from now on.
    pub fn keep(device: &Device) -> Self {
        allocator::keep_pages();
        Self { device: device.clone() }
    }
}

impl Drop for KeptPages {
    fn drop(&mut self) {
        // A device that fails here says so to the next who uses it.
        let _ = self.device.synchronize();
        allocator::give_pages_back();
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator {
    use std::sync::Once;

    /// Bytes at the end of the heap that are kept.
    const KEPT_BYTES: libc::c_int = 512 << 20;

    pub(super) fn keep_pages() {
        static ONCE: Once = Once::new();
        // SAFETY: both only set numbers that the allocator reads under its own lock, here once.
        #[allow(unsafe_code, reason = "a setting of the C library's allocator")]
        ONCE.call_once(|| unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
        });
    }

    pub(super) fn give_pages_back() {
        // SAFETY: it takes the allocator's own locks and moves nothing that is in use.
        #[allow(unsafe_code, reason = "a setting of the C library's allocator")]
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod allocator {
    pub(super) fn keep_pages() {}

    pub(super) fn give_pages_back() {}
}

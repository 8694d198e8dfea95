//! The allocator while a model runs: freed pages are reused by the next tensors.

use candle_core::Device;

use crate::device::give_pages_back;

/// A guard: while it lives, freed memory is reused for later tensors, up to a bound, instead of being returned to the system and
/// requested again. A pass makes tensors of 5 to 130 MB by the hundred, and a fresh page costs more than the convolution that
/// fills it saves. Dropping the guard returns everything. On the CPU it has an effect on Linux with glibc alone; GPUs keep pages
/// by themselves, and return them when all work is done.
#[derive(Debug)]
pub struct KeptPages {
    device: Device,
}

impl KeptPages {
    /// Keeps pages from now on.
    pub fn keep(device: &Device) -> Self {
        pages::keep_pages();
        Self { device: device.clone() }
    }
}

impl Drop for KeptPages {
    fn drop(&mut self) {
        // A device that fails here fails at its next use too.
        let _ = self.device.synchronize();
        give_pages_back();
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod pages {
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
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod pages {
    pub(super) fn keep_pages() {}
}

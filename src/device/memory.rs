//! Main memory that is free to this process, and how much of it the weights of a network may take.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use candle_core::Device;

/// Bytes that weights may take, as the user set them; 0: a share of what is free.
static WEIGHTS_BYTES: AtomicUsize = AtomicUsize::new(0);
/// The share of free memory that weights take where nothing is set, in fourths: the rest is for activations and pictures.
const WEIGHTS_FOURTHS: usize = 3;

/// Names what is set for a process that this one starts: bytes with the unit `B`.
pub(crate) const WEIGHTS_MEMORY: &str = "FEATSCOPE_WEIGHTS_MEMORY";

/// Sets how many bytes the weights of a network may take at a time, on whatever device; none: three fourths of the main
/// memory that is free when it is read, and on a GPU as much as they are. A network that takes more is read block by block
/// in every pass.
pub fn set_weights_memory(bytes: Option<usize>) {
    WEIGHTS_BYTES.store(bytes.unwrap_or(0), Ordering::Relaxed);
}

/// What is set, for the environment of another process.
pub(crate) fn weights_memory_text() -> Option<String> {
    match WEIGHTS_BYTES.load(Ordering::Relaxed) {
        0 => None,
        bytes => Some(format!("{bytes}B")),
    }
}

/// How many bytes the weights of a network may take on a device; none where nothing bounds them.
pub(crate) fn weights_memory(device: &Device) -> Option<usize> {
    match WEIGHTS_BYTES.load(Ordering::Relaxed) {
        0 if device.is_cpu() => Some(available()? / 4 * WEIGHTS_FOURTHS),
        0 => None,
        bytes => Some(bytes),
    }
}

/// Bytes of main memory that this process can take without swapping: the least of what Linux says is free on the machine, in
/// the process's control groups, and of its address space. None where none of them is known.
pub(crate) fn available() -> Option<usize> {
    [free_on_machine(), free_in_groups(), free_addresses()]
        .into_iter()
        .flatten()
        .min()
}

fn free_on_machine() -> Option<usize> {
    kib_after(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// Bytes in a line of `text` that begins with `name` and goes on with a number of KiB.
fn kib_after(text: &str, name: &str) -> Option<usize> {
    const KIB: usize = 1 << 10;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(KIB)
}

/// What the limits of the control group (version 2) and those above it leave. Pages of files, which go when room is needed,
/// are not counted.
fn free_in_groups() -> Option<usize> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let inside = root.join(own);
    let bounded = inside.ancestors().take_while(|group| group.starts_with(root));
    bounded.filter_map(free_in_group).min()
}

fn free_in_group(group: &Path) -> Option<usize> {
    let number = |name: &str| -> Option<usize> { fs::read_to_string(group.join(name)).ok()?.trim().parse().ok() };
    let most = number("memory.max")?;
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let of_files = |name: &str| -> usize {
        let line = stat.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().parse().ok()).unwrap_or(0)
    };
    let files = of_files("inactive_file ") + of_files("active_file ");
    Some(most.saturating_sub(number("memory.current")?.saturating_sub(files)))
}

/// What the limit of the process's address space leaves.
fn free_addresses() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let most: usize = line.split_whitespace().next()?.parse().ok()?;
    let taken = kib_after(&fs::read_to_string("/proc/self/status").ok()?, "VmSize:")?;
    Some(most.saturating_sub(taken))
}

/// Gives freed memory back to the system, which would have kept it for what is allocated next.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_pages_back() {
    // SAFETY: it takes the allocator's own locks and moves nothing that is in use.
    #[allow(unsafe_code, reason = "the C library's allocator has no safe binding")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators give it back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_pages_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_kib_are_bytes() {
        let text = "MemTotal:  24684232 kB\nMemAvailable:\t 512 kB\nHugePages_Free: 0\n";
        assert_eq!(kib_after(text, "MemAvailable:"), Some(512 << 10));
        assert_eq!(kib_after(text, "HugePages_Free:"), None);
        assert_eq!(kib_after(text, "VmSize:"), None);
    }

    #[test]
    fn a_group_leaves_what_it_does_not_hold_but_for_pages_of_files() -> std::io::Result<()> {
        let group = tempfile::tempdir()?;
        let write = |name: &str, text: &str| fs::write(group.path().join(name), text);
        assert_eq!(free_in_group(group.path()), None);
        write("memory.max", "1000\n")?;
        write("memory.current", "700\n")?;
        assert_eq!(free_in_group(group.path()), Some(300));
        write("memory.stat", "anon 400\ninactive_file 200\nactive_file 100\n")?;
        assert_eq!(free_in_group(group.path()), Some(600));
        write("memory.max", "max\n")?;
        assert_eq!(free_in_group(group.path()), None);
        Ok(())
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn some_memory_is_free_here() {
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }
}

//! Main memory: a request that cannot fit is refused before it runs, and not killed half-way.

use crate::{
    device::available,
    error::{Error, Result},
};

const GIB: f64 = (1_u64 << 30) as f64;

/// Refuses what needs more bytes than are free. Where the system does not say how many are, nothing is refused.
///
/// # Errors
///
/// Where more is needed than is free; the error ends in `advice`.
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

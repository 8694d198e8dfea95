//! Devices for sources: opened, and checked with the embedded model.

use crate::{
    device::{Compute, DeviceChoice, Precision},
    error::Result,
    extract::self_check::{self, CHECKED_MODEL, Opened, SelfCheck},
    families::resolve,
};

/// Opens the device that was asked for. `Auto` is the first GPU that computes what the CPU computes, else the CPU with the
/// reason.
///
/// # Errors
///
/// Where there is no such device.
pub fn open_device(choice: DeviceChoice, precision: Precision) -> Result<Opened> {
    match choice {
        DeviceChoice::Auto => self_check::open_checked(&resolve(CHECKED_MODEL)?, precision),
        choice => Ok(Opened {
            place: Compute::open(choice, precision)?,
            note: None,
        }),
    }
}

/// Runs the embedded model on the CPU in f32 and at `place`, and compares every activation.
///
/// # Errors
///
/// Where one of the passes fails.
pub fn self_check(place: &Compute, precision: Precision) -> Result<SelfCheck> {
    self_check::self_check(&resolve(CHECKED_MODEL)?, place, precision)
}

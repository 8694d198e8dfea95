//! The window.

use crate::{cli::WindowArguments, error::Result};

/// Opens the window.
pub fn open(_arguments: &WindowArguments) -> Result<()> {
    Ok(())
}

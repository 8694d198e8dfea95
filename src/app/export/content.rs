//! What a file is to hold, and how it is written.

use std::io::Write;

use serde_json::Value;

use crate::{
    error::{Error, Result},
    io::output::{write_error, write_png},
};

/// What a file is to hold.
pub enum Content {
    /// Text.
    Text(String),
    /// A picture: width and height, and (height, width, 3).
    Png([usize; 2], Vec<u8>),
    /// Bytes that take longer than a frame to make.
    Later(Box<dyn FnOnce() -> Result<Vec<u8>> + Send>),
}

impl Content {
    /// JSON as it is written for a person.
    pub fn json(value: &Value) -> Self {
        Self::Text(format!("{value:#}\n"))
    }

    /// Writes it.
    pub fn write(self, file: &mut dyn Write) -> Result<()> {
        match self {
            Self::Text(text) => file.write_all(text.as_bytes()).map_err(write_error),
            Self::Png(size, rgb) => write_png(file, size, &rgb),
            Self::Later(make) => file.write_all(&make()?).map_err(write_error),
        }
    }
}

/// Why there is nothing to write of a pane.
pub fn nothing_to_save() -> Error {
    Error::usage("there is nothing to save yet: open its pane, and let it be computed")
}

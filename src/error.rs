//! The one error of the library: what was asked, what was found and what to do, in words for the user.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

/// A result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was not done. Plain data, so that it can cross from the worker to the window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Error {
    /// The request itself is wrong: an unknown id, a size below a stride. Exit status 2 on the command line.
    Usage(String),
    /// The request was sound, carrying it out failed: a broken file, a full disk. Exit status 1.
    Failed(String),
    /// The user asked to stop.
    Cancelled,
}

impl Error {
    /// The request is wrong in itself.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Something failed while a sound request was carried out.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// A failed file operation, with the path and what was being done: `verb` as in "cannot read PATH".
    pub fn io(verb: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::Failed(format!("cannot {verb} {}: {error}", path.display()))
    }

    /// The same error with `context` before its message.
    pub fn context(self, context: impl fmt::Display) -> Self {
        self.map(|message| format!("{context}: {message}"))
    }

    /// The same error with `more` after its message.
    pub fn followed_by(self, more: impl fmt::Display) -> Self {
        self.map(|message| format!("{message}{more}"))
    }

    fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Usage(message) => Self::Usage(change(message)),
            Self::Failed(message) => Self::Failed(change(message)),
            Self::Cancelled => Self::Cancelled,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Failed(message) => f.write_str(message),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl std::error::Error for Error {}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        match error {
            // The trace is for who debugs candle, not for who reads the message.
            candle_core::Error::WithBacktrace { inner, .. } => Self::from(*inner),
            error => Self::Failed(error.to_string()),
        }
    }
}

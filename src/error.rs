//! The one error of the library: what was asked, what was found and what to do, in words for the user.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

use crate::words;

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

    /// Whether a GPU's memory was full.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Failed(message) if message.contains(OUT_OF_MEMORY))
    }

    fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Usage(message) => Self::Usage(change(message)),
            Self::Failed(message) => Self::Failed(change(message)),
            Self::Cancelled => Self::Cancelled,
        }
    }
}

/// The message as it may be shown anywhere, see [`words::message`].
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Failed(message) => f.write_str(&words::message(message)),
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
            error => {
                let text = error.to_string();
                match is_out_of_memory(&text) {
                    true => Self::Failed(format!("{OUT_OF_MEMORY} ({text}): {LESS_MEMORY}")),
                    false => Self::Failed(text),
                }
            }
        }
    }
}

/// How an error begins that says that a GPU's memory is full.
const OUT_OF_MEMORY: &str = "more memory was asked of the GPU than it has free";

/// What takes less of it.
const LESS_MEMORY: &str = "lower the working size or the ensemble, compute in f16 or bf16 where it is f32, use fewer LoRAs and \
    ControlNets, or close other programs that use the GPU";

/// Whether a message of CUDA, its libraries or Metal says that the memory of a GPU is full: candle hands on their words alone.
fn is_out_of_memory(message: &str) -> bool {
    const SAID: [&str; 5] = [
        "CUDA_ERROR_OUT_OF_MEMORY",
        "_STATUS_ALLOC_FAILED",
        "CURAND_STATUS_ALLOCATION_FAILED",
        "Failed to create metal resource: Buffer",
        "kIOGPUCommandBufferCallbackErrorOutOfMemory",
    ];
    SAID.iter().any(|said| message.contains(said))
}

/// The longest piece of a file that a message repeats, in characters.
const MOST_REPEATED: usize = 200;

/// A text from a file as a message repeats it: its beginning, if it is long.
pub fn clipped(text: &str) -> String {
    match text.char_indices().nth(MOST_REPEATED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error as candle hands over what CUDA says.
    fn of_cuda(message: &str) -> Error {
        let inner = candle_core::Error::Cuda(message.to_owned().into());
        candle_core::Error::WithBacktrace {
            inner: Box::new(inner),
            backtrace: Box::new(std::backtrace::Backtrace::disabled()),
        }
        .into()
    }

    #[test]
    fn a_full_gpu_is_told_with_what_to_lower() {
        for message in [
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
            "CublasError(CUBLAS_STATUS_ALLOC_FAILED)",
            "CurandError(CURAND_STATUS_ALLOCATION_FAILED)",
        ] {
            let error = of_cuda(message);
            assert!(matches!(error, Error::Failed(_)) && error.is_out_of_memory());
            let told = error.to_string();
            for word in [
                "GPU",
                message,
                "working size",
                "ensemble",
                "bf16",
                "ControlNets",
                "close other",
            ] {
                assert!(told.contains(word), "{word} is not said in: {told}");
            }
            let told = error.context("a pass of 8 rows");
            assert!(told.to_string().starts_with("a pass of 8 rows: ") && told.is_out_of_memory());
        }
    }

    #[test]
    fn other_errors_are_told_as_they_are() {
        let message = "DriverError(CUDA_ERROR_INVALID_VALUE, \"invalid argument\")";
        assert_eq!(of_cuda(message), Error::failed(message));
        assert!(!of_cuda(message).is_out_of_memory() && !Error::Cancelled.is_out_of_memory());
    }
}

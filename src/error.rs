//! The one error of the library: what was asked, what was found and what to do, in words for the user.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::words;

/// A result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was not done. The message is whole in itself: what a source says is in it. Sources stay where the error
/// arose, everything else crosses from a worker to the window.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Error {
    /// The request itself is wrong: an unknown id, a size below a stride. Exit status 2 on the command line; that of all
    /// others is 1.
    Usage(String),
    /// A file or folder cannot be read or written.
    File {
        /// Which.
        #[serde(with = "crate::files::names")]
        path: PathBuf,
        /// What was tried and why it failed.
        message: String,
        /// What the system says.
        #[serde(skip)]
        source: Option<Arc<io::Error>>,
    },
    /// A GPU has less free memory than was asked of it.
    OutOfMemory(String),
    /// A computation with tensors failed, or the reading of a network's tensors.
    Compute {
        /// What failed.
        message: String,
        /// What candle says.
        #[serde(skip)]
        source: Option<Arc<candle_core::Error>>,
    },
    /// The request was sound, carrying it out failed in another way: a broken file, a hub that does not answer.
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
    pub fn io(verb: &str, path: &Path, error: &io::Error) -> Self {
        let source = match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        Self::File {
            path: path.to_owned(),
            message: format!("cannot {verb} {}: {error}", path.display()),
            source: Some(Arc::new(source)),
        }
    }

    /// The same error with `context` before its message.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        if let Some(message) = self.message_mut() {
            message.insert_str(0, &format!("{context}: "));
        }
        self
    }

    /// The same error with `more` after its message.
    pub fn followed_by(mut self, more: impl fmt::Display) -> Self {
        if let Some(message) = self.message_mut() {
            message.push_str(&more.to_string());
        }
        self
    }

    /// The message as it was given; `Display` shows it so that it can be shown anywhere.
    pub fn message(&self) -> &str {
        match self {
            Self::Usage(message) | Self::OutOfMemory(message) | Self::Failed(message) => message,
            Self::File { message, .. } | Self::Compute { message, .. } => message,
            Self::Cancelled => "cancelled",
        }
    }

    fn message_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Usage(message) | Self::OutOfMemory(message) | Self::Failed(message) => Some(message),
            Self::File { message, .. } | Self::Compute { message, .. } => Some(message),
            Self::Cancelled => None,
        }
    }

    /// Whether a GPU's memory was full.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory(_))
    }
}

/// The message as it may be shown anywhere, see [`words::message`].
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words::message(self.message()))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => source.as_deref().map(|source| source as _),
            Self::Compute { source, .. } => source.as_deref().map(|source| source as _),
            _ => None,
        }
    }
}

/// Errors of one kind that say the same are equal, whatever is known of their sources.
impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.message() == other.message()
    }
}

impl Eq for Error {}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        match error {
            // The trace is for who debugs candle, not for who reads the message.
            candle_core::Error::WithBacktrace { inner, .. } => Self::from(*inner),
            error => {
                let text = error.to_string();
                match is_out_of_memory(&text) {
                    true => Self::OutOfMemory(format!("{OUT_OF_MEMORY} ({text}): {LESS_MEMORY}")),
                    false => Self::Compute {
                        message: text,
                        source: Some(Arc::new(error)),
                    },
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
            assert!(error.is_out_of_memory());
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
        let error = of_cuda(message);
        assert!(matches!(error, Error::Compute { .. }));
        assert_eq!(error.to_string(), message);
        assert!(!of_cuda(message).is_out_of_memory() && !Error::Cancelled.is_out_of_memory());
    }

    #[test]
    fn what_crosses_to_the_window_is_kind_and_message() -> std::result::Result<(), Box<dyn std::error::Error>> {
        use std::error::Error as _;

        let missing = io::Error::from(io::ErrorKind::NotFound);
        let errors = [
            Error::io("read", Path::new("cat.png"), &missing).context("picture A"),
            of_cuda("DriverError(CUDA_ERROR_INVALID_VALUE, \"invalid argument\")"),
            of_cuda("CublasError(CUBLAS_STATUS_ALLOC_FAILED)"),
            Error::usage("no"),
            Error::Cancelled,
        ];
        for error in errors {
            let read: Error = rmp_serde::from_slice(&rmp_serde::to_vec(&error)?)?;
            assert_eq!(read, error);
            assert!(read.source().is_none());
        }
        let error = Error::io("read", Path::new("cat.png"), &missing).context("picture A");
        assert!(error.to_string().starts_with("picture A: cannot read cat.png: "));
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::NotFound));
        Ok(())
    }
}

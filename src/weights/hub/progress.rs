//! How far a download is, and the way to end it.

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The current stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferStage {
    /// The hub has been asked and has not answered yet.
    Asking,
    /// Another program downloads the same file; its end is awaited.
    Locked,
    /// Reads the part of a file that an earlier attempt left.
    Checking,
    /// Bytes arrive.
    Downloading,
    /// Something failed that may pass: after a wait there is another attempt.
    Waiting {
        /// Whole seconds until then.
        seconds: u64,
        /// The failure, in words.
        reason: String,
    },
}

/// How far a download is. Rates follow from `bytes_received` and the reader's own clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferProgress {
    /// The current stage.
    pub stage: TransferStage,
    /// The file in work, as the repository names it; empty before the first.
    pub file: String,
    /// Bytes of this file on the disk.
    pub file_done: u64,
    /// Bytes that this file has.
    pub file_total: u64,
    /// Files that are complete.
    pub files_done: usize,
    /// Files of the plan.
    pub files_total: usize,
    /// Bytes of all files on the disk; less than before where something wrong had to be thrown away.
    pub bytes_done: u64,
    /// Bytes that all files of the plan have.
    pub bytes_total: u64,
    /// Bytes that came over the network in this run.
    pub bytes_received: u64,
}

impl TransferProgress {
    /// The current stage.
    pub fn describe(&self) -> String {
        let file = &self.file;
        match &self.stage {
            TransferStage::Asking | TransferStage::Downloading => file.clone(),
            TransferStage::Checking => format!("{file}: reading what an earlier download has left"),
            TransferStage::Locked => format!("{file}: another program downloads it"),
            TransferStage::Waiting { seconds, reason } => format!("{file}: {reason}; again in {seconds} s"),
        }
    }

    /// Part of the bytes that is on the disk, between 0 and 1.
    pub fn fraction(&self) -> f32 {
        match self.bytes_total {
            0 => 0.0,
            total => (self.bytes_done as f64 / total as f64) as f32,
        }
    }
}

/// Callback with the progress, several times a second also where nothing arrives; an error from it ends the work
/// ([`Error::Cancelled`](crate::error::Error::Cancelled) where the user asked for that). What has been downloaded stays.
pub type HubWatch<'a> = dyn FnMut(&TransferProgress) -> Result<()> + 'a;

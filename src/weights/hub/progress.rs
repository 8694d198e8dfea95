//! How far a download is, and the way to end it.

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// What is being done at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferStage {
    /// The hub has been asked and has not answered yet.
    Asking,
    /// Another program downloads the same file; its end is awaited.
    Locked,
    /// What an earlier attempt left on the disk is read.
    Checking,
    /// Bytes arrive.
    Downloading,
    /// Something failed that may pass: after a wait there is another attempt.
    Waiting {
        /// Whole seconds until then.
        seconds: u64,
        /// What failed.
        reason: String,
    },
}

/// How far a download is. Rates follow from `bytes_received` and the reader's own clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferProgress {
    /// What is being done.
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
    /// What is being done at the moment.
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

/// Told how far the work is, several times a second also where nothing arrives; an error from it ends the work
/// ([`Error::Cancelled`](crate::error::Error::Cancelled) where the user asked for that). What has been downloaded stays.
pub type HubWatch<'a> = dyn FnMut(&TransferProgress) -> Result<()> + 'a;

/// The progress of one run, with who is told.
pub(super) struct Reporter<'a, 'b> {
    progress: TransferProgress,
    /// Bytes of the files that are complete.
    complete: u64,
    watch: &'a mut HubWatch<'b>,
}

impl<'a, 'b> Reporter<'a, 'b> {
    pub fn new(files_total: usize, bytes_total: u64, watch: &'a mut HubWatch<'b>) -> Self {
        let progress = TransferProgress {
            stage: TransferStage::Asking,
            file: String::new(),
            file_done: 0,
            file_total: 0,
            files_done: 0,
            files_total,
            bytes_done: 0,
            bytes_total,
            bytes_received: 0,
        };
        Self {
            progress,
            complete: 0,
            watch,
        }
    }

    /// Tells what is known, and whether to go on.
    pub fn tell(&mut self) -> Result<()> {
        (self.watch)(&self.progress)
    }

    /// Something else is being done.
    pub fn stage(&mut self, stage: TransferStage) -> Result<()> {
        self.progress.stage = stage;
        self.tell()
    }

    /// What is being done.
    pub fn current(&self) -> TransferStage {
        self.progress.stage.clone()
    }

    /// The file `path` of `size` bytes is taken up.
    pub fn begin(&mut self, path: &str, size: u64) {
        path.clone_into(&mut self.progress.file);
        self.progress.file_total = size;
        self.at(0);
    }

    /// `done` bytes of the file in work are on the disk.
    pub fn at(&mut self, done: u64) {
        self.progress.file_done = done;
        self.progress.bytes_done = self.complete.saturating_add(done);
    }

    /// `count` more bytes came over the network.
    pub fn received(&mut self, count: u64) {
        self.progress.bytes_received = self.progress.bytes_received.saturating_add(count);
    }

    /// The file in work is complete.
    pub fn end(&mut self) -> Result<()> {
        self.at(self.progress.file_total);
        self.complete = self.progress.bytes_done;
        self.progress.files_done += 1;
        self.tell()
    }
}

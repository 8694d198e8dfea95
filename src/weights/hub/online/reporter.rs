//! The progress of one run, with its receiver.

use crate::{
    error::Result,
    weights::hub::progress::{HubWatch, TransferProgress, TransferStage},
};

/// The progress of one run, with its callback.
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

    /// Calls back with the progress; an error ends the work.
    pub fn report(&mut self) -> Result<()> {
        (self.watch)(&self.progress)
    }

    /// Enters another stage.
    pub fn stage(&mut self, stage: TransferStage) -> Result<()> {
        self.progress.stage = stage;
        self.report()
    }

    /// The current stage.
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
        self.report()
    }
}

//! What engine and worker say to each other.

use featscope::engine::transport::{FromWorker, ToWorker};

use super::read;

/// Messages one after the other, read as those of either side: what is read can be said again.
pub fn wire(bytes: &[u8]) {
    let mut from = bytes;
    while let Some(message) = read(ToWorker::read(&mut from)).flatten() {
        let mut said = Vec::new();
        message.write(&mut said).expect("what is read can be said");
        assert!(ToWorker::read(&mut said.as_slice()).is_ok_and(|again| again.is_some()));
    }
    let mut from = bytes;
    while let Some(message) = read(FromWorker::read(&mut from)).flatten() {
        let mut said = Vec::new();
        message.write(&mut said).expect("what is read can be said");
        assert!(FromWorker::read(&mut said.as_slice()).is_ok_and(|again| again.is_some()));
    }
}

//! The bytes of a file that tensors are read from, and copies of some of them in memory, as they are in the file: a network
//! that is read block by block in every pass does not ask the disk for those again.

use std::{
    collections::HashMap,
    io::{self, Read, Seek, SeekFrom},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::bytes::Bytes;
use crate::error::{Error, Result};

/// Room for copies, which the files of a network share: bytes that are left.
pub(super) type Room = Arc<AtomicUsize>;

/// A file, and the parts of it that are kept.
pub(super) struct Held {
    bytes: Mutex<Bytes>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    room: Room,
    /// By where they begin in the file.
    parts: HashMap<u64, Arc<[u8]>>,
}

impl Held {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self {
            bytes: Mutex::new(bytes),
            kept: Mutex::default(),
        }
    }

    /// Keeps what is read from now on, as long as there is room.
    pub(super) fn keep(&self, room: &Room) {
        lock(&self.kept).room = Arc::clone(room);
    }

    /// Reads as many bytes as `into` has, from `start` on.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or ends before.
    pub(super) fn read_at(&self, start: u64, into: &mut [u8]) -> Result<()> {
        let kept = lock(&self.kept).parts.get(&start).cloned();
        if let Some(part) = kept.filter(|part| part.len() == into.len()) {
            into.copy_from_slice(&part);
            return Ok(());
        }
        self.read(start, into)
            .map_err(|error| Error::failed(format!("cannot be read: {error}")))?;
        self.copy(start, into);
        Ok(())
    }

    fn read(&self, start: u64, into: &mut [u8]) -> io::Result<()> {
        let mut bytes = lock(&self.bytes);
        bytes.seek(SeekFrom::Start(start))?;
        bytes.read_exact(into)
    }

    fn copy(&self, start: u64, bytes: &[u8]) {
        let mut kept = lock(&self.kept);
        let fits = |left: usize| left.checked_sub(bytes.len());
        let taken = kept.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        let mut copy = Vec::new();
        // Memory that is short is needed elsewhere.
        if taken.is_ok() && copy.try_reserve_exact(bytes.len()).is_ok() {
            copy.extend_from_slice(bytes);
            kept.parts.insert(start, copy.into());
        }
    }
}

/// What a panic left behind is whole: nothing here panics between two changes.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write};

    use super::*;

    #[test]
    fn what_is_kept_is_not_read_again() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(b"abcdefgh")?;
        let held = Held::new(Bytes::File(File::open(file.path())?));
        held.keep(&Room::new(AtomicUsize::new(3)));
        let read = |start, count| {
            let mut bytes = vec![0; count];
            held.read_at(start, &mut bytes).map(|()| bytes)
        };
        assert_eq!((read(1, 3)?, read(4, 2)?), (b"bcd".to_vec(), b"ef".to_vec()));
        // The file is another one now: what is kept is as it was, and there was no room for the rest.
        file.as_file().set_len(0)?;
        assert_eq!(read(1, 3)?, b"bcd");
        assert!(read(4, 2).is_err() && read(1, 2).is_err() && read(0, 1).is_err());
        Ok(())
    }
}

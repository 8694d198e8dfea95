//! The bytes of a file that tensors are read from, and copies of some of them in memory, as they are in the file: a network
//! that is read block by block in every pass does not ask the disk for those again.

use std::{
    collections::HashMap,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::bytes::Bytes;
use crate::error::{Error, Result};

/// Room for copies, which the files of a network share.
#[derive(Clone)]
pub(super) struct Room(Arc<Mutex<Slab>>);

/// The copies, one behind the other in one piece of memory, so that what is read and freed between them leaves no holes. It is
/// asked for as a whole, and takes memory as it is filled.
struct Slab {
    bytes: Vec<u8>,
    /// Bytes that may be asked for.
    most: usize,
}

impl Room {
    /// So many bytes of it.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(Slab {
            bytes: Vec::new(),
            most: bytes,
        })))
    }

    /// Where a copy lies from now on; none where there is no room, or no memory, for it.
    fn copy(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let Slab { bytes: held, most } = &mut *lock(&self.0);
        // Memory that is short is needed elsewhere.
        if held.capacity() == 0 && held.try_reserve_exact(*most).is_err() {
            *most = 0;
        }
        let start = held.len();
        let end = start.checked_add(bytes.len()).filter(|end| end <= most)?;
        held.extend_from_slice(bytes);
        Some(start..end)
    }

    fn read(&self, part: Range<usize>, into: &mut [u8]) -> bool {
        match lock(&self.0).bytes.get(part) {
            Some(held) if held.len() == into.len() => {
                into.copy_from_slice(held);
                true
            }
            _ => false,
        }
    }
}

/// A file, and the parts of it that are kept.
pub(super) struct Held {
    bytes: Mutex<Bytes>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    room: Option<Room>,
    /// By where they begin in the file, where they lie in the room.
    parts: HashMap<u64, Range<usize>>,
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
        *lock(&self.kept) = Kept {
            room: Some(room.clone()),
            parts: HashMap::new(),
        };
    }

    /// Reads as many bytes as `into` has, from `start` on.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or ends before.
    pub(super) fn read_at(&self, start: u64, into: &mut [u8]) -> Result<()> {
        let mut kept = lock(&self.kept);
        let Kept { room, parts } = &mut *kept;
        if let (Some(room), Some(part)) = (room.as_ref(), parts.get(&start))
            && room.read(part.clone(), into)
        {
            return Ok(());
        }
        self.read(start, into)
            .map_err(|error| Error::failed(format!("cannot be read: {error}")))?;
        if let Some(part) = room.as_ref().and_then(|room| room.copy(into)) {
            parts.insert(start, part);
        }
        Ok(())
    }

    fn read(&self, start: u64, into: &mut [u8]) -> io::Result<()> {
        let mut bytes = lock(&self.bytes);
        bytes.seek(SeekFrom::Start(start))?;
        bytes.read_exact(into)
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
        held.keep(&Room::new(3));
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

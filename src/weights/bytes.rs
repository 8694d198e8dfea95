//! Bytes that are read from anywhere: an open file, or memory. The readers of formats take these, so that they read both.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom},
    path::Path,
};

use crate::{
    error::{Error, Result},
    files,
};

/// An open file, or bytes in memory.
pub(crate) enum Bytes {
    File(File),
    Memory(Cursor<Cow<'static, [u8]>>),
}

impl Bytes {
    /// Opens a file; pipes and devices are refused.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        files::open(path).map(Self::File)
    }

    /// How many there are.
    pub(crate) fn length(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Memory(bytes) => Ok(bytes.get_ref().len() as u64),
        }
    }

    /// The first of them, at most `most`; what is read next begins with them again.
    pub(super) fn start(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut start = Vec::with_capacity(most);
        self.rewind()?;
        self.by_ref().take(most as u64).read_to_end(&mut start)?;
        self.rewind()?;
        Ok(start)
    }
}

impl Read for Bytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(into),
            Self::Memory(bytes) => bytes.read(into),
        }
    }
}

impl Seek for Bytes {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(to),
            Self::Memory(bytes) => bytes.seek(to),
        }
    }
}

/// Zeros for so many bytes, or an error where there is no memory for them: a size from a file never ends the program.
pub(super) fn room(bytes: usize) -> Result<Vec<u8>> {
    let mut room = Vec::new();
    room.try_reserve_exact(bytes).map_err(|_| no_memory(bytes))?;
    room.resize(bytes, 0);
    Ok(room)
}

/// Asks whether there is memory for so many bytes more, without keeping it: what computes with tensors asks for memory in
/// ways that end the program where there is none.
pub(super) fn ask_memory(bytes: usize) -> Result<()> {
    Vec::<u8>::new().try_reserve_exact(bytes).map_err(|_| no_memory(bytes))
}

fn no_memory(bytes: usize) -> Error {
    Error::failed(format!("there is not enough memory for its {bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_memory_than_there_is_is_an_error() {
        assert_eq!(room(3).map(|bytes| bytes.len()), Ok(3));
        assert!(ask_memory(3).is_ok());
        let most = isize::MAX as usize;
        for refusal in [room(most).map(drop), ask_memory(most)] {
            assert!(refusal.is_err_and(|error| error.to_string().contains("not enough memory")));
        }
    }

    #[test]
    fn the_start_is_read_again() -> io::Result<()> {
        let mut bytes = Bytes::Memory(Cursor::new(Cow::Borrowed(b"abc")));
        assert_eq!(bytes.start(2)?, b"ab");
        let mut all = Vec::new();
        bytes.read_to_end(&mut all)?;
        assert_eq!((all.as_slice(), bytes.length()?), (b"abc".as_slice(), 3));
        Ok(())
    }
}

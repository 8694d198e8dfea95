//! The archive around a checkpoint: a zip whose entries are stored as they are. Its directory is read within bounds; an
//! entry is read when it is asked for, and compared with its checksum where it is read whole.

use std::{
    collections::HashMap,
    io::{Read, Seek, SeekFrom},
};

use flate2::Crc;

use super::damaged;
use crate::{
    error::{Error, Result, clipped},
    weights::bytes::{Bytes, room},
};

/// More entries than there are: one for each tensor, and a few.
const MOST_ENTRIES: usize = 200_000;
/// The longest directory that is read: those of the largest models have under 1 MiB.
const MOST_DIRECTORY: u64 = 16 << 20;

pub(crate) struct Archive {
    entries: HashMap<String, Entry>,
}

/// Bytes in an archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Where what stands before it begins.
    header: u64,
    pub(crate) bytes: u64,
    checksum: u32,
    /// Whether it is neither compressed nor encrypted.
    is_plain: bool,
}

/// Little-endian numbers, one behind the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| damaged("its directory ends in the middle"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u64> {
        let taken = self.take(bytes)?;
        Ok(taken
            .iter()
            .rev()
            .fold(0, |number, byte| number << u8::BITS | u64::from(*byte)))
    }
}

/// Where the directory is, and how many entries it has.
struct Directory {
    entries: u64,
    bytes: u64,
    start: u64,
}

/// Value of a number of two or four bytes where the true one is in the records for large archives.
const ELSEWHERE_2: u64 = 0xffff;
const ELSEWHERE_4: u64 = 0xffff_ffff;

impl Archive {
    /// Reads its directory.
    pub(crate) fn read(bytes: &mut Bytes, length: u64) -> Result<Self> {
        let directory = Directory::find(bytes, length)?;
        let end = directory.start.checked_add(directory.bytes);
        if end.is_none_or(|end| end > length) {
            return Err(damaged("its directory lies behind its end"));
        }
        if directory.bytes > MOST_DIRECTORY || directory.entries > MOST_ENTRIES as u64 {
            return Err(Error::failed(format!(
                "its directory has {} entries in {} bytes, more than any checkpoint's",
                directory.entries, directory.bytes
            )));
        }
        let text = at(bytes, directory.start, directory.bytes as usize)?;
        let mut fields = Fields(&text);
        let mut entries = HashMap::new();
        for _ in 0..directory.entries {
            let (name, entry) = Entry::read(&mut fields)?;
            if let Some(twice) = entries.insert(name, entry).map(|entry| entry.header) {
                return Err(damaged(format!("it has two entries of one name, one at byte {twice}")));
            }
        }
        Ok(Self { entries })
    }

    /// The names of the entries, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The entry of a name, if there is one.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Entry>> {
        match self.entries.get(name) {
            Some(entry) if !entry.is_plain => Err(Error::failed(format!(
                "{} is compressed or encrypted, which is not read",
                clipped(name)
            ))),
            found => Ok(found.copied()),
        }
    }
}

impl Directory {
    /// Looks at the end of the file, where the archive says where its directory is.
    fn find(bytes: &mut Bytes, length: u64) -> Result<Self> {
        const MARK: &[u8] = b"PK\x05\x06";
        const LARGE_MARK: &[u8] = b"PK\x06\x06";
        const LARGE_AT: &[u8] = b"PK\x06\x07";
        const BYTES: u64 = 22;
        const LARGE_AT_BYTES: u64 = 20;
        const LARGE_BYTES: usize = 56;
        /// A comment may follow.
        const MOST_COMMENT: u64 = 0xffff;
        let tail_bytes = length.min(BYTES + MOST_COMMENT);
        let tail_start = length - tail_bytes;
        let tail = at(bytes, tail_start, tail_bytes as usize)?;
        let position = tail
            .windows(MARK.len())
            .rposition(|window| window == MARK)
            .ok_or_else(|| damaged("its end, where the directory is, is missing"))?;
        let mut fields = Fields(&tail[position + MARK.len()..]);
        // Numbers of disks, and of the entries on this one.
        fields.take(6)?;
        let found = Self {
            entries: fields.number(2)?,
            bytes: fields.number(4)?,
            start: fields.number(4)?,
        };
        let comment = fields.number(2)?;
        fields.take(comment as usize)?;
        let is_large = found.entries == ELSEWHERE_2 || found.bytes == ELSEWHERE_4 || found.start == ELSEWHERE_4;
        let Some(locator) = (tail_start + position as u64)
            .checked_sub(LARGE_AT_BYTES)
            .filter(|_| is_large)
        else {
            return Ok(found);
        };
        let text = at(bytes, locator, LARGE_AT_BYTES as usize)?;
        let mut fields = Fields(&text);
        if fields.take(4)? != LARGE_AT {
            // The numbers only look as if they were elsewhere.
            return Ok(found);
        }
        fields.take(4)?;
        let text = at(bytes, fields.number(8)?, LARGE_BYTES)?;
        let mut fields = Fields(&text);
        if fields.take(4)? != LARGE_MARK {
            return Err(damaged("the record of its directory is missing"));
        }
        // Length, versions, disks, and the entries on this one.
        fields.take(28)?;
        Ok(Self {
            entries: fields.number(8)?,
            bytes: fields.number(8)?,
            start: fields.number(8)?,
        })
    }
}

impl Entry {
    /// Reads one from the directory, with its name.
    fn read(fields: &mut Fields<'_>) -> Result<(String, Self)> {
        const MARK: &[u8] = b"PK\x01\x02";
        const ENCRYPTED: u64 = 1;
        if fields.take(4)? != MARK {
            return Err(damaged("an entry of its directory is none"));
        }
        // Versions.
        fields.take(4)?;
        let is_encrypted = fields.number(2)? & ENCRYPTED != 0;
        let method = fields.number(2)?;
        // Time.
        fields.take(4)?;
        let checksum = fields.number(4)? as u32;
        let stored = fields.number(4)?;
        let size = fields.number(4)?;
        let [name, more, comment] =
            [fields.number(2)?, fields.number(2)?, fields.number(2)?].map(|bytes| bytes as usize);
        // Disk and attributes.
        fields.take(8)?;
        let header = fields.number(4)?;
        let name = String::from_utf8_lossy(fields.take(name)?).into_owned();
        let [size, stored, header] = Self::large(fields.take(more)?, [size, stored, header])?;
        fields.take(comment)?;
        let entry = Self {
            header,
            bytes: size,
            checksum,
            is_plain: method == 0 && !is_encrypted && size == stored,
        };
        Ok((name, entry))
    }

    /// The numbers that do not fit into four bytes, from the extra field of large archives.
    fn large(more: &[u8], mut numbers: [u64; 3]) -> Result<[u64; 3]> {
        const LARGE: u64 = 1;
        let mut fields = Fields(more);
        while fields.0.len() >= 4 {
            let (kind, length) = (fields.number(2)?, fields.number(2)?);
            let mut inner = Fields(fields.take(length as usize)?);
            if kind == LARGE {
                for number in numbers.iter_mut().filter(|number| **number == ELSEWHERE_4) {
                    *number = inner.number(8)?;
                }
                break;
            }
        }
        Ok(numbers)
    }

    /// Reads `length` bytes from byte `skip` on; the whole is compared with its checksum.
    pub(crate) fn load(&self, bytes: &mut Bytes, skip: u64, length: usize) -> Result<Vec<u8>> {
        const MARK: &[u8] = b"PK\x03\x04";
        const HEADER_BYTES: usize = 30;
        if skip.checked_add(length as u64).is_none_or(|end| end > self.bytes) {
            return Err(damaged("more was asked of an entry than it has"));
        }
        let text = at(bytes, self.header, HEADER_BYTES)?;
        let mut fields = Fields(&text);
        if fields.take(4)? != MARK {
            return Err(damaged("an entry is not where its directory says"));
        }
        fields.take(22)?;
        let before = HEADER_BYTES as u64 + fields.number(2)? + fields.number(2)?;
        let start = self
            .header
            .checked_add(before)
            .and_then(|start| start.checked_add(skip));
        let start = start.ok_or_else(|| damaged("an entry lies behind its end"))?;
        let found = at(bytes, start, length)?;
        if length as u64 == self.bytes {
            let mut checksum = Crc::new();
            checksum.update(&found);
            if checksum.sum() != self.checksum {
                return Err(damaged("the checksum of an entry differs"));
            }
        }
        Ok(found)
    }
}

/// Reads `length` bytes from `start` on.
fn at(bytes: &mut Bytes, start: u64, length: usize) -> Result<Vec<u8>> {
    let held = bytes.length().map_err(damaged)?;
    if start.checked_add(length as u64).is_none_or(|end| end > held) {
        return Err(damaged("it ends too early"));
    }
    let mut found = room(length)?;
    bytes.seek(SeekFrom::Start(start)).map_err(damaged)?;
    bytes.read_exact(&mut found).map_err(damaged)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, io::Cursor};

    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    fn read(bytes: &[u8]) -> Result<Archive> {
        let mut bytes = Bytes::Memory(Cursor::new(Cow::Owned(bytes.to_vec())));
        let length = bytes.length().map_err(damaged)?;
        Archive::read(&mut bytes, length)
    }

    /// An end of an archive that points to a directory.
    fn end(entries: u16, bytes: u32, start: u32) -> Vec<u8> {
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend([entries.to_le_bytes(), entries.to_le_bytes()].concat());
        end.extend([bytes.to_le_bytes(), start.to_le_bytes()].concat());
        end.extend([0, 0]);
        end
    }

    #[test]
    fn a_directory_beyond_any_is_not_read() -> TestResult {
        assert_eq!(read(&end(0, 0, 0))?.names().count(), 0);
        for bytes in [
            b"".to_vec(),
            b"PK".to_vec(),
            end(1, 0, 0),
            end(1, 100, 0),
            end(0, u32::MAX - 1, 0),
            end(0, 0, u32::MAX - 1),
            end(u16::MAX, 0, 0),
        ] {
            assert!(read(&bytes).is_err(), "{bytes:?}");
        }
        // Of a large archive: the record, where it is, and the end that refers to it.
        let large = |entries: u64, bytes: u64| {
            let mut all = b"PK\x06\x06".to_vec();
            all.extend([0; 28]);
            all.extend([entries.to_le_bytes(), bytes.to_le_bytes(), 0_u64.to_le_bytes()].concat());
            all.extend(b"PK\x06\x07\0\0\0\0");
            all.extend(0_u64.to_le_bytes());
            all.extend([1, 0, 0, 0]);
            all.extend(end(u16::MAX, u32::MAX, u32::MAX));
            all
        };
        assert_eq!(read(&large(0, 0))?.names().count(), 0);
        let many = read(&large(1 << 40, 0)).err().ok_or("it was read")?.to_string();
        assert!(many.contains("more than any checkpoint's"), "{many}");
        assert!(read(&large(1, 1 << 40)).is_err());
        Ok(())
    }
}

//! Numbers and texts of a header, read within a bound: nothing is allocated before the bytes for it are known to be there.

use std::io::{BufRead, BufReader, Read};

use super::super::bytes::Bytes;
use crate::error::clipped;

/// The longest header that is read: those of the largest models, with the vocabulary of a text encoder, have a few MiB.
pub(super) const MOST_HEADER_BYTES: u64 = 16 << 20;
/// Bytes of a longer text than any is.
const MOST_TEXT_BYTES: u64 = 1 << 20;

/// A header that is being read.
pub(super) struct Reader<'a> {
    inner: BufReader<std::io::Take<&'a mut Bytes>>,
    /// Bytes read so far.
    at: u64,
    /// Where the file or what is read of it ends.
    end: u64,
}

impl<'a> Reader<'a> {
    /// Of a file of `length` bytes, from its beginning.
    pub(super) fn new(bytes: &'a mut Bytes, length: u64) -> Self {
        let end = length.min(MOST_HEADER_BYTES);
        Self {
            inner: BufReader::new(bytes.take(end)),
            at: 0,
            end,
        }
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Claims so many bytes, or says that they are not there.
    fn claim(&mut self, count: u64) -> Result<(), String> {
        let left = self.end - self.at;
        if count > left {
            return Err(match self.end {
                MOST_HEADER_BYTES => format!("its header has more than {MOST_HEADER_BYTES} bytes"),
                end => format!(
                    "it is cut off after {end} bytes, or damaged: {count} more were expected at byte {}",
                    self.at
                ),
            });
        }
        self.at += count;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.claim(N as u64)?;
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of things that each take `least` bytes or more.
    pub(super) fn count(&mut self, what: &str, most: usize, least: u64) -> Result<usize, String> {
        let count = self.u64()?;
        let fits = count
            .checked_mul(least)
            .is_some_and(|bytes| bytes <= self.end - self.at);
        match usize::try_from(count) {
            Ok(number) if number <= most && fits => Ok(number),
            _ => Err(format!(
                "it says that it has {count} {what}, which it cannot: it is cut off or damaged"
            )),
        }
    }

    /// A text of at most `most` bytes.
    pub(super) fn text(&mut self, what: &str, most: usize) -> Result<String, String> {
        let length = self.u64()?;
        if length > most as u64 {
            return Err(format!("{what} has {length} bytes, more than {most}"));
        }
        self.claim(length)?;
        let mut bytes = vec![0; length as usize];
        self.inner.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| {
            let shown = String::from_utf8_lossy(error.as_bytes()).into_owned();
            format!("{what} is no UTF-8: {}", clipped(&shown))
        })
    }

    /// Passes over a text.
    pub(super) fn pass_text(&mut self) -> Result<(), String> {
        let length = self.u64()?;
        if length > MOST_TEXT_BYTES {
            return Err(format!("a text has {length} bytes, more than {MOST_TEXT_BYTES}"));
        }
        self.pass(length)
    }

    /// Passes over so many bytes.
    pub(super) fn pass(&mut self, count: u64) -> Result<(), String> {
        self.claim(count)?;
        let mut left = count as usize;
        while left > 0 {
            let held = self
                .inner
                .fill_buf()
                .map_err(|error| error.to_string())?
                .len()
                .min(left);
            if held == 0 {
                return Err("it ended while it was read".to_owned());
            }
            self.inner.consume(held);
            left -= held;
        }
        Ok(())
    }
}

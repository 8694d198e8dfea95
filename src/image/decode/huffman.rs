//! Huffman codes of a JPEG's compressed data, read without keeping what they stand for.

use super::{Fault, standard::MARKER};

/// Longest code.
const MOST_BITS: usize = 16;
/// Codes of up to so many bits are looked up at once.
const QUICK_BITS: usize = 9;

/// After [`MARKER`]: a plain 0xff among the compressed data.
const STUFFED: u8 = 0x00;

#[derive(Clone)]
pub(super) struct Table {
    /// By the next [`QUICK_BITS`] bits: how long the code is, 0 for a longer one, and its symbol.
    quick: Vec<(u8, u8)>,
    /// Of each length: the largest code, none where there is no code of it, and what to add for the symbol's place.
    longest: [Option<(u32, i64)>; MOST_BITS + 1],
    symbols: Vec<u8>,
}

impl Table {
    /// From the number of codes of each length and their symbols. None where the codes do not fit.
    pub fn new(counts: &[u8; MOST_BITS], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            quick: vec![(0, 0); 1 << QUICK_BITS],
            longest: [None; MOST_BITS + 1],
            symbols: symbols.to_vec(),
        };
        let mut code = 0_u32;
        let mut place = 0_usize;
        for (length, &count) in (1..=MOST_BITS).zip(counts) {
            let count = usize::from(count);
            if count > 0 {
                let end = code + count as u32;
                if end > 1 << length || place + count > symbols.len() {
                    return None;
                }
                table.longest[length] = Some((end - 1, place as i64 - i64::from(code)));
                if length <= QUICK_BITS {
                    let width = 1 << (QUICK_BITS - length);
                    for (number, &symbol) in symbols[place..place + count].iter().enumerate() {
                        let first = (code as usize + number) * width;
                        table.quick[first..first + width].fill((length as u8, symbol));
                    }
                }
                code = end;
                place += count;
            }
            code <<= 1;
        }
        Some(table)
    }
}

/// Reads bits up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte.
    at: usize,
    held: u64,
    /// How many bits are held.
    count: u32,
}

impl<'a> Bits<'a> {
    pub const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            held: 0,
            count: 0,
        }
    }

    /// Where the bytes begin of which no bit was read.
    pub fn end(&self) -> usize {
        // Whole bytes that are held were not needed; those behind 0xff have a zero beside them.
        let mut at = self.at;
        for _ in 0..self.count / 8 {
            at = match self.bytes.get(at.saturating_sub(2)..at) {
                Some([MARKER, STUFFED]) => at - 2,
                _ => at.saturating_sub(1),
            };
        }
        at
    }

    /// Goes on behind the restart marker that comes next; false where another marker comes, or none.
    pub(crate) fn restart(&mut self) -> bool {
        const FIRST: u8 = 0xd0;
        const LAST: u8 = 0xd7;
        let at = self.end();
        let rest = self.bytes.get(at..).unwrap_or_default();
        let found = rest
            .windows(2)
            .position(|pair| pair[0] == MARKER && pair[1] != STUFFED && pair[1] != MARKER);
        match found {
            Some(skipped) if (FIRST..=LAST).contains(&rest[skipped + 1]) => {
                *self = Self::new(self.bytes, at + skipped + 2);
                true
            }
            _ => false,
        }
    }

    fn fill(&mut self) {
        const MOST_HELD: u32 = 48;
        while self.count <= MOST_HELD {
            let byte = match self.bytes.get(self.at..) {
                Some([MARKER, STUFFED, ..]) => {
                    self.at += 2;
                    MARKER
                }
                Some([byte, ..]) if *byte != MARKER => {
                    self.at += 1;
                    *byte
                }
                _ => return,
            };
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next `wanted` bits; zeros stand for those that are not there.
    fn peek(&mut self, wanted: usize) -> u32 {
        if (self.count as usize) < wanted {
            self.fill();
        }
        let mask = (1_u64 << wanted) - 1;
        let held = match (self.count as usize).checked_sub(wanted) {
            Some(more) => self.held >> more,
            None => self.held << (wanted - self.count as usize),
        };
        (held & mask) as u32
    }

    fn skip(&mut self, bits: usize) -> Result<(), Fault> {
        match self.count.checked_sub(bits as u32) {
            Some(left) => {
                self.count = left;
                self.held &= (1 << left) - 1;
                Ok(())
            }
            None => Err(Fault::Damaged("its compressed data ends early".to_owned())),
        }
    }

    /// The next bits as a number.
    pub fn take(&mut self, bits: u8) -> Result<u32, Fault> {
        let bits = usize::from(bits).min(MOST_BITS);
        let value = self.peek(bits);
        self.skip(bits)?;
        Ok(value)
    }

    /// The symbol of the next code.
    pub fn symbol(&mut self, table: &Table) -> Result<u8, Fault> {
        let next = self.peek(MOST_BITS);
        let (length, symbol) = table.quick[(next >> (MOST_BITS - QUICK_BITS)) as usize];
        if length > 0 {
            self.skip(usize::from(length))?;
            return Ok(symbol);
        }
        for length in QUICK_BITS + 1..=MOST_BITS {
            let code = next >> (MOST_BITS - length);
            if let Some((last, offset)) = table.longest[length]
                && code <= last
            {
                self.skip(length)?;
                let place = usize::try_from(i64::from(code) + offset).ok();
                return place
                    .and_then(|place| table.symbols.get(place).copied())
                    .ok_or_else(Self::no_code);
            }
        }
        match self.count < MOST_BITS as u32 {
            true => Err(Fault::Damaged("its compressed data ends early".to_owned())),
            false => Err(Self::no_code()),
        }
    }

    fn no_code() -> Fault {
        Fault::Damaged("its compressed data makes no sense".to_owned())
    }
}

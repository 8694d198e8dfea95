//! The directory of a TIFF's first picture: numbered fields, each with a list of numbers.

use crate::image::decode::Fault;

/// Most values of a field: strips or tiles of a picture.
const MOST_VALUES: u64 = 1 << 22;

/// A field by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field(u16);

impl Field {
    pub(crate) const KIND: Self = Self(254);
    pub const WIDTH: Self = Self(256);
    pub const HEIGHT: Self = Self(257);
    pub(crate) const BITS: Self = Self(258);
    pub(crate) const COMPRESSION: Self = Self(259);
    pub(crate) const MEANING: Self = Self(262);
    pub(crate) const FILL_ORDER: Self = Self(266);
    pub(crate) const STRIP_OFFSETS: Self = Self(273);
    pub(crate) const ORIENTATION: Self = Self(274);
    pub const SAMPLES: Self = Self(277);
    pub(crate) const ROWS_PER_STRIP: Self = Self(278);
    pub(crate) const STRIP_BYTES: Self = Self(279);
    pub(crate) const PLANES: Self = Self(284);
    pub(crate) const PREDICTOR: Self = Self(317);
    pub(crate) const PALETTE: Self = Self(320);
    pub(crate) const TILE_WIDTH: Self = Self(322);
    pub(crate) const TILE_HEIGHT: Self = Self(323);
    pub(crate) const TILE_OFFSETS: Self = Self(324);
    pub(crate) const TILE_BYTES: Self = Self(325);
    pub(crate) const SUB_DIRECTORIES: Self = Self(330);
    pub(crate) const EXTRA_SAMPLES: Self = Self(338);
    pub(crate) const SAMPLE_FORMAT: Self = Self(339);
    pub(crate) const JPEG_TABLES: Self = Self(347);
    pub(crate) const DNG_VERSION: Self = Self(50706);
}

/// The first directory.
pub struct Directory<'a> {
    bytes: &'a [u8],
    pub little_endian: bool,
    /// Field, type, number of values, and where these are.
    entries: Vec<(u16, u16, u64, usize)>,
    /// Whether another picture follows.
    pub is_followed: bool,
}

/// Where the order of a file's bytes is known.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    little_endian: bool,
}

impl Reader<'_> {
    /// A number of `length` bytes.
    fn number(self, at: usize, length: usize) -> Result<u64, Fault> {
        let found = at.checked_add(length).and_then(|end| self.bytes.get(at..end));
        let found =
            found.ok_or_else(|| Fault::Damaged(format!("its header names byte {at}, it has {}", self.bytes.len())))?;
        let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Ok(match self.little_endian {
            true => found.iter().rev().fold(0, fold),
            false => found.iter().fold(0, fold),
        })
    }

    fn place(self, at: usize, length: usize) -> Result<usize, Fault> {
        Ok(usize::try_from(self.number(at, length)?).unwrap_or(usize::MAX))
    }
}

/// Bytes of a value of a type; none of types that are no whole numbers.
const fn value_bytes(kind: u16) -> Option<usize> {
    match kind {
        // BYTE, SBYTE and UNDEFINED.
        1 | 6 | 7 => Some(1),
        // SHORT and SSHORT.
        3 | 8 => Some(2),
        // LONG, SLONG and IFD.
        4 | 9 | 13 => Some(4),
        // LONG8, SLONG8 and IFD8.
        16..=18 => Some(8),
        _ => None,
    }
}

impl<'a> Directory<'a> {
    pub fn first(bytes: &'a [u8]) -> Result<Self, Fault> {
        const BIG: u8 = b'+';
        let little_endian = bytes.first() == Some(&b'I');
        let big = bytes.get(2..4).is_some_and(|version| version.contains(&BIG));
        let reader = Reader { bytes, little_endian };
        // Bytes of an offset, of the number of entries, and of an entry.
        let (offset_bytes, count_bytes, entry_bytes) = if big { (8, 8, 20) } else { (4, 2, 12) };
        let at = reader.place(if big { 8 } else { 4 }, offset_bytes)?;
        let count = reader.place(at, count_bytes)?;
        let first = at + count_bytes;
        let fits = count
            .checked_mul(entry_bytes)
            .and_then(|length| length.checked_add(first))
            .is_some_and(|end| end <= bytes.len());
        if !fits {
            return Err(Fault::Damaged(format!("its directory of {count} fields is not whole")));
        }
        let mut entries = Vec::new();
        for number in 0..count {
            let entry = first + number * entry_bytes;
            let field = reader.number(entry, 2)? as u16;
            let kind = reader.number(entry + 2, 2)? as u16;
            let values = reader.number(entry + 4, offset_bytes)?;
            let value_at = entry + 4 + offset_bytes;
            let length = value_bytes(kind).map(|length| values.saturating_mul(length as u64));
            let at = match length {
                Some(length) if length <= offset_bytes as u64 => value_at,
                _ => reader.place(value_at, offset_bytes)?,
            };
            entries.push((field, kind, values, at));
        }
        let next = reader.number(first + count * entry_bytes, offset_bytes);
        Ok(Self {
            bytes,
            little_endian,
            entries,
            is_followed: next.is_ok_and(|next| next > 0),
        })
    }

    pub fn has(&self, field: Field) -> bool {
        self.entries.iter().any(|(number, ..)| *number == field.0)
    }

    /// The first value of a field that is there.
    pub fn one(&self, field: Field) -> Result<Option<u64>, Fault> {
        Ok(self.values(field, 1)?.first().copied())
    }

    /// Every value of a field; none where it is not there.
    pub fn many(&self, field: Field) -> Result<Vec<u64>, Fault> {
        self.values(field, u64::MAX)
    }

    fn values(&self, field: Field, most: u64) -> Result<Vec<u64>, Fault> {
        let Some((_, kind, count, at)) = self.entries.iter().find(|(number, ..)| *number == field.0) else {
            return Ok(Vec::new());
        };
        let length = value_bytes(*kind)
            .ok_or_else(|| Fault::Damaged(format!("field {} of its directory is no whole number", field.0)))?;
        let end = count
            .checked_mul(length as u64)
            .and_then(|length| length.checked_add(*at as u64));
        if end.is_none_or(|end| end > self.bytes.len() as u64) {
            return Err(Fault::Damaged(format!(
                "the {count} values of its field {} are not there",
                field.0
            )));
        }
        let reader = Reader {
            bytes: self.bytes,
            little_endian: self.little_endian,
        };
        if (*count).min(most) > MOST_VALUES {
            return Err(Fault::TooLarge(format!(
                "field {} of its directory has {count} values",
                field.0
            )));
        }
        let wanted = (*count).min(most) as usize;
        (0..wanted)
            .map(|number| reader.number(at + number * length, length))
            .collect()
    }

    /// The bytes of a field; none where it is not there.
    pub fn bytes(&self, field: Field) -> Result<&'a [u8], Fault> {
        let Some((_, _, count, at)) = self.entries.iter().find(|(number, ..)| *number == field.0) else {
            return Ok(&[]);
        };
        let end = usize::try_from(*count).ok().and_then(|count| count.checked_add(*at));
        end.and_then(|end| self.bytes.get(*at..end))
            .ok_or_else(|| Fault::Damaged(format!("the bytes of its field {} are not there", field.0)))
    }
}

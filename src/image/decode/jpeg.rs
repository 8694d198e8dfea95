//! Whether all of a JPEG's picture is there, and what its file lacks beside it. In: the bytes of a file. Out: bytes that a
//! decoder reads, with tables and end marker.
//!
//! A decoder fills what is missing with grey and calls it a picture. Where the compressed data ends is known only to who
//! reads its codes, so they are read here, and counted.

use std::borrow::Cow;

use ::image::metadata::Orientation;

use super::{
    Fault,
    canvas::{check_held, pixels, zeros},
    check_promise,
    huffman::{Bits, Table},
    standard::{DHT, MARKER, TableKind, standard, standard_segment},
};
use crate::geometry::Size;

/// After [`MARKER`]: a plain 0xff among the compressed data.
const STUFFED: u8 = 0x00;
/// Markers without a length: TEM and the restart markers.
const TEM: u8 = 0x01;
const RST_FIRST: u8 = 0xd0;
const RST_LAST: u8 = 0xd7;
/// Start and end of the image, start of a scan.
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
/// How often codes restart, and what a frame is.
const DRI: u8 = 0xdd;
const BASELINE: u8 = 0xc0;
const EXTENDED: u8 = 0xc1;
const PROGRESSIVE: u8 = 0xc2;
/// Frames of other kinds.
const OTHER_FRAMES: [u8; 10] = [0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf];

/// Numbers of a block, and samples along its side.
const BLOCK: usize = 64;
const SIDE: usize = 8;
/// Tables of a kind.
const TABLES: usize = 4;
/// Scans that may stand in a file: a progressive picture has about ten.
const MOST_SCANS: usize = 256;
/// Most pixels that one byte can hold: each 8 x 8 block of the finest channel takes at least one bit.
const PIXELS_PER_BYTE: u64 = 8 * 64;

/// A JPEG that is whole.
pub(super) struct Whole<'a> {
    /// With an end marker, and with the tables that its codes need.
    pub bytes: Cow<'a, [u8]>,
    /// The missing part of the file, in words.
    pub notes: Vec<String>,
    /// Whether the picture comes in several scans, which a decoder holds.
    pub progressive: bool,
}

/// Checks that every block of the picture is there.
pub(super) fn whole(bytes: &[u8]) -> Result<Whole<'_>, Fault> {
    let mut reading = Reading {
        length: bytes.len(),
        ..Reading::default()
    };
    // Where the picture is whole, if it is: behind its last scan.
    let mut whole_at = None;
    let mut at = 0;
    let mut end = None;
    while let Some((marker, after)) = next_marker(bytes, at) {
        if let Some(whole_at) = whole_at
            && marker != EOI
            && (marker == SOI || after != whole_at + 2)
        {
            // What stands behind the picture is another one, or no marker, and may be anything.
            break;
        }
        at = match marker {
            EOI => {
                end = Some(after);
                break;
            }
            SOI | TEM | RST_FIRST..=RST_LAST => after,
            _ => {
                let Some((segment, after)) = segment(bytes, after) else {
                    break;
                };
                match marker {
                    SOS => {
                        let after = reading.scan(segment, bytes, after)?;
                        if reading.is_whole() {
                            whole_at = Some(after);
                        }
                        after
                    }
                    _ => {
                        reading.table_or_frame(marker, segment)?;
                        after
                    }
                }
            }
        };
    }
    let mut notes = Vec::new();
    let kept = match (end, whole_at) {
        (Some(end), _) if reading.is_shown() => {
            if end < bytes.len() {
                notes.push(format!("{} bytes behind its end are not read", bytes.len() - end));
            }
            &bytes[..end]
        }
        (None, Some(whole_at)) => {
            let more = match bytes.len() - whole_at {
                0 => String::new(),
                more => format!(", and {more} bytes behind it are not read"),
            };
            notes.push(format!("its end marker is missing{more}; every row is there"));
            &bytes[..whole_at]
        }
        _ => {
            return Err(Fault::Damaged(format!(
                "its picture is not whole: it ends after {} bytes",
                bytes.len()
            )));
        }
    };
    let mut mended = Cow::Borrowed(kept);
    if let Some(first_scan) = reading.first_scan.filter(|_| !reading.supplied.is_empty()) {
        notes.push("it has no Huffman tables: those of motion JPEG are used".to_owned());
        let mut with_tables = kept[..first_scan].to_vec();
        for &(kind, number) in &reading.supplied {
            with_tables.extend_from_slice(&standard_segment(kind, number));
        }
        with_tables.extend_from_slice(&kept[first_scan..]);
        mended = Cow::Owned(with_tables);
    }
    if end.is_none() {
        mended.to_mut().extend_from_slice(&[MARKER, EOI]);
    }
    Ok(Whole {
        bytes: mended,
        notes,
        progressive: reading.progressive,
    })
}

/// The next marker at or after `at`, and where its contents begin. Stray bytes are skipped.
fn next_marker(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let rest = bytes.get(at..)?;
    let pair = rest
        .windows(2)
        .position(|pair| pair[0] == MARKER && pair[1] != STUFFED && pair[1] != MARKER)?;
    Some((rest[pair + 1], at + pair + 2))
}

/// The contents of a segment that says how long it is, and where the next one begins.
fn segment(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let (length, contents) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length)).checked_sub(2)?;
    let contents = contents.get(..length)?;
    Some((contents, at + 2 + length))
}

/// One of a frame's components.
struct Component {
    id: u8,
    /// How many blocks it has in a unit, along a row and a column.
    across: usize,
    down: usize,
    /// Its blocks in the whole picture, as they count where it has a scan of its own.
    columns: usize,
    rows: usize,
    /// Blocks in a row as units hold them.
    stride: usize,
    /// Which numbers of each block are known not to be zero, a bit each; of progressive frames alone.
    known: Vec<u64>,
    /// How many low bits of each number are still to come; none before the first scan of it.
    missing: [Option<u8>; BLOCK],
}

#[derive(Default)]
struct Reading {
    /// Bytes of the file.
    length: usize,
    first: [Option<Table>; TABLES],
    other: [Option<Table>; TABLES],
    /// Units between two restart markers; 0 without.
    restart: usize,
    progressive: bool,
    components: Vec<Component>,
    units: [usize; 2],
    scans: usize,
    /// Where the first scan's marker is.
    first_scan: Option<usize>,
    /// Standard tables that stand for missing ones.
    supplied: Vec<(TableKind, u8)>,
}

struct Scan {
    /// Components, each with its tables.
    parts: Vec<(usize, u8, u8)>,
    from: usize,
    to: usize,
    high: u8,
    low: u8,
}

impl Reading {
    fn table_or_frame(&mut self, marker: u8, segment: &[u8]) -> Result<(), Fault> {
        match marker {
            DHT => self.tables(segment),
            DRI => {
                self.restart = segment
                    .first_chunk::<2>()
                    .map_or(0, |interval| usize::from(u16::from_be_bytes(*interval)));
                Ok(())
            }
            BASELINE | EXTENDED | PROGRESSIVE => self.frame(marker == PROGRESSIVE, segment),
            other if OTHER_FRAMES.contains(&other) => Err(Fault::Unsupported(format!(
                "it is compressed in a way that is rare (frame of kind 0x{other:02x}, such as arithmetic or lossless coding)"
            ))),
            _ => Ok(()),
        }
    }

    fn tables(&mut self, mut segment: &[u8]) -> Result<(), Fault> {
        let damaged = || Fault::Damaged("a Huffman table makes no sense".to_owned());
        while let Some((&which, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or_else(damaged)?;
            let tables = if which >> 4 == 0 {
                &mut self.first
            } else {
                &mut self.other
            };
            let table = tables.get_mut(usize::from(which & 0x0f)).ok_or_else(damaged)?;
            *table = Some(Table::new(counts, symbols).ok_or_else(damaged)?);
            segment = rest;
        }
        Ok(())
    }

    fn frame(&mut self, progressive: bool, segment: &[u8]) -> Result<(), Fault> {
        let damaged = || Fault::Damaged("its frame header makes no sense".to_owned());
        let [bits, height_high, height_low, width_high, width_low, count, listed @ ..] = segment else {
            return Err(damaged());
        };
        if !self.components.is_empty() {
            return Err(Fault::Damaged("it has two frames".to_owned()));
        }
        if *bits != 8 {
            return Err(Fault::Unsupported(format!("its samples have {bits} bits")));
        }
        let height = usize::from(u16::from_be_bytes([*height_high, *height_low]));
        let width = usize::from(u16::from_be_bytes([*width_high, *width_low]));
        let listed = listed.as_chunks::<3>().0;
        if listed.len() != usize::from(*count) || !matches!(listed.len(), 1..=4) || width == 0 || height == 0 {
            return Err(damaged());
        }
        let factors = |component: &[u8; 3]| [component[1] >> 4, component[1] & 0x0f].map(usize::from);
        if listed.iter().flat_map(factors).any(|factor| !matches!(factor, 1..=4)) {
            return Err(damaged());
        }
        let most = |axis: usize| listed.iter().map(|one| factors(one)[axis]).max().unwrap_or(1);
        let [most_across, most_down] = [most(0), most(1)];
        self.units = [width.div_ceil(SIDE * most_across), height.div_ceil(SIDE * most_down)];
        let size = Size::new(width, height);
        // Eight bytes for each 8 x 8 block of at most four components say what is known of it.
        let known = if progressive { pixels(size) / 2 } else { 0 };
        check_held(size, self.length as u64 + known, Orientation::NoTransforms)?;
        check_promise(size, self.length, PIXELS_PER_BYTE)?;
        self.progressive = progressive;
        for component in listed {
            let [across, down] = factors(component);
            let stride = self.units[0] * across;
            let blocks = if progressive { stride * self.units[1] * down } else { 0 };
            self.components.push(Component {
                id: component[0],
                across,
                down,
                columns: (width * across).div_ceil(most_across).div_ceil(SIDE),
                rows: (height * down).div_ceil(most_down).div_ceil(SIDE),
                stride,
                known: zeros(blocks)?,
                missing: [None; BLOCK],
            });
        }
        Ok(())
    }

    /// Whether every component is there, if not to the last bit: a file may leave out what is zero.
    fn is_shown(&self) -> bool {
        !self.components.is_empty() && self.components.iter().all(|component| component.missing[0].is_some())
    }

    /// Whether nothing of the picture is still to come.
    fn is_whole(&self) -> bool {
        let seen = if self.progressive { BLOCK } else { 1 };
        !self.components.is_empty()
            && self
                .components
                .iter()
                .all(|component| component.missing[..seen].iter().all(|missing| *missing == Some(0)))
    }

    /// Reads a scan; gives the place behind it.
    fn scan(&mut self, segment: &[u8], bytes: &[u8], at: usize) -> Result<usize, Fault> {
        let scan = self.scan_header(segment)?;
        self.scans += 1;
        if self.scans > MOST_SCANS {
            return Err(Fault::Unsupported(format!("it has more than {MOST_SCANS} scans")));
        }
        // The marker and the length stand before the segment.
        self.first_scan.get_or_insert(at - segment.len() - 4);
        self.supply(&scan)?;
        let alone = scan.parts.len() == 1;
        let [across, down] = match scan.parts.as_slice() {
            [(one, ..)] => [self.components[*one].columns, self.components[*one].rows],
            _ => self.units,
        };
        let total = across * down;
        let mut bits = Bits::new(bytes, at);
        let mut run = 0;
        for unit in 0..total {
            if self.restart > 0 && unit > 0 && unit % self.restart == 0 {
                run = 0;
                if !bits.restart() {
                    return Err(short(unit, total));
                }
            }
            let [row, column] = [unit / across, unit % across];
            for &(index, first, other) in &scan.parts {
                let component = &mut self.components[index];
                let [wide, high] = if alone {
                    [1, 1]
                } else {
                    [component.across, component.down]
                };
                for y in 0..high {
                    for x in 0..wide {
                        let place = (row * high + y) * component.stride + column * wide + x;
                        let tables = [
                            self.first[usize::from(first)].as_ref(),
                            self.other[usize::from(other)].as_ref(),
                        ];
                        let read = match self.progressive {
                            false => sequential(&mut bits, tables),
                            true => {
                                let known = &mut component.known[place];
                                progressive(&mut bits, tables, &scan, known, &mut run)
                            }
                        };
                        read.map_err(|fault| match fault {
                            Fault::Damaged(found) => Fault::Damaged(format!("{found}, in part {unit} of {total}")),
                            fault => fault,
                        })?;
                    }
                }
            }
        }
        for &(index, ..) in &scan.parts {
            self.components[index].missing[scan.from..=scan.to].fill(Some(scan.low));
        }
        Ok(bits.end())
    }

    fn scan_header(&self, segment: &[u8]) -> Result<Scan, Fault> {
        let damaged = || Fault::Damaged("the header of a scan makes no sense".to_owned());
        let (&count, rest) = segment.split_first().ok_or_else(damaged)?;
        let (listed, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or_else(damaged)?;
        let [from, to, bits, ..] = rest else {
            return Err(damaged());
        };
        let mut parts: Vec<(usize, u8, u8)> = Vec::new();
        for &[id, tables] in listed.as_chunks::<2>().0 {
            let index = self.components.iter().position(|component| component.id == id);
            let part = (index.ok_or_else(damaged)?, tables >> 4, tables & 0x0f);
            let is_new = parts.iter().all(|(other, ..)| *other != part.0);
            if !is_new || usize::from(part.1.max(part.2)) >= TABLES {
                return Err(damaged());
            }
            parts.push(part);
        }
        let scan = match self.progressive {
            true => Scan {
                parts,
                from: usize::from(*from),
                to: usize::from(*to),
                high: bits >> 4,
                low: bits & 0x0f,
            },
            false => Scan {
                parts,
                from: 0,
                to: BLOCK - 1,
                high: 0,
                low: 0,
            },
        };
        let sound = !scan.parts.is_empty()
            && scan.from <= scan.to
            && scan.to < BLOCK
            // First numbers come apart from the others, which come for one component at a time.
            && (!self.progressive || (scan.from > 0 || scan.to == 0) && (scan.from == 0 || scan.parts.len() == 1));
        match sound {
            true => Ok(scan),
            false => Err(damaged()),
        }
    }

    /// Puts the standard tables where a scan needs some that the file does not have, as motion JPEG leaves them out.
    fn supply(&mut self, scan: &Scan) -> Result<(), Fault> {
        let needs_first = scan.from == 0 && scan.high == 0;
        let needs_other = scan.to > 0;
        for &(_, first, other) in &scan.parts {
            for (kind, number, needed) in [
                (TableKind::First, first, needs_first),
                (TableKind::Other, other, needs_other),
            ] {
                let tables = match kind {
                    TableKind::First => &mut self.first,
                    TableKind::Other => &mut self.other,
                };
                let place = &mut tables[usize::from(number)];
                if !needed || place.is_some() {
                    continue;
                }
                if self.progressive || number > 1 || self.scans > 1 {
                    return Err(Fault::Damaged(format!("Huffman table {number} of a scan is not there")));
                }
                let (counts, symbols) = standard(kind, number);
                *place = Table::new(counts, symbols);
                self.supplied.push((kind, number));
            }
        }
        Ok(())
    }
}

fn short(unit: usize, total: usize) -> Fault {
    Fault::Damaged(format!("its compressed data ends early, in part {unit} of {total}"))
}

/// A table that [`Reading::supply`] has made sure of.
fn table(table: Option<&Table>) -> Result<&Table, Fault> {
    table.ok_or_else(|| Fault::Damaged("a Huffman table is not there".to_owned()))
}

/// A block of a sequential frame.
fn sequential(bits: &mut Bits<'_>, [first, other]: [Option<&Table>; 2]) -> Result<(), Fault> {
    let length = bits.symbol(table(first)?)?;
    bits.take(length)?;
    let other = table(other)?;
    let mut at = 1;
    while at < BLOCK {
        let symbol = bits.symbol(other)?;
        let (zeros, length) = (usize::from(symbol >> 4), symbol & 0x0f);
        match (length, zeros) {
            (0, 15) => at += 16,
            (0, _) => break,
            _ => {
                bits.take(length)?;
                at += zeros + 1;
            }
        }
    }
    Ok(())
}

/// A block of one scan of a progressive frame: `known` has the numbers that are not zero, `run` counts the blocks to come
/// of which no further number is.
fn progressive(
    bits: &mut Bits<'_>,
    [first, other]: [Option<&Table>; 2],
    scan: &Scan,
    known: &mut u64,
    run: &mut u32,
) -> Result<(), Fault> {
    if scan.from == 0 {
        match scan.high {
            0 => {
                let length = bits.symbol(table(first)?)?;
                bits.take(length)?;
            }
            _ => {
                bits.take(1)?;
            }
        }
        return Ok(());
    }
    let other = table(other)?;
    let refines = scan.high > 0;
    let mut at = scan.from;
    while *run == 0 && at <= scan.to {
        let symbol = bits.symbol(other)?;
        let (mut zeros, length) = (u32::from(symbol >> 4), symbol & 0x0f);
        if length == 0 && zeros < 15 {
            *run = (1 << zeros) + bits.take(zeros as u8)?;
            break;
        }
        bits.take(length)?;
        if refines {
            // Numbers that are known already get a bit each, those that are zero are counted.
            while at <= scan.to {
                if *known >> at & 1 == 1 {
                    bits.take(1)?;
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                at += 1;
            }
        } else {
            at += zeros as usize;
        }
        if length > 0 && at <= scan.to {
            *known |= 1 << at;
        }
        at += 1;
    }
    if *run > 0 {
        if refines {
            for at in at..=scan.to {
                if *known >> at & 1 == 1 {
                    bits.take(1)?;
                }
            }
        }
        *run -= 1;
    }
    Ok(())
}

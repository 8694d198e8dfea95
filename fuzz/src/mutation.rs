//! libFuzzer's mutations, after which checksums and lengths are made right again in most inputs: a reader that compares them first would
//! see little else.

use libfuzzer_sys::fuzzer_mutate;

/// One of so many inputs keeps what is wrong in it.
const KEPT_WRONG: u32 = 8;

/// Mutates an input; then `repair` makes right what it knows.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32, repair: impl FnOnce(&mut [u8])) -> usize {
    let size = fuzzer_mutate(data, size, max_size);
    if !seed.is_multiple_of(KEPT_WRONG) {
        repair(&mut data[..size]);
    }
    size
}

fn big_endian(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*word) as usize)
}

fn little_endian(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*word) as usize)
}

/// The checksum of every chunk of a PNG.
pub fn repair_png(bytes: &mut [u8]) {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    /// Length and kind of a chunk come before its contents, the checksum behind them.
    const KIND_AT: usize = 4;
    const CONTENTS_AT: usize = 8;
    const CHECKSUM: usize = 4;
    if !bytes.starts_with(SIGNATURE) {
        return;
    }
    let mut at = SIGNATURE.len();
    while let Some(length) = big_endian(bytes, at) {
        let end = at + CONTENTS_AT + length;
        let Some(contents) = bytes.get(at + KIND_AT..end) else {
            return;
        };
        let checksum = crc32fast::hash(contents);
        let Some(place) = bytes.get_mut(end..end + CHECKSUM) else {
            return;
        };
        place.copy_from_slice(&checksum.to_be_bytes());
        at = end + CHECKSUM;
    }
}

/// The checksum of every entry that a zip archive stores as it is.
pub fn repair_zip(bytes: &mut [u8]) {
    const DIRECTORY_ENTRY: &[u8] = b"PK\x01\x02";
    /// Where an entry of the directory has its checksum, its length and where it lies; where the entry itself has its checksum, the
    /// lengths of what comes before its contents, and how long all else is.
    const CHECKSUM_AT: usize = 16;
    const LENGTH_AT: usize = 24;
    const PLACE_AT: usize = 42;
    const OWN_CHECKSUM_AT: usize = 14;
    const NAME_LENGTH_AT: usize = 26;
    const OWN_HEAD: usize = 30;
    let directory: Vec<usize> = bytes
        .windows(DIRECTORY_ENTRY.len())
        .enumerate()
        .filter(|(_, window)| *window == DIRECTORY_ENTRY)
        .map(|(at, _)| at)
        .collect();
    for entry in directory {
        let checksum = || {
            let place = little_endian(bytes, entry + PLACE_AT)?;
            let names = little_endian(bytes, place + NAME_LENGTH_AT)?;
            let start = place + OWN_HEAD + (names & 0xffff) + (names >> 16);
            let contents = bytes.get(start..start + little_endian(bytes, entry + LENGTH_AT)?)?;
            Some((place, crc32fast::hash(contents).to_le_bytes()))
        };
        let Some((place, checksum)) = checksum() else { continue };
        for at in [entry + CHECKSUM_AT, place + OWN_CHECKSUM_AT] {
            if let Some(place) = bytes.get_mut(at..at + checksum.len()) {
                place.copy_from_slice(&checksum);
            }
        }
    }
}

/// The length of a safetensors header: up to the last brace.
pub fn repair_safetensors(bytes: &mut [u8]) {
    const LENGTH: usize = 8;
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'}') else {
        return;
    };
    if let Some(header) = (end + 1).checked_sub(LENGTH) {
        bytes[..LENGTH].copy_from_slice(&(header as u64).to_le_bytes());
    }
}

/// The length of the message between engine and worker: all that follows.
pub fn repair_message(bytes: &mut [u8]) {
    const LENGTH_AT: usize = 4;
    const HEAD: usize = 8;
    if let Some(length) = bytes.len().checked_sub(HEAD) {
        bytes[LENGTH_AT..HEAD].copy_from_slice(&(length as u32).to_le_bytes());
    }
}

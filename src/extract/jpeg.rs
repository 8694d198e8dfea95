//! Whether a JPEG is whole. In: the bytes of a file. Out: a yes or no that `image` turns into a message.

/// First byte of every marker.
const MARKER: u8 = 0xFF;
/// After [`MARKER`]: a plain 0xFF among the compressed data.
const STUFFED: u8 = 0x00;
/// Markers without a length: TEM and the restart markers, which also occur among compressed data.
const TEM: u8 = 0x01;
const RST_FIRST: u8 = 0xD0;
const RST_LAST: u8 = 0xD7;
/// Start and end of the image, start of a scan.
const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;

/// True if at least one scan and then the end marker are met outside of every segment: a thumbnail's end marker lies
/// inside one and does not count.
pub(super) fn reaches_its_end(bytes: &[u8]) -> bool {
    let mut at = 0;
    let mut scans = 0;
    while let Some((marker, after)) = next_marker(bytes, at) {
        at = match marker {
            EOI => return scans > 0,
            SOI | TEM | RST_FIRST..=RST_LAST => after,
            _ => {
                scans += usize::from(marker == SOS);
                match bytes.get(after..after + 2) {
                    Some(&[high, low]) => after + usize::from(u16::from_be_bytes([high, low])).max(2),
                    _ => return false,
                }
            }
        };
    }
    false
}

/// The next marker at or after `at`, and where its contents begin. Compressed data and stray bytes are skipped.
fn next_marker(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let rest = bytes.get(at..)?;
    let pair = rest
        .windows(2)
        .position(|pair| pair[0] == MARKER && pair[1] != STUFFED && pair[1] != MARKER)?;
    Some((rest[pair + 1], at + pair + 2))
}

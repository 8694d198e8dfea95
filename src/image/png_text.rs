//! Text inside a PNG: what made a picture goes with it, and needs no file beside it.

use flate2::Crc;

/// The signature, and the first chunk: width, height and kind of pixels.
const BEFORE_TEXT: usize = 8 + 25;

/// A PNG with a text (iTXt, in UTF-8) under a keyword of Latin letters.
pub(crate) fn with_text(png: &[u8], keyword: &str, text: &str) -> Vec<u8> {
    let (before, after) = png.split_at(BEFORE_TEXT.min(png.len()));
    let mut chunk = b"iTXt".to_vec();
    chunk.extend_from_slice(keyword.as_bytes());
    // Ends the keyword; not compressed, by no method; no language; no translated keyword.
    chunk.extend_from_slice(&[0, 0, 0, 0, 0]);
    chunk.extend_from_slice(text.as_bytes());
    let mut crc = Crc::new();
    crc.update(&chunk);
    let length = (chunk.len() - b"iTXt".len()) as u32;
    [before, &length.to_be_bytes(), &chunk, &crc.sum().to_be_bytes(), after].concat()
}

#[cfg(test)]
mod tests {
    use image::ImageFormat;

    use super::*;
    use crate::io::output::write_png;

    #[test]
    fn a_picture_with_a_text_is_the_same_picture() -> Result<(), Box<dyn std::error::Error>> {
        let pixels: Vec<u8> = (0..12).collect();
        let mut png = Vec::new();
        write_png(&mut png, [2, 2], &pixels)?;
        let with = with_text(&png, "featscope", "{\"é\": 1}");
        let read = image::load_from_memory_with_format(&with, ImageFormat::Png)?;
        assert_eq!(read.to_rgb8().into_raw(), pixels);
        // Where the format has it, and whole.
        assert_eq!(&with[33..41], [0, 0, 0, 23, b'i', b'T', b'X', b't']);
        assert_eq!(&with[41..64], "featscope\0\0\0\0\0{\"é\": 1}".as_bytes());
        assert_eq!(&with[68..], &png[33..]);
        Ok(())
    }
}

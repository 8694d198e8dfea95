//! The bytes of a strip or a tile, expanded as they are read.

use std::io::{self, Cursor, Read};

use ::image::{ImageDecoder, codecs::jpeg::JpegDecoder};
use flate2::read::ZlibDecoder;
use weezl::{BitOrder, LzwStatus, decode::Decoder};

use crate::{
    geometry::Size,
    image::decode::{Fault, jpeg},
};

/// How strips are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
    Jpeg,
}

impl Compression {
    pub fn of(number: u64) -> Result<Self, Fault> {
        let name = match number {
            1 => return Ok(Self::None),
            5 => return Ok(Self::Lzw),
            7 => return Ok(Self::Jpeg),
            8 | 32946 => return Ok(Self::Deflate),
            32773 => return Ok(Self::PackBits),
            2..=4 => "a fax machine's code (CCITT)",
            6 => "an old kind of JPEG",
            34712 => "JPEG 2000",
            34925 => "LZMA",
            50000 => "Zstandard",
            50001 => "WebP",
            _ => "a code that is not known",
        };
        Err(Fault::Unsupported(format!(
            "it is compressed with {name} (number {number})"
        )))
    }
}

/// Tables that a strip in JPEG is decoded with.
pub struct JpegStrip<'a> {
    /// Tables that all strips share.
    pub tables: &'a [u8],
    /// Whether its colours are to be converted to RGB.
    pub is_ycbcr: bool,
    /// Samples of a pixel.
    pub samples: usize,
    /// Columns and rows of a whole strip or tile.
    pub size: Size,
}

/// The expanded bytes of a strip or tile.
pub fn open<'a>(
    compression: Compression,
    chunk: &'a [u8],
    strip: JpegStrip<'_>,
    low_bit_first: bool,
) -> Result<Box<dyn Read + 'a>, Fault> {
    if compression == Compression::Jpeg {
        return Ok(Box::new(Cursor::new(picture_of(chunk, &strip)?)));
    }
    let chunk: Box<dyn io::BufRead + 'a> = match low_bit_first {
        true => Box::new(Cursor::new(
            chunk.iter().map(|byte| byte.reverse_bits()).collect::<Vec<_>>(),
        )),
        false => Box::new(chunk),
    };
    Ok(match compression {
        Compression::Deflate => Box::new(ZlibDecoder::new(chunk)),
        Compression::Lzw => Box::new(Lzw {
            decoder: Decoder::with_tiff_size_switch(BitOrder::Msb, 8),
            chunk,
        }),
        Compression::PackBits => Box::new(PackBits {
            chunk,
            literal: 0,
            run: 0,
            byte: 0,
        }),
        Compression::None | Compression::Jpeg => Box::new(chunk),
    })
}

struct Lzw<R> {
    decoder: Decoder,
    chunk: R,
}

impl<R: io::BufRead> Read for Lzw<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let available = self.chunk.fill_buf()?;
            let result = self.decoder.decode_bytes(available, buffer);
            let (read, status) = (result.consumed_in, result.status);
            self.chunk.consume(read);
            match status {
                _ if result.consumed_out > 0 => return Ok(result.consumed_out),
                Ok(LzwStatus::Ok) if read > 0 => {}
                Ok(_) => return Ok(0),
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }
}

/// Runs of a byte, and bytes as they are.
struct PackBits<R> {
    chunk: R,
    literal: usize,
    run: usize,
    byte: u8,
}

impl<R: Read> PackBits<R> {
    fn next(&mut self) -> io::Result<u8> {
        let mut one = [0];
        self.chunk.read_exact(&mut one)?;
        Ok(one[0])
    }
}

impl<R: Read> Read for PackBits<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const NOTHING: u8 = 128;
        let mut done = 0;
        while done < buffer.len() {
            let rest = &mut buffer[done..];
            if self.run > 0 {
                let count = self.run.min(rest.len());
                rest[..count].fill(self.byte);
                self.run -= count;
                done += count;
            } else if self.literal > 0 {
                let count = self.literal.min(rest.len());
                self.chunk.read_exact(&mut rest[..count])?;
                self.literal -= count;
                done += count;
            } else {
                match self.next() {
                    Ok(NOTHING) => {}
                    Ok(head) if head < NOTHING => self.literal = usize::from(head) + 1,
                    Ok(head) => {
                        self.run = 257 - usize::from(head);
                        self.byte = self.next()?;
                    }
                    Err(_) => break,
                }
            }
        }
        Ok(done)
    }
}

/// The samples of a strip that is a JPEG.
fn picture_of(chunk: &[u8], strip: &JpegStrip<'_>) -> Result<Vec<u8>, Fault> {
    /// Says that colours are as they are stored.
    const AS_STORED: [u8; 16] = *b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00";
    const MARKER_BYTES: usize = 2;
    let start = chunk.get(..MARKER_BYTES).unwrap_or_default();
    let mut whole = start.to_vec();
    if !strip.is_ycbcr && strip.samples == 3 {
        whole.extend(AS_STORED);
    }
    // The shared tables are a file of their own, between its marker of the start and that of the end.
    let tables = strip.tables.get(MARKER_BYTES..).unwrap_or_default();
    whole.extend_from_slice(
        tables
            .get(..tables.len().saturating_sub(MARKER_BYTES))
            .unwrap_or_default(),
    );
    whole.extend_from_slice(chunk.get(MARKER_BYTES..).unwrap_or_default());
    let found = jpeg::whole(&whole)?;
    let told = |error: ::image::ImageError| Fault::Damaged(error.to_string());
    let decoder = JpegDecoder::new(Cursor::new(found.bytes.as_ref())).map_err(told)?;
    let (width, height) = decoder.dimensions();
    let bytes = decoder.total_bytes();
    let [width, height] = [width as usize, height as usize];
    if width != strip.size.width || height > strip.size.height || bytes != (width * height * strip.samples) as u64 {
        return Err(Fault::Unsupported(format!(
            "a part of it is a JPEG of {width}x{height} pixels and {bytes} bytes, where {} of {} samples should be",
            strip.size, strip.samples
        )));
    }
    let mut samples = crate::image::decode::canvas::zeros(bytes as usize)?;
    decoder.read_image(&mut samples).map_err(told)?;
    Ok(samples)
}

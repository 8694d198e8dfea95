//! Picture files to 8-bit RGB. In: a path or bytes from the user. Out: upright pixels, and a note about
//! them. [`super::picture::Picture`] calls it.
//!
//! The contents say what a file is, not its name. Palettes, bits and greys become RGB, 16 bits become 8, alpha is composited,
//! CMYK becomes RGB, and the orientation that the file notes is applied, as Pillow does it. Nothing is allocated that the
//! header alone promises: `Canvas` asks the bound first.

mod bitmap;
mod canvas;
mod gif;
mod huffman;
mod image_crate;
mod jpeg;
mod kind;
mod png;
mod pnm;
mod standard;
mod tga;
mod tiff;

use std::{
    io::{self, Read},
    path::Path,
};

use ::image::metadata::Orientation;
pub(crate) use canvas::MAX_HELD_BYTES;
pub(crate) use kind::picture_kind;

use self::kind::{Format, Kind};
use super::picture::Picture;
use crate::{
    error::{Error, Result},
    files,
    geometry::Size,
};

/// Why a picture is not read.
enum Fault {
    /// Bytes are missing or make no sense: what was found.
    Damaged(String),
    /// It is whole, but of a kind that is not read: which.
    Unsupported(String),
    /// Reading it would take more memory than is allowed: how much.
    TooLarge(String),
}

/// Output of a decoder.
struct Decoded {
    /// Width and height as the file has them, before the orientation is applied.
    size: Size,
    /// (height, width, 3), row-major.
    rgb: Vec<u8>,
    orientation: Orientation,
    /// A note for the user: a missing end, further pages.
    notes: Vec<String>,
}

/// Said of a file of which only the first of several pictures is read.
const FIRST_FRAME: &str = "it moves: its first frame is read";
const FIRST_PAGE: &str = "it has several pages: the first is read";

/// Reads a picture file, whatever its name; alpha is composited on `background`.
pub(super) fn read(path: &Path, background: [u8; 3]) -> Result<Picture> {
    let bytes = read_picture_file(path)?;
    decode(&bytes, background, &path.display().to_string())
}

/// Refuses a picture given as something else: `wanted` is that, and what to do with a picture.
pub(crate) fn refuse_as(wanted: &str, path: &Path) -> Result<()> {
    let mut start = Vec::new();
    files::open(path)?
        .take(kind::SIGNATURE_BYTES)
        .read_to_end(&mut start)
        .map_err(|error| Error::io("read", path, &error))?;
    match picture_kind(&start) {
        Some(kind) => Err(Error::failed(format!("{} is {kind}, not {wanted}", path.display()))),
        None => Ok(()),
    }
}

/// Decodes the bytes of a picture file; `label` names them in messages.
pub(super) fn decode(bytes: &[u8], background: [u8; 3], label: &str) -> Result<Picture> {
    let format = supported_format(bytes, bytes, label)?;
    let decoded = match format {
        Format::Png => png::decode(bytes, background),
        Format::Jpeg => image_crate::decode_jpeg(bytes, background),
        Format::WebP => image_crate::decode_webp(bytes, background),
        Format::Bmp => bitmap::decode(bytes, background),
        Format::Gif => gif::decode(bytes, background),
        Format::Tiff => tiff::decode(bytes, background),
        Format::Pnm => pnm::decode(bytes, background),
        Format::Qoi => image_crate::decode_qoi(bytes, background),
        Format::Tga => tga::decode(bytes, background),
    };
    let picture = decoded.and_then(|decoded| {
        let (size, rgb) = canvas::upright(decoded.size, decoded.rgb, decoded.orientation)?;
        Ok((size, rgb, decoded.notes))
    });
    match picture {
        Ok((size, rgb, notes)) => {
            let picture = Picture::from_rgb(size, rgb).map_err(|error| error.context(label))?;
            let note = (!notes.is_empty()).then(|| format!("{label}: {}", notes.join("; ")));
            Ok(picture.with_note(note))
        }
        Err(fault) => Err(explain(&fault, format, bytes.len(), label)),
    }
}

/// A fault in words, with the file and what to do.
fn explain(fault: &Fault, format: Format, length: usize, label: &str) -> Error {
    let (found, advice) = match fault {
        Fault::Damaged(found) => (found, "it is cut off or damaged: get the file again"),
        Fault::Unsupported(found) => (found, "save it as an ordinary PNG"),
        Fault::TooLarge(found) => (found, "scale it down first"),
    };
    Error::failed(format!(
        "cannot read {label} ({}, {length} bytes): {}; {advice}",
        format.name(),
        found.trim_end()
    ))
}

/// The bytes of a file that begins like a picture; anything else is refused after its first few bytes.
fn read_picture_file(path: &Path) -> Result<Vec<u8>> {
    let label = path.display();
    if path.is_dir() {
        return Err(Error::failed(format!(
            "cannot read {label}: it is a folder; name a picture file in it"
        )));
    }
    let unread = |error: io::Error| Error::io("read", path, &error);
    let mut file = files::open(path)?;
    let length = file.metadata().map_err(unread)?.len();
    if length > MAX_HELD_BYTES {
        return Err(Error::failed(format!(
            "cannot read {label}: it has {length} bytes, pictures of up to {MAX_HELD_BYTES} are read; scale it down first"
        )));
    }
    let mut bytes = Vec::new();
    file.by_ref()
        .take(kind::SIGNATURE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(unread)?;
    let footer = kind::footer(&mut file, bytes.len() as u64, length).map_err(unread)?;
    supported_format(&bytes, &footer, &label.to_string())?;
    bytes
        .try_reserve_exact((length as usize).saturating_sub(bytes.len()))
        .map_err(|_| {
            Error::failed(format!(
                "cannot read {label}: there is no memory for its {length} bytes"
            ))
        })?;
    file.take(MAX_HELD_BYTES).read_to_end(&mut bytes).map_err(unread)?;
    Ok(bytes)
}

/// The format by the first bytes, and of TGA, which has no signature, by the last ones (`end` holds those).
fn supported_format(start: &[u8], end: &[u8], label: &str) -> Result<Format> {
    let asked = format!("a picture is needed: {}", kind::READ);
    if start.is_empty() {
        return Err(Error::failed(format!("cannot read {label}: it is empty; {asked}")));
    }
    match kind::of(start, end) {
        Some(Kind::Read(format)) => Ok(format),
        Some(Kind::Picture(name)) => Err(Error::failed(format!(
            "cannot read {label}: it is {name}, which is not read; convert it to PNG first, and give that"
        ))),
        Some(Kind::Other(name)) => Err(Error::failed(format!("cannot read {label}: it is {name}; {asked}"))),
        None => Err(Error::failed(format!(
            "cannot read {label}: its contents are not a picture that is known here; {asked}"
        ))),
    }
}

/// Bytes that a decoder reads from front to back; running out of them is damage.
struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| {
            Fault::Damaged(format!(
                "it ends where {count} more bytes should be, {} are left",
                self.rest.len()
            ))
        })?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let taken = self.take(N)?;
        taken
            .try_into()
            .map_err(|_| Fault::Damaged("its header is cut off".to_owned()))
    }
}

/// Refuses a header that promises more pixels than its bytes can hold, `most` a byte.
fn check_promise(size: Size, bytes: usize, most: u64) -> Result<(), Fault> {
    let pixels = canvas::pixels(size);
    match pixels > most.saturating_mul(bytes as u64) {
        true => Err(Fault::Damaged(format!(
            "it promises {size} pixels but ends after {bytes} bytes"
        ))),
        false => Ok(()),
    }
}

//! Recognises files by their first bytes: pictures that are read, pictures that are not, and files that are no picture.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Jpeg,
    WebP,
    Bmp,
    Gif,
    Tiff,
    Pnm,
    Qoi,
    Tga,
}

impl Format {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Tiff => "TIFF",
            Self::Pnm => "PNM",
            Self::Qoi => "QOI",
            Self::Tga => "TGA",
        }
    }
}

/// The formats that are read, in words.
pub(super) const READ: &str = "PNG, JPEG, WebP, BMP, GIF, TIFF, PNM, QOI or TGA";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A picture that is read.
    Read(Format),
    /// A picture that is not read: what it is.
    Picture(&'static str),
    /// No picture: what it is.
    Other(&'static str),
}

/// Every signature lies within so many first bytes; texts are recognised by what follows.
pub(super) const SIGNATURE_BYTES: u64 = 512;

/// How a TGA of version 2 ends.
pub(super) const TGA_FOOTER: &[u8] = b"TRUEVISION-XFILE.\0";

/// The last bytes of a file that is read up to `at`, which it is read from afterwards.
pub(super) fn footer(file: &mut File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut footer = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(TGA_FOOTER.len() as u64)))?;
    file.by_ref().take(TGA_FOOTER.len() as u64).read_to_end(&mut footer)?;
    file.seek(SeekFrom::Start(at))?;
    Ok(footer)
}

/// Name of the picture format that begins with these bytes, if there is one: "a JPEG picture".
pub(crate) fn picture_kind(start: &[u8]) -> Option<String> {
    match of(start, &[])? {
        Kind::Read(Format::Tga) | Kind::Other(_) => None,
        Kind::Read(format) => Some(format!("a {} picture", format.name())),
        Kind::Picture(name) => Some(name.to_owned()),
    }
}

/// Signatures of what is read.
const READ_SIGNATURES: [(&[u8], Format); 12] = [
    (b"\x89PNG\r\n\x1a\n", Format::Png),
    (b"\xff\xd8\xff", Format::Jpeg),
    (b"GIF87a", Format::Gif),
    (b"GIF89a", Format::Gif),
    (b"II*\0", Format::Tiff),
    (b"MM\0*", Format::Tiff),
    (b"II+\0", Format::Tiff),
    (b"MM\0+", Format::Tiff),
    // Some programs write the number 42 in the other order.
    (b"II\0*", Format::Tiff),
    (b"MM*\0", Format::Tiff),
    (b"qoif", Format::Qoi),
    (b"BM", Format::Bmp),
];

/// Signatures of pictures that are not read.
const OTHER_PICTURES: [(&[u8], &str); 25] = [
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture (JP2)"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture (J2K)"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture (JXL)"),
    (b"\xff\x0a", "a JPEG XL picture (JXL)"),
    (b"8BPS", "a Photoshop picture (PSD)"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "an Encapsulated PostScript file (EPS)"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture (EXR)"),
    (b"#?RADIANCE", "a Radiance picture (HDR)"),
    (b"#?RGBE", "a Radiance picture (HDR)"),
    (b"DDS ", "a DirectDraw picture (DDS)"),
    (b"\0\0\x01\0", "an icon (ICO)"),
    (b"icns", "an icon (ICNS)"),
    (b"gimp xcf", "a GIMP picture (XCF)"),
    (b"farbfeld", "a farbfeld picture"),
    (b"AT&TFORM", "a DjVu document"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile (WMF)"),
    (b"II\xbc", "a JPEG XR picture (JXR)"),
    (b"IIRO", "a camera's raw file (ORF)"),
    (b"IIRS", "a camera's raw file (ORF)"),
    (b"IIU\0", "a camera's raw file (RW2)"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file (RAF)"),
    (b"FOVb", "a camera's raw file (X3F)"),
    (b"SIMPLE  =", "a FITS picture"),
];

/// Signatures of what people give by mistake.
const NO_PICTURES: [(&[u8], &str); 13] = [
    (b"PK\x03\x04", "a zip archive, such as a PyTorch checkpoint"),
    (b"\x80\x02", "a pickle, such as an old PyTorch checkpoint"),
    (b"\x93NUMPY", "an array of NumPy (.npy)"),
    (b"GGUF", "a model in the GGUF format"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x1aE\xdf\xa3", "a video (MKV or WebM)"),
    (b"\x7fELF", "a program"),
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the file itself: get that with `git lfs pull`",
    ),
    (b"{", "JSON"),
];

/// Kind of a file by its first bytes; `end` are its last ones, as far as they are known.
pub(super) fn of(start: &[u8], end: &[u8]) -> Option<Kind> {
    let named = |list: &[(&[u8], &'static str)]| {
        let mut list = list.iter();
        list.find(|(signature, _)| start.starts_with(signature))
            .map(|(_, name)| *name)
    };
    if start.starts_with(b"II*\0") && start.get(8..10) == Some(b"CR") {
        return Some(Kind::Picture("a camera's raw file (CR2)"));
    }
    if let Some((_, format)) = READ_SIGNATURES
        .iter()
        .find(|(signature, _)| start.starts_with(signature))
    {
        return Some(Kind::Read(*format));
    }
    match start {
        [b'P', b'1'..=b'7', next, ..] if next.is_ascii_whitespace() || *next == b'#' => {
            return Some(Kind::Read(Format::Pnm));
        }
        [b'P', b'f' | b'F', b'\n' | b'\r' | b' ', ..] => return Some(Kind::Picture("a picture of floats (PFM)")),
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => return Some(of_brand(brand)),
        _ => {}
    }
    match (start.get(..4), start.get(8..12)) {
        (Some(b"RIFF"), Some(b"WEBP")) => return Some(Kind::Read(Format::WebP)),
        (Some(b"RIFF"), Some(b"AVI ")) => return Some(Kind::Other("a video (AVI)")),
        _ => {}
    }
    if let Some(name) = named(&OTHER_PICTURES) {
        return Some(Kind::Picture(name));
    }
    if let Some(name) = named(&NO_PICTURES) {
        return Some(Kind::Other(name));
    }
    if is_safetensors(start) {
        return Some(Kind::Other(
            "a safetensors file: a model, a LoRA or an output of this program",
        ));
    }
    if end.ends_with(TGA_FOOTER) || super::tga::is_header(start) {
        return Some(Kind::Read(Format::Tga));
    }
    // A TGA may begin with the same bytes.
    if start.starts_with(b"\0\0\x02\0") {
        return Some(Kind::Picture("a cursor (CUR)"));
    }
    of_text(start)
}

/// Kind of a file in ISO's media format, by its brands: the main one, a number, and the compatible ones.
fn of_brand(brand: &[u8]) -> Kind {
    const BRAND_BYTES: usize = 4;
    const MOST_BRANDS: usize = 16;
    let mut brands = brand.chunks_exact(BRAND_BYTES).take(MOST_BRANDS);
    let named = |brand: &[u8]| match brand {
        b"avif" | b"avis" => Some(Kind::Picture("an AVIF picture")),
        b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" => Some(Kind::Picture("an HEIC picture")),
        b"crx " => Some(Kind::Picture("a camera's raw file (CR3)")),
        b"jp2 " | b"jpx " => Some(Kind::Picture("a JPEG 2000 picture (JP2)")),
        _ => None,
    };
    let first = brands.clone().next().unwrap_or_default();
    let general = match first {
        b"mif1" | b"msf1" | b"miaf" => Kind::Picture("an HEIF picture"),
        _ => Kind::Other("a video (MP4 or MOV)"),
    };
    brands.find_map(named).unwrap_or(general)
}

/// A header's length in eight bytes and then its JSON.
fn is_safetensors(start: &[u8]) -> bool {
    start.get(6..9) == Some(&[0, 0, b'{'])
}

/// Kind of a text file.
fn of_text(start: &[u8]) -> Option<Kind> {
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let lower = text.to_ascii_lowercase();
    let has = |word: &[u8]| lower.windows(word.len()).any(|part| part == word);
    if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") {
        return Some(Kind::Other(
            "a web page, not a picture: what was downloaded is not what the link names",
        ));
    }
    let may_be_svg = [&b"<?xml"[..], b"<!doctype svg", b"<!--"]
        .iter()
        .any(|start| lower.starts_with(start));
    if lower.starts_with(b"<svg") || may_be_svg && has(b"<svg") {
        return Some(Kind::Picture("a drawing (SVG)"));
    }
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace() || !byte.is_ascii();
    (!text.is_empty() && start.iter().all(is_text) && start.is_ascii()).then_some(Kind::Other("a text, not a picture"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_is_named() {
        for (start, word) in [
            (&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], "HEIC"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "AVIF"),
            (b"\0\0\0\x1cftypavif\0\0\0\0mif1miaf", "AVIF"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1", "HEIF"),
            (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "CR3"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "JP2"),
            (b"\xff\x4f\xff\x51\0\x2f", "J2K"),
            (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
            (b"\xff\x0a\xfa\x3f", "JXL"),
            (b"8BPS\0\x01", "PSD"),
            (b"%PDF-1.7", "PDF"),
            (b"<?xml version=\"1.0\"?>\n<svg xmlns", "SVG"),
            (b"<svg width", "SVG"),
            (b"<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\"><svg", "SVG"),
            (b"<!-- drawn by hand --><svg", "SVG"),
            (b"II*\0\x10\0\0\0CR\x02\0", "CR2"),
            (b"FUJIFILMCCD-RAW 0201", "RAF"),
            (b"Pf\n2 2\n", "PFM"),
        ] {
            match of(start, &[]) {
                Some(Kind::Picture(name)) => assert!(name.contains(word), "{name} is not {word}"),
                other => panic!("{word} is {other:?}"),
            }
        }
        for (start, word) in [
            (&b"PK\x03\x04\x14\0"[..], "zip"),
            (b"\x80\x02}q\0", "pickle"),
            (b"\x10\x01\0\0\0\0\0\0{\"__metadata__\"", "safetensors"),
            (b"\x93NUMPY\x01\0", "NumPy"),
            (b"<!DOCTYPE html><html>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1", "LFS"),
            (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2", "video"),
            (b"RIFF\0\0\0\0AVI LIST", "video"),
            (b"a shopping list", "text"),
        ] {
            match of(start, &[]) {
                Some(Kind::Other(name)) => assert!(name.contains(word), "{name} is not {word}"),
                other => panic!("{word} is {other:?}"),
            }
        }
        assert_eq!(of(b"\x01\x02\x03\xff", &[]), None);
    }
}

//! Recognises files of weights by their first bytes: names lie.

/// Bytes that a file is recognised by.
pub(super) const START_BYTES: usize = 64;

/// The formats of weights that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    /// A length in eight bytes, and a JSON object.
    Safetensors,
    /// PyTorch's archive, since 1.6.
    Zip,
    /// PyTorch's stream of pickles, before 1.6.
    Pickle,
    /// llama.cpp's format, with quantised weights.
    Gguf,
}

/// Format of a file that begins so; the error names what else it seems to be.
pub(super) fn contents(start: &[u8]) -> Result<Contents, String> {
    /// Where the header of a safetensors file begins.
    const HEADER: usize = 8;
    const GGUF: &[u8] = b"GGUF";
    const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
    /// The first opcode of a pickle, and the highest protocol.
    const PROTOCOL: u8 = 0x80;
    const HIGHEST: u8 = 5;
    match start {
        [] => Err("it is empty".to_owned()),
        _ if ZIP.iter().any(|magic| start.starts_with(magic)) => Ok(Contents::Zip),
        _ if start.starts_with(GGUF) => Ok(Contents::Gguf),
        _ if start.get(HEADER) == Some(&b'{') => Ok(Contents::Safetensors),
        [PROTOCOL, 0..=HIGHEST, ..] => Ok(Contents::Pickle),
        _ if start.len() <= HEADER => Err(format!("it is cut off after {} bytes", start.len())),
        _ => Err(otherwise(start)),
    }
}

/// Describes a file that is mistaken for weights, or is of a format that is not read.
fn otherwise(start: &[u8]) -> String {
    const KNOWN: [(&[u8], &str); 12] = [
        (b"\x89HDF", "it is an HDF5 file, as Keras writes"),
        (b"PK", "it is cut off"),
        (b"\x89PNG", "it is a PNG picture"),
        (b"\xff\xd8\xff", "it is a JPEG picture"),
        (b"RIFF", "it is a WebP picture, or a sound"),
        (b"\x1f\x8b", "it is compressed with gzip; unpack it first"),
        (b"7z\xbc\xaf", "it is a 7z archive; unpack it first"),
        (b"Rar!", "it is a RAR archive; unpack it first"),
        (b"\x28\xb5\x2f\xfd", "it is compressed with zstd; unpack it first"),
        (b"\x93NUMPY", "it is one array of NumPy's"),
        (b"\x7fELF", "it is a program"),
        (b"%PDF", "it is a PDF"),
    ];
    let known = KNOWN.iter().find(|(magic, _)| start.starts_with(magic));
    if let Some((_, what)) = known {
        return (*what).to_owned();
    }
    if start.iter().all(|byte| *byte == 0) {
        return "it holds zeros: a download may have been broken off".to_owned();
    }
    let text = std::str::from_utf8(start).or_else(|error| std::str::from_utf8(&start[..error.valid_up_to()]));
    let text = text.unwrap_or_default();
    // A character may be cut in two at the end.
    let is_text = text.len() + 3 >= start.len() && !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    match text.trim_start() {
        html if is_text && html.starts_with('<') => {
            "it is a web page, or XML: a download may need a login or another address".to_owned()
        }
        json if is_text && json.starts_with(['{', '[']) => "it is JSON".to_owned(),
        _ if is_text && start.len() >= 4 => "it is text".to_owned(),
        _ => format!("it begins with the bytes {:02x?}", &start[..start.len().min(8)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_are_told_by_their_first_bytes() {
        assert_eq!(contents(b"\x40\0\0\0\0\0\0\0{\"a\":"), Ok(Contents::Safetensors));
        // A length whose first byte is that of a pickle.
        assert_eq!(contents(b"\x80\x02\0\0\0\0\0\0{\"a\":"), Ok(Contents::Safetensors));
        assert_eq!(contents(b"PK\x03\x04rest"), Ok(Contents::Zip));
        assert_eq!(contents(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9"), Ok(Contents::Pickle));
        assert_eq!(contents(b"\x80\x02"), Ok(Contents::Pickle));
        assert_eq!(contents(b"GGUF\x03\0\0\0"), Ok(Contents::Gguf));
    }

    #[test]
    fn what_is_neither_is_named() {
        for (start, says) in [
            (b"".as_slice(), "empty"),
            (b"\xd8\x00", "cut off after 2 bytes"),
            (b"<!DOCTYPE html><html>", "web page"),
            (b"{\"error\": \"no\"}", "JSON"),
            (b"hello, this is text", "text"),
            ("Gr\u{fc}\u{df}e, alle".as_bytes(), "text"),
            (b"\x89PNG\r\n\x1a\n\0", "PNG"),
            (b"\x1f\x8b\x08\0\0\0\0\0\0", "gzip"),
            (&[0; 40], "zeros"),
            (b"\x01\x02\x03\x04\x05\x06\x07\x08\x09", "01, 02, 03"),
        ] {
            let told = contents(start).expect_err("no weights");
            assert!(told.contains(says), "{start:?}: {told}");
        }
    }
}

//! Arrays → files: one safetensors file, or a folder of .npy files.

use std::{collections::HashMap, error, io::Write, path::Path};

use half::f16;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use serde_json::Value;

pub use super::npy::write_npy;
use super::{array::Array, writers::Features};
pub(crate) use crate::files::write_error;
pub(crate) use crate::files::{REQUEST_FILE, UnfinishedFolder, check_file, check_folder, replace_file, write_folder};
use crate::{
    error::{Error, Result},
    extract::request::StoreFormat,
};

/// Key of the request in a safetensors file's metadata.
pub const METADATA_KEY: &str = "featscope";
/// Writes arrays into one safetensors file with `record` as its metadata.
///
/// # Errors
///
/// Where the disk fails.
pub fn write_safetensors(path: &Path, arrays: &[(String, &Array, StoreFormat)], record: &Value) -> Result<()> {
    replace_file(path, |file| {
        let mut sorted: Vec<_> = arrays.iter().collect();
        // The order of the format's own writer: wide numbers first, so that all lie aligned, then by name.
        sorted.sort_by_key(|(name, _, format)| (usize::MAX - element_bytes(*format), name.as_str()));
        file.write_all(&header(&sorted, record)?).map_err(write_error)?;
        sorted
            .iter()
            .try_for_each(|(_, array, format)| write_numbers(file, &array.data, *format))
    })
}

/// The length and the JSON that a safetensors file begins with.
fn header(arrays: &[&(String, &Array, StoreFormat)], record: &Value) -> Result<Vec<u8>> {
    const ALIGNMENT: usize = 8;
    let mut end = 0;
    let tensors = arrays.iter().map(|(name, array, format)| {
        let start = end;
        end += array.data.len() * element_bytes(*format);
        let info = TensorInfo {
            dtype: match format {
                StoreFormat::F32 => Dtype::F32,
                StoreFormat::F16 => Dtype::F16,
            },
            shape: array.shape.clone(),
            data_offsets: (start, end),
        };
        (name.clone(), info)
    });
    let record = HashMap::from([(METADATA_KEY.to_owned(), record.to_string())]);
    let wrong = |error: &dyn error::Error| Error::failed(format!("the tensors make no safetensors file: {error}"));
    let metadata = Metadata::new(Some(record), tensors.collect()).map_err(|error| wrong(&error))?;
    let json = serde_json::to_vec(&metadata).map_err(|error| wrong(&error))?;
    let length = json.len().next_multiple_of(ALIGNMENT);
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    bytes.resize(size_of::<u64>() + length, b' ');
    Ok(bytes)
}

/// Bytes of one number.
pub(crate) fn element_bytes(format: StoreFormat) -> usize {
    match format {
        StoreFormat::F32 => size_of::<f32>(),
        StoreFormat::F16 => size_of::<f16>(),
    }
}

/// Writes numbers little-endian, as both file formats have them.
pub(super) fn write_numbers(out: &mut dyn Write, numbers: &[f32], format: StoreFormat) -> Result<()> {
    const BLOCK: usize = 1 << 14;
    let mut bytes = Vec::with_capacity(BLOCK * element_bytes(format));
    for block in numbers.chunks(BLOCK) {
        bytes.clear();
        match format {
            StoreFormat::F32 => bytes.extend(block.iter().flat_map(|x| x.to_le_bytes())),
            StoreFormat::F16 => bytes.extend(block.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes())),
        }
        out.write_all(&bytes).map_err(write_error)?;
    }
    Ok(())
}

impl UnfinishedFolder {
    /// Makes one .npy file per array, and the record of what made them beside them.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn arrays(&self, features: &Features<'_>) -> Result<()> {
        self.record(REQUEST_FILE, "extract", features.record.clone());
        features.arrays.iter().try_for_each(|(name, array, format)| {
            self.file(&format!("{name}.npy"), |file| write_npy(file, array, *format))
        })
    }
}

/// A field of a CSV file that holds a text. A spreadsheet takes what begins with one of these signs for a formula and runs it,
/// so an apostrophe stands before it, which spreadsheets read as "this is a text".
pub fn csv_field(text: &str) -> String {
    // The last four are the wide forms that some spreadsheets take for the same.
    const BEGIN_FORMULAS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    let sign = if text.trim_start_matches(' ').starts_with(BEGIN_FORMULAS) {
        "'"
    } else {
        ""
    };
    // Where another sign separates fields, an unquoted one would begin a new field.
    match text.contains([',', ';', '|', '\t', '"', '\n', '\r']) {
        true => format!("\"{sign}{}\"", text.replace('"', "\"\"")),
        false => format!("{sign}{text}"),
    }
}

/// Writes 8-bit pixels, row-major, RGB or RGBA by their number, as a PNG.
///
/// # Errors
///
/// Where writing fails, or the pixels are not as many as the sides say.
pub fn write_png(out: &mut dyn Write, [width, height]: [usize; 2], pixels: &[u8]) -> Result<()> {
    let kinds = [(3, ExtendedColorType::Rgb8), (4, ExtendedColorType::Rgba8)];
    let found = kinds
        .into_iter()
        .find(|(bytes, _)| width * height * bytes == pixels.len());
    let (_, colours) = found.ok_or_else(|| {
        let bytes = pixels.len();
        Error::failed(format!("{bytes} bytes are no picture of {width}x{height} pixels"))
    })?;
    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(pixels, width as u32, height as u32, colours)
        .map_err(|error| Error::failed(format!("a picture of {width}x{height} pixels makes no PNG: {error}")))?;
    out.write_all(&png).map_err(write_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_with_commas_and_quotes_are_quoted() {
        assert_eq!(csv_field("a cat.png"), "a cat.png");
        assert_eq!(csv_field("a, \"b\""), "\"a, \"\"b\"\"\"");
    }

    #[test]
    fn no_field_is_a_formula() {
        assert_eq!(
            csv_field("=HYPERLINK(\"http:x\")+.png"),
            "\"'=HYPERLINK(\"\"http:x\"\")+.png\""
        );
        for sign in ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "  ="] {
            let field = csv_field(&format!("{sign}1+1"));
            assert!(field.trim_start_matches('"').starts_with('\''), "{field:?}");
        }
        assert_eq!(csv_field("a;=1+1"), "\"a;=1+1\"");
        assert_eq!(csv_field("a\n=1+1"), "\"a\n=1+1\"");
        assert_eq!(csv_field("a-b=c.png"), "a-b=c.png");
    }
}

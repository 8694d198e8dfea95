//! Arrays → files: one safetensors file, or a folder of .npy files. Nothing half-written is ever left behind, and what
//! was there before stays until the new output is complete.

use std::{
    collections::HashMap,
    error,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use half::f16;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use serde_json::Value;

pub use super::npy::write_npy;
use super::{array::Array, request::StoreFormat};
use crate::error::{Error, Result};

/// Key of the request in a safetensors file's metadata.
pub const METADATA_KEY: &str = "featscope";
/// Name of the request beside .npy files.
pub const REQUEST_FILE: &str = "request.json";
/// An output whose path ends so is one file; anything else is a folder.
const FILE_EXTENSION: &str = "safetensors";
/// What the names of unfinished outputs begin with.
const UNFINISHED: &str = ".featscope-";

/// Whether an output path means one safetensors file.
pub fn is_file_path(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(FILE_EXTENSION))
}

/// Finds out before hours of work whether an output of `extract` can be written at all.
pub fn check_writable(path: &Path) -> Result<()> {
    if is_file_path(path) {
        return check_file(path);
    }
    check_folder(path).map_err(|error| {
        error.followed_by(format_args!(
            "; an output whose name does not end in .{FILE_EXTENSION} is a folder"
        ))
    })
}

/// Whether a file can be made or replaced at `path`.
pub fn check_file(path: &Path) -> Result<()> {
    check_way(path)?;
    if path.is_dir() {
        return Err(Error::failed(format!(
            "cannot write the file {}: it is a folder; name a file in it",
            path.display()
        )));
    }
    Ok(())
}

/// Whether `path` can be a folder.
pub fn check_folder(path: &Path) -> Result<()> {
    check_way(path)?;
    if path.exists() && !path.is_dir() {
        return Err(Error::failed(format!(
            "cannot write into the folder {}: it is a file",
            path.display()
        )));
    }
    Ok(())
}

/// What there is above an output must be folders.
fn check_way(path: &Path) -> Result<()> {
    let mut above = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
    match above.find(|parent| parent.exists()) {
        Some(parent) if !parent.is_dir() => Err(Error::failed(format!(
            "cannot write {}: {} is a file, not a folder; write to another place",
            path.display(),
            parent.display()
        ))),
        _ => Ok(()),
    }
}

/// Writes arrays into one safetensors file with `record` as its metadata.
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

pub(super) fn element_bytes(format: StoreFormat) -> usize {
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

/// Writes one .npy file per array into a folder, and the request beside them.
pub fn write_npy_folder(folder: &Path, arrays: &[(String, &Array, StoreFormat)], record: &Value) -> Result<()> {
    write_folder(folder, |unfinished| unfinished.arrays(arrays, record))
}

/// Fills a folder by way of an unfinished one inside it: files of the same names are replaced when all are complete,
/// other files in the folder stay.
pub fn write_folder(folder: &Path, fill: impl FnOnce(&UnfinishedFolder) -> Result<()>) -> Result<()> {
    check_folder(folder)?;
    let made = MadeFolders::down_to(folder)?;
    let temporary = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(folder)
        .map_err(|error| Error::io("write into the folder", folder, &system_error(&error)))?;
    fill(&UnfinishedFolder {
        path: temporary.path().to_owned(),
        becomes: folder.to_owned(),
    })?;
    check_places(temporary.path(), folder)?;
    move_into(temporary.path(), folder)?;
    made.keep();
    Ok(())
}

/// A folder that is being filled.
pub struct UnfinishedFolder {
    path: PathBuf,
    becomes: PathBuf,
}

impl UnfinishedFolder {
    /// Makes a file.
    pub fn file(&self, name: &str, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        File::create(self.path.join(name))
            .map_err(write_error)
            .and_then(|file| filled(file, fill))
            .map_err(|error| error.context(self.becomes.join(name).display()))
    }

    /// Makes a file of JSON.
    pub fn json(&self, name: &str, value: &Value) -> Result<()> {
        self.file(name, |file| writeln!(file, "{value:#}").map_err(write_error))
    }

    /// Makes one .npy file per array, and the request beside them.
    pub fn arrays(&self, arrays: &[(String, &Array, StoreFormat)], record: &Value) -> Result<()> {
        for (name, array, format) in arrays {
            self.file(&format!("{name}.npy"), |file| write_npy(file, array, *format))?;
        }
        self.json(REQUEST_FILE, record)
    }

    /// Makes a folder inside.
    pub fn folder(&self, name: &str) -> Result<Self> {
        let inside = Self {
            path: self.path.join(name),
            becomes: self.becomes.join(name),
        };
        fs::create_dir(&inside.path).map_err(|error| write_error(error).context(inside.becomes.display()))?;
        Ok(inside)
    }
}

/// The files to be moved from `from` to `to`, with what is in their places.
fn places(from: &Path, to: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let read_error = |error| Error::io("read the folder", from, &error);
    fs::read_dir(from)
        .map_err(read_error)?
        .map(|entry| {
            let entry = entry.map_err(read_error)?;
            Ok((entry.path(), to.join(entry.file_name())))
        })
        .collect()
}

/// Refuses what could be moved only in part: a folder where a file must go, or a file where a folder must.
fn check_places(from: &Path, to: &Path) -> Result<()> {
    for (source, target) in places(from, to)? {
        if !source.is_dir() {
            check_file(&target)?;
        } else {
            check_folder(&target)?;
            check_places(&source, &target)?;
        }
    }
    Ok(())
}

fn move_into(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(|error| Error::io("make the folder", to, &error))?;
    for (source, target) in places(from, to)? {
        if source.is_dir() {
            move_into(&source, &target)?;
        } else {
            fs::rename(&source, &target).map_err(|error| Error::io("write", &target, &error))?;
        }
    }
    Ok(())
}

/// Makes a file by way of an unfinished one beside it. A path that leads to something that is no file, such as a device
/// or a pipe, is written directly.
pub fn replace_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    check_file(path)?;
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let named = |error: Error| error.context(path.display());
    if target.exists() && !target.is_file() {
        let device = OpenOptions::new().write(true).open(&target);
        return filled(device.map_err(|error| Error::io("write", path, &error))?, fill).map_err(named);
    }
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let made = MadeFolders::down_to(parent)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    share_like_other_files(&mut builder);
    let unfinished = builder
        .tempfile_in(parent)
        .map_err(|error| Error::io("write into the folder", parent, &system_error(&error)))?;
    filled(unfinished.as_file(), fill).map_err(named)?;
    unfinished
        .persist(&target)
        .map_err(|error| Error::io("write", path, &error.error))?;
    made.keep();
    Ok(())
}

/// Buffers what is written, and finds out at the end whether all of it was.
fn filled(file: impl Write, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut buffered = BufWriter::new(file);
    fill(&mut buffered)?;
    buffered.flush().map_err(write_error)
}

/// What went wrong while writing, without the file's name, which the caller adds.
pub(crate) fn write_error(error: io::Error) -> Error {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room or write to another place",
        _ => "",
    };
    Error::failed(format!("cannot be written: {error}{advice}"))
}

/// The system's own words, where an error wraps them to add a path that nobody asked for.
fn system_error(error: &io::Error) -> io::Error {
    let wrapped = error.get_ref().and_then(error::Error::source);
    let code = wrapped.and_then(|source| source.downcast_ref::<io::Error>()?.raw_os_error());
    code.map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// Temporary files are private to their owner unless told otherwise; the user's umask still counts.
#[cfg(unix)]
fn share_like_other_files(builder: &mut tempfile::Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt;
    const READ_AND_WRITE: u32 = 0o666;
    builder.permissions(fs::Permissions::from_mode(READ_AND_WRITE));
}

#[cfg(not(unix))]
fn share_like_other_files(_: &mut tempfile::Builder<'_, '_>) {}

/// Folders made for an output: they go again unless the output is kept.
struct MadeFolders(Vec<PathBuf>);

impl MadeFolders {
    /// Makes a folder and what is missing above it.
    fn down_to(folder: &Path) -> Result<Self> {
        let missing = folder
            .ancestors()
            .take_while(|above| !above.as_os_str().is_empty() && !above.exists());
        let made = Self(missing.map(Path::to_owned).collect());
        fs::create_dir_all(folder).map_err(|error| Error::io("make the folder", folder, &error))?;
        Ok(made)
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        for folder in &self.0 {
            // A folder that something else is in by now stays.
            let _ = fs::remove_dir(folder);
        }
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
pub fn write_png(out: &mut dyn Write, [width, height]: [usize; 2], pixels: &[u8]) -> Result<()> {
    let opaque = pixels.len() == width * height * 3;
    let colours = if opaque {
        ExtendedColorType::Rgb8
    } else {
        ExtendedColorType::Rgba8
    };
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

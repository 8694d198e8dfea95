//! Arrays → files: one safetensors file, or a folder of .npy files. Nothing half-written is ever left behind, and what
//! was there before stays until the new output is complete.

use std::{
    borrow::Cow,
    collections::HashMap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use half::f16;
use image::{ExtendedColorType, ImageFormat};
use safetensors::{Dtype, View, serialize_to_file};
use serde_json::Value;

use super::{array::Array, request::StoreFormat};
use crate::error::{Error, Result};

/// Key of the request in a safetensors file's metadata.
pub const METADATA_KEY: &str = "featscope";
/// Name of the request beside .npy files.
pub const REQUEST_FILE: &str = "request.json";
/// An output whose path ends so is one file; anything else is a folder.
const FILE_EXTENSION: &str = "safetensors";

/// Whether an output path means one safetensors file.
pub fn is_file_path(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(FILE_EXTENSION))
}

/// An array as safetensors wants it.
struct Stored<'a> {
    array: &'a Array,
    format: StoreFormat,
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        match self.format {
            StoreFormat::F32 => Dtype::F32,
            StoreFormat::F16 => Dtype::F16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.array.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(bytes_of(&self.array.data, self.format))
    }

    fn data_len(&self) -> usize {
        self.array.data.len() * element_bytes(self.format)
    }
}

fn element_bytes(format: StoreFormat) -> usize {
    match format {
        StoreFormat::F32 => size_of::<f32>(),
        StoreFormat::F16 => size_of::<f16>(),
    }
}

/// Little-endian bytes, as both file formats have them.
fn bytes_of(numbers: &[f32], format: StoreFormat) -> Vec<u8> {
    match format {
        StoreFormat::F32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        StoreFormat::F16 => numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
    }
}

/// Finds out before hours of work whether an output can be written at all.
pub fn check_writable(path: &Path) -> Result<()> {
    let mut above = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
    let existing = above.find(|parent| parent.exists());
    if let Some(parent) = existing
        && !parent.is_dir()
    {
        return Err(Error::failed(format!(
            "cannot write {}: {} is a file, not a folder",
            path.display(),
            parent.display()
        )));
    }
    match (is_file_path(path), path.is_dir(), path.exists()) {
        (true, true, _) => Err(Error::failed(format!(
            "cannot write {}: it is a folder",
            path.display()
        ))),
        (false, false, true) => Err(Error::failed(format!(
            "cannot write {}: it is a file; an output that does not end in .{FILE_EXTENSION} is a folder",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// Writes arrays into one safetensors file with `record` as its metadata.
pub fn write_safetensors(path: &Path, arrays: &[(String, &Array, StoreFormat)], record: &Value) -> Result<()> {
    check_writable(path)?;
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), record.to_string())]);
    let views = || {
        arrays
            .iter()
            .map(|(name, array, format)| (name.as_str(), Stored { array, format: *format }))
    };
    replace_file(path, |temporary| {
        serialize_to_file(views(), Some(metadata), temporary)
            .map_err(|error| Error::failed(format!("cannot write {}: {error}", path.display())))
    })
}

/// Writes one .npy file per array into a folder, and the request beside them.
pub fn write_npy_folder(folder: &Path, arrays: &[(String, &Array, StoreFormat)], record: &Value) -> Result<()> {
    write_folder(folder, |temporary| {
        for (name, array, format) in arrays {
            write_npy(&temporary.join(format!("{name}.npy")), array, *format)?;
        }
        let path = temporary.join(REQUEST_FILE);
        fs::write(&path, format!("{record:#}\n")).map_err(|error| Error::io("write", &path, &error))
    })
}

/// Fills a folder by way of a temporary one beside it: files of the same names are replaced when all are complete,
/// other files in the folder stay.
pub fn write_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    check_writable(folder)?;
    let parent = existing_parent(folder)?;
    let temporary = tempfile::Builder::new()
        .prefix(".featscope-")
        .tempdir_in(&parent)
        .map_err(|error| Error::io("make a folder in", &parent, &error))?;
    fill(temporary.path())?;
    move_into(temporary.path(), folder)
}

fn move_into(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(|error| Error::io("make the folder", to, &error))?;
    let read_error = |error| Error::io("read the folder", from, &error);
    for entry in fs::read_dir(from).map_err(read_error)? {
        let entry = entry.map_err(read_error)?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            move_into(&entry.path(), &target)?;
        } else {
            fs::rename(entry.path(), &target).map_err(|error| Error::io("write", &target, &error))?;
        }
    }
    Ok(())
}

/// Makes a file by way of a temporary one beside it. A path that leads to something that is no file, such as a device
/// or a pipe, is written directly.
pub fn replace_file(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if target.exists() && !target.is_file() {
        return fill(&target);
    }
    let parent = existing_parent(&target)?;
    let temporary = tempfile::Builder::new()
        .prefix(".featscope-")
        .tempfile_in(&parent)
        .map_err(|error| Error::io("write into", &parent, &error))?;
    fill(temporary.path())?;
    let kept = temporary
        .persist(&target)
        .map_err(|error| Error::io("write", path, &error.error))?;
    share_like_other_files(&kept);
    Ok(())
}

/// Temporary files are private to their owner; an output is readable like any file the user makes.
#[cfg(unix)]
fn share_like_other_files(file: &File) {
    use std::os::unix::fs::PermissionsExt;
    const READABLE: u32 = 0o644;
    // An output that stays private is still an output.
    let _ = file.set_permissions(fs::Permissions::from_mode(READABLE));
}

#[cfg(not(unix))]
fn share_like_other_files(_: &File) {}

/// The folder a path lies in, made if it is missing.
fn existing_parent(path: &Path) -> Result<PathBuf> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&parent).map_err(|error| Error::io("make the folder", &parent, &error))?;
    Ok(parent)
}

/// Writes an array as NumPy's .npy, format 1.0.
pub fn write_npy(path: &Path, array: &Array, format: StoreFormat) -> Result<()> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    const LENGTH_BYTES: usize = 2;
    const ALIGNMENT: usize = 64;
    let descr = match format {
        StoreFormat::F32 => "<f4",
        StoreFormat::F16 => "<f2",
    };
    let sides: Vec<String> = array.shape.iter().map(usize::to_string).collect();
    let comma = if sides.len() == 1 { "," } else { "" };
    let mut header = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        sides.join(", ")
    );
    let unpadded = MAGIC.len() + LENGTH_BYTES + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(ALIGNMENT) - unpadded));
    header.push('\n');
    let length = u16::try_from(header.len())
        .map_err(|_| Error::failed(format!("an array of {} dimensions has no .npy", array.shape.len())))?;
    let failed = |error| Error::io("write", path, &error);
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    file.write_all(MAGIC)
        .and_then(|()| file.write_all(&length.to_le_bytes()))
        .and_then(|()| file.write_all(header.as_bytes()))
        .and_then(|()| file.write_all(&bytes_of(&array.data, format)))
        .and_then(|()| file.flush())
        .map_err(failed)
}

/// Writes 8-bit pixels, row-major, RGB or RGBA by their number, as a PNG.
pub fn write_png(path: &Path, [width, height]: [usize; 2], pixels: &[u8]) -> Result<()> {
    let opaque = pixels.len() == width * height * 3;
    let format = if opaque {
        ExtendedColorType::Rgb8
    } else {
        ExtendedColorType::Rgba8
    };
    image::save_buffer_with_format(path, pixels, width as u32, height as u32, format, ImageFormat::Png)
        .map_err(|error| Error::failed(format!("cannot write {}: {error}", path.display())))
}

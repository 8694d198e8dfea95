//! The formats that features are written in. A new one is a type with [`FeatureWriter`], and a line in [`WRITERS`].

use std::path::{Path, is_separator};

use serde_json::Value;

use super::{
    array::Array,
    npz::write_npz,
    output::{check_file, check_folder, replace_file, write_folder, write_npy, write_safetensors},
};
use crate::{
    error::{Error, Result},
    extract::request::StoreFormat,
};

/// Arrays of one output, and what made them.
pub struct Features<'a> {
    /// Name, numbers, and their format in the file.
    pub arrays: Vec<(String, &'a Array, StoreFormat)>,
    /// Request and provenance.
    pub record: Value,
}

/// A file format for features.
pub trait FeatureWriter: Sync {
    /// How the names of its files end, without the dot.
    fn extension(&self) -> &'static str;

    /// Whether one file holds any number of arrays with their record. Of a format that does not, several are a folder.
    fn holds_several(&self) -> bool;

    /// Finds out before the work whether `out` can be written.
    ///
    /// # Errors
    ///
    /// Where it cannot; the error says why.
    fn check(&self, out: &Path) -> Result<()> {
        check_file(out)
    }

    /// Writes the file `out`, whole or not at all.
    ///
    /// # Errors
    ///
    /// Where the format cannot hold the features, or the disk fails.
    fn write(&self, out: &Path, features: &Features<'_>) -> Result<()>;
}

/// Every format. A map is written in the first unless its name says otherwise.
pub static WRITERS: &[&dyn FeatureWriter] = &[&Npy, &Safetensors, &Npz];

/// Endings of other files. Who names an output so means a file: it becomes no folder of that name.
const OTHER_FILES: &[&str] = &[
    "7z",
    "arrow",
    "bin",
    "bmp",
    "ckpt",
    "csv",
    "exr",
    "feather",
    "gguf",
    "gif",
    "gz",
    "h5",
    "hdf5",
    "html",
    "jpeg",
    "jpg",
    "json",
    "mat",
    "md",
    "msgpack",
    "npy",
    "npz",
    "onnx",
    "parquet",
    "pdf",
    "pickle",
    "pkl",
    "png",
    "pt",
    "pth",
    "safetensors",
    "svg",
    "tar",
    "tif",
    "tiff",
    "tsv",
    "txt",
    "webp",
    "yaml",
    "zarr",
    "zip",
];

/// NumPy's format: one array in a file, without a record.
struct Npy;

impl FeatureWriter for Npy {
    fn extension(&self) -> &'static str {
        "npy"
    }

    fn holds_several(&self) -> bool {
        false
    }

    fn write(&self, out: &Path, features: &Features<'_>) -> Result<()> {
        let [(_, array, format)] = features.arrays.as_slice() else {
            return Err(Error::failed(format!(
                "{} holds one array, {} are to be written: name a folder",
                out.display(),
                features.arrays.len()
            )));
        };
        replace_file(out, |file| write_npy(file, array, *format))
    }
}

/// Safetensors, with the record in its metadata.
struct Safetensors;

impl FeatureWriter for Safetensors {
    fn extension(&self) -> &'static str {
        "safetensors"
    }

    fn holds_several(&self) -> bool {
        true
    }

    fn write(&self, out: &Path, features: &Features<'_>) -> Result<()> {
        write_safetensors(out, &features.arrays, &features.record)
    }
}

/// NumPy's archive: an array in each entry, and the record as `request.json`.
struct Npz;

impl FeatureWriter for Npz {
    fn extension(&self) -> &'static str {
        "npz"
    }

    fn holds_several(&self) -> bool {
        true
    }

    fn write(&self, out: &Path, features: &Features<'_>) -> Result<()> {
        replace_file(out, |file| write_npz(file, &features.arrays, &features.record))
    }
}

/// The format that a path's ending names.
pub fn writer_of(path: &Path) -> Option<&'static dyn FeatureWriter> {
    let extension = path.extension()?;
    let named = |writer: &&&dyn FeatureWriter| extension.eq_ignore_ascii_case(writer.extension());
    WRITERS.iter().find(named).copied()
}

/// The format of a file with one map.
///
/// # Errors
///
/// Where no format has the path's ending: a name must not promise another format than the file holds.
pub fn map_writer_of(path: &Path) -> Result<&'static dyn FeatureWriter> {
    writer_of(path).ok_or_else(|| {
        Error::usage(format!(
            "cannot write {}: the name has to end in {}",
            path.display(),
            in_a_sentence(&map_extensions())
        ))
    })
}

/// The format of an output of `extract`, where its path names one; any other path is a folder, and so is one that ends in a
/// slash.
pub fn file_writer_of(path: &Path) -> Option<&'static dyn FeatureWriter> {
    writer_of(path).filter(|_| !ends_in_slash(path))
}

fn ends_in_slash(path: &Path) -> bool {
    let last = path.as_os_str().as_encoded_bytes().last();
    last.is_some_and(|byte| is_separator(char::from(*byte)))
}

/// Refuses a name that means a file of another format than those that are written: else it would be the name of a folder. A
/// folder that is there keeps its name.
///
/// # Errors
///
/// Where it does; the error says what can be named.
pub fn refuse_other_formats(path: &Path, written: &[&str]) -> Result<()> {
    let ending = path.extension().unwrap_or_default();
    let is = |known: &&&str| ending.eq_ignore_ascii_case(known);
    let Some(other) = OTHER_FILES
        .iter()
        .find(is)
        .filter(|_| !written.iter().any(|known| is(&known)))
    else {
        return Ok(());
    };
    // What is there is refused for what it is.
    if ends_in_slash(path) || path.exists() {
        return Ok(());
    }
    let file = match written {
        [] => String::new(),
        written => format!("a file that ends in {}, or ", in_a_sentence(written)),
    };
    Err(Error::usage(format!(
        "{}: no .{other} is written here; name {file}a folder (a folder of this very name ends in /)",
        path.display()
    )))
}

/// Endings of files with one map, the usual one first.
pub fn map_extensions() -> Vec<&'static str> {
    WRITERS.iter().map(|writer| writer.extension()).collect()
}

/// Endings of files with several arrays, the usual one first.
pub fn file_extensions() -> Vec<&'static str> {
    let several = WRITERS.iter().filter(|writer| writer.holds_several());
    several.map(|writer| writer.extension()).collect()
}

/// Endings in a sentence: ".png, .csv or .json".
pub fn in_a_sentence(extensions: &[&str]) -> String {
    match extensions {
        [] => String::new(),
        [only] => format!(".{only}"),
        [others @ .., last] => format!(".{} or .{last}", others.join(", .")),
    }
}

/// Which of some formats the name of a file says.
///
/// # Errors
///
/// Where it says none of them.
pub(crate) fn format_of(path: &Path, known: &[&'static str]) -> Result<&'static str> {
    let extension = path.extension().unwrap_or_default();
    let found = known.iter().find(|known| extension.eq_ignore_ascii_case(known));
    found.copied().ok_or_else(|| {
        Error::usage(format!(
            "cannot write {}: the name has to end in {}",
            path.display(),
            in_a_sentence(known)
        ))
    })
}

/// Finds out before hours of work whether an output of `extract` can be written at all.
///
/// # Errors
///
/// Where it cannot; the error says why.
pub fn check_output(path: &Path) -> Result<()> {
    refuse_other_formats(path, &map_extensions())?;
    match file_writer_of(path) {
        Some(writer) => writer.check(path),
        None => check_folder(path).map_err(|error| {
            error.followed_by(format_args!(
                "; an output whose name does not end in {} is a folder",
                in_a_sentence(&map_extensions())
            ))
        }),
    }
}

/// Writes features into one file, or a folder of .npy files with the record beside them, as the path says.
///
/// # Errors
///
/// Where the disk fails, or something stands in the way.
pub fn write_features(out: &Path, features: &Features<'_>) -> Result<()> {
    match file_writer_of(out) {
        Some(writer) => writer.write(out, features),
        None => write_folder(out, |folder| folder.arrays(features)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_their_format() {
        let named = |path: &str| writer_of(Path::new(path)).map(|writer| writer.extension());
        assert_eq!(
            [named("a.NPY"), named("a/b.safetensors")],
            [Some("npy"), Some("safetensors")]
        );
        assert_eq!([named("a.npy/b"), named("npy"), named("a.pt")], [None; 3]);
        let is_file = |path: &str| file_writer_of(Path::new(path)).is_some();
        assert!(is_file("a.Safetensors") && is_file("a.npy") && !is_file("safetensors") && !is_file("a.npz/"));
        assert_eq!(in_a_sentence(&map_extensions()), ".npy, .safetensors or .npz");
        assert_eq!(in_a_sentence(&file_extensions()), ".safetensors or .npz");
        assert_eq!(in_a_sentence(&["png", "csv", "json"]), ".png, .csv or .json");
    }

    #[test]
    fn names_of_other_files_are_refused_unless_they_are_folders() -> Result<(), Box<dyn std::error::Error>> {
        let place = tempfile::tempdir()?;
        let refused = |name: &str, written: &[&str]| refuse_other_formats(&place.path().join(name), written).is_err();
        for name in ["a.pt", "a.H5", "b/a.pkl"] {
            assert!(refused(name, &["npz"]), "{name}");
        }
        for name in ["a", "a.2024", "run-0.5", "a.npz", "a.pt/"] {
            assert!(!refused(name, &["npz"]), "{name}");
        }
        assert!(refused("a.npz", &[]));
        std::fs::create_dir(place.path().join("old.pt"))?;
        assert!(!refused("old.pt", &["npz"]));
        let words = refuse_other_formats(Path::new("a.pt"), &["npz"]).map_err(|error| error.to_string());
        assert!(words.is_err_and(|words| words.contains("no .pt") && words.contains(".npz")));
        Ok(())
    }

    #[test]
    fn one_array_goes_into_a_file_of_each_format() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let array = Array::new(vec![1, 2, 1, 1], vec![0.5, -1.0])?;
        for writer in WRITERS {
            let out = folder.path().join("map").with_extension(writer.extension());
            let of = |count: usize| Features {
                arrays: vec![("b1".to_owned(), &array, StoreFormat::F32); count],
                record: Value::Null,
            };
            writer.write(&out, &of(1))?;
            let saved = crate::io::saved::SavedActivations::open(&out)?;
            let names = saved.names();
            let [name] = names.as_slice() else {
                return Err(format!("{names:?}").into());
            };
            assert_eq!(saved.array(name)?, array);
            assert!(writer.holds_several() || writer.write(&out, &of(2)).is_err());
        }
        Ok(())
    }
}

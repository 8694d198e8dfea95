//! The formats that features are written in. A new one is a type with [`FeatureWriter`], and a line in [`WRITERS`].

use std::path::Path;

use serde_json::Value;

use super::{
    array::Array,
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
pub static WRITERS: &[&dyn FeatureWriter] = &[&Npy, &Safetensors];

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

/// The format of an output of `extract`, where its path names one that holds several arrays; any other path is a folder.
pub fn file_writer_of(path: &Path) -> Option<&'static dyn FeatureWriter> {
    writer_of(path).filter(|writer| writer.holds_several())
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
    match file_writer_of(path) {
        Some(writer) => writer.check(path),
        None => check_folder(path).map_err(|error| {
            error.followed_by(format_args!(
                "; an output whose name does not end in {} is a folder",
                in_a_sentence(&file_extensions())
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
        assert_eq!([named("a.npy/b"), named("npy"), named("a.npz")], [None; 3]);
        let is_file = |path: &str| file_writer_of(Path::new(path)).is_some();
        assert!(is_file("a.Safetensors") && !is_file("a.npy") && !is_file("safetensors"));
        assert_eq!(in_a_sentence(&map_extensions()), ".npy or .safetensors");
        assert_eq!(in_a_sentence(&file_extensions()), ".safetensors");
        assert_eq!(in_a_sentence(&["png", "csv", "json"]), ".png, .csv or .json");
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
            let name = saved.names().pop().ok_or("a name")?;
            assert_eq!(saved.array(&name)?, array);
            assert!(writer.holds_several() || writer.write(&out, &of(2)).is_err());
        }
        Ok(())
    }
}

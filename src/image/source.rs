//! Where a picture comes from: a file, or one of the samples inside the program.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    picture::{Picture, WHITE},
    samples::{SAMPLES, sample},
};
use crate::{
    error::{Error, Result},
    words::did_you_mean,
};

/// How the names of pictures end; the contents decide what is read.
pub const PICTURE_ENDINGS: [&str; 17] = [
    "png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff", "pbm", "pgm", "ppm", "pnm", "pam", "qoi", "tga", "dib",
    "apng",
];
/// Prefix of a path that names a sample: `sample:photo-cat`.
const SAMPLE: &str = "sample:";

/// Where a picture comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PictureSource {
    /// A sample embedded in the program, by name.
    Sample(String),
    /// A file.
    File(#[serde(with = "crate::files::names")] PathBuf),
}

impl PictureSource {
    /// A file, or a sample where the path is `sample:` and its name.
    pub fn of(path: &Path) -> Self {
        match path.to_str().and_then(|text| text.strip_prefix(SAMPLE)) {
            Some(name) => Self::Sample(name.to_owned()),
            None => Self::File(path.to_owned()),
        }
    }

    /// The path that [`Self::of`] makes this of.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Sample(name) => PathBuf::from(format!("{SAMPLE}{name}")),
            Self::File(path) => path.clone(),
        }
    }

    /// A short name for titles and file names.
    pub fn name(&self) -> String {
        match self {
            Self::Sample(name) => name.clone(),
            Self::File(path) => path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
        }
    }

    /// The picture, over white.
    ///
    /// # Errors
    ///
    /// Where there is no such sample, and as [`Picture::read`].
    pub fn read(&self) -> Result<Picture> {
        match self {
            Self::File(path) => Picture::read(path, WHITE),
            Self::Sample(name) => {
                let sample = sample(name).ok_or_else(|| {
                    let names: Vec<&str> = SAMPLES.iter().map(|sample| sample.name).collect();
                    Error::usage(format!(
                        "there is no sample picture \"{name}\": there are {}{}",
                        names.join(", "),
                        did_you_mean(name, names.iter().copied())
                    ))
                })?;
                Picture::decode(sample.bytes, WHITE, name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_by_path() -> Result<()> {
        let source = PictureSource::of(Path::new("sample:photo-cat"));
        assert_eq!(source, PictureSource::Sample("photo-cat".to_owned()));
        assert_eq!(PictureSource::of(&source.path()), source);
        source.read()?;
        let error = PictureSource::of(Path::new("sample:photo-cta")).read();
        assert!(error.is_err_and(|error| error.to_string().contains("\"photo-cat\"")));
        Ok(())
    }
}

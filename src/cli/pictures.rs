//! Pictures among the arguments: files, folders of them, and patterns for shells that leave these as they are. What exists
//! counts first, as any sign may be in a name.

use std::{
    ffi::OsStr,
    fs,
    path::{Component, Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    image::source::PICTURE_ENDINGS,
    words::{fits, is_pattern},
};

/// The pictures that arguments name, in their order; those of a folder or a pattern by name.
///
/// # Errors
///
/// Where a folder holds no picture, or a pattern fits none.
pub fn pictures(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in given {
        if path.is_dir() {
            let inside = in_folder(path, |name| is_picture(Path::new(name)))?;
            if inside.is_empty() {
                return Err(Error::failed(format!(
                    "the folder {} holds no pictures (names that end in .{})",
                    path.display(),
                    PICTURE_ENDINGS.join(", .")
                )));
            }
            found.extend(inside);
        } else if is_pattern(&path.to_string_lossy()) && !path.exists() {
            let fitting = fitting(path)?;
            if fitting.is_empty() {
                return Err(Error::failed(format!("no file fits the pattern {}", path.display())));
            }
            found.extend(fitting);
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn is_picture(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    PICTURE_ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// The files that a pattern fits, whose folders may be patterns as well.
fn fitting(pattern: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let name = part.as_os_str().to_string_lossy();
        match part {
            Component::Normal(_) if is_pattern(&name) => {
                let mut next = Vec::new();
                for folder in found
                    .iter()
                    .filter(|folder| folder.is_dir() || folder.as_os_str().is_empty())
                {
                    next.extend(in_folder(folder, |other| fits(&name, &other.to_string_lossy()))?);
                }
                found = next;
            }
            _ => found.iter_mut().for_each(|path| path.push(part)),
        }
    }
    found.retain(|path| path.is_file());
    Ok(found)
}

/// What of a folder is wanted by its name, in order; hidden files are not seen. No name is the current folder.
fn in_folder(folder: &Path, is_wanted: impl Fn(&OsStr) -> bool) -> Result<Vec<PathBuf>> {
    let read = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let entries = fs::read_dir(read).map_err(|error| Error::io("read the folder", read, &error))?;
    let mut names: Vec<_> = entries
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| !name.as_encoded_bytes().starts_with(b".") && is_wanted(name))
        .collect();
    names.sort();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    fn names(place: &Path, given: &str) -> Result<Vec<String>> {
        let found = pictures(&[place.join(given)])?;
        let inside = found.iter().filter_map(|path| path.strip_prefix(place).ok());
        Ok(inside.map(|path| path.display().to_string()).collect())
    }

    #[test]
    fn folders_and_patterns_are_their_pictures_in_order() -> TestResult {
        let folder = tempfile::tempdir()?;
        let place = folder.path();
        for name in [
            "a/f10.png",
            "a/f9.JPG",
            "a/notes.txt",
            "a/.hidden.png",
            "b/f1.png",
            "a*.png",
            "empty/x",
        ] {
            fs::create_dir_all(place.join(name).parent().ok_or("a folder")?)?;
            fs::write(place.join(name), "")?;
        }
        assert_eq!(names(place, "a")?, ["a/f10.png", "a/f9.JPG"]);
        assert_eq!(names(place, "a/f*")?, ["a/f10.png", "a/f9.JPG"]);
        assert_eq!(names(place, "?/f*.png")?, ["a/f10.png", "b/f1.png"]);
        assert_eq!(names(place, "a*.png")?, ["a*.png"], "what exists is itself");
        assert_eq!(
            names(place, "absent.png")?,
            ["absent.png"],
            "reading it says what is wrong"
        );
        for nothing in ["empty", "z*.png", "absent/*.png"] {
            assert!(names(place, nothing).is_err(), "{nothing}");
        }
        Ok(())
    }
}

//! Names of files, pictures and models as lists show them.

use std::{borrow::Cow, path::Path};

use crate::{engine::PictureSource, files::names, words};

/// What a path is called in a list: its last part, in which nothing acts.
pub fn file_name(path: &Path) -> Cow<'_, str> {
    match path.file_name().unwrap_or(path.as_os_str()).to_string_lossy() {
        Cow::Borrowed(name) => words::visible(name),
        Cow::Owned(name) => words::visible(&name).into_owned().into(),
    }
}

/// All of a path, in which nothing acts.
pub fn shown_path(path: &Path) -> String {
    words::visible(&path.display().to_string()).into_owned()
}

/// What a picture is called, in which nothing acts.
pub fn shown_source(source: &PictureSource) -> String {
    words::visible(&source.name()).into_owned()
}

/// The end of a long path: what tells it from others.
pub fn short(name: &str) -> String {
    const SHOWN: usize = 24;
    let name = names::shown(name);
    let name = words::visible(&name);
    let count = name.chars().count();
    if count <= SHOWN {
        return name.into_owned();
    }
    format!("…{}", name.chars().skip(count - SHOWN).collect::<String>())
}

//! Workspace files: everything that is looked at, as JSON, so that it opens to the same picture, on another machine too.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{
    app::document::{
        pairs::pair_as_before,
        root::{Document, PictureRef},
        validate::validate_document,
    },
    engine::{BasisChoice, ImageSlot, PictureSource},
    error::{Error, Result},
    files::{self, names},
    io::output::{replace_file, write_error},
    model::adapters::ControlImage,
};

/// What the names of workspace files end in.
pub const EXTENSION: &str = ".featscope.json";
/// The format written; older ones are read.
const VERSION: u64 = 2;
/// The first format in which a pair of points is one pin with a mate.
const WITH_PAIRS: u64 = 2;
/// What tells a workspace from other JSON.
const KIND: &str = "featscope-workspace";
/// A file larger than this is not read, and none is written: what is looked at takes some tens of kB.
const MOST_BYTES: u64 = 2 << 20;

/// What a workspace file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkspaceFile {
    kind: String,
    version: u64,
    /// The program that wrote it.
    program: String,
    /// Everything that is looked at; paths relative to the file where they can be.
    document: Document,
    /// The workspace file that it belongs to, where this one is kept for after a crash.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::files::names")]
    saved_as: Option<PathBuf>,
}

/// What tells a workspace from other JSON.
#[derive(Deserialize)]
struct Kind {
    kind: String,
}

/// What tells whether a workspace can be read.
#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// A workspace that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenedWorkspace {
    /// Its file.
    pub path: PathBuf,
    /// What is to be looked at, with absolute paths.
    pub document: Document,
    /// The workspace file that it belongs to, where this one was kept for after a crash.
    pub saved_as: Option<PathBuf>,
}

/// Whether a file is named as workspaces are.
pub fn is_workspace(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.to_ascii_lowercase().ends_with(EXTENSION)
}

impl WorkspaceFile {
    /// The file that holds a document.
    pub fn holding(document: Document) -> Self {
        Self {
            kind: KIND.to_owned(),
            version: VERSION,
            program: format!("featscope {}", env!("CARGO_PKG_VERSION")),
            document,
            saved_as: None,
        }
    }

    /// What is worked on, to be opened after a crash. Pictures that were not found are still wanted.
    pub fn recovering(work: Work) -> Self {
        let mut document = (*work.document).clone();
        for (slot, picture) in work.missing {
            document.pictures.entry(slot).or_insert(picture);
        }
        Self {
            saved_as: work.saved_as,
            ..Self::holding(document)
        }
    }

    /// Writes the file whole or not at all; gives its path, with the ending that workspaces have. A file that is not named
    /// by all of its name is not replaced: nobody was asked about it.
    ///
    /// # Errors
    ///
    /// Where another file would be replaced that the name does not name whole, or it cannot be written.
    pub fn write(mut self, path: &Path) -> Result<PathBuf> {
        let named = path;
        let path = with_extension(named);
        if path != named && path.exists() {
            return Err(Error::usage(format!(
                "{} is there already: give all of its name to replace it",
                path.display()
            )));
        }
        let folder = absolute(&path)?;
        let folder = folder.parent().unwrap_or(Path::new("")).to_owned();
        change_paths(&mut self.document, |path| {
            *path = relative_to(&folder, path).unwrap_or_else(|| path.clone());
        });
        let json = serde_json::to_vec_pretty(&self)
            .map_err(|error| Error::failed(format!("the workspace cannot be written as JSON: {error}")))?;
        if json.len() as u64 > MOST_BYTES {
            return Err(Error::failed(format!(
                "cannot write the workspace {}: it has {} bytes, more than the {MOST_BYTES} that are read; regions that were \
                 drawn take most: delete some",
                path.display(),
                json.len()
            )));
        }
        replace_file(&path, |temporary| temporary.write_all(&json).map_err(write_error))?;
        Ok(path)
    }

    /// Reads a file. What it names is looked for when it is opened.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, is larger than a workspace can be, is no workspace, or is of a later version.
    pub fn read(path: &Path) -> Result<OpenedWorkspace> {
        let asked = path.display();
        let failed = |why: String| Error::failed(format!("cannot open the workspace {asked}: {why}"));
        let text = files::read_text(path, MOST_BYTES, "a workspace").map_err(|error| failed(error.to_string()))?;
        // What it is is looked at before any of it is held: JSON of another kind can take many times its size.
        serde_json::from_str::<IgnoredAny>(&text).map_err(|error| failed(format!("it is not valid JSON: {error}")))?;
        match serde_json::from_str::<Kind>(&text) {
            Ok(found) if found.kind == KIND => {}
            _ => return Err(failed(format!("it is JSON, but its \"kind\" is not \"{KIND}\""))),
        }
        let version = serde_json::from_str::<Version>(&text).ok().map(|found| found.version);
        if version.is_none_or(|version| version > VERSION) {
            return Err(failed(format!(
                "it has format {}, this program reads formats up to {VERSION}: get a newer featscope",
                version.map_or("unknown".to_owned(), |version| version.to_string())
            )));
        }
        let file: Self = serde_json::from_str(&text)
            .map_err(|error| failed(format!("something in it is missing or wrong: {error}")))?;
        let mut document = validate_document(file.document).map_err(failed)?;
        if file.version < WITH_PAIRS {
            pair_as_before(&mut document);
        }
        let path = absolute(path)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        change_paths(&mut document, |path| {
            *path = if path.is_relative() {
                plain(&folder.join(&*path))
            } else {
                std::path::absolute(&*path).unwrap_or_else(|_| path.clone())
            };
        });
        let saved_as = file.saved_as;
        Ok(OpenedWorkspace {
            path,
            document,
            saved_as,
        })
    }
}

/// Applies a change to every path of a document.
fn change_paths(document: &mut Document, change: impl Fn(&mut PathBuf)) {
    for picture in document.pictures.values_mut() {
        if let PictureSource::File(path) = &mut picture.source {
            change(path);
        }
    }
    if let BasisChoice::Saved(path) = &mut document.pca.basis {
        change(path);
    }
    let adapters = &mut document.settings.adapters;
    adapters.loras.iter_mut().for_each(|lora| change(&mut lora.file));
    adapters
        .embeddings
        .iter_mut()
        .for_each(|embedding| change(&mut embedding.file));
    for control in &mut adapters.controls {
        change(&mut control.net);
        if let ControlImage::Picture(path) = &mut control.image {
            change(path);
        }
    }
    // A model is a short name or a path; only what is there as a path is one.
    if let Some(model) = &mut document.model {
        let mut path = names::path(model);
        let looks_like_a_path = path.is_absolute() || model.starts_with('.');
        if looks_like_a_path {
            change(&mut path);
            let text = names::text(&path);
            *model = if path.is_relative() && !text.starts_with('.') {
                format!("./{text}")
            } else {
                text
            };
        }
    }
}

/// The name with the ending that workspaces have.
pub fn with_extension(path: &Path) -> PathBuf {
    if is_workspace(path) {
        return path.to_owned();
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(EXTENSION);
    path.with_file_name(name)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::failed(format!("cannot find {}: {error}", path.display())))
}

/// A path as seen from a folder, if it lies in the folder or in one next to it: further away it is no more likely to
/// be there on another machine than the absolute path.
fn relative_to(folder: &Path, path: &Path) -> Option<PathBuf> {
    if let Ok(inside) = path.strip_prefix(folder) {
        return Some(inside.to_owned());
    }
    let beside = path.strip_prefix(folder.parent()?).ok()?;
    // Everything lies below the root of a disk.
    folder.parent()?.parent()?;
    Some(Path::new("..").join(beside))
}

/// Without `.` and `..`, by name alone.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, component| {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
        plain
    })
}

/// What is worked on, as it is kept for after a crash.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Everything that is looked at.
    pub document: Arc<Document>,
    /// Pictures that are not where they were: they are still wanted.
    pub missing: Vec<(ImageSlot, PictureRef)>,
    /// The workspace file that it belongs to.
    pub saved_as: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::*;
    use crate::{
        app::document::root::{PictureRef, Pin},
        engine::{ImageSlot, QueryAt},
    };

    fn document(picture: &Path, model: &str) -> Document {
        let mut document = Document {
            model: Some(model.to_owned()),
            ..Document::default()
        };
        let source = PictureSource::File(picture.to_owned());
        let fingerprint = Some(7);
        document
            .pictures
            .insert(ImageSlot::A, PictureRef { source, fingerprint });
        document
    }

    #[test]
    fn what_is_written_is_read_back() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let written = document(&folder.path().join("pictures/cat.png"), "demo");
        let path = WorkspaceFile::holding(written.clone()).write(&folder.path().join("mine"))?;
        assert_eq!(path, folder.path().join("mine.featscope.json"));
        let other = || WorkspaceFile::holding(Document::default());
        let refused = other()
            .write(&folder.path().join("mine"))
            .expect_err("nobody was asked");
        assert!(
            refused.to_string().contains("mine.featscope.json is there already"),
            "{refused}"
        );
        assert_eq!(WorkspaceFile::read(&path)?.document, written);
        Ok(())
    }

    #[test]
    fn a_folder_that_moved_takes_its_pictures_along() -> Result<()> {
        let here = tempfile::tempdir().expect("a folder for tests");
        let there = tempfile::tempdir().expect("a folder for tests");
        let work = here.path().join("work");
        fs::create_dir(&work).expect("a folder");
        let written = document(
            &here.path().join("pictures/cat.png"),
            &work.join("model").display().to_string(),
        );
        let path = WorkspaceFile::holding(written).write(&work.join("mine"))?;
        let moved = there.path().join("work");
        fs::rename(&work, &moved).expect("it can be moved");
        let text = fs::read_to_string(moved.join("mine.featscope.json")).expect("it is there");
        assert!(text.contains("\"../pictures/cat.png\""), "{text}");
        let read = WorkspaceFile::read(&moved.join(path.file_name().expect("it has a name")))?.document;
        let expected = document(
            &there.path().join("pictures/cat.png"),
            &moved.join("model").display().to_string(),
        );
        assert_eq!(read, expected);
        Ok(())
    }

    #[test]
    fn what_is_no_workspace_is_refused_with_a_reason() {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let path = folder.path().join("x.featscope.json");
        let sound = serde_json::to_value(WorkspaceFile::holding(Document::default())).expect("JSON");
        let with = |pointer: &str, value: Value| {
            let mut changed = sound.clone();
            *changed.pointer_mut(pointer).expect("it is there") = value;
            changed.to_string()
        };
        for (text, reason) in [
            ("no JSON".to_owned(), "not valid JSON"),
            ("{}".to_owned(), "\"kind\""),
            (with("/version", 99.into()), "newer featscope"),
            (with("/version", Value::Null), "unknown"),
            (with("/document", Value::Null), "missing or wrong"),
            (with("/document/view/zoom", 0.into()), "no usable number"),
            (with("/document/selected_pin", 4.into()), "no such pin"),
            (with("/document/layout/root", 99.into()), "no such tile"),
        ] {
            fs::write(&path, &text).expect("it can be written");
            let error = WorkspaceFile::read(&path).expect_err(&text).to_string();
            assert!(error.contains(reason) && error.contains("x.featscope.json"), "{error}");
        }
        // Of another kind it is also where its kind is no text, however much else it holds.
        let others = "{\"\":0},".repeat(1000);
        for kind in ["7", "{\"kind\":1}", "null"] {
            fs::write(&path, format!("{{\"a\":[{others}0],\"kind\":{kind}}}")).expect("it can be written");
            let error = WorkspaceFile::read(&path).expect_err(kind).to_string();
            assert!(error.contains("its \"kind\" is not"), "{error}");
        }
        assert!(WorkspaceFile::read(folder.path()).is_err());
        assert!(WorkspaceFile::read(&folder.path().join("none.featscope.json")).is_err());
    }

    #[test]
    fn what_is_too_large_is_neither_read_nor_written() {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let path = folder.path().join("x.featscope.json");
        let sound = serde_json::to_string(&WorkspaceFile::holding(Document::default())).expect("JSON");
        let most = MOST_BYTES as usize;
        let padded = |length: usize| format!("{sound}{}", " ".repeat(length - sound.len()));
        fs::write(&path, padded(most)).expect("it can be written");
        WorkspaceFile::read(&path).expect("as large as may be");
        fs::write(&path, padded(most + 1)).expect("it can be written");
        let error = WorkspaceFile::read(&path).expect_err("too large").to_string();
        assert!(
            error.contains("x.featscope.json") && error.contains(&MOST_BYTES.to_string()),
            "{error}"
        );

        let mut document = Document::default();
        let at = QueryAt::Region {
            path: vec![[1.5; 2]; most / 8],
            radius: 1.0,
        };
        document.pins.push(Pin::single(1, ImageSlot::A, at));
        let kept = fs::read(&path).expect("it is there");
        let error = WorkspaceFile::holding(document)
            .write(&path)
            .expect_err("too large")
            .to_string();
        assert!(
            error.contains("x.featscope.json") && error.contains("delete some"),
            "{error}"
        );
        assert_eq!(fs::read(&path).expect("it is there"), kept, "what was there stays");
    }

    #[test]
    fn pins_of_the_first_format_open_as_the_pairs_they_were() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let path = folder.path().join("x.featscope.json");
        let mut old = serde_json::to_value(WorkspaceFile::holding(Document::default())).expect("JSON");
        old["version"] = 1.into();
        let pin =
            |number: u32, slot: &str| serde_json::json!({"number": number, "slot": slot, "at": {"point": [number, 2]}});
        let pins = [(1, "A"), (2, "A"), (3, "B"), (4, "B"), (5, "C")];
        old["document"]["pins"] = pins.map(|(number, slot)| pin(number, slot)).to_vec().into();
        old["document"]["selected_pin"] = 4.into();
        old["document"].as_object_mut().expect("fields").remove("selected_mate");
        old["document"]["rank"]["partners"] = serde_json::json!({"1": 4});
        fs::write(&path, old.to_string()).expect("it can be written");
        let opened = WorkspaceFile::read(&path)?.document;
        let pairs: Vec<_> = crate::app::document::pairs::pairs(&opened)
            .map(|pair| (pair.number, pair.at))
            .collect();
        assert_eq!(pairs, [(1, [[1.0, 2.0], [4.0, 2.0]]), (2, [[2.0, 2.0], [3.0, 2.0]])]);
        assert_eq!((opened.selected_pin, opened.selected_mate), (Some(1), true));
        // Written again it is of the second format, in which pins that stand alone stay so.
        let again = WorkspaceFile::holding(opened.clone()).write(&folder.path().join("y"))?;
        assert_eq!(WorkspaceFile::read(&again)?.document, opened);
        Ok(())
    }

    #[test]
    fn work_is_kept_with_the_file_it_belongs_to_and_with_pictures_that_were_not_found() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let mut wanted = document(&folder.path().join("cat.png"), "demo");
        let there = wanted.clone();
        let picture = wanted.pictures[&ImageSlot::A].clone();
        wanted.pictures.insert(ImageSlot::B, picture.clone());
        let work = Work {
            document: Arc::new(there),
            missing: vec![(ImageSlot::B, picture)],
            saved_as: Some(folder.path().join("mine.featscope.json")),
        };
        let path = WorkspaceFile::recovering(work.clone()).write(&folder.path().join("work"))?;
        let read = WorkspaceFile::read(&path)?;
        assert_eq!((read.document, read.saved_as), (wanted, work.saved_as));
        Ok(())
    }
}

//! Folders looked through for a path, where the desktop has no dialog for it: what is listed, and what is typed of it.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use super::{
    path_box::{PathPurpose, Wanted},
    preferences::Preferences,
};
use crate::files::names;

/// Most entries of a folder that are listed: any other can be typed.
pub const MOST_LISTED: usize = 10_000;

/// What is looked through.
#[derive(Debug, Default)]
pub struct Browser {
    /// The folder that names without one are taken of.
    pub base: PathBuf,
    /// What was read last.
    pub listing: Option<Listing>,
    /// The folder that is being read.
    pub asked: Option<PathBuf>,
    /// The entry under the cursor, of those that are shown.
    pub cursor: Option<usize>,
    /// Whether names that begin with a dot are shown.
    pub hidden: bool,
    /// Whether files of all kinds are shown.
    pub all_files: bool,
    /// A file that is there and would be written over: asked about.
    pub overwrites: Option<PathBuf>,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as text that [`names::path`] makes the name of.
    pub name: String,
    /// Whether it is a folder, or a link to one.
    pub is_folder: bool,
    /// Its name in lower case.
    folded: String,
}

/// The entries of a folder, folders first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The folder.
    pub folder: PathBuf,
    /// Its entries.
    pub entries: Vec<Entry>,
    /// Whether there are more.
    pub is_cut: bool,
    /// Why it cannot be read, if so.
    pub problem: Option<String>,
}

impl Listing {
    /// Reads a folder. This can take long: call it on a thread of its own.
    pub fn read(folder: PathBuf) -> Self {
        let mut listing = Self {
            folder,
            ..Self::default()
        };
        let read = match fs::read_dir(&listing.folder) {
            Ok(read) => read,
            Err(error) => {
                listing.problem = Some(error.to_string());
                return listing;
            }
        };
        for entry in read.flatten() {
            if listing.entries.len() == MOST_LISTED {
                listing.is_cut = true;
                break;
            }
            // A link to a folder is one.
            let is_folder = match entry.file_type() {
                Ok(kind) if kind.is_symlink() => entry.path().is_dir(),
                kind => kind.is_ok_and(|kind| kind.is_dir()),
            };
            let name = names::text(entry.file_name());
            listing.entries.push(Entry {
                folded: name.to_lowercase(),
                name,
                is_folder,
            });
        }
        listing
            .entries
            .sort_by(|a, b| (!a.is_folder, &a.folded, &a.name).cmp(&(!b.is_folder, &b.folded, &b.name)));
        listing
    }
}

impl Browser {
    /// Begins to look for a path, where such paths were last.
    pub fn begin(&mut self, purpose: PathPurpose, remembered: &Preferences) {
        if self.base.as_os_str().is_empty() {
            let here = env::current_dir().ok();
            let recent = recent_folders(remembered, purpose).into_iter().next();
            self.base = recent.or(here).or_else(env::home_dir).unwrap_or_default();
        }
        // What is there may have changed.
        self.listing = None;
        self.asked = None;
        self.cursor = None;
        self.overwrites = None;
    }

    /// The folder that a text leads to, and the beginning of a name in it.
    pub fn place(&self, text: &str) -> (PathBuf, String) {
        let split = text.rfind(is_separator).map(|at| at + 1);
        match split {
            Some(at) => (self.path(&text[..at]), text[at..].to_owned()),
            None if text == "~" => (self.path("~/"), String::new()),
            None => (self.base.clone(), text.to_owned()),
        }
    }

    /// The path that a text stands for: names without a folder are taken of the one looked at.
    pub fn path(&self, text: &str) -> PathBuf {
        let of_home = text
            .strip_prefix('~')
            .filter(|rest| rest.is_empty() || rest.starts_with(is_separator));
        match (of_home, env::home_dir()) {
            (Some(rest), Some(home)) => home.join(names::path(rest.trim_start_matches(is_separator))),
            _ => self.base.join(names::path(text)),
        }
    }

    /// What is listed of what is typed.
    pub fn shown(&self, purpose: PathPurpose, text: &str) -> Vec<&Entry> {
        let (folder, beginning) = self.place(text);
        let Some(listing) = self.listing.as_ref().filter(|listing| listing.folder == folder) else {
            return Vec::new();
        };
        let beginning = beginning.to_lowercase();
        let wanted = purpose.wanted();
        let is_shown = |entry: &&Entry| {
            let fits = match (&wanted, entry.is_folder) {
                (_, true) => true,
                (Wanted::Folder, false) => false,
                (_, false) => self.all_files || wanted.fits(&entry.folded),
            };
            let hidden = entry.name.starts_with('.') && !beginning.starts_with('.') && !self.hidden;
            fits && !hidden && entry.folded.starts_with(&beginning)
        };
        listing.entries.iter().filter(is_shown).collect()
    }

    /// The entry under the cursor.
    pub fn chosen(&self, purpose: PathPurpose, text: &str) -> Option<&Entry> {
        self.shown(purpose, text).get(self.cursor?).copied()
    }

    /// The text with as much more as all that is listed has in common; for a file to be written, the usual name.
    pub fn completed(&self, purpose: PathPurpose, text: &str) -> Option<String> {
        let (_, beginning) = self.place(text);
        if let (true, Wanted::Save { name, .. }) = (beginning.is_empty(), purpose.wanted()) {
            return Some(format!("{text}{name}"));
        }
        let shown = self.shown(purpose, text);
        let first = shown.first()?;
        let common = shown.iter().skip(1).fold(first.name.as_str(), |common, entry| {
            let same = common.chars().zip(entry.name.chars());
            let count: usize = same.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
            &common[..count]
        });
        // Names that differ in case alone have less in common than is typed.
        if common.len() < beginning.len() {
            return None;
        }
        let end = if shown.len() == 1 && first.is_folder { "/" } else { "" };
        Some(format!("{}{common}{end}", &text[..text.len() - beginning.len()]))
    }

    /// The text that leads into the folder above.
    pub fn above(&self, text: &str) -> Option<String> {
        let (folder, _) = self.place(text);
        folder.parent().map(into_folder)
    }
}

/// The text that leads into a folder.
pub fn into_folder(folder: &Path) -> String {
    let mut text = names::text(folder);
    if !text.ends_with(is_separator) {
        text.push('/');
    }
    text
}

fn is_separator(character: char) -> bool {
    std::path::is_separator(character)
}

/// The folders of what was opened last, those of the same kind of file first.
pub fn recent_folders(remembered: &Preferences, purpose: PathPurpose) -> Vec<PathBuf> {
    let parents = |paths: &[PathBuf]| -> Vec<PathBuf> {
        paths
            .iter()
            .filter_map(|path| path.parent().map(Path::to_owned))
            .collect()
    };
    let models: Vec<PathBuf> = remembered.models.iter().map(|name| names::path(name)).collect();
    let (pictures, models, workspaces) = (
        parents(&remembered.pictures),
        parents(&models),
        parents(&remembered.workspaces),
    );
    let order = match purpose {
        PathPurpose::OpenWorkspace | PathPurpose::SaveWorkspace => [workspaces, pictures, models],
        PathPurpose::Model | PathPurpose::ModelFile => [models, pictures, workspaces],
        _ => [pictures, workspaces, models],
    };
    let mut known = BTreeSet::new();
    let all = order.into_iter().flatten().filter(|folder| folder.is_absolute());
    all.filter(|folder| known.insert(folder.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ImageSlot;

    const PICTURE: PathPurpose = PathPurpose::Picture(ImageSlot::A);

    /// A browser over a folder of its own.
    fn browser(entries: &[&str]) -> (tempfile::TempDir, Browser) {
        let folder = tempfile::tempdir().expect("a folder");
        for entry in entries {
            let path = folder.path().join(entry.trim_end_matches('/'));
            match entry.ends_with('/') {
                true => fs::create_dir(path),
                false => fs::write(path, ""),
            }
            .expect("an entry");
        }
        let browser = Browser {
            base: folder.path().to_owned(),
            listing: Some(Listing::read(folder.path().to_owned())),
            ..Browser::default()
        };
        (folder, browser)
    }

    fn names_of(browser: &Browser, purpose: PathPurpose, text: &str) -> Vec<String> {
        let shown = browser.shown(purpose, text);
        shown.iter().map(|entry| entry.name.clone()).collect()
    }

    #[test]
    fn folders_come_first_and_other_files_and_hidden_ones_when_asked_for() {
        let (_folder, mut browser) = browser(&["b.png", "A.JPG", "notes.txt", ".hidden.png", "zoo/", ".cache/"]);
        assert_eq!(names_of(&browser, PICTURE, ""), ["zoo", "A.JPG", "b.png"]);
        assert_eq!(names_of(&browser, PICTURE, "a"), ["A.JPG"]);
        assert_eq!(names_of(&browser, PICTURE, ".h"), [".hidden.png"]);
        assert_eq!(names_of(&browser, PathPurpose::Model, ""), ["zoo"]);
        browser.all_files = true;
        browser.hidden = true;
        assert_eq!(
            names_of(&browser, PICTURE, ""),
            [".cache", "zoo", ".hidden.png", "A.JPG", "b.png", "notes.txt"]
        );
    }

    #[test]
    fn what_is_typed_is_completed_and_leads_somewhere() {
        let (folder, browser) = browser(&["cat-1.png", "cat-2.png", "dogs/", "Émile.png"]);
        let completed = |text: &str| browser.completed(PICTURE, text);
        assert_eq!(completed("c").as_deref(), Some("cat-"));
        assert_eq!(completed("cat-2").as_deref(), Some("cat-2.png"));
        assert_eq!(completed("D").as_deref(), Some("dogs/"));
        assert_eq!(completed("é").as_deref(), Some("Émile.png"));
        assert_eq!(completed("x"), None);
        let typed = format!("{}/do", folder.path().display());
        assert_eq!(completed(&typed), Some(format!("{}/dogs/", folder.path().display())));
        assert_eq!(
            browser.completed(PathPurpose::SaveBasis, "dogs/").as_deref(),
            Some("dogs/basis.json")
        );
        assert_eq!(browser.place("dogs/a"), (folder.path().join("dogs/"), "a".to_owned()));
        assert_eq!(browser.path("cat-1.png"), folder.path().join("cat-1.png"));
        let above = browser.above("dogs/").map(|text| browser.path(&text));
        assert_eq!(above.as_deref(), Some(folder.path()));
        if let Some(home) = env::home_dir() {
            assert_eq!(browser.path("~/a.png"), home.join("a.png"));
            assert_eq!(browser.place("~").0, home.join(""));
        }
    }

    #[test]
    fn what_cannot_be_read_says_why_and_what_is_huge_is_cut() {
        assert!(Listing::read("/no/such/folder".into()).problem.is_some());
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..=MOST_LISTED {
            fs::write(folder.path().join(number.to_string()), "").expect("a file");
        }
        let listing = Listing::read(folder.path().to_owned());
        assert_eq!((listing.entries.len(), listing.is_cut), (MOST_LISTED, true));
    }

    #[cfg(unix)]
    #[test]
    fn names_may_be_any_bytes() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(OsStr::from_bytes(b"b\xe9.png"));
        fs::write(&path, "").expect("a file");
        let browser = Browser {
            base: folder.path().to_owned(),
            listing: Some(Listing::read(folder.path().to_owned())),
            ..Browser::default()
        };
        let completed = browser.completed(PICTURE, "b").expect("it is completed");
        assert_eq!(browser.path(&completed), path);
    }

    #[test]
    fn recent_folders_of_the_same_kind_come_first() {
        let mut remembered = Preferences::default();
        for path in ["/w/a.json", "/p/a.png", "/p/b.png"] {
            match path.ends_with("json") {
                true => remembered.add_workspace(Path::new(path)),
                false => remembered.add_picture(Path::new(path)),
            }
        }
        remembered.add_model("demo");
        assert_eq!(recent_folders(&remembered, PICTURE), ["/p", "/w"].map(PathBuf::from));
        assert_eq!(
            recent_folders(&remembered, PathPurpose::OpenWorkspace),
            ["/w", "/p"].map(PathBuf::from)
        );
    }
}

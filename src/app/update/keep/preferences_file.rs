//! The file of what is remembered from one start to the next. Windows share it: each puts in what changed in it since it
//! last wrote, and leaves what others wrote meanwhile.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    app::state::preferences::Preferences,
    error::{Error, Result},
    files,
    io::output::{replace_file, write_error},
};

/// What the window's own memory is called in the file.
pub const MEMORY_KEY: &str = "memory";
/// What eframe keeps beside it: where the window was, and the state of egui's widgets.
pub const OTHER_KEYS: [&str; 2] = [WINDOW_KEY, WIDGETS_KEY];
const WINDOW_KEY: &str = "window";
const WIDGETS_KEY: &str = "egui";
/// The file, where eframe has it too: older programs read it.
const FILE: &str = "app.ron";
/// What a file that cannot be read is kept as.
const DAMAGED: &str = "app.ron.damaged";
/// So many of them are kept at most.
const MOST_DAMAGED: usize = 9;
/// A file larger than this holds no memory.
const MOST_BYTES: u64 = 4 << 20;

/// Texts in RON by what they are called, as eframe writes them.
type Entries = BTreeMap<String, String>;

/// What a window remembers.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// Its own memory.
    pub preferences: Preferences,
    /// What eframe keeps beside it, as texts, by [`OTHER_KEYS`].
    pub others: Vec<(&'static str, String)>,
}

/// The file, and what this window wrote last: what differs from it now has changed here.
pub struct PreferencesFile {
    path: PathBuf,
    others: Entries,
    preferences: Preferences,
}

impl PreferencesFile {
    /// Reads the file in a folder; gives what has to be said of it. One that cannot be read is kept beside it, and all is as
    /// at the first start. The caller is alone with the folder.
    pub fn open(data: &Path) -> (Self, Vec<String>) {
        let path = data.join(FILE);
        let (there, note) = read_or_set_aside(&path);
        let (preferences, others) = there.unwrap_or_default();
        let file = Self {
            path,
            others,
            preferences,
        };
        (file, note.into_iter().collect())
    }

    /// What the window is to remember.
    pub fn preferences(&self) -> Preferences {
        self.preferences.clone()
    }

    /// Writes what eframe keeps in it into another file.
    pub fn copy_to(&self, path: &Path) -> Result<()> {
        write(path, &self.others)
    }

    /// Puts what changed in this window into the file; gives what has to be said. The caller is alone with the folder.
    pub fn write(&mut self, now: Remembered) -> Result<Option<String>> {
        let (there, note) = read_or_set_aside(&self.path);
        let Remembered { preferences, others } = now;
        let others: Entries = others.into_iter().map(|(key, text)| (key.to_owned(), text)).collect();
        let (memory_to_write, mut entries) = match &there {
            Some((theirs, their_others)) => {
                let changed = |(key, text): &(&String, &String)| self.others.get(*key) != Some(*text);
                let mut merged = their_others.clone();
                merged.extend((others.iter().filter(changed)).map(|(key, text)| (key.clone(), text.clone())));
                (preferences.merged(&self.preferences, theirs), merged)
            }
            None => (preferences.clone(), others.clone()),
        };
        let is_new = match &there {
            Some((theirs, their_others)) => *theirs != memory_to_write || *their_others != entries,
            None => true,
        };
        if is_new {
            let text = ron::to_string(&memory_to_write)
                .map_err(|error| Error::failed(format!("it cannot be written down: {error}")))?;
            entries.insert(MEMORY_KEY.to_owned(), text);
            write(&self.path, &entries)?;
        }
        (self.preferences, self.others) = (preferences, others);
        Ok(note)
    }
}

/// What is in the file; none where there is no file, or where it had to be set aside, and what has to be said of that.
fn read_or_set_aside(path: &Path) -> (Option<(Preferences, Entries)>, Option<String>) {
    let why = match read(path) {
        Ok(there) => return (there, None),
        Err(why) => why,
    };
    let shown = path.display();
    let kept = unused(path);
    let note = match fs::rename(path, &kept) {
        Ok(()) => format!(
            "What was remembered cannot be read ({shown}: {why}): recent files and settings are those of a first start. The \
             file is kept as {}.",
            kept.display()
        ),
        Err(error) => format!("What was remembered cannot be read ({shown}: {why}), nor kept aside ({error})."),
    };
    (None, Some(note))
}

/// What is in the file, unless there is none.
fn read(path: &Path) -> Result<Option<(Preferences, Entries)>, String> {
    // A link that leads nowhere is no file yet.
    if !path.exists() {
        return Ok(None);
    }
    let text = files::read_text(path, MOST_BYTES, "what is remembered").map_err(|error| error.to_string())?;
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut entries: Entries = ron::from_str(&text).map_err(|error| format!("it is damaged: {error}"))?;
    let preferences = match entries.remove(MEMORY_KEY) {
        Some(text) => ron::from_str(&text).map_err(|error| format!("\"{MEMORY_KEY}\" in it is damaged: {error}"))?,
        None => Preferences::default(),
    };
    Ok(Some((preferences, entries)))
}

fn write(path: &Path, entries: &Entries) -> Result<()> {
    let failed = |error| Error::failed(format!("it cannot be written down: {error}"));
    let text = ron::ser::to_string_pretty(entries, ron::ser::PrettyConfig::default()).map_err(failed)?;
    // What could not be read again is not written: the state of widgets alone can grow.
    if text.len() as u64 > MOST_BYTES {
        let mut fewer = entries.clone();
        return match fewer.remove(WIDGETS_KEY) {
            Some(_) => write(path, &fewer),
            None => Err(Error::failed(format!(
                "it has {} bytes, more than the {MOST_BYTES} that are read",
                text.len()
            ))),
        };
    }
    replace_file(path, |file| file.write_all(text.as_bytes()).map_err(write_error))
}

/// A name beside the file that nothing has yet; the last one is used again.
fn unused(path: &Path) -> PathBuf {
    let named = |number: usize| match number {
        1 => path.with_file_name(DAMAGED),
        number => path.with_file_name(format!("{DAMAGED}-{number}")),
    };
    let free = (1..MOST_DAMAGED)
        .map(named)
        .find(|path| fs::symlink_metadata(path).is_err());
    free.unwrap_or_else(|| named(MOST_DAMAGED))
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    fn remembered(preferences: &Preferences, window: &str) -> Remembered {
        Remembered {
            preferences: preferences.clone(),
            others: vec![(WINDOW_KEY, window.to_owned())],
        }
    }

    #[test]
    fn two_windows_do_not_undo_each_other() -> TestResult {
        let folder = tempfile::tempdir()?;
        let (mut first, notes) = PreferencesFile::open(folder.path());
        assert!(notes.is_empty());
        let mut here = first.preferences();
        here.add_model("before");
        first.write(remembered(&here, "(1)"))?;

        let (mut second, _) = PreferencesFile::open(folder.path());
        let mut there = second.preferences();
        assert_eq!(there.models, ["before"]);
        here.add_model("of the first");
        here.add_picture(Path::new("/first.png"));
        here.zoom = 1.5;
        first.write(remembered(&here, "(1)"))?;
        there.add_model("of the second");
        there.linked = false;
        there.rates.insert("demo".to_owned(), 2.0);
        second.write(remembered(&there, "(2)"))?;
        // Nothing has changed in the first since.
        first.write(remembered(&here, "(1)"))?;

        let (last, _) = PreferencesFile::open(folder.path());
        let preferences = last.preferences();
        assert_eq!(preferences.models, ["of the second", "of the first", "before"]);
        assert_eq!(preferences.pictures, [PathBuf::from("/first.png")]);
        assert!(preferences.zoom > 1.4 && !preferences.linked);
        assert_eq!(preferences.rates.get("demo"), Some(&2.0));
        assert_eq!(last.others.get(WINDOW_KEY).map(String::as_str), Some("(2)"));
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_text_are_remembered() -> TestResult {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir()?;
        let (mut file, _) = PreferencesFile::open(folder.path());
        let mut preferences = Preferences::default();
        preferences.add_picture(Path::new(std::ffi::OsStr::from_bytes(b"/tmp/c\xff\n.png")));
        preferences.add_workspace(Path::new("/tmp/mine.featscope.json"));
        file.write(remembered(&preferences, ""))?;
        let (file, notes) = PreferencesFile::open(folder.path());
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(file.preferences(), preferences);
        Ok(())
    }

    #[test]
    fn a_file_of_eframe_is_taken_over() -> TestResult {
        let folder = tempfile::tempdir()?;
        let mut preferences = Preferences::default();
        preferences.add_model("demo");
        preferences.set_arrangement(&crate::app::document::root::Document::default());
        let entries = Entries::from([
            (MEMORY_KEY.to_owned(), ron::to_string(&preferences)?),
            (WIDGETS_KEY.to_owned(), "(widgets)".to_owned()),
        ]);
        fs::write(
            folder.path().join(FILE),
            ron::ser::to_string_pretty(&entries, Default::default())?,
        )?;
        let (file, notes) = PreferencesFile::open(folder.path());
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(file.preferences(), preferences);
        let copy = folder.path().join("copy.ron");
        file.copy_to(&copy)?;
        assert!(fs::read_to_string(copy)?.contains("(widgets)"));
        Ok(())
    }

    #[test]
    fn what_cannot_be_read_is_said_once_and_kept() -> TestResult {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(FILE);
        let whole = ron::to_string(&Entries::from([(MEMORY_KEY.to_owned(), "(zoom: 1.5)".to_owned())]))?;
        let torn = &whole[..whole.len() / 2];
        let wrong = whole.replace("1.5", "true");
        let mut kept = Vec::new();
        for (bytes, why) in [
            (b"".as_slice(), "it is empty"),
            (torn.as_bytes(), "it is damaged"),
            (wrong.as_bytes(), "\"memory\" in it is damaged"),
            (&[0xff, 0xfe], "UTF-8"),
        ] {
            fs::write(&path, bytes)?;
            let (mut file, notes) = PreferencesFile::open(folder.path());
            assert!(notes.len() == 1 && notes[0].contains(why), "{notes:?}");
            assert_eq!(file.preferences(), Preferences::default());
            kept.push(bytes.to_vec());
            let (_, notes) = PreferencesFile::open(folder.path());
            assert!(notes.is_empty(), "said once");
            // Also where it is damaged while the window is open.
            fs::write(&path, bytes)?;
            let note = file.write(remembered(&file.preferences(), ""))?;
            assert!(note.is_some_and(|note| note.contains(why)));
            kept.push(bytes.to_vec());
        }
        let mut found: Vec<Vec<u8>> = Vec::new();
        for entry in fs::read_dir(folder.path())? {
            let path = entry?.path();
            if path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(DAMAGED))
            {
                found.push(fs::read(path)?);
            }
        }
        found.sort();
        kept.sort();
        assert_eq!(found, kept);
        Ok(())
    }

    #[test]
    fn widgets_make_no_file_that_cannot_be_read_again() -> TestResult {
        let folder = tempfile::tempdir()?;
        let (mut file, _) = PreferencesFile::open(folder.path());
        let mut preferences = Preferences::default();
        preferences.add_model("demo");
        let others = vec![(WIDGETS_KEY, "x".repeat(MOST_BYTES as usize))];
        file.write(Remembered { preferences, others })?;
        let (file, notes) = PreferencesFile::open(folder.path());
        assert!(notes.is_empty());
        assert_eq!(file.preferences().models, ["demo"]);
        Ok(())
    }
}

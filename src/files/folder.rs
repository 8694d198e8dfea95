//! A folder of files that belong together, never half of one output and half of another.
//!
//! A folder that is new appears whole. In one that is there the old record goes first and the new one comes last: whenever
//! the program ends, no record claims files that are not its own.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    durable::{moved, sync_folder, take_after},
    places::{check_file_place, check_folder, check_folder_place, folder_of, through_links},
    read_text,
    replace::{make_file, write_error},
    unfinished::{MadeFolders, UnfinishedPlace, remove_leftovers},
};
use crate::error::{Error, Result};

/// Records: files that describe the others in a folder, and what made them.
pub(crate) const REQUEST_FILE: &str = "request.json";
/// The record of written panes.
pub(crate) const PANES_FILE: &str = "panes.json";
/// The record of a survey.
pub(crate) const SURVEY_FILE: &str = "survey.json";
/// The record of a recommendation.
pub(crate) const RECOMMEND_FILE: &str = "recommend.json";
const RECORDS: [&str; 4] = [REQUEST_FILE, PANES_FILE, SURVEY_FILE, RECOMMEND_FILE];
/// Key of a record under which its files are listed.
const OUTPUT_KEY: &str = "output";
/// Prefix of the names of old records while they lie beside the new files.
const OLD: &str = ".old-";
/// A larger record than this is not searched for the files it lists.
const MOST_RECORD_BYTES: u64 = 16 << 20;

/// Entry of a record about its folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Output {
    /// Whose output it is: `extract`, `match` …
    of: String,
    /// The files beside the record that belong to it.
    files: BTreeSet<String>,
}

/// Fills a folder by way of an unfinished one: files of the same names are replaced when all are complete and on the disk,
/// files that only the old record names are removed, other files in the folder stay.
pub(crate) fn write_folder(folder: &Path, fill: impl FnOnce(&UnfinishedFolder) -> Result<()>) -> Result<()> {
    check_folder(folder)?;
    let target = through_links(folder)?;
    let is_new = !target.is_dir();
    let place = if is_new { folder_of(&target) } else { &target };
    let made = MadeFolders::down_to(place)?;
    let temporary = UnfinishedPlace::in_folder(place, !is_new)?;
    let mut torn = Vec::new();
    remove_leftovers(place, |leftover| torn.extend(outputs_in(leftover)));
    let unfinished = UnfinishedFolder::new(temporary.path().to_owned(), folder.to_owned());
    fill(&unfinished)?;
    unfinished.finish()?;
    let temporary = match is_new {
        true => temporary.become_folder(&target)?,
        false => Some(temporary),
    };
    if let Some(temporary) = temporary {
        let merge = Merge::plan(temporary.path(), &target, &torn)?;
        temporary.put(|_| merge.carry_out())?;
    }
    moved(&target);
    made.keep();
    Ok(())
}

/// A folder that is being filled.
pub struct UnfinishedFolder {
    path: PathBuf,
    becomes: PathBuf,
    files: RefCell<BTreeSet<String>>,
    record: RefCell<Option<Record>>,
}

/// A record, written after the files.
struct Record {
    name: &'static str,
    of: &'static str,
    value: Value,
}

impl UnfinishedFolder {
    fn new(path: PathBuf, becomes: PathBuf) -> Self {
        Self {
            path,
            becomes,
            files: RefCell::default(),
            record: RefCell::default(),
        }
    }

    /// Writes a file.
    pub fn file(&self, name: &str, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        make_file(&self.path.join(name), fill).map_err(|error| error.context(self.becomes.join(name).display()))?;
        self.files.borrow_mut().insert(name.to_owned());
        Ok(())
    }

    /// Makes a file of JSON.
    pub fn json(&self, name: &str, value: &Value) -> Result<()> {
        self.file(name, |file| writeln!(file, "{value:#}").map_err(write_error))
    }

    /// Says what the files are and what made them: an object, to which their names are added. `name` is one of
    /// [`REQUEST_FILE`], [`PANES_FILE`], [`SURVEY_FILE`] and [`RECOMMEND_FILE`], `of` says whose output this is.
    pub fn record(&self, name: &'static str, of: &'static str, value: Value) {
        *self.record.borrow_mut() = Some(Record { name, of, value });
    }

    /// Makes a folder inside.
    pub fn folder(&self, name: &str, fill: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let inside = Self::new(self.path.join(name), self.becomes.join(name));
        fs::create_dir(&inside.path).map_err(|error| write_error(error).context(inside.becomes.display()))?;
        fill(&inside)?;
        inside.finish()
    }

    /// Writes the record, and waits until everything is on the disk.
    fn finish(&self) -> Result<()> {
        if let Some(Record { name, of, mut value }) = self.record.take() {
            if let Some(object) = value.as_object_mut() {
                let files = self.files.take();
                object.insert(
                    OUTPUT_KEY.to_owned(),
                    json!(Output {
                        of: of.to_owned(),
                        files
                    }),
                );
            }
            self.json(name, &value)?;
        }
        sync_folder(&self.path);
        Ok(())
    }
}

/// Moves from an unfinished folder into one that is there.
#[derive(Default)]
struct Merge {
    /// (from, to) of records that are replaced: they go before anything else changes, to where the next program finds them if
    /// this one is killed.
    old_records: Vec<(PathBuf, PathBuf)>,
    /// Files that only those records name.
    stale: BTreeSet<PathBuf>,
    /// (from, to): files, and whole folders that are not there yet.
    moves: Vec<(PathBuf, PathBuf)>,
    /// The same of records, which come last.
    records: Vec<(PathBuf, PathBuf)>,
    /// The folders in which something changes.
    folders: Vec<PathBuf>,
}

impl Merge {
    /// Refuses what could be moved only in part: a folder where a file must go, or a file where a folder must, or a file
    /// that may not be written.
    /// `torn` is what programs that were killed here meant to write and to replace.
    fn plan(from: &Path, to: &Path, torn: &[Output]) -> Result<Self> {
        let mut merge = Self::default();
        merge.add(from, to, torn)?;
        Ok(merge)
    }

    fn add(&mut self, from: &Path, to: &Path, torn: &[Output]) -> Result<()> {
        let read_error = |error| Error::io("read the folder", from, &error);
        let entries = fs::read_dir(from)
            .map_err(read_error)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(read_error)?;
        self.folders.push(to.to_owned());
        for entry in &entries {
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            if source.is_dir() {
                check_folder_place(&target)?;
                match target.is_dir() {
                    true => self.add(&source, &target, &[])?,
                    false => self.moves.push((source, target)),
                }
                continue;
            }
            check_file_place(&target)?;
            if let Ok(old) = fs::metadata(&target) {
                take_after(&source, &old).map_err(|error| Error::io("write", &target, &error))?;
            }
            if !RECORDS.iter().any(|record| entry.file_name() == *record) {
                self.moves.push((source, target));
                continue;
            }
            match target.exists() {
                true => {
                    let old = output_of(&target);
                    self.stale.extend(stale(&source, old.as_slice(), to));
                    let kept = from.join(format!("{OLD}{}", entry.file_name().display()));
                    self.old_records.push((target.clone(), kept));
                }
                // A record that is there is better than the plan of an output that was not finished.
                false => self.stale.extend(stale(&source, torn, to)),
            }
            self.records.push((source, target));
        }
        // A file that is replaced anyway is no leftover of the old output.
        let (stale, moves) = (&mut self.stale, &self.moves);
        stale.retain(|path| moves.iter().all(|(_, target)| target != path));
        Ok(())
    }

    fn carry_out(&self) -> Result<()> {
        let take =
            |(old, kept): &(PathBuf, PathBuf)| fs::rename(old, kept).map_err(|error| Error::io("replace", old, &error));
        self.old_records.iter().try_for_each(take)?;
        if !self.old_records.is_empty() {
            self.folders.iter().for_each(|folder| sync_folder(folder));
        }
        let remove = |path: &PathBuf| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("replace", path, &error)),
            _ => Ok(()),
        };
        self.stale.iter().try_for_each(remove)?;
        let put = |(source, target): &(PathBuf, PathBuf)| {
            fs::rename(source, target).map_err(|error| Error::io("write", target, &error))
        };
        self.moves.iter().try_for_each(put)?;
        // The files are there for good before anything claims them.
        self.folders.iter().for_each(|folder| sync_folder(folder));
        self.records.iter().try_for_each(put)?;
        self.folders.iter().for_each(|folder| sync_folder(folder));
        Ok(())
    }
}

/// The files in `folder` that old records of outputs of the same kind name, and the new one does not.
fn stale(new: &Path, old: &[Output], folder: &Path) -> BTreeSet<PathBuf> {
    let Some(new) = output_of(new) else {
        return BTreeSet::new();
    };
    // A record may come from anywhere: only what lies beside it is its own.
    let is_name = |name: &&String| {
        let mut parts = Path::new(name.as_str()).components();
        !RECORDS.contains(&name.as_str()) && matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
    };
    let same = old.iter().filter(|old| old.of == new.of);
    let stale = same.flat_map(|old| old.files.difference(&new.files)).filter(is_name);
    let paths = stale.map(|name| folder.join(name));
    let is_file = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    paths.filter(is_file).collect()
}

/// The outputs that an unfinished folder was to hold, and those that it was to replace.
fn outputs_in(unfinished: &Path) -> Vec<Output> {
    let names = RECORDS
        .iter()
        .flat_map(|name| [(*name).to_owned(), format!("{OLD}{name}")]);
    names.filter_map(|name| output_of(&unfinished.join(name))).collect()
}

/// Entry of a record about its folder; those of older programs have none.
fn output_of(record: &Path) -> Option<Output> {
    /// Everything else is passed over.
    #[derive(Deserialize)]
    struct Listed {
        output: Option<Output>,
    }
    let text = read_text(record, MOST_RECORD_BYTES, "a record of an output").ok()?;
    serde_json::from_str::<Listed>(&text).ok()?.output
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    fn written(folder: &Path, of: &'static str, seed: u64, files: &[&str]) -> Result<()> {
        write_folder(folder, |inside| {
            inside.record(REQUEST_FILE, of, json!({ "seed": seed }));
            files
                .iter()
                .try_for_each(|name| inside.file(name, |file| write!(file, "{seed}").map_err(write_error)))
        })
    }

    fn listing(files: &[&str]) -> String {
        json!({ "output": { "of": "a", "files": files } }).to_string()
    }

    fn names(folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    #[test]
    fn a_record_lists_its_files_and_those_it_lists_alone_go_with_it() -> TestResult {
        let place = tempfile::tempdir()?;
        let folder = place.path().join("out");
        written(&folder, "a", 1, &["x", "y"])?;
        assert_eq!(names(place.path())?, ["out"]);
        let text = fs::read_to_string(folder.join(REQUEST_FILE))?;
        let record: Value = serde_json::from_str(&text)?;
        assert_eq!(
            record,
            json!({ "seed": 1, "output": { "of": "a", "files": ["x", "y"] } })
        );
        fs::write(folder.join("mine"), "kept")?;
        written(&folder, "a", 2, &["y", "z"])?;
        assert_eq!(names(&folder)?, ["mine", REQUEST_FILE, "y", "z"]);
        assert_eq!(fs::read_to_string(folder.join("y"))?, "2");
        // Another command's files are not what this one wrote before.
        written(&folder, "b", 3, &["w"])?;
        assert_eq!(names(&folder)?, ["mine", REQUEST_FILE, "w", "y", "z"]);
        Ok(())
    }

    #[test]
    fn a_record_cannot_reach_out_of_its_folder() -> TestResult {
        let place = tempfile::tempdir()?;
        let folder = place.path().join("out");
        written(&folder, "a", 1, &["x"])?;
        fs::write(place.path().join("mine"), "kept")?;
        fs::create_dir(folder.join("inside"))?;
        let absolute = place.path().join("mine").display().to_string();
        let listed =
            json!({ "output": { "of": "a", "files": ["../mine", absolute, "..", "", "inside", "request.json", "x"] } });
        fs::write(folder.join(REQUEST_FILE), listed.to_string())?;
        written(&folder, "a", 2, &["y"])?;
        assert_eq!(names(place.path())?, ["mine", "out"]);
        assert_eq!(names(&folder)?, ["inside", REQUEST_FILE, "y"]);
        Ok(())
    }

    #[test]
    fn whenever_it_ends_no_record_claims_files_of_another_output() -> TestResult {
        let place = tempfile::tempdir()?;
        let folder = place.path().join("out");
        written(&folder, "a", 1, &["x", "y", "z"])?;
        // The end comes when the last of the files cannot be moved.
        let unfinished = place.path().join("unfinished");
        written(&unfinished, "a", 2, &["x", "y", "z"])?;
        let mut merge = Merge::plan(&unfinished, &folder, &[])?;
        merge.moves.push((place.path().join("absent"), folder.join("w")));
        assert!(merge.carry_out().is_err());
        assert_eq!(names(&folder)?, ["x", "y", "z"]);
        // The next one finds what was to be there, and what was there before.
        fs::write(folder.join("mine"), "kept")?;
        fs::write(unfinished.join(REQUEST_FILE), listing(&["x", "y"]))?;
        fs::write(unfinished.join(".old-request.json"), listing(&["x", "z"]))?;
        fs::rename(&unfinished, folder.join(".featscope-Torn12"))?;
        written(&folder, "a", 3, &["x"])?;
        assert_eq!(names(&folder)?, ["mine", REQUEST_FILE, "x"]);
        // Where a record is, that alone counts.
        fs::write(folder.join("y"), "another's")?;
        fs::create_dir(folder.join(".featscope-Torn34"))?;
        fs::write(folder.join(".featscope-Torn34").join(REQUEST_FILE), listing(&["y"]))?;
        written(&folder, "a", 4, &["x"])?;
        assert_eq!(names(&folder)?, ["mine", REQUEST_FILE, "x", "y"]);
        Ok(())
    }

    #[test]
    fn what_fails_leaves_the_old_output() -> TestResult {
        let place = tempfile::tempdir()?;
        let folder = place.path().join("deep/out");
        let failing = |inside: &UnfinishedFolder| {
            inside.file("x", |file| write!(file, "half").map_err(write_error))?;
            Err(Error::Cancelled)
        };
        assert!(write_folder(&folder, failing).is_err());
        assert!(names(place.path())?.is_empty());
        written(&folder, "a", 1, &["x"])?;
        assert!(write_folder(&folder, failing).is_err());
        assert_eq!(names(&folder)?, [REQUEST_FILE, "x"]);
        assert_eq!(fs::read_to_string(folder.join("x"))?, "1");
        // A folder lies where a file must go: nothing is moved.
        fs::create_dir(folder.join("y"))?;
        assert!(written(&folder, "a", 2, &["x", "y"]).is_err());
        assert_eq!(fs::read_to_string(folder.join("x"))?, "1");
        assert!(folder.join(REQUEST_FILE).is_file());
        Ok(())
    }

    #[test]
    fn folders_inside_have_records_of_their_own() -> TestResult {
        let place = tempfile::tempdir()?;
        let write = |seed: u64, files: &[&str]| {
            write_folder(place.path(), |folder| {
                folder.folder("inside", |inside| {
                    inside.record(REQUEST_FILE, "a", json!({ "seed": seed }));
                    files
                        .iter()
                        .try_for_each(|name| inside.file(name, |file| write!(file, "{seed}").map_err(write_error)))
                })
            })
        };
        write(1, &["x", "y"])?;
        write(2, &["y"])?;
        assert_eq!(names(&place.path().join("inside"))?, [REQUEST_FILE, "y"]);
        assert_eq!(fs::read_to_string(place.path().join("inside/y"))?, "2");
        Ok(())
    }
}

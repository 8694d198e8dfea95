//! What outlasts a window: what it remembers, and work that it did not come to save.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use egui::{Key, Modifiers};
use featscope::{
    app::{Abilities, Action, Command, Level, PathPurpose, Preferences},
    engine::{ImageSlot, PictureSource, QueryAt},
};
use tempfile::TempDir;

use super::{
    TestResult,
    driver::{Opening, Window},
    saving::save,
};

/// The dialog, and how the buttons of a work begin.
const OFFER: &str = "Unsaved work";
const OPEN: &str = "Open the work of";
const DISCARD: &str = "Discard the work of";

/// What eframe keeps of its own.
#[derive(Default)]
pub struct Storage(HashMap<String, String>);

impl eframe::Storage for Storage {
    fn get_string(&self, key: &str) -> Option<String> {
        self.0.get(key).cloned()
    }

    fn set_string(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value);
    }

    fn remove_string(&mut self, key: &str) {
        self.0.remove(key);
    }

    fn flush(&mut self) {}
}

fn opening(data: &TempDir) -> Opening {
    Opening {
        data: Some(data.path().to_owned()),
        ..Opening::default()
    }
}

/// A window on which something was done, and whose pins are so many.
fn worked_on(data: &TempDir, pins: usize) -> Window {
    let mut window = opening(data).settled();
    for place in 0..pins {
        let at = QueryAt::Point([10.0 * place as f64, 20.0]);
        window.apply(Command::AddPin(ImageSlot::A, at));
    }
    window.settle();
    window
}

/// Ends a window as a crash does.
fn crash(window: Window) {
    drop(window);
}

/// The folders of windows that there are.
fn folders(data: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.path().join("windows")).expect("windows have had folders");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// The names of all buttons that begin so, in the order of the list.
fn buttons(window: &Window, begins: &str) -> Vec<String> {
    let words = window.words();
    words.into_iter().filter(|words| words.starts_with(begins)).collect()
}

#[track_caller]
fn press(window: &mut Window, begins: &str) {
    let name = buttons(window, begins)
        .first()
        .cloned()
        .expect("there is such a button");
    window.choose(&name);
}

#[test]
fn work_that_was_not_saved_is_offered_and_opened() -> TestResult {
    let data = tempfile::tempdir()?;
    let window = worked_on(&data, 2);
    let document = window.document().clone();
    crash(window);
    assert_eq!(folders(&data).len(), 1);

    let mut next = opening(&data).settled();
    next.assert_says(OFFER);
    next.assert_says("2 pins");
    assert!(
        next.document().pins.is_empty(),
        "nothing is opened without being asked for"
    );
    // By its name it says which work it opens.
    assert!(buttons(&next, OPEN)[0].contains("fake, up-level1-repeat1-vit-block0-cross-q, noto-cat-face"));
    press(&mut next, OPEN);
    next.assert_silent(OFFER);
    assert_eq!(*next.document(), document);
    assert!(next.state().heat_on(ImageSlot::B).is_some(), "and all of it is shown");
    assert_eq!(next.state().workspace_path, None);
    // What was there before is a step away.
    next.act(Action::Undo);
    next.settle();
    assert!(next.document().pins.is_empty());
    next.act(Action::Redo);
    next.settle();
    // It is kept as this window's work now, once.
    crash(next);
    assert_eq!(folders(&data).len(), 1);
    let last = opening(&data).settled();
    assert_eq!(buttons(&last, OPEN).len(), 1);
    last.assert_says("2 pins");
    Ok(())
}

#[test]
fn what_is_discarded_or_put_off() -> TestResult {
    let data = tempfile::tempdir()?;
    for pins in [1, 2] {
        let window = worked_on(&data, pins);
        // It is not offered what the others left before it has been asked.
        crash(window);
    }
    let mut next = opening(&data).settled();
    assert_eq!(buttons(&next, OPEN).len(), 2);
    next.assert_says("1 pin");
    // The last one stands first.
    assert!(buttons(&next, OPEN)[0].contains("2 pins"));
    press(&mut next, DISCARD);
    assert_eq!(buttons(&next, OPEN).len(), 1);
    next.assert_says(OFFER);
    next.key(Key::Escape);
    next.settle();
    next.assert_silent(OFFER);
    assert!(next.state().can(Action::Recover), "it can be looked at again");
    let storage = &mut Storage::default();
    next.close(storage);
    let mut last = opening(&data).settled();
    assert_eq!(buttons(&last, OPEN).len(), 1, "put off is not discarded");
    press(&mut last, DISCARD);
    last.assert_silent(OFFER);
    assert!(!last.state().can(Action::Recover));
    last.close(storage);
    assert!(folders(&data).is_empty());
    Ok(())
}

#[test]
fn the_offer_is_reached_by_keys() -> TestResult {
    let data = tempfile::tempdir()?;
    crash(worked_on(&data, 1));
    let mut next = opening(&data).settled();
    // From "Not now", which has the keyboard, backwards over "Discard" to "Open".
    for _ in 0..2 {
        next.key_with(Modifiers::SHIFT, Key::Tab);
        next.step();
    }
    next.key(Key::Enter);
    next.settle();
    assert_eq!(next.document().pins.len(), 1);
    next.assert_silent(OFFER);
    Ok(())
}

#[test]
fn nothing_is_offered_that_was_saved_closed_or_is_still_worked_on() -> TestResult {
    let data = tempfile::tempdir()?;
    let storage = &mut Storage::default();
    // Nothing was done.
    crash(opening(&data).settled());
    // All was saved.
    let mut saved = worked_on(&data, 1);
    let file = save(&mut saved, PathPurpose::SaveWorkspace, "mine.featscope.json")?;
    saved.settle();
    let document = saved.document().clone();
    crash(saved);
    // Its user closed it.
    worked_on(&data, 1).close(storage);
    let still = worked_on(&data, 1);
    let next = opening(&data).settled();
    next.assert_silent(OFFER);
    assert!(next.state().recoveries.is_empty());
    drop((still, next));
    assert!(!file.exists(), "it was in the folder of its window");
    assert_eq!(document.pins.len(), 1);
    Ok(())
}

#[test]
fn work_of_a_workspace_file_belongs_to_it_still() -> TestResult {
    let data = tempfile::tempdir()?;
    let files = tempfile::tempdir()?;
    let mut window = worked_on(&data, 1);
    let file = files.path().join("mine.featscope.json");
    window.apply(Command::UsePath(PathPurpose::SaveWorkspace, file.clone()));
    window.until("a workspace", |window| window.state().workspace_path.is_some());
    window.apply(Command::AddPin(ImageSlot::B, QueryAt::Point([3.0, 4.0])));
    window.settle();
    crash(window);
    let mut next = opening(&data).settled();
    next.assert_says("mine.featscope.json");
    press(&mut next, OPEN);
    assert_eq!(next.state().workspace_path.as_ref(), Some(&file));
    assert_eq!(next.document().pins.len(), 2);
    Ok(())
}

#[test]
fn a_picture_that_is_gone_is_still_wanted_by_work_that_was_opened() -> TestResult {
    let data = tempfile::tempdir()?;
    let mut window = Opening {
        data: Some(data.path().to_owned()),
        ..Opening::of_columns(2)
    }
    .settled();
    let gone = window.path("columns-a.png");
    window.apply(Command::AddPin(ImageSlot::A, QueryAt::Point([3.0, 4.0])));
    window.settle();
    // Its pictures go with its folder.
    crash(window);
    for _ in 0..2 {
        let mut next = opening(&data).settled();
        press(&mut next, OPEN);
        next.assert_says("Missing pictures");
        let missing: Vec<_> = next
            .state()
            .missing
            .iter()
            .map(|(_, picture)| &picture.source)
            .collect();
        assert!(missing.contains(&&PictureSource::File(gone.clone())), "{missing:?}");
        assert_eq!(next.document().pins.len(), 1);
        crash(next);
    }
    Ok(())
}

#[test]
fn work_that_cannot_be_read_can_be_discarded() -> TestResult {
    let data = tempfile::tempdir()?;
    crash(worked_on(&data, 1));
    let work = folders(&data)[0].join("work.featscope.json");
    let whole = fs::read(&work)?;
    fs::write(&work, &whole[..whole.len() / 2])?;
    let mut next = opening(&data).settled();
    next.assert_says("not valid JSON");
    press(&mut next, OPEN);
    next.assert_says(OFFER);
    assert!(work.exists(), "it is not lost by being looked at");
    press(&mut next, DISCARD);
    assert!(!work.exists());
    Ok(())
}

#[test]
fn what_a_killed_window_left_besides_work_is_taken_away() -> TestResult {
    let data = tempfile::tempdir()?;
    let left = data.path().join("windows/123-left");
    fs::create_dir_all(&left)?;
    fs::write(left.join("lock"), "123")?;
    fs::write(left.join("eframe.ron"), "{}")?;
    fs::write(left.join(".featscope-torn"), "half")?;
    let next = opening(&data).settled();
    assert!(!left.exists());
    assert!(next.state().recoveries.is_empty());
    Ok(())
}

/// The memory of the next start.
fn remembered(data: &TempDir) -> Preferences {
    let window = opening(data).settled();
    window.state().preferences.clone()
}

#[test]
fn two_windows_remember_the_files_of_both() -> TestResult {
    let data = tempfile::tempdir()?;
    let pictures = tempfile::tempdir()?;
    let storage = &mut Storage::default();
    let mut windows = Vec::new();
    for name in ["first.png", "second.png"] {
        let mut window = opening(&data).settled();
        let path = pictures.path().join(name);
        super::driver::write_columns(&path, &super::driver::COLOURS);
        window.open_picture(ImageSlot::A, PictureSource::File(path));
        windows.push(window);
    }
    let mut second = windows.pop().ok_or("two windows")?;
    second.act(Action::LargerInterface);
    second.close(storage);
    for window in windows {
        window.close(storage);
    }
    let memory = remembered(&data);
    let names = |paths: &[PathBuf]| -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        paths.iter().filter_map(name).collect()
    };
    assert_eq!(names(&memory.pictures), ["first.png", "second.png"]);
    assert!(memory.zoom > 1.0, "what one has changed the other does not change back");
    Ok(())
}

#[test]
fn a_memory_that_is_torn_is_said_once_and_kept() -> TestResult {
    let data = tempfile::tempdir()?;
    let file = data.path().join("app.ron");
    let damaged = || -> Vec<PathBuf> {
        let of_file = |path: &Path| path.to_string_lossy().contains("app.ron.damaged");
        let entries = fs::read_dir(data.path()).expect("it is there");
        entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| of_file(path))
            .collect()
    };
    for (number, bytes) in [b"".as_slice(), b"{\n    \"memory\": \"(pictures:["].iter().enumerate() {
        fs::write(&file, bytes)?;
        let window = opening(&data).settled();
        window.assert_says("What was remembered cannot be read");
        let warned = window.state().messages.log.iter();
        assert_eq!(warned.filter(|line| line.level == Level::Warning).count(), 1);
        assert_eq!(damaged().len(), number + 1, "it is kept");
        window.close(&mut Storage::default());
        let next = opening(&data).settled();
        next.assert_silent("What was remembered cannot be read");
        next.close(&mut Storage::default());
    }
    Ok(())
}

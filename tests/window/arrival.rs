//! Ways in which pictures arrive: arguments, drops, pastes, typed paths.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use egui::{Color32, ColorImage, Event, Key, Pos2};
use egui_kittest::kittest::Queryable as _;
use featscope::{
    app::{Abilities, Action, Command, PaneKind, PathPurpose},
    engine::{ImageSlot, PictureSource},
};

use super::{
    TestResult,
    driver::{COLOURS, CTRL, Opening, Window, sample, write_columns},
};

/// A file that is dropped.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        fs::read(&self.0).map_err(|error| error.to_string())
    }
}

fn drop_at(window: &mut Window, pos: Pos2, paths: &[PathBuf]) {
    window.hover(pos);
    let files = paths.iter().map(|path| Arc::new(Dropped(path.clone())) as _);
    window.harness.input_mut().dropped_files.extend(files);
    window.step();
    window.leave();
}

/// Pictures of columns in the folder of a window.
fn pictures(window: &Window, names: &[&str]) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> = names.iter().map(|name| window.path(&format!("{name}.png"))).collect();
    for path in &paths {
        write_columns(path, &COLOURS);
    }
    paths
}

fn names(window: &Window) -> Vec<String> {
    let pictures = window.document().pictures.iter();
    pictures
        .map(|(slot, picture)| format!("{} {}", slot.name(), picture.source.name()))
        .collect()
}

#[track_caller]
fn until_names(window: &mut Window, expected: &[&str]) {
    window.until(&format!("{expected:?}"), |window| names(window) == expected);
    window.settle();
}

#[test]
fn arguments_name_pictures_and_samples() {
    let mut opening = Opening::default();
    let path = opening.folder.path().join("mine.png");
    write_columns(&path, &COLOURS);
    opening.arguments.files = vec![
        path,
        PathBuf::from("sample:noto-fox"),
        PathBuf::from("sample:noto-bear"),
    ];
    let window = opening.settled();
    assert_eq!(names(&window), ["A mine.png", "B noto-fox", "C noto-bear"]);
    assert_eq!(window.titles().len(), 6);
}

#[test]
fn a_file_dropped_on_a_pane_opens_there_and_others_where_there_is_room() {
    let mut window = Window::settled();
    let paths = pictures(&window, &["one", "two", "three"]);
    let over_b = window.place(PaneKind::Pca, ImageSlot::B, [0.5, 0.5]);
    drop_at(&mut window, over_b, &paths[..1]);
    until_names(&mut window, &["A noto-cat-face", "B one.png"]);
    let over_a = window.place(PaneKind::Picture, ImageSlot::A, [0.5, 0.5]);
    drop_at(&mut window, over_a, &paths);
    until_names(&mut window, &["A one.png", "B one.png", "C two.png", "D three.png"]);
    // Beside the panes it opens where one works.
    window.apply(Command::FocusPane(window.tile(PaneKind::Picture, ImageSlot::B)));
    drop_at(&mut window, Pos2::new(30.0, 300.0), &paths[2..]);
    until_names(&mut window, &["A one.png", "B three.png", "C two.png", "D three.png"]);
}

#[test]
fn a_dropped_workspace_takes_the_place_of_everything() {
    let mut window = Window::settled();
    let path = window.path("mine.featscope.json");
    window.apply(Command::UsePath(PathPurpose::SaveWorkspace, path.clone()));
    window.until("a saved workspace", |window| window.state().workspace_path.is_some());
    let saved = window.document().clone();
    window.open_picture(ImageSlot::A, sample("noto-fox"));
    let over_a = window.place(PaneKind::Picture, ImageSlot::A, [0.5, 0.5]);
    drop_at(&mut window, over_a, &[path]);
    until_names(&mut window, &["A noto-cat-face", "B fluent-dog-face"]);
    assert_eq!(*window.document(), saved);
}

#[test]
fn paths_are_pasted() {
    let mut window = Window::settled();
    let paths = pictures(&window, &["one", "with a space"]);
    window.apply(Command::FocusPane(window.tile(PaneKind::Picture, ImageSlot::B)));
    window
        .harness
        .event(Event::Paste(format!("'{}'\n", paths[1].display())));
    until_names(&mut window, &["A noto-cat-face", "B with a space.png"]);
    window.harness.event(Event::Paste(format!(
        "file://{}\n{}",
        paths[0].display(),
        paths[1].display()
    )));
    until_names(
        &mut window,
        &[
            "A noto-cat-face",
            "B with a space.png",
            "C one.png",
            "D with a space.png",
        ],
    );
    let before = window.document().clone();
    window.harness.event(Event::Paste("no path at all".to_owned()));
    window.step();
    window.settle();
    assert_eq!(*window.document(), before);
    // Into a text field it goes as text.
    window.harness.get_by_label("Prompt").focus();
    window.step();
    window.harness.event(Event::Paste(paths[0].display().to_string()));
    window.step();
    window.settle();
    assert_eq!(window.document().settings.prompt, paths[0].display().to_string());
    assert_eq!(window.document().pictures, before.pictures);
}

#[test]
fn a_pasted_picture_becomes_a_file() -> TestResult {
    let mut window = Window::settled();
    let mut image = ColorImage::filled([40, 30], Color32::from_rgb(200, 30, 60));
    image.pixels[0] = Color32::from_rgb(1, 2, 3);
    for number in [1, 2] {
        window.harness.event(Event::PasteImage(Arc::new(image.clone())));
        let path = window.path(&format!("pasted/pasted-{number}.png"));
        window.until("a pasted picture", |window| {
            let there = window.state().slot(ImageSlot::A).picture.as_ref();
            there.is_some_and(|there| there.source == PictureSource::File(path.clone()))
        });
        window.settle();
        let written = image::open(&path)?.to_rgb8();
        assert_eq!(written.dimensions(), (40, 30));
        assert_eq!(
            [written.get_pixel(0, 0).0, written.get_pixel(5, 5).0],
            [[1, 2, 3], [200, 30, 60]]
        );
    }
    // Undo shows the first one again.
    window.pause();
    window.act(Action::Undo);
    window.settle();
    window.assert_says("A: pasted-1.png");
    // Where nothing can be written it is said.
    let folder = window.path("pasted");
    fs::remove_dir_all(&folder)?;
    fs::write(&folder, "in the way")?;
    window.harness.event(Event::PasteImage(Arc::new(image)));
    window.until("an error", |window| window.says("cannot make the folder"));
    Ok(())
}

#[test]
fn paths_are_typed_where_the_desktop_has_no_dialog() {
    let mut window = Window::settled();
    let paths = pictures(&window, &["one"]);
    window.apply(Command::FocusPane(window.tile(PaneKind::Picture, ImageSlot::B)));
    window.key_with(CTRL, Key::O);
    window.settle();
    window.assert_says("Open picture B");
    window.type_text(&paths[0].display().to_string());
    // What is typed is nothing but a path.
    assert_eq!(window.state().path_box.text, paths[0].display().to_string());
    window.key(Key::Enter);
    until_names(&mut window, &["A noto-cat-face", "B one.png"]);
    assert_eq!(window.state().path_box.purpose, None);
    assert!(!window.state().run.asked);

    window.key_with(CTRL | egui::Modifiers::SHIFT, Key::O);
    window.settle();
    window.assert_says("Open picture C");
    window.type_text("sample:noto-lion");
    window.press_button("OK");
    until_names(&mut window, &["A noto-cat-face", "B one.png", "C noto-lion"]);

    window.act(Action::AddPin);
    window.key_with(CTRL, Key::M);
    window.settle();
    window.assert_says("Open a model's folder");
    window.key(Key::Escape);
    window.settle();
    assert_eq!(window.state().path_box.purpose, None);
    assert!(
        window.document().selected_pin.is_some(),
        "Esc closes the box, and nothing more"
    );
    // An empty path is no path.
    window.key_with(CTRL, Key::O);
    window.settle();
    window.key(Key::Enter);
    assert!(window.state().path_box.purpose.is_some());
    window.key(Key::Escape);
}

#[test]
fn there_are_as_many_pictures_as_letters() {
    let mut window = Window::settled();
    let paths: Vec<PathBuf> = (0..ImageSlot::MOST).map(|_| PathBuf::from("sample:noto-fox")).collect();
    window.apply(Command::OpenFiles(paths));
    window.until("all pictures", |window| {
        window.document().pictures.len() == ImageSlot::MOST
    });
    window.settle();
    window.assert_says("all 26 places are taken");
    assert!(!window.state().can(Action::AddPicture));
    // Of many the first is large, with colours, and the last has colours too.
    assert_eq!(window.titles().len(), ImageSlot::MOST + 2);
    window.act(Action::ClosePicture);
    window.settle();
    assert!(window.state().can(Action::AddPicture));
}

/// Folders are looked through where the desktop has no dialog: by typing, by keys, by clicks.
#[test]
fn a_picture_is_found_without_a_dialog() {
    let mut window = Window::settled();
    let paths = pictures(&window, &["one"]);
    let folder = paths[0].parent().expect("a folder").to_owned();
    fs::create_dir_all(folder.join("deep/er")).expect("a folder");
    fs::copy(&paths[0], folder.join("deep/er/two.png")).expect("a picture");
    fs::write(folder.join("deep/er/notes.txt"), "").expect("a file");
    window.apply(Command::FocusPane(window.tile(PaneKind::Picture, ImageSlot::B)));
    window.key_with(CTRL, Key::O);
    window.settle();
    window.type_text(&format!("{}/de", folder.display()));
    window.settle();
    window.key(Key::Tab);
    window.settle();
    assert_eq!(window.state().path_box.text, format!("{}/deep/", folder.display()));
    // What was completed can be typed on.
    window.type_text("e");
    window.settle();
    window.assert_says("er/");
    window.key(Key::ArrowDown);
    window.key(Key::Enter);
    window.settle();
    assert_eq!(window.state().path_box.text, format!("{}/deep/er/", folder.display()));
    window.assert_says("two.png");
    window.assert_silent("notes.txt");
    window.choose("All files");
    window.assert_says("notes.txt");
    window.press_button("Up");
    window.settle();
    window.assert_silent("two.png");
    window.choose("er/");
    window.choose("two.png");
    until_names(&mut window, &["A noto-cat-face", "B two.png"]);
    // The next one is looked for there, and a folder in the place of a file is looked into.
    window.key_with(CTRL, Key::O);
    window.settle();
    window.assert_says("two.png");
    window.type_text(&folder.join("deep").display().to_string());
    window.key(Key::Enter);
    window.settle();
    window.assert_says("er/");
    window.type_text("no such");
    window.settle();
    window.assert_says("Nothing here begins so.");
    window.key(Key::Escape);
    window.settle();
    assert_eq!(window.state().path_box.purpose, None);
}

#[test]
fn what_is_there_is_not_written_over_without_a_word() {
    let mut window = Window::settled();
    let path = window.path("mine.featscope.json");
    fs::write(&path, "mine").expect("a file");
    let ask = |window: &mut Window| {
        window.apply(Command::AskPath(PathPurpose::SaveWorkspace));
        window.settle();
        window.type_text(&path.display().to_string());
        window.settle();
        window.key(Key::Enter);
        window.settle();
        window.assert_says("is there already. Write over it?");
    };
    ask(&mut window);
    window.key(Key::Escape);
    window.settle();
    window.press_button("Cancel");
    window.settle();
    assert_eq!(fs::read_to_string(&path).expect("the file"), "mine");
    ask(&mut window);
    window.press_button("Write over it");
    window.until("the workspace", |window| window.says("Saved "));
    assert_ne!(fs::read(&path).expect("the file"), b"mine");
    assert_eq!(window.state().path_box.purpose, None);
}

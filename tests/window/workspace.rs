//! Workspaces: what is saved opens to the same picture; what is missing or wrong is said and loses nothing. What is
//! remembered from one start to the next.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use egui::{Key, ThemePreference};
use egui_kittest::kittest::Queryable as _;
use featscope::{
    app::{Action, Command, Level, Pane, PaneKind, PathPurpose, Preferences, RangeMode},
    engine::{ImageSlot, PictureSource, QueryAt},
    render::ColourMap,
};

use super::{
    TestResult,
    driver::{COLOURS, CTRL, Opening, Window, sample, write_columns},
    model::{MASSIVE_LAYER, id},
};

#[track_caller]
fn save(window: &mut Window, path: &Path) {
    window.apply(Command::UsePath(PathPurpose::SaveWorkspace, path.to_owned()));
    let path = path.to_owned();
    window.until("a saved workspace", |window| {
        window.state().workspace_path.as_ref() == Some(&path)
    });
}

/// A window in which something of everything is not as at first.
fn changed() -> Window {
    let mut window = Opening::of_columns(2).settled();
    let mut settings = window.document().settings.clone();
    settings.prompt = "columns".to_owned();
    settings.seed = 7;
    window.apply(Command::Settings(settings));
    window.apply(Command::SelectLayer(id(MASSIVE_LAYER)));
    window.apply(Command::AddPin(ImageSlot::A, QueryAt::Point([20.0, 60.0])));
    window.apply(Command::AddPin(
        ImageSlot::B,
        QueryAt::Region {
            path: vec![[30.0, 30.0], [60.0, 40.0]],
            radius: 6.0,
        },
    ));
    window.apply(Command::SelectPin(Some(1)));
    window.apply(Command::TopK(2));
    let mut display = window.document().display.clone();
    display.map = ColourMap::ALL[3];
    display.range = RangeMode::Fixed([0.1, 0.9]);
    display.gamma = 1.7;
    display.grid = true;
    window.apply(Command::Display(display));
    let mut pca = window.document().pca.clone();
    pca.drop_massive = true;
    pca.shown = [1, 2, 3];
    window.apply(Command::Pca(pca));
    window.act(Action::Foreground);
    window.apply(Command::Channel(3));
    let tile = window.tile(PaneKind::Pca, ImageSlot::B);
    window.apply(Command::ChangePane(tile, Pane::new(PaneKind::Channel, ImageSlot::B)));
    let tile = window.tile(PaneKind::Picture, ImageSlot::A);
    let view = featscope::app::View {
        centre: [0.4, 0.55],
        zoom: 1.3,
    };
    window.apply(Command::View(tile, view));
    window.settle();
    window
}

/// All canvases, pixel by pixel.
fn canvases(window: &mut Window) -> Vec<(String, Vec<[u8; 4]>)> {
    let panes: Vec<(PaneKind, ImageSlot, String)> = window
        .panes()
        .iter()
        .map(|(_, pane)| (pane.kind, pane.slot, pane.title()))
        .collect();
    panes
        .into_iter()
        .map(|(kind, slot, title)| (title, window.pixels(kind, slot)))
        .collect()
}

#[test]
fn what_is_saved_opens_to_the_same_picture() {
    let mut window = changed();
    let path = window.path("mine.featscope.json");
    let seen = canvases(&mut window);
    save(&mut window, &path);
    window.settle();
    let document = window.document().clone();

    let open = |path: &Path| {
        let mut opening = Opening::default();
        opening.arguments.files = vec![path.to_owned()];
        opening.arguments.model = None;
        opening.settled()
    };
    let mut second = open(&path);
    assert_eq!(*second.document(), document);
    let again = canvases(&mut second);
    for ((title, before), (_, after)) in seen.iter().zip(&again) {
        // Letters come from an atlas, in which they lie in the order in which they were first written: where they are
        // sampled, the last bit of a colour depends on it.
        let differs = |(before, after): (&[u8; 4], &[u8; 4])| before.iter().zip(after).any(|(a, b)| a.abs_diff(*b) > 1);
        let count = before.iter().zip(after).filter(|pair| differs(*pair)).count();
        assert!(
            before.len() == after.len() && count == 0,
            "{title} looks otherwise at {count} pixels"
        );
    }
    let picture = second.render();
    // Saved and opened once more: the whole window.
    let other = second.path("other.featscope.json");
    save(&mut second, &other);
    let mut third = open(&other);
    assert_eq!(*third.document(), document);
    // A letter's place among all letters on the card depends on which was drawn first, and rounds its edge by a level.
    let furthest = picture
        .iter()
        .zip(third.render().iter())
        .map(|(a, b)| a.abs_diff(*b))
        .max();
    assert!(furthest <= Some(1), "the whole window looks otherwise: {furthest:?}");
}

#[test]
fn a_workspace_is_saved_where_it_was_by_one_key() -> TestResult {
    let mut window = Window::settled();
    window.key_with(CTRL, Key::S);
    window.settle();
    window.assert_says("Save workspace (.featscope.json)");
    let typed = window.path("typed");
    window.type_text(&typed.display().to_string());
    window.key(Key::Enter);
    let path = window.path("typed.featscope.json");
    window.until("a saved workspace", |window| {
        window.state().workspace_path.as_ref() == Some(&path)
    });
    window.until("a message", |window| window.says("typed.featscope.json"));
    let before = fs::read_to_string(&path)?;
    window.key(Key::G);
    window.key_with(CTRL, Key::S);
    window.until("another file", |_| {
        fs::read_to_string(&path).is_ok_and(|text| text != before)
    });
    assert_eq!(window.state().preferences.workspaces, [path]);
    Ok(())
}

#[test]
fn a_folder_that_moved_takes_its_pictures_along() -> TestResult {
    let mut window = changed();
    let work = window.path("work");
    fs::create_dir(&work)?;
    let (from, to) = (window.path("columns-a.png"), work.join("a.png"));
    fs::copy(from, &to)?;
    window.open_picture(ImageSlot::A, PictureSource::File(to));
    window.apply_and_settle(Command::ClosePicture(ImageSlot::B));
    save(&mut window, &work.join("mine.featscope.json"));
    let document = window.document().clone();
    let moved = window.path("elsewhere");
    fs::rename(&work, &moved)?;

    let mut opening = Opening::default();
    opening.arguments.files = vec![moved.join("mine.featscope.json")];
    opening.arguments.model = None;
    let other = opening.settled();
    assert!(other.state().missing.is_empty());
    assert_eq!(
        other.document().pictures[&ImageSlot::A].source,
        PictureSource::File(moved.join("a.png"))
    );
    assert_eq!(other.document().pins, document.pins);
    Ok(())
}

/// A window that opened a workspace whose first picture is not there any more; the picture is at the path given.
fn with_missing() -> (Window, PathBuf) {
    let mut window = changed();
    let path = window.path("mine.featscope.json");
    save(&mut window, &path);
    let (there, hidden) = (window.path("columns-a.png"), window.path("hidden.png"));
    fs::rename(there, &hidden).expect("it can be moved");
    let mut opening = Opening::default();
    opening.arguments.files = vec![path];
    opening.arguments.model = None;
    // Its files are those of the first window.
    opening.folder = window.into_folder();
    let mut other = opening.open();
    other.until("a question", |window| {
        window.says("Missing pictures") && window.app().is_settled()
    });
    (other, hidden)
}

#[test]
fn a_missing_picture_is_asked_for_and_its_pins_are_kept() {
    let (mut window, hidden) = with_missing();
    window.harness.run();
    window.assert_says("columns-a.png");
    assert_eq!(window.document().pins.len(), 2);
    assert!(
        window.state().slot(ImageSlot::B).picture.is_some(),
        "the other one is there"
    );
    assert!(window.state().slot(ImageSlot::B).pca.is_some());
    window.press_button("Type…");
    window.settle();
    // The path that was is there to be corrected.
    let path_box = window.state().path_box.clone();
    assert!(path_box.text.ends_with("columns-a.png"), "{path_box:?}");
    window.apply(Command::UsePath(PathPurpose::Picture(ImageSlot::A), hidden));
    window.until("the picture", |window| {
        window.state().slot(ImageSlot::A).picture.is_some()
    });
    window.settle();
    window.assert_silent("Missing pictures");
    assert_eq!(window.document().pins.len(), 2);
    assert!(
        window.state().heat_on(ImageSlot::B).is_some(),
        "the pin that was selected answers"
    );
    assert_eq!(window.count("other pixels"), 0);
    assert!(window.state().messages.toasts.is_empty());
}

#[test]
fn a_missing_picture_can_be_done_without() {
    let (mut window, _) = with_missing();
    window.harness.run();
    window.press_button("Do without");
    window.settle();
    window.assert_silent("Missing pictures");
    let pins = &window.document().pins;
    assert_eq!(pins.iter().map(|pin| pin.slot).collect::<Vec<_>>(), [ImageSlot::B]);
    assert_eq!(window.document().selected_pin, None);
    // What is saved now opens.
    let path = window.path("without.featscope.json");
    save(&mut window, &path);
    window.apply(Command::OpenFiles(vec![path]));
    window.settle();
    assert_eq!(
        window
            .state()
            .messages
            .toasts
            .iter()
            .filter(|toast| toast.level == Level::Error)
            .count(),
        0
    );
}

#[test]
fn a_picture_that_changed_since_is_told() {
    let mut window = changed();
    let path = window.path("mine.featscope.json");
    save(&mut window, &path);
    let mut others = COLOURS;
    others.reverse();
    write_columns(&window.path("columns-a.png"), &others);
    let mut opening = Opening::default();
    opening.arguments.files = vec![path];
    opening.arguments.model = None;
    let mut other = opening.open();
    other.until("a warning", |window| window.says("columns-a.png has other pixels"));
    other.settle();
    assert_eq!(other.document().pins.len(), 2, "pins are kept");
    let warnings = other
        .state()
        .messages
        .log
        .iter()
        .filter(|line| line.level == Level::Warning);
    assert_eq!(warnings.count(), 1);
}

#[test]
fn a_file_that_is_no_workspace_loses_nothing() -> TestResult {
    let mut window = changed();
    let document = window.document().clone();
    for (name, text, reason) in [
        ("text", "not JSON", "not valid JSON"),
        ("other", "{\"kind\": \"shopping list\"}", "\"kind\""),
        (
            "newer",
            "{\"kind\": \"featscope-workspace\", \"version\": 99}",
            "newer featscope",
        ),
        (
            "half",
            "{\"kind\": \"featscope-workspace\", \"version\": 1}",
            "missing or wrong",
        ),
    ] {
        let path = window.path(&format!("{name}.featscope.json"));
        fs::write(&path, text)?;
        window.apply(Command::OpenFiles(vec![path]));
        window.until("a message", |window| window.says(reason));
        window.settle();
        window.assert_says(&format!("{name}.featscope.json"));
        assert_eq!(*window.document(), document);
    }
    window.apply(Command::OpenFiles(vec![window.path("nowhere.featscope.json")]));
    window.until("a message", |window| window.says("nowhere.featscope.json"));
    assert_eq!(*window.document(), document);
    // Nor can it be written where nothing can be.
    let file = window.path("columns-a.png");
    window.apply(Command::UsePath(PathPurpose::SaveWorkspace, file.join("mine")));
    window.until("a message", |window| window.says("mine.featscope.json"));
    assert_eq!(window.state().workspace_path, None);
    Ok(())
}

/// A name that is no text, as old disks and archives have them.
#[cfg(unix)]
#[test]
fn names_that_are_no_text_are_saved_opened_and_remembered() -> TestResult {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let mut window = Opening::of_columns(1).settled();
    // No font has a letter for what is no text: a box is drawn.
    let boxes = egui::MissingGlyphPolicy::Tofu;
    window.harness.ctx.set_missing_glyph_policy(boxes);
    let named = |window: &Window, bytes: &[u8]| window.path("").join(OsStr::from_bytes(bytes));
    let picture = named(&window, b"b\xe9.png");
    if fs::copy(window.path("columns-a.png"), &picture).is_err() {
        // The file system has no such names.
        return Ok(());
    }
    window.apply(Command::OpenFiles(vec![picture.clone()]));
    window.settle();
    let path = named(&window, b"w\xff.featscope.json");
    save(&mut window, &path);
    window.settle();
    let document = window.document().clone();
    assert_eq!(
        document.pictures[&ImageSlot::A].source,
        PictureSource::File(picture.clone())
    );
    window.open_picture(ImageSlot::A, sample("noto-fox"));
    window.settle();
    window.apply(Command::OpenFiles(vec![path.clone()]));
    window.until("the workspace", |window| *window.document() == document);
    window.settle();
    // Everything that is written of it, too.
    let panes = named(&window, b"panes\xff");
    window.apply(Command::UsePath(PathPurpose::ExportPanes, panes.clone()));
    window.until("written panes", |_| panes.join("panes.json").is_file());
    let mut storage = Storage::default();
    eframe::App::save(window.harness.state_mut(), &mut storage);
    let memory: Preferences = eframe::get_value(&storage, "memory").ok_or("it is remembered")?;
    assert_eq!(memory.pictures.first(), Some(&picture));
    assert_eq!(memory.workspaces, [path]);
    Ok(())
}

#[test]
fn opening_a_workspace_is_a_step_of_undo() {
    let mut window = changed();
    let path = window.path("mine.featscope.json");
    save(&mut window, &path);
    let saved = window.document().clone();
    window.pause();
    window.open_picture(ImageSlot::A, sample("noto-fox"));
    window.apply_and_settle(Command::SelectLayer(id("unet-in")));
    window.pause();
    let before = window.document().clone();
    window.apply(Command::OpenFiles(vec![path]));
    window.until("the workspace", |window| window.document().layer == saved.layer);
    window.settle();
    window.pause();
    assert_eq!(*window.document(), saved);
    window.act(Action::Undo);
    window.settle();
    assert_eq!(*window.document(), before);
}

/// What eframe would write to disk.
#[derive(Default)]
struct Storage(HashMap<String, String>);

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

#[test]
fn recent_files_theme_and_arrangement_are_remembered() -> TestResult {
    let mut window = Opening::of_columns(2).settled();
    window.act(Action::AddPane(PaneKind::Heat));
    window.key(Key::C);
    window.key(Key::F8);
    window.act(Action::Theme);
    window.act(Action::LargerInterface);
    window.apply(Command::LoadModel("fake-small".to_owned()));
    window.until("another model", |window| {
        window.document().model.as_deref() == Some("fake-small")
    });
    let workspace = window.path("mine.featscope.json");
    save(&mut window, &workspace);
    window.settle();
    let mut storage = Storage::default();
    eframe::App::save(window.harness.state_mut(), &mut storage);
    let memory: Preferences = eframe::get_value(&storage, "memory").ok_or("it is remembered")?;
    assert_eq!(memory.models, ["fake-small", "fake"]);
    assert_eq!(memory.workspaces, std::slice::from_ref(&workspace));
    let mut pictures = memory.pictures.clone();
    pictures.sort();
    assert_eq!(pictures, [window.path("columns-a.png"), window.path("columns-b.png")]);
    assert_eq!(memory.theme, ThemePreference::Light);
    assert!(!memory.inspector_shown && memory.zoom > 1.0);

    let next = Opening {
        memory,
        ..Opening::default()
    };
    let mut next = next.settled();
    assert_eq!(next.document().display.map, window.document().display.map);
    assert_eq!(next.titles(), window.titles());
    assert!((next.harness.ctx.zoom_factor() - 1.1).abs() < 1e-6);
    // Recent files are offered in the menu and in the palette.
    next.harness.get_by_label("File").click();
    next.step();
    next.settle();
    next.harness.get_by_label_contains("Recent").click();
    next.step();
    next.settle();
    next.assert_says("mine.featscope.json");
    next.key(Key::Escape);
    next.pause();
    next.key_with(CTRL, Key::P);
    next.type_text("columns-b recent");
    next.settle();
    next.key(Key::Enter);
    next.until("a recent picture", |window| window.says("columns-b.png"));
    Ok(())
}

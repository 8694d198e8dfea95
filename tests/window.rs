//! The window without a display: the real [`App`] with its workers, driven by pointer and keys, read by what it says and
//! by the pixels it paints. A software device (Mesa's lavapipe, package mesa-vulkan-drivers) serves.
#![allow(clippy::expect_used)]

mod common;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command as Process,
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use common::TestResult;
use egui::{Key, Pos2, Rect, Vec2, pos2, vec2};
use egui_kittest::{Harness, kittest::Queryable as _};
use featscope::{
    activation::Id,
    app::{App, Command, Notice, PathPurpose, PointAt},
    cli::WindowArguments,
    engine::{PictureSource, RunSettings, Slot},
    extract::framing::WorkingSize,
    paint::ColourMap,
};
use image::RgbaImage;

const SIZE: Vec2 = vec2(1360.0, 860.0);
/// Anything that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(5);

type Window = Harness<'static, App>;

fn window_with(arguments: &WindowArguments, size: Vec2, pixels_per_point: f32) -> Window {
    let arguments = arguments.clone();
    Harness::builder()
        .with_size(size)
        .with_pixels_per_point(pixels_per_point)
        .with_render_cursor(false)
        .with_theme(egui::Theme::Dark)
        .wgpu()
        .build_eframe(move |context| App::new(context, &arguments).expect("workers that start"))
}

/// A fresh window, once it shows what it begins with.
fn window() -> Window {
    let mut window = window_with(&WindowArguments::default(), SIZE, 1.0);
    until_ready(&mut window);
    window
}

/// Goes on until something is so.
#[track_caller]
fn until(window: &mut Window, what: &str, condition: impl Fn(&Window) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition(window) {
        assert!(Instant::now() < deadline, "{what} was awaited for too long");
        window.step();
        sleep(PAUSE);
    }
    // What has come is also painted.
    window.step();
}

/// Until everything that is set is shown.
#[track_caller]
fn until_ready(window: &mut Window) {
    until(window, "a window that is up to date", |window| {
        let state = &window.state().state;
        let shown = |slot| {
            state
                .slot(slot)
                .pca
                .as_ref()
                .is_some_and(|pca| Some(pca.id) == state.id)
        };
        let map = state.id.is_some_and(|id| id.is_map());
        let there = state.open_slots().count() > 0 && state.open_slots().all(|slot| map || shown(slot));
        state.model.info.is_some() && !state.needs_run() && state.run.running.is_none() && there
    });
}

fn apply(window: &mut Window, command: Command) {
    let context = window.ctx.clone();
    window.state_mut().apply(command, &context);
    window.step();
}

fn says(window: &Window, words: &str) -> bool {
    window.query_all_by_label_contains(words).next().is_some()
}

#[track_caller]
fn assert_says(window: &Window, words: &str) {
    assert!(says(window, words), "the window does not say \"{words}\"");
}

/// A place in a pane, in shares of its width and height.
fn place(window: &Window, pane: &str, share: [f32; 2]) -> Pos2 {
    let rect = window.get_by_label(pane).rect();
    rect.min + rect.size() * vec2(share[0], share[1])
}

fn point(window: &mut Window, pane: &str, share: [f32; 2]) {
    let pos = place(window, pane, share);
    window.hover_at(pos);
    window.step();
}

fn click(window: &mut Window, pane: &str, share: [f32; 2]) {
    let pos = place(window, pane, share);
    window.hover_at(pos);
    window.drag_at(pos);
    window.event(egui::Event::PointerButton {
        pos,
        button: egui::PointerButton::Primary,
        pressed: false,
        modifiers: egui::Modifiers::NONE,
    });
    window.step();
}

fn press(window: &mut Window, key: Key) {
    window.key_press(key);
    window.step();
}

/// The heat map over a picture for the point that is asked about, once it has come.
#[track_caller]
fn heat(window: &mut Window, slot: Slot) -> Vec<f32> {
    until(window, "a heat map", |window| {
        let state = &window.state().state;
        let answered = state.query_point().zip(state.heat.as_ref());
        let same_cell = answered.is_some_and(|(point, heat)| state.cell_at(point) == Some(heat.cell));
        same_cell && state.heat_on(slot).is_some()
    });
    let state = &window.state().state;
    state.heat_on(slot).expect("awaited").scores.clone()
}

fn render(window: &mut Window, name: &str) -> RgbaImage {
    let picture = window.render().expect("a device that draws");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    picture
        .save(folder.join(format!("{name}.png")))
        .expect("a folder for pictures");
    picture
}

/// The pixels of a pane.
fn pixels(picture: &RgbaImage, rect: Rect) -> Vec<[u8; 4]> {
    let (left, top) = (rect.left() as u32, rect.top() as u32);
    let (right, bottom) = (rect.right() as u32, rect.bottom() as u32);
    let rows = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
    rows.map(|(x, y)| picture.get_pixel(x, y).0).collect()
}

fn pane_pixels(window: &mut Window, pane: &str, name: &str) -> Vec<[u8; 4]> {
    let rect = window.get_by_label(pane).rect();
    let picture = render(window, name);
    pixels(&picture, rect)
}

fn selected(window: &Window) -> Id {
    window.state().state.id.expect("a layer is selected")
}

fn settings(window: &Window) -> RunSettings {
    window.state().state.settings.clone()
}

fn id(name: &str) -> Id {
    name.parse().expect("an id of the vocabulary")
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("assets/samples")
        .join(format!("{name}.png"))
}

#[test]
fn a_fresh_window_shows_the_pca_of_both_samples_and_then_rests() {
    let mut window = window();
    assert_says(&window, "noto-cat-face");
    assert_says(&window, "basis of A and B together");
    assert_says(&window, "t 100 ran");
    for pane in ["Picture A", "PCA of A", "Picture B", "PCA of B"] {
        let colours: HashSet<_> = pane_pixels(&mut window, pane, "window-start").into_iter().collect();
        assert!(colours.len() > 50, "{pane} shows {} colours", colours.len());
    }
    // `run` ends only when nothing asks to be painted again.
    window.run();
}

#[test]
fn the_heat_map_follows_the_pointer_until_a_click_pins_it() {
    let mut window = window();
    point(&mut window, "Picture A", [0.5, 0.5]);
    let first = heat(&mut window, Slot::B);
    assert_says(&window, "A pixel (");
    assert_says(&window, "cosine 1.0000");
    assert_says(&window, "best in B: (");
    point(&mut window, "Picture A", [0.5, 0.25]);
    let second = heat(&mut window, Slot::B);
    assert_ne!(first, second);

    click(&mut window, "Picture A", [0.5, 0.5]);
    assert_eq!(heat(&mut window, Slot::B), first);
    render(&mut window, "window-pinned");
    point(&mut window, "PCA of B", [0.5, 0.3]);
    assert_eq!(heat(&mut window, Slot::B), first, "pinned, it stays");
    assert_says(&window, "B pixel (");
    assert_says(&window, "cosine 0.");

    press(&mut window, Key::Escape);
    assert_eq!(window.state().state.pin, None);
    heat(&mut window, Slot::A);
    window.remove_cursor();
    window.step();
    assert!(window.state().state.heat_on(Slot::B).is_none());
    window.run();
}

#[test]
fn one_picture_is_compared_with_itself() {
    let mut window = window();
    apply(&mut window, Command::ClosePicture(Slot::B));
    assert_says(&window, "Drop a picture here, or open one as B");
    until_ready(&mut window);
    point(&mut window, "Picture A", [0.4, 0.4]);
    let scores = heat(&mut window, Slot::A);
    let best = scores.iter().copied().fold(f32::MIN, f32::max);
    assert!((best - 1.0).abs() < 1e-5, "{best}");
}

#[test]
fn keys_walk_through_layers_and_the_search_narrows_them() {
    let mut window = window();
    let before = selected(&window);
    let pca = pane_pixels(&mut window, "PCA of A", "window-layer-before");
    press(&mut window, Key::ArrowDown);
    let next = selected(&window);
    assert_ne!(next, before);
    until_ready(&mut window);
    assert_says(&window, &format!("PCA of A  {next}"));
    assert_ne!(pane_pixels(&mut window, "PCA of A", "window-layer-after"), pca);
    press(&mut window, Key::ArrowUp);
    assert_eq!(selected(&window), before);

    window.get_by_label("Search layers").click();
    window.step();
    window.get_by_label("Search layers").type_text("b7 attn-");
    window.step();
    // The arrows walk also while the search is typed, among what is found, to its end and no further.
    let mut walked = Vec::new();
    for _ in 0..20 {
        press(&mut window, Key::ArrowDown);
        walked.push(selected(&window));
    }
    assert!(
        walked.iter().all(|id| id.to_string().starts_with("b7-attn-")),
        "{walked:?}"
    );
    assert!(walked.iter().collect::<HashSet<_>>().len() > 3);
    assert_eq!(walked[18], walked[19]);
    let point = PointAt {
        slot: Slot::A,
        at: [80.0, 90.0],
    };
    apply(&mut window, Command::Pin(Some(point)));
    press(&mut window, Key::Enter);
    assert!(!window.state().state.run.asked, "Enter in a text field runs nothing");
    window.get_by_label("Search layers").click();
    press(&mut window, Key::Escape);
    assert!(window.state().state.pin.is_some(), "Esc only leaves the text field");
    apply(&mut window, Command::Search("no such layer".into()));
    assert_says(&window, "No layer has all of these words.");
    press(&mut window, Key::ArrowDown);
    window.run();
}

#[test]
fn an_attention_map_shows_the_row_of_the_point() {
    let mut window = window();
    apply(&mut window, Command::SelectLayer(id("b7-attn-map")));
    until_ready(&mut window);
    assert_says(&window, "An attention map has no PCA");
    point(&mut window, "Picture A", [0.5, 0.5]);
    let sum: f32 = heat(&mut window, Slot::A).iter().sum();
    assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    assert_says(&window, "attention 0.");
    assert!(
        window.state().state.heat_on(Slot::B).is_none(),
        "a row stays in its picture"
    );
}

#[test]
fn cheap_runs_begin_by_themselves_and_expensive_ones_when_asked() {
    let mut window = window();
    let cheap = RunSettings {
        t: 150,
        // Quick on any machine, also while others use it.
        size: WorkingSize::ShortSide(64),
        ..settings(&window)
    };
    apply(&mut window, Command::Settings(cheap.clone()));
    until_ready(&mut window);
    assert_says(&window, "t 150 ran");
    assert_says(&window, "up to date");
    press(&mut window, Key::Enter);
    assert!(!window.state().state.run.asked, "nothing is to be run");

    let dear = RunSettings {
        ensemble: 64,
        size: WorkingSize::ShortSide(512),
        ..cheap.clone()
    };
    apply(&mut window, Command::Settings(dear));
    window.run_steps(20);
    assert_eq!(window.state().state.run.running, None, "it has not been asked for");
    assert_says(&window, "about ");
    assert_says(&window, "not yet what is set");
    window.get_by_label("Run").click();
    window.step();
    assert!(window.state().state.run.running.is_some());
    until(&mut window, "a run under way", |window| {
        window.state().state.run.running.is_some_and(|done| done > 0.0)
    });
    // The maps that are there answer meanwhile.
    point(&mut window, "Picture A", [0.5, 0.5]);
    heat(&mut window, Slot::B);
    window.get_by_label("Cancel").click();
    until(&mut window, "the end of the run", |window| {
        window.state().state.run.running.is_none()
    });
    window.run_steps(20);
    assert_eq!(window.state().state.run.running, None, "cancelled, it stays so");
    assert_eq!(window.state().state.run.error, None);
    apply(&mut window, Command::Settings(cheap));
    until_ready(&mut window);
}

#[test]
fn a_picture_that_cannot_be_read_leaves_the_one_before_and_its_run() -> TestResult {
    let folder = tempfile::tempdir()?;
    let broken = folder.path().join("broken.png");
    fs::write(&broken, b"no picture")?;
    let mut window = window();
    for path in [broken, folder.path().join("missing.png"), folder.path().to_owned()] {
        apply(
            &mut window,
            Command::OpenPicture(Slot::A, PictureSource::File(path.clone())),
        );
        until(&mut window, "an error", |window| {
            window.state().state.slot(Slot::A).error.is_some()
        });
        let name = path.file_name().ok_or("a name")?.to_string_lossy().into_owned();
        assert_says(&window, &name);
        assert_says(&window, "noto-cat-face");
        until_ready(&mut window);
    }
    render(&mut window, "window-picture-error");
    window.get_by_label("Dismiss").click();
    window.run_steps(2);
    assert_eq!(window.state().state.slot(Slot::A).error, None);
    Ok(())
}

#[test]
fn a_model_that_cannot_be_read_leaves_the_one_before() -> TestResult {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("unet"))?;
    fs::write(folder.path().join("unet/config.json"), b"{ broken")?;
    let mut window = window();
    let t = settings(&window).t + 7;
    let changed = RunSettings {
        t,
        size: WorkingSize::ShortSide(64),
        ..settings(&window)
    };
    apply(&mut window, Command::Settings(changed));
    for name in [folder.path().display().to_string(), "/nowhere/to/be/found".to_owned()] {
        apply(&mut window, Command::LoadModel(name.clone()));
        until(&mut window, "an error", |window| {
            window.state().state.model.error.is_some()
        });
        assert_says(&window, &name);
        until_ready(&mut window);
        apply(&mut window, Command::Dismiss(Notice::Model));
    }
    apply(&mut window, Command::LoadModel("demo".into()));
    let loaded = window.state().state.model.generation;
    until(&mut window, "the same model again", |window| {
        window.state().state.model.generation > loaded
    });
    until_ready(&mut window);
    assert_eq!(settings(&window).t, t, "the same model keeps what is set");
    Ok(())
}

#[test]
fn a_prompt_changes_the_maps_of_a_model_that_reads_one() {
    let arguments = WindowArguments {
        pictures: vec![sample("noto-cat-face")],
        model: Some(common::model("tiny-sd15").display().to_string()),
    };
    let mut window = window_with(&arguments, SIZE, 1.0);
    until_ready(&mut window);
    let small = RunSettings {
        size: WorkingSize::ShortSide(64),
        ..settings(&window)
    };
    apply(&mut window, Command::Settings(small));
    apply(
        &mut window,
        Command::SelectLayer(id("up-level1-repeat0-vit-block0-cross-q")),
    );
    until_ready(&mut window);
    click(&mut window, "Picture A", [0.5, 0.5]);
    let before = heat(&mut window, Slot::A);
    window.get_by_label("Prompt").click();
    window.step();
    window.get_by_label("Prompt").type_text("a cat, an orange one");
    window.step();
    assert_eq!(settings(&window).prompt, "a cat, an orange one");
    until_ready(&mut window);
    assert_ne!(heat(&mut window, Slot::A), before);
    render(&mut window, "window-prompt");
    // Back to the embedded model: its own timestep, its own layers.
    apply(&mut window, Command::LoadModel("demo".into()));
    until(&mut window, "the other model", |window| {
        window
            .state()
            .state
            .model
            .info
            .as_ref()
            .is_some_and(|info| info.name == "demo")
    });
    until_ready(&mut window);
    assert_eq!(settings(&window).t, 100);
}

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

#[test]
fn files_are_dropped_on_panes_typed_as_paths_and_pictures_swapped() {
    let mut window = window();
    point(&mut window, "Picture B", [0.5, 0.5]);
    window
        .input_mut()
        .dropped_files
        .push(Arc::new(Dropped(sample("noto-fox"))));
    window.step();
    until(&mut window, "the dropped picture", |window| {
        says(window, "B  noto-fox.png")
    });
    until_ready(&mut window);
    assert_says(&window, "A  noto-cat-face");

    // A desktop without file dialogs: the path is typed.
    let point = PointAt {
        slot: Slot::A,
        at: [80.0, 90.0],
    };
    apply(&mut window, Command::Pin(Some(point)));
    let asked = featscope::app::PathBox {
        purpose: Some(PathPurpose::Picture(Slot::B)),
        text: String::new(),
    };
    apply(&mut window, Command::PathBox(asked.clone()));
    window.step();
    assert_says(&window, "Open picture B");
    press(&mut window, Key::Escape);
    assert_eq!(window.state().state.path_box.purpose, None);
    assert!(window.state().state.pin.is_some(), "Esc only closes the box");
    apply(&mut window, Command::PathBox(asked));
    window.step();
    let path = sample("noto-bear").display().to_string();
    window.get_by_label("Path").type_text(&path);
    window.step();
    press(&mut window, Key::Enter);
    until(&mut window, "the typed picture", |window| {
        says(window, "B  noto-bear.png")
    });
    until_ready(&mut window);

    let pca = pane_pixels(&mut window, "PCA of A", "window-swap-before");
    apply(&mut window, Command::Pin(None));
    apply(&mut window, Command::SwapPictures);
    until(&mut window, "swapped pictures", |window| {
        says(window, "A  noto-bear.png")
    });
    until_ready(&mut window);
    assert_says(&window, "B  noto-cat-face");
    assert_ne!(pane_pixels(&mut window, "PCA of A", "window-swap-after"), pca);
}

#[test]
fn what_is_shown_is_saved() -> TestResult {
    let folder = tempfile::tempdir()?;
    let arguments = WindowArguments {
        pictures: vec![sample("noto-cat-face"), sample("noto-dog-face")],
        model: None,
    };
    let mut window = window_with(&arguments, SIZE, 1.0);
    until_ready(&mut window);
    click(&mut window, "Picture A", [0.5, 0.5]);
    heat(&mut window, Slot::B);
    let mut save = |purpose, name: &str| {
        let path = folder.path().join(name);
        apply(&mut window, Command::UsePath(purpose, path.clone()));
        until(&mut window, "what came of saving", |window| {
            window.state().state.save.is_some()
        });
        let saved = window.state().state.save.clone().expect("awaited");
        apply(&mut window, Command::Dismiss(Notice::Save));
        (saved, path)
    };
    let (_, pca) = save(PathPurpose::SavePca(Slot::A), "pca.png");
    assert!(image::open(pca)?.to_rgb8().pixels().collect::<HashSet<_>>().len() > 50);
    let (_, heat) = save(PathPurpose::SaveHeat(Slot::B), "heat.png");
    let (heat, plain) = (
        image::open(heat)?.to_rgb8(),
        image::open(sample("noto-dog-face"))?.to_rgb8(),
    );
    assert_eq!(heat.dimensions(), plain.dimensions());
    assert_ne!(heat, plain);

    let (_, npy) = save(PathPurpose::SaveMap(Slot::A), "map.npy");
    let (_, tensors) = save(PathPurpose::SaveMap(Slot::A), "map.safetensors");
    for (name, wrong) in [("map.txt", ".npy or .safetensors"), ("pca.png/map.npy", "pca.png")] {
        let (saved, path) = save(PathPurpose::SaveMap(Slot::A), name);
        let error = saved.expect_err("nothing can be written there");
        assert!(error.contains(wrong), "{error}");
        assert!(!path.exists());
    }
    let extracted = folder.path().join("extracted");
    let now = settings(&window);
    let WorkingSize::ShortSide(side) = now.size else {
        return Err("the aspect ratio is kept".into());
    };
    let layer = selected(&window).to_string();
    let ended = Process::new(env!("CARGO_BIN_EXE_featscope"))
        .args(["extract", "--model", "demo", "--t", &now.t.to_string()])
        .args(["--short-side", &side.to_string(), "--activations", &layer])
        .arg("--image")
        .arg(sample("noto-cat-face"))
        .arg("--out")
        .arg(&extracted)
        .output()?;
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let written = fs::read(extracted.join(format!("{layer}.npy")))?;
    assert!(fs::read(npy)? == written, "the window's map is the command line's");
    let read = candle_core::safetensors::load(tensors, &candle_core::Device::Cpu)?;
    let map = candle_core::Tensor::read_npy(extracted.join(format!("{layer}.npy")))?;
    assert_eq!(common::numbers(&read[&layer]), common::numbers(&map));
    Ok(())
}

#[test]
fn colours_range_and_basis_change_what_is_painted() {
    let mut window = window();
    click(&mut window, "Picture A", [0.5, 0.5]);
    heat(&mut window, Slot::B);
    window.remove_cursor();
    window.step();
    let mut seen = vec![pane_pixels(&mut window, "Picture B", "window-colours")];
    for change in 0..3 {
        let mut display = window.state().state.display.clone();
        match change {
            0 => display.style.map = ColourMap::ALL[1],
            1 => display.style.opacity = 0.2,
            _ => display.fixed_range = Some([0.9, 1.0]),
        }
        apply(&mut window, Command::Display(display));
        let painted = pane_pixels(&mut window, "Picture B", "window-colours");
        assert!(!seen.contains(&painted), "change {change} is not seen");
        seen.push(painted);
    }
    let joint = pane_pixels(&mut window, "PCA of B", "window-basis");
    let mut display = window.state().state.display.clone();
    display.joint = false;
    apply(&mut window, Command::Display(display));
    until(&mut window, "a basis of its own", |window| {
        Slot::ALL.into_iter().all(|slot| {
            window
                .state()
                .state
                .slot(slot)
                .pca
                .as_ref()
                .is_some_and(|pca| !pca.joint)
        })
    });
    assert_says(&window, "basis of this map");
    assert_ne!(pane_pixels(&mut window, "PCA of B", "window-basis"), joint);
}

#[test]
fn small_and_large_windows_hold_everything() {
    for (size, pixels_per_point) in [
        (vec2(720.0, 480.0), 1.0),
        (vec2(720.0, 480.0), 2.0),
        (vec2(2560.0, 1440.0), 1.0),
    ] {
        let mut window = window_with(&WindowArguments::default(), size, pixels_per_point);
        until_ready(&mut window);
        click(&mut window, "Picture A", [0.5, 0.5]);
        heat(&mut window, Slot::B);
        let inside = Rect::from_min_max(pos2(0.0, 0.0), size.to_pos2());
        for pane in ["Picture A", "PCA of A", "Picture B", "PCA of B"] {
            let rect = window.get_by_label(pane).rect();
            assert!(inside.contains_rect(rect), "{pane} at {rect} in {size}");
            assert!(rect.width() > 80.0 && rect.height() > 40.0, "{pane} is {}", rect.size());
        }
        render(&mut window, &format!("window-{}x{}-{pixels_per_point}", size.x, size.y));
    }
}

//! What is written is what is shown.

use std::{collections::HashSet, fs, path::PathBuf};

use candle_core::{Device, Tensor};
use egui_kittest::kittest::Queryable as _;
use featscope::{
    app::{Action, Command, FigureSettings, Level, PaneKind, PathPurpose},
    engine::ImageSlot,
    render::FigureSize,
};
use serde_json::Value;

use super::{
    TestResult,
    driver::{Opening, Window},
    model::SELF_MAP,
};

/// Writes something and gives the file, or why it was not written.
#[track_caller]
pub fn save(window: &mut Window, purpose: PathPurpose, name: &str) -> Result<PathBuf, String> {
    let path = window.path(name);
    let told = window.state().messages.log.len();
    window.apply(Command::UsePath(purpose, path.clone()));
    window.until("what comes of it", |window| window.state().messages.log.len() > told);
    let line = window.state().messages.log.back().cloned().expect("it was told");
    if line.level != Level::Info {
        return Err(line.text);
    }
    assert_eq!(line.text, format!("Saved {}", path.display()));
    Ok(path)
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.flatten_all().and_then(|tensor| tensor.to_vec1());
    flat.expect("a tensor in memory can be read")
}

#[test]
fn colours_heat_and_maps_are_written_as_they_are_shown() -> TestResult {
    let mut window = Opening::of_columns(2).settled();
    // The pictures alone, without words around them.
    window.apply(Command::Figure(FigureSettings {
        colour_bar: false,
        caption: false,
        ..FigureSettings::default()
    }));
    window.click(window.screen(PaneKind::Picture, ImageSlot::A, [16.0, 64.0]));
    window.leave();
    window.settle();
    let pca = image::open(save(&mut window, PathPurpose::SavePca(ImageSlot::A), "pca.png")?)?.to_rgb8();
    let view = window.state().slot(ImageSlot::A).pca.clone().ok_or("PCA colours")?;
    let cell = pca.width() / view.grid.width as u32;
    for (position, colour) in view.rgb.chunks_exact(3).enumerate() {
        let (row, column) = view.grid.row_column(position);
        let pixel = pca.get_pixel(column as u32 * cell + cell / 2, row as u32 * cell + cell / 2);
        assert_eq!(pixel.0, colour);
    }

    let heat = image::open(save(&mut window, PathPurpose::SaveHeat(ImageSlot::B), "heat.png")?)?.to_rgb8();
    let plain = image::open(window.path("columns-b.png"))?.to_rgb8();
    assert_eq!(heat.dimensions(), plain.dimensions());
    assert_ne!(heat, plain);

    let npy = Tensor::read_npy(save(&mut window, PathPurpose::SaveMap(ImageSlot::A), "map.npy")?)?;
    let file = save(&mut window, PathPurpose::SaveMap(ImageSlot::A), "map.safetensors")?;
    let layer = window.layer().to_string();
    let tensors = candle_core::safetensors::load(file, &Device::Cpu)?;
    assert_eq!(npy.dims(), [1, 12, 16, 16]);
    assert_eq!(numbers(&npy), numbers(&tensors[&layer]));
    Ok(())
}

#[test]
fn what_cannot_be_written_is_said() {
    let mut window = Window::settled();
    fs::write(window.path("file"), "in the way").expect("a file");
    for (purpose, name, words) in [
        (
            PathPurpose::SaveMap(ImageSlot::A),
            "map.txt",
            ".npy, .safetensors or .npz",
        ),
        (PathPurpose::SavePca(ImageSlot::A), "pca.jpg", ".png"),
        (PathPurpose::SaveBasis, "basis.txt", ".json"),
        (PathPurpose::SaveMap(ImageSlot::A), "file/map.npy", "/file"),
        (PathPurpose::SaveHeat(ImageSlot::B), "heat.png", "nothing is pointed at"),
        (
            PathPurpose::SavePca(ImageSlot::nth(5).expect("a slot")),
            "pca.png",
            "nothing to save",
        ),
        (PathPurpose::SaveMatches, "file/matches.csv", "file"),
    ] {
        let told = save(&mut window, purpose, name).expect_err(name);
        assert!(told.contains(words), "{told}");
        window.harness.run();
        window.assert_says(words);
        assert!(!window.path(name).exists());
    }
    window.select(SELF_MAP);
    let told = save(&mut window, PathPurpose::SaveMap(ImageSlot::A), "attention.npy").expect_err("a map of attention");
    assert!(told.contains("attention map"), "{told}");
}

#[test]
fn panes_are_exported_with_what_made_them() -> TestResult {
    let mut window = Opening::of_columns(2).settled();
    window.act(Action::AddPin);
    window.act(Action::AddPane(PaneKind::Heat));
    window.act(Action::AddPane(PaneKind::Channel));
    window.settle();
    let out = save(&mut window, PathPurpose::ExportPanes, "panes")?;
    let mut names: Vec<String> = fs::read_dir(&out)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, std::io::Error>>()?;
    names.sort();
    assert_eq!(
        names,
        [
            "01-picture-A.png",
            "02-pca-A.png",
            "03-picture-B.png",
            "04-pca-B.png",
            "05-heat-A.png",
            "06-channel-A.png",
            "panes.json"
        ]
    );
    for name in &names[..6] {
        let picture = image::open(out.join(name))?.to_rgb8();
        let colours: HashSet<_> = picture.pixels().collect();
        assert!(colours.len() > 3, "{name} has {} colours", colours.len());
    }
    // As large as the picture, with the caption below it.
    let own = image::open(window.path("columns-a.png"))?;
    let first = image::open(out.join(&names[0]))?;
    assert!(first.width() >= own.width() && first.height() > own.height());
    window.apply(Command::Figure(FigureSettings {
        as_shown: true,
        ..FigureSettings::default()
    }));
    let shown = save(&mut window, PathPurpose::ExportPanes, "shown")?;
    let canvas = window.canvas(PaneKind::Picture, ImageSlot::A);
    let first = image::open(shown.join(&names[0]))?;
    assert!((f64::from(first.width()) - f64::from(canvas.width())).abs() <= 1.0);
    let json: Value = serde_json::from_str(&fs::read_to_string(out.join("panes.json"))?)?;
    assert_eq!(json["panes"].as_array().map(Vec::len), Some(6));
    assert_eq!(json["made_by"]["layer"], window.layer().to_string());
    assert_eq!(
        json["panes"][1]["shown"]["colours"]
            .as_str()
            .map(|words| words.starts_with("components 1,2,3")),
        Some(true)
    );
    // Another folder of that name is not written over.
    fs::write(out.join("mine.txt"), "kept")?;
    let again = save(&mut window, PathPurpose::ExportPanes, "panes");
    assert!(again.is_err() || fs::read_to_string(out.join("mine.txt"))? == "kept");
    Ok(())
}

#[test]
fn the_window_for_export_says_how_figures_are_written_and_is_remembered() -> TestResult {
    let mut window = Opening::of_columns(2).settled();
    window.act(Action::ExportPanes);
    window.settle();
    window.harness.get_by_label("Export");
    window.harness.get_by_label("Caption").click();
    window.harness.run();
    window.harness.get_by_label("4x").click();
    window.harness.run();
    let figure = &window.state().preferences.figure;
    assert!(!figure.caption && figure.colour_bar && !figure.as_shown);
    assert_eq!(figure.size, FigureSize::Picture { times: 4 });
    window.harness.get_by_label("Choose a folder…").click();
    window.harness.run();
    assert!(
        !window.state().overlays.export,
        "it is not on the picture of the window"
    );
    let out = save(&mut window, PathPurpose::ExportPanes, "panes")?;
    let own = image::open(window.path("columns-a.png"))?;
    let first = image::open(out.join("01-picture-A.png"))?;
    assert_eq!([first.width(), first.height()], [4 * own.width(), 4 * own.height()]);
    Ok(())
}

#[test]
fn a_page_of_the_open_pictures_is_written_in_the_background() -> TestResult {
    let mut window = Opening::of_columns(2).settled();
    let page = save(&mut window, PathPurpose::SavePage, "page.html")?;
    assert!(window.state().pages.is_empty(), "the job has ended");
    let html = fs::read_to_string(page)?;
    assert!(html.contains("A: columns-a.png") && html.contains("B: columns-b.png"));
    assert!(html.contains(&format!("\"id\":\"{}\"", window.layer())));
    let told = save(&mut window, PathPurpose::SavePage, "page.txt").expect_err("another format");
    assert!(told.contains(".html"), "{told}");
    window.select(SELF_MAP);
    let told = save(&mut window, PathPurpose::SavePage, "map.html").expect_err("a map of attention");
    assert!(told.contains("attention map"), "{told}");
    Ok(())
}

#[test]
fn there_is_nothing_to_extract_without_a_picture() {
    let mut window = Window::settled();
    for slot in [ImageSlot::A, ImageSlot::B] {
        window.apply(Command::ClosePicture(slot));
    }
    window.settle();
    let told = save(&mut window, PathPurpose::Extract, "maps.safetensors").expect_err("no picture");
    assert!(told.contains("nothing to extract"), "{told}");
    assert!(window.state().jobs.is_empty());
}

//! `featscope shot` and `featscope export`: the window without a display.

use std::{fs, path::Path};

use featscope::app::Document;
use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use crate::common::{
    TestResult,
    program::{Place, Ran, run},
};

/// Large enough for panes with something in them, small enough to be drawn in software within a moment.
const SIZE: [&str; 2] = ["--size", "860x500"];
const SIZE_PX: (u32, u32) = (860, 500);

fn shot(place: &Place, out: &str, more: &[&str]) -> Ran {
    let out = place.text(out);
    run(["shot", "--out", &out].iter().chain(more))
}

/// What the window shows, at the size of these tests.
fn drawn(place: &Place, out: &str, more: &[&str]) -> RgbImage {
    let ran = shot(place, out, &[&SIZE, more].concat()).good();
    assert_eq!((ran.stdout.as_str(), ran.notes()), ("", vec![]));
    let picture = read(&place.path(out));
    assert_eq!(picture.dimensions(), SIZE_PX);
    picture
}

fn read(path: &Path) -> RgbImage {
    image::open(path).expect("a picture that was written").to_rgb8()
}

/// A picture of one colour with a square of another one.
fn picture(colour: [u8; 3]) -> Vec<u8> {
    let square = |x: u32, y: u32| (20..50).contains(&x) && (10..40).contains(&y);
    let picture = RgbImage::from_fn(90, 60, |x, y| Rgb(if square(x, y) { [255; 3] } else { colour }));
    let mut png = Vec::new();
    picture
        .write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png)
        .expect("a picture in memory");
    png
}

/// A workspace as a person may write it: one picture, a layer, a pin, a heat map alone, all numbers spelled out.
fn by_hand(picture: &str) -> Value {
    let mut document = serde_json::to_value(Document::default()).expect("JSON");
    document["model"] = "demo".into();
    document["pictures"] = json!({ "A": { "source": { "File": picture }, "fingerprint": null } });
    document["settings"]["t"] = 150.into();
    document["settings"]["seed"] = 3.into();
    document["settings"]["size"] = json!({ "ShortSide": 64 });
    document["layer"] = "b11".into();
    document["pins"] = json!([{ "number": 1, "slot": "A", "at": { "point": [30.0, 20.0] } }]);
    document["selected_pin"] = 1.into();
    let view = json!({ "centre": [0.5, 0.5], "zoom": 1.0 });
    let pane = |kind: &str| json!({ "Pane": { "kind": kind, "slot": "A", "view": view } });
    let row = json!({ "children": [1, 2, 3], "dir": "Horizontal", "shares": { "shares": {} } });
    document["layout"]["tiles"] = json!({
        "next_tile_id": 5,
        "tiles": { "1": pane("picture"), "2": pane("pca"), "3": pane("heat"), "4": { "Container": { "Linear": row } } },
        "invisible": [],
    });
    document["layout"]["root"] = 4.into();
    json!({ "kind": "featscope-workspace", "version": 1, "program": "by hand", "document": document })
}

#[test]
fn a_fresh_window_has_its_own_size_and_is_the_same_every_time() -> TestResult {
    let place = Place::new();
    let ran = shot(&place, "first.png", &[]).good();
    assert_eq!((ran.stdout.as_str(), ran.notes()), ("", vec![]));
    shot(&place, "second.png", &[]).good();
    assert_eq!(read(&place.path("first.png")).dimensions(), (1400, 900));
    assert!(
        fs::read(place.path("first.png"))? == fs::read(place.path("second.png"))?,
        "two pictures of the same differ"
    );
    Ok(())
}

#[test]
fn theme_and_scale_are_as_asked() {
    let place = Place::new();
    let mean = |picture: &RgbImage| {
        let levels = picture.as_raw();
        levels.iter().map(|level| f64::from(*level)).sum::<f64>() / levels.len() as f64
    };
    let [dark, light] = ["dark", "light"].map(|theme| drawn(&place, &format!("{theme}.png"), &["--theme", theme]));
    assert!(mean(&dark) + 50.0 < mean(&light), "{} {}", mean(&dark), mean(&light));
    shot(&place, "sharp.png", &[&SIZE[..], &["--scale", "2"]].concat()).good();
    let sharp = read(&place.path("sharp.png"));
    assert_eq!(sharp.dimensions(), (2 * SIZE_PX.0, 2 * SIZE_PX.1));
    // The same things at the same places, sharper: a picture of half the size is nearly the same.
    let halved = image::imageops::thumbnail(&sharp, SIZE_PX.0, SIZE_PX.1);
    assert!((mean(&halved) - mean(&dark)).abs() < 5.0);
}

#[test]
fn things_are_done_by_name_and_in_order() {
    let place = Place::new();
    // Without the point that a fresh window begins with.
    let plain = drawn(&place, "plain.png", &["--do", "Delete all pins"]);
    let pinned = drawn(&place, "pinned.png", &["--do", "pin at the middle"]);
    let unpinned = ["--do", "Pin at the middle", "--do", "DELETE ALL PINS"];
    assert!(plain != pinned, "a pin is seen");
    assert!(plain == drawn(&place, "unpinned.png", &unpinned), "it is gone again");
    let keys = drawn(&place, "keys.png", &["--do", "Keys"]);
    assert!(plain != keys && pinned != keys);
}

#[test]
fn pictures_and_samples_are_drawn_in_the_order_given() -> TestResult {
    let place = Place::new();
    let [red, blue] = [[200, 0, 0], [0, 0, 200]];
    let files = [("red.png", red), ("blue.png", blue)].map(|(name, colour)| place.write(name, picture(colour)));
    let out = place.text("panes");
    let images = ["--image", &files[0], "sample:photo-cat", &files[1]];
    let ran = run(["export", "--out", &out].iter().chain(&SIZE).chain(&images)).good();
    assert_eq!((ran.stdout.as_str(), ran.notes()), ("", vec![]));
    let panes: Value = serde_json::from_slice(&fs::read(place.path("panes/panes.json"))?)?;
    let sources: Vec<&Value> = (0..3)
        .map(|index| &panes["made_by"]["pictures"][index]["source"])
        .collect();
    assert_eq!(
        sources,
        [
            &json!({ "File": files[0] }),
            &json!({ "Sample": "photo-cat" }),
            &json!({ "File": files[1] })
        ]
    );
    let has = |name: &str, colour: [u8; 3]| read(&place.path(name)).pixels().any(|pixel| pixel.0 == colour);
    assert!(has("panes/01-picture-A.png", red) && has("panes/05-picture-C.png", blue));
    assert!(!has("panes/01-picture-A.png", blue) && !has("panes/05-picture-C.png", red));
    Ok(())
}

#[test]
fn the_same_workspace_gives_the_same_bytes_however_busy_the_machine() -> TestResult {
    let place = Place::new();
    place.write("red.png", picture([200, 0, 0]));
    let workspace = place.write("mine.featscope.json", by_hand("red.png").to_string());
    let draw = |out: &str| drop(drawn(&place, out, &["--workspace", &workspace]));
    draw("alone.png");
    let names = ["a.png", "b.png", "c.png", "d.png"];
    std::thread::scope(|scope| names.iter().for_each(|name| drop(scope.spawn(|| draw(name)))));
    let alone = fs::read(place.path("alone.png"))?;
    for name in names {
        assert!(alone == fs::read(place.path(name))?, "{name} is another picture");
    }
    Ok(())
}

#[test]
fn a_folder_with_a_workspace_and_its_pictures_may_be_anywhere() -> TestResult {
    let [here, there] = [Place::new(), Place::new()];
    let workspace = by_hand("../pictures/red.png");
    for (place, root) in [(&here, ""), (&there, "deep/inside/")] {
        place.write(&format!("{root}pictures/red.png"), picture([200, 0, 0]));
        place.write(&format!("{root}work/mine.featscope.json"), workspace.to_string());
    }
    drawn(
        &here,
        "out.png",
        &["--workspace", &here.text("work/mine.featscope.json")],
    );
    let inside = there.text("deep/inside/work/mine.featscope.json");
    drawn(&there, "out.png", &["--workspace", &inside]);
    assert!(fs::read(here.path("out.png"))? == fs::read(there.path("out.png"))?);
    // Opened as the window opens files, it is the same as well.
    drawn(&there, "again.png", &["--image", &inside]);
    assert!(fs::read(here.path("out.png"))? == fs::read(there.path("again.png"))?);
    Ok(())
}

#[test]
fn a_picture_that_changed_is_drawn_and_told() {
    let place = Place::new();
    place.write("red.png", picture([200, 0, 0]));
    let mut workspace = by_hand("red.png");
    workspace["document"]["pictures"]["A"]["fingerprint"] = 7.into();
    let workspace = place.write("mine.featscope.json", workspace.to_string());
    let ran = shot(&place, "out.png", &[&SIZE[..], &["--workspace", &workspace]].concat()).good();
    assert!(ran.stderr.contains("red.png has other pixels"), "{}", ran.stderr);
}

#[test]
fn every_pane_is_written_as_it_is_seen_with_what_made_it() -> TestResult {
    let place = Place::new();
    place.write("red.png", picture([200, 0, 0]));
    let workspace = place.write("mine.featscope.json", by_hand("red.png").to_string());
    let asked = ["--scale", "1.5", "--workspace", &workspace];
    let more = [&SIZE[..], &asked].concat();
    shot(&place, "whole.png", &more).good();
    let whole = read(&place.path("whole.png"));
    // A folder that is there already keeps what else is in it.
    place.write("panes/notes.txt", "mine");
    place.write("panes/panes.json", "of another day");
    let out = place.text("panes");
    run(["export", "--figure-size", "shown", "--out", &out].iter().chain(&more)).good();
    let mut names = place.names();
    names.retain(|name| name.starts_with("panes/"));
    let panes = ["01-picture-A.png", "02-pca-A.png", "03-heat-A.png"];
    let expected = panes.iter().chain(&["notes.txt", "panes.json"]);
    assert_eq!(names, expected.map(|name| format!("panes/{name}")).collect::<Vec<_>>());

    let mut corners = Vec::new();
    for name in panes {
        let pane = read(&place.path(&format!("panes/{name}")));
        assert!(
            pane.width() > 100 && pane.height() > 100,
            "{name}: {:?}",
            pane.dimensions()
        );
        let corner = place_in(&whole, &pane);
        corners.push(corner.ok_or_else(|| format!("{name} is not what the window shows"))?);
    }
    assert!(
        corners.is_sorted(),
        "panes are numbered from left to right: {corners:?}"
    );

    let record: Value = serde_json::from_slice(&fs::read(place.path("panes/panes.json"))?)?;
    let files: Vec<&str> = (0..3)
        .filter_map(|index| record["panes"][index]["file"].as_str())
        .collect();
    assert_eq!(files, panes);
    assert_eq!(record["panes"][1]["shown"]["pane"], "PCA of A");
    let colours = record["panes"][1]["shown"]["colours"]
        .as_str()
        .ok_or("how PCA colours were made")?;
    assert!(
        colours.contains("components 1,2,3") && colours.contains("basis of this map"),
        "{colours}"
    );
    let made_by = &record["made_by"];
    assert_eq!((&made_by["model"], &made_by["layer"]), (&json!("demo"), &json!("b11")));
    assert_eq!(
        made_by["query"],
        json!({ "slot": "A", "at": { "point": [30.0, 20.0] } })
    );
    let made = &made_by["pictures"][0];
    assert_eq!((&made["width"], &made["height"]), (&json!(90), &json!(60)));
    assert_eq!(made["source"], json!({ "File": place.text("red.png") }));
    assert_eq!(
        (&made["settings"]["seed"], &made["settings"]["t"]),
        (&json!(3), &json!(150))
    );
    assert_eq!(
        (&made["ran"]["t_ran"], &made["ran"]["dtype"]),
        (&json!(150), &json!("f32"))
    );
    assert_eq!(made["ran"]["device"], "cpu");
    Ok(())
}

#[test]
fn figures_are_as_large_as_asked_with_words_around_them_that_are_large_enough() -> TestResult {
    let place = Place::new();
    place.write("red.png", picture([200, 0, 0]));
    let workspace = place.write("mine.featscope.json", by_hand("red.png").to_string());
    let export = |folder: &str, more: &[&str]| -> TestResult {
        let out = place.text(folder);
        let fixed = ["export", "--workspace", &workspace, "--out", &out];
        run(fixed.iter().chain(&SIZE).chain(more)).good();
        Ok(())
    };
    let bare = ["--no-colour-bar", "--no-caption", "--figure-size"];
    for (folder, size, expected) in [
        ("native", "native", (90, 60)),
        ("large", "4x", (360, 240)),
        ("wide", "300px", (300, 200)),
    ] {
        export(folder, &[&bare[..], &[size]].concat())?;
        for name in ["01-picture-A.png", "02-pca-A.png", "03-heat-A.png"] {
            let figure = read(&place.path(&format!("{folder}/{name}")));
            assert_eq!(figure.dimensions(), expected, "{folder}/{name}");
        }
    }
    // Colours of cells are the same at every scale; none of these places is at the edge of a cell.
    let [native, large] = ["native", "large"].map(|folder| read(&place.path(&format!("{folder}/02-pca-A.png"))));
    for (x, y) in [(3, 3), (45, 30), (70, 40)] {
        assert_eq!(native.get_pixel(x, y), large.get_pixel(4 * x + 2, 4 * y + 2));
    }
    export("framed", &["--title", "Ears & eyes"])?;
    let record: Value = serde_json::from_slice(&fs::read(place.path("framed/panes.json"))?)?;
    assert_eq!(record["figures"]["size"], json!({ "picture": { "times": 1 } }));
    let frame = &record["panes"][2]["drawn"]["frame"];
    assert_eq!(frame["title"], "Ears & eyes");
    assert_eq!(frame["bar"]["map"], record["made_by"]["display"]["map"]);
    let caption = frame["caption"].to_string();
    for fact in [
        "red.png",
        "layer b11",
        "model demo",
        "t 150",
        "noise",
        "seed 3",
        "ensemble",
        "size",
        "dtype f32",
        "cosine to pixel (30, 20)",
        "from",
    ] {
        assert!(caption.contains(fact), "{fact} is not in {caption}");
    }
    let colours = record["panes"][1]["drawn"]["frame"]["caption"].to_string();
    assert!(colours.contains("basis of this map"), "{colours}");
    let framed = read(&place.path("framed/03-heat-A.png"));
    assert!(
        framed.width() >= 360 && framed.height() > 160,
        "{:?}",
        framed.dimensions()
    );
    // The file itself says what made it.
    let bytes = fs::read(place.path("framed/03-heat-A.png"))?;
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("\"t_ran\":150"), "the PNG holds what made it");
    for wrong in ["0x", "17x", "large", "0px", "working-0x"] {
        let out = place.text("wrong");
        run(["export", "--out", &out, "--figure-size", wrong]).refused(2, &[wrong, "native"]);
    }
    Ok(())
}

/// Where a picture is in a larger one, pixel by pixel the same.
fn place_in(whole: &RgbImage, part: &RgbImage) -> Option<(u32, u32)> {
    let (width, height) = part.dimensions();
    let right = whole.width().checked_sub(width)?;
    let bottom = whole.height().checked_sub(height)?;
    let same_row =
        |x: u32, y: u32, row: u32| (0..width).all(|at| whole.get_pixel(x + at, y + row) == part.get_pixel(at, row));
    let corners = (0..=right).flat_map(|x| (0..=bottom).map(move |y| (x, y)));
    // The middle row first: the upper ones are often empty.
    let rows = || std::iter::once(height / 2).chain(0..height);
    corners
        .into_iter()
        .find(|(x, y)| rows().all(|row| same_row(*x, *y, row)))
}

#[test]
fn export_writes_into_folders_only() -> TestResult {
    let place = Place::new();
    let file = place.write("file", "mine");
    run(["export", "--out", &file]).refused(1, &["file", "it is a file"]);
    run(["export", "--out", &format!("{file}/below")]).refused(1, &["not a folder", "another place"]);
    // A folder where a file must go: nothing is written at all.
    fs::create_dir_all(place.path("half/panes.json"))?;
    let out = place.text("half");
    run(["export", "--out", &out].iter().chain(&SIZE)).refused(1, &["panes.json", "folder"]);
    assert_eq!(fs::read_dir(&out)?.count(), 1);
    Ok(())
}

#[test]
fn nonsense_is_refused_with_what_to_do() {
    let place = Place::new();
    let no_picture = place.write("broken.png", "no picture");
    let no_json = place.write("broken.featscope.json", "{");
    let other_json = place.write("other.featscope.json", "{}");
    let lost = place.write("lost.featscope.json", by_hand("gone.png").to_string());
    let mut unknown = by_hand("picture.png");
    unknown["document"]["pictures"]["A"]["source"] = json!({ "Sample": "photo-cat" });
    unknown["document"]["layer"] = "b11-nothing".into();
    let unknown = place.write("unknown.featscope.json", unknown.to_string());
    let folder = place.text("folder.featscope.json");
    fs::create_dir(&folder).expect("a folder");
    for (code, arguments, words) in [
        (
            1,
            ["--workspace", "/nowhere/x.featscope.json"],
            ["x.featscope.json", "No such file"],
        ),
        (2, ["--workspace", "/nowhere/x.json"], [".featscope.json", "--image"]),
        (
            1,
            ["--workspace", &no_json],
            ["broken.featscope.json", "not valid JSON"],
        ),
        (
            1,
            ["--workspace", &other_json],
            ["other.featscope.json", "featscope-workspace"],
        ),
        (1, ["--workspace", &lost], ["gone.png", "No such file"]),
        (1, ["--workspace", &unknown], ["b11-nothing", "is shown"]),
        (1, ["--workspace", &folder], ["cannot open the workspace", ""]),
        (1, ["--image", "/nowhere/cat.png"], ["/nowhere/cat.png", "No such file"]),
        (1, ["--image", &no_picture], ["broken.png", ""]),
        (
            1,
            ["--image", "sample:photo-cta"],
            ["\"photo-cta\"", "did you mean \"photo-cat\""],
        ),
        (1, ["--model", "dmeo"], ["\"dmeo\"", "did you mean \"demo\""]),
        (
            2,
            ["--do", "Pin at the midle"],
            ["\"Pin at the midle\"", "did you mean \"Pin at the middle\""],
        ),
        (2, ["--size", "0x10"], ["0x10", "WIDTHxHEIGHT"]),
        (2, ["--size", "100000x100000"], ["100000 x 100000", "must be from 1 to"]),
        (2, ["--size", "18446744073709551615"], ["must be from 1 to", ""]),
        (2, ["--scale", "0"], ["above 0", "found 0"]),
        (2, ["--scale", "nan"], ["above 0", "NaN"]),
        (2, ["--scale", "1e30"], ["must be from 1 to", ""]),
        (2, ["--scale", "0.0001"], ["must be from 1 to", ""]),
        (2, ["--theme", "pink"], ["pink", "dark"]),
    ] {
        shot(&place, "out.png", &arguments).refused(code, &words);
    }
    let before = place.contents();
    shot(&place, "broken.png/out.png", &[]).refused(1, &["not a folder", "another place"]);
    shot(&place, "", &[]).refused(1, &["it is a folder", "name a file in it"]);
    assert_eq!(place.contents(), before, "what is refused leaves nothing behind");
}

#[test]
fn the_smallest_window_is_drawn_too() {
    let place = Place::new();
    for size in ["1x1", "1x400", "400x1", "120x90"] {
        shot(&place, "out.png", &["--size", size]).good();
        let (width, height) = read(&place.path("out.png")).dimensions();
        assert_eq!(format!("{width}x{height}"), size);
    }
}

#[test]
fn a_sample_is_extracted_by_name_and_a_misspelt_one_is_told() -> TestResult {
    let place = Place::new();
    let out = place.text("maps.safetensors");
    let extract = |image: &str| {
        let fixed = ["--model", "demo", "--t", "100", "--activations", "b11", "--out", &out];
        run(["extract", "--image", image].iter().chain(&fixed))
    };
    extract("sample:photo-cta").refused(2, &["\"photo-cta\"", "\"photo-cat\""]);
    assert!(!place.path("maps.safetensors").exists());
    extract("sample:photo-cat").good();
    let record = super::tensors::metadata(&place.path("maps.safetensors"));
    assert_eq!(record["request"]["pictures"], json!(["sample:photo-cat"]));
    Ok(())
}

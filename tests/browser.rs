//! The pages that are written, opened in Chromium and used: the mouse points, keys are pressed, and what lights up is compared
//! with what the program itself computes. Without Chromium nothing is opened, which is said.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;
#[path = "browser/driver.rs"]
mod driver;

use std::path::PathBuf;

use common::{
    TestResult,
    program::{Place, run},
};
use driver::{Browser, Outcome, chromium};
use featscope::{
    activation::FeatureMap,
    analysis::similarity::{arg_max, cosine_to_all},
    geometry::Grid,
    io::saved::SavedActivations,
};
use serde_json::Value;

/// Two pictures that the embedded model finds similar.
const PICTURES: [&str; 2] = ["sample:noto-cat-face", "sample:fluent-cat-face"];
const T: &str = "100";
/// Small enough that the loss is measured over all pairs of cells.
const SIZE: &str = "32";
/// The layers on the page.
const LAYERS: [&str; 2] = ["b11", "b9"];
/// A name as bad as a file system lets it be: quotes, tags, a change of direction, a letter written from the right, what
/// moves a terminal.
const ODD_NAME: &str = "it's \"<img src=x onerror=alert(1)>\" &amp; \u{202e}gnp\u{5d0}\u{1b}[31m.png";
/// The same as it is to be read.
const ODD_NAME_SHOWN: &str = "it's \"<img src=x onerror=alert(1)>\" &amp; \\u{202e}gnp\u{5d0}\\u{1b}[31m.png";

/// Keys by their numbers.
const ARROW_RIGHT: u32 = 39;
const ARROW_DOWN: u32 = 40;
const ENTER: u32 = 13;
const ESCAPE: u32 = 27;

/// The maps of a layer of both pictures, as `extract` writes them.
fn maps(place: &Place, layer: &str) -> Outcome<Vec<FeatureMap>> {
    let of_picture = |(index, picture): (usize, &&str)| -> Outcome<FeatureMap> {
        let out = place.text(&format!("{layer}-{index}.safetensors"));
        run([
            "extract",
            "--model",
            "demo",
            "--t",
            T,
            "--size",
            SIZE,
            "--image",
            picture,
            "--activations",
            layer,
            "--out",
            &out,
        ])
        .good();
        Ok(SavedActivations::open(&PathBuf::from(&out))?
            .array(layer)?
            .feature_map(0)?)
    };
    PICTURES.iter().enumerate().map(of_picture).collect()
}

/// A page of both pictures with both layers.
fn exported(place: &Place) -> PathBuf {
    let out = place.text("page.html");
    let layers = LAYERS.join(",");
    run([
        "page",
        "-m",
        "demo",
        "-t",
        T,
        "--size",
        SIZE,
        "-i",
        PICTURES[0],
        "-i",
        PICTURES[1],
        "--activations",
        &layers,
        "--title",
        "Ears & <b>eyes</b>",
        "-o",
        &out,
    ])
    .good();
    PathBuf::from(out)
}

/// The middle of a cell of a picture on the page.
fn middle(browser: &mut Browser, picture: usize, grid: Grid, cell: usize) -> Outcome<[f64; 2]> {
    let [left, top, width, height] = browser.place(&format!("views[{picture}].canvas"))?;
    let (row, column) = grid.row_column(cell);
    let share = |index: usize, count: usize| (index as f64 + 0.5) / count as f64;
    Ok([
        left + share(column, grid.width) * width,
        top + share(row, grid.height) * height,
    ])
}

/// The cosines that the page has of every picture.
fn scores(browser: &mut Browser) -> Outcome<Vec<Vec<f32>>> {
    Ok(serde_json::from_value(browser.value("scores.map(list => [...list])")?)?)
}

/// The pixel in the middle of a cell, as it is painted.
fn painted(browser: &mut Browser, picture: usize, grid: Grid, cell: usize) -> Outcome<Vec<u8>> {
    let (row, column) = grid.row_column(cell);
    let pixel = format!(
        "(() => {{ const c = views[{picture}].canvas; return [...c.getContext('2d').getImageData(Math.floor(({column} + .5) / {} * c.width), Math.floor(({row} + .5) / {} * c.height), 1, 1).data]; }})()",
        grid.width, grid.height
    );
    Ok(serde_json::from_value(browser.value(&pixel)?)?)
}

#[test]
fn what_is_pointed_at_lights_up_what_the_program_finds_similar() -> TestResult {
    let Some(program) = chromium() else { return Ok(()) };
    let place = Place::new();
    let page = exported(&place);
    let maps = maps(&place, LAYERS[0])?;
    let mut browser = Browser::open(&program, &page)?;
    assert_eq!(browser.text("h1")?, "Ears & <b>eyes</b>");
    let loss = browser.value("page.layers[0].loss")?;
    assert!(
        loss["all"].as_bool() == Some(true) && loss["max"].as_f64() > loss["mean"].as_f64(),
        "{loss}"
    );
    let lost = loss["max"].as_f64().ok_or("a loss")? as f32 + 1e-5;
    assert!(lost < 0.05, "{lost}");
    browser.value("$('opacity').value = 100; $('range').value = 'each'; 0")?;
    for (picture, cell) in [(0, 5), (0, 77), (1, 40), (1, 130)] {
        let grid = maps[picture].grid();
        let at = middle(&mut browser, picture, grid, cell)?;
        browser.hover(at)?;
        let found = scores(&mut browser)?;
        for (other, map) in maps.iter().enumerate() {
            let expected = cosine_to_all(maps[picture].vector(cell), map)?;
            assert_eq!(found[other].len(), expected.len());
            for (index, (page, own)) in found[other].iter().zip(&expected).enumerate() {
                assert!(
                    (page - own).abs() <= lost,
                    "cell {cell} of {picture}, {index} of {other}: {page} {own}"
                );
            }
        }
        let other = 1 - picture;
        let best = arg_max(&found[other]).ok_or("a best cell")?;
        let own = cosine_to_all(maps[picture].vector(cell), &maps[other])?;
        let own_best = arg_max(&own).ok_or("a best cell")?;
        assert!(own_best.score - own[best.position] <= 2.0 * lost);
        // The best is in the last colour of viridis, and said.
        assert_eq!(
            painted(&mut browser, other, maps[other].grid(), best.position)?,
            [253, 231, 37, 255]
        );
        let (row, column) = maps[other].grid().row_column(best.position);
        let said = browser.value(&format!("views[{other}].read.textContent"))?;
        let said = said.as_str().ok_or("words")?;
        assert!(
            said.starts_with(&format!("best {:.3} at cell x {column} y {row}, pixel x ", best.score)),
            "{said}"
        );
    }
    // What is not pointed at shows nothing.
    browser.hover([5.0, 5.0])?;
    assert_eq!(browser.value("scores.length")?, 0);
    assert_eq!(browser.complaints()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_page_is_used_with_clicks_keys_and_its_list_of_layers() -> TestResult {
    let Some(program) = chromium() else { return Ok(()) };
    let place = Place::new();
    let page = exported(&place);
    let maps = maps(&place, LAYERS[1])?;
    let mut browser = Browser::open(&program, &page)?;
    // The list of layers, by the keyboard.
    browser.value("$('layer').focus(); 0")?;
    browser.key("ArrowDown", ARROW_DOWN)?;
    assert_eq!(browser.value("layer.id")?, LAYERS[1]);
    let grid = maps[0].grid();
    let lost = browser.value("layer.loss.max")?.as_f64().ok_or("a loss")? as f32 + 1e-5;
    let words = browser.text("#loss")?;
    assert!(
        words.contains("on average") && words.contains("at most") && words.contains("components"),
        "{words}"
    );
    // A click fixes a place: pointing elsewhere only reads there.
    let (cell, elsewhere) = (grid.index(2, 3), grid.index(grid.height - 1, 1));
    let at = middle(&mut browser, 0, grid, cell)?;
    browser.click(at)?;
    let fixed = scores(&mut browser)?;
    let expected = cosine_to_all(maps[0].vector(cell), &maps[1])?;
    assert!(
        fixed[1]
            .iter()
            .zip(&expected)
            .all(|(page, own)| (page - own).abs() <= lost)
    );
    let at = middle(&mut browser, 1, maps[1].grid(), elsewhere)?;
    browser.hover(at)?;
    assert_eq!(scores(&mut browser)?, fixed);
    let read = browser.value("views[1].read.textContent")?;
    assert!(
        read.as_str()
            .is_some_and(|read| read.ends_with(&format!("here {:.3}", fixed[1][elsewhere]))),
        "{read}"
    );
    browser.key("Escape", ESCAPE)?;
    assert_eq!(browser.value("scores.length")?, 0);
    // Arrow keys go from cell to cell of the picture that has the focus.
    browser.value("views[0].canvas.focus(); 0")?;
    for key in 0..3 {
        let (name, code) = if key < 2 {
            ("ArrowRight", ARROW_RIGHT)
        } else {
            ("ArrowDown", ARROW_DOWN)
        };
        browser.key(name, code)?;
    }
    // The first key begins in the middle.
    let cell = grid.index(grid.height / 2 + 1, grid.width / 2 + 1);
    assert_eq!(browser.value("cellOf(at)")?, cell);
    let expected = cosine_to_all(maps[0].vector(cell), &maps[1])?;
    assert!(
        scores(&mut browser)?[1]
            .iter()
            .zip(&expected)
            .all(|(page, own)| (page - own).abs() <= lost)
    );
    browser.key("Enter", ENTER)?;
    assert_eq!(browser.value("pinned")?, true);
    assert!(browser.text("#said")?.contains("best"));
    browser.key("Escape", ESCAPE)?;
    // PCA colours are those of the cells.
    let [left, top, width, height] = browser.place("$('pca')")?;
    browser.click([left + width / 2.0, top + height / 2.0])?;
    browser.hover([5.0, 5.0])?;
    for cell in [0, 17, grid.positions() - 1] {
        let expected = browser.value(&format!(
            "[...layer.painted[0].subarray({}, {})]",
            3 * cell,
            3 * cell + 3
        ))?;
        let expected: Vec<u8> = serde_json::from_value(expected)?;
        assert_eq!(painted(&mut browser, 0, grid, cell)?[..3], expected);
    }
    // What made it is there as text and as JSON.
    let facts = browser.text("#facts")?;
    for fact in ["demo", "t100", "seed0", "ensemble1", "dtypef32", "noise"] {
        assert!(facts.contains(fact), "{fact} in {facts}");
    }
    let made: Value = serde_json::from_str(&browser.text("#made")?)?;
    assert_eq!(made["ran"][1]["t_ran"], 100);
    assert_eq!(made["request"]["model"], "demo");
    // Dark and light, as the system has it and as it is chosen.
    let background = "getComputedStyle(document.body).backgroundColor";
    let scheme = |value: &str| serde_json::json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
    browser.call("Emulation.setEmulatedMedia", scheme("dark"))?;
    let dark = browser.value(background)?;
    browser.call("Emulation.setEmulatedMedia", scheme("light"))?;
    assert_ne!(browser.value(background)?, dark);
    browser.value("$('theme').value = 'dark'; $('theme').oninput(); 0")?;
    assert_eq!(browser.value(background)?, dark);
    assert_eq!(browser.complaints()?, Vec::<String>::new());
    Ok(())
}

/// Two copies of a sample, one under an odd name.
fn odd_pictures(place: &Place) -> Outcome<[String; 2]> {
    let picture = image::RgbImage::from_fn(96, 64, |x, y| {
        image::Rgb([(2 * x) as u8, (3 * y) as u8, ((x * y) % 251) as u8])
    });
    let (plain, odd) = (place.path("plain.png"), place.path(ODD_NAME));
    picture.save(&plain)?;
    picture.save(&odd)?;
    Ok([plain, odd].map(|path| path.display().to_string()))
}

#[test]
fn odd_names_are_read_and_do_nothing() -> TestResult {
    let Some(program) = chromium() else { return Ok(()) };
    let place = Place::new();
    let [plain, odd] = odd_pictures(&place)?;
    let out = place.text("page.html");
    run(["page", "-m", "demo", "-t", T, "-i", &plain, &odd, "-o", &out]).good();
    let mut browser = Browser::open(&program, &PathBuf::from(&out))?;
    let names = browser.value("[...document.querySelectorAll('figcaption')].map(e => e.textContent)")?;
    assert_eq!(names, serde_json::json!(["plain.png", ODD_NAME_SHOWN]));
    assert_eq!(browser.value("document.querySelectorAll('img').length")?, 0);
    assert!(browser.text("h1")?.ends_with(ODD_NAME_SHOWN));
    let made: Value = serde_json::from_str(&browser.text("#made")?.replace("\\u{202e}", "\\u202e"))?;
    let path = made["request"]["pictures"][1].as_str().ok_or("the path")?;
    assert!(path.ends_with(ODD_NAME), "{path:?}");
    let at = middle(&mut browser, 1, Grid::new(4, 6), 9)?;
    browser.hover(at)?;
    // The pictures are the same: each finds its own place in the other.
    assert_eq!(browser.value("best(0) === cellOf(at)")?, true);
    assert_eq!(browser.complaints()?, Vec::<String>::new());

    let folder = place.text("survey");
    run([
        "survey",
        "-m",
        "demo",
        "-t",
        T,
        "--activations",
        "b3,b11",
        "--noises",
        "1",
        "-i",
        &plain,
        &odd,
        "-o",
        &folder,
    ])
    .good();
    let mut browser = Browser::open(&program, &place.path("survey/survey.html"))?;
    let names = browser.value("[...$('picture').options].map(e => e.textContent)")?;
    assert_eq!(names, serde_json::json!(["plain.png", ODD_NAME_SHOWN]));
    browser.value("$('picture').focus(); 0")?;
    browser.key("ArrowDown", ARROW_DOWN)?;
    assert_eq!(browser.text("#count")?, "2 of 2 activations");
    assert_eq!(
        browser.value("shown.every(e => e.picture === survey.entries[3].picture)")?,
        true
    );
    assert_eq!(browser.complaints()?, Vec::<String>::new());
    Ok(())
}

/// The ids of the cards, in their order.
fn cards(browser: &mut Browser) -> Outcome<Vec<String>> {
    let ids = browser.value("[...document.querySelectorAll('figcaption')].map(e => e.firstChild.textContent)")?;
    Ok(serde_json::from_value(ids)?)
}

#[test]
fn a_survey_is_hovered_sorted_and_searched() -> TestResult {
    let Some(program) = chromium() else { return Ok(()) };
    let place = Place::new();
    let folder = place.text("survey");
    run([
        "survey",
        "-m",
        "demo",
        "-t",
        T,
        "--noises",
        "2",
        "-i",
        PICTURES[0],
        "-o",
        &folder,
        "--activations",
        "b1,b3,b5,b9,b11,b11-attn-q,b11-attn-k,b12",
    ])
    .good();
    let record: Value = serde_json::from_slice(&std::fs::read(place.path("survey/survey.json"))?)?;
    let findings = record["surveys"][0]["findings"].as_array().ok_or("findings")?;
    let mut by_nsr: Vec<(f64, String)> = Vec::new();
    for finding in findings {
        let nsr = finding["columns"]["nsr"].as_f64().ok_or("a figure")?;
        by_nsr.push((nsr, finding["id"].as_str().ok_or("an id")?.to_owned()));
    }
    by_nsr.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut expected: Vec<String> = by_nsr.into_iter().map(|(_, id)| id).collect();

    let mut browser = Browser::open(&program, &place.path("survey/survey.html"))?;
    assert_eq!(cards(&mut browser)?.len(), findings.len());
    // Sorted by a figure, lowest and largest first.
    browser.value("$('sort').value = at('nsr'); $('sort').dispatchEvent(new Event('input')); 0")?;
    assert_eq!(cards(&mut browser)?, expected);
    let [left, top, width, height] = browser.place("$('down')")?;
    browser.click([left + width / 2.0, top + height / 2.0])?;
    expected.reverse();
    assert_eq!(cards(&mut browser)?, expected);
    // Searched: every word of the name counts, in whatever case.
    browser.value("$('search').focus(); 0")?;
    browser.type_text("Q b11")?;
    assert_eq!(cards(&mut browser)?, ["b11-attn-q"]);
    assert_eq!(browser.text("#count")?, format!("1 of {} activations", findings.len()));
    browser.value("$('search').value = ''; $('search').dispatchEvent(new Event('input')); 0")?;
    // The plot names the point under the mouse, and a click chooses it.
    let at = "(() => { const q = points().some[2], r = $('plot').getBoundingClientRect(); return [r.left + q.x, r.top + q.y]; })()";
    browser.place("$('plot')")?;
    let at: [f64; 2] = serde_json::from_value(browser.value(at)?)?;
    let pixel = "(() => { const q = points().some[2], d = devicePixelRatio; return [...$('plot').getContext('2d').getImageData(q.x * d, q.y * d, 1, 1).data]; })()";
    let before = browser.value(pixel)?;
    browser.hover(at)?;
    assert_eq!(
        browser.value(pixel)?,
        serde_json::json!([0x2f, 0x7f, 0xd6, 255]),
        "{before}"
    );
    browser.hover([5.0, 5.0])?;
    assert_eq!(browser.value(pixel)?, before);
    browser.click(at)?;
    let chosen = browser.value("points().some[2].e.id")?;
    let table = browser.text("#one")?;
    assert!(table.contains(chosen.as_str().ok_or("an id")?), "{table}");
    // So does a key on a card.
    browser.value("document.querySelectorAll('figure')[1].focus(); 0")?;
    browser.key("Enter", ENTER)?;
    let id = &cards(&mut browser)?[1];
    assert!(browser.text("#one")?.contains(id.as_str()));
    assert_eq!(
        browser.value("document.querySelectorAll('[aria-pressed=true]').length")?,
        1
    );
    assert_eq!(browser.complaints()?, Vec::<String>::new());
    Ok(())
}

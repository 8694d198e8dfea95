//! `featscope survey`.

use serde_json::Value;

use crate::common::{
    TestResult,
    program::{Place, Ran, run},
};

/// The embedded model on a sample picture.
const DEMO: [&str; 8] = [
    "survey",
    "--model",
    "demo",
    "--t",
    "30",
    "--image",
    "sample:noto-cat-face",
    "--out",
];

fn surveyed(place: &Place, folder: &str, more: &[&str]) -> Ran {
    let out = place.text(folder);
    run(DEMO.iter().copied().chain([out.as_str()]).chain(more.iter().copied()))
}

fn table(place: &Place, folder: &str) -> Result<Vec<Vec<String>>, std::io::Error> {
    let text = std::fs::read_to_string(place.path(folder).join("survey.csv"))?;
    let fields = |line: &str| line.split(',').map(str::to_owned).collect();
    Ok(text.lines().map(fields).collect())
}

#[test]
fn a_survey_writes_a_page_a_table_a_record_and_a_sheet() -> TestResult {
    let place = Place::new();
    surveyed(&place, "out", &[]).good();
    let rows = table(&place, "out")?;
    assert_eq!(rows.len(), 81, "80 activations and the names of the columns");
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    let nsr = rows[0].iter().position(|name| name == "nsr").ok_or("no column nsr")?;
    assert!(
        rows[1..]
            .iter()
            .all(|row| row[nsr].parse::<f64>().is_ok_and(|nsr| nsr > 0.0))
    );
    let record: Value = serde_json::from_str(&std::fs::read_to_string(place.path("out/survey.json"))?)?;
    assert_eq!(record["made_by"]["ran"]["t_ran"], 30);
    assert_eq!(record["made_by"]["noises"], 4);
    assert_eq!(record["constants"]["low_pass_sigma_positions"], 2.0);
    let findings = record["surveys"][0]["findings"].as_array().ok_or("findings")?;
    assert_eq!(findings.len(), 80);
    // One set of names: the table's columns are the record's.
    for (row, finding) in rows[1..].iter().zip(findings) {
        for (name, field) in rows[0]
            .iter()
            .zip(row)
            .filter(|(_, field)| field.parse::<f64>().is_ok())
        {
            assert_eq!(
                finding["columns"][name].as_f64(),
                field.parse().ok(),
                "{name} of {}",
                finding["id"]
            );
        }
    }
    let page = std::fs::read_to_string(place.path("out/survey.html"))?;
    assert!(page.contains("b11-attn-map") && !page.contains("__DATA__"));
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "it stands alone"
    );
    let sheet = image::open(place.path("out/sheet.png"))?;
    assert!(sheet.width() > 1000 && sheet.height() > 1000);
    Ok(())
}

#[test]
fn more_noises_estimate_the_same_noise_and_one_pass_knows_none() -> TestResult {
    let place = Place::new();
    let of = |folder: &str, noises: &str| -> Result<Vec<Vec<String>>, std::io::Error> {
        let more = ["--noises", noises, "--activations", "b3,b11"];
        surveyed(&place, folder, &more).good();
        table(&place, folder)
    };
    let (one, many) = (of("one", "1")?, of("many", "8")?);
    let column = |name: &str| one[0].iter().position(|column| column == name).expect("a column");
    assert_eq!(one[1][column("nsr")], "");
    assert!(many[1][column("nsr")].parse::<f64>()? > 0.0);
    // What is of the first noise alone does not depend on how many are compared.
    for name in ["norm", "locality_baseline", "explained", "effective_rank"] {
        let [a, b] = [&one, &many].map(|table| table[2][column(name)].parse::<f64>().expect("a number"));
        assert!((a - b).abs() < 1e-4 * a.abs(), "{name}: {a} {b}");
    }
    Ok(())
}

#[test]
fn marked_regions_give_the_semantics_index() -> TestResult {
    let place = Place::new();
    let mut marks = image::RgbImage::new(96, 96);
    for (x, y, pixel) in marks.enumerate_pixels_mut() {
        // Two colours in bands, and black below.
        *pixel = image::Rgb(match (y < 80, (x / 16) % 2) {
            (false, _) => [0, 0, 0],
            (true, 0) => [255, 0, 0],
            (true, _) => [0, 255, 0],
        });
    }
    marks.save(place.path("marks.png"))?;
    let marks = place.text("marks.png");
    surveyed(&place, "out", &["--activations", "b11", "--regions", &marks]).good();
    let rows = table(&place, "out")?;
    let column = rows[0]
        .iter()
        .position(|name| name == "locality_semantics")
        .ok_or("no column")?;
    let index: f64 = rows[1][column].parse()?;
    assert!((0.0..=1.0).contains(&index));
    Ok(())
}

/// By the name in files, by an older one, and by the one on the screen.
#[test]
fn a_survey_is_sorted_by_a_figure_under_any_of_its_names() {
    let place = Place::new();
    let mut sheets = Vec::new();
    for (folder, name) in [
        ("a", "nsr_low_passed"),
        ("b", "nsr-low-passed"),
        ("c", "Noise, low-passed"),
    ] {
        surveyed(&place, folder, &["--activations", "b3,b8,b11", "--sort", name]).good();
        sheets.push(std::fs::read(place.path(folder).join("sheet.png")).expect("a sheet"));
    }
    assert!(sheets.windows(2).all(|two| two[0] == two[1]));
    surveyed(&place, "d", &["--activations", "b3,b8,b11", "--sort", "noise"]).good();
}

#[test]
fn wrong_requests_are_refused_in_words() {
    let place = Place::new();
    let refused = |more: &[&str], words: &str| {
        surveyed(&place, "out", more).refused(2, &[words]);
        assert!(!place.path("out").exists());
    };
    refused(&["--sort", "beauty"], "there is no column \"beauty\"");
    refused(&["--noises", "0"], "0 passes");
    refused(
        &["--noises", "4000", "--size", "256"],
        "a survey holds at most 1024 MiB",
    );
    refused(&["--activations", "b99"], "b99");
}

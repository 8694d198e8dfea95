//! Figures of a survey against NumPy and SciPy (`tests/data/survey/expected.py` makes the values).

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::path::Path;

use featscope::{
    activation::FeatureMap,
    analysis::{
        figures::{Figures, measure},
        granularity::Granularity,
        noise::compare_noises,
    },
    geometry::Grid,
};
use safetensors::SafeTensors;
use serde_json::Value;

/// Relative, of every figure.
const TOLERANCE: f64 = 1e-4;

fn data() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn expected() -> Vec<Value> {
    let text = std::fs::read_to_string(data().join("survey/expected.json")).expect("part of the tests");
    serde_json::from_str(&text).expect("JSON")
}

fn maps(set: &Value) -> Vec<FeatureMap> {
    let case = set["case"].as_str().expect("a name");
    let bytes = std::fs::read(data().join("cases").join(case).join("expected.safetensors")).expect("part of the tests");
    let file = SafeTensors::deserialize(&bytes).expect("a sound file");
    let map = |named: &Value| {
        let tensor = file
            .tensor(named[0].as_str().expect("a name"))
            .expect("a tensor of the case");
        let [_, channels, height, width] = *tensor.shape() else {
            panic!("{named}")
        };
        let numbers: Vec<f32> = tensor
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|x| f32::from_le_bytes(*x))
            .collect();
        let row = named[1].as_u64().expect("a row") as usize * channels * height * width;
        let planes = &numbers[row..row + channels * height * width];
        FeatureMap::from_channels(channels, Grid::new(height, width), planes).expect("a sound map")
    };
    set["maps"].as_array().expect("names").iter().map(map).collect()
}

#[track_caller]
fn close(what: &str, found: f64, expected: &Value) {
    let expected = expected
        .as_f64()
        .unwrap_or_else(|| panic!("{what}: no number, {expected}"));
    assert!(
        (found - expected).abs() <= TOLERANCE * expected.abs().max(1e-3),
        "{what}: {found}, expected {expected}"
    );
}

#[track_caller]
fn all_close(what: &str, found: &[f64], expected: &Value) {
    let expected = expected.as_array().expect("numbers");
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        close(&format!("{what} {index}"), *found, expected);
    }
}

#[track_caller]
fn granularity(what: &str, found: Option<&Granularity>, expected: &Value) {
    let found = found.expect("it has structure");
    all_close(what, &found.spectrum, &expected["spectrum"]);
    close(what, found.centroid, &expected["centroid"]);
    assert_eq!(found.radius as u64, expected["radius"], "{what}");
    close(what, found.slope.expect("several bins"), &expected["slope"]);
}

#[test]
fn every_figure_is_that_of_numpy_and_scipy() {
    let sets = expected();
    assert_eq!(sets.len(), 4);
    for set in &sets {
        let maps = maps(set);
        let wanted = &set["figures"];
        let thirds = |grid: Grid| {
            let column = |position| grid.row_column(position).1;
            (0..grid.positions())
                .map(|position| Some(column(position) * 3 / grid.width))
                .collect()
        };
        let (figures, thumbnail) =
            measure(maps.len(), &|noise| Ok(maps[noise].clone()), Some(&thirds)).expect("sound maps");
        let name = |what: &str| format!("{} of {}", what, set["case"]);
        let Figures {
            nsr,
            nsr_low_passed,
            locality,
            semantics,
            signal,
            residual,
            explained,
            effective_rank,
            massive,
            norm,
            ..
        } = figures;
        close(&name("nsr"), nsr.expect("several noises"), &wanted["nsr"]);
        let low = nsr_low_passed.expect("several noises");
        close(&name("low-passed nsr"), low, &wanted["nsr_low_passed"]);
        all_close(&name("locality"), &locality.curve, &wanted["curve"]);
        close(&name("baseline"), locality.baseline, &wanted["baseline"]);
        assert_eq!(
            locality.half_width,
            wanted["half_width"].as_f64(),
            "{}",
            name("half-width")
        );
        match semantics {
            Some(index) => close(&name("semantics"), index, &wanted["semantics"]),
            None => assert!(wanted["semantics"].is_null()),
        }
        granularity(&name("signal"), signal.as_ref(), &wanted["signal"]);
        granularity(&name("residual"), residual.as_ref(), &wanted["residual"]);
        all_close(&name("explained"), &explained, &wanted["explained"]);
        close(&name("effective rank"), effective_rank, &wanted["effective_rank"]);
        assert_eq!(serde_json::json!(massive), wanted["massive"], "{}", name("massive"));
        close(&name("norm"), norm, &wanted["norm"]);
        assert_eq!(thumbnail.grid, maps[0].grid());
        let planes = maps.iter().map(FeatureMap::to_channels).collect();
        let noise = compare_noises(maps[0].grid(), planes).expect("sound maps").figures;
        let of_positions: Vec<f64> = noise.of_positions.iter().map(|x| f64::from(*x)).collect();
        all_close(&name("noise"), &of_positions, &wanted["of_positions"]);
    }
}

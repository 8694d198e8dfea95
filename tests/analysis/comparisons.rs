//! Figures that compare maps, against those of NumPy and SciPy: `comparisons_reference.py` makes them.

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::error::Error;

use featscope::{
    activation::FeatureMap,
    analysis::{
        cka::{Form, GridRule},
        gram::CentredGram,
        shift::ShiftRuler,
        similarity::mean_cosine_between,
    },
    geometry::Grid,
};
use serde_json::Value;

type TestResult = Result<(), Box<dyn Error>>;

/// Relative; the maps are in f32.
const TOLERANCE: f64 = 1e-5;

/// The map that the script makes.
fn feature_map(seed: u32, channels: usize, height: usize, width: usize) -> Result<FeatureMap, Box<dyn Error>> {
    let seed = f64::from(seed);
    let mut vectors = Vec::with_capacity(channels * height * width);
    for (i, j) in (0..height).flat_map(|i| (0..width).map(move |j| (i as f64, j as f64))) {
        for c in (0..channels).map(|c| c as f64) {
            let wave = (0.9 * seed + 0.31 * (c + 1.0) * (i + 1.0) + (0.17 * seed + 0.23) * (c + 2.0) * j).sin();
            vectors.push((wave + 0.05 * c * i + 0.3) as f32);
        }
    }
    Ok(FeatureMap::from_positions(channels, Grid::new(height, width), vectors)?)
}

fn expected() -> Result<Value, Box<dyn Error>> {
    Ok(serde_json::from_str(include_str!("../data/comparisons.json"))?)
}

#[track_caller]
fn assert_close(found: f64, expected: &Value) {
    let expected = expected.as_f64().expect("the script writes numbers");
    let error = (found - expected).abs() / expected.abs();
    assert!(error < TOLERANCE, "{found} is not {expected}: {error:e}");
}

#[test]
fn cka_through_gram_matrices_is_that_of_numpy() -> TestResult {
    let grid = Grid::new(8, 12);
    let (large, other, small) = (
        feature_map(1, 6, 8, 12)?,
        feature_map(2, 9, 8, 12)?,
        feature_map(3, 5, 4, 6)?,
    );
    let gram = |map: &FeatureMap| CentredGram::of_positions(&[map], &[grid], GridRule::EnlargeNearest);
    let expected = &expected()?["cka"];
    assert_close(gram(&large)?.cka(&gram(&other)?, Form::Biased)?, &expected["biased"]);
    assert_close(
        gram(&large)?.cka(&gram(&other)?, Form::Unbiased)?,
        &expected["unbiased"],
    );
    assert_close(gram(&large)?.cka(&gram(&small)?, Form::Biased)?, &expected["enlarged"]);
    Ok(())
}

#[test]
fn cka_over_pictures_is_that_of_numpy() -> TestResult {
    let of = |k: u32| -> Result<CentredGram, Box<dyn Error>> {
        let maps = (0..7).map(|seed| feature_map(seed + 10 * k, 4 + 3 * k as usize, 3, 5));
        let maps = maps.collect::<Result<Vec<_>, _>>()?;
        Ok(CentredGram::of_pictures(&maps.iter().collect::<Vec<_>>())?)
    };
    let expected = &expected()?["cka"];
    assert_close(of(0)?.cka(&of(1)?, Form::Biased)?, &expected["pictures"]);
    assert_close(of(0)?.cka(&of(1)?, Form::Unbiased)?, &expected["pictures_unbiased"]);
    Ok(())
}

#[test]
fn cosines_and_content_shift_are_those_of_numpy_and_scipy() -> TestResult {
    let (reference, anchor, map) = (
        feature_map(1, 6, 8, 12)?,
        feature_map(7, 6, 8, 12)?,
        feature_map(4, 6, 8, 12)?,
    );
    let expected = expected()?;
    assert_close(mean_cosine_between(&reference, &map)?, &expected["cosine"]);
    let ruler = ShiftRuler::new(&reference, &anchor)?;
    let shift = ruler.shift(&map)?;
    assert_close(ruler.anchor_diff(), &expected["shift"]["anchor_diff"]);
    assert_close(shift.diff, &expected["shift"]["diff"]);
    assert_close(shift.score, &expected["shift"]["score"]);
    Ok(())
}

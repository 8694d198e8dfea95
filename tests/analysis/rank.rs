//! Ranking by pairs of points, against `rank_reference.py`, and what must hold of it on any maps.

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::path::Path;

use featscope::{
    activation::FeatureMap,
    analysis::{
        correspondence::Method,
        pairs::PointPair,
        rank::{PairFigures, PairScore, RankOptions, Ranking},
    },
    geometry::{Grid, Size, framing::Framing},
};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde::Deserialize;

/// Double precision against single.
const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct RepoPart {
    source_size: [usize; 2],
    target_size: [usize; 2],
    pairs: Vec<PointPair>,
    grid: Scored,
    dift: Scored,
}

#[derive(Deserialize)]
struct Scored {
    figures: PairFigures,
    chance: PairFigures,
    predicted: Vec<[f64; 2]>,
}

fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(path).expect("the data is part of the tests")
}

fn map(name: &str) -> FeatureMap {
    let bytes = data("cases/analysis/expected.safetensors");
    let file = SafeTensors::deserialize(&bytes).expect("a sound file");
    let tensor = file.tensor(name).expect("a tensor of the case");
    let [_, channels, height, width] = *tensor.shape() else {
        panic!("{name} is no map");
    };
    let numbers = tensor.data().as_chunks::<4>().0.iter();
    let planes: Vec<f32> = numbers.map(|bytes| f32::from_le_bytes(*bytes)).collect();
    FeatureMap::from_channels(channels, Grid::new(height, width), &planes).expect("a map")
}

fn whole([width, height]: [usize; 2]) -> Framing {
    Framing::whole(Size::new(width, height), Size::new(192, 192))
}

fn close(a: &PairFigures, b: &PairFigures) -> bool {
    let numbers = |figures: &PairFigures| [figures.mean_distance_px, figures.pck_05, figures.pck_10];
    let pairs = numbers(a).into_iter().zip(numbers(b));
    pairs
        .into_iter()
        .all(|(a, b)| (a - b).abs() <= TOLERANCE * b.abs().max(1.0))
}

#[test]
fn figures_are_those_of_numpy() {
    let wanted: RepoPart = serde_json::from_slice(&data("rank.json")).expect("the script's output");
    let maps = ["in.up-level3-repeat0-vit-block0-self-k", "match.in_b"].map(map);
    let framings = [whole(wanted.source_size), whole(wanted.target_size)];
    for (method, expected) in [(Method::Grid, &wanted.grid), (Method::Dift, &wanted.dift)] {
        let options = RankOptions {
            method,
            ..RankOptions::default()
        };
        let mut ranking = Ranking::new(&wanted.pairs, framings, options).expect("pairs");
        assert_eq!((ranking.pairs(), ranking.longer_side()), (12, 400));
        // The second time, chance is remembered.
        for _ in 0..2 {
            let score = ranking.score(&maps[0], &maps[1]).expect("a score");
            for (found, expected) in score.predicted.iter().zip(&expected.predicted) {
                let far = (found[0] - expected[0]).hypot(found[1] - expected[1]);
                assert!(far < 1e-6, "{method:?}: {found:?}, NumPy found {expected:?}");
            }
            assert!(close(&score.figures, &expected.figures), "{method:?}: {score:?}");
            assert!(close(&score.chance, &expected.chance), "{method:?}: {score:?}");
        }
    }
}

/// A centre crop: what it leaves out is not counted, and distances stay in pixels of the original.
#[test]
fn pairs_that_a_crop_leaves_out_are_not_counted() {
    let framing = Framing {
        original: Size::new(64, 32),
        scaled: Size::new(64, 32),
        offset_x: 16,
        offset_y: 0,
        working: Size::new(32, 32),
    };
    let grid = Grid::new(4, 4);
    let vectors: Vec<f32> = (0..16)
        .flat_map(|cell| (0..16).map(move |c| f32::from(u8::from(c == cell))))
        .collect();
    let map = FeatureMap::from_positions(16, grid, vectors).expect("a map");
    let pair = |source, target| PointPair { source, target };
    let seen = pair([20.0, 4.0], [20.0, 4.0]);
    let pairs = [seen, pair([3.0, 4.0], [20.0, 4.0]), pair([20.0, 4.0], [60.0, 4.0])];
    let mut ranking = Ranking::new(&pairs, [framing, framing], RankOptions::default()).expect("pairs");
    assert_eq!((ranking.pairs(), ranking.unseen()), (1, 2));
    let score = ranking.score(&map, &map).expect("a score");
    assert_eq!(score.predicted, [[19.5, 3.5]]);
    assert_eq!(score.figures.mean_distance_px, 0.5_f64.hypot(0.5));
    let none = Ranking::new(&pairs[1..], [framing, framing], RankOptions::default());
    let error = none.err().expect("no pair is seen").to_string();
    assert!(error.contains("sees none"), "{error}");
    assert!(Ranking::new(&[], [framing, framing], RankOptions::default()).is_err());
}

#[test]
fn maps_of_different_channels_are_refused() {
    let map = |channels: usize| {
        let vectors = (0..4 * channels).map(|x| x as f32).collect();
        FeatureMap::from_positions(channels, Grid::new(2, 2), vectors).expect("a map")
    };
    let pairs = [PointPair {
        source: [1.0, 1.0],
        target: [1.0, 1.0],
    }];
    let framing = whole([8, 8]);
    for method in [Method::Grid, Method::Dift] {
        let options = RankOptions {
            method,
            ..RankOptions::default()
        };
        let mut ranking = Ranking::new(&pairs, [framing, framing], options).expect("pairs");
        assert!(ranking.score(&map(3), &map(4)).is_err());
    }
}

/// A map whose vectors all differ.
fn distinct(height: usize, width: usize, seed: u32) -> FeatureMap {
    let number = |index: usize| (((index as u32).wrapping_mul(2_654_435_761) ^ seed) % 1000) as f32 / 500.0 - 1.0;
    let vectors = (0..height * width * 8).map(number).collect();
    FeatureMap::from_positions(8, Grid::new(height, width), vectors).expect("a map")
}

fn score(pairs: &[PointPair], maps: [&FeatureMap; 2], options: RankOptions) -> PairScore {
    let framing = whole([100, 60]);
    let mut ranking = Ranking::new(pairs, [framing, framing], options).expect("pairs");
    ranking.score(maps[0], maps[1]).expect("a score")
}

proptest! {
    /// A picture finds its own points: no farther than half a cell, and shares grow with the threshold.
    #[test]
    fn a_map_finds_itself(
        height in 1_usize..9,
        width in 1_usize..9,
        seed in any::<u32>(),
        points in prop::collection::vec((0.0..99.0_f64, 0.0..59.0_f64), 1..6),
    ) {
        let map = distinct(height, width, seed);
        let pairs: Vec<PointPair> = points
            .iter()
            .map(|&(x, y)| PointPair { source: [x, y], target: [x, y] })
            .collect();
        let found = score(&pairs, [&map, &map], RankOptions::default());
        let half = (50.0 / width as f64).hypot(30.0 / height as f64);
        prop_assert!(found.figures.mean_distance_px <= half + 1e-9);
        for figures in [&found.figures, &found.chance] {
            prop_assert!(figures.pck_05 <= figures.pck_10 && figures.pck_10 <= 1.0);
            prop_assert!(figures.mean_distance_px <= 100.0_f64.hypot(60.0));
        }
        if height * width == 1 {
            prop_assert_eq!(found.figures, found.chance);
        }
    }

    /// Cosine knows no lengths, so neither do the predictions; a power of two rounds nothing.
    #[test]
    fn lengths_do_not_matter(seed in any::<u32>(), exponent in -3..4_i32) {
        let (a, b) = (distinct(5, 6, seed), distinct(5, 6, seed ^ 0x5555));
        let longer = b.vectors().iter().map(|x| 2.0_f32.powi(exponent) * x).collect();
        let longer = FeatureMap::from_positions(8, b.grid(), longer).expect("a map");
        let pairs = [
            PointPair { source: [10.0, 10.0], target: [40.0, 20.0] },
            PointPair { source: [80.0, 50.0], target: [3.0, 55.0] },
        ];
        for method in [Method::Grid, Method::Dift] {
            let options = RankOptions { method, ..RankOptions::default() };
            prop_assert_eq!(score(&pairs, [&a, &b], options), score(&pairs, [&a, &longer], options));
        }
    }
}

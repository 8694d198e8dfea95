//! Numbers and requests that make no sense end in a message or in black, never in a panic.

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use featscope::{
    activation::{FeatureMap, pool::adaptive_average_pool},
    analysis::{
        cka::{CkaOptions, Form, cka},
        colour::{ColourRange, RangeRule, colour, reference_picture},
        correspondence::{dift_heat, dift_query, mutual_nearest},
        pca::{PcaOptions, fit},
        similarity::{arg_max, cell_vector, cosine_to_all, interpolated_vector, top_k},
    },
    geometry::Grid,
};

use super::properties::{fading, map, noise};

fn of(channels: usize, height: usize, width: usize, numbers: Vec<f32>) -> FeatureMap {
    FeatureMap::from_positions(channels, Grid::new(height, width), numbers).expect("as many numbers as promised")
}

#[test]
fn constant_maps_are_black() {
    let constant = of(4, 3, 3, vec![0.1; 36]);
    let basis = fit(&[&constant], &PcaOptions::default()).expect("finite numbers");
    assert_eq!(basis.dropped, [true; 3]);
    assert_eq!(basis.explained_variance_ratio, [0.0; 3]);
    assert!(
        reference_picture(&constant)
            .expect("finite numbers")
            .rgb
            .iter()
            .all(|&x| x == 0)
    );
    assert!(cka(&constant, &map(1, 4, 3, 3), CkaOptions::default()).is_err());
}

#[test]
fn one_position_is_black() {
    let picture = reference_picture(&map(2, 8, 1, 1)).expect("finite numbers");
    assert_eq!(picture.rgb, [0, 0, 0]);
}

#[test]
fn fewer_channels_than_colours() {
    for channels in [1, 2] {
        let features = map(3, channels, 4, 4);
        let basis = fit(&[&features], &PcaOptions::default()).expect("finite numbers");
        let expected: Vec<bool> = (0..3).map(|index| index >= channels).collect();
        assert_eq!(basis.dropped, expected);
        let picture = reference_picture(&features).expect("finite numbers");
        assert!(
            picture
                .rgb
                .chunks_exact(3)
                .all(|pixel| pixel[channels..].iter().all(|&x| x == 0))
        );
    }
}

/// Rank two with a trace of noise: the third component explains less than a millionth and is black, on every road.
#[test]
fn negligible_components_are_dropped() {
    for (channels, height, width) in [(20, 8, 8), (90, 10, 10), (450, 21, 21)] {
        let mut numbers = noise(4, channels * height * width);
        numbers.iter_mut().for_each(|x| *x *= 1e-5);
        let positions = height * width;
        for rank in 0..2 {
            let (along, direction) = (noise(5 + rank, positions), noise(7 + rank, channels));
            for (row, s) in numbers.chunks_exact_mut(channels).zip(along) {
                row.iter_mut().zip(&direction).for_each(|(x, d)| *x += s * d);
            }
        }
        let basis = fit(&[&of(channels, height, width, numbers)], &PcaOptions::default()).expect("finite numbers");
        assert_eq!(basis.dropped, [false, false, true]);
        assert!(basis.components[2 * channels..].iter().all(|&x| x == 0.0));
    }
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut numbers = noise(8, 36);
        numbers[6] = bad;
        let broken = of(4, 3, 3, numbers);
        let message = fit(&[&broken], &PcaOptions::default())
            .expect_err("not finite")
            .to_string();
        assert!(message.contains("channel 2"), "{message}");
        assert!(cka(&broken, &broken, CkaOptions::default()).is_err());
        assert!(mutual_nearest(&broken, &broken).is_ok());
        assert!(dift_heat(broken.vector(0), &broken, 8, 8).is_ok());
        let basis = fit(&[&map(9, 4, 3, 3)], &PcaOptions::default()).expect("finite numbers");
        let scores = basis.project(&broken).expect("equal channels");
        let range = ColourRange::of(&[&scores], RangeRule::Percentile { low: 1.0, high: 99.0 }).expect("one map");
        assert_eq!(colour(&scores, &range).rgb.len(), 27);
    }
}

#[test]
fn extreme_magnitudes_do_not_overflow() {
    let features = fading(10, 400, 21, 20);
    let expected = fit(&[&features], &PcaOptions::default()).expect("finite numbers");
    for factor in [1e-30_f32, 1e30] {
        let numbers = features.vectors().iter().map(|x| x * factor).collect();
        let basis = fit(&[&of(400, 21, 20, numbers)], &PcaOptions::default()).expect("finite numbers");
        for (a, b) in basis
            .explained_variance_ratio
            .iter()
            .zip(&expected.explained_variance_ratio)
        {
            assert!((a - b).abs() < 1e-5);
        }
    }
}

/// One channel a thousand times the others, as massive activations are.
#[test]
fn a_massive_channel_leaves_the_others_exact() {
    let features = fading(11, 450, 22, 22);
    let mut numbers = features.vectors().to_vec();
    let massive = noise(12, 22 * 22);
    for (row, m) in numbers.chunks_exact_mut(450).zip(massive) {
        row[7] = 1000.0 * m;
    }
    let basis = fit(
        &[&of(450, 22, 22, numbers.clone())],
        &PcaOptions {
            components: 3,
            ..PcaOptions::default()
        },
    )
    .expect("finite numbers");
    assert!(basis.explained_variance_ratio[0] > 0.99);
    let transposed = of(450, 22, 22, numbers);
    let scores = basis.project(&transposed).expect("its own map");
    // Scores of different components are uncorrelated, which fails first where components mix.
    let second: Vec<f64> = scores.component(1).map(f64::from).collect();
    let third: Vec<f64> = scores.component(2).map(f64::from).collect();
    let product = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
    let correlation = product(&second, &third) / (product(&second, &second) * product(&third, &third)).sqrt();
    assert!(correlation.abs() < 1e-3, "{correlation}");
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let (a, b) = (map(13, 4, 3, 3), map(14, 5, 3, 3));
    let options = PcaOptions::default();
    assert!(fit(&[], &options).is_err());
    assert!(fit(&[&a, &b], &options).is_err());
    assert!(
        fit(
            &[&a],
            &PcaOptions {
                components: 0,
                ..options.clone()
            }
        )
        .is_err()
    );
    let basis = fit(&[&a], &options).expect("a sound map");
    assert!(basis.project(&b).is_err());
    let mut damaged = basis.clone();
    damaged.components.pop();
    assert!(damaged.project(&a).is_err());
    assert!(ColourRange::of(&[], RangeRule::MinMax).is_err());
    let scores = basis.project(&a).expect("its own map");
    assert!(ColourRange::of(&[&scores], RangeRule::Percentile { low: -1.0, high: 101.0 }).is_err());
    assert!(cosine_to_all(b.vector(0), &a).is_err());
    assert!(dift_heat(b.vector(0), &a, 8, 8).is_err());
    assert!(dift_query(&a, 8, 0, 8, 8).is_err());
    assert!(mutual_nearest(&a, &b).is_err());
    assert!(cell_vector(&a, 3, 0).is_err());
    assert!(interpolated_vector(&a, f64::NAN, 0.0).is_err());
    assert!(interpolated_vector(&a, -5.0, 99.0).is_ok());
    assert!(adaptive_average_pool(&[0.0; 9], 1, Grid::new(3, 3), Grid::new(0, 2)).is_err());
    assert!(adaptive_average_pool(&[0.0; 8], 1, Grid::new(3, 3), Grid::new(2, 2)).is_err());
    let tiny = map(15, 4, 1, 3);
    let unbiased = CkaOptions {
        form: Form::Unbiased,
        ..CkaOptions::default()
    };
    assert!(cka(&tiny, &tiny, unbiased).is_err());
    assert!(dift_heat(a.vector(0), &a, 0, 0).expect("an empty picture").is_empty());
}

#[test]
fn empty_and_broken_scores() {
    assert_eq!(arg_max(&[]), None);
    assert_eq!(arg_max(&[f32::NAN]), None);
    assert_eq!(arg_max(&[f32::NAN, 1.0, 1.0]).map(|peak| peak.position), Some(1));
    assert!(top_k(&[1.0, 2.0], 0).is_empty());
    assert!(top_k(&[], 3).is_empty());
    let ranked: Vec<usize> = top_k(&[1.0, 3.0, f32::NAN, 3.0, 2.0], 3)
        .iter()
        .map(|peak| peak.position)
        .collect();
    assert_eq!(ranked, [1, 3, 4]);
}

#[test]
fn zero_vectors_are_like_nothing() {
    let zero = of(4, 2, 2, vec![0.0; 16]);
    assert_eq!(cosine_to_all(zero.vector(0), &zero).expect("the same map"), [0.0; 4]);
    assert_eq!(dift_heat(zero.vector(0), &zero, 3, 3).expect("the same map"), [0.0; 9]);
}

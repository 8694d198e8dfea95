//! What must hold for any numbers, and plain loops beside every fast path over odd shapes.

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use featscope::{
    activation::{
        FeatureMap,
        pool::{adaptive_average_pool, pool_map},
    },
    analysis::{
        cka::{CkaOptions, Form, GridRule, cka},
        colour::{ColourRange, RangeRule, colour, reference_picture},
        correspondence::{dift_heat, dift_query, mutual_nearest},
        pca::{PcaBasis, PcaOptions, SignRule, fit},
        shift::ShiftRuler,
        similarity::{arg_max, cell_vector, cosine_to_all, dot, interpolated_vector, top_k},
    },
    geometry::Grid,
};
use proptest::prelude::*;

/// Reproducible numbers without pattern in −1 … 1.
pub fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32) / ((1_u32 << 23) as f32) - 1.0
        })
        .collect()
}

pub fn map(seed: u64, channels: usize, height: usize, width: usize) -> FeatureMap {
    let numbers = noise(seed, channels * height * width);
    FeatureMap::from_positions(channels, Grid::new(height, width), numbers).expect("a sound map")
}

/// A map whose channels follow a few directions that fade, with noise beside them: what features look like.
pub fn fading(seed: u64, channels: usize, height: usize, width: usize) -> FeatureMap {
    let positions = height * width;
    let mut numbers = noise(seed, positions * channels);
    numbers.iter_mut().for_each(|x| *x *= 0.05);
    for rank in 0..6_u64 {
        let strength = 0.7_f32.powi(rank as i32);
        let along = noise(seed + 100 + rank, positions);
        let direction = noise(seed + 200 + rank, channels);
        for (row, s) in numbers.chunks_exact_mut(channels).zip(along) {
            for (x, d) in row.iter_mut().zip(&direction) {
                *x += strength * s * d;
            }
        }
    }
    FeatureMap::from_positions(channels, Grid::new(height, width), numbers).expect("a sound map")
}

fn naive_cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
    dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// The enlarged features at one pixel, written as PyTorch's documentation has it.
fn naive_enlarged(map: &FeatureMap, y: usize, x: usize, height: usize, width: usize) -> Vec<f64> {
    let grid = map.grid();
    let place = |index: usize, cells: usize, samples: usize| {
        let at = ((index as f64 + 0.5) * cells as f64 / samples as f64 - 0.5).max(0.0);
        let low = at.floor() as usize;
        (low, (low + 1).min(cells - 1), at - low as f64)
    };
    let (top, bottom, fy) = place(y, grid.height, height);
    let (left, right, fx) = place(x, grid.width, width);
    (0..map.channels())
        .map(|channel| {
            let at = |row: usize, column: usize| f64::from(map.vector(grid.index(row, column))[channel]);
            (1.0 - fy) * ((1.0 - fx) * at(top, left) + fx * at(top, right))
                + fy * ((1.0 - fx) * at(bottom, left) + fx * at(bottom, right))
        })
        .collect()
}

#[test]
fn dot_over_odd_lengths() {
    for length in [0, 1, 15, 16, 17, 31, 33, 255, 256, 257, 1280] {
        let (a, b) = (noise(1, length), noise(2, length));
        let expected: f64 = wide(&a).iter().zip(wide(&b)).map(|(x, y)| x * y).sum();
        assert!((f64::from(dot(&a, &b)) - expected).abs() < 1e-5, "{length}");
    }
}

#[test]
fn cosines_over_odd_shapes() {
    for (channels, height, width) in [(1, 1, 1), (3, 2, 5), (17, 7, 3), (320, 9, 8), (33, 1, 11)] {
        let (source, target) = (map(3, channels, 2, 2), map(4, channels, height, width));
        let actual = cosine_to_all(source.vector(1), &target).expect("equal channels");
        for (position, score) in actual.iter().enumerate() {
            let expected = naive_cosine(&wide(source.vector(1)), &wide(target.vector(position)));
            assert!((f64::from(*score) - expected).abs() < 1e-5);
        }
    }
}

#[test]
fn dift_over_odd_shapes() {
    // Enlarging, reducing, one row, one column, one cell.
    for (height, width, out_height, out_width) in [
        (4, 6, 17, 23),
        (5, 3, 40, 24),
        (7, 9, 5, 4),
        (1, 6, 9, 12),
        (6, 1, 12, 9),
        (1, 1, 5, 7),
        (3, 3, 3, 3),
    ] {
        let (source, target) = (map(5, 21, 4, 5), map(6, 21, height, width));
        let query = dift_query(&source, 11, 3, 16, 20).expect("inside");
        let expected_query = naive_enlarged(&source, 11, 3, 16, 20);
        for (a, b) in query.iter().zip(&expected_query) {
            assert!((f64::from(*a) - b).abs() < 1e-6);
        }
        let actual = dift_heat(&query, &target, out_height, out_width).expect("equal channels");
        assert_eq!(actual.len(), out_height * out_width);
        for y in 0..out_height {
            for x in 0..out_width {
                let vector = naive_enlarged(&target, y, x, out_height, out_width);
                let expected = naive_cosine(&expected_query, &vector);
                assert!(
                    (f64::from(actual[y * out_width + x]) - expected).abs() < 1e-5,
                    "{height} {width} {y} {x}"
                );
            }
        }
    }
}

#[test]
fn matches_over_odd_shapes() {
    for (channels, a_shape, b_shape) in [(5, (3, 7), (9, 2)), (40, (13, 11), (12, 17)), (2, (1, 1), (4, 4))] {
        let (a, b) = (
            map(7, channels, a_shape.0, a_shape.1),
            map(8, channels, b_shape.0, b_shape.1),
        );
        let found = mutual_nearest(&a, &b).expect("equal channels");
        for (from, to, peaks) in [(&a, &b, &found.forward), (&b, &a, &found.backward)] {
            for (position, peak) in peaks.iter().enumerate() {
                let cosines = cosine_to_all(from.vector(position), to).expect("equal channels");
                let best = arg_max(&cosines).expect("numbers");
                assert!((best.score - peak.score).abs() < 1e-6);
                assert!((cosines[peak.position] - best.score).abs() < 1e-6);
            }
        }
        for (position, there) in found.forward.iter().enumerate() {
            let back = found.backward[there.position].position;
            assert_eq!(found.mutual[position], back == position);
            let ((r, c), (y, x)) = (a.grid().row_column(position), a.grid().row_column(back));
            let expected = ((r as f32 - y as f32).powi(2) + (c as f32 - x as f32).powi(2)).sqrt();
            assert!((found.cycle_error[position] - expected).abs() < 1e-5);
        }
    }
}

#[test]
fn a_map_matches_itself() {
    let a = map(9, 24, 17, 19);
    let found = mutual_nearest(&a, &a).expect("the same map");
    assert!(found.mutual.iter().all(|&mutual| mutual));
    assert!(found.cycle_error.iter().all(|&error| error == 0.0));
    assert!(
        found
            .forward
            .iter()
            .enumerate()
            .all(|(position, peak)| peak.position == position)
    );
}

/// All roads to the components lead to the same place: shapes on both sides of every threshold, against power
/// iteration on the covariance in f64.
#[test]
fn components_over_all_roads() {
    for (channels, height, width) in [
        (5, 3, 4),
        (70, 5, 4),
        (70, 12, 12),
        (300, 20, 25),
        (640, 10, 12),
        (500, 24, 20),
        (420, 30, 30),
    ] {
        let features = fading(10, channels, height, width);
        let basis = fit(&[&features], &PcaOptions::default()).expect("a sound map");
        let n = height * width;
        let mut rows: Vec<Vec<f64>> = (0..n).map(|p| wide(features.vector(p))).collect();
        for channel in 0..channels {
            let mean = rows.iter().map(|row| row[channel]).sum::<f64>() / n as f64;
            rows.iter_mut().for_each(|row| row[channel] -= mean);
        }
        for (index, component) in basis.components.chunks_exact(channels).enumerate() {
            // C v = λ v is all an eigenvector has to fulfil.
            let component = wide(component);
            let scores: Vec<f64> = rows
                .iter()
                .map(|row| row.iter().zip(&component).map(|(x, y)| x * y).sum())
                .collect();
            let variance = basis.explained_variance[index];
            for channel in 0..channels {
                let image: f64 =
                    rows.iter().zip(&scores).map(|(row, s)| row[channel] * s).sum::<f64>() / (n - 1) as f64;
                let error = (image - variance * component[channel]).abs();
                assert!(
                    error < 1e-5 * variance,
                    "{channels} {height} {width}: {error} {variance}"
                );
            }
        }
        let total: f64 = rows.iter().flatten().map(|x| x * x).sum::<f64>() / (n - 1) as f64;
        assert!((basis.total_variance - total).abs() < 1e-5 * total);
    }
}

/// Equal variances in every direction leave no direction to converge to; the search must still end, with the right
/// variances.
#[test]
fn flat_spectra_end() {
    for (channels, height, width) in [(450, 22, 22), (100, 15, 15)] {
        let mut numbers = vec![0.0; channels * height * width];
        for (position, row) in numbers.chunks_exact_mut(channels).enumerate() {
            row[position % channels] = if position / channels % 2 == 0 { 1.0 } else { -1.0 };
        }
        let flat = FeatureMap::from_positions(channels, Grid::new(height, width), numbers).expect("a sound map");
        let options = PcaOptions {
            centre: false,
            ..PcaOptions::default()
        };
        let basis = fit(&[&flat], &options).expect("a sound map");
        let n = height * width;
        let largest = n.div_ceil(channels) as f64 / (n - 1) as f64;
        for variance in &basis.explained_variance {
            assert!((variance - largest).abs() < 1e-5 * largest, "{variance} {largest}");
        }
    }
}

#[test]
fn a_joint_basis_shares_its_colours() {
    let (a, b) = (fading(11, 12, 6, 6), fading(12, 12, 4, 9));
    let both = fit(&[&a, &b], &PcaOptions::default()).expect("equal channels");
    // The same positions as one map.
    let mut numbers = a.vectors().to_vec();
    numbers.extend_from_slice(b.vectors());
    let stacked = FeatureMap::from_positions(12, Grid::new(72, 1), numbers).expect("a sound map");
    let alone = fit(&[&stacked], &PcaOptions::default()).expect("a sound map");
    assert_eq!(both, alone);
    let (in_a, in_b) = (both.project(&a).expect("fits"), both.project(&b).expect("fits"));
    let range = ColourRange::of(&[&in_a, &in_b], RangeRule::MinMax).expect("the same basis");
    let in_stacked = both.project(&stacked).expect("fits");
    let whole = colour(&in_stacked, &range);
    let parts = [colour(&in_a, &range).rgb, colour(&in_b, &range).rgb].concat();
    assert_eq!(whole.rgb, parts);
    // A saved basis projects as before.
    let saved = serde_json::to_string(&both).expect("plain data");
    let loaded: PcaBasis = serde_json::from_str(&saved).expect("what was saved");
    // JSON may lose the last digit of the f64 variances; what projects is f32 and survives.
    assert_eq!(loaded.project(&a).expect("fits"), in_a);
}

#[test]
fn pooling_like_pytorch() {
    // F.adaptive_avg_pool2d(torch.arange(15.).view(1, 3, 5), (2, 3)).
    let planes: Vec<f32> = (0_u8..15).map(f32::from).collect();
    let pooled = adaptive_average_pool(&planes, 1, Grid::new(3, 5), Grid::new(2, 3)).expect("a sound plane");
    assert_eq!(pooled, [3.0, 4.5, 6.0, 8.0, 9.5, 11.0]);
}

#[test]
fn nearest_enlargement_repeats_pixels() {
    let picture = reference_picture(&map(13, 4, 2, 3)).expect("a sound map");
    let large = picture.resized_nearest(9);
    assert_eq!((large.height, large.width), (6, 9));
    for row in 0..6 {
        for column in 0..9 {
            let (to, from) = (3 * (row * 9 + column), 3 * (row / 3 * 3 + column / 3));
            assert_eq!(large.rgb[to..to + 3], picture.rgb[from..from + 3]);
        }
    }
    // Pillow: 5 columns to 3 are columns 0, 2, 4.
    let wide = reference_picture(&map(14, 4, 5, 5)).expect("a sound map");
    let small = wide.resized_nearest(3);
    for (row, from_row) in [0, 2, 4].into_iter().enumerate() {
        for (column, from_column) in [0, 2, 4].into_iter().enumerate() {
            let (to, from) = (3 * (row * 3 + column), 3 * (from_row * 5 + from_column));
            assert_eq!(small.rgb[to..to + 3], wide.rgb[from..from + 3]);
        }
    }
}

/// The estimator written out over all pairs of positions.
fn naive_unbiased(a: &FeatureMap, b: &FeatureMap) -> f64 {
    let n = a.grid().positions();
    let gram = |map: &FeatureMap| -> Vec<Vec<f64>> {
        let entry = |i: usize, j: usize| -> f64 {
            let pairs = map.vector(i).iter().zip(map.vector(j));
            if i == j {
                0.0
            } else {
                pairs.map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
            }
        };
        (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect()
    };
    let hsic = |k: &[Vec<f64>], l: &[Vec<f64>]| -> f64 {
        let count = n as f64;
        let (mut trace, mut k_sum, mut l_sum, mut between) = (0.0, 0.0, 0.0, 0.0);
        for i in 0..n {
            let (k_row, l_row): (f64, f64) = (k[i].iter().sum(), l[i].iter().sum());
            trace += k[i].iter().zip(&l[i]).map(|(x, y)| x * y).sum::<f64>();
            k_sum += k_row;
            l_sum += l_row;
            between += k_row * l_row;
        }
        (trace + k_sum * l_sum / ((count - 1.0) * (count - 2.0)) - 2.0 / (count - 2.0) * between)
            / (count * (count - 3.0))
    };
    let (k, l) = (gram(a), gram(b));
    hsic(&k, &l) / (hsic(&k, &k).sqrt() * hsic(&l, &l).sqrt())
}

#[test]
fn unbiased_cka_by_both_roads() {
    let options = CkaOptions {
        form: Form::Unbiased,
        grids: GridRule::EnlargeNearest,
    };
    // Fewer channels than positions, and more.
    for (a, b) in [
        (fading(15, 6, 5, 5), fading(16, 9, 5, 5)),
        (fading(17, 60, 4, 5), fading(18, 45, 4, 5)),
    ] {
        let actual = cka(&a, &b, options).expect("sound maps").value;
        let expected = naive_unbiased(&a, &b);
        assert!((actual - expected).abs() < 1e-9, "{actual} {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_vector_is_most_like_itself(seed in 0_u64..1000, channels in 2_usize..70, height in 1_usize..9, width in 1_usize..9) {
        let features = map(seed, channels, height, width);
        let (row, column) = (seed as usize % height, seed as usize / 7 % width);
        let query = cell_vector(&features, row, column).expect("inside");
        let cosines = cosine_to_all(query, &features).expect("the same map");
        let best = arg_max(&cosines).expect("numbers");
        prop_assert_eq!(best.position, features.grid().index(row, column));
        prop_assert!((best.score - 1.0).abs() < 1e-5);
        prop_assert_eq!(interpolated_vector(&features, row as f64, column as f64).expect("inside"), query);
        let ranked = top_k(&cosines, 5);
        prop_assert_eq!(ranked[0], best);
        prop_assert!(ranked.is_sorted_by(|a, b| a.score >= b.score));
        prop_assert_eq!(ranked.len(), cosines.len().min(5));
    }

    #[test]
    fn components_are_orthonormal(seed in 0_u64..1000, channels in 3_usize..120, height in 2_usize..12, width in 2_usize..12) {
        let basis = fit(&[&fading(seed, channels, height, width)], &PcaOptions::default()).expect("a sound map");
        for (i, a) in basis.components.chunks_exact(channels).enumerate() {
            for (j, b) in basis.components.chunks_exact(channels).enumerate() {
                let expected = if i == j && !basis.dropped[i] { 1.0 } else { 0.0 };
                prop_assert!((dot(a, b) - expected).abs() < 1e-5);
            }
        }
        prop_assert!(basis.explained_variance.is_sorted_by(|a, b| a >= b));
        prop_assert!(basis.explained_variance_ratio.iter().sum::<f64>() < 1.0 + 1e-6);
    }

    #[test]
    fn colours_do_not_depend_on_the_order_of_channels(seed in 0_u64..1000, channels in 3_usize..40) {
        let features = fading(seed, channels, 6, 7);
        let turned: Vec<f32> = features.vectors().chunks_exact(channels).flat_map(|v| v.iter().rev().copied()).collect();
        let turned = FeatureMap::from_positions(channels, features.grid(), turned).expect("a sound map");
        let (a, b) = (reference_picture(&features).expect("sound"), reference_picture(&turned).expect("sound"));
        for (x, y) in a.rgb.iter().zip(&b.rgb) {
            prop_assert!(x.abs_diff(*y) <= 1);
        }
    }

    #[test]
    fn whitened_scores_have_unit_variance(seed in 0_u64..1000, channels in 3_usize..40) {
        let features = fading(seed, channels, 7, 8);
        let options = PcaOptions { whiten: true, sign: SignRule::Loading, ..PcaOptions::default() };
        let scores = fit(&[&features], &options).and_then(|basis| basis.project(&features)).expect("a sound map");
        for index in 0..3 {
            let square: f32 = scores.component(index).map(|x| x * x).sum();
            prop_assert!((square / 55.0 - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn the_reference_itself_has_not_shifted(seed in 0_u64..1000, channels in 1_usize..20, height in 2_usize..7, width in 2_usize..7) {
        let (reference, anchor) = (map(seed, channels, height, width), map(seed + 1, channels, height, width));
        let ruler = ShiftRuler::new(&reference, &anchor).expect("other numbers");
        let score = |map: &FeatureMap| ruler.shift(map).expect("the same shape").score;
        prop_assert_eq!((score(&reference), score(&anchor)), (1.0, 0.0));
        prop_assert!(score(&map(seed + 2, channels, height, width)) < 1.0);
    }

    #[test]
    fn cka_of_a_rotated_and_scaled_map_is_one(seed in 0_u64..1000, channels in 2_usize..30, height in 2_usize..7, width in 2_usize..7) {
        let features = fading(seed, channels, height, width);
        let own = cka(&features, &features, CkaOptions::default()).expect("varies");
        prop_assert!((own.value - 1.0).abs() < 1e-9);
        // A reflection across a plane is orthogonal.
        let normal = noise(seed + 5, channels);
        let length = dot(&normal, &normal);
        let turned: Vec<f32> = features.vectors().chunks_exact(channels).flat_map(|v| {
            let along = 2.0 * dot(v, &normal) / length;
            v.iter().zip(&normal).map(move |(x, n)| 3.0 * (x - along * n)).collect::<Vec<_>>()
        }).collect();
        let turned = FeatureMap::from_positions(channels, features.grid(), turned).expect("a sound map");
        let value = cka(&features, &turned, CkaOptions::default()).expect("varies").value;
        prop_assert!((value - 1.0).abs() < 1e-5, "{}", value);
        let other = fading(seed + 1, channels, height, width);
        let value = |a, b| cka(a, b, CkaOptions::default()).expect("varies").value;
        prop_assert!((value(&features, &other) - value(&turned, &other)).abs() < 1e-5);
        prop_assert!((value(&features, &other) - value(&other, &features)).abs() < 1e-12);
    }

    #[test]
    fn pooling_by_a_divisor_keeps_the_mean(seed in 0_u64..1000, rows in 1_usize..5, columns in 1_usize..5, factor in 1_usize..4) {
        let features = map(seed, 3, rows * factor, columns * factor);
        let pooled = pool_map(&features, Grid::new(rows, columns)).expect("a sound map");
        let mean = |map: &FeatureMap| map.vectors().iter().sum::<f32>() / map.vectors().len() as f32;
        prop_assert!((mean(&features) - mean(&pooled)).abs() < 1e-5);
    }
}

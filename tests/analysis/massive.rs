//! Massive channels and the mean cosine of all pairs.

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use featscope::{
    activation::FeatureMap,
    analysis::{
        massive::{MASSIVE_RATIO, channel_figures, massive_channels, mean_cosine},
        similarity::{cosine_to_all, mean_unit_vector},
    },
    geometry::Grid,
};
use proptest::prelude::*;

fn map(channels: usize, height: usize, width: usize, numbers: Vec<f32>) -> FeatureMap {
    FeatureMap::from_positions(channels, Grid::new(height, width), numbers).expect("as many numbers as promised")
}

#[test]
fn figures_by_hand() {
    // Channels (1, −1), (3, 5), (2, 2).
    let figures = channel_figures(&map(3, 1, 2, vec![1.0, 3.0, 2.0, -1.0, 5.0, 2.0]));
    let all = |figure: fn(&featscope::analysis::massive::ChannelFigures) -> f64| -> Vec<f64> {
        figures.iter().map(figure).collect()
    };
    assert_eq!(all(|channel| channel.mean), [0.0, 4.0, 2.0]);
    assert_eq!(all(|channel| channel.variance), [1.0, 1.0, 0.0]);
    assert_eq!(all(|channel| channel.mean_abs), [1.0, 4.0, 2.0]);
    assert_eq!(all(|channel| channel.ratio), [0.5, 2.0, 1.0]);
    assert!(massive_channels(&figures).is_empty());
}

#[test]
fn massive_is_above_a_hundred_medians() {
    let limit = MASSIVE_RATIO as f32;
    let of = |largest: f32| massive_channels(&channel_figures(&map(4, 1, 1, vec![1.0, largest, 1.0, -1.0])));
    assert!(of(limit).is_empty(), "at the limit it is not massive yet");
    assert_eq!(of(-2.0 * limit), [1]);
    // Of an even number of channels the median lies between the two in the middle.
    let figures = channel_figures(&map(2, 1, 1, vec![1.0, 3.0]));
    assert_eq!(figures[1].ratio, 1.5);
    // Where most channels are silent there is no scale to be massive on.
    let figures = channel_figures(&map(3, 1, 1, vec![0.0, 5.0, 0.0]));
    assert!(figures.iter().all(|channel| channel.ratio == 0.0 && !channel.massive));
}

#[test]
fn a_massive_channel_makes_all_positions_alike() {
    let numbers = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]];
    let with = |massive: f32| numbers.iter().flat_map(|[x, y]| [*x, massive, *y]).collect::<Vec<_>>();
    let features = map(3, 2, 2, with(1000.0));
    assert!(mean_cosine(&features) > 0.999_99);
    let rest = features.without_channels(&[1]).expect("two stay");
    // Each of the four has one opposite and two at right angles.
    assert!((mean_cosine(&rest) + 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn zero_vectors_have_cosine_0_and_one_position_has_no_pair() {
    assert_eq!(mean_cosine(&map(2, 1, 1, vec![3.0, 4.0])), 0.0);
    assert_eq!(mean_cosine(&map(2, 1, 2, vec![0.0; 4])), 0.0);
    // Pairs: one of equal directions, two with the zero vector.
    let mean = mean_cosine(&map(2, 1, 3, vec![1.0, 1.0, 0.0, 0.0, 5.0, 5.0]));
    assert!((mean - 1.0 / 3.0).abs() < 1e-12, "{mean}");
}

#[test]
fn channels_are_left_out_in_any_order() {
    let features = map(4, 1, 2, vec![0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0]);
    let rest = features.without_channels(&[3, 1, 3, 99]).expect("two stay");
    assert_eq!((rest.channels(), rest.vectors()), (2, &[0.0, 2.0, 10.0, 12.0][..]));
    assert_eq!(features.without_channels(&[]).expect("all stay"), features);
    assert!(features.without_channels(&[0, 1, 2, 3]).is_err());
}

#[test]
fn the_mean_of_unit_vectors_gives_each_the_same_say() {
    let features = map(2, 1, 3, vec![1000.0, 0.0, 0.0, 0.001, 0.0, 0.0]);
    let mean = mean_unit_vector(&features, &[0, 1]).expect("both exist");
    assert_eq!(mean, [0.5, 0.5]);
    assert_eq!(
        mean_unit_vector(&features, &[]).expect("nothing is no error"),
        [0.0, 0.0]
    );
    assert_eq!(mean_unit_vector(&features, &[2]).expect("it exists"), [0.0, 0.0]);
    assert!(mean_unit_vector(&features, &[3]).is_err());
}

fn any_map() -> impl Strategy<Value = FeatureMap> {
    (1_usize..6, 1_usize..5, 1_usize..5).prop_flat_map(|(channels, height, width)| {
        let numbers = prop::collection::vec(prop_oneof![Just(0.0_f32), -100.0_f32..100.0], channels * height * width);
        numbers.prop_map(move |numbers| map(channels, height, width, numbers))
    })
}

proptest! {
    #[test]
    fn the_mean_cosine_is_that_of_all_pairs(features in any_map()) {
        let count = features.grid().positions();
        let mut sum = 0.0;
        for p in 0..count {
            let cosines = cosine_to_all(features.vector(p), &features).expect("the same channels");
            sum += cosines.iter().enumerate().filter(|(q, _)| *q != p).map(|(_, x)| f64::from(*x)).sum::<f64>();
        }
        let mean = if count > 1 { sum / (count * (count - 1)) as f64 } else { 0.0 };
        prop_assert!((mean_cosine(&features) - mean).abs() < 1e-5);
    }

    #[test]
    fn figures_do_not_depend_on_the_order_of_positions_and_fewer_than_half_are_massive(features in any_map()) {
        let figures = channel_figures(&features);
        prop_assert!(2 * massive_channels(&figures).len() <= features.channels());
        let backwards: Vec<f32> = features.vectors().rchunks(features.channels()).flatten().copied().collect();
        let grid = features.grid();
        let other = channel_figures(&map(features.channels(), grid.height, grid.width, backwards));
        for (a, b) in figures.iter().zip(&other) {
            prop_assert!((a.mean - b.mean).abs() < 1e-9 && (a.variance - b.variance).abs() < 1e-9 * (1.0 + a.variance));
            prop_assert!(a.variance >= 0.0 && a.mean_abs >= a.mean.abs() - 1e-12 && a.ratio.is_finite());
        }
    }
}

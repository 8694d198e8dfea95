//! Canny edges against OpenCV's, and what holds for every picture.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use candle_core::{D, DType, Tensor};
use common::{TestResult, expected};
use featscope::{
    geometry::Size,
    image::{canny::canny, picture::Picture},
};
use proptest::prelude::*;

/// The rows of red values of a picture.
fn red(picture: &Picture) -> Vec<Vec<u8>> {
    picture
        .rgb()
        .chunks_exact(picture.width() * 3)
        .map(|row| row.iter().step_by(3).copied().collect())
        .collect()
}

fn picture(width: usize, height: usize, rgb: Vec<u8>) -> Picture {
    Picture::from_rgb(Size::new(width, height), rgb).expect("as many bytes as pixels need")
}

/// (1, 3, H, W) in [−1, 1], or (H, W, 3) in bytes, as a picture.
fn from_bytes(bytes: &Tensor) -> Picture {
    let (height, width, _) = bytes.dims3().expect("rows, columns, colours");
    let rgb = bytes.flatten_all().and_then(|flat| flat.to_vec1()).expect("bytes");
    picture(width, height, rgb)
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    common::numbers(tensor).iter().map(|x| x.round() as u8).collect()
}

#[test]
fn edges_of_a_resized_picture_are_opencvs() -> TestResult {
    let reference = expected("preprocess");
    let found = canny(&from_bytes(&reference["u8.rgb"]))?;
    assert_eq!(red(&found).concat(), bytes(&reference["canny.u8"]));
    Ok(())
}

#[test]
fn edges_of_a_control_image_are_opencvs() -> TestResult {
    let reference = expected("sd15-controlnet-canny");
    let rows = reference["mid.image"]
        .get(0)?
        .permute((1, 2, 0))?
        .affine(127.5, 127.5)?;
    let rows = rows.round()?.to_dtype(DType::U8)?.contiguous()?;
    let found = canny(&from_bytes(&rows))?;
    let wanted = (reference["mid.control_image"].get(0)?.permute((1, 2, 0))? * 255.0)?;
    assert_eq!(wanted.dim(D::Minus1)?, 3);
    assert_eq!(found.rgb(), bytes(&wanted));
    Ok(())
}

#[test]
fn a_step_is_one_line_of_edge_pixels() -> TestResult {
    let (width, height) = (8, 5);
    let rgb = (0..width * height).flat_map(|index| [if index % width < 4 { 20 } else { 220 }; 3]);
    let found = red(&canny(&picture(width, height, rgb.collect()))?);
    for row in &found {
        assert_eq!(row.iter().filter(|x| **x == 255).count(), 1, "{row:?}");
        assert!(row[3] == 255, "the first of two equal pixels stays: {row:?}");
    }
    Ok(())
}

#[test]
fn a_weak_edge_stays_only_where_it_touches_a_strong_one() -> TestResult {
    // A vertical step whose height falls from row to row: 4·step is the gradient's magnitude.
    let rows = |steps: &[u8]| {
        let rgb = steps
            .iter()
            .flat_map(|step| [0, 0, 0, *step, *step, *step].map(|x| [x; 3]));
        canny(&picture(6, steps.len(), rgb.flatten().collect()))
    };
    let edges = |picture: &Picture| red(picture).iter().map(|row| row.contains(&255)).collect::<Vec<_>>();
    assert_eq!(edges(&rows(&[40; 6])?), [false; 6], "weak alone");
    assert_eq!(edges(&rows(&[60; 6])?), [true; 6], "strong");
    let both = edges(&rows(&[60, 60, 60, 40, 40, 40])?);
    assert_eq!(both, [true; 6], "weak below strong");
    assert_eq!(edges(&rows(&[20; 6])?), [false; 6], "nothing");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_constant_picture_has_no_edges(width in 1..12_usize, height in 1..12_usize, colour: [u8; 3]) {
        let found = canny(&picture(width, height, colour.repeat(width * height))).expect("edges");
        prop_assert!(found.rgb().iter().all(|x| *x == 0));
    }

    #[test]
    fn every_size_gives_a_black_and_white_picture_of_that_size(
        (width, height, rgb) in (1..6_usize, 1..6_usize)
            .prop_flat_map(|(w, h)| (Just(w), Just(h), prop::collection::vec(any::<u8>(), w * h * 3)))
    ) {
        let found = canny(&picture(width, height, rgb)).expect("edges");
        prop_assert_eq!(found.size(), Size::new(width, height));
        prop_assert!(found.rgb().chunks_exact(3).all(|p| p == [0; 3] || p == [255; 3]));
    }

    /// Only ties between neighbours are broken by position: where there are none, edges follow a flip.
    #[test]
    fn edges_of_a_flipped_picture_are_flipped(grey in prop::collection::vec(any::<u8>(), WIDTH * HEIGHT)) {
        prop_assume!(!has_ties(&magnitudes(&grey)));
        let found = |flip_x: bool, flip_y: bool| {
            let flipped = flip(&grey, flip_x, flip_y);
            let rgb = flipped.iter().flat_map(|x| [*x; 3]).collect();
            red(&canny(&picture(WIDTH, HEIGHT, rgb)).expect("edges")).concat()
        };
        let plain = found(false, false);
        for (flip_x, flip_y) in [(true, false), (false, true), (true, true)] {
            prop_assert_eq!(found(flip_x, flip_y), flip(&plain, flip_x, flip_y));
        }
    }
}

const WIDTH: usize = 9;
const HEIGHT: usize = 7;

fn flip(values: &[u8], flip_x: bool, flip_y: bool) -> Vec<u8> {
    let mirrored = |at: usize, side: usize, flip: bool| if flip { side - 1 - at } else { at };
    (0..WIDTH * HEIGHT)
        .map(|i| values[mirrored(i / WIDTH, HEIGHT, flip_y) * WIDTH + mirrored(i % WIDTH, WIDTH, flip_x)])
        .collect()
}

/// |dx| + |dy| of Sobel's kernels, with the border repeated.
fn magnitudes(grey: &[u8]) -> Vec<i32> {
    let at = |x: isize, y: isize| {
        let (x, y) = (x.clamp(0, WIDTH as isize - 1), y.clamp(0, HEIGHT as isize - 1));
        i32::from(grey[y as usize * WIDTH + x as usize])
    };
    const WEIGHTS: [(isize, i32); 3] = [(-1, 1), (0, 2), (1, 1)];
    (0..WIDTH * HEIGHT)
        .map(|i| {
            let (x, y) = ((i % WIDTH) as isize, (i / WIDTH) as isize);
            let dx: i32 = WEIGHTS
                .iter()
                .map(|(d, w)| w * (at(x + 1, y + d) - at(x - 1, y + d)))
                .sum();
            let dy: i32 = WEIGHTS
                .iter()
                .map(|(d, w)| w * (at(x + d, y + 1) - at(x + d, y - 1)))
                .sum();
            dx.abs() + dy.abs()
        })
        .collect()
}

/// Whether two neighbours, one right of or below the other, are equal.
fn has_ties(values: &[i32]) -> bool {
    (0..WIDTH * HEIGHT).any(|i| {
        let right = i % WIDTH + 1 < WIDTH && values[i] == values[i + 1];
        let below = i / WIDTH + 1 < HEIGHT && values[i] == values[i + WIDTH];
        right || below
    })
}

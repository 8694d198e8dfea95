use candle_core::Tensor;
use image::RgbImage;

use super::tensors::Tensors;
use crate::common::{
    TestResult, case_file, expected,
    program::{Place, run},
};

const WIDTH: u32 = 512;
const RGB_TOLERANCE: u8 = 2;

const COARSE: &str = "in.up-level1-repeat1-vit-block0-cross-q";
const MIDDLE: &str = "in.up-level2-repeat1-vit-block0-cross-q";
const FINE: &str = "in.up-level2-upsampler-out";
/// Of other channels than the rest.
const NARROW: &str = "in.up-level3-repeat0-vit-block0-self-k";

fn case() -> String {
    case_file("analysis", "expected.safetensors").display().to_string()
}

fn png(place: &Place, name: &str) -> RgbImage {
    image::open(place.path(name)).expect("a PNG").into_rgb8()
}

/// The pixel in the middle of every cell, after checking that the whole cell has its colour.
fn cells(picture: &RgbImage, height: u32, width: u32) -> Vec<u8> {
    assert_eq!(picture.width(), WIDTH);
    assert_eq!(picture.height(), (WIDTH * height + width / 2) / width);
    let cell = |index: u32, count: u32, length: u32| (2 * index + 1) * length / (2 * count);
    for (x, y, pixel) in picture.enumerate_pixels() {
        let (row, column) = (
            (2 * y + 1) * height / (2 * picture.height()),
            (2 * x + 1) * width / (2 * WIDTH),
        );
        let middle = picture.get_pixel(cell(column, width, WIDTH), cell(row, height, picture.height()));
        assert_eq!(pixel, middle, "({x}, {y})");
    }
    (0..height)
        .flat_map(|row| (0..width).map(move |column| (row, column)))
        .flat_map(|(row, column)| {
            picture
                .get_pixel(cell(column, width, WIDTH), cell(row, height, picture.height()))
                .0
        })
        .collect()
}

fn rgb_of_the_case(reference: &Tensors, id: &str) -> Result<(Vec<u8>, u32, u32), candle_core::Error> {
    let rgb = &reference[&format!("pca.{}.rgb_u8", id.trim_start_matches("in."))];
    let (height, width, _) = rgb.dims3()?;
    Ok((rgb.flatten_all()?.to_vec1()?, height as u32, width as u32))
}

#[test]
fn reference_pictures_are_those_of_the_case() -> TestResult {
    let reference = expected("analysis");
    for id in [COARSE, MIDDLE, FINE, NARROW] {
        let place = Place::new();
        run(["pca", &case(), "--id", id, "--reference", "--out", &place.text("p.png")]).good();
        assert_eq!(place.names(), ["p.png"]);
        let (expected, height, width) = rgb_of_the_case(&reference, id)?;
        let found = cells(&png(&place, "p.png"), height, width);
        for component in 0..3 {
            let of = |rgb: &[u8]| rgb.iter().skip(component).step_by(3).copied().collect::<Vec<_>>();
            let (expected, found) = (of(&expected), of(&found));
            // Up to a sign per component: a mirrored scale.
            let near = |mirror: bool| {
                expected.iter().zip(&found).all(|(a, b)| {
                    let a = if mirror { u8::MAX - a } else { *a };
                    a.abs_diff(*b) <= RGB_TOLERANCE
                })
            };
            assert!(near(false) || near(true), "{id}, component {component}");
        }
    }
    Ok(())
}

#[test]
fn a_folder_has_a_picture_per_id_and_keeps_what_is_there() {
    let place = Place::new();
    place.write("out/mine.txt", "mine");
    let ids = format!("{COARSE}, {FINE}");
    run(["pca", &case(), "--id", &ids, NARROW, "--out", &place.text("out")]).good();
    let mut expected = vec!["out".to_owned(), "out/mine.txt".to_owned()];
    expected.extend([COARSE, FINE, NARROW].map(|id| format!("out/{id}.png")));
    expected.sort();
    assert_eq!(place.names(), expected);
    cells(&png(&place, &format!("out/{FINE}.png")), 24, 24);
}

#[test]
fn several_pictures_do_not_go_into_one_png() {
    let place = Place::new();
    let out = place.text("p.png");
    run(["pca", &case(), "--id", COARSE, FINE, "--out", &out]).refused(2, &["2 pictures", "folder"]);
    assert!(place.names().is_empty());
}

/// In a common basis the same vector has the same colour in both maps: a map, and its left half.
#[test]
fn joint_pictures_share_their_colours() -> TestResult {
    let place = Place::new();
    let whole = expected("analysis")[MIDDLE].clone();
    let half = whole.narrow(3, 0, 6)?.contiguous()?;
    let tensors: Tensors = [("whole".to_owned(), whole), ("half".to_owned(), half)].into();
    let file = place.text("maps.safetensors");
    candle_core::safetensors::save(&tensors, &file)?;
    run([
        "pca",
        &file,
        "--id",
        "whole,half",
        "--joint",
        "--out",
        &place.text("joint"),
    ])
    .good();
    let whole = cells(&png(&place, "joint/whole.png"), 12, 12);
    let half = cells(&png(&place, "joint/half.png"), 12, 6);
    for (row, of_half) in half.chunks(6 * 3).enumerate() {
        let of_whole = &whole[row * 12 * 3..][..6 * 3];
        assert_eq!(of_half, of_whole, "row {row}");
    }
    // Alone, the half has its own range.
    run(["pca", &file, "--id", "half", "--out", &place.text("alone.png")]).good();
    assert_ne!(cells(&png(&place, "alone.png"), 12, 6), half);
    Ok(())
}

#[test]
fn joint_over_files_and_pictures() -> TestResult {
    let place = Place::new();
    let map = expected("analysis")[FINE].clone();
    let other = map.affine(-1.0, 0.0)?;
    let both = Tensor::cat(&[&map, &other], 0)?;
    let save = |name: &str, tensor: Tensor| {
        let path = place.text(name);
        candle_core::safetensors::save(&Tensors::from([("a".to_owned(), tensor)]), &path).map(|()| path)
    };
    let (first, second) = (save("x.safetensors", map.clone())?, save("y.safetensors", other)?);
    let batch = save("both.safetensors", both)?;
    run([
        "pca",
        &first,
        &second,
        "--id",
        "a",
        "--joint",
        "--out",
        &place.text("out"),
    ])
    .good();
    let mut pictures: Vec<String> = place
        .names()
        .into_iter()
        .filter(|name| name.ends_with(".png"))
        .collect();
    pictures.sort();
    assert_eq!(pictures, ["out/0-x-a.png", "out/1-y-a.png"]);
    // --image-index 1 of the batch is the second file's picture.
    for (index, single) in [("0", &first), ("1", &second)] {
        run([
            "pca",
            &batch,
            "--id",
            "a",
            "--image-index",
            index,
            "--out",
            &place.text("b.png"),
        ])
        .good();
        run(["pca", single, "--id", "a", "--out", &place.text("s.png")]).good();
        assert_eq!(png(&place, "b.png"), png(&place, "s.png"));
    }
    Ok(())
}

#[test]
fn joint_needs_equal_channels() {
    let place = Place::new();
    let ids = format!("{FINE},{NARROW}");
    run(["pca", &case(), "--id", &ids, "--joint", "--out", &place.text("out")]).refused(2, &["channels", "32", "16"]);
    assert!(place.names().is_empty());
}

#[test]
fn folders_and_npy_files_are_read_back() -> TestResult {
    let place = Place::new();
    let image = case_file("adm-all", "image0.png").display().to_string();
    for out in ["dir", "file.safetensors"] {
        let out = place.text(out);
        run([
            "extract",
            "--model",
            "demo",
            "--image",
            &image,
            "--t",
            "9",
            "--size",
            "64x32",
            "--activations",
            "b3,b9",
            "--store",
            "f16",
            "--out",
            &out,
        ])
        .good();
    }
    let picture = |source: &str| {
        run(["pca", &place.text(source), "--id", "b3", "--out", &place.text("p.png")]).good();
        png(&place, "p.png")
    };
    let from_file = picture("file.safetensors");
    assert_eq!((from_file.width(), from_file.height()), (512, 256));
    assert_eq!(picture("dir"), from_file);
    assert_eq!(picture("dir/b3.npy"), from_file);
    Ok(())
}

//! Picture files to working pictures: against Pillow and the reference cases, and what bad files and sizes say.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use candle_core::{Device, Tensor};
use featscope::{
    Error, Result,
    geometry::{
        Grid, PixelRange, Size,
        framing::{Framing, MAX_SIDE, SizeRule, WorkingSize},
    },
    image::{
        picture::{Picture, WHITE},
        prepare::{FramingPlan, prepare},
        resize::{Filter, resize, resize_window},
    },
};
use proptest::prelude::*;
use serde_json::Value;

const SD: SizeRule = SizeRule::Latent { multiple: 8 };
const ADM: SizeRule = SizeRule::Adm { multiple: 32 };

/// Pictures that are compared with what Pillow reads; `tools/test_pictures.py` writes most of them.
const PICTURES: usize = 113;

/// Most that two correct JPEG decoders differ, of 255.
const JPEG_TOLERANCE: u8 = 3;

fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder)
}

/// Files of a folder under tests/data, sorted by name.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(data(folder))
        .expect("the folder of test data is there")
        .map(|entry| entry.expect("an entry of the folder can be read").path())
        .collect();
    found.sort();
    found
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .expect("names of test data are plain text")
}

fn read(path: &Path) -> Result<Picture> {
    Picture::read(path, WHITE)
}

fn largest_difference(a: &Picture, b: &Picture) -> u8 {
    assert_eq!(a.size(), b.size());
    a.rgb()
        .iter()
        .zip(b.rgb())
        .map(|(a, b)| a.abs_diff(*b))
        .max()
        .unwrap_or(0)
}

fn exact(width: usize, height: usize) -> WorkingSize {
    WorkingSize::Exact { width, height }
}

/// "WxH" at the end of a file's stem.
fn size_in_name(text: &str) -> Option<Size> {
    let (width, height) = text.split_once('x')?;
    Some(Size::new(width.parse().ok()?, height.parse().ok()?))
}

#[test]
fn resize_equals_pillow() -> Result<()> {
    let source = read(&data("resize/source.png"))?;
    let mut compared = 0;
    for path in files("resize") {
        let Some((filter, size)) = name(&path).trim_end_matches(".png").split_once('-') else {
            continue;
        };
        let filter = match filter {
            "box" => Filter::Box,
            "bicubic" => Filter::Bicubic,
            "lanczos" => Filter::Lanczos,
            other => panic!("no filter is called {other}"),
        };
        let size = size_in_name(size).expect("the size is in the name");
        assert_eq!(
            largest_difference(&resize(&source, size, filter)?, &read(&path)?),
            0,
            "{}",
            name(&path)
        );
        compared += 1;
    }
    assert_eq!(compared, 21);
    Ok(())
}

#[test]
fn adm_square_equals_center_crop_arr() -> Result<()> {
    let mut compared = 0;
    for path in files("center-crop") {
        let Some((source, side)) = name(&path).trim_end_matches(".png").split_once("-to-") else {
            continue;
        };
        let side = side.parse().expect("the side is in the name");
        let source = read(&data("center-crop").join(format!("{source}.png")))?;
        let prepared = prepare(&source, &exact(side, side), SizeRule::Adm { multiple: 8 })?;
        assert_eq!(
            largest_difference(&prepared.picture, &read(&path)?),
            0,
            "{}",
            name(&path)
        );
        compared += 1;
    }
    assert_eq!(compared, 6);
    Ok(())
}

#[test]
fn every_kind_of_picture_is_read_as_pillow_reads_it() -> Result<()> {
    let mut compared = 0;
    for path in files("pictures") {
        let Some(source) = name(&path).strip_suffix(".want.png") else {
            continue;
        };
        let is_jpeg = source.ends_with(".jpg") && !source.starts_with("png-") || source.ends_with("jpeg.tif");
        let tolerance = if is_jpeg { JPEG_TOLERANCE } else { 0 };
        let difference = largest_difference(&read(&data("pictures").join(source))?, &read(&path)?);
        assert!(difference <= tolerance, "{source} differs by {difference}");
        compared += 1;
    }
    assert_eq!(compared, PICTURES);
    Ok(())
}

#[test]
fn background_is_a_choice() -> Result<()> {
    let bytes = fs::read(data("pictures/palette-transparent.png")).expect("the picture is there");
    let white = Picture::decode(&bytes, WHITE, "test")?;
    let green = Picture::decode(&bytes, [0, 255, 0], "test")?;
    let (white, _) = white.rgb().as_chunks::<3>();
    let (green, _) = green.rgb().as_chunks::<3>();
    let changed: Vec<_> = white.iter().zip(green).filter(|(a, b)| a != b).collect();
    assert!(!changed.is_empty());
    assert!(changed.iter().all(|(a, b)| **a == WHITE && **b == [0, 255, 0]));
    Ok(())
}

#[test]
fn bad_pictures_say_what_they_are() {
    let expected = [
        ("cut-after-thumbnail.jpg", "is cut off or damaged"),
        ("cut-scan-then-end.jpg", "compressed data ends early"),
        ("cut-scan-then-trailer.jpg", "cut off or damaged"),
        ("cut.bmp", "promises 56x40 pixels of 24 bits"),
        ("cut.gif", "pixels are there"),
        ("cut.ppm", "cut off or damaged"),
        ("cut.qoi", "cut off or damaged"),
        ("cut.tga", "cut off or damaged"),
        ("cut.tif", "row 2 of 9 is not there"),
        ("fax.tif", "a fax machine's code (CCITT)"),
        ("floats.tif", "its samples have [32] bits"),
        ("huge-runs.bmp", "promises 16000x16000 pixels"),
        ("huge-strip.tif", "promises 16000x16000 pixels"),
        ("huge.bmp", "promises 60000x60000 pixels"),
        ("huge.gif", "promises 65535x65535 pixels"),
        ("huge.jpg", "its 30000x30000 pixels takes"),
        ("huge.png", "its 30000x30000 pixels takes"),
        ("huge.ppm", "promises 30000x30000 pixels"),
        ("huge.qoi", "promises 30000x30000 pixels"),
        ("huge.tga", "promises 60000x60000 pixels"),
        ("huge.tif", "its 40000x40000 pixels takes"),
        ("no-data.png", "cut off or damaged"),
        (
            "photo.avif",
            "it is an AVIF picture, which is not read; convert it to PNG",
        ),
        (
            "photo.heic",
            "it is an HEIC picture, which is not read; convert it to PNG",
        ),
        (
            "photo.jp2",
            "it is a JPEG 2000 picture (JP2), which is not read; convert it to PNG",
        ),
        ("promises-too-much.jpg", "promises 16000x16000 pixels"),
        ("promises-too-much.png", "promises 16000x16000 pixels"),
        ("raw.tif", "a camera's raw file"),
        ("without-its-last-scan.jpg", "its picture is not whole"),
        ("wrong-data.png", "checksum of its pixels is wrong"),
        ("wrong-palette-sum.png", "checksum of its chunk PLTE is wrong"),
    ];
    let found = files("bad-pictures");
    assert_eq!(found.len(), expected.len());
    for (path, (file, says)) in found.iter().zip(expected) {
        assert_eq!(name(path), file);
        let message = failure(read(path));
        assert!(message.contains(&path.display().to_string()), "{message}");
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn missing_empty_and_other_files_say_so() -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    let missing = failure(read(&folder.path().join("nowhere.png")));
    assert!(
        missing.contains("nowhere.png") && missing.contains("No such file"),
        "{missing}"
    );
    assert!(failure(read(folder.path())).contains("it is a folder"));
    let path = folder.path().join("picture.png");
    fs::write(&path, b"")?;
    assert!(failure(read(&path)).contains("it is empty"));
    fs::write(&path, b"a text, not a picture")?;
    assert!(failure(read(&path)).contains("not a picture"));
    Ok(())
}

#[test]
fn cut_off_files_are_never_half_a_picture() -> Result<()> {
    for file in [
        "rgba.png",
        "progressive.jpg",
        "subsampled.jpg",
        "cmyk.jpg",
        "restarts-progressive.jpg",
        "lossless.webp",
        "lossy.webp",
        "rgb.bmp",
        "rle8.bmp",
        "lzw.tif",
        "deflate.tif",
        "packbits.tif",
        "jpeg.tif",
        "plain.gif",
        "grey.pgm",
        "text.pbm",
        "alpha.pam",
        "alpha.qoi",
        "word.tga",
        "runs.tga",
    ] {
        let bytes = fs::read(data("pictures").join(file)).expect("the picture is there");
        let whole = Picture::decode(&bytes, WHITE, file)?;
        let mut refused = 0;
        for length in 0..bytes.len() {
            match Picture::decode(&bytes[..length], WHITE, file) {
                Ok(picture) => assert!(
                    picture == whole,
                    "{file} is read from {length} bytes as another picture"
                ),
                Err(error) => {
                    let message = error.to_string();
                    assert!(message.contains(file), "{message}");
                    refused += 1;
                }
            }
        }
        // All pixels may be there without the end marker, and without text or tables behind them.
        assert!(
            refused > bytes.len() / 2,
            "{file}: {refused} of {} are refused",
            bytes.len()
        );
    }
    Ok(())
}

/// What is said of a picture that is read.
fn note(file: &str) -> Result<String> {
    Ok(read(&data("pictures").join(file))?
        .note()
        .unwrap_or_default()
        .to_owned())
}

#[test]
fn what_a_file_lacks_is_said() -> Result<()> {
    for (file, says) in [
        ("no-end-plain.jpg", "its end marker is missing"),
        ("no-end-trailer.jpg", "bytes behind it are not read"),
        ("no-end-trailer-progressive.jpg", "its end marker is missing"),
        ("trailer.jpg", "260 bytes behind its end are not read"),
        ("no-tables.jpg", "it has no Huffman tables"),
        ("no-iend.png", "its end is missing"),
        ("half-iend.png", "its end is missing"),
        ("trailer.png", "36 bytes behind its end are not read"),
        ("wrong-text.png", "damaged, and not used: tEXt"),
        ("wrong-sum.png", "a checksum of its pixels is wrong"),
        ("moving.gif", "it moves: its first frame is read"),
        ("moving.webp", "it moves: its first frame is read"),
        ("moving.png", "it moves: its first frame is read"),
        ("pages.tif", "it has several pages: the first is read"),
    ] {
        let note = note(file)?;
        assert!(note.contains(file) && note.contains(says), "{file}: {note}");
    }
    for file in [
        "rgba.png",
        "progressive.jpg",
        "alpha.webp",
        "plain.gif",
        "lzw.tif",
        "rgb.bmp",
        "stray-bytes.jpg",
    ] {
        assert_eq!(note(file)?, "", "{file}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_no_pictures() -> Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let folder = tempfile::tempdir().expect("a folder for the test");
    let pipe = folder.path().join("pipe.png");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
    assert!(failure(read(&pipe)).contains("a named pipe"));
    assert!(failure(read(Path::new("/dev/zero"))).contains("a device"));
    Ok(())
}

fn failure(result: Result<Picture>) -> String {
    match result {
        Err(Error::Failed(message) | Error::File { message, .. } | Error::Compute { message, .. }) => message,
        other => panic!("expected a failure, found {other:?}"),
    }
}

fn tensors(case: &str) -> std::collections::HashMap<String, Tensor> {
    candle_core::safetensors::load(data("cases").join(case).join("expected.safetensors"), &Device::Cpu)
        .expect("the reference tensors can be read")
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor
        .flatten_all()
        .and_then(|flat| flat.to_vec1())
        .expect("the reference tensor is f32")
}

fn largest_distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn rgb_grey_and_jpeg_become_the_tensors_of_the_reference() -> Result<()> {
    let expected = tensors("preprocess");
    for (file, key, tolerance) in [("rgb.png", "rgb", 0), ("gray.png", "gray", 0), ("jpeg.jpg", "jpeg", 3)] {
        let picture = read(&data("cases/preprocess").join(file))?;
        let prepared = prepare(&picture, &exact(64, 64), SD)?;
        let bytes: Vec<u8> = expected[&format!("u8.{key}")].flatten_all()?.to_vec1()?;
        let want = Picture::from_rgb(Size::new(64, 64), bytes)?;
        let difference = largest_difference(&prepared.picture, &want);
        assert!(difference <= tolerance, "{file} differs by {difference}");
        let chw = prepared.picture.to_chw(PixelRange::Latent);
        let distance = largest_distance(&chw, &numbers(&expected[&format!("tensor.{key}")]));
        assert!(
            distance <= f32::from(tolerance) * 2.0 / 255.0,
            "{file}: distance {distance}"
        );
    }
    Ok(())
}

#[test]
fn working_pictures_of_all_cases_equal_the_reference() -> Result<()> {
    let mut compared = 0;
    for folder in files("cases") {
        let case: Value = match fs::read(folder.join("case.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).expect("case.json is JSON"),
            Err(_) => continue,
        };
        // Those of encoders are normalised by configurations of their own.
        if case["tensors"].get("mid.image").is_none() || case["version"] == "encoder" {
            continue;
        }
        let side = |key: &str| case[key].as_u64().map(|side| side as usize);
        let (request, rule) = if case["kind"] == "adm" {
            let side = side("image_size").expect("an ADM case has a size");
            (exact(side, side), SizeRule::Adm { multiple: 4 })
        } else {
            let width = side("width").expect("a case has a width");
            (exact(width, side("height").expect("a case has a height")), SD)
        };
        let mut found = Vec::new();
        for image in case["images"].as_array().expect("a case names its images") {
            let picture = read(&folder.join(image.as_str().expect("names are text")))?;
            found.extend(prepare(&picture, &request, rule)?.picture.to_chw(rule.pixel_range()));
        }
        let expected = numbers(&tensors(name(&folder))["mid.image"]);
        assert_eq!(largest_distance(&found, &expected), 0.0, "{}", name(&folder));
        compared += 1;
    }
    assert!(compared >= 20, "only {compared} cases were found");
    Ok(())
}

fn usage(result: Result<FramingPlan>) -> String {
    match result {
        Err(Error::Usage(message)) => message,
        other => panic!("expected a wrong request, found {other:?}"),
    }
}

#[test]
fn sizes_a_model_does_not_take_are_named() {
    let original = Size::new(640, 480);
    let message = |request, rule| usage(FramingPlan::new(original, &request, rule));
    assert!(message(exact(100, 64), ADM).contains("multiples of 32"));
    assert!(message(exact(100, 64), ADM).contains("96x64 and 128x64"));
    assert!(message(exact(7, 64), SD).contains("at least 8 pixels"));
    assert!(message(WorkingSize::ShortSide(0), SD).contains("at least 8 pixels"));
    assert!(message(exact(MAX_SIDE + 8, 64), SD).contains("up to 8192"));
    assert!(message(WorkingSize::ShortSide(usize::MAX), ADM).contains("up to 8192"));
    let long = usage(FramingPlan::new(Size::new(1, 8000), &WorkingSize::ShortSide(512), SD));
    assert!(
        long.contains("1x8000") && long.contains("512x4096000"),
        "a long picture says what it would become: {long}"
    );
}

#[test]
fn short_side_keeps_the_aspect_ratio() -> Result<()> {
    for (original, side, rule, expected) in [
        (Size::new(640, 480), 512, SD, Size::new(680, 512)),
        (Size::new(480, 640), 512, SD, Size::new(512, 680)),
        (Size::new(1000, 999), 60, SD, Size::new(64, 64)),
        (Size::new(300, 200), 256, ADM, Size::new(384, 256)),
        (Size::new(1, 1), 8, SD, Size::new(8, 8)),
    ] {
        let plan = FramingPlan::new(original, &WorkingSize::ShortSide(side), rule)?;
        assert_eq!(*plan.framing(), Framing::whole(original, expected));
    }
    Ok(())
}

#[test]
fn a_long_picture_is_cut_without_being_scaled_as_a_whole() -> Result<()> {
    let picture = Picture::from_rgb(Size::new(1, 100_000), [7, 8, 9].repeat(100_000))?;
    let start = Instant::now();
    let prepared = prepare(&picture, &exact(256, 256), ADM)?;
    assert_eq!(prepared.framing.scaled, Size::new(256, 25_600_000));
    assert_eq!(prepared.framing.offset_y, (25_600_000 - 256) / 2);
    assert!(
        prepared
            .picture
            .rgb()
            .as_chunks::<3>()
            .0
            .iter()
            .all(|p| *p == [7, 8, 9])
    );
    assert!(start.elapsed() < Duration::from_secs(1));
    Ok(())
}

#[test]
fn a_crop_shifts_every_mapping() -> Result<()> {
    // 64x32 to a square of 32: columns 16..48 are seen, one to one.
    let framing = *FramingPlan::new(Size::new(64, 32), &exact(32, 32), ADM)?.framing();
    let grid = Grid::new(4, 4);
    assert_eq!(framing.working_from_original([16.0, 0.0]), [0.0, 0.0]);
    assert_eq!(framing.original_from_working([31.0, 31.0]), [47.0, 31.0]);
    assert_eq!(framing.visible(), [15.5, -0.5, 47.5, 31.5]);
    assert_eq!(framing.cell_from_original([16.0, 0.0], grid), Some((0, 0)));
    assert_eq!(framing.cell_from_original([47.0, 31.0], grid), Some((3, 3)));
    assert_eq!(framing.cell_from_original([15.0, 0.0], grid), None);
    assert_eq!(framing.cell_from_original([48.0, 0.0], grid), None);
    assert_eq!(framing.cell_from_original([20.0, 100.0], grid), Some((3, 0)));
    assert_eq!(framing.cell_from_original([f64::NAN, 0.0], grid), None);
    assert_eq!(framing.original_from_cell((0, 0), grid), [19.5, 3.5]);
    assert_eq!(framing.feature_from_original([19.5, 3.5], grid), [0.0, 0.0]);
    Ok(())
}

#[test]
fn requests_and_framings_cross_as_json() -> Result<()> {
    let request = WorkingSize::ShortSide(512);
    let framing = *FramingPlan::new(Size::new(640, 480), &request, SD)?.framing();
    let text = serde_json::to_string(&(request, framing, SD)).expect("plain data becomes JSON");
    let back: (WorkingSize, Framing, SizeRule) = serde_json::from_str(&text).expect("and comes back");
    assert_eq!(back, (request, framing, SD));
    Ok(())
}

fn any_size() -> impl Strategy<Value = Size> {
    (1_usize..40, 1_usize..40).prop_map(|(width, height)| Size::new(width, height))
}

fn any_filter() -> impl Strategy<Value = Filter> {
    prop_oneof![Just(Filter::Box), Just(Filter::Bicubic), Just(Filter::Lanczos)]
}

fn any_framing() -> impl Strategy<Value = Framing> {
    (any_size(), 1_usize..20, any::<bool>()).prop_map(|(original, cells, square)| {
        let request = if square {
            exact(cells * 8, cells * 8)
        } else {
            exact(cells * 8, 64)
        };
        let plan = FramingPlan::new(original, &request, SizeRule::Adm { multiple: 8 });
        *plan.expect("a multiple of 8 is taken").framing()
    })
}

proptest! {
    #[test]
    fn a_constant_picture_stays_constant(from in any_size(), to in any_size(), filter in any_filter(), rgb: [u8; 3]) {
        let picture = Picture::from_rgb(from, rgb.repeat(from.pixels())).expect("the sizes agree");
        let resized = resize(&picture, to, filter).expect("the size is not empty");
        prop_assert_eq!(resized.size(), to);
        prop_assert!(resized.rgb().as_chunks::<3>().0.iter().all(|pixel| *pixel == rgb));
    }

    #[test]
    fn a_window_is_a_cut_of_the_whole(
        to in any_size(), filter in any_filter(), left in 0.0..1.0_f64, top in 0.0..1.0_f64,
    ) {
        let from = Size::new(19, 23);
        let rgb = (0..from.pixels() * 3).map(|index| (index * 89 % 251) as u8).collect();
        let picture = Picture::from_rgb(from, rgb).expect("the sizes agree");
        let offset = ((left * to.width as f64) as usize, (top * to.height as f64) as usize);
        let window = Size::new(to.width - offset.0, to.height - offset.1);
        let whole = resize(&picture, to, filter).expect("the size is not empty");
        let part = resize_window(&picture, to, filter, offset, window).expect("the window is inside");
        for row in 0..window.height {
            let in_whole = ((row + offset.1) * to.width + offset.0) * 3;
            let in_part = row * window.width * 3;
            let bytes = window.width * 3;
            prop_assert_eq!(&whole.rgb()[in_whole..in_whole + bytes], &part.rgb()[in_part..in_part + bytes]);
        }
    }

    #[test]
    fn mappings_are_inverse(framing in any_framing(), x in -50.0..300.0_f64, y in -50.0..300.0_f64) {
        let grid = Grid::new(5, 7);
        let through_working = framing.original_from_working(framing.working_from_original([x, y]));
        let through_feature = framing.original_from_feature(framing.feature_from_original([x, y], grid), grid);
        for back in [through_working, through_feature] {
            prop_assert!((back[0] - x).abs() < 1e-9 && (back[1] - y).abs() < 1e-9, "{:?}", back);
        }
    }

    #[test]
    fn a_cell_contains_its_centre(framing in any_framing(), row in 0_usize..5, column in 0_usize..7) {
        let grid = Grid::new(5, 7);
        let centre = framing.original_from_cell((row, column), grid);
        prop_assert_eq!(framing.cell_from_original(centre, grid), Some((row, column)));
    }

    #[test]
    fn cells_follow_the_papers_rule(side in 1_usize..600, cells in 1_usize..100, x in 0_usize..600) {
        let x = x % side;
        let framing = Framing::whole(Size::new(side, side), Size::new(512, 512));
        let expected = (2 * x + 1) * cells / (2 * side);
        let found = framing.cell_from_original([x as f64, 0.0], Grid::new(1, cells));
        prop_assert_eq!(found, Some((0, expected)));
    }
}

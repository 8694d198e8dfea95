//! The library as others use it: the examples, and what `Model` refuses.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test says what it expects, an example prints"
)]

#[path = "../examples/correspondence.rs"]
mod correspondence;
#[path = "../examples/every_activation.rs"]
mod every_activation;
#[path = "../examples/folder.rs"]
mod folder;
#[path = "../examples/lora.rs"]
mod lora;

use std::{fs, path::Path, sync::atomic::AtomicBool};

use featscope::{image::samples::sample, prelude::*};

#[test]
fn every_activation_is_written_and_read_back() -> Result<()> {
    let place = tempfile::tempdir().expect("a folder");
    let names = every_activation::run(place.path())?;
    let model = Model::open("demo")?;
    assert_eq!(names.iter().filter(|name| *name == "b11").count(), 1);
    assert!(!names.is_empty() && names.len() <= model.catalogue().len());
    Ok(())
}

#[test]
fn nose_and_eye_of_a_cat_are_found_on_a_dog() -> Result<()> {
    for (from, to) in [([128.0, 152.0], [128.0, 173.0]), ([85.0, 132.0], [89.0, 139.0])] {
        let (found, cosine) = correspondence::run(from)?;
        let distance = f64::hypot(found[0] - to[0], found[1] - to[1]);
        // Cells are 8 pixels wide.
        assert!(
            distance < 12.0 && cosine > 0.5,
            "{from:?} is found at {found:?} ({cosine})"
        );
    }
    Ok(())
}

#[test]
fn a_folder_is_extracted_until_it_is_cancelled() -> Result<()> {
    let (pictures, out) = (tempfile::tempdir(), tempfile::tempdir());
    let (pictures, out) = (pictures.expect("a folder"), out.expect("a folder"));
    let cat = sample("noto-cat-face").expect("a sample");
    fs::write(pictures.path().join("cat.png"), cat.bytes).expect("room for a picture");
    let done = folder::run(pictures.path(), out.path(), &AtomicBool::new(true))?;
    assert_eq!((done, out.path().join("cat.safetensors").exists()), (0, false));
    let done = folder::run(pictures.path(), out.path(), &AtomicBool::new(false))?;
    assert_eq!((done, out.path().join("cat.safetensors").exists()), (1, true));
    Ok(())
}

#[test]
fn a_lora_changes_what_comes_after_its_first_layer() -> Result<()> {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/models");
    let file = format!("{models}/tiny-sd15-lora/lora_peft.safetensors").into();
    let ids = ["down-level0-repeat0-res-out", "mid-vit-out"];
    let cosines = lora::run(
        &format!("{models}/tiny-sd15"),
        Path::new("sample:photo-cat"),
        file,
        &ids,
    )?;
    let [(first, before), (last, after)] = cosines[..] else {
        return Err(Error::failed("two activations were asked for"));
    };
    assert_eq!([first.as_str(), last.as_str()], ids);
    assert!(
        before > 1.0 - 1e-6 && after < 0.999,
        "the first residual block has no LoRA: {before}; what follows attention has: {after}"
    );
    Ok(())
}

#[test]
fn what_was_not_recorded_is_named() -> Result<()> {
    let mut model = Model::open("demo")?;
    let refused = model.extract("sample:photo-cat").at(100).select(["b99"]).run();
    assert!(matches!(refused, Err(Error::Usage(message)) if message.contains("b99")));
    let features = model.extract("sample:photo-cat").at(100).select(["b1", "b2"]).run()?;
    let map = features.map("b1")?;
    let (numbers, [channels, height, width]) = features.numbers(0, "b1")?;
    assert_eq!(
        (map.channels(), map.grid().height, map.grid().width),
        (channels, height, width)
    );
    assert_eq!(map.to_channels(), numbers);
    for (picture, id, word) in [(0, "b11", "b1"), (1, "b1", "picture 1")] {
        let refused = features.map_of(picture, id).expect_err("nothing recorded").to_string();
        assert!(refused.contains(word), "{refused}");
    }
    assert_eq!(features.records().count(), 1);
    Ok(())
}

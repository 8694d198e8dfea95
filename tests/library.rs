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

use std::{fs, sync::atomic::AtomicBool};

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
fn the_ear_of_a_cat_is_found_on_a_dog() -> Result<()> {
    let ([x, y], cosine) = correspondence::run([30.0, 20.0])?;
    assert!(x.is_finite() && y.is_finite() && (-1.0..=1.0).contains(&cosine));
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
        let refused = features.map_of(picture, id).err().expect("an error").to_string();
        assert!(refused.contains(word), "{refused}");
    }
    assert_eq!(features.records().count(), 1);
    Ok(())
}

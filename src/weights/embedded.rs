//! Files inside the program, so that it works before anything is downloaded: a small model and pictures.
//! `assets/README.md` names where each comes from.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::error::{Error, Result};

/// The safetensors file of the small model, in guided-diffusion's names.
pub(crate) static DEMO_WEIGHTS: &[u8] = include_bytes!("../../assets/demo/model.safetensors");

static DEMO_CONFIG: &str = include_str!("../../assets/demo/config.json");

/// The configuration of the small model, in guided-diffusion's keys.
pub(crate) fn demo_config() -> Result<Value> {
    serde_json::from_str(DEMO_CONFIG)
        .map_err(|error| Error::failed(format!("the embedded configuration is not valid JSON: {error}")))
}

static CLIP_MERGES: &[u8] = include_bytes!("../../assets/clip/merges.txt.gz");

/// The `merges.txt` of CLIP's vocabulary.
pub(crate) fn clip_merges() -> Result<String> {
    let mut text = String::new();
    GzDecoder::new(CLIP_MERGES)
        .read_to_string(&mut text)
        .map_err(|error| Error::failed(format!("the embedded vocabulary cannot be unpacked: {error}")))?;
    Ok(text)
}

/// A picture inside the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Its name without an ending: `photo-cat`.
    pub name: &'static str,
    /// Its PNG file.
    pub bytes: &'static [u8],
}

macro_rules! sample {
    ($name:literal) => {
        Sample {
            name: $name,
            bytes: include_bytes!(concat!("../../assets/samples/", $name, ".png")),
        }
    };
}

/// The pictures in the order in which they are offered: photographs, scenes, then animals, the styles of one animal
/// side by side.
pub static SAMPLES: &[Sample] = &[
    sample!("photo-cat"),
    sample!("photo-astronaut"),
    sample!("photo-coffee"),
    sample!("scene-cat-and-dog"),
    sample!("scene-fox-and-panda"),
    sample!("noto-cat-face"),
    sample!("noto-v1-cat-face"),
    sample!("fluent-cat-face"),
    sample!("fluent-flat-cat-face"),
    sample!("noto-dog-face"),
    sample!("noto-v1-dog-face"),
    sample!("fluent-dog-face"),
    sample!("fluent-flat-dog-face"),
    sample!("noto-fox"),
    sample!("fluent-flat-fox"),
    sample!("noto-wolf"),
    sample!("fluent-flat-wolf"),
    sample!("noto-bear"),
    sample!("fluent-flat-bear"),
    sample!("noto-panda"),
    sample!("fluent-flat-panda"),
    sample!("noto-lion"),
    sample!("fluent-flat-lion"),
    sample!("noto-tiger-face"),
    sample!("fluent-flat-tiger-face"),
    sample!("noto-rabbit-face"),
    sample!("fluent-flat-rabbit-face"),
    sample!("noto-mouse-face"),
    sample!("fluent-flat-mouse-face"),
];

/// The picture of a name.
pub fn sample(name: &str) -> Option<&'static Sample> {
    SAMPLES.iter().find(|sample| sample.name == name)
}

//! Files inside the program, so that it works before anything is downloaded: a small model and the vocabulary of CLIP.
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

//! Ids of activations, files of layers, files of pairs.

use std::sync::LazyLock;

use featscope::{
    activation::{Catalogue, Id, Selection, parse_layer_file},
    analysis::pairs::{check_pairs, parse_pairs},
    families::stable_diffusion::unet::{self, UnetConfig},
    geometry::{Grid, Size},
};
use serde_json::json;

use super::read;

/// The activations of a small Stable Diffusion.
static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let config = json!({"block_out_channels": [32, 64], "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "attention_head_dim": 8, "layers_per_block": 1});
    let config = UnetConfig::from_json(&config).expect("a configuration of a U-Net");
    unet::catalogue(&config, Grid::new(8, 8), 77)
});

/// An id, a list of ids, words that are searched for.
pub fn ids(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(id) = read(text.parse::<Id>()) {
        let again: Id = id.to_string().parse().expect("an id as it is written is one");
        assert_eq!(again, id);
        let _ = (id.is_map(), id.is_cross_map(), id.has_vectors());
    }
    let _ = (CATALOGUE.search(text), CATALOGUE.nearest(text));
    if let Some(selection) = read(Selection::parse(text, &CATALOGUE)) {
        assert_eq!(selection.iter().count(), selection.len());
        assert!(selection.iter().all(|tap| CATALOGUE.entry(tap).is_some()));
    }
}

/// A file of layers.
pub fn layers(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(names) = read(parse_layer_file(text)) {
        read(Selection::from_names(names.iter().map(String::as_str), &CATALOGUE));
    }
}

/// A file of pairs of points.
pub fn pairs(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(pairs) = read(parse_pairs(text)) {
        read(check_pairs(&pairs, [Size::new(640, 480), Size::new(1, 9)]));
    }
}

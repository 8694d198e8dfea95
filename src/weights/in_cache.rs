//! Models with short names that the hub's cache already holds.

use std::path::PathBuf;

use super::hub::{Hub, Repo, Variant, Wanted};

/// What a folder of Stable Diffusion's layout has at least: with it, its activations can be listed.
const UNET_CONFIG: &str = "unet/config.json";

/// The newest complete snapshot of `owner/name` in the hub's cache, else one that has at least the U-Net's configuration.
pub fn hub_folder(id: &str) -> Option<PathBuf> {
    let whole = Wanted::Model(Variant::Full);
    snapshot(id, &whole).or_else(|| snapshot(id, &Wanted::File(UNET_CONFIG.to_owned())))
}

/// A single file of `owner/name` in the hub's cache.
pub fn hub_file(id: &str, file: &str) -> Option<PathBuf> {
    Some(snapshot(id, &Wanted::File(file.to_owned()))?.join(file))
}

fn snapshot(id: &str, wanted: &Wanted) -> Option<PathBuf> {
    // Settings of the environment that make no sense are told to who downloads; here there is simply no such model.
    Hub::from_env().ok()?.local(&Repo::new(id).ok()?, wanted)
}

//! Control images, and the ControlNets that look at them.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::{
    adapters::{ControlImage, ControlUse},
    canny::canny,
    image::{CHANNELS, Picture},
    name::not_downloaded,
    resize::{Filter, resize},
    source::PictureSource,
};
use crate::{
    error::{Error, Result},
    model::{
        controlnet::{ControlNet, ControlNetConfig},
        unet::UnetConfig,
    },
    weights::{DIFFUSERS_STEM, hub::Repo, hub_folder, open_weights, read_json},
};

/// What a ControlNet is shown in one pass.
pub struct ControlInput {
    /// Which of the model's ControlNets.
    pub(super) net: usize,
    /// Its control images, one per picture, (P, 3, H, W) in [0, 1].
    pub image: Tensor,
    /// What it sees in them, (P, C0, h, w).
    pub(super) embedded: Tensor,
    /// How strongly it acts.
    pub(super) scale: f64,
}

/// A ControlNet's folder: itself, or where the hub's cache holds `OWNER/NAME`.
fn folder_of(net: &Path) -> Result<PathBuf> {
    let name = net
        .to_str()
        .filter(|name| name.contains('/') && Repo::new(name).is_ok());
    match name {
        Some(name) if !net.exists() => hub_folder(name).ok_or_else(|| not_downloaded(name)),
        _ => Ok(net.to_owned()),
    }
}

/// Reads the configuration of a ControlNet, by its folder or its name on the hub, and checks that it fits the model's U-Net.
pub fn read_config(net: &Path, unet: &UnetConfig) -> Result<ControlNetConfig> {
    let folder = folder_of(net)?;
    let path = folder.join("config.json");
    if !path.is_file() {
        return Err(Error::failed(format!(
            "{} is no folder of a ControlNet: it has no config.json",
            folder.display()
        )));
    }
    let config = ControlNetConfig::from_json(&read_json(&path)?).map_err(|error| error.context(path.display()))?;
    config
        .check_fits(unet)
        .map_err(|error| error.context(folder.display()))?;
    Ok(config)
}

/// Reads a ControlNet.
pub fn open_net(net: &Path, unet: &UnetConfig, dtype: DType, device: &Device) -> Result<ControlNet> {
    let config = read_config(net, unet)?;
    let store = open_weights(&folder_of(net)?, DIFFUSERS_STEM)?;
    ControlNet::new(config, store.var_builder(dtype, device))
}

/// What a ControlNet is shown for a working picture, of the same size. A picture from a file is resized as diffusers
/// does it.
pub fn control_image(working: &Picture, image: &ControlImage) -> Result<Picture> {
    match image {
        ControlImage::Canny => canny(working),
        ControlImage::Picture(path) => {
            let picture = PictureSource::of(path)
                .read()
                .map_err(|error| error.context("control image"))?;
            resize(&picture, working.size(), Filter::Lanczos)
        }
    }
}

/// The control images of one net for working pictures of one size, (P, 3, H, W) in [0, 1].
pub fn control_images(pictures: &[&Picture], control: &ControlUse, device: &Device) -> Result<Tensor> {
    const WHITE_LEVEL: f32 = 255.0;
    let one = |picture: &Picture| {
        let shown = control_image(picture, &control.image)?;
        let size = shown.size();
        let numbers: Vec<f32> = shown.rgb().iter().map(|byte| f32::from(*byte) / WHITE_LEVEL).collect();
        let rows = Tensor::from_vec(numbers, (1, size.height, size.width, CHANNELS), device)?;
        Ok(rows.permute((0, 3, 1, 2))?.contiguous()?)
    };
    let images = pictures
        .iter()
        .map(|picture| one(picture))
        .collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&images, 0)?)
}

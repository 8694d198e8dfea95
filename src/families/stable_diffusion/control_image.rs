//! Control images, and the ControlNets that look at them.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use crate::{
    error::{Error, Result},
    families::stable_diffusion::{
        controlnet::{ControlNet, ControlNetConfig, ControlNetFile, check_names},
        unet::UnetConfig,
    },
    files,
    image::{
        canny::canny,
        picture::{CHANNELS, Picture},
        resize::{Filter, resize},
        source::PictureSource,
    },
    model::adapters::{ControlImage, ControlUse},
    weights::{DIFFUSERS_STEM, hub::Repo, hub_folder, in_cache::not_downloaded, open_weights, read_json},
};

/// Where a ControlNet lies.
enum Net {
    /// `config.json` and weights.
    Folder(PathBuf),
    /// Everything in one file.
    File(Box<ControlNetFile>),
}

impl Net {
    /// Finds a ControlNet by its folder, its file, or `OWNER/NAME` in the hub's cache.
    fn find(net: &Path) -> Result<Self> {
        // Names of ways to steer without a network, as web UIs list them beside ControlNets.
        const WITHOUT_NETWORK: [&str; 3] = ["reference", "reference-only", "reference_only"];
        // InstantID's network has the shape of a ControlNet, but is conditioned on a face in the place of a text.
        const OF_FACES: &str = "instantid";
        let near = net.components().rev().take(2);
        let mut names = near.map(|name| name.as_os_str().to_string_lossy().to_lowercase());
        if names.any(|name| name.contains(OF_FACES)) {
            return Err(Error::failed(format!(
                "{}: InstantID's network attends to what a face encoder says of a picture, not to the prompt: this program \
                 computes ControlNets that read the prompt",
                net.display()
            )));
        }
        if net.is_dir() {
            return Ok(Self::Folder(net.to_owned()));
        }
        if net.exists() {
            drop(files::open(net)?);
            return Ok(Self::File(Box::new(ControlNetFile::open(net)?)));
        }
        match net.to_str() {
            Some(name) if WITHOUT_NETWORK.contains(&name) => Err(Error::usage(format!(
                "--control {name}: this way to steer has no network of its own, it changes the U-Net's self-attention: this \
                 program computes ControlNets alone"
            ))),
            Some(name) if name.contains('/') && Repo::new(name).is_ok() => match hub_folder(name) {
                Some(folder) => Ok(Self::Folder(folder)),
                None => Err(not_downloaded(name)),
            },
            _ => Err(Error::failed(format!(
                "there is no ControlNet {}: neither a folder nor a file is there, and OWNER/NAME of the hub looks otherwise",
                net.display()
            ))),
        }
    }

    /// Its configuration beside a U-Net, which it has to fit.
    fn config(&self, net: &Path, unet: &UnetConfig) -> Result<ControlNetConfig> {
        let config = match self {
            Self::File(file) => file.config(unet),
            Self::Folder(folder) => {
                let path = folder.join("config.json");
                if !path.is_file() {
                    return Err(Error::failed(format!(
                        "{} is no folder of a ControlNet: it has no config.json; a ControlNet in one file is given as the file",
                        folder.display()
                    )));
                }
                ControlNetConfig::from_json(&read_json(&path)?).map_err(|error| error.context(path.display()))?
            }
        };
        config.check_fits(unet).map_err(|error| error.context(net.display()))?;
        Ok(config)
    }
}

/// Reads the configuration of a ControlNet, by its folder, its file or its name on the hub, and checks that it fits the model's
/// U-Net.
pub(crate) fn read_config(net: &Path, unet: &UnetConfig) -> Result<ControlNetConfig> {
    Net::find(net)?.config(net, unet)
}

/// Reads a ControlNet.
pub(crate) fn open_net(net: &Path, unet: &UnetConfig, dtype: DType, device: &Device) -> Result<ControlNet> {
    let found = Net::find(net)?;
    let config = found.config(net, unet)?;
    let store = match found {
        Net::File(file) => file.store().clone(),
        Net::Folder(folder) => {
            let store = open_weights(&folder, DIFFUSERS_STEM)?;
            check_names(&config.half, store.names()).map_err(|error| error.context(store.label()))?;
            store
        }
    };
    ControlNet::new(config, store.var_builder(dtype, device))
}

/// Control image for a working picture, of the same size. A picture from a file is resized as diffusers
/// does it.
///
/// # Errors
///
/// Where the control image cannot be read.
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
pub(crate) fn control_images(pictures: &[&Picture], control: &ControlUse, device: &Device) -> Result<Tensor> {
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

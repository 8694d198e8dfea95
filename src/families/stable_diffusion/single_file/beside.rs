//! Configurations that lie beside a file, or in the folder of a network.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::unet::UnetPart;
use crate::{
    error::{Error, Result},
    families::stable_diffusion::unet::UnetConfig,
    weights::{Store, open_weights, read_json},
};

/// Name of the configuration of one network.
const CONFIG: &str = "config.json";
/// Keys that distinguish a configuration of diffusers from other JSON.
const CLASS: &str = "_class_name";
const WIDTHS: &str = "block_out_channels";
/// How diffusers calls a U-Net with text.
const UNET_CLASS: &str = "UNet2DConditionModel";

/// A network on the disk: its tensors, and the configuration that lies with them.
pub(super) struct OnDisk {
    pub(super) store: Store,
    pub(super) config: Option<(Value, PathBuf)>,
    /// Whether the configuration surely belongs to the tensors: it lies in a folder of this network alone.
    pub(super) own: bool,
    /// The folder that the tensors lie in.
    pub(super) folder: PathBuf,
}

impl OnDisk {
    /// Opens a file, or a folder: of one network with weights called `stem`, or of a whole model with one called `part`.
    pub(super) fn open(path: &Path, stem: &str, part: &str) -> Result<Self> {
        let (store, folder) = if path.is_dir() {
            let inner = path.join(part);
            let folder = if inner.is_dir() { inner } else { path.to_owned() };
            (open_weights(&folder, stem)?, folder)
        } else {
            let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
            (Store::open(path)?, folder)
        };
        let named_so = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.and_then(|name| name.strip_prefix(stem))
                .is_some_and(|rest| rest.starts_with(['.', '-']))
        };
        let config = folder.join(CONFIG);
        let own = path.is_dir() || named_so(path);
        let config = match config.is_file() {
            // In a folder of many files it may be of any of them, or of something else altogether.
            true => match (read_json(&config), own) {
                (Ok(json), _) => Some((json, config)),
                (Err(error), true) => return Err(error),
                (Err(_), false) => None,
            },
            false => None,
        };
        Ok(Self {
            store,
            config,
            own,
            folder,
        })
    }
}

/// The configuration of a U-Net that lies with its tensors: none where there is none, or where it is of another network in
/// the same folder.
pub(super) fn unet_config(path: &Path, part: &UnetPart, found: &OnDisk) -> Result<Option<UnetConfig>> {
    let named = path.with_extension("");
    let beside = [
        named.join("unet").join(CONFIG),
        named.join(CONFIG),
        path.with_extension("json"),
    ];
    if !path.is_dir()
        && named != path
        && let Some(file) = beside.iter().find(|file| file.is_file())
    {
        let json = read_json(file)?;
        let is_config = json.get(CLASS).is_some() || json.get(WIDTHS).is_some();
        // Web UIs keep what they know of a model in a file of the same name: that is no configuration.
        if is_config || *file != beside[2] {
            return checked(&json, file, part, true);
        }
    }
    match &found.config {
        Some((json, file)) => checked(json, file, part, found.own),
        None => Ok(None),
    }
}

/// A configuration, where it is one of these tensors; one that must be and is not is refused.
fn checked(json: &Value, file: &Path, part: &UnetPart, must: bool) -> Result<Option<UnetConfig>> {
    let is_of_unet = json.get(CLASS).and_then(Value::as_str) == Some(UNET_CLASS);
    if !(must || is_of_unet) {
        return Ok(None);
    }
    let config = UnetConfig::from_json(json).map_err(|error| error.context(file.display()))?;
    match part.fits(&config) {
        true => Ok(Some(config)),
        false if must => Err(Error::failed(format!(
            "{} describes another U-Net than the tensors are of: {}; rename it if it does not belong to them",
            file.display(),
            part.difference(&config)
        ))),
        false => Ok(None),
    }
}

/// The folder of the hub's layout whose configurations are those of a file.
pub(super) fn folder_beside(path: &Path, part: &UnetPart) -> Result<Option<PathBuf>> {
    if path.is_dir() {
        return Ok(None);
    }
    let own = path.with_extension("");
    if own.is_dir() && own != path {
        let file = own.join("unet").join(CONFIG);
        if file.is_file() {
            checked(&read_json(&file)?, &file, part, true)?;
        }
        return Ok(Some(own));
    }
    // Repositories keep such a file beside the folders of the same model, but so do people who keep many models in one
    // place: only what fits is used.
    let fits = |folder: &&Path| {
        let json = read_json(&folder.join("unet").join(CONFIG));
        json.and_then(|json| UnetConfig::from_json(&json))
            .is_ok_and(|config| part.fits(&config))
    };
    Ok(path.parent().filter(fits).map(Path::to_owned))
}

/// Kind of a network that lies in a folder alone, by its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// A U-Net with text.
    Unet,
    /// A ControlNet.
    ControlNet,
    /// An autoencoder.
    Vae,
    /// A text encoder.
    Text,
    /// Something else of diffusers, by its class.
    Other(String),
}

impl Network {
    /// Describes it, and what to do with it; `folder` is where it lies.
    pub fn describe(&self, folder: &Path) -> String {
        let shown = folder.display();
        match self {
            Self::Unet => format!("the U-Net of a Stable Diffusion alone: put it into a model, as in M+{shown}"),
            Self::ControlNet => format!("a ControlNet, which is put beside a model: --control {shown}=canny"),
            Self::Vae => format!("an autoencoder alone, which a model can take: --vae-file {shown}"),
            Self::Text => format!("a text encoder alone, which a model can take: --text-encoder {shown}"),
            Self::Other(class) => format!("a {class:.60}, which is no network that this program knows"),
        }
    }
}

/// The network in a folder that is no whole model; none where its configuration does not name one.
pub(crate) fn network_in_folder(folder: &Path) -> Option<Network> {
    let json = read_json(&folder.join(CONFIG)).ok()?;
    let class = json.get(CLASS).and_then(Value::as_str);
    let architecture = json
        .get("architectures")
        .and_then(|all| all.get(0))
        .and_then(Value::as_str);
    Some(match (class, architecture) {
        (Some(UNET_CLASS), _) => Network::Unet,
        (Some("ControlNetModel"), _) => Network::ControlNet,
        (Some("AutoencoderKL"), _) => Network::Vae,
        (_, Some(class)) if class.starts_with("CLIPText") => Network::Text,
        (Some(class), _) => Network::Other(class.to_owned()),
        _ => return None,
    })
}

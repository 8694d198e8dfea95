//! Configuration of a ControlNet, as in its `config.json`.

use serde_json::{Value, json};

use super::{file::not_computed, half::Half, kind::other_kind_of_class};
use crate::{
    error::{Error, Result},
    families::stable_diffusion::unet::UnetConfig,
    weights::config::{ConfigReader, MAX_WIDTH},
};

const NAME: &str = "the ControlNet's config.json";
pub(super) const CLASS: &str = "ControlNetModel";
/// Widths of the small network that looks at the control image, where the configuration has none.
const DEFAULT_EMBEDDING_CHANNELS: [usize; 4] = [16, 32, 96, 256];
/// Widths that bring the control image to the latent's 1/8 of its size: every step but the first halves it.
const EMBEDDING_STEPS: usize = 4;

/// In which order a ControlNet takes the colours of its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// A ControlNet.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlNetConfig {
    /// The half of a U-Net it is a copy of.
    pub half: Half,
    /// The same as the U-Net's own configuration; its up levels mean nothing.
    pub unet: UnetConfig,
    /// Channels of the control image.
    pub conditioning_channels: usize,
    /// In which order it takes them.
    pub channel_order: ChannelOrder,
    /// Widths of the network that looks at the control image.
    pub embedding_channels: Vec<usize>,
    /// Whether its residuals are averaged over the positions of each grid (nets of shuffled pictures).
    pub global_pool: bool,
}

impl ControlNetConfig {
    /// Reads and checks a configuration; keys that are missing have diffusers' defaults.
    ///
    /// # Errors
    ///
    /// Where a value is of another type or out of its range, and where it is a kind of control network that this
    /// program does not compute.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, NAME)?;
        if let Some(kind) = config
            .value("_class_name")
            .and_then(Value::as_str)
            .and_then(other_kind_of_class)
        {
            return Err(not_computed(kind));
        }
        config.only("_class_name", &json!(CLASS))?;
        let embedding_channels = config.counts(
            "conditioning_embedding_out_channels",
            &DEFAULT_EMBEDDING_CHANNELS,
            0,
            1,
            MAX_WIDTH,
        )?;
        if embedding_channels.len() != EMBEDDING_STEPS {
            return Err(config.refuse(
                "conditioning_embedding_out_channels",
                &format!("{EMBEDDING_STEPS} widths, which bring the image to 1/8 of its size"),
            ));
        }
        let order = config.choice("controlnet_conditioning_channel_order", "rgb", &["rgb", "bgr"])?;
        let unet = UnetConfig::from_json(&as_unet(json)).map_err(|error| error.context(NAME))?;
        Ok(Self {
            half: Half::of_config(&unet),
            unet,
            global_pool: config.flag("global_pool_conditions", false)?,
            conditioning_channels: config.count("conditioning_channels", Some(3), 3, 3)?,
            channel_order: if order == "bgr" {
                ChannelOrder::Bgr
            } else {
                ChannelOrder::Rgb
            },
            embedding_channels,
        })
    }

    /// Refuses a net that is no copy of half of this U-Net: its residuals would not fit.
    ///
    /// # Errors
    ///
    /// Where widths, depths or grids of the two differ.
    pub fn check_fits(&self, unet: &UnetConfig) -> Result<()> {
        let wanted = Half::of_config(unet);
        if self.half == wanted {
            return Ok(());
        }
        Err(Error::usage(format!(
            "the ControlNet is of another family than the model: it has {}, the model has {}",
            self.half.describe(),
            wanted.describe()
        )))
    }
}

/// The configuration of the U-Net whose half this is: the shared keys are the same, the up levels mirror the down levels.
fn as_unet(json: &Value) -> Value {
    let mut unet = json.clone();
    let Some(keys) = unet.as_object_mut() else { return unet };
    keys.insert("_class_name".into(), json!("UNet2DConditionModel"));
    if let Some(down) = json.get("down_block_types").and_then(Value::as_array) {
        let up = down.iter().rev().map(|kind| match kind.as_str() {
            Some(kind) => json!(kind.replace("Down", "Up")),
            None => kind.clone(),
        });
        keys.insert("up_block_types".into(), up.collect());
    }
    // The way up has no depths of its own here.
    keys.insert("reverse_transformer_layers_per_block".into(), json!(1));
    let latent = json.get("in_channels").cloned().unwrap_or(Value::Null);
    keys.insert("out_channels".into(), latent);
    unet
}

//! An autoencoder among the tensors of a file: its configuration from them, and their names, those of its authors on the
//! left, those of diffusers on the right.

use serde_json::json;

use super::{CLASS_OF_FLUX_2, OfChannels, VaeConfig};
use crate::{
    error::{Error, Result},
    weights::{
        Rename, Rules, Store, Take,
        config::{MAX_LAYERS, MAX_LEVELS},
    },
};

/// Prefixes of the names of its tensors: in files of a whole model, of an autoencoder alone.
const PREFIXES: [&str; 3] = ["first_stage_model.", "", "vae."];

/// What Flux.2's authors call otherwise, or have alone.
const OF_FLUX_2: [(&str, &str); 3] = [
    ("encoder.quant_conv", "quant_conv"),
    ("decoder.post_quant_conv", "post_quant_conv"),
    ("bn", "bn"),
];

const RESNET: [(&str, &str); 5] = [
    ("norm1", "norm1"),
    ("conv1", "conv1"),
    ("norm2", "norm2"),
    ("conv2", "conv2"),
    ("nin_shortcut", "conv_shortcut"),
];

/// How its tensors are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    Authors,
    Diffusers,
}

impl Naming {
    /// The first convolution of a resnet of the encoder.
    fn encoder_conv(self, level: usize, repeat: usize) -> String {
        match self {
            Self::Authors => format!("encoder.down.{level}.block.{repeat}.conv1.weight"),
            Self::Diffusers => format!("encoder.down_blocks.{level}.resnets.{repeat}.conv1.weight"),
        }
    }

    /// The norm of the attention in the encoder's middle.
    fn attention(self) -> &'static str {
        match self {
            Self::Authors => "encoder.mid.attn_1.norm.weight",
            Self::Diffusers => "encoder.mid_block.attentions.0.group_norm.weight",
        }
    }
}

/// An autoencoder among the tensors of a file.
#[derive(Clone)]
pub struct VaePart {
    store: Store,
    prefix: &'static str,
    naming: Naming,
}

impl VaePart {
    /// The autoencoder among the tensors, if there is one.
    pub fn find(store: &Store) -> Option<Self> {
        let at = |prefix, naming: Naming| {
            let part = Self {
                store: store.clone(),
                prefix,
                naming,
            };
            part.shape(&naming.encoder_conv(0, 0))?;
            Some(part)
        };
        let namings = [Naming::Authors, Naming::Diffusers];
        PREFIXES
            .into_iter()
            .find_map(|prefix| namings.into_iter().find_map(|naming| at(prefix, naming)))
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.store.shape(&format!("{}{name}", self.prefix))
    }

    /// The configuration, with what tensors do not show as in another autoencoder for the same denoiser, else with latents of this
    /// scaling factor and nothing else unusual.
    ///
    /// # Errors
    ///
    /// Where tensors are missing, or are of no autoencoder that this program computes.
    pub fn config(&self, like: Option<&VaeConfig>, scaling: f64) -> Result<VaeConfig> {
        let width = |level: usize, repeat: usize| {
            let shape = self.shape(&self.naming.encoder_conv(level, repeat))?;
            shape.first().copied()
        };
        let widths: Vec<usize> = (0..MAX_LEVELS).map_while(|level| width(level, 0)).collect();
        let repeats = (0..MAX_LAYERS).take_while(|repeat| width(0, *repeat).is_some()).count();
        let Some([_, latent, _, _]) = self.shape("decoder.conv_in.weight") else {
            return Err(Error::failed(format!(
                "the file holds half an autoencoder: {}decoder.conv_in.weight is missing or of another shape",
                self.prefix
            )));
        };
        let has = |name: &str| self.shape(name).is_some();
        let mut json = json!({
            "block_out_channels": widths,
            "layers_per_block": repeats,
            "latent_channels": latent,
            "scaling_factor": scaling,
            "use_quant_conv": has("quant_conv.weight") || has("encoder.quant_conv.weight"),
            "use_post_quant_conv": has("post_quant_conv.weight") || has("decoder.post_quant_conv.weight"),
            "mid_block_add_attention": self.shape(self.naming.attention()).is_some(),
        });
        if self.shape("bn.running_mean").is_some() {
            json["_class_name"] = json!(CLASS_OF_FLUX_2);
        }
        match like.and_then(|like| like.of_channels.as_ref()) {
            Some(OfChannels::Numbers { mean, std }) => {
                json["latents_mean"] = json!(mean);
                json["latents_std"] = json!(std);
            }
            Some(OfChannels::BatchNorm { eps }) => json["batch_norm_eps"] = json!(eps),
            None => {}
        }
        if let Some(like) = like {
            json["scaling_factor"] = json!(like.scaling_factor);
            json["shift_factor"] = json!(like.shift_factor);
            json["norm_num_groups"] = json!(like.norm_num_groups);
        }
        VaeConfig::from_json(&json)
    }

    /// Whether a configuration is of this autoencoder, as far as tensors show it.
    pub(crate) fn fits(&self, config: &VaeConfig) -> bool {
        let told = |config: VaeConfig| VaeConfig {
            // No tensor shows these.
            scaling_factor: 1.0,
            shift_factor: 0.0,
            norm_num_groups: 1,
            ..config
        };
        let own = self.config(Some(config), config.scaling_factor);
        own.is_ok_and(|own| told(own) == told(config.clone()))
    }

    /// The tensors under the names of `vae/diffusion_pytorch_model.safetensors`.
    pub fn store(&self, config: &VaeConfig) -> Store {
        match self.naming {
            Naming::Authors => self.store.renamed(rules(self.prefix, config)),
            Naming::Diffusers if self.prefix.is_empty() => self.store.clone(),
            Naming::Diffusers => self.store.renamed(vec![Rename::new(self.prefix, "")]),
        }
    }
}

/// Rules for all tensors. Their attention has 1x1 convolutions where diffusers has linear layers, and their levels of
/// the decoder are counted from the widest grid.
fn rules(prefix: &str, config: &VaeConfig) -> Vec<Rename> {
    let mut rules = Rules::new(prefix);
    for name in ["quant_conv", "post_quant_conv"] {
        rules.module(name, name);
    }
    for (theirs, ours) in OF_FLUX_2 {
        rules.module(theirs, ours);
    }
    for half in ["encoder", "decoder"] {
        rules.module(&format!("{half}.conv_in"), &format!("{half}.conv_in"));
        rules.module(&format!("{half}.norm_out"), &format!("{half}.conv_norm_out"));
        rules.module(&format!("{half}.conv_out"), &format!("{half}.conv_out"));
        let (from, to) = (format!("{half}.mid"), format!("{half}.mid_block"));
        rules.modules(&format!("{from}.block_1"), &format!("{to}.resnets.0"), &RESNET);
        rules.modules(&format!("{from}.block_2"), &format!("{to}.resnets.1"), &RESNET);
        let (from, to) = (format!("{from}.attn_1"), format!("{to}.attentions.0"));
        rules.module(&format!("{from}.norm"), &format!("{to}.group_norm"));
        for (theirs, ours) in [("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")] {
            rules.part(&format!("{from}.{theirs}"), &format!("{to}.{ours}"), Take::Linear);
        }
    }
    let levels = config.block_out_channels.len();
    for level in 0..levels {
        let (from, to) = (format!("encoder.down.{level}"), format!("encoder.down_blocks.{level}"));
        for repeat in 0..config.layers_per_block {
            rules.modules(
                &format!("{from}.block.{repeat}"),
                &format!("{to}.resnets.{repeat}"),
                &RESNET,
            );
        }
        rules.module(&format!("{from}.downsample.conv"), &format!("{to}.downsamplers.0.conv"));
        let (from, to) = (
            format!("decoder.up.{level}"),
            format!("decoder.up_blocks.{}", levels - 1 - level),
        );
        for repeat in 0..=config.layers_per_block {
            rules.modules(
                &format!("{from}.block.{repeat}"),
                &format!("{to}.resnets.{repeat}"),
                &RESNET,
            );
        }
        rules.module(&format!("{from}.upsample.conv"), &format!("{to}.upsamplers.0.conv"));
    }
    rules.finish()
}

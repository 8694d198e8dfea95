//! A U-Net among the tensors of a file: where it is, what it is, and its tensors under the names of diffusers.

use super::{names::Naming, shape_signature::ShapeSignature, text::TextKind};
use crate::{
    error::{Error, Result},
    families::stable_diffusion::unet::UnetConfig,
    weights::{Rename, Rules, Store},
};

/// Prefixes of the names of a U-Net's tensors: in files of a whole model, of a U-Net alone, of training scripts.
const PREFIXES: [&str; 5] = ["model.diffusion_model.", "", "diffusion_model.", "unet.", "model."];
/// Tensors that only a ControlNet has, in the names of its authors and of diffusers.
const OF_CONTROL_NETS: [&str; 3] = [
    "input_hint_block.0.weight",
    "zero_convs.0.0.weight",
    "controlnet_cond_embedding.conv_in.weight",
];
/// Text width of the network that refines pictures of Stable Diffusion XL.
const REFINER_TEXT_WIDTH: usize = 1280;

/// The tensors of a U-Net with text, by their names behind a prefix.
#[derive(Clone)]
pub(super) struct Tensors {
    store: Store,
    pub(super) prefix: &'static str,
    pub(super) naming: Naming,
}

/// A U-Net with text among the tensors of a file.
#[derive(Clone)]
pub struct UnetPart {
    tensors: Tensors,
    pub(super) shape_signature: ShapeSignature,
}

impl Tensors {
    fn locate(store: &Store) -> Option<Self> {
        let attends = |tensors: &Self| {
            let mut own = store.names().filter(|name| name.starts_with(tensors.prefix));
            own.any(|name| name.contains(".transformer_blocks."))
        };
        let at = |prefix, naming: Naming| {
            let tensors = Self {
                store: store.clone(),
                prefix,
                naming,
            };
            let (first_conv, _) = naming.ends();
            tensors.shape(&format!("{first_conv}.weight"))?;
            tensors.shape(&naming.resnet_conv(naming.first_resnet()))?;
            Some(tensors).filter(attends)
        };
        let namings = [Naming::Authors, Naming::Diffusers];
        PREFIXES
            .into_iter()
            .find_map(|prefix| namings.into_iter().find_map(|naming| at(prefix, naming)))
    }

    /// The shape of a tensor, named without the prefix.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.store.shape(&format!("{}{name}", self.prefix))
    }
}

impl UnetPart {
    /// Whether there is a U-Net with text among the tensors, of any architecture.
    pub(crate) fn is_in(store: &Store) -> bool {
        Tensors::locate(store).is_some()
    }

    /// The U-Net with text among the tensors, if there is one.
    ///
    /// # Errors
    ///
    /// Where it is half of one, a ControlNet, or of an architecture that this program does not know.
    pub fn find(store: &Store) -> Result<Option<Self>> {
        let Some(tensors) = Tensors::locate(store) else {
            return Ok(None);
        };
        if OF_CONTROL_NETS.iter().any(|name| tensors.shape(name).is_some()) {
            return Err(Error::failed(
                "it holds a ControlNet, which is put beside a model: --control FILE=canny",
            ));
        }
        let shape_signature = ShapeSignature::of_tensors(&tensors)?;
        Ok(Some(Self {
            tensors,
            shape_signature,
        }))
    }

    /// The configuration, with what tensors do not show as in a `model` of the same family, else as in the published
    /// ones; where the `model` has the same architecture it is that model's.
    pub fn config(&self, model: Option<&UnetConfig>) -> Result<UnetConfig> {
        match model {
            Some(model) if self.fits(model) => Ok(model.clone()),
            _ => self.shape_signature.config(model),
        }
    }

    /// Whether a configuration is of this architecture.
    pub fn fits(&self, config: &UnetConfig) -> bool {
        ShapeSignature::of_config(config) == self.shape_signature
    }

    /// In which way a configuration is not of this architecture.
    pub(super) fn difference(&self, config: &UnetConfig) -> String {
        self.shape_signature.difference(&ShapeSignature::of_config(config))
    }

    /// The tensors under the names of `unet/diffusion_pytorch_model.safetensors`; `config` is of this architecture.
    pub fn store(&self, config: &UnetConfig) -> Store {
        let Tensors { store, prefix, naming } = &self.tensors;
        match naming {
            Naming::Authors => store.renamed(rules(prefix, config)),
            Naming::Diffusers if prefix.is_empty() => store.clone(),
            Naming::Diffusers => store.renamed(vec![Rename::new(*prefix, "")]),
        }
    }

    /// Which model it is the U-Net of, for people.
    pub fn describe(&self) -> String {
        let shape_signature = &self.shape_signature;
        if shape_signature.text_width == REFINER_TEXT_WIDTH && shape_signature.text_time_width.is_some() {
            return "the U-Net of Stable Diffusion XL's refiner".to_owned();
        }
        format!("the U-Net of {}", TextKind::of_unet(shape_signature).model_name())
    }

    /// Whether it reads the states of two text encoders (SDXL).
    pub(crate) fn reads_two_texts(&self) -> bool {
        self.shape_signature.text_time_width.is_some()
    }

    /// The short name of a model that it can be put into.
    pub fn base(&self) -> &'static str {
        TextKind::of_unet(&self.shape_signature).known_key()
    }
}

/// The parts of a resnet.
pub(in crate::families::stable_diffusion) const RESNET: [(&str, &str); 6] = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];

const NETWORK: [(&str, &str); 8] = [
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("time_embed.cond_proj", "time_embedding.cond_proj"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
];

/// Rules for all tensors: those of the authors on the left, those of diffusers on the right. The authors number the blocks
/// of all levels through, samplers of the way down included; diffusers counts levels, and repeats in them.
fn rules(prefix: &str, config: &UnetConfig) -> Vec<Rename> {
    let mut rules = Rules::new(prefix);
    for (from, to) in NETWORK {
        rules.module(from, to);
    }
    // The first convolution is block 0 of the way down.
    let mut block = 1;
    for (level, of) in config.down.iter().enumerate() {
        let to = format!("down_blocks.{level}");
        for repeat in 0..of.transformers.len() {
            let from = format!("input_blocks.{block}");
            rules.modules(&format!("{from}.0"), &format!("{to}.resnets.{repeat}"), &RESNET);
            rules.module(&format!("{from}.1"), &format!("{to}.attentions.{repeat}"));
            block += 1;
        }
        rules.module(
            &format!("input_blocks.{block}.0.op"),
            &format!("{to}.downsamplers.0.conv"),
        );
        block += 1;
    }
    let ([first, second], transformer) = Naming::Authors.middle();
    let ([to_first, to_second], to_transformer) = Naming::Diffusers.middle();
    rules.modules(first, to_first, &RESNET);
    rules.module(transformer, to_transformer);
    rules.modules(second, to_second, &RESNET);
    block = 0;
    for (index, level) in config.up.iter().enumerate() {
        let to = format!("up_blocks.{index}");
        for (repeat, blocks) in level.transformers.iter().enumerate() {
            let from = format!("output_blocks.{block}");
            rules.modules(&format!("{from}.0"), &format!("{to}.resnets.{repeat}"), &RESNET);
            // The sampler comes after the last resnet, or after its transformer.
            let mut place = 1;
            if blocks.is_some() {
                rules.module(&format!("{from}.{place}"), &format!("{to}.attentions.{repeat}"));
                place += 1;
            }
            if repeat + 1 == level.transformers.len() {
                rules.module(&format!("{from}.{place}.conv"), &format!("{to}.upsamplers.0.conv"));
            }
            block += 1;
        }
    }
    rules.finish()
}

//! The text encoders: which there are, their configurations from their tensors, and the names of these, those of their
//! authors on the left, those of transformers on the right.

use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    model::{
        config::MAX_LAYERS,
        text::{ClipConfig, TextPart},
    },
    weights::{Rename, Store, Take},
};

/// Channels of an attention head of every CLIP. Tensors do not tell it.
const HEAD_WIDTH: usize = 64;
/// Layers of Stable Diffusion 2's text encoder: its file may have one more, which was never used.
const SD2_LAYERS: usize = 23;

/// Which text encoders a file has, which tells what model it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextKind {
    /// CLIP-L.
    Sd1,
    /// OpenCLIP-H.
    Sd2,
    /// CLIP-L and OpenCLIP-bigG.
    Sdxl,
}

/// One text encoder in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoder {
    /// With transformers' names, after a prefix.
    Clip(&'static str),
    /// With OpenCLIP's names, after a prefix; at most so many layers are used.
    OpenClip(&'static str, usize),
}

const SD1: Encoder = Encoder::Clip("cond_stage_model.transformer.");
const SD2: Encoder = Encoder::OpenClip("cond_stage_model.model.", SD2_LAYERS);
const SDXL: [Encoder; 2] = [
    Encoder::Clip("conditioner.embedders.0.transformer."),
    Encoder::OpenClip("conditioner.embedders.1.model.", MAX_LAYERS),
];
/// Of the second network that refines pictures of the first.
const REFINER: &str = "conditioner.embedders.0.model.token_embedding.weight";

impl TextKind {
    pub(super) fn of(store: &Store) -> Result<Self> {
        if store.shape(REFINER).is_some() {
            return Err(Error::failed(
                "this is SDXL's refiner, which is conditioned on an aesthetic score and is not supported; give the base \
                 model",
            ));
        }
        let there = |encoder: Encoder| encoder.token_embedding(store).is_some();
        if SDXL.into_iter().all(there) {
            Ok(Self::Sdxl)
        } else if there(SD1) {
            Ok(Self::Sd1)
        } else if there(SD2) {
            Ok(Self::Sd2)
        } else {
            Err(Error::failed(
                "the file has a U-Net but none of Stable Diffusion's text encoders: cond_stage_model.transformer (1), \
                 cond_stage_model.model (2), or conditioner.embedders.0 and .1 (XL) was looked for",
            ))
        }
    }

    pub(super) fn model_name(self) -> &'static str {
        match self {
            Self::Sd1 => "Stable Diffusion 1",
            Self::Sd2 => "Stable Diffusion 2",
            Self::Sdxl => "Stable Diffusion XL",
        }
    }

    /// Short side of the pictures that the published model was made for.
    pub(super) fn native_side(self) -> usize {
        match self {
            Self::Sd1 => 512,
            Self::Sd2 => 768,
            Self::Sdxl => 1024,
        }
    }

    pub(super) fn encoder(self, part: TextPart) -> Result<Encoder> {
        match (self, part) {
            (Self::Sd1, TextPart::First) => Ok(SD1),
            (Self::Sd2, TextPart::First) => Ok(SD2),
            (Self::Sdxl, TextPart::First) => Ok(SDXL[0]),
            (Self::Sdxl, TextPart::Second) => Ok(SDXL[1]),
            (_, TextPart::Second) => Err(Error::failed(format!(
                "the U-Net asks for a second text encoder, and {} has one",
                self.model_name()
            ))),
        }
    }
}

impl Encoder {
    pub(super) fn is_open_clip(self) -> bool {
        matches!(self, Self::OpenClip(..))
    }

    /// The shape of the table of token embeddings, (tokens, width).
    fn token_embedding(self, store: &Store) -> Option<[usize; 2]> {
        let shape = match self {
            Self::Clip(prefix) => store
                .shape(&format!("{prefix}text_model.embeddings.token_embedding.weight"))
                .or_else(|| store.shape(&format!("{prefix}embeddings.token_embedding.weight"))),
            Self::OpenClip(prefix, _) => store.shape(&format!("{prefix}token_embedding.weight")),
        };
        shape?.try_into().ok()
    }

    /// The configuration `beside` the file if there is one, else what the tensors tell, with the published models'
    /// values for the rest.
    pub(super) fn config(self, store: &Store, beside: Option<&Value>) -> Result<ClipConfig> {
        if let Some(json) = beside {
            return ClipConfig::from_json(json);
        }
        let Some([tokens, width]) = self.token_embedding(store) else {
            return Err(Error::failed("the file has no table of token embeddings"));
        };
        let first = |name: String| store.shape(&name).and_then(|shape| shape.first().copied());
        let (layer, inner, positions, most) = match self {
            Self::Clip(prefix) => {
                let with = format!("{prefix}text_model.");
                let own = format!("{with}embeddings.token_embedding.weight");
                let prefix = if store.shape(&own).is_some() {
                    with.as_str()
                } else {
                    prefix
                };
                (
                    format!("{prefix}encoder.layers."),
                    "mlp.fc1.weight",
                    format!("{prefix}embeddings.position_embedding.weight"),
                    MAX_LAYERS,
                )
            }
            Self::OpenClip(prefix, most) => (
                format!("{prefix}transformer.resblocks."),
                "mlp.c_fc.weight",
                format!("{prefix}positional_embedding"),
                most,
            ),
        };
        let layers = (0..most)
            .take_while(|index| first(format!("{layer}{index}.{inner}")).is_some())
            .count();
        let missing = |name: &str| Error::failed(format!("the text encoder lacks the tensor {name}"));
        let projection = match self {
            Self::Clip(_) => None,
            Self::OpenClip(prefix, _) => store
                .shape(&format!("{prefix}text_projection"))
                .and_then(|shape| shape.last().copied()),
        };
        ClipConfig::from_json(&json!({
            "vocab_size": tokens,
            "hidden_size": width,
            "intermediate_size": first(format!("{layer}0.{inner}")).ok_or_else(|| missing(&format!("{layer}0.{inner}")))?,
            "num_hidden_layers": layers,
            "num_attention_heads": (width / HEAD_WIDTH).max(1),
            "max_position_embeddings": first(positions.clone()).ok_or_else(|| missing(&positions))?,
            "hidden_act": if self.is_open_clip() { "gelu" } else { "quick_gelu" },
            // Both pool at the largest id, which is that of the end.
            "eos_token_id": 2,
            "projection_dim": projection.unwrap_or(width),
        }))
    }

    /// Rules for all tensors of an encoder of so many layers.
    pub(super) fn rules(self, layers: usize) -> Vec<Rename> {
        let prefix = match self {
            Self::Clip(prefix) => return vec![Rename::new(prefix, "")],
            Self::OpenClip(prefix, _) => prefix,
        };
        let rule = |from: &str, to: &str| Rename::new(format!("{prefix}{from}"), to);
        let mut rules = vec![
            rule("token_embedding.", "text_model.embeddings.token_embedding."),
            rule(
                "positional_embedding",
                "text_model.embeddings.position_embedding.weight",
            ),
            rule("ln_final.", "text_model.final_layer_norm."),
            rule("text_projection", "text_projection.weight").taking(Take::Transposed),
        ];
        for layer in 0..layers {
            let from = format!("transformer.resblocks.{layer}");
            let to = format!("text_model.encoder.layers.{layer}");
            for (theirs, ours) in [
                ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"),
                ("attn.out_proj", "self_attn.out_proj"),
                ("mlp.c_fc", "mlp.fc1"),
                ("mlp.c_proj", "mlp.fc2"),
            ] {
                rules.push(rule(&format!("{from}.{theirs}."), &format!("{to}.{ours}.")));
            }
            for (third, ours) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
                let rule = rule(&format!("{from}.attn.in_proj_"), &format!("{to}.self_attn.{ours}."));
                rules.push(rule.taking(Take::Third(third)));
            }
        }
        rules
    }
}

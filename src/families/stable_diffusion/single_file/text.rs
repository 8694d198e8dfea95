//! Text encoders among the tensors of a file: which there are, their configurations from their tensors, and the names of
//! these, those of their authors on the left, those of transformers on the right.

use serde_json::{Value, json};

use super::shape_signature::ShapeSignature;
use crate::{
    components::text::{ClipConfig, Padding, TextPart},
    error::{Error, Result},
    weights::{Rename, Store, Take, config::MAX_LAYERS},
};

/// Channels of an attention head of every CLIP: cannot be deduced from tensors.
const HEAD_WIDTH: usize = 64;
/// Layers of Stable Diffusion 2's text encoder: its file may have one more, which was never used.
const SD2_LAYERS: usize = 23;
/// Text width of Stable Diffusion 2.
const SD2_WIDTH: usize = 1024;

/// Prefixes of the names of the first encoder's tensors in the file of a whole model.
const FIRST: [&str; 5] = [
    "cond_stage_model.transformer.",
    "cond_stage_model.model.",
    "conditioner.embedders.0.transformer.",
    "conditioner.embedders.0.model.",
    "conditioner.embedders.0.",
];
/// Those of SDXL's second.
const SECOND: [&str; 3] = [
    "conditioner.embedders.1.model.",
    "conditioner.embedders.1.transformer.",
    "conditioner.embedders.1.",
];
/// Those of an encoder alone.
const ALONE: [&str; 6] = [
    "",
    "text_encoder.",
    "text_encoders.clip_l.transformer.",
    "text_encoders.clip_g.transformer.",
    "transformer.",
    "model.",
];
/// The only encoder of the network that refines pictures of SDXL.
const REFINER: &str = "conditioner.embedders.0.model.";

/// The model by its text encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextKind {
    /// CLIP-L.
    Sd1,
    /// OpenCLIP-H.
    Sd2,
    /// CLIP-L and OpenCLIP-bigG.
    Sdxl,
}

impl TextKind {
    /// The kind that a U-Net is conditioned on.
    pub(super) fn of_unet(unet: &ShapeSignature) -> Self {
        if unet.text_time_width.is_some() {
            Self::Sdxl
        } else if unet.text_width == SD2_WIDTH || unet.linear_projection {
            Self::Sd2
        } else {
            Self::Sd1
        }
    }

    /// Scaling factor of the published models' latents: cannot be deduced from tensors.
    pub(super) fn scaling(self) -> f64 {
        match self {
            Self::Sd1 | Self::Sd2 => 0.182_15,
            Self::Sdxl => 0.130_25,
        }
    }

    pub(super) fn model_name(self) -> &'static str {
        match self {
            Self::Sd1 => "Stable Diffusion 1",
            Self::Sd2 => "Stable Diffusion 2",
            Self::Sdxl => "Stable Diffusion XL",
        }
    }

    /// The short name of a published model of the kind.
    pub(super) fn known_key(self) -> &'static str {
        match self {
            Self::Sd1 => "sd15",
            Self::Sd2 => "sd21",
            Self::Sdxl => "sdxl",
        }
    }

    /// The parts that such a model has.
    pub(super) fn parts(self) -> &'static [TextPart] {
        match self {
            Self::Sd1 | Self::Sd2 => &[TextPart::First],
            Self::Sdxl => &[TextPart::First, TextPart::Second],
        }
    }

    /// Role of a part's encoder in the published model.
    pub(super) fn role(self, part: TextPart) -> Role {
        let openai = Role {
            gelu: "quick_gelu",
            layers: MAX_LAYERS,
            padding: Padding::EndOfText,
        };
        let open_clip = |layers| Role {
            gelu: "gelu",
            layers,
            padding: Padding::Zero,
        };
        match (self, part) {
            (Self::Sd2, _) => open_clip(SD2_LAYERS),
            (Self::Sdxl, TextPart::Second) => open_clip(MAX_LAYERS),
            _ => openai,
        }
    }
}

/// Facts of a text encoder that cannot be deduced from tensors, but from its place in a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Role {
    /// The name of the nonlinearity.
    gelu: &'static str,
    /// At most so many layers are used.
    layers: usize,
    /// Padding of its prompts.
    pub(super) padding: Padding,
}

/// How an encoder's tensors are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// As transformers calls them, the tower's behind this.
    Transformers(&'static str),
    /// As OpenCLIP calls them.
    OpenClip,
}

/// A text encoder among the tensors of a file.
#[derive(Clone)]
pub struct EncoderPart {
    store: Store,
    prefix: &'static str,
    naming: Naming,
}

impl EncoderPart {
    /// The encoder in the file of a whole model.
    ///
    /// # Errors
    ///
    /// Where it is SDXL's refiner.
    pub(super) fn of_model(store: &Store, part: TextPart) -> Result<Option<Self>> {
        let found = match part {
            TextPart::First => Self::behind(store, &FIRST),
            TextPart::Second => Self::behind(store, &SECOND),
        };
        let refines = |found: &Self| found.prefix == REFINER && found.naming == Naming::OpenClip;
        match found {
            Some(found) if refines(&found) => Err(Error::failed(
                "this is SDXL's refiner, which is conditioned on an aesthetic score and is not supported; give the base \
                 model",
            )),
            found => Ok(found),
        }
    }

    /// The encoder in a file of it alone, or the first of a whole model.
    pub fn alone(store: &Store) -> Option<Self> {
        Self::behind(store, &ALONE).or_else(|| Self::behind(store, &FIRST))
    }

    fn behind(store: &Store, prefixes: &[&'static str]) -> Option<Self> {
        let namings = [
            Naming::Transformers("text_model."),
            Naming::Transformers(""),
            Naming::OpenClip,
        ];
        let at = |prefix, naming| {
            let part = Self {
                store: store.clone(),
                prefix,
                naming,
            };
            part.token_embedding().map(|_| part)
        };
        prefixes
            .iter()
            .find_map(|prefix| namings.into_iter().find_map(|naming| at(prefix, naming)))
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.store.shape(&format!("{}{name}", self.prefix))
    }

    /// The shape of the table of token embeddings, (tokens, width).
    fn token_embedding(&self) -> Option<[usize; 2]> {
        let shape = match self.naming {
            Naming::Transformers(tower) => self.shape(&format!("{tower}embeddings.token_embedding.weight")),
            Naming::OpenClip => self.shape("token_embedding.weight"),
        };
        shape?.try_into().ok()
    }

    /// Width of the pooled state, where there is a projection of it.
    fn projection(&self) -> Option<usize> {
        match (self.shape("text_projection.weight"), self.shape("text_projection")) {
            (Some([out, _]), _) | (None, Some([_, out])) => Some(*out),
            _ => None,
        }
    }

    /// Width of the states, and of the pooled state.
    pub(super) fn widths(&self) -> (usize, usize) {
        let width = self.token_embedding().map_or(0, |[_, width]| width);
        (width, self.projection().unwrap_or(width))
    }

    /// The configuration `beside` the file if there is one, else what the tensors tell, with the published models'
    /// values for the rest.
    pub(super) fn config(&self, role: Role, beside: Option<&Value>) -> Result<ClipConfig> {
        if let Some(json) = beside {
            return of_text(json);
        }
        let Some([tokens, width]) = self.token_embedding() else {
            return Err(Error::failed("the file has no table of token embeddings"));
        };
        let first = |name: &str| self.shape(name).and_then(|shape| shape.first().copied());
        let (layer, inner, positions) = match self.naming {
            Naming::Transformers(tower) => (
                format!("{tower}encoder.layers."),
                "mlp.fc1.weight",
                format!("{tower}embeddings.position_embedding.weight"),
            ),
            Naming::OpenClip => (
                "transformer.resblocks.".to_owned(),
                "mlp.c_fc.weight",
                "positional_embedding".to_owned(),
            ),
        };
        let layers = (0..role.layers)
            .take_while(|index| first(&format!("{layer}{index}.{inner}")).is_some())
            .count();
        let there = |name: &str| {
            first(name).ok_or_else(|| Error::failed(format!("the text encoder lacks the tensor {}{name}", self.prefix)))
        };
        ClipConfig::from_json(&json!({
            "vocab_size": tokens,
            "hidden_size": width,
            "intermediate_size": there(&format!("{layer}0.{inner}"))?,
            "num_hidden_layers": layers,
            "num_attention_heads": (width / HEAD_WIDTH).max(1),
            "max_position_embeddings": there(&positions)?,
            "hidden_act": role.gelu,
            // Both pool at the largest id, which is that of the end.
            "eos_token_id": 2,
            "projection_dim": self.projection().unwrap_or(width),
        }))
    }

    /// Whether a configuration is of this encoder, as far as a glance at its tensors tells.
    pub(super) fn fits(&self, config: &ClipConfig) -> bool {
        self.token_embedding() == Some([config.vocab_size, config.hidden_size])
    }

    /// The tensors of `layers` layers under the names of `text_encoder/model.safetensors`.
    pub(super) fn store(&self, layers: usize) -> Store {
        self.store.renamed(self.rules(layers))
    }

    fn rules(&self, layers: usize) -> Vec<Rename> {
        let rule = |from: &str, to: &str| Rename::new(format!("{}{from}", self.prefix), to);
        let turned = rule("text_projection", "text_projection.weight").taking(Take::Transposed);
        if let Naming::Transformers(_) = self.naming {
            let mut rules = vec![rule("", "")];
            // Some files have OpenCLIP's projection beside transformers' names.
            if self.shape("text_projection.weight").is_none() {
                rules.push(turned);
            }
            return rules;
        }
        let mut rules = vec![
            rule("token_embedding.", "text_model.embeddings.token_embedding."),
            rule(
                "positional_embedding",
                "text_model.embeddings.position_embedding.weight",
            ),
            rule("ln_final.", "text_model.final_layer_norm."),
        ];
        rules.push(match self.shape("text_projection.weight") {
            Some(_) => rule("text_projection.", "text_projection."),
            None => turned,
        });
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

/// The configuration of a text encoder, also where it stands in that of a whole CLIP.
pub(super) fn of_text(json: &Value) -> Result<ClipConfig> {
    let Some(text) = json.get("text_config").filter(|text| text.is_object()) else {
        return ClipConfig::from_json(json);
    };
    let mut text = text.clone();
    if let (Some(keys), Some(width)) = (text.as_object_mut(), json.get("projection_dim")) {
        keys.insert("projection_dim".to_owned(), width.clone());
    }
    ClipConfig::from_json(&text)
}

//! What may be put on a model, as plain data: LoRAs, which change its weights, ControlNets, which look at a control image
//! beside it, and embeddings, which its text encoders read where a prompt names them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Larger scales than this make no picture of anything.
const MAX_SCALE: f64 = 100.0;

/// How strongly a LoRA or a ControlNet acts: 1 is as it was trained, 0 is not at all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Scale(f64);

impl Scale {
    /// As it was trained.
    pub const ONE: Self = Self(1.0);
}

impl TryFrom<f64> for Scale {
    type Error = String;

    fn try_from(scale: f64) -> Result<Self, String> {
        if scale.abs() <= MAX_SCALE {
            // −0 becomes 0: equal scales have equal bits.
            Ok(Self(scale + 0.0))
        } else {
            Err(format!(
                "a scale is a number from -{MAX_SCALE} to {MAX_SCALE}, found {scale}"
            ))
        }
    }
}

impl From<Scale> for f64 {
    fn from(scale: Scale) -> Self {
        scale.0
    }
}

// No scale is NaN.
impl Eq for Scale {}

impl std::hash::Hash for Scale {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// A LoRA and how strongly it acts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LoraUse {
    /// The file.
    #[serde(with = "crate::files::names")]
    pub file: PathBuf,
    /// How strongly.
    pub scale: Scale,
    /// Whether it acts at all.
    pub on: bool,
}

/// What a ControlNet looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlImage {
    /// Canny edges of the working picture.
    Canny,
    /// A picture made elsewhere (depth, edges of another kind), resized to the working size.
    Picture(#[serde(with = "crate::files::names")] PathBuf),
}

/// A ControlNet, what it looks at and how strongly it acts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ControlUse {
    /// Its folder, with `config.json` and weights, or its name on the hub.
    #[serde(with = "crate::files::names")]
    pub net: PathBuf,
    /// What it looks at.
    pub image: ControlImage,
    /// How strongly.
    pub scale: Scale,
    /// Whether it acts at all.
    pub on: bool,
}

/// A textual-inversion embedding.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EmbeddingUse {
    /// The file.
    pub file: PathBuf,
    /// What stands for it in a prompt; none: what the file says, else its name without the ending.
    #[serde(default)]
    pub token: Option<String>,
    /// Whether it is known to the text encoders at all.
    pub on: bool,
}

/// Everything that is put on a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Adapters {
    /// LoRAs; their changes add up.
    #[serde(default)]
    pub loras: Vec<LoraUse>,
    /// ControlNets; what they say is summed.
    #[serde(default)]
    pub controls: Vec<ControlUse>,
    /// Embeddings that a prompt can name.
    #[serde(default)]
    pub embeddings: Vec<EmbeddingUse>,
}

impl Adapters {
    /// Those that change anything. Requests with the same of them give the same numbers.
    pub fn acting(&self) -> Self {
        let acts = |on: bool, scale: Scale| on && scale.0 != 0.0;
        Self {
            loras: self
                .loras
                .iter()
                .filter(|lora| acts(lora.on, lora.scale))
                .cloned()
                .collect(),
            controls: self
                .controls
                .iter()
                .filter(|net| acts(net.on, net.scale))
                .cloned()
                .collect(),
            embeddings: self
                .embeddings
                .iter()
                .filter(|embedding| embedding.on)
                .cloned()
                .collect(),
        }
    }

    /// Whether nothing is put on the model.
    pub fn is_empty(&self) -> bool {
        self.loras.is_empty() && self.controls.is_empty() && self.embeddings.is_empty()
    }
}

/// What acted, as outputs record it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The LoRAs.
    #[serde(default)]
    pub loras: Vec<AppliedLora>,
    /// The ControlNets.
    #[serde(default)]
    pub controls: Vec<ControlUse>,
    /// The embeddings.
    #[serde(default)]
    pub embeddings: Vec<AppliedEmbedding>,
}

/// An embedding that the text encoders knew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedEmbedding {
    /// The file.
    pub file: PathBuf,
    /// What stands for it in a prompt.
    pub token: String,
    /// How many tokens it takes there.
    pub vectors: usize,
    /// Whether the prompt names it; otherwise it changed nothing.
    pub in_prompt: bool,
}

/// A LoRA that acted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedLora {
    /// The file.
    #[serde(with = "crate::files::names")]
    pub file: PathBuf,
    /// How strongly.
    pub scale: Scale,
    /// Layers it changed.
    pub layers: usize,
    /// What of it was not used, in words.
    pub unused: Option<String>,
}

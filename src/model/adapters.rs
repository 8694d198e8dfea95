//! Adapters of a model, as plain data: LoRAs, which change its weights, ControlNets, which read a control image
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

/// Control image of a ControlNet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
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
    /// Its control image.
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
    #[serde(with = "crate::files::names")]
    pub file: PathBuf,
    /// Its token in a prompt; none: the file's own, else its name without the ending.
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
    /// ControlNets; their residuals are summed.
    #[serde(default)]
    pub controls: Vec<ControlUse>,
    /// Embeddings that a prompt can name.
    #[serde(default)]
    pub embeddings: Vec<EmbeddingUse>,
}

impl Adapters {
    /// Those that change anything. Requests with the same of them give the same numbers.
    pub(crate) fn acting(&self) -> Self {
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

/// The adapters that acted, as outputs record them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AppliedAdapters {
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
    #[serde(with = "crate::files::names")]
    pub file: PathBuf,
    /// Its token in a prompt.
    pub token: String,
    /// How many tokens it takes there.
    pub vectors: usize,
    /// Whether the prompt names it; otherwise it changed nothing.
    pub in_prompt: bool,
}

/// A LoRA that acted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppliedLora {
    /// The file.
    #[serde(with = "crate::files::names")]
    pub file: PathBuf,
    /// Requested scale.
    pub scale: Scale,
    /// Layers it changed.
    pub layers: usize,
    /// Kinds of adapter in it.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// By what the file's factors were multiplied besides, alpha / rank: the smallest and the largest of all layers; none
    /// where it has no factors.
    #[serde(default)]
    pub factors: Option<[f64; 2]>,
    /// Where these were found.
    #[serde(default)]
    pub factors_from: Option<String>,
}

impl AppliedLora {
    /// Describes kind and scale, for people: "LoRA on 96 layers, acts at 2 = 0.5 × 4 (alpha 16 / rank 4 …)".
    pub fn describe(&self) -> String {
        let layers = if self.layers == 1 { "layer" } else { "layers" };
        let kinds = self.kinds.join(", ");
        let scale = f64::from(self.scale);
        let acts = match self.factors {
            None => format!("{scale}"),
            Some([least, most]) if least == most => format!("{} = {scale} × {}", short(scale * least), short(least)),
            Some(range) => {
                let [least, most] = range.map(short);
                let [lower, upper] = range.map(|factor| short(scale * factor));
                format!("{lower} to {upper} = {scale} × {least} to {most}")
            }
        };
        let from = self
            .factors_from
            .as_ref()
            .map_or(String::new(), |from| format!(" ({from})"));
        format!("{kinds} on {} {layers}, acts at {acts}{from}", self.layers)
    }
}

/// A number with as many digits as people care for.
fn short(number: f64) -> f64 {
    const DIGITS: f64 = 1e4;
    let rounded = (number * DIGITS).round() / DIGITS;
    // A number that would be rounded away is written in full.
    if rounded == 0.0 { number } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_that_acts_is_told() -> Result<(), String> {
        let mut lora = AppliedLora {
            file: "x".into(),
            scale: Scale::try_from(0.5)?,
            layers: 96,
            kinds: vec!["LoRA".to_owned()],
            factors: Some([4.0; 2]),
            factors_from: Some("alpha 16 / rank 4 by adapter_config.json".to_owned()),
        };
        assert_eq!(
            lora.describe(),
            "LoRA on 96 layers, acts at 2 = 0.5 × 4 (alpha 16 / rank 4 by adapter_config.json)"
        );
        lora.factors = Some([1.0 / 3.0, 2.0]);
        lora.factors_from = None;
        assert_eq!(
            lora.describe(),
            "LoRA on 96 layers, acts at 0.1667 to 1 = 0.5 × 0.3333 to 2"
        );
        lora.factors = None;
        lora.layers = 1;
        assert_eq!(lora.describe(), "LoRA on 1 layer, acts at 0.5");
        Ok(())
    }

    /// Files of every kind, of any name.
    #[cfg(unix)]
    #[test]
    fn adapters_are_written_and_read_back_whatever_their_files_are_called() -> serde_json::Result<()> {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let path = PathBuf::from(OsStr::from_bytes(b"b\xe9"));
        let adapters = Adapters {
            loras: vec![LoraUse {
                file: path.clone(),
                scale: Scale::ONE,
                on: true,
            }],
            controls: vec![ControlUse {
                net: path.clone(),
                image: ControlImage::Picture(path.clone()),
                scale: Scale::ONE,
                on: true,
            }],
            embeddings: vec![EmbeddingUse {
                file: path,
                token: None,
                on: true,
            }],
        };
        let written = serde_json::to_string(&adapters)?;
        assert_eq!(serde_json::from_str::<Adapters>(&written)?, adapters);
        Ok(())
    }
}

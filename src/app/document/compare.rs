//! What is compared as A and B: two of any layers, timesteps, seeds, models and pictures.

use serde::{Deserialize, Serialize};

use crate::{
    activation::Id,
    engine::{ImageSlot, PictureSource, RunSettings},
};

/// What is compared and how it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CompareChoice {
    /// A and B.
    pub sides: [CompareSide; 2],
    /// What is shown of them.
    pub mode: CompareMode,
    /// Where A ends and B begins, as a share of the width.
    pub divider: f32,
}

impl Default for CompareChoice {
    fn default() -> Self {
        let shown = |slot| CompareSide {
            pass: PassChoice::Shown(slot),
            layer: None,
        };
        Self {
            sides: [shown(ImageSlot::A), shown(ImageSlot::B)],
            mode: CompareMode::default(),
            divider: 0.5,
        }
    }
}

/// What is shown of two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompareMode {
    /// The colours of A, those of B, and how much they differ at each position, side by side.
    #[default]
    Side,
    /// The colours of A left of the divider, those of B right of it.
    Wipe,
    /// How much they differ at each position.
    Difference,
}

/// One side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompareSide {
    /// The pass.
    pub pass: PassChoice,
    /// The activation; none: the current one.
    #[serde(default)]
    pub layer: Option<Id>,
}

/// The pass of a side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PassChoice {
    /// The one that a picture is shown from: it follows model and settings.
    Shown(ImageSlot),
    /// One that was kept.
    Kept(Box<PassRef>),
}

/// What a pass was of: enough to find it again, or to run it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassRef {
    /// The model, as the user named it.
    pub model: String,
    /// The slot the picture was in.
    pub slot: ImageSlot,
    /// The picture.
    pub source: PictureSource,
    /// Tells pictures of other pixels apart.
    pub fingerprint: u64,
    /// What it ran with.
    pub settings: RunSettings,
}

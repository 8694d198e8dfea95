//! What messages name: pictures, passes, kinds of tasks.

use serde::{Deserialize, Serialize};

/// The place of an open picture: A, B, C and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageSlot(u8);

/// The letters that slots are called by.
const SLOT_NAMES: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

impl ImageSlot {
    /// The first picture: the one a fresh window's queries are put to.
    pub const A: Self = Self(0);
    /// The second picture.
    pub const B: Self = Self(1);
    /// How many there can be.
    pub const MOST: usize = SLOT_NAMES.len();

    /// Every slot, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::MOST as u8).map(Self)
    }

    /// The slot of a place, counted from 0.
    pub fn nth(index: usize) -> Option<Self> {
        (index < Self::MOST).then_some(Self(index as u8))
    }

    /// Its letter.
    pub fn name(self) -> &'static str {
        &SLOT_NAMES[self.index()..=self.index()]
    }

    /// Its place, counted from 0.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<String> for ImageSlot {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::all()
            .find(|slot| slot.name() == name)
            .ok_or_else(|| format!("a picture is called by a letter from A to Z, found \"{name}\""))
    }
}

impl From<ImageSlot> for String {
    fn from(slot: ImageSlot) -> Self {
        slot.name().to_owned()
    }
}

/// Number of a pass whose activations are kept: one picture, one model, one set of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PassId(pub u64);

/// A kind of task, for progress and errors: it says where they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TaskKind {
    /// Reading a model.
    Model,
    /// Reading a picture.
    Picture(ImageSlot),
    /// Running the model.
    Run,
    /// Computing PCA colours or similarities.
    View,
    /// Comparing many maps.
    Comparison(ComparisonKind),
    /// Writing a file.
    Save,
    /// An extraction.
    Extract {
        /// Its job.
        job: u64,
    },
    /// A study.
    Study {
        /// Its job.
        job: u64,
    },
    /// Looking which models are on this machine.
    Shelf,
    /// Asking for a model on the hub, or downloading it.
    Download {
        /// Its job.
        job: u64,
    },
}

/// The kinds of comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ComparisonKind {
    /// One activation of several passes of a picture.
    Strip,
    /// CKA of many activations.
    Cka,
    /// Content shift.
    Shift,
}

//! Pages: named arrangements of panes, one for each kind of work.

use serde::{Deserialize, Serialize};

/// A page. Each has panes of its own, which are kept while another is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Page {
    /// Pictures, colours and heat maps: which place corresponds to which.
    #[default]
    Correspond,
    /// Every activation, measured.
    Layers,
    /// Two of layers, timesteps, seeds, models or pictures.
    Compare,
    /// Activations by how well they find marked points again.
    Rank,
    /// One activation over timesteps or seeds.
    Timesteps,
    /// How alike activations, timesteps or models are.
    Cka,
}

impl Page {
    /// Every page, from left to right.
    pub const ALL: [Self; 6] = [
        Self::Correspond,
        Self::Layers,
        Self::Compare,
        Self::Rank,
        Self::Timesteps,
        Self::Cka,
    ];

    /// What its tab says.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Correspond => "Correspond",
            Self::Layers => "Layers",
            Self::Compare => "Compare",
            Self::Rank => "Rank",
            Self::Timesteps => "Timesteps",
            Self::Cka => "CKA",
        }
    }

    /// What the action is called that shows it.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Correspond => "Page: Correspond",
            Self::Layers => "Page: Layers",
            Self::Compare => "Page: Compare",
            Self::Rank => "Page: Rank",
            Self::Timesteps => "Page: Timesteps",
            Self::Cka => "Page: CKA",
        }
    }

    /// What it is for, in one sentence.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Correspond => "Point at a picture: what is similar lights up in the others.",
            Self::Layers => "Every activation of the network, measured: noise, locality, granularity.",
            Self::Compare => "Two of layers, timesteps, seeds, models or pictures, and where they differ.",
            Self::Rank => "Which activation finds marked points again best.",
            Self::Timesteps => "The layer at several timesteps or seeds, and how far it moves from the picture.",
            Self::Cka => "How alike activations, timesteps or models are, by linear CKA.",
        }
    }
}

//! The names of a U-Net's activations: where in the network, and which tensor there.

use std::fmt;

use crate::{
    activation::{Id, Kind, Name, Stage},
    components::vit_block::VitPart,
};

/// Where in the network an activation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The network's own input or output (`unet-…`).
    Network,
    /// A level of the down stage, 0 on the widest grid; samplers have no repeat.
    Down { level: u16, repeat: Option<u16> },
    /// The middle; only its resnets have a repeat.
    Mid { repeat: Option<u16> },
    /// A level of the up stage, 0 the deepest; samplers have no repeat.
    Up { level: u16, repeat: Option<u16> },
}

impl Place {
    /// Where in the network it is.
    pub fn stage(self, leaf: Leaf) -> Stage {
        match (self, leaf) {
            (Self::Network, Leaf::Out) => Stage::Output,
            (Self::Network, _) => Stage::Input,
            (Self::Down { .. }, _) => Stage::Down,
            (Self::Mid { .. }, _) => Stage::Mid,
            (Self::Up { .. }, _) => Stage::Up,
        }
    }

    fn titles(self) -> Vec<String> {
        let (level, repeat) = match self {
            Self::Network => return Vec::new(),
            Self::Mid { .. } => return vec!["mid".to_owned()],
            Self::Down { level, repeat } => (format!("down level {level}"), repeat),
            Self::Up { level, repeat } => (format!("up level {level}"), repeat),
        };
        let repeat = repeat.map(|repeat| format!("repeat {repeat}"));
        [Some(level), repeat].into_iter().flatten().collect()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repeat_suffix = |repeat: &Option<u16>| repeat.map(|r| format!("-repeat{r}")).unwrap_or_default();
        match self {
            Self::Network => f.write_str("unet"),
            Self::Down { level, repeat } => write!(f, "down-level{level}{}", repeat_suffix(repeat)),
            Self::Mid { repeat } => write!(f, "mid{}", repeat_suffix(repeat)),
            Self::Up { level, repeat } => write!(f, "up-level{level}{}", repeat_suffix(repeat)),
        }
    }
}

/// Which tensor at its place an activation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    /// Input of the first convolution.
    In,
    /// Output of the first convolution.
    AfterConvIn,
    /// Output of the network.
    Out,
    /// Residual branch of a resnet, before the shortcut is added.
    ResIncrement,
    /// Shortcut plus increment.
    ResOut,
    /// Output of a whole transformer, its input added.
    VitOut,
    /// A tensor inside a transformer block.
    Vit { block: u16, part: VitPart },
    /// Output of a downsampler.
    DownsamplerOut,
    /// Output of an upsampler, on the next level's grid.
    UpsamplerOut,
}

impl Leaf {
    /// Role of its tensor.
    pub fn kind(self) -> Kind {
        match self {
            Self::In => Kind::Input,
            Self::Out => Kind::Output,
            Self::AfterConvIn | Self::ResOut | Self::VitOut | Self::DownsamplerOut | Self::UpsamplerOut => {
                Kind::BlockOutput
            }
            Self::ResIncrement => Kind::ResidualBranch,
            Self::Vit { part, .. } => part.kind(Kind::LayerOutput),
        }
    }

    /// The last words of its name, wherever it is; of a block inside a transformer without its number.
    pub fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::AfterConvIn => "after-conv-in",
            Self::Out => "out",
            Self::ResIncrement => "res-increment",
            Self::ResOut => "res-out",
            Self::VitOut => "vit-out",
            Self::Vit { part: VitPart::Out, .. } => "block-out",
            Self::Vit { part, .. } => part.word(),
            Self::DownsamplerOut => "downsampler-out",
            Self::UpsamplerOut => "upsampler-out",
        }
    }
}

/// The name of an activation.
pub(super) fn id(place: Place, leaf: Leaf) -> Id {
    Id::made(&match leaf {
        Leaf::Vit { block, part } => format!("{place}-vit-block{block}-{}", part.word()),
        leaf => format!("{place}-{}", leaf.word()),
    })
}

/// Whether an activation lies in a level of the up stage.
pub(super) fn is_of_up_level(id: Id, level: u16) -> bool {
    id.as_str().starts_with(&format!("up-level{level}-"))
}

/// The groups that an activation lies in, and its name inside them.
pub(super) fn group_and_label(place: Place, leaf: Leaf) -> (Name, Name) {
    let mut titles = place.titles();
    let label = match (place, leaf) {
        (_, Leaf::Vit { block, part }) => {
            titles.push(format!("vit block {block}"));
            Name::of(part.word())
        }
        (Place::Network, _) => Name::of(id(place, leaf).as_str()),
        (Place::Mid { repeat: Some(repeat) }, _) => Name::made(&format!("repeat {repeat} {}", leaf.word())),
        _ => Name::of(leaf.word()),
    };
    (Name::made(&titles.join("/")), label)
}

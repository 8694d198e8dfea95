//! The names of the U-Net's activations: where in the network, and which tensor there.

use std::fmt;

use crate::activation::{Id, Kind, Name, Stage};

/// Where in the network an activation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The network's own input or output (`unet-…`).
    Network,
    /// A level of the down stage, 0 on the widest grid; samplers have no repeat.
    Down { level: u16, repeat: Option<u16> },
    /// A resnet of the middle.
    Mid { repeat: u16 },
    /// A level of the up stage, 0 the deepest; samplers have no repeat.
    Up { level: u16, repeat: Option<u16> },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = |repeat: &Option<u16>, sampler: &str| {
            repeat.map_or_else(|| sampler.to_owned(), |repeat| format!("repeat{repeat}-res"))
        };
        match self {
            Self::Network => f.write_str("unet"),
            Self::Down { level, repeat } => write!(f, "down-level{level}-{}", within(repeat, "downsampler")),
            Self::Mid { repeat } => write!(f, "mid-repeat{repeat}-res"),
            Self::Up { level, repeat } => write!(f, "up-level{level}-{}", within(repeat, "upsampler")),
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
    /// Residual branch of a resnet, before the shortcut is added.
    Increment,
    /// Output of the network, or of a resnet: shortcut plus increment, before attention.
    Out,
}

impl Leaf {
    fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::AfterConvIn => "after-conv-in",
            Self::Increment => "increment",
            Self::Out => "out",
        }
    }
}

/// The name of an activation.
pub(super) fn id(place: Place, leaf: Leaf) -> Id {
    Id::made(&format!("{place}-{}", leaf.word()))
}

/// Whether an activation lies in a level of the up stage.
pub(super) fn is_of_up_level(id: Id, level: u16) -> bool {
    id.as_str().starts_with(&format!("up-level{level}-"))
}

/// Where in the network an activation is.
pub(super) fn stage(place: Place, leaf: Leaf) -> Stage {
    match (place, leaf) {
        (Place::Network, Leaf::Out) => Stage::Output,
        (Place::Network, _) => Stage::Input,
        (Place::Down { .. }, _) => Stage::Down,
        (Place::Mid { .. }, _) => Stage::Mid,
        (Place::Up { .. }, _) => Stage::Up,
    }
}

/// Role of its tensor.
pub(super) fn kind(place: Place, leaf: Leaf) -> Kind {
    match (place, leaf) {
        (_, Leaf::In) => Kind::Input,
        (Place::Network, Leaf::Out) => Kind::Output,
        (_, Leaf::Increment) => Kind::ResidualBranch,
        (_, Leaf::AfterConvIn | Leaf::Out) => Kind::BlockOutput,
    }
}

/// The groups that an activation lies in, the part of its name that does not depend on its block, and its name inside its group.
pub(super) fn group_word_label(place: Place, leaf: Leaf) -> (Name, Name, Name) {
    let (group, prefix) = match place {
        Place::Network => (String::new(), ""),
        Place::Mid { .. } => ("mid".to_owned(), "res-"),
        Place::Down { level, repeat: None } => (format!("down level {level}"), "downsampler-"),
        Place::Up { level, repeat: None } => (format!("up level {level}"), "upsampler-"),
        Place::Down {
            level,
            repeat: Some(repeat),
        } => (format!("down level {level}/repeat {repeat}"), "res-"),
        Place::Up {
            level,
            repeat: Some(repeat),
        } => (format!("up level {level}/repeat {repeat}"), "res-"),
    };
    let word = Name::made(&format!("{prefix}{}", leaf.word()));
    let label = match place {
        Place::Network => Name::of(id(place, leaf).as_str()),
        Place::Mid { repeat } => Name::made(&format!("repeat {repeat} {prefix}{}", leaf.word())),
        _ => word,
    };
    (Name::made(&group), word, label)
}

//! The names of an encoder's activations: `vit-block0-q`.

use crate::activation::{Id, Kind, MapOf};

/// The patches with their positions, before the first block.
pub(super) const INPUT: &str = "vit-in";
/// The last norm of every token.
pub(super) const LAST_NORM: &str = "vit-norm-out";

/// A tensor of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Query, with its bias, before the head split and any turning by positions.
    Q,
    /// Key.
    K,
    /// Value.
    V,
    /// Softmax over all tokens, every head.
    SelfMap,
    /// Behind the projection, before the scale of the branch.
    AttnOut,
    /// Inside the feed-forward, behind its nonlinearity or gate.
    FfnInner,
    /// Behind both residuals.
    Out,
}

impl Part {
    /// In execution order.
    pub(super) const ALL: [Self; 7] = [
        Self::Q,
        Self::K,
        Self::V,
        Self::SelfMap,
        Self::AttnOut,
        Self::FfnInner,
        Self::Out,
    ];

    /// The last word of its name.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Q => "q",
            Self::K => "k",
            Self::V => "v",
            Self::SelfMap => "self-map",
            Self::AttnOut => "attn-out",
            Self::FfnInner => "ffn-inner",
            Self::Out => "out",
        }
    }

    /// Its name in a block.
    pub(super) fn id(self, block: u16) -> Id {
        Id::made(&format!("vit-block{block}-{}", self.word()))
    }

    /// Role of its tensor.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Q => Kind::Query,
            Self::K => Kind::Key,
            Self::V => Kind::Value,
            Self::SelfMap => Kind::SelfMap,
            Self::AttnOut => Kind::AttentionOutput,
            Self::FfnInner => Kind::MlpHidden,
            Self::Out => Kind::BlockOutput,
        }
    }

    /// Of the map, what it is made of. Its rows cannot be made of queries and keys of the patches alone: the class token and
    /// registers take part in the softmax.
    pub(super) fn map_of(self, block: u16) -> Option<MapOf> {
        (self == Self::SelfMap).then(|| MapOf {
            queries: Self::Q.id(block),
            keys: None,
        })
    }
}

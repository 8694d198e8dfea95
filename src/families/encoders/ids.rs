//! The names of an encoder's activations: `vit-block0-q`.

use super::config::EncoderConfig;
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
    /// Query as it enters the products, turned by positions. Offered beside the list, as what rows are made of.
    MapQ,
    /// Key as it enters the products. Offered beside the list.
    MapK,
    /// Logarithm of the sum that a row is divided by, for each head, over all tokens. Offered beside the list.
    MapSums,
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
    /// Those of an encoder in execution order.
    pub(super) fn of(config: &EncoderConfig) -> impl Iterator<Item = Self> + use<> {
        let turns = turns(config);
        let has_sums = config.special_tokens() > 0;
        let all = [
            (Self::Q, true),
            (Self::K, true),
            (Self::V, true),
            (Self::MapQ, turns),
            (Self::MapK, turns),
            (Self::MapSums, has_sums),
            (Self::SelfMap, true),
            (Self::AttnOut, true),
            (Self::FfnInner, true),
            (Self::Out, true),
        ];
        all.into_iter().filter(|(_, is_there)| *is_there).map(|(part, _)| part)
    }

    /// The last word of its name.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Q => "q",
            Self::K => "k",
            Self::V => "v",
            Self::MapQ => "map-q",
            Self::MapK => "map-k",
            Self::MapSums => "map-sums",
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
            Self::Q | Self::MapQ => Kind::Query,
            Self::K | Self::MapK => Kind::Key,
            Self::V => Kind::Value,
            Self::MapSums => Kind::Norm,
            Self::SelfMap => Kind::SelfMap,
            Self::AttnOut => Kind::AttentionOutput,
            Self::FfnInner => Kind::MlpHidden,
            Self::Out => Kind::BlockOutput,
        }
    }

    /// Whether it is offered beside the list.
    pub(super) fn is_extra(self) -> bool {
        matches!(self, Self::MapQ | Self::MapK | Self::MapSums)
    }

    /// Of the map, what its rows are made of.
    pub(super) fn map_of(self, config: &EncoderConfig, block: u16) -> Option<MapOf> {
        let (queries, keys) = match turns(config) {
            true => (Self::MapQ, Self::MapK),
            false => (Self::Q, Self::K),
        };
        (self == Self::SelfMap).then(|| MapOf {
            queries: queries.id(block),
            keys: Some(keys.id(block)),
        })
    }

    /// Of the map, the sums that its rows are divided by: tokens without a position take part in the softmax.
    pub(super) fn row_sums(self, config: &EncoderConfig, block: u16) -> Option<Id> {
        (self == Self::SelfMap && config.special_tokens() > 0).then(|| Self::MapSums.id(block))
    }
}

/// Whether queries and keys are turned by positions before their products.
fn turns(config: &EncoderConfig) -> bool {
    !config.kind.has_position_table()
}

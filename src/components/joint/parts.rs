//! What a block of joint attention shows of the picture's stream: the words of its ids, and their taps.

use candle_core::Tensor;

use crate::{
    activation::{Catalogue, Id, Kind, MapOf, Probe, Stop, Tap},
    error::{Error, Result},
    geometry::Grid,
};

/// A tensor of such a block, in the order of execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JointPart {
    /// LN(x)·(1 + scale) + shift: the input of q, k and v. Offered beside the list.
    Norm1Out,
    /// The same of an input whose massive channels are 0. Offered beside the list.
    Norm1DropMassive,
    /// Query of the picture, before its norm and rotation.
    Q,
    /// Key of the picture, before its norm and rotation.
    K,
    /// Value of the picture.
    V,
    /// Query as it enters the products. Offered beside the list, as what rows are made of.
    MapQ,
    /// Key as it enters the products. Offered beside the list.
    MapK,
    /// Logarithm of the sum that a row is divided by, for each head. Offered beside the list.
    MapSums,
    /// The picture's rows of the joint softmax: columns of the text.
    CrossMap,
    /// The same rows: columns of the picture.
    SelfMap,
    /// Attention of the picture's tokens, before the gate.
    AttnOut,
    /// Query of the second attention, of the picture alone.
    Attn2Q,
    /// Its key.
    Attn2K,
    /// Its value.
    Attn2V,
    /// Its query as it enters the products. Offered beside the list.
    Attn2MapQ,
    /// Its key as it enters the products. Offered beside the list.
    Attn2MapK,
    /// Its softmax.
    Attn2Map,
    /// Its output, before the gate.
    Attn2Out,
    /// LN(x)·(1 + scale) + shift before the feed-forward part.
    NormOut,
    /// Inside the feed-forward part, behind its nonlinearity.
    FfnInner,
    /// Output of the block.
    Out,
}

impl JointPart {
    /// All of them, in the order of execution.
    pub(crate) const ALL: [Self; 21] = [
        Self::Norm1Out,
        Self::Norm1DropMassive,
        Self::Q,
        Self::K,
        Self::V,
        Self::MapQ,
        Self::MapK,
        Self::MapSums,
        Self::CrossMap,
        Self::SelfMap,
        Self::AttnOut,
        Self::Attn2Q,
        Self::Attn2K,
        Self::Attn2V,
        Self::Attn2MapQ,
        Self::Attn2MapK,
        Self::Attn2Map,
        Self::Attn2Out,
        Self::NormOut,
        Self::FfnInner,
        Self::Out,
    ];

    /// The last words of its name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Norm1Out => "norm1-out",
            Self::Norm1DropMassive => "norm1-drop-massive",
            Self::Q => "q",
            Self::K => "k",
            Self::V => "v",
            Self::MapQ => "map-q",
            Self::MapK => "map-k",
            Self::MapSums => "map-sums",
            Self::CrossMap => "cross-map",
            Self::SelfMap => "self-map",
            Self::AttnOut => "attn-out",
            Self::Attn2Q => "attn2-q",
            Self::Attn2K => "attn2-k",
            Self::Attn2V => "attn2-v",
            Self::Attn2MapQ => "attn2-map-q",
            Self::Attn2MapK => "attn2-map-k",
            Self::Attn2Map => "attn2-map",
            Self::Attn2Out => "attn2-out",
            Self::NormOut => "norm-out",
            Self::FfnInner => "ffn-inner",
            Self::Out => "out",
        }
    }

    /// Role of its tensor.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Q | Self::MapQ | Self::Attn2Q | Self::Attn2MapQ => Kind::Query,
            Self::K | Self::MapK | Self::Attn2K | Self::Attn2MapK => Kind::Key,
            Self::V | Self::Attn2V => Kind::Value,
            Self::CrossMap => Kind::CrossMap,
            Self::SelfMap | Self::Attn2Map => Kind::SelfMap,
            Self::AttnOut | Self::Attn2Out => Kind::AttentionOutput,
            Self::Norm1Out | Self::Norm1DropMassive | Self::MapSums | Self::NormOut => Kind::Norm,
            Self::FfnInner => Kind::MlpHidden,
            Self::Out => Kind::BlockOutput,
        }
    }

    /// Whether it is offered beside the list.
    pub(crate) fn is_extra(self) -> bool {
        matches!(
            self,
            Self::Norm1Out
                | Self::Norm1DropMassive
                | Self::MapQ
                | Self::MapK
                | Self::MapSums
                | Self::Attn2MapQ
                | Self::Attn2MapK
        )
    }

    /// Whether it belongs to the attention of the picture to itself alone.
    pub(crate) fn is_of_second_attention(self) -> bool {
        matches!(
            self,
            Self::Attn2Q
                | Self::Attn2K
                | Self::Attn2V
                | Self::Attn2MapQ
                | Self::Attn2MapK
                | Self::Attn2Map
                | Self::Attn2Out
        )
    }

    /// Of a map, what its rows are made of; the text's keys are no activation.
    pub(crate) fn map_of(self, block: u16) -> Option<MapOf> {
        let (queries, keys) = match self {
            Self::CrossMap => (Self::MapQ, None),
            Self::SelfMap => (Self::MapQ, Some(Self::MapK)),
            Self::Attn2Map => (Self::Attn2MapQ, Some(Self::Attn2MapK)),
            _ => return None,
        };
        Some(MapOf {
            queries: id(block, queries),
            keys: keys.map(|keys| id(block, keys)),
        })
    }

    /// Of a map, the sums that its rows are divided by: those of a joint softmax are not of its columns alone.
    pub(crate) fn row_sums(self, block: u16) -> Option<Id> {
        (self == Self::SelfMap).then(|| id(block, Self::MapSums))
    }
}

/// The name of a tensor of a block: `vit-block0-attn-out`.
pub(crate) fn id(block: u16, part: JointPart) -> Id {
    Id::made(&format!("vit-block{block}-{}", part.word()))
}

/// The taps of one block: none of what it does not have.
#[derive(Debug)]
pub(crate) struct JointTaps([Option<Tap>; JointPart::ALL.len()]);

impl JointTaps {
    /// Those that a list has of a block.
    pub(crate) fn new(block: u16, list: &Catalogue) -> Self {
        Self(JointPart::ALL.map(|part| list.tap(id(block, part))))
    }

    /// The tap of a part.
    pub(crate) fn get(&self, part: JointPart) -> Option<Tap> {
        self.0[part as usize]
    }

    /// The tap of a map that the block has to have.
    pub(crate) fn expect(&self, part: JointPart) -> Result<Tap> {
        let missing = || Error::failed(format!("the list of activations lacks \"{}\" of a block", part.word()));
        self.get(part).ok_or_else(missing)
    }

    /// Meets tokens (B, h·w, C), where the block shows them; gives them back.
    pub(crate) fn visit(
        &self,
        probe: &mut Probe<'_>,
        part: JointPart,
        tokens: Tensor,
        grid: Grid,
    ) -> Result<Tensor, Stop> {
        match self.get(part) {
            Some(tap) => probe.visit_tokens(tap, tokens, grid),
            None => Ok(tokens),
        }
    }

    /// Meets what is made only to be looked at.
    pub(crate) fn visit_made(
        &self,
        probe: &mut Probe<'_>,
        part: JointPart,
        grid: Grid,
        make: impl FnOnce() -> candle_core::Result<Tensor>,
    ) -> Result<(), Stop> {
        match self.get(part) {
            Some(tap) if probe.wants(tap) => probe.visit_tokens(tap, make()?, grid).map(drop),
            Some(tap) => probe.passed(tap),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_place_and_only_maps_end_as_maps_do() {
        for (place, part) in JointPart::ALL.into_iter().enumerate() {
            assert_eq!(part as usize, place, "{part:?}");
            assert_eq!(id(0, part).is_map(), part.map_of(0).is_some(), "{part:?}");
        }
    }
}

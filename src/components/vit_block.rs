//! Taps of a transformer block with self-attention and attention to text: the words of its ids, and their taps.

use candle_core::{Result as CandleResult, Tensor};

use crate::{
    activation::{Id, Kind, MapOf, Probe, Stop, Tap},
    components::massive::without_massive,
    error::Result,
    geometry::Grid,
    nn::attention::join_heads,
};

/// A tensor of such a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VitPart {
    /// The norm before the self-attention, scaled and shifted: the input of its query, key and value. Offered beside the list.
    Norm1Out,
    /// The same of an input whose massive channels are 0. Offered beside the list.
    Norm1DropMassive,
    /// Query of the self-attention, before the head split and any scaling.
    SelfQ,
    /// Key of the self-attention.
    SelfK,
    /// Value of the self-attention.
    SelfV,
    /// Query of the self-attention as it enters the products, where it is normed or turned before. Offered beside the list.
    MapQ,
    /// Its key as it enters the products. Offered beside the list.
    MapK,
    /// Softmax of the self-attention, every head.
    SelfMap,
    /// Query of the cross-attention.
    CrossQ,
    /// Softmax of the cross-attention over the text tokens, every head; columns of tokens that are masked are 0.
    CrossMap,
    /// Inside the feed-forward, behind its nonlinearity.
    FfnInner,
    /// Output of the block.
    Out,
}

impl VitPart {
    /// The last words of its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Norm1Out => "norm1-out",
            Self::Norm1DropMassive => "norm1-drop-massive",
            Self::MapQ => "map-q",
            Self::MapK => "map-k",
            Self::SelfQ => "self-q",
            Self::SelfK => "self-k",
            Self::SelfV => "self-v",
            Self::SelfMap => "self-map",
            Self::CrossQ => "cross-q",
            Self::CrossMap => "cross-map",
            Self::FfnInner => "ffn-inner",
            Self::Out => "out",
        }
    }

    /// Of a map, what it is made of; the keys of the text are no activation. `id` names the tensors of the block.
    pub fn map_of(self, id: impl Fn(Self) -> Id) -> Option<MapOf> {
        let (queries, keys) = match self {
            Self::SelfMap => (Self::SelfQ, Some(Self::SelfK)),
            Self::CrossMap => (Self::CrossQ, None),
            _ => return None,
        };
        Some(MapOf {
            queries: id(queries),
            keys: keys.map(id),
        })
    }

    /// The same of a block whose queries and keys are normed or turned on their way to the products.
    pub fn map_of_turned(self, id: impl Fn(Self) -> Id) -> Option<MapOf> {
        match self {
            Self::SelfMap => Some(MapOf {
                queries: id(Self::MapQ),
                keys: Some(id(Self::MapK)),
            }),
            other => other.map_of(id),
        }
    }

    /// Whether it is offered beside the list.
    pub fn is_extra(self) -> bool {
        matches!(self, Self::Norm1Out | Self::Norm1DropMassive | Self::MapQ | Self::MapK)
    }

    /// Role of its tensor; `out` is that of the block's own output: a network's block, or a layer inside one.
    pub fn kind(self, out: Kind) -> Kind {
        match self {
            Self::Norm1Out | Self::Norm1DropMassive => Kind::Norm,
            Self::SelfQ | Self::MapQ => Kind::Query,
            Self::SelfK | Self::MapK => Kind::Key,
            Self::SelfV => Kind::Value,
            Self::SelfMap => Kind::SelfMap,
            Self::CrossQ => Kind::CrossQuery,
            Self::CrossMap => Kind::CrossMap,
            Self::FfnInner => Kind::MlpHidden,
            Self::Out => out,
        }
    }
}

/// The taps of one block.
#[derive(Debug)]
pub struct VitTaps {
    /// See [`VitPart::SelfQ`].
    pub self_q: Tap,
    /// See [`VitPart::SelfK`].
    pub self_k: Tap,
    /// See [`VitPart::SelfV`].
    pub self_v: Tap,
    /// See [`VitPart::SelfMap`].
    pub self_map: Tap,
    /// See [`VitPart::CrossQ`].
    pub cross_q: Tap,
    /// See [`VitPart::CrossMap`].
    pub cross_map: Tap,
    /// See [`VitPart::FfnInner`].
    pub ffn_inner: Tap,
    /// See [`VitPart::Out`].
    pub out: Tap,
}

impl VitTaps {
    /// The taps that `tap` finds for each tensor.
    ///
    /// # Errors
    ///
    /// Where `tap` finds none.
    pub fn new(tap: impl Fn(VitPart) -> Result<Tap>) -> Result<Self> {
        Ok(Self {
            self_q: tap(VitPart::SelfQ)?,
            self_k: tap(VitPart::SelfK)?,
            self_v: tap(VitPart::SelfV)?,
            self_map: tap(VitPart::SelfMap)?,
            cross_q: tap(VitPart::CrossQ)?,
            cross_map: tap(VitPart::CrossMap)?,
            ffn_inner: tap(VitPart::FfnInner)?,
            out: tap(VitPart::Out)?,
        })
    }
}

/// The taps of what a block offers beside its list: none of what it does not have.
#[derive(Debug)]
pub struct ExtraTaps {
    norm1_out: Option<Tap>,
    norm1_drop_massive: Option<Tap>,
    map_q: Option<Tap>,
    map_k: Option<Tap>,
}

impl ExtraTaps {
    /// The taps that `tap` finds.
    pub fn new(tap: impl Fn(VitPart) -> Option<Tap>) -> Self {
        Self {
            norm1_out: tap(VitPart::Norm1Out),
            norm1_drop_massive: tap(VitPart::Norm1DropMassive),
            map_q: tap(VitPart::MapQ),
            map_k: tap(VitPart::MapK),
        }
    }

    /// Meets the input of query, key and value, which `norm` makes of the block's input `x`, tokens (B, N, D), and gives it back;
    /// and what `norm` makes of `x` without its massive channels, where that is selected.
    ///
    /// # Errors
    ///
    /// As [`Probe::visit`].
    pub(crate) fn visit_norm(
        &self,
        probe: &mut Probe<'_>,
        x: &Tensor,
        norm: impl Fn(&Tensor) -> CandleResult<Tensor>,
        grid: Grid,
    ) -> Result<Tensor, Stop> {
        let normal = match self.norm1_out {
            Some(tap) => probe.visit_tokens(tap, norm(x)?, grid)?,
            None => norm(x)?,
        };
        match self.norm1_drop_massive {
            Some(tap) if probe.wants(tap) => drop(probe.visit_tokens(tap, norm(&without_massive(x)?)?, grid)?),
            Some(tap) => probe.passed(tap)?,
            None => {}
        }
        Ok(normal)
    }

    /// Meets query and key as they enter the products, (B, heads, N, d), whose heads are joined only where they are selected.
    ///
    /// # Errors
    ///
    /// As [`Probe::visit`].
    pub(crate) fn visit_products(&self, probe: &mut Probe<'_>, [q, k]: [&Tensor; 2], grid: Grid) -> Result<(), Stop> {
        for (tap, heads) in [(self.map_q, q), (self.map_k, k)] {
            match tap {
                Some(tap) if probe.wants(tap) => drop(probe.visit_tokens(tap, join_heads(heads)?, grid)?),
                Some(tap) => probe.passed(tap)?,
                None => {}
            }
        }
        Ok(())
    }
}

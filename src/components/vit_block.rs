//! Taps of a transformer block with self-attention and attention to text: the words of its ids, and their taps.

use crate::{
    activation::{Id, Kind, MapOf, Tap},
    error::Result,
};

/// A tensor of such a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VitPart {
    /// Query of the self-attention, before the head split and any scaling.
    SelfQ,
    /// Key of the self-attention.
    SelfK,
    /// Value of the self-attention.
    SelfV,
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

    /// Role of its tensor; `out` is that of the block's own output: a network's block, or a layer inside one.
    pub fn kind(self, out: Kind) -> Kind {
        match self {
            Self::SelfQ => Kind::Query,
            Self::SelfK => Kind::Key,
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

//! The names of a stack's activations: `vit-block0-self-q`.

use crate::activation::{Id, Kind};

/// A tensor of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Query of the self-attention.
    SelfQ,
    /// Key of the self-attention.
    SelfK,
    /// Value of the self-attention.
    SelfV,
    /// Softmax of the self-attention, every head.
    SelfMap,
    /// Query of the attention to the text.
    CrossQ,
    /// Softmax of the attention to the text, every head; columns of padding are 0.
    CrossMap,
    /// Inside the feed-forward, behind its nonlinearity.
    FfnInner,
    /// Output of the block.
    Out,
}

impl Part {
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

    /// What tensor it is.
    pub fn kind(self) -> Kind {
        match self {
            Self::SelfQ => Kind::Query,
            Self::SelfK => Kind::Key,
            Self::SelfV => Kind::Value,
            Self::SelfMap => Kind::SelfMap,
            Self::CrossQ => Kind::CrossQuery,
            Self::CrossMap => Kind::CrossMap,
            Self::FfnInner => Kind::MlpHidden,
            Self::Out => Kind::BlockOutput,
        }
    }
}

/// The name of a tensor of a block.
pub(super) fn id(block: u16, part: Part) -> Id {
    Id::made(&format!("vit-block{block}-{}", part.word()))
}

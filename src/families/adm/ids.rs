//! The names of an ADM's activations: blocks `b1`, `b2`, … in execution order, and what is inside them.

use crate::activation::{Id, Kind};

/// Input of the first convolution.
pub(super) const NETWORK_IN: Id = Id::of("unet-in");
/// The network's output picture.
pub(super) const NETWORK_OUT: Id = Id::of("unet-out");

/// Words of the residual branch and the output of the first and second resnet of a block; none has more.
pub(super) const RESNET_WORDS: [(&str, &str); 2] = [("res-increment", "res-out"), ("res2-increment", "res2-out")];

/// A tensor of an attention block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttnPart {
    /// Query, head split undone, before scaling.
    Q,
    /// Key.
    K,
    /// Value.
    V,
    /// Softmax, every head.
    Map,
    /// After `proj_out`, before the input is added.
    Out,
}

impl AttnPart {
    /// In execution order.
    pub const ALL: [Self; 5] = [Self::Q, Self::K, Self::V, Self::Map, Self::Out];

    /// The last words of its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Q => "attn-q",
            Self::K => "attn-k",
            Self::V => "attn-v",
            Self::Map => "attn-map",
            Self::Out => "attn-out",
        }
    }

    /// Role of its tensor.
    pub fn kind(self) -> Kind {
        match self {
            Self::Q => Kind::Query,
            Self::K => Kind::Key,
            Self::V => Kind::Value,
            Self::Map => Kind::SelfMap,
            Self::Out => Kind::AttentionOutput,
        }
    }
}

pub(super) fn block(number: u16) -> Id {
    Id::made(&format!("b{number}"))
}

/// A tensor inside a block.
pub(super) fn inside(number: u16, word: &str) -> Id {
    Id::made(&format!("b{number}-{word}"))
}

/// Whether an activation is a block's output or inside it.
pub(super) fn is_of(id: Id, number: u16) -> bool {
    let rest = id.as_str().strip_prefix(&format!("b{number}"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

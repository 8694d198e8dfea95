//! The names of a stack's activations: `vit-block0-self-q`.

use crate::{activation::Id, components::vit_block::VitPart};

/// The name of a tensor of a block.
pub(super) fn id(block: u16, part: VitPart) -> Id {
    Id::made(&format!("vit-block{block}-{}", part.word()))
}

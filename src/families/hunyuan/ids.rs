//! The names of a stack's activations: `vit-block0-self-q`.

use crate::{activation::Id, components::vit_block::VitPart};

/// The tensors of a block, in execution order.
pub(super) const PARTS: [VitPart; 12] = [
    VitPart::Norm1Out,
    VitPart::Norm1DropMassive,
    VitPart::SelfQ,
    VitPart::SelfK,
    VitPart::SelfV,
    VitPart::MapQ,
    VitPart::MapK,
    VitPart::SelfMap,
    VitPart::CrossQ,
    VitPart::CrossMap,
    VitPart::FfnInner,
    VitPart::Out,
];

/// The name of a tensor of a block.
pub(super) fn id(block: u16, part: VitPart) -> Id {
    Id::made(&format!("vit-block{block}-{}", part.word()))
}

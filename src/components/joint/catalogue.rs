//! The activations of one block of joint attention, with shapes, facts and costs.

use super::parts::{JointPart, id};
use crate::{
    activation::{Catalogue, CatalogueEntry, Facts, Name, Shape, Stage, attention_cost, linear_cost},
    geometry::Grid,
};

/// What the entries of a block depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockFacts {
    /// Its number, and how many blocks there are.
    pub(crate) block: (u16, u16),
    /// Width D of the tokens.
    pub(crate) width: usize,
    /// Attention heads.
    pub(crate) heads: usize,
    /// Width inside the feed-forward parts.
    pub(crate) inner: usize,
    /// The picture's tokens.
    pub(crate) grid: Grid,
    /// The text's tokens.
    pub(crate) tokens: usize,
}

/// Adds those of `parts` that a block has, in the order of execution.
pub(crate) fn push_block(list: &mut Catalogue, block: BlockFacts, has: impl Fn(JointPart) -> bool) {
    let BlockFacts {
        block: (number, _),
        width,
        heads,
        inner,
        grid,
        tokens,
    } = block;
    let positions = grid.positions();
    let all = positions + tokens;
    let features = |channels| Shape::Features { channels, grid };
    let map = |keys| Shape::Attention {
        heads,
        queries: positions,
        keys,
    };
    let square = linear_cost(all, width, width);
    let square_of_picture = linear_cost(positions, width, width);
    let feed_forward = linear_cost(all, width, inner);
    // A block of one stream has its feed-forward part beside the attention, behind the same norm.
    let has_streams = has(JointPart::NormOut);
    for part in JointPart::ALL.into_iter().filter(|part| has(*part)) {
        let (shape, cost) = match part {
            JointPart::Norm1Out
            | JointPart::Norm1DropMassive
            | JointPart::MapQ
            | JointPart::MapK
            | JointPart::Attn2MapQ
            | JointPart::Attn2MapK => (features(width), 0.0),
            JointPart::MapSums => (features(heads), 0.0),
            JointPart::Q | JointPart::K | JointPart::V => (features(width), square),
            JointPart::CrossMap => (map(tokens), 0.0),
            JointPart::SelfMap => (map(positions), attention_cost(all, all, width)),
            JointPart::AttnOut => (features(width), if has_streams { square } else { 0.0 }),
            JointPart::Attn2Q | JointPart::Attn2K | JointPart::Attn2V | JointPart::Attn2Out => {
                (features(width), square_of_picture)
            }
            JointPart::Attn2Map => (map(positions), attention_cost(positions, positions, width)),
            JointPart::NormOut => (features(width), 0.0),
            JointPart::FfnInner => (features(inner), feed_forward),
            JointPart::Out if has_streams => (features(width), feed_forward),
            JointPart::Out if has(JointPart::FfnInner) => (features(width), feed_forward + square),
            JointPart::Out => (features(width), 2.0 * feed_forward + square),
        };
        list.push(CatalogueEntry {
            id: id(number, part),
            shape,
            facts: Facts {
                block: block.block,
                word: Name::of(part.word()),
                group: Name::made(&format!("block {number}")),
                label: Name::of(part.word()),
                cost,
                map_of: part.map_of(number),
                row_sums: part.row_sums(number),
                is_extra: part.is_extra(),
                ..Facts::new(id(number, part), Stage::Stack, part.kind())
            },
        });
    }
}

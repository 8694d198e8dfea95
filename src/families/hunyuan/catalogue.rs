//! The activations of HunyuanDiT in execution order, from its configuration alone.

use super::{
    config::HunyuanConfig,
    ids::{PARTS, id},
};
use crate::{
    activation::{Catalogue, CatalogueEntry, Facts, Kind, Name, Shape, Stage, attention_cost, linear_cost},
    components::vit_block::VitPart,
    geometry::Grid,
};

/// Every activation of the network for a latent of `latent` rows and columns and `tokens` text tokens.
pub fn catalogue(config: &HunyuanConfig, latent: Grid, tokens: usize) -> Catalogue {
    let mut list = Catalogue::default();
    let grid = config.token_grid(latent);
    let (width, heads, positions) = (config.width(), config.num_attention_heads, grid.positions());
    let square = linear_cost(positions, width, width);
    let inner = config.ffn_width();
    let to_inner = linear_cost(positions, width, inner);
    let features = |channels| Shape::Features { channels, grid };
    let map = |keys| {
        let shape = Shape::Attention {
            heads,
            queries: positions,
            keys,
        };
        (shape, attention_cost(positions, keys, width))
    };
    for block in 0..config.num_layers as u16 {
        for part in PARTS {
            let (shape, cost) = match part {
                // A skip is taken in before the first projection.
                VitPart::SelfQ if config.has_skip(block.into()) => (features(width), 3.0 * square),
                VitPart::Norm1Out | VitPart::Norm1DropMassive | VitPart::MapQ | VitPart::MapK => (features(width), 0.0),
                VitPart::SelfMap => map(positions),
                // The projection behind self-attention lies before the query of the text's.
                VitPart::CrossQ => (features(width), 2.0 * square),
                VitPart::CrossMap => map(tokens),
                VitPart::FfnInner => (features(inner), square + to_inner),
                VitPart::Out => (features(width), to_inner),
                _ => (features(width), square),
            };
            list.push(CatalogueEntry {
                id: id(block, part),
                shape,
                facts: Facts {
                    block: (block, config.num_layers as u16),
                    word: Name::of(part.word()),
                    group: Name::made(&format!("block {block}")),
                    label: Name::of(part.word()),
                    cost,
                    // Queries and keys are normed and turned on their way to the products.
                    map_of: part.map_of_turned(|part| id(block, part)),
                    is_extra: part.is_extra(),
                    ..Facts::new(id(block, part), Stage::Stack, part.kind(Kind::BlockOutput))
                },
            });
        }
    }
    list
}

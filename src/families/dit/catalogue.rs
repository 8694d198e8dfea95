//! The activations of a DiT in execution order, from its configuration alone.

use super::{
    config::DitConfig,
    ids::{PARTS, id},
};
use crate::{
    activation::{Catalogue, CatalogueEntry, Facts, Kind, Name, Shape, Stage, attention_cost, linear_cost},
    components::vit_block::VitPart,
    geometry::Grid,
};

/// Every activation of the network for a latent of `latent` rows and columns.
pub fn catalogue(config: &DitConfig, latent: Grid) -> Catalogue {
    let mut list = Catalogue::default();
    let grid = config.token_grid(latent);
    let (width, heads, positions) = (config.width(), config.num_attention_heads, grid.positions());
    let square = linear_cost(positions, width, width);
    let to_inner = linear_cost(positions, width, config.ffn_width());
    let features = |channels| Shape::Features { channels, grid };
    for block in 0..config.num_layers as u16 {
        let is_there = |part: &VitPart| config.qk_norm || !matches!(part, VitPart::MapQ | VitPart::MapK);
        for part in PARTS.into_iter().filter(is_there) {
            let (shape, cost) = match part {
                VitPart::SelfMap => {
                    let shape = Shape::Attention {
                        heads,
                        queries: positions,
                        keys: positions,
                    };
                    (shape, attention_cost(positions, positions, width))
                }
                VitPart::Norm1Out | VitPart::Norm1DropMassive | VitPart::MapQ | VitPart::MapK => (features(width), 0.0),
                // The projection behind the attention lies before it.
                VitPart::FfnInner => (features(config.ffn_width()), square + to_inner),
                VitPart::Out => (features(width), to_inner),
                _ => (features(width), square),
            };
            let map_of = match config.qk_norm {
                true => part.map_of_turned(|part| id(block, part)),
                false => part.map_of(|part| id(block, part)),
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
                    map_of,
                    is_extra: part.is_extra(),
                    ..Facts::new(id(block, part), Stage::Stack, part.kind(Kind::BlockOutput))
                },
            });
        }
    }
    list
}

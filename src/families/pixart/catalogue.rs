//! The activations of PixArt in execution order, from its configuration alone.

use super::{config::PixArtConfig, ids::id};
use crate::{
    activation::{Catalogue, CatalogueEntry, Facts, Kind, Name, Shape, Stage, attention_cost, linear_cost},
    components::vit_block::VitPart,
    geometry::Grid,
};

/// Every activation of the network for a latent of `latent` rows and columns and `tokens` text tokens.
pub fn catalogue(config: &PixArtConfig, latent: Grid, tokens: usize) -> Catalogue {
    let mut list = Catalogue::default();
    let grid = config.token_grid(latent);
    let (width, heads, positions) = (config.width(), config.num_attention_heads, grid.positions());
    let square = linear_cost(positions, width, width);
    let inner = config.ffn_width();
    let to_inner = linear_cost(positions, width, inner);
    let features = |channels| Shape::Features { channels, grid };
    let map = |keys| Shape::Attention {
        heads,
        queries: positions,
        keys,
    };
    for block in 0..config.num_layers as u16 {
        for (part, shape, cost) in [
            (VitPart::Norm1Out, features(width), 0.0),
            (VitPart::Norm1DropMassive, features(width), 0.0),
            (VitPart::SelfQ, features(width), square),
            (VitPart::SelfK, features(width), square),
            (VitPart::SelfV, features(width), square),
            (
                VitPart::SelfMap,
                map(positions),
                attention_cost(positions, positions, width),
            ),
            // The projection behind self-attention lies before the query of the text's.
            (VitPart::CrossQ, features(width), 2.0 * square),
            (VitPart::CrossMap, map(tokens), attention_cost(positions, tokens, width)),
            (VitPart::FfnInner, features(inner), square + to_inner),
            (VitPart::Out, features(width), to_inner),
        ] {
            list.push(CatalogueEntry {
                id: id(block, part),
                shape,
                facts: Facts {
                    block: (block, config.num_layers as u16),
                    word: Name::of(part.word()),
                    group: Name::made(&format!("block {block}")),
                    label: Name::of(part.word()),
                    cost,
                    map_of: part.map_of(|part| id(block, part)),
                    is_extra: part.is_extra(),
                    ..Facts::new(id(block, part), Stage::Stack, part.kind(Kind::BlockOutput))
                },
            });
        }
    }
    list
}

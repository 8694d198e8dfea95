//! The activations of an encoder in execution order, from its configuration alone.

use super::{
    config::{EncoderConfig, FeedForward},
    ids::{INPUT, LAST_NORM, Part},
};
use crate::{
    activation::{Catalogue, CatalogueEntry, Facts, Id, Kind, Name, Shape, Stage, attention_cost, linear_cost},
    geometry::Grid,
    image::picture::CHANNELS,
};

/// Every activation for a picture of `grid` patches. Maps are over all tokens: those without a place in the picture come first.
/// What their rows are made of is beside the list.
pub fn catalogue(config: &EncoderConfig, grid: Grid) -> Catalogue {
    let mut list = Catalogue::default();
    let (width, inner, positions) = (config.hidden_size, config.intermediate_size, grid.positions());
    let tokens = config.special_tokens() + positions;
    let square = linear_cost(tokens, width, width);
    let to_inner = linear_cost(tokens, width, inner);
    let into = match config.feed_forward {
        FeedForward::Plain => to_inner,
        FeedForward::SwiGlu | FeedForward::Gated => 2.0 * to_inner,
    };
    let features = |channels| Shape::Features { channels, grid };
    let plain = |id: Id, stage, kind, cost| CatalogueEntry {
        id,
        shape: features(width),
        facts: Facts {
            cost,
            ..Facts::new(id, stage, kind)
        },
    };
    let patches = linear_cost(positions, CHANNELS * config.patch_size * config.patch_size, width);
    list.push(plain(Id::of(INPUT), Stage::Input, Kind::Input, patches));
    let blocks = config.num_hidden_layers as u16;
    for block in 0..blocks {
        for part in Part::of(config) {
            let (shape, cost) = match part {
                Part::Q | Part::K | Part::V => (features(width), square),
                Part::MapQ | Part::MapK => (features(width), 0.0),
                Part::MapSums => (features(config.num_attention_heads), 0.0),
                Part::SelfMap => (
                    Shape::Attention {
                        heads: config.num_attention_heads,
                        queries: tokens,
                        keys: tokens,
                    },
                    attention_cost(tokens, tokens, width),
                ),
                Part::AttnOut => (features(width), square),
                Part::FfnInner => (features(inner), into),
                Part::Out => (features(width), to_inner),
            };
            let id = part.id(block);
            list.push(CatalogueEntry {
                id,
                shape,
                facts: Facts {
                    block: (block, blocks),
                    word: Name::of(part.word()),
                    group: Name::made(&format!("block {block}")),
                    label: Name::of(part.word()),
                    cost,
                    map_of: part.map_of(config, block),
                    row_sums: part.row_sums(config, block),
                    is_extra: part.is_extra(),
                    ..Facts::new(id, Stage::Stack, part.kind())
                },
            });
        }
    }
    list.push(plain(Id::of(LAST_NORM), Stage::Output, Kind::Norm, 0.0));
    list
}

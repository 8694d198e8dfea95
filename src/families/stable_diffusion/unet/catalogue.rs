//! The activations of a U-Net in execution order, from its configuration alone.

use super::{
    super::ids::{Leaf, Place, group_and_label, id},
    config::{Middle, UnetConfig, UnetLevel},
};
use crate::{
    activation::{
        Catalogue, CatalogueEntry, Facts, MapOf, Name, Shape, Stage, attention_cost, convolution_cost, linear_cost,
    },
    components::vit_block::VitPart,
    geometry::Grid,
};

/// Channels that a resnet of the up stage takes for each that it gives: it has a skip beside it.
const WITH_SKIP: usize = 2;

/// Every activation of the network for a latent of `latent` rows and columns and `tokens` text tokens.
pub fn catalogue(config: &UnetConfig, latent: Grid, tokens: usize) -> Catalogue {
    let mut list = List::new(config, tokens);
    let grids = config.grids(latent);
    let deepest = grids.last().copied().unwrap_or(latent);
    list.features(Place::Network, Leaf::In, config.in_channels, latent, 0.0);
    list.features(Place::Network, Leaf::AfterConvIn, config.down[0].channels, latent, 0.0);
    for (index, (level, grid)) in (0u16..).zip(config.down.iter().zip(&grids)) {
        for (repeat, blocks) in (0..).zip(&level.transformers) {
            let place = Place::Down {
                level: index,
                repeat: Some(repeat),
            };
            list.resnet(place, level.channels, *grid);
            list.transformer(place, (level, *blocks), *grid);
        }
        if let Some(next) = grids.get(usize::from(index) + 1) {
            let place = Place::Down {
                level: index,
                repeat: None,
            };
            list.sampler(place, Leaf::DownsamplerOut, level.channels, *next);
        }
    }
    let level = config.deepest();
    if config.mid != Middle::Absent {
        list.resnet(Place::Mid { repeat: Some(0) }, level.channels, deepest);
    }
    if let Middle::Attending { blocks } = config.mid {
        list.transformer(Place::Mid { repeat: None }, (level, Some(blocks)), deepest);
        list.resnet(Place::Mid { repeat: Some(1) }, level.channels, deepest);
    }
    let mut rising = grids.iter().rev().copied();
    let mut grid = rising.next().unwrap_or(latent);
    for (index, level) in (0u16..).zip(&config.up) {
        for (repeat, blocks) in (0..).zip(&level.transformers) {
            let place = Place::Up {
                level: index,
                repeat: Some(repeat),
            };
            list.resnet(place, level.channels, grid);
            list.transformer(place, (level, *blocks), grid);
        }
        if let Some(next) = rising.next() {
            let place = Place::Up {
                level: index,
                repeat: None,
            };
            list.sampler(place, Leaf::UpsamplerOut, level.channels, next);
            grid = next;
        }
    }
    list.features(Place::Network, Leaf::Out, config.out_channels, latent, 0.0);
    list.found
}

/// The list while it grows.
struct List {
    found: Catalogue,
    tokens: usize,
    /// Blocks of each stage: a block is a resnet with what follows it up to the next.
    blocks: [(Stage, u16); 3],
    /// The stage that is listed, and how many of its blocks are.
    begun: (Stage, u16),
}

impl List {
    fn new(config: &UnetConfig, tokens: usize) -> Self {
        let of_levels = |levels: &[UnetLevel]| levels.iter().map(|level| level.transformers.len() as u16).sum();
        let middle = match config.mid {
            Middle::Absent => 0,
            Middle::Attending { .. } => 2,
            _ => 1,
        };
        Self {
            found: Catalogue::default(),
            tokens,
            blocks: [
                (Stage::Down, of_levels(&config.down)),
                (Stage::Mid, middle),
                (Stage::Up, of_levels(&config.up)),
            ],
            begun: (Stage::Input, 0),
        }
    }

    fn features(&mut self, place: Place, leaf: Leaf, channels: usize, grid: Grid, cost: f64) {
        self.push(place, leaf, Shape::Features { channels, grid }, cost, None);
    }

    fn push(&mut self, place: Place, leaf: Leaf, shape: Shape, cost: f64, map_of: Option<MapOf>) {
        let stage = place.stage(leaf);
        let count = self.blocks.iter().find(|(other, _)| *other == stage);
        let begun = if self.begun.0 == stage { self.begun.1 } else { 0 };
        let (group, label) = group_and_label(place, leaf);
        self.found.push(CatalogueEntry {
            id: id(place, leaf),
            shape,
            facts: Facts {
                stage,
                block: (begun.saturating_sub(1), count.map_or(1, |(_, count)| *count)),
                kind: leaf.kind(),
                word: Name::of(leaf.word()),
                group,
                label,
                cost,
                map_of,
                row_sums: None,
                is_extra: false,
            },
        });
    }

    fn resnet(&mut self, place: Place, channels: usize, grid: Grid) {
        let stage = place.stage(Leaf::ResOut);
        let before = if self.begun.0 == stage { self.begun.1 } else { 0 };
        self.begun = (stage, before + 1);
        let positions = grid.positions();
        let inner = convolution_cost(positions, channels, channels);
        let cost = match place {
            Place::Up { .. } => {
                let wide = WITH_SKIP * channels;
                convolution_cost(positions, wide, channels) + inner + linear_cost(positions, wide, channels)
            }
            _ => 2.0 * inner,
        };
        self.features(place, Leaf::ResIncrement, channels, grid, cost);
        self.features(place, Leaf::ResOut, channels, grid, 0.0);
    }

    /// A sampler belongs to the last block of its level.
    fn sampler(&mut self, place: Place, leaf: Leaf, channels: usize, grid: Grid) {
        let cost = convolution_cost(grid.positions(), channels, channels);
        self.features(place, leaf, channels, grid, cost);
    }

    /// Lists the activations of a transformer of so many blocks, of the widths of `level`; none where there is no transformer.
    fn transformer(&mut self, place: Place, (level, blocks): (&UnetLevel, Option<usize>), grid: Grid) {
        let Some(blocks) = blocks else { return };
        let (width, heads, positions) = (level.channels, level.heads, grid.positions());
        let inner = width * super::FFN_RATIO;
        let square = linear_cost(positions, width, width);
        for block in 0..blocks as u16 {
            let leaf = |part| Leaf::Vit { block, part };
            let named = |part| id(place, leaf(part));
            for part in [VitPart::SelfQ, VitPart::SelfK, VitPart::SelfV] {
                self.features(place, leaf(part), width, grid, square);
            }
            let to_itself = Shape::Attention {
                heads,
                queries: positions,
                keys: positions,
            };
            let cost = attention_cost(positions, positions, width);
            let map_of = VitPart::SelfMap.map_of(named);
            self.push(place, leaf(VitPart::SelfMap), to_itself, cost, map_of);
            // The projection behind self-attention lies before the query of the text's.
            self.features(place, leaf(VitPart::CrossQ), width, grid, 2.0 * square);
            let to_text = Shape::Attention {
                heads,
                queries: positions,
                keys: self.tokens,
            };
            let cost = attention_cost(positions, self.tokens, width);
            let map_of = VitPart::CrossMap.map_of(named);
            self.push(place, leaf(VitPart::CrossMap), to_text, cost, map_of);
            // Twice its channels come out of the first layer.
            let cost = linear_cost(positions, width, 2 * inner);
            self.features(place, leaf(VitPart::FfnInner), inner, grid, cost);
            // The projection behind the attention to the text, and the second layer.
            let cost = square + linear_cost(positions, inner, width);
            self.features(place, leaf(VitPart::Out), width, grid, cost);
        }
        self.features(place, Leaf::VitOut, width, grid, square);
    }
}

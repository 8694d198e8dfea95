//! The activations of the U-Net in execution order, from its configuration alone.

use super::{
    config::IfConfig,
    ids::{Leaf, Place, group_word_label, id, kind, stage},
};
use crate::{
    activation::{Catalogue, CatalogueEntry, Facts, Shape, Stage, convolution_cost},
    geometry::Grid,
    image::picture::CHANNELS,
};

/// Resnets of the middle.
pub(super) const MIDDLE: u16 = 2;

/// Every activation of the network for a picture of `picture` rows and columns.
pub fn catalogue(config: &IfConfig, picture: Grid) -> Catalogue {
    let grids = config.grids(picture);
    let levels = config.levels();
    let mut list = List {
        found: Catalogue::default(),
        blocks: [
            (Stage::Down, levels * config.layers_per_block),
            (Stage::Mid, MIDDLE.into()),
            (Stage::Up, levels * (config.layers_per_block + 1)),
        ],
        begun: (Stage::Input, 0),
    };
    let channels = &config.block_out_channels;
    list.push(Place::Network, Leaf::In, CHANNELS, picture, 0.0);
    list.push(Place::Network, Leaf::AfterConvIn, channels[0], picture, 0.0);
    for (level, (channels, grid)) in (0_u16..).zip(channels.iter().zip(&grids)) {
        for repeat in 0..config.layers_per_block as u16 {
            let repeat = Some(repeat);
            list.resnet(Place::Down { level, repeat }, *channels, *grid);
        }
        if let Some(next) = grids.get(usize::from(level) + 1) {
            list.resnet(Place::Down { level, repeat: None }, *channels, *next);
        }
    }
    let deepest = grids.last().copied().unwrap_or(picture);
    for repeat in 0..MIDDLE {
        list.resnet(Place::Mid { repeat }, config.deepest(), deepest);
    }
    for (level, index) in (0_u16..).zip((0..levels).rev()) {
        for repeat in 0..=config.layers_per_block as u16 {
            let repeat = Some(repeat);
            list.resnet(Place::Up { level, repeat }, channels[index], grids[index]);
        }
        if let Some(next) = index.checked_sub(1) {
            list.resnet(Place::Up { level, repeat: None }, channels[index], grids[next]);
        }
    }
    list.push(Place::Network, Leaf::Out, config.out_channels, picture, 0.0);
    list.found
}

/// The list while it grows.
struct List {
    found: Catalogue,
    /// Blocks of each stage: a block is a resnet with what follows it up to the next; a sampler belongs to the last one of its level.
    blocks: [(Stage, usize); 3],
    /// The stage that is listed, and how many of its blocks are.
    begun: (Stage, u16),
}

impl List {
    fn resnet(&mut self, place: Place, channels: usize, grid: Grid) {
        let stage = stage(place, Leaf::Out);
        let is_sampler = matches!(place, Place::Down { repeat: None, .. } | Place::Up { repeat: None, .. });
        if !is_sampler {
            let before = if self.begun.0 == stage { self.begun.1 } else { 0 };
            self.begun = (stage, before + 1);
        }
        let cost = 2.0 * convolution_cost(grid.positions(), channels, channels);
        self.push(place, Leaf::Increment, channels, grid, cost);
        self.push(place, Leaf::Out, channels, grid, 0.0);
    }

    fn push(&mut self, place: Place, leaf: Leaf, channels: usize, grid: Grid, cost: f64) {
        let (id, stage) = (id(place, leaf), stage(place, leaf));
        let count = self.blocks.iter().find(|(other, _)| *other == stage);
        let begun = if self.begun.0 == stage { self.begun.1 } else { 0 };
        let (group, word, label) = group_word_label(place, leaf);
        self.found.push(CatalogueEntry {
            id,
            shape: Shape::Features { channels, grid },
            facts: Facts {
                block: (begun.saturating_sub(1), count.map_or(1, |(_, count)| *count as u16)),
                word,
                group,
                label,
                cost,
                ..Facts::new(id, stage, kind(place, leaf))
            },
        });
    }
}

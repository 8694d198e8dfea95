//! The activations of a U-Net in execution order, from its configuration alone.

use super::config::{Level, Middle, UnetConfig};
use crate::{
    activation::{Catalogue, Id, Leaf, Place, VitPart},
    geometry::Grid,
};

/// Every activation of the network for a latent of `latent` rows and columns and `tokens` text tokens.
pub fn catalogue(config: &UnetConfig, latent: Grid, tokens: usize) -> Catalogue {
    let mut list = Catalogue::default();
    let grids = config.grids(latent);
    let deepest = grids.last().copied().unwrap_or(latent);
    list.push_features(Id::new(Place::Network, Leaf::In), config.in_channels, latent);
    list.push_features(
        Id::new(Place::Network, Leaf::AfterConvIn),
        config.down[0].channels,
        latent,
    );
    for (index, (level, grid)) in (0u16..).zip(config.down.iter().zip(&grids)) {
        for (repeat, blocks) in (0..).zip(&level.transformers) {
            let place = Place::Down {
                level: index,
                repeat: Some(repeat),
            };
            push_resnet(&mut list, place, level.channels, *grid);
            push_transformer(&mut list, place, (level, *blocks), *grid, tokens);
        }
        if let Some(next) = grids.get(usize::from(index) + 1) {
            let place = Place::Down {
                level: index,
                repeat: None,
            };
            list.push_features(Id::new(place, Leaf::DownsamplerOut), level.channels, *next);
        }
    }
    let level = config.deepest();
    if config.mid != Middle::Absent {
        push_resnet(&mut list, Place::Mid { repeat: Some(0) }, level.channels, deepest);
    }
    if let Middle::Attending { blocks } = config.mid {
        let middle = (level, Some(blocks));
        push_transformer(&mut list, Place::Mid { repeat: None }, middle, deepest, tokens);
        push_resnet(&mut list, Place::Mid { repeat: Some(1) }, level.channels, deepest);
    }
    let mut rising = grids.iter().rev().copied();
    let mut grid = rising.next().unwrap_or(latent);
    for (index, level) in (0u16..).zip(&config.up) {
        for (repeat, blocks) in (0..).zip(&level.transformers) {
            let place = Place::Up {
                level: index,
                repeat: Some(repeat),
            };
            push_resnet(&mut list, place, level.channels, grid);
            push_transformer(&mut list, place, (level, *blocks), grid, tokens);
        }
        if let Some(next) = rising.next() {
            let place = Place::Up {
                level: index,
                repeat: None,
            };
            list.push_features(Id::new(place, Leaf::UpsamplerOut), level.channels, next);
            grid = next;
        }
    }
    list.push_features(Id::new(Place::Network, Leaf::Out), config.out_channels, latent);
    list
}

fn push_resnet(list: &mut Catalogue, place: Place, channels: usize, grid: Grid) {
    list.push_features(Id::new(place, Leaf::ResIncrement), channels, grid);
    list.push_features(Id::new(place, Leaf::ResOut), channels, grid);
}

/// What a transformer of so many blocks shows, of the widths of `level`; nothing where there is none.
fn push_transformer(
    list: &mut Catalogue,
    place: Place,
    (level, blocks): (&Level, Option<usize>),
    grid: Grid,
    tokens: usize,
) {
    let Some(blocks) = blocks else { return };
    let positions = grid.positions();
    for block in 0..blocks as u16 {
        let id = |part| Id::new(place, Leaf::Vit { block, part });
        for part in [VitPart::SelfQ, VitPart::SelfK, VitPart::SelfV] {
            list.push_features(id(part), level.channels, grid);
        }
        list.push_attention(id(VitPart::SelfMap), level.heads, positions, positions);
        list.push_features(id(VitPart::CrossQ), level.channels, grid);
        list.push_attention(id(VitPart::CrossMap), level.heads, positions, tokens);
        list.push_features(id(VitPart::FfnInner), level.channels * super::FFN_RATIO, grid);
        list.push_features(id(VitPart::Out), level.channels, grid);
    }
    list.push_features(Id::new(place, Leaf::VitOut), level.channels, grid);
}

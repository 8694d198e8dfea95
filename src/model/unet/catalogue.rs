//! The activations of a U-Net in execution order, from its configuration alone.

use super::config::{Level, UnetConfig};
use crate::activation::{Catalogue, Grid, Id, Leaf, Place, VitPart};

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
        for repeat in 0..config.layers_per_block as u16 {
            let place = Place::Down {
                level: index,
                repeat: Some(repeat),
            };
            push_resnet(&mut list, place, level.channels, *grid);
            push_transformer(&mut list, place, level, *grid, tokens);
        }
        if let Some(next) = grids.get(usize::from(index) + 1) {
            let place = Place::Down {
                level: index,
                repeat: None,
            };
            list.push_features(Id::new(place, Leaf::DownsamplerOut), level.channels, *next);
        }
    }
    push_resnet(&mut list, Place::Mid { repeat: Some(0) }, config.mid.channels, deepest);
    push_transformer(&mut list, Place::Mid { repeat: None }, &config.mid, deepest, tokens);
    push_resnet(&mut list, Place::Mid { repeat: Some(1) }, config.mid.channels, deepest);
    let mut rising = grids.iter().rev().copied();
    let mut grid = rising.next().unwrap_or(latent);
    for (index, level) in (0u16..).zip(&config.up) {
        for repeat in 0..=config.layers_per_block as u16 {
            let place = Place::Up {
                level: index,
                repeat: Some(repeat),
            };
            push_resnet(&mut list, place, level.channels, grid);
            push_transformer(&mut list, place, level, grid, tokens);
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

fn push_transformer(list: &mut Catalogue, place: Place, level: &Level, grid: Grid, tokens: usize) {
    if level.transformer_layers == 0 {
        return;
    }
    let positions = grid.positions();
    for block in 0..level.transformer_layers as u16 {
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

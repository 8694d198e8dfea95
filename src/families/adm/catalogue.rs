//! The activations of an ADM in execution order.

use super::{
    config::AdmConfig,
    plan::{Block, Module, Plan},
};
use crate::{
    activation::{AttnPart, Catalogue, Id, Leaf, Place},
    geometry::Grid,
};

/// What enters the first convolution.
pub(super) const NETWORK_IN: Id = Id::new(Place::Network, Leaf::In);
/// The network's output picture.
pub(super) const NETWORK_OUT: Id = Id::new(Place::Network, Leaf::Out);

/// Names of the residual branch and the output of the first and second resnet of a block; none has more.
pub(super) const RESNET_LEAVES: [(Leaf, Leaf); 2] =
    [(Leaf::ResIncrement, Leaf::ResOut), (Leaf::Res2Increment, Leaf::Res2Out)];

/// Every activation for a working picture of `picture` rows and columns, a size that [`AdmConfig::check_size`]
/// accepts.
pub fn catalogue(config: &AdmConfig, picture: Grid) -> Catalogue {
    let plan = Plan::new(config);
    let finest = Grid::new(picture.height / config.patch_size, picture.width / config.patch_size);
    let mut catalogue = Catalogue::default();
    catalogue.push_features(NETWORK_IN, plan.in_channels, finest);
    for block in plan.blocks() {
        push_block(&mut catalogue, block, finest);
    }
    catalogue.push_features(NETWORK_OUT, config.output_channels(), picture);
    catalogue
}

fn push_block(catalogue: &mut Catalogue, block: &Block, finest: Grid) {
    let place = Place::Block(block.number);
    let mut resnets = RESNET_LEAVES.into_iter();
    let mut stride = block.stride;
    for module in &block.modules {
        stride = module.stride_after(stride);
        let grid = Grid::new(finest.height / stride, finest.width / stride);
        match *module {
            Module::Res { output, .. } => {
                if let Some((increment, out)) = resnets.next() {
                    catalogue.push_features(Id::new(place, increment), output, grid);
                    catalogue.push_features(Id::new(place, out), output, grid);
                }
            }
            Module::Attention { channels, heads } => {
                for part in AttnPart::ALL {
                    let id = Id::new(place, Leaf::Attn(*part));
                    match part {
                        AttnPart::Map => catalogue.push_attention(id, heads, grid.positions(), grid.positions()),
                        _ => catalogue.push_features(id, channels, grid),
                    }
                }
            }
            Module::Conv { .. } | Module::Down { .. } | Module::Up { .. } => {}
        }
    }
    let grid = Grid::new(finest.height / stride, finest.width / stride);
    catalogue.push_features(Id::new(place, Leaf::Out), block.channels, grid);
}

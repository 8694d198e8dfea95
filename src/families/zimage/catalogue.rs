//! The activations of Z-Image in execution order, from its configuration alone.

use super::{config::ZImageConfig, padded};
use crate::{
    activation::Catalogue,
    components::joint::{BlockFacts, JointPart, push_block},
    geometry::Grid,
};

/// Every activation of the network for a latent of `latent` rows and columns and `tokens` text tokens, which a padding follows.
pub fn catalogue(config: &ZImageConfig, latent: Grid, tokens: usize) -> Catalogue {
    let mut list = Catalogue::default();
    for number in 0..config.blocks() {
        let is_alone = usize::from(number) < config.n_refiner_layers;
        let block = BlockFacts {
            block: (number, config.blocks()),
            width: config.dim,
            heads: config.n_heads,
            inner: config.ffn_width(),
            grid: config.token_grid(latent),
            tokens: if is_alone { 0 } else { padded(tokens) },
        };
        push_block(&mut list, block, |part: JointPart| match part {
            part if part.is_of_second_attention() => false,
            // A refiner of the picture sees no text.
            JointPart::CrossMap => !is_alone,
            _ => true,
        });
    }
    list
}

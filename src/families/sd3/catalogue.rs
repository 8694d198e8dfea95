//! The activations of Stable Diffusion 3 in execution order, from its configuration alone.

use super::config::Sd3Config;
use crate::{
    activation::Catalogue,
    components::joint::{BlockFacts, JointPart, push_block},
    geometry::Grid,
};

/// Every activation of the network for a latent of `latent` rows and columns and `tokens` text tokens.
pub fn catalogue(config: &Sd3Config, latent: Grid, tokens: usize) -> Catalogue {
    let mut list = Catalogue::default();
    let blocks = config.num_layers as u16;
    for number in 0..blocks {
        let block = BlockFacts {
            block: (number, blocks),
            width: config.width(),
            heads: config.num_attention_heads,
            inner: config.ffn_width(),
            grid: config.token_grid(latent),
            tokens,
        };
        push_block(&mut list, block, |part: JointPart| {
            !part.is_of_second_attention() || config.is_dual(number)
        });
    }
    list
}

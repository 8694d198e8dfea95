//! The activations of Flux.2 in execution order, from its configuration alone.

use super::config::Flux2Config;
use crate::{
    activation::Catalogue,
    components::joint::{BlockFacts, JointPart, push_block},
    geometry::Grid,
};

/// Every activation of the network for a latent of `grid` rows and columns, which are its tokens, and `tokens` text tokens.
pub fn catalogue(config: &Flux2Config, grid: Grid, tokens: usize) -> Catalogue {
    let mut list = Catalogue::default();
    for number in 0..config.blocks() {
        let block = BlockFacts {
            block: (number, config.blocks()),
            width: config.width(),
            heads: config.num_attention_heads,
            inner: config.ffn_width(),
            grid,
            tokens,
        };
        let has_streams = usize::from(number) < config.num_layers;
        push_block(&mut list, block, |part| match part {
            part if part.is_of_second_attention() => false,
            // A block of one stream has attention and feed-forward part side by side, behind one norm.
            JointPart::NormOut => has_streams,
            _ => true,
        });
    }
    list
}

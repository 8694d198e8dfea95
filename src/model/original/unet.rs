//! The names of a U-Net's tensors: those of its authors on the left, those of diffusers on the right.

use super::{UNET_PREFIX, rules::Rules};
use crate::{model::unet::UnetConfig, weights::Rename};

/// The parts of a resnet.
pub(in crate::model) const RESNET: [(&str, &str); 6] = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];

const NETWORK: [(&str, &str); 7] = [
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
];

/// Rules for all tensors. The authors number the blocks of all levels through, samplers of the way down included;
/// diffusers counts levels, and repeats in them.
pub(super) fn rules(config: &UnetConfig) -> Vec<Rename> {
    let mut rules = Rules::new(UNET_PREFIX);
    for (from, to) in NETWORK {
        rules.module(from, to);
    }
    let repeats = config.layers_per_block;
    for (level, _) in config.down.iter().enumerate() {
        let first = 1 + level * (repeats + 1);
        for repeat in 0..repeats {
            let (from, to) = (first + repeat, format!("down_blocks.{level}"));
            rules.modules(
                &format!("input_blocks.{from}.0"),
                &format!("{to}.resnets.{repeat}"),
                &RESNET,
            );
            rules.module(&format!("input_blocks.{from}.1"), &format!("{to}.attentions.{repeat}"));
        }
        rules.module(
            &format!("input_blocks.{}.0.op", first + repeats),
            &format!("down_blocks.{level}.downsamplers.0.conv"),
        );
    }
    rules.modules("middle_block.0", "mid_block.resnets.0", &RESNET);
    rules.module("middle_block.1", "mid_block.attentions.0");
    rules.modules("middle_block.2", "mid_block.resnets.1", &RESNET);
    for (index, level) in config.up.iter().enumerate() {
        let first = index * (repeats + 1);
        for repeat in 0..=repeats {
            let (from, to) = (first + repeat, format!("up_blocks.{index}"));
            rules.modules(
                &format!("output_blocks.{from}.0"),
                &format!("{to}.resnets.{repeat}"),
                &RESNET,
            );
            if level.transformer_layers > 0 {
                rules.module(&format!("output_blocks.{from}.1"), &format!("{to}.attentions.{repeat}"));
            }
        }
        // The sampler comes after the last resnet, or after its transformer.
        let place = 1 + usize::from(level.transformer_layers > 0);
        rules.module(
            &format!("output_blocks.{}.{place}.conv", first + repeats),
            &format!("up_blocks.{index}.upsamplers.0.conv"),
        );
    }
    rules.finish()
}

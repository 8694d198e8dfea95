//! The layers of a U-Net in the numbering of its authors, which kohya's scripts use for SDXL and ComfyUI for all.

/// The name of a U-Net's layer in the numbering of the original implementation, which kohya's scripts use for SDXL;
/// `layers_per_block` are those of the down levels.
pub(crate) fn ldm_name(layer: &str, layers_per_block: &[usize]) -> Option<String> {
    let parts: Vec<&str> = layer.split('.').collect();
    // No network has more levels or blocks.
    let number = |text: &str| text.parse::<u16>().ok().map(usize::from);
    let before = |levels: usize| blocks_of(layers_per_block.get(..levels)?);
    let before_up = |levels: usize| blocks_of(layers_per_block.get(layers_per_block.len().checked_sub(levels)?..)?);
    Some(match parts.as_slice() {
        ["conv_in"] => "input_blocks.0.0".to_owned(),
        ["conv_norm_out"] => "out.0".to_owned(),
        ["conv_out"] => "out.2".to_owned(),
        ["time_embedding", "linear_1"] => "time_embed.0".to_owned(),
        ["time_embedding", "linear_2"] => "time_embed.2".to_owned(),
        ["add_embedding", "linear_1"] => "label_emb.0.0".to_owned(),
        ["add_embedding", "linear_2"] => "label_emb.0.2".to_owned(),
        ["down_blocks", level, "downsamplers", _, "conv"] => {
            format!("input_blocks.{}.0.op", before(number(level)? + 1)?)
        }
        ["down_blocks", level, kind, repeat, rest @ ..] => {
            let block = before(number(level)?)?.checked_add(number(repeat)? + 1)?;
            format!("input_blocks.{block}.{}", inner(kind, rest)?)
        }
        ["mid_block", "attentions", _, rest @ ..] => format!("middle_block.{}", inner("attentions", rest)?),
        ["mid_block", "resnets", repeat, rest @ ..] => {
            let place = 2 * number(repeat)?;
            format!("middle_block.{place}.{}", of_resnet(rest)?)
        }
        ["up_blocks", level, kind, repeat, rest @ ..] if *kind != "upsamplers" => {
            let block = before_up(number(level)?)?.checked_add(number(repeat)?)?;
            format!("output_blocks.{block}.{}", inner(kind, rest)?)
        }
        _ => return None,
    })
}

/// Names of the upsampler of level `level`, which comes after a level's last resnet and, where there is one, transformer.
pub(crate) fn ldm_upsampler(layer: &str, layers_per_block: &[usize]) -> Option<[String; 2]> {
    let level = layer.strip_prefix("up_blocks.")?.strip_suffix(".upsamplers.0.conv")?;
    let levels = usize::from(level.parse::<u16>().ok()?) + 1;
    let first = layers_per_block.len().checked_sub(levels)?;
    let block = blocks_of(layers_per_block.get(first..)?)?.checked_sub(1)?;
    Some([1, 2].map(|place| format!("output_blocks.{block}.{place}.conv")))
}

/// Blocks of levels of so many resnets in the original numbering: on the way down each has a sampler besides, or the first
/// convolution; on the way up a resnet more.
fn blocks_of(layers_per_block: &[usize]) -> Option<usize> {
    layers_per_block
        .iter()
        .try_fold(0_usize, |sum, layers| sum.checked_add(*layers)?.checked_add(1))
}

/// Place and name of a layer inside a block: resnets come first, transformers second.
fn inner(kind: &str, rest: &[&str]) -> Option<String> {
    match kind {
        "resnets" => Some(format!("0.{}", of_resnet(rest)?)),
        "attentions" => Some(format!("1.{}", rest.join("."))),
        _ => None,
    }
}

fn of_resnet(rest: &[&str]) -> Option<&'static str> {
    match rest {
        ["norm1"] => Some("in_layers.0"),
        ["norm2"] => Some("out_layers.0"),
        ["conv1"] => Some("in_layers.2"),
        ["conv2"] => Some("out_layers.3"),
        ["time_emb_proj"] => Some("emb_layers.1"),
        ["conv_shortcut"] => Some("skip_connection"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sdxls_layers_have_the_original_numbers() {
        for (layer, original) in [
            ("conv_in", "input_blocks.0.0"),
            ("down_blocks.0.resnets.1.conv1", "input_blocks.2.0.in_layers.2"),
            ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"),
            ("down_blocks.1.attentions.0.proj_in", "input_blocks.4.1.proj_in"),
            (
                "down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_k",
                "input_blocks.8.1.transformer_blocks.9.attn2.to_k",
            ),
            ("mid_block.resnets.0.time_emb_proj", "middle_block.0.emb_layers.1"),
            ("mid_block.attentions.0.proj_out", "middle_block.1.proj_out"),
            ("mid_block.resnets.1.conv2", "middle_block.2.out_layers.3"),
            ("up_blocks.0.attentions.2.proj_in", "output_blocks.2.1.proj_in"),
            (
                "up_blocks.2.resnets.0.conv_shortcut",
                "output_blocks.6.0.skip_connection",
            ),
            ("add_embedding.linear_1", "label_emb.0.0"),
            ("conv_norm_out", "out.0"),
            ("down_blocks.0.resnets.1.norm2", "input_blocks.2.0.out_layers.0"),
            ("down_blocks.1.attentions.0.norm", "input_blocks.4.1.norm"),
        ] {
            // A transformer of the middle is its second module.
            let layer_name = ldm_name(layer, &[2; 4]);
            assert_eq!(layer_name.as_deref(), Some(original), "{layer}");
        }
        let upsampler = ldm_upsampler("up_blocks.0.upsamplers.0.conv", &[2; 4]);
        assert_eq!(
            upsampler,
            Some(["output_blocks.2.1.conv", "output_blocks.2.2.conv"].map(str::to_owned))
        );
        assert_eq!(ldm_name("nonsense", &[2; 4]), None);
    }
}

//! Diffusers' and transformers' names → the names of the models' authors, written apart from the program's tables.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Result, Tensor};

pub type Tensors = BTreeMap<String, Tensor>;

/// Resnets in a level of the way down of every published model.
const REPEATS: usize = 2;

fn number(text: &str) -> usize {
    text.parse().expect("a number in a name")
}

pub fn unet(tensors: &Tensors) -> Tensors {
    let attending: BTreeSet<&str> = tensors
        .keys()
        .filter_map(|name| name.strip_prefix("up_blocks.")?.split_once(".attentions."))
        .map(|(level, _)| level)
        .collect();
    let resnet = |leaf: &str| {
        leaf.replace("norm1", "in_layers.0")
            .replace("conv1", "in_layers.2")
            .replace("time_emb_proj", "emb_layers.1")
            .replace("norm2", "out_layers.0")
            .replace("conv2", "out_layers.3")
            .replace("conv_shortcut", "skip_connection")
    };
    let rename = |name: &str| {
        let parts: Vec<&str> = name.splitn(5, '.').collect();
        match parts.as_slice() {
            ["down_blocks", level, "resnets", repeat, leaf] => {
                let block = number(level) * (REPEATS + 1) + number(repeat) + 1;
                format!("input_blocks.{block}.0.{}", resnet(leaf))
            }
            ["down_blocks", level, "attentions", repeat, leaf] => {
                let block = number(level) * (REPEATS + 1) + number(repeat) + 1;
                format!("input_blocks.{block}.1.{leaf}")
            }
            ["down_blocks", level, "downsamplers", "0", leaf] => {
                let block = (number(level) + 1) * (REPEATS + 1);
                format!("input_blocks.{block}.0.{}", leaf.replace("conv", "op"))
            }
            ["up_blocks", level, "resnets", repeat, leaf] => {
                let block = number(level) * (REPEATS + 1) + number(repeat);
                format!("output_blocks.{block}.0.{}", resnet(leaf))
            }
            ["up_blocks", level, "attentions", repeat, leaf] => {
                let block = number(level) * (REPEATS + 1) + number(repeat);
                format!("output_blocks.{block}.1.{leaf}")
            }
            ["up_blocks", level, "upsamplers", "0", leaf] => {
                let block = number(level) * (REPEATS + 1) + REPEATS;
                let place = if attending.contains(level) { 2 } else { 1 };
                format!("output_blocks.{block}.{place}.{leaf}")
            }
            ["mid_block", "resnets", "0", ..] => format!("middle_block.0.{}", resnet(&name[20..])),
            ["mid_block", "attentions", "0", ..] => format!("middle_block.1.{}", &name[23..]),
            ["mid_block", "resnets", "1", ..] => format!("middle_block.2.{}", resnet(&name[20..])),
            _ => [
                ("time_embedding.linear_1", "time_embed.0"),
                ("time_embedding.linear_2", "time_embed.2"),
                ("add_embedding.linear_1", "label_emb.0.0"),
                ("add_embedding.linear_2", "label_emb.0.2"),
                ("conv_norm_out", "out.0"),
                ("conv_in", "input_blocks.0.0"),
                ("conv_out", "out.2"),
            ]
            .into_iter()
            .find_map(|(ours, theirs)| Some(format!("{theirs}{}", name.strip_prefix(ours)?)))
            .expect("every tensor of a U-Net has a name"),
        }
    };
    tensors
        .iter()
        .map(|(name, tensor)| (format!("model.diffusion_model.{}", rename(name)), tensor.clone()))
        .collect()
}

pub fn vae(tensors: &Tensors, levels: usize) -> Result<Tensors> {
    let mut renamed = Tensors::new();
    for (name, tensor) in tensors {
        let mut tensor = tensor.clone();
        let parts: Vec<&str> = name.split('.').collect();
        let resnet = |leaf: &[&str]| leaf.join(".").replace("conv_shortcut", "nin_shortcut");
        let theirs = match parts.as_slice() {
            [half, "down_blocks", level, "resnets", repeat, leaf @ ..] => {
                format!("{half}.down.{level}.block.{repeat}.{}", resnet(leaf))
            }
            [half, "down_blocks", level, "downsamplers", "0", leaf @ ..] => {
                format!("{half}.down.{level}.downsample.{}", leaf.join("."))
            }
            [half, "up_blocks", level, "resnets", repeat, leaf @ ..] => {
                format!(
                    "{half}.up.{}.block.{repeat}.{}",
                    levels - 1 - number(level),
                    resnet(leaf)
                )
            }
            [half, "up_blocks", level, "upsamplers", "0", leaf @ ..] => {
                format!("{half}.up.{}.upsample.{}", levels - 1 - number(level), leaf.join("."))
            }
            [half, "mid_block", "resnets", index, leaf @ ..] => {
                format!("{half}.mid.block_{}.{}", number(index) + 1, resnet(leaf))
            }
            [half, "mid_block", "attentions", "0", layer, leaf @ ..] => {
                let layer = match *layer {
                    "group_norm" => "norm",
                    "to_q" | "query" => "q",
                    "to_k" | "key" => "k",
                    "to_v" | "value" => "v",
                    _ => "proj_out",
                };
                if tensor.rank() == 2 {
                    tensor = tensor.unsqueeze(2)?.unsqueeze(3)?;
                }
                format!("{half}.mid.attn_1.{layer}.{}", leaf[leaf.len() - 1])
            }
            [half, "conv_norm_out", leaf] => format!("{half}.norm_out.{leaf}"),
            _ => name.clone(),
        };
        renamed.insert(format!("first_stage_model.{theirs}"), tensor);
    }
    Ok(renamed)
}

/// CLIP with transformers' names, after a prefix.
pub fn clip(tensors: &Tensors, prefix: &str) -> Tensors {
    tensors
        .iter()
        .map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone()))
        .collect()
}

/// CLIP with OpenCLIP's names, after a prefix: queries, keys and values in one tensor.
pub fn open_clip(tensors: &Tensors, prefix: &str) -> Result<Tensors> {
    let mut renamed = Tensors::new();
    let mut put = |name: String, tensor: Tensor| renamed.insert(format!("{prefix}{name}"), tensor);
    for (name, tensor) in tensors {
        if name == "text_projection.weight" {
            put("text_projection".into(), tensor.t()?);
            continue;
        }
        let name = name.trim_start_matches("text_model.");
        if let Some(rest) = name.strip_prefix("encoder.layers.") {
            let (layer, leaf) = rest.split_once('.').expect("a layer's tensor");
            let block = format!("transformer.resblocks.{layer}");
            if let Some(kind) = leaf.strip_prefix("self_attn.q_proj.") {
                let of = |projection: &str| {
                    &tensors[&format!("text_model.encoder.layers.{layer}.self_attn.{projection}_proj.{kind}")]
                };
                put(
                    format!("{block}.attn.in_proj_{kind}"),
                    Tensor::cat(&[of("q"), of("k"), of("v")], 0)?,
                );
                continue;
            }
            if leaf.contains("k_proj") || leaf.contains("v_proj") {
                continue;
            }
            let leaf = leaf
                .replace("layer_norm", "ln_")
                .replace("self_attn.out_proj", "attn.out_proj")
                .replace("mlp.fc1", "mlp.c_fc")
                .replace("mlp.fc2", "mlp.c_proj");
            put(format!("{block}.{leaf}"), tensor.clone());
            continue;
        }
        match name {
            "embeddings.position_embedding.weight" => put("positional_embedding".into(), tensor.clone()),
            "embeddings.token_embedding.weight" => put("token_embedding.weight".into(), tensor.clone()),
            other => put(other.replace("final_layer_norm", "ln_final"), tensor.clone()),
        };
    }
    Ok(renamed)
}

/// A ControlNet's tensors, without the prefix that their authors put before them.
pub fn controlnet(tensors: &Tensors) -> Tensors {
    const OF_UNET: &str = "model.diffusion_model.";
    let mut named = Tensors::new();
    let mut shared = Tensors::new();
    for (name, tensor) in tensors {
        let own = [
            ("controlnet_cond_embedding.conv_in.", "input_hint_block.0."),
            ("controlnet_cond_embedding.blocks.0.", "input_hint_block.2."),
            ("controlnet_cond_embedding.blocks.1.", "input_hint_block.4."),
            ("controlnet_cond_embedding.blocks.2.", "input_hint_block.6."),
            ("controlnet_cond_embedding.blocks.3.", "input_hint_block.8."),
            ("controlnet_cond_embedding.blocks.4.", "input_hint_block.10."),
            ("controlnet_cond_embedding.blocks.5.", "input_hint_block.12."),
            ("controlnet_cond_embedding.conv_out.", "input_hint_block.14."),
            ("controlnet_mid_block.", "middle_block_out.0."),
        ];
        let own = own
            .into_iter()
            .find_map(|(ours, theirs)| Some(format!("{theirs}{}", name.strip_prefix(ours)?)));
        let skip = name
            .strip_prefix("controlnet_down_blocks.")
            .and_then(|rest| rest.split_once('.'))
            .map(|(skip, leaf)| format!("zero_convs.{skip}.0.{leaf}"));
        match own.or(skip) {
            Some(name) => named.insert(name, tensor.clone()),
            None => shared.insert(name.clone(), tensor.clone()),
        };
    }
    for (name, tensor) in unet(&shared) {
        let name = name.strip_prefix(OF_UNET).expect("a name of a U-Net");
        named.insert(name.to_owned(), tensor);
    }
    named
}

//! The names in LoRA files, and the layers they mean.
//!
//! Kohya's scripts write a layer's name with every dot as an underscore. Names are compared in that form here, whoever
//! wrote them: `down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q`.

use std::fmt;

use crate::model::text::TextPart;

/// Which network of a model a LoRA's factor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The denoiser.
    Unet,
    /// The text encoder, counted from 0.
    Text(usize),
}

impl Part {
    /// That of a text encoder.
    pub fn of_text(part: TextPart) -> Self {
        match part {
            TextPart::First => Self::Text(0),
            TextPart::Second => Self::Text(1),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unet => f.write_str("the U-Net"),
            Self::Text(0) => f.write_str("the text encoder"),
            Self::Text(_) => f.write_str("the second text encoder"),
        }
    }
}

/// Which tensor of a layer's pair it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The factor that the input meets first, (rank, in, …).
    Down,
    /// The other factor, (out, rank, …).
    Up,
    /// One number: the factors are scaled by alpha / rank.
    Alpha,
}

/// What a tensor of a LoRA file is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The network.
    pub part: Part,
    /// The layer, with underscores for dots.
    pub layer: String,
    /// Which tensor of the pair.
    pub role: Role,
}

/// Parts of names that stand for something else than a product of two factors, and what it is called.
const OTHER_KINDS: [(&str, &str); 10] = [
    ("dora_scale", "DoRA"),
    ("lora_magnitude_vector", "DoRA"),
    ("hada_w", "LoHa"),
    ("hada_t", "LoHa"),
    ("lokr_w", "LoKr"),
    ("lokr_t", "LoKr"),
    ("lora_mid.", "LoCon with a Tucker core"),
    ("oft_blocks", "OFT"),
    ("oft_diag", "OFT"),
    ("on_input", "IA3"),
];

/// Ends of names of whole differences of a weight or a bias.
const DIFFERENCES: [&str; 2] = [".diff", ".diff_b"];

/// The kind of adapter that a tensor of this name belongs to, if it is none that this program computes.
pub fn other_kind(name: &str) -> Option<&'static str> {
    let named = OTHER_KINDS.iter().find(|(part, _)| name.contains(part));
    let difference = DIFFERENCES.iter().any(|end| name.ends_with(end));
    named
        .map(|(_, kind)| *kind)
        .or(difference.then_some("a full difference"))
}

/// Endings of the two factors and of alpha.
const ROLES: [(&str, Role); 13] = [
    (".lora_down.weight", Role::Down),
    (".lora_up.weight", Role::Up),
    (".lora_A.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_A.default.weight", Role::Down),
    (".lora_B.default.weight", Role::Up),
    (".lora.down.weight", Role::Down),
    (".lora.up.weight", Role::Up),
    (".lora_linear_layer.down.weight", Role::Down),
    (".lora_linear_layer.up.weight", Role::Up),
    ("_lora.down.weight", Role::Down),
    ("_lora.up.weight", Role::Up),
    (".alpha", Role::Alpha),
];

/// Beginnings of the names of kohya's scripts; SDXL has two numbered text encoders.
const KOHYA_PARTS: [(&str, Part); 4] = [
    ("lora_unet_", Part::Unet),
    ("lora_te_", Part::Text(0)),
    ("lora_te1_", Part::Text(0)),
    ("lora_te2_", Part::Text(1)),
];

/// Beginnings of the names of diffusers; a file for the U-Net alone may have none.
const DIFFUSERS_PARTS: [(&str, Part); 4] = [
    ("unet.", Part::Unet),
    ("text_encoder.", Part::Text(0)),
    ("text_encoder_2.", Part::Text(1)),
    ("text_model.", Part::Text(0)),
];

/// What PEFT writes before the names of a model that it has wrapped.
const PEFT_WRAPPER: &str = "base_model.model.";

/// The layer and role a name stands for; none for a name of no known kind.
pub fn parse(name: &str) -> Option<Key> {
    let name = name.strip_prefix(PEFT_WRAPPER).unwrap_or(name);
    let (stem, role) = ROLES
        .iter()
        .find_map(|(ending, role)| Some((name.strip_suffix(ending)?, *role)))?;
    let begins = |parts: &[(&str, Part)]| {
        parts
            .iter()
            .find_map(|(beginning, part)| Some((stem.strip_prefix(beginning)?.to_owned(), *part)))
    };
    let (layer, part) = begins(&KOHYA_PARTS)
        .or_else(|| begins(&DIFFUSERS_PARTS))
        .unwrap_or_else(|| (stem.to_owned(), Part::Unet));
    let layer = if name.contains("_lora.") {
        of_processor(&layer, part)
    } else {
        layer
    };
    Some(Key {
        part,
        layer: flat(&layer, part),
        role,
    })
}

/// Diffusers once kept LoRAs in attention processors, `attn1.processor.to_out`, whose layers have other names.
fn of_processor(layer: &str, part: Part) -> String {
    let layer = layer.replace(".processor.", ".");
    let (before, last) = layer.rsplit_once('.').unwrap_or(("", &layer));
    let last = match (part, last) {
        (Part::Unet, "to_out") => "to_out.0",
        (Part::Text(_), "to_q") => "q_proj",
        (Part::Text(_), "to_k") => "k_proj",
        (Part::Text(_), "to_v") => "v_proj",
        (Part::Text(_), "to_out") => "out_proj",
        (_, other) => other,
    };
    format!("{before}.{last}")
}

/// A layer's name with underscores for dots. Text encoders may have their layers under `text_model`, or not.
pub fn flat(layer: &str, part: Part) -> String {
    let flat = layer.replace('.', "_");
    match part {
        Part::Unet => flat,
        Part::Text(_) => flat.strip_prefix("text_model_").map_or(flat.clone(), str::to_owned),
    }
}

/// The name of a U-Net's layer in the numbering of the original implementation, which kohya's scripts use for SDXL;
/// `layers_per_block` are those of the down levels.
pub fn original_name(layer: &str, layers_per_block: &[usize]) -> Option<String> {
    let parts: Vec<&str> = layer.split('.').collect();
    let number = |text: &str| text.parse::<usize>().ok();
    let before = |levels: usize| blocks_of(layers_per_block.get(..levels)?);
    let before_up = |levels: usize| blocks_of(layers_per_block.get(layers_per_block.len().checked_sub(levels)?..)?);
    Some(match parts.as_slice() {
        ["conv_in"] => "input_blocks.0.0".to_owned(),
        ["conv_out"] => "out.2".to_owned(),
        ["time_embedding", "linear_1"] => "time_embed.0".to_owned(),
        ["time_embedding", "linear_2"] => "time_embed.2".to_owned(),
        ["add_embedding", "linear_1"] => "label_emb.0.0".to_owned(),
        ["add_embedding", "linear_2"] => "label_emb.0.2".to_owned(),
        ["down_blocks", level, "downsamplers", _, "conv"] => {
            format!("input_blocks.{}.0.op", before(number(level)?.checked_add(1)?)?)
        }
        ["down_blocks", level, kind, repeat, rest @ ..] => {
            let block = before(number(level)?)?.checked_add(number(repeat)?)?.checked_add(1)?;
            format!("input_blocks.{block}.{}", inner(kind, rest)?)
        }
        ["mid_block", "attentions", _, rest @ ..] => format!("middle_block.{}", inner("attentions", rest)?),
        ["mid_block", "resnets", repeat, rest @ ..] => {
            let place = number(repeat)?.checked_mul(2)?;
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
pub fn original_upsampler(layer: &str, layers_per_block: &[usize]) -> Option<[String; 2]> {
    let level = layer.strip_prefix("up_blocks.")?.strip_suffix(".upsamplers.0.conv")?;
    let levels = level.parse::<usize>().ok()?.checked_add(1)?;
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
    fn every_naming_means_the_same_layer() {
        let layer = "down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_out_0";
        let dotted = "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0";
        let processor = "down_blocks.0.attentions.1.transformer_blocks.0.attn1.processor.to_out_lora";
        for name in [
            format!("lora_unet_{layer}.lora_down.weight"),
            format!("unet.{dotted}.lora_A.weight"),
            format!("unet.{dotted}.lora_A.default.weight"),
            format!("base_model.model.unet.{dotted}.lora_A.weight"),
            format!("{dotted}.lora_A.weight"),
            format!("unet.{dotted}.lora.down.weight"),
            format!("unet.{processor}.down.weight"),
            format!("{processor}.down.weight"),
        ] {
            let wanted = Key {
                part: Part::Unet,
                layer: layer.to_owned(),
                role: Role::Down,
            };
            assert_eq!(parse(&name), Some(wanted), "{name}");
        }
    }

    #[test]
    fn every_naming_of_a_text_encoder_means_the_same_layer() {
        let dotted = "text_model.encoder.layers.3.self_attn";
        for (name, encoder) in [
            (
                "lora_te_text_model_encoder_layers_3_self_attn_q_proj.lora_up.weight".to_owned(),
                0,
            ),
            (
                "lora_te1_text_model_encoder_layers_3_self_attn_q_proj.lora_up.weight".to_owned(),
                0,
            ),
            (
                "lora_te2_text_model_encoder_layers_3_self_attn_q_proj.lora_up.weight".to_owned(),
                1,
            ),
            (format!("text_encoder.{dotted}.q_proj.lora_B.weight"), 0),
            (format!("text_encoder_2.{dotted}.q_proj.lora_B.weight"), 1),
            (format!("text_encoder.{dotted}.q_proj.lora_linear_layer.up.weight"), 0),
            (format!("text_encoder.{dotted}.to_q_lora.up.weight"), 0),
        ] {
            let wanted = Key {
                part: Part::Text(encoder),
                layer: "encoder_layers_3_self_attn_q_proj".to_owned(),
                role: Role::Up,
            };
            assert_eq!(parse(&name), Some(wanted), "{name}");
        }
    }

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
        ] {
            // A transformer of the middle is its second module.
            let layer_name = original_name(layer, &[2; 4]);
            assert_eq!(layer_name.as_deref(), Some(original), "{layer}");
        }
        let upsampler = original_upsampler("up_blocks.0.upsamplers.0.conv", &[2; 4]);
        assert_eq!(
            upsampler,
            Some(["output_blocks.2.1.conv", "output_blocks.2.2.conv"].map(str::to_owned))
        );
        assert_eq!(original_name("nonsense", &[2; 4]), None);
    }

    #[test]
    fn adapters_of_other_kinds_are_known_by_name() {
        assert_eq!(other_kind("lora_unet_x.dora_scale"), Some("DoRA"));
        assert_eq!(other_kind("lora_unet_x.hada_w1_a"), Some("LoHa"));
        assert_eq!(other_kind("lora_unet_x.lokr_w1"), Some("LoKr"));
        assert_eq!(
            other_kind("lora_unet_x.lora_mid.weight"),
            Some("LoCon with a Tucker core")
        );
        assert_eq!(other_kind("lora_unet_x.lora_down.weight"), None);
        assert_eq!(parse("something.weight"), None);
    }
}

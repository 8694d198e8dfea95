//! The names in adapter files, and the layers and parts of layers they mean.
//!
//! Kohya's scripts write a layer's name with every dot as an underscore. Names are compared in that form here, whoever
//! wrote them: `down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q`.

use std::fmt;

use crate::components::text::TextPart;

/// Which network of a model an adapter's tensor belongs to.
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

/// Role of a tensor in its layer's change. Shapes are those of a linear layer's; convolutions add their kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactorRole {
    /// LoRA: the factor that the input meets first, (rank, in, …).
    Down,
    /// LoRA: the other factor, (out, rank, …).
    Up,
    /// LoRA: what lies between the two in a Tucker decomposition, (rank, rank, kh, kw).
    Mid,
    /// LoRA: difference of the bias, (out).
    UpBias,
    /// LoRA of a table: (rank, rows).
    TableDown,
    /// LoRA of a table: (width, rank).
    TableUp,
    /// One number: factors are scaled by alpha / rank; of rotations it is the constraint.
    Alpha,
    /// DoRA: the norms of all rows or columns, as LyCORIS writes them.
    DoraScale,
    /// DoRA: the norms of all rows, as PEFT writes them.
    Magnitude,
    /// LoHa: the first factor of the first product.
    Hada1A,
    /// LoHa: its second factor.
    Hada1B,
    /// LoHa: the core of the first product.
    Hada1Core,
    /// LoHa: the first factor of the second product.
    Hada2A,
    /// LoHa: its second factor.
    Hada2B,
    /// LoHa: the core of the second product.
    Hada2Core,
    /// LoKr: the left matrix.
    Kron1,
    /// LoKr: the left matrix's first factor.
    Kron1A,
    /// LoKr: its second factor.
    Kron1B,
    /// LoKr: the right matrix.
    Kron2,
    /// LoKr: the right matrix's first factor.
    Kron2A,
    /// LoKr: its second factor.
    Kron2B,
    /// LoKr: the core of the right matrix.
    Kron2Core,
    /// Difference of the weight.
    Difference,
    /// Difference of the bias.
    BiasDifference,
    /// The weight itself, whatever it was before.
    Weight,
    /// The bias itself, whatever it was before.
    Bias,
    /// OFT and BOFT: what the rotations of blocks are made of.
    OftBlocks,
    /// OFT of LyCORIS 2: the rotations themselves.
    OftRotations,
    /// OFT and BOFT: a factor for every row of the rotated weight.
    Rescale,
    /// OFT of PEFT from 0.16 on: the upper triangles of skew matrices, one row a block.
    OftTriangles,
    /// GLoRA: the first factor of A.
    GloraA1,
    /// GLoRA: its second factor.
    GloraA2,
    /// GLoRA: the first factor of B.
    GloraB1,
    /// GLoRA: its second factor.
    GloraB2,
    /// (IA)³ of LyCORIS: what is added to factors of 1 for all rows or columns.
    Factors,
    /// (IA)³ of LyCORIS: whether the weight's columns are scaled, not its rows.
    OnInput,
    /// (IA)³ of PEFT: the factors of all rows or columns.
    Ia3,
}

/// Layer and role of a tensor of an adapter file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The network.
    pub part: Part,
    /// The layer, with underscores for dots.
    pub layer: String,
    /// Its role.
    pub role: FactorRole,
    /// Whether the name has PEFT's form.
    pub peft: bool,
    /// The name that PEFT gave the adapter, where the tensor's has it.
    pub adapter: Option<String>,
}

/// Words behind the one that names a tensor's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Nothing.
    Nothing,
    /// `weight`.
    Weight,
    /// Nothing or `weight`, with PEFT's name of the adapter before it or without. With `bias`, an up factor is that of a bias.
    Peft,
    /// `down.weight` or `up.weight`.
    DownUp,
}

use Ending::{DownUp, Nothing, Peft, Weight};

/// The words that name a tensor's role.
const WORDS: [(&str, FactorRole, Ending); 40] = [
    ("lora_down", FactorRole::Down, Weight),
    ("lora_up", FactorRole::Up, Weight),
    ("lora_mid", FactorRole::Mid, Weight),
    ("lora", FactorRole::Down, DownUp),
    ("lora_linear_layer", FactorRole::Down, DownUp),
    ("lora_A", FactorRole::Down, Peft),
    ("lora_B", FactorRole::Up, Peft),
    ("lora_embedding_A", FactorRole::TableDown, Peft),
    ("lora_embedding_B", FactorRole::TableUp, Peft),
    ("lora_magnitude_vector", FactorRole::Magnitude, Peft),
    ("alpha", FactorRole::Alpha, Nothing),
    ("dora_scale", FactorRole::DoraScale, Nothing),
    ("hada_w1_a", FactorRole::Hada1A, Peft),
    ("hada_w1_b", FactorRole::Hada1B, Peft),
    ("hada_t1", FactorRole::Hada1Core, Peft),
    ("hada_w2_a", FactorRole::Hada2A, Peft),
    ("hada_w2_b", FactorRole::Hada2B, Peft),
    ("hada_t2", FactorRole::Hada2Core, Peft),
    ("lokr_w1", FactorRole::Kron1, Peft),
    ("lokr_w1_a", FactorRole::Kron1A, Peft),
    ("lokr_w1_b", FactorRole::Kron1B, Peft),
    ("lokr_w2", FactorRole::Kron2, Peft),
    ("lokr_w2_a", FactorRole::Kron2A, Peft),
    ("lokr_w2_b", FactorRole::Kron2B, Peft),
    ("lokr_t2", FactorRole::Kron2Core, Peft),
    ("diff", FactorRole::Difference, Nothing),
    ("diff_b", FactorRole::BiasDifference, Nothing),
    ("w_norm", FactorRole::Difference, Nothing),
    ("b_norm", FactorRole::BiasDifference, Nothing),
    ("set_weight", FactorRole::Weight, Nothing),
    ("oft_blocks", FactorRole::OftBlocks, Nothing),
    ("oft_diag", FactorRole::OftRotations, Nothing),
    ("rescale", FactorRole::Rescale, Nothing),
    ("oft_R", FactorRole::OftTriangles, Peft),
    ("a1", FactorRole::GloraA1, Weight),
    ("a2", FactorRole::GloraA2, Weight),
    ("b1", FactorRole::GloraB1, Weight),
    ("b2", FactorRole::GloraB2, Weight),
    ("on_input", FactorRole::OnInput, Nothing),
    ("ia3_l", FactorRole::Ia3, Peft),
];

/// Words whose tensors are PEFT's, whatever the rest of their names.
const PEFT_WORDS: [&str; 7] = [
    "lora_A",
    "lora_B",
    "lora_embedding_A",
    "lora_embedding_B",
    "lora_magnitude_vector",
    "oft_R",
    "ia3_l",
];
/// At most so many words stand behind the one that names a tensor's role.
const MOST_BEHIND: usize = 2;

/// Words in the names of adapters that this program does not compute, and what these are called.
const OTHER_KINDS: [(&str, &str); 17] = [
    ("boft_R", "PEFT's BOFT"),
    ("boft_s", "PEFT's BOFT"),
    ("oft_r", "OFT of PEFT before 0.16"),
    ("oft_s", "OFT of PEFT before 0.16"),
    ("lora_E", "AdaLoRA"),
    ("lora_ranknum", "AdaLoRA"),
    ("lambda_layer", "T-LoRA"),
    ("q_layer", "T-LoRA"),
    ("p_layer", "T-LoRA"),
    ("lokr_t1", "LoKr with a core in its left matrix, which nothing writes"),
    ("bm", "GLoRA with a Tucker core"),
    ("vera_lambda_b", "VeRA"),
    ("vera_lambda_d", "VeRA"),
    ("hra_u", "HRA"),
    ("spectrum", "FourierFT"),
    ("reshape_weight", "a LoRA that changes the shape of its layer"),
    ("trainable_tokens_delta", "trained tokens"),
];

/// Prefixes of the names of kohya's scripts and LyCORIS; SDXL has two numbered text encoders.
const FLAT_PARTS: [(&str, Part); 6] = [
    ("lora_unet_", Part::Unet),
    ("lora_te_", Part::Text(0)),
    ("lora_te1_", Part::Text(0)),
    ("lora_te2_", Part::Text(1)),
    ("lycoris_text_model_", Part::Text(0)),
    ("lycoris_", Part::Unet),
];

/// Prefixes of the names of diffusers and ComfyUI; a file for the U-Net alone may have none.
const DOTTED_PARTS: [(&str, Part); 20] = [
    ("unet.", Part::Unet),
    ("model.diffusion_model.", Part::Unet),
    ("diffusion_model.", Part::Unet),
    ("text_encoder.", Part::Text(0)),
    ("text_encoder_2.", Part::Text(1)),
    ("text_encoders.clip_l.transformer.", Part::Text(0)),
    ("text_encoders.clip_h.transformer.", Part::Text(0)),
    ("text_encoders.clip_g.transformer.", Part::Text(1)),
    ("text_encoders.clip_l.", Part::Text(0)),
    ("text_encoders.clip_h.", Part::Text(0)),
    ("text_encoders.clip_g.", Part::Text(1)),
    ("clip_l.transformer.", Part::Text(0)),
    ("clip_h.transformer.", Part::Text(0)),
    ("clip_g.transformer.", Part::Text(1)),
    ("clip_l.", Part::Text(0)),
    ("clip_h.", Part::Text(0)),
    ("clip_g.", Part::Text(1)),
    ("te1.", Part::Text(0)),
    ("te2.", Part::Text(1)),
    ("text_model.", Part::Text(0)),
];

/// PEFT's prefix of the names of a model that it has wrapped.
const PEFT_WRAPPER: &str = "base_model.model.";
/// PEFT's suffixes of the name of a layer that it has wrapped, and of one of which it saves all.
const PEFT_BASE: &str = ".base_layer";
const PEFT_SAVED: &str = ".modules_to_save";
/// PyTorch's word in the names of a model that it has compiled.
const COMPILED: &str = "_orig_mod.";

/// The kind of adapter that a tensor of this name belongs to, if it is none that this program computes.
pub(crate) fn other_kind(name: &str) -> Option<&'static str> {
    let words = || name.split('.').skip(1);
    OTHER_KINDS
        .iter()
        .find_map(|(word, kind)| words().any(|found| found == *word).then_some(*kind))
}

/// The layer and role a name stands for; none for a name of no known kind.
pub fn parse(name: &str) -> Option<Key> {
    let words: Vec<&str> = name.split('.').collect();
    let found = (0..=MOST_BEHIND).find_map(|behind| find_word(&words, behind));
    let Some((stem, word, role, adapter)) = found else {
        return parse_whole(name);
    };
    // Old versions of diffusers put alpha behind the whole name of a factor.
    if role == FactorRole::Alpha
        && let Some(factor) = parse(&stem)
        && matches!(factor.role, FactorRole::Down | FactorRole::Up)
    {
        return Some(Key { role, ..factor });
    }
    let peft = stem.contains(PEFT_WRAPPER) || adapter.is_some() || PEFT_WORDS.contains(&word);
    let (part, layer) = layer_of(&stem)?;
    Some(Key {
        part,
        layer,
        role,
        peft,
        adapter,
    })
}

/// The words before the one that has so many behind it, that word, its role, and the name of the adapter.
fn find_word<'a>(words: &[&'a str], behind: usize) -> Option<(String, &'a str, FactorRole, Option<String>)> {
    let place = words.len().checked_sub(behind + 1)?;
    let (word, behind) = (words[place], &words[place + 1..]);
    // Names of old versions of diffusers, as `to_q_lora.down.weight`, have their word behind an underscore.
    let (known, stem) = match word.ends_with("_lora") && !behind.is_empty() {
        true => ("lora", &words[..=place]),
        false => (word, &words[..place]),
    };
    let (_, role, ending) = WORDS.iter().find(|(of, ..)| *of == known)?;
    let (role, adapter) = match (ending, behind) {
        (Nothing | Peft, []) | (Weight | Peft, ["weight"]) | (DownUp, ["down", "weight"]) => (*role, None),
        (DownUp, ["up", "weight"]) => (FactorRole::Up, None),
        (Peft, ["bias"]) if *role == FactorRole::Up => (FactorRole::UpBias, None),
        (Peft, [name, "bias"]) if *role == FactorRole::Up => (FactorRole::UpBias, Some(*name)),
        (Peft, [name] | [name, "weight"]) if *name != "bias" => (*role, Some(*name)),
        _ => return None,
    };
    Some((stem.join("."), known, role, adapter.map(str::to_owned)))
}

/// The name of a whole weight or bias: of a layer that PEFT saved, or the factors of LyCORIS's (IA)³.
fn parse_whole(name: &str) -> Option<Key> {
    let (stem, last) = name.rsplit_once('.')?;
    let peft = stem.contains(PEFT_WRAPPER);
    let role = match (last, peft) {
        ("weight", true) => FactorRole::Weight,
        ("bias", true) => FactorRole::Bias,
        ("weight", false) => FactorRole::Factors,
        _ => return None,
    };
    let (stem, adapter) = match stem.split_once(PEFT_SAVED) {
        Some((stem, adapter)) => (stem, adapter.strip_prefix('.').map(str::to_owned)),
        None => (stem, None),
    };
    let (part, layer) = layer_of(stem)?;
    Some(Key {
        part,
        layer,
        role,
        peft,
        adapter,
    })
}

/// The network and the layer that the beginning of a name stands for.
fn layer_of(stem: &str) -> Option<(Part, String)> {
    let stem = stem.replace(COMPILED, "").replacen(PEFT_WRAPPER, "", 1);
    let stem = stem.strip_suffix(PEFT_BASE).unwrap_or(&stem);
    let begins = |parts: &[(&str, Part)]| {
        parts
            .iter()
            .find_map(|(beginning, part)| Some((stem.strip_prefix(beginning)?, *part)))
    };
    let (layer, part) = begins(&FLAT_PARTS)
        .or_else(|| begins(&DOTTED_PARTS))
        .unwrap_or((stem, Part::Unet));
    let layer = match layer.strip_suffix("_lora") {
        Some(layer) => of_processor(layer, part),
        None if layer.contains(".processor.") => of_processor(layer, part),
        None => layer.to_owned(),
    };
    (!layer.is_empty()).then(|| (part, flat(&layer, part)))
}

/// Diffusers once had LoRAs in attention processors, `attn1.processor.to_out`, whose layers have other names.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_naming_means_the_same_layer() {
        let layer = "down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_out_0";
        let dotted = "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0";
        let processor = "down_blocks.0.attentions.1.transformer_blocks.0.attn1.processor.to_out";
        for name in [
            format!("lora_unet_{layer}.lora_down.weight"),
            format!("lycoris_{layer}.lora_down.weight"),
            format!("unet.{dotted}.lora_A.weight"),
            format!("unet.{dotted}.lora_A.default.weight"),
            format!("unet.{dotted}.lora_A.my-style.weight"),
            format!("unet.{dotted}.lora_A"),
            format!("unet._orig_mod.{dotted}.lora_A.weight"),
            format!("base_model.model.unet.{dotted}.lora_A.weight"),
            format!("base_model.model.{dotted}.lora_A.weight"),
            format!("unet.base_model.model.{dotted}.lora_A.weight"),
            format!("diffusion_model.{dotted}.lora_A.weight"),
            format!("diffusion_model.{dotted}.lora_down.weight"),
            format!("{dotted}.lora_A.weight"),
            format!("unet.{dotted}.lora.down.weight"),
            format!("unet.{processor}_lora.down.weight"),
            format!("{processor}_lora.down.weight"),
            format!("unet.{processor}.lora.down.weight"),
        ] {
            let found = parse(&name).map(|key| (key.part, key.layer, key.role));
            assert_eq!(found, Some((Part::Unet, layer.to_owned(), FactorRole::Down)), "{name}");
        }
        for name in [
            format!("lora_unet_{layer}.alpha"),
            format!("unet.{dotted}.alpha"),
            format!("unet.{processor}_lora.down.weight.alpha"),
            format!("{processor}_lora.up.weight.alpha"),
        ] {
            let found = parse(&name).map(|key| (key.layer, key.role));
            assert_eq!(found, Some((layer.to_owned(), FactorRole::Alpha)), "{name}");
        }
    }

    #[test]
    fn every_naming_of_a_text_encoder_means_the_same_layer() {
        let flat = "text_model_encoder_layers_3_self_attn_q_proj.lora_up.weight";
        let dotted = "text_model.encoder.layers.3.self_attn";
        for (name, encoder) in [
            (format!("lora_te_{flat}"), 0),
            (format!("lora_te1_{flat}"), 0),
            (format!("lora_te2_{flat}"), 1),
            (format!("lycoris_{flat}"), 0),
            (format!("text_encoder.{dotted}.q_proj.lora_B.weight"), 0),
            (format!("text_encoder_2.{dotted}.q_proj.lora_B.weight"), 1),
            (
                format!("text_encoder_2.base_model.model.{dotted}.q_proj.lora_B.weight"),
                1,
            ),
            (format!("base_model.model.{dotted}.q_proj.lora_B.weight"), 0),
            (
                format!("text_encoders.clip_l.transformer.{dotted}.q_proj.lora_B.weight"),
                0,
            ),
            (
                format!("text_encoders.clip_g.transformer.{dotted}.q_proj.lora_up.weight"),
                1,
            ),
            (format!("clip_l.transformer.{dotted}.q_proj.lora_up.weight"), 0),
            (format!("clip_g.{dotted}.q_proj.lora_up.weight"), 1),
            (format!("te1.{dotted}.q_proj.lora_up.weight"), 0),
            (format!("text_encoder.{dotted}.q_proj.lora_linear_layer.up.weight"), 0),
            (format!("text_encoder.{dotted}.to_q_lora.up.weight"), 0),
        ] {
            let wanted = (
                Part::Text(encoder),
                "encoder_layers_3_self_attn_q_proj".to_owned(),
                FactorRole::Up,
            );
            let found = parse(&name).map(|key| (key.part, key.layer, key.role));
            assert_eq!(found, Some(wanted), "{name}");
        }
    }

    #[test]
    fn what_peft_says_besides_is_kept() {
        let found = |name: &str| parse(name).map(|key| (key.role, key.peft, key.adapter));
        let named = |name: &str| Some(name.to_owned());
        for (name, wanted) in [
            ("x.lora_B.one.bias", (FactorRole::UpBias, true, named("one"))),
            ("x.lora_B.bias", (FactorRole::UpBias, true, None)),
            ("x.lora_magnitude_vector", (FactorRole::Magnitude, true, None)),
            (
                "x.lora_magnitude_vector.one.weight",
                (FactorRole::Magnitude, true, named("one")),
            ),
            ("base_model.model.x.hada_w1_a", (FactorRole::Hada1A, true, None)),
            ("lora_unet_x.hada_w1_a", (FactorRole::Hada1A, false, None)),
            ("x.oft_R.weight", (FactorRole::OftTriangles, true, None)),
            ("base_model.model.x.base_layer.bias", (FactorRole::Bias, true, None)),
            (
                "base_model.model.x.modules_to_save.one.weight",
                (FactorRole::Weight, true, named("one")),
            ),
            ("lora_unet_x.weight", (FactorRole::Factors, false, None)),
            ("lora_unet_x.set_weight", (FactorRole::Weight, false, None)),
        ] {
            assert_eq!(found(name), Some(wanted), "{name}");
        }
        let layer = |name: &str| parse(name).map(|key| key.layer);
        assert_eq!(layer("base_model.model.x.base_layer.bias"), named("x"));
        assert_eq!(layer("base_model.model.x.modules_to_save.one.weight"), named("x"));
        for name in ["x.lora_A.bias", "x.bias", "alpha", "lora_A.weight", "", "."] {
            assert_eq!(found(name), None, "{name}");
        }
    }

    #[test]
    fn adapters_of_other_kinds_are_known_by_name() {
        assert_eq!(other_kind("x.boft_R.default"), Some("PEFT's BOFT"));
        assert_eq!(other_kind("lora_unet_x.lambda_layer"), Some("T-LoRA"));
        assert_eq!(other_kind("x.lora_E.default"), Some("AdaLoRA"));
        assert_eq!(other_kind("lora_unet_x.lora_down.weight"), None);
    }
}

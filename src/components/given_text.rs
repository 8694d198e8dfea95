//! Text encoders that are given beside a model, to stand in the place of its own: what each is, by its tensors, and their names, those of
//! llama.cpp's GGUF files on the left, those of transformers on the right.

use std::path::{Path, PathBuf};

use super::{
    networks::Networks,
    text::{ClipConfig, TEXT_WEIGHTS_STEM, qwen3::Qwen3Config, t5::T5Config},
};
use crate::{
    error::{Error, Result},
    weights::{Rules, Store, config::MAX_LAYERS, open_weights},
};

/// A kind of text encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextEncoder {
    Clip,
    T5,
    Qwen3,
}

/// Tensors by which encoders are known: of each naming one that no other has, and one whose last side is the encoder's width.
const MARKS: [(TextEncoder, &str, &str); 6] = [
    (
        TextEncoder::Clip,
        "text_model.encoder.layers.0.self_attn.q_proj.weight",
        "text_model.embeddings.token_embedding.weight",
    ),
    (
        TextEncoder::T5,
        "encoder.block.0.layer.0.SelfAttention.q.weight",
        "encoder.final_layer_norm.weight",
    ),
    (TextEncoder::T5, "enc.blk.0.attn_q.weight", "enc.output_norm.weight"),
    (
        TextEncoder::Qwen3,
        "model.layers.0.self_attn.q_norm.weight",
        "model.layers.0.input_layernorm.weight",
    ),
    (
        TextEncoder::Qwen3,
        "layers.0.self_attn.q_norm.weight",
        "layers.0.input_layernorm.weight",
    ),
    (TextEncoder::Qwen3, "blk.0.attn_q_norm.weight", "blk.0.attn_norm.weight"),
];

/// Modules of a layer of T5.
const OF_T5: [(&str, &str); 9] = [
    ("attn_norm", "layer.0.layer_norm"),
    ("attn_q", "layer.0.SelfAttention.q"),
    ("attn_k", "layer.0.SelfAttention.k"),
    ("attn_v", "layer.0.SelfAttention.v"),
    ("attn_o", "layer.0.SelfAttention.o"),
    ("ffn_norm", "layer.1.layer_norm"),
    ("ffn_gate", "layer.1.DenseReluDense.wi_0"),
    ("ffn_up", "layer.1.DenseReluDense.wi_1"),
    ("ffn_down", "layer.1.DenseReluDense.wo"),
];

/// Modules of a layer of Qwen3.
const OF_QWEN3: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

impl TextEncoder {
    fn in_words(self) -> &'static str {
        match self {
            Self::Clip => "a CLIP",
            Self::T5 => "a T5",
            Self::Qwen3 => "a Qwen3",
        }
    }

    /// The width that the configuration of a model's own says.
    fn width_in(self, networks: &Networks, folder: &str) -> Result<usize> {
        match self {
            Self::Clip => Ok(networks.config(folder, ClipConfig::from_json)?.hidden_size),
            Self::T5 => Ok(networks.config(folder, T5Config::from_json)?.d_model),
            Self::Qwen3 => Ok(networks.config(folder, Qwen3Config::from_json)?.hidden_size),
        }
    }

    /// The tensors under the names of transformers.
    fn store(self, store: &Store) -> Store {
        match self {
            Self::T5 if store.shape("token_embd.weight").is_some() => store.renamed(t5_rules().finish()),
            Self::Qwen3 if store.shape("token_embd.weight").is_some() => store.renamed(qwen3_rules().finish()),
            _ => store.clone(),
        }
    }
}

fn t5_rules() -> Rules {
    let mut rules = Rules::new("");
    rules.module("token_embd", "shared");
    rules.module("enc.output_norm", "encoder.final_layer_norm");
    rules.module(
        "enc.blk.0.attn_rel_b",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
    );
    for layer in 0..MAX_LAYERS {
        rules.modules(&format!("enc.blk.{layer}"), &format!("encoder.block.{layer}"), &OF_T5);
    }
    rules
}

fn qwen3_rules() -> Rules {
    let mut rules = Rules::new("");
    rules.module("token_embd", "model.embed_tokens");
    for layer in 0..MAX_LAYERS {
        rules.modules(&format!("blk.{layer}"), &format!("model.layers.{layer}"), &OF_QWEN3);
    }
    rules
}

/// A text encoder that was given.
struct Given {
    kind: TextEncoder,
    width: usize,
    store: Store,
}

fn open(path: &Path, places: &[(&'static str, TextEncoder)]) -> Result<Given> {
    let store = match path.is_dir() {
        true => open_weights(path, TEXT_WEIGHTS_STEM)?,
        false => Store::open(path)?,
    };
    let found = MARKS.into_iter().find_map(|(kind, mark, widths)| {
        store.shape(mark)?;
        Some((kind, store.shape(widths)?.last().copied()?))
    });
    let Some((kind, width)) = found else {
        let looked_for = MARKS
            .into_iter()
            .filter(|(kind, ..)| places.iter().any(|(_, own)| own == kind));
        let looked_for: Vec<&str> = looked_for.map(|(_, mark, _)| mark).collect();
        return Err(Error::failed(format!(
            "it holds no text encoder that this model reads with: {} was looked for",
            looked_for.join(" or ")
        )));
    };
    Ok(Given {
        kind,
        width,
        store: kind.store(&store),
    })
}

/// Puts text encoders in the place of a model's own of the same kind and width, whose folders `places` names; what was put is in `notes`.
///
/// # Errors
///
/// Where one cannot be read, or none of the model's is of its kind and width.
pub(crate) fn put_text(
    networks: &mut Networks,
    given: &[PathBuf],
    places: &[(&'static str, TextEncoder)],
    notes: &mut Vec<String>,
) -> Result<()> {
    let mut free = places.to_vec();
    for path in given {
        let found = open(path, places).map_err(|error| error.context(path.display()))?;
        let fits = |(folder, kind): &(&'static str, TextEncoder)| {
            *kind == found.kind && kind.width_in(networks, folder).is_ok_and(|width| width == found.width)
        };
        let Some(place) = free.iter().position(fits) else {
            let kinds: Vec<&str> = places.iter().map(|(_, kind)| kind.in_words()).collect();
            return Err(Error::usage(format!(
                "{} is {} of width {}, and no text encoder of the model is one that it can stand for: it reads with {}, of \
                 widths in their folders' configurations, and each is replaced once",
                path.display(),
                found.kind.in_words(),
                found.width,
                kinds.join(", ")
            )));
        };
        let (folder, _) = free.remove(place);
        notes.push(format!("the {folder} is that of {}", path.display()));
        networks.put(folder, found.store);
    }
    Ok(())
}

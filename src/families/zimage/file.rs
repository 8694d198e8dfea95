//! Z-Image's transformer among the tensors of a file: its configuration from them, and their names, those of ComfyUI's files on the left,
//! those of diffusers on the right.

use serde_json::json;

use super::{PATCH, config::ZImageConfig};
use crate::{
    components::transformer_file::{Marks, Naming, TransformerFile},
    error::Result,
    weights::{Rules, Store, Take},
};

/// Padding of the text tells it from Lumina 2, whose other tensors have the same names.
const MARKS: Marks = Marks {
    what: "a Z-Image",
    authors: &["layers.0.attention.qkv.weight", "cap_pad_token"],
    diffusers: &["layers.0.attention.to_q.weight", "cap_pad_token"],
    without: &[],
};

/// The stacks of its blocks.
const STACKS: [&str; 3] = ["noise_refiner", "context_refiner", "layers"];
/// Modules of a block that are called alike.
const ALIKE: [&str; 8] = [
    "adaLN_modulation.0",
    "attention_norm1",
    "attention_norm2",
    "ffn_norm1",
    "ffn_norm2",
    "feed_forward.w1",
    "feed_forward.w2",
    "feed_forward.w3",
];

/// The transformer among the tensors of a file.
#[derive(Clone)]
pub struct ZImageFile(TransformerFile);

impl ZImageFile {
    /// The transformer among the tensors, if there is one.
    pub fn find(store: &Store) -> Option<Self> {
        TransformerFile::find(store, &MARKS).map(Self)
    }

    /// The configuration that its tensors show, with what they do not as in another of the same kind, else as published.
    ///
    /// # Errors
    ///
    /// Where a tensor is missing or of a shape that no Z-Image has.
    pub fn config(&self, like: Option<&ZImageConfig>) -> Result<ZImageConfig> {
        let file = &self.0;
        let (x_embedder, query, norm) = match file.naming() {
            Naming::Authors => ("x_embedder.weight", "attention.qkv.weight", "attention.q_norm.weight"),
            Naming::Diffusers => (
                "all_x_embedder.2-1.weight",
                "attention.to_q.weight",
                "attention.norm_q.weight",
            ),
        };
        let [width, numbers] = file.sides(x_embedder)?;
        let [_, text] = file.sides("cap_embedder.1.weight")?;
        let mut json = json!({
            "in_channels": numbers / (PATCH * PATCH),
            "dim": width,
            "n_layers": file.count("layers", query),
            "n_refiner_layers": file.count("noise_refiner", query),
            "n_heads": file.heads(width, &format!("layers.0.{norm}"))?,
            "cap_feat_dim": text,
            // What is published for this one.
            "axes_lens": [1536, 512, 512],
        });
        if let Some(like) = like {
            json["norm_eps"] = json!(like.norm_eps);
            json["rope_theta"] = json!(like.rope_theta);
            json["t_scale"] = json!(like.t_scale);
            json["axes_dims"] = json!(like.axes_dims);
            json["axes_lens"] = json!(like.axes_lens);
        }
        ZImageConfig::from_json(&json).map_err(|error| error.context("what the tensors show"))
    }

    /// The tensors under the names of `transformer/diffusion_pytorch_model.safetensors`.
    ///
    /// # Errors
    ///
    /// Names tensors of the transformer that it does not have by its configuration.
    pub fn store(&self, config: &ZImageConfig) -> Result<Store> {
        self.0.renamed(|rules| {
            outside(rules);
            for (stack, blocks) in
                STACKS
                    .into_iter()
                    .zip([config.n_refiner_layers, config.n_refiner_layers, config.n_layers])
            {
                (0..blocks).for_each(|block| of_block(rules, &format!("{stack}.{block}")));
            }
        })
    }
}

/// Layers that are in no block.
fn outside(rules: &mut Rules) {
    for (theirs, ours) in [
        ("x_embedder", "all_x_embedder.2-1"),
        ("final_layer", "all_final_layer.2-1"),
    ] {
        rules.module(theirs, ours);
    }
    for module in ["cap_embedder", "t_embedder"] {
        rules.module(module, module);
    }
    for token in ["x_pad_token", "cap_pad_token"] {
        rules.tensor(token, token);
    }
}

fn of_block(rules: &mut Rules, block: &str) {
    for module in ALIKE {
        let module = format!("{block}.{module}");
        rules.module(&module, &module);
    }
    for (third, projection) in ["to_q", "to_k", "to_v"].into_iter().enumerate() {
        rules.part(
            &format!("{block}.attention.qkv"),
            &format!("{block}.attention.{projection}"),
            Take::Third(third),
        );
    }
    for (theirs, ours) in [("out", "to_out.0"), ("q_norm", "norm_q"), ("k_norm", "norm_k")] {
        rules.module(
            &format!("{block}.attention.{theirs}"),
            &format!("{block}.attention.{ours}"),
        );
    }
}

//! Flux's transformer among the tensors of a file: its configuration from them, and their names, those of its authors (Black Forest
//! Labs) on the left, those of diffusers on the right.

use serde_json::json;

use super::{FFN_RATIO, config::FluxConfig};
use crate::{
    components::transformer_file::{Marks, Naming, TransformerFile},
    error::Result,
    weights::{Rules, Store, Take},
};

/// What is of Flux.1 alone: blocks of Flux.2 share their modulations.
const MARKS: Marks = Marks {
    what: "a Flux",
    authors: &["double_blocks.0.img_attn.qkv.weight"],
    diffusers: &[
        "transformer_blocks.0.attn.add_q_proj.weight",
        "single_transformer_blocks.0.attn.to_q.weight",
    ],
    without: &["double_stream_modulation_img.lin.weight"],
};

const ATTENTION: [(&str, [&str; 3], [&str; 2]); 2] = [
    ("img", ["to_q", "to_k", "to_v"], ["norm_q", "norm_k"]),
    (
        "txt",
        ["add_q_proj", "add_k_proj", "add_v_proj"],
        ["norm_added_q", "norm_added_k"],
    ),
];

/// The transformer among the tensors of a file.
#[derive(Clone)]
pub struct FluxFile(TransformerFile);

impl FluxFile {
    /// The transformer among the tensors, if there is one.
    pub fn find(store: &Store) -> Option<Self> {
        TransformerFile::find(store, &MARKS).map(Self)
    }

    /// The configuration that its tensors show, with what they do not as in another of the same kind, else as published.
    ///
    /// # Errors
    ///
    /// Where a tensor is missing or of a shape that no Flux has, or the tensors are those of a network that this program does not
    /// compute.
    pub fn config(&self, like: Option<&FluxConfig>) -> Result<FluxConfig> {
        let file = &self.0;
        let names = match file.naming() {
            Naming::Authors => Names {
                x_embedder: "img_in.weight",
                context_embedder: "txt_in.weight",
                pooled: "vector_in.in_layer.weight",
                guidance: "guidance_in.in_layer.weight",
                norm: "double_blocks.0.img_attn.norm.query_norm.scale",
                block: ("double_blocks", "img_attn.qkv.weight"),
                single_block: ("single_blocks", "linear1.weight"),
            },
            Naming::Diffusers => Names {
                x_embedder: "x_embedder.weight",
                context_embedder: "context_embedder.weight",
                pooled: "time_text_embed.text_embedder.linear_1.weight",
                guidance: "time_text_embed.guidance_embedder.linear_1.weight",
                norm: "transformer_blocks.0.attn.norm_q.weight",
                block: ("transformer_blocks", "attn.to_q.weight"),
                single_block: ("single_transformer_blocks", "attn.to_q.weight"),
            },
        };
        let [width, in_channels] = file.sides(names.x_embedder)?;
        let [_, joint] = file.sides(names.context_embedder)?;
        let [_, pooled] = file.sides(names.pooled)?;
        let heads = file.heads(width, names.norm)?;
        let count = |(blocks, tensor): (&str, &str)| file.count(blocks, tensor);
        let mut json = json!({
            "in_channels": in_channels,
            "num_layers": count(names.block),
            "num_single_layers": count(names.single_block),
            "attention_head_dim": width / heads,
            "num_attention_heads": heads,
            "joint_attention_dim": joint,
            "pooled_projection_dim": pooled,
            "guidance_embeds": file.shape(names.guidance).is_some(),
        });
        if let Some(like) = like {
            json["axes_dims_rope"] = json!(like.axes_dims_rope);
        }
        FluxConfig::from_json(&json).map_err(|error| error.context("what the tensors show"))
    }

    /// The tensors under the names of `transformer/diffusion_pytorch_model.safetensors`.
    ///
    /// # Errors
    ///
    /// Names tensors of the transformer that it does not have by its configuration.
    pub fn store(&self, config: &FluxConfig) -> Result<Store> {
        self.0.renamed(|rules| {
            outside(rules);
            (0..config.num_layers).for_each(|block| double_block(rules, block));
            (0..config.num_single_layers).for_each(|block| single_block(rules, block, config.width()));
        })
    }
}

/// Layers that are in no block.
fn outside(rules: &mut Rules) {
    for (theirs, ours) in [
        ("img_in", "x_embedder"),
        ("txt_in", "context_embedder"),
        ("final_layer.linear", "proj_out"),
    ] {
        rules.module(theirs, ours);
    }
    for (theirs, ours) in [
        ("time_in", "timestep"),
        ("guidance_in", "guidance"),
        ("vector_in", "text"),
    ] {
        let ours = format!("time_text_embed.{ours}_embedder");
        rules.modules(theirs, &ours, &[("in_layer", "linear_1"), ("out_layer", "linear_2")]);
    }
    // Their last norm has the shift first.
    rules.part("final_layer.adaLN_modulation.1", "norm_out.linear", Take::SwappedHalves);
}

/// Tensors that show the configuration.
struct Names {
    x_embedder: &'static str,
    context_embedder: &'static str,
    pooled: &'static str,
    guidance: &'static str,
    norm: &'static str,
    block: (&'static str, &'static str),
    single_block: (&'static str, &'static str),
}

fn double_block(rules: &mut Rules, block: usize) {
    let (from, to) = (format!("double_blocks.{block}"), format!("transformer_blocks.{block}"));
    for (theirs, ours) in [
        ("img_mod.lin", "norm1.linear"),
        ("txt_mod.lin", "norm1_context.linear"),
        ("img_attn.proj", "attn.to_out.0"),
        ("txt_attn.proj", "attn.to_add_out"),
        ("img_mlp.0", "ff.net.0.proj"),
        ("img_mlp.2", "ff.net.2"),
        ("txt_mlp.0", "ff_context.net.0.proj"),
        ("txt_mlp.2", "ff_context.net.2"),
    ] {
        rules.module(&format!("{from}.{theirs}"), &format!("{to}.{ours}"));
    }
    for (stream, projections, norms) in ATTENTION {
        let from = format!("{from}.{stream}_attn");
        for (third, projection) in projections.into_iter().enumerate() {
            rules.part(
                &format!("{from}.qkv"),
                &format!("{to}.attn.{projection}"),
                Take::Third(third),
            );
        }
        norms_of(rules, &from, norms.map(|norm| format!("{to}.attn.{norm}")));
    }
}

fn single_block(rules: &mut Rules, block: usize, width: usize) {
    let (from, to) = (
        format!("single_blocks.{block}"),
        format!("single_transformer_blocks.{block}"),
    );
    rules.module(&format!("{from}.modulation.lin"), &format!("{to}.norm.linear"));
    rules.module(&format!("{from}.linear2"), &format!("{to}.proj_out"));
    let parts = [
        ("attn.to_q", width),
        ("attn.to_k", width),
        ("attn.to_v", width),
        ("proj_mlp", FFN_RATIO * width),
    ];
    let mut first = 0;
    for (part, rows) in parts {
        rules.part(
            &format!("{from}.linear1"),
            &format!("{to}.{part}"),
            Take::Rows(first, rows),
        );
        first += rows;
    }
    norms_of(rules, &from, ["q", "k"].map(|norm| format!("{to}.attn.norm_{norm}")));
}

/// The norms of queries and keys, whose weights are called scales.
fn norms_of(rules: &mut Rules, from: &str, to: [String; 2]) {
    for (theirs, ours) in ["query_norm", "key_norm"].into_iter().zip(to) {
        rules.tensor(&format!("{from}.norm.{theirs}.scale"), &format!("{ours}.weight"));
    }
}

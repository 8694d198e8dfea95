//! Flux.2's transformer among the tensors of a file: its configuration from them, and their names, those of its authors (Black Forest
//! Labs) on the left, those of diffusers on the right.

use serde_json::json;

use super::config::Flux2Config;
use crate::{
    components::transformer_file::{Marks, Naming, TransformerFile},
    error::{Error, Result},
    weights::{Rules, Store, Take},
};

/// Modulations that blocks share tell it from Flux.1.
const MARKS: Marks = Marks {
    what: "a Flux.2",
    authors: &[
        "double_blocks.0.img_attn.qkv.weight",
        "double_stream_modulation_img.lin.weight",
    ],
    diffusers: &[
        "transformer_blocks.0.attn.to_q.weight",
        "double_stream_modulation_img.linear.weight",
    ],
    without: &[],
};

/// Names of tensors that show the configuration.
struct Names {
    x_embedder: &'static str,
    context_embedder: &'static str,
    time: &'static str,
    guidance: &'static str,
    norm: &'static str,
    ffn: &'static str,
    block: (&'static str, &'static str),
    single_block: (&'static str, &'static str),
}

const OF_AUTHORS: Names = Names {
    x_embedder: "img_in.weight",
    context_embedder: "txt_in.weight",
    time: "time_in.in_layer.weight",
    guidance: "guidance_in.in_layer.weight",
    norm: "double_blocks.0.img_attn.norm.query_norm.scale",
    ffn: "double_blocks.0.img_mlp.2.weight",
    block: ("double_blocks", "img_attn.qkv.weight"),
    single_block: ("single_blocks", "linear1.weight"),
};

const OF_DIFFUSERS: Names = Names {
    x_embedder: "x_embedder.weight",
    context_embedder: "context_embedder.weight",
    time: "time_guidance_embed.timestep_embedder.linear_1.weight",
    guidance: "time_guidance_embed.guidance_embedder.linear_1.weight",
    norm: "transformer_blocks.0.attn.norm_q.weight",
    ffn: "transformer_blocks.0.ff.linear_out.weight",
    block: ("transformer_blocks", "attn.to_q.weight"),
    single_block: ("single_transformer_blocks", "attn.to_qkv_mlp_proj.weight"),
};

/// The transformer among the tensors of a file.
#[derive(Clone)]
pub struct Flux2File(TransformerFile);

impl Flux2File {
    /// The transformer among the tensors, if there is one.
    pub fn find(store: &Store) -> Option<Self> {
        TransformerFile::find(store, &MARKS).map(Self)
    }

    /// The configuration that its tensors show, with what they do not as in another of the same kind, else as published.
    ///
    /// # Errors
    ///
    /// Where a tensor is missing or of a shape that no Flux.2 has, or the tensors are those of FLUX.2 \[dev\].
    pub fn config(&self, like: Option<&Flux2Config>) -> Result<Flux2Config> {
        let file = &self.0;
        let names = match file.naming() {
            Naming::Authors => OF_AUTHORS,
            Naming::Diffusers => OF_DIFFUSERS,
        };
        let [width, in_channels] = file.sides(names.x_embedder)?;
        let [_, joint] = file.sides(names.context_embedder)?;
        let [_, sinusoids] = file.sides(names.time)?;
        let [_, inner] = file.sides(names.ffn)?;
        let heads = file.heads(width, names.norm)?;
        if width == 0 {
            return Err(Error::failed(format!("the tensor {} is empty", names.x_embedder)));
        }
        let count = |(blocks, tensor): (&str, &str)| file.count(blocks, tensor);
        let mut json = json!({
            "in_channels": in_channels,
            "num_layers": count(names.block),
            "num_single_layers": count(names.single_block),
            "attention_head_dim": width / heads,
            "num_attention_heads": heads,
            "joint_attention_dim": joint,
            "timestep_guidance_channels": sinusoids,
            "mlp_ratio": inner as f64 / width as f64,
            "guidance_embeds": file.shape(names.guidance).is_some(),
        });
        if let Some(like) = like {
            json["axes_dims_rope"] = json!(like.axes_dims_rope);
            json["rope_theta"] = json!(like.rope_theta);
        }
        Flux2Config::from_json(&json).map_err(|error| error.context("what the tensors show"))
    }

    /// The tensors under the names of `transformer/diffusion_pytorch_model.safetensors`.
    ///
    /// # Errors
    ///
    /// Names tensors of the transformer that it does not have by its configuration.
    pub fn store(&self, config: &Flux2Config) -> Result<Store> {
        self.0.renamed(|rules| {
            outside(rules);
            (0..config.num_layers).for_each(|block| double_block(rules, block));
            (0..config.num_single_layers).for_each(|block| single_block(rules, block));
        })
    }
}

/// Layers that are in no block.
fn outside(rules: &mut Rules) {
    for (theirs, ours) in [
        ("img_in", "x_embedder"),
        ("txt_in", "context_embedder"),
        (
            "double_stream_modulation_img.lin",
            "double_stream_modulation_img.linear",
        ),
        (
            "double_stream_modulation_txt.lin",
            "double_stream_modulation_txt.linear",
        ),
        ("single_stream_modulation.lin", "single_stream_modulation.linear"),
        ("final_layer.linear", "proj_out"),
    ] {
        rules.module(theirs, ours);
    }
    rules.modules(
        "time_in",
        "time_guidance_embed.timestep_embedder",
        &[("in_layer", "linear_1"), ("out_layer", "linear_2")],
    );
    // Their last norm has the shift first.
    rules.part("final_layer.adaLN_modulation.1", "norm_out.linear", Take::SwappedHalves);
}

fn double_block(rules: &mut Rules, block: usize) {
    let (from, to) = (format!("double_blocks.{block}"), format!("transformer_blocks.{block}"));
    for (theirs, ours) in [
        ("img_attn.proj", "attn.to_out.0"),
        ("txt_attn.proj", "attn.to_add_out"),
        ("img_mlp.0", "ff.linear_in"),
        ("img_mlp.2", "ff.linear_out"),
        ("txt_mlp.0", "ff_context.linear_in"),
        ("txt_mlp.2", "ff_context.linear_out"),
    ] {
        rules.module(&format!("{from}.{theirs}"), &format!("{to}.{ours}"));
    }
    for (stream, projections, norms) in [
        ("img", ["to_q", "to_k", "to_v"], ["norm_q", "norm_k"]),
        (
            "txt",
            ["add_q_proj", "add_k_proj", "add_v_proj"],
            ["norm_added_q", "norm_added_k"],
        ),
    ] {
        let from = format!("{from}.{stream}_attn");
        for (third, projection) in projections.into_iter().enumerate() {
            let ours = format!("{to}.attn.{projection}");
            rules.part(&format!("{from}.qkv"), &ours, Take::Third(third));
        }
        norms_of(rules, &from, norms.map(|norm| format!("{to}.attn.{norm}")));
    }
}

fn single_block(rules: &mut Rules, block: usize) {
    let from = format!("single_blocks.{block}");
    let to = format!("single_transformer_blocks.{block}.attn");
    for (theirs, ours) in [("linear1", "to_qkv_mlp_proj"), ("linear2", "to_out")] {
        rules.module(&format!("{from}.{theirs}"), &format!("{to}.{ours}"));
    }
    norms_of(rules, &from, ["q", "k"].map(|norm| format!("{to}.norm_{norm}")));
}

/// The norms of queries and keys, whose weights are called scales.
fn norms_of(rules: &mut Rules, from: &str, to: [String; 2]) {
    for (theirs, ours) in ["query_norm", "key_norm"].into_iter().zip(to) {
        rules.tensor(&format!("{from}.norm.{theirs}.scale"), &format!("{ours}.weight"));
    }
}

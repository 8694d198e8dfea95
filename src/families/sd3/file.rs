//! The transformer of Stable Diffusion 3 among the tensors of a file, and the other networks of a model in one: names of the authors
//! on the left, those of diffusers and transformers on the right.

use serde_json::json;

use super::config::Sd3Config;
use crate::{
    components::{
        networks::VAE,
        transformer_file::{Marks, Naming, TransformerFile},
    },
    error::{Error, Result},
    weights::{Rename, Rules, Store, Take, config::MAX_LAYERS},
};

/// What is of Stable Diffusion 3 alone: Flux and Flux.2 have blocks of one stream too.
const MARKS: Marks = Marks {
    what: "a Stable Diffusion 3",
    authors: &["joint_blocks.0.x_block.attn.qkv.weight"],
    diffusers: &["transformer_blocks.0.attn.add_q_proj.weight"],
    without: &[
        "single_transformer_blocks.0.attn.to_q.weight",
        "single_transformer_blocks.0.attn.to_qkv_mlp_proj.weight",
    ],
};
/// Prefixes of an autoencoder in files of a whole model.
const AUTOENCODERS: [&str; 2] = ["first_stage_model.", "vae."];
/// The text encoders in a file of a whole model, and their folders in the hub's layout.
const TEXT_ENCODERS: [(&str, &str); 3] = [
    ("text_encoders.clip_l.transformer.", "text_encoder"),
    ("text_encoders.clip_g.transformer.", "text_encoder_2"),
    ("text_encoders.t5xxl.transformer.", "text_encoder_3"),
];
/// Width of a head of every published model: where queries and keys have no norms, no tensor shows it.
const HEAD_WIDTH: usize = 64;

/// The transformer among the tensors of a file.
#[derive(Clone)]
pub struct Sd3File(TransformerFile);

impl Sd3File {
    /// The transformer among the tensors, if there is one.
    pub fn find(store: &Store) -> Option<Self> {
        TransformerFile::find(store, &MARKS).map(Self)
    }

    /// The configuration that its tensors show, with what they do not as in another of the same kind, else as published.
    ///
    /// # Errors
    ///
    /// Where a tensor is missing or of a shape that no such network has.
    pub fn config(&self, like: Option<&Sd3Config>) -> Result<Sd3Config> {
        let file = &self.0;
        let (proj, table, pooled) = match file.naming() {
            Naming::Authors => ("x_embedder.proj.weight", "pos_embed", "y_embedder.mlp.0.weight"),
            Naming::Diffusers => (
                "pos_embed.proj.weight",
                "pos_embed.pos_embed",
                "time_text_embed.text_embedder.linear_1.weight",
            ),
        };
        let [width, channels] = file.sides(proj)?;
        let [_, positions, _] = file.sides(table)?;
        let [_, pooled] = file.sides(pooled)?;
        let [_, joint] = file.sides("context_embedder.weight")?;
        let has = |block: usize, authors: &str, diffusers: &str| {
            let name = match file.naming() {
                Naming::Authors => format!("joint_blocks.{block}.{authors}"),
                Naming::Diffusers => format!("transformer_blocks.{block}.{diffusers}"),
            };
            file.shape(&name).map(|shape| shape.to_vec())
        };
        let layers = (0..=MAX_LAYERS)
            .take_while(|block| has(*block, "x_block.attn.qkv.weight", "attn.to_q.weight").is_some())
            .count();
        let is_dual = |block: &usize| has(*block, "x_block.attn2.qkv.weight", "attn2.to_q.weight").is_some();
        let dual: Vec<usize> = (0..layers).filter(is_dual).collect();
        let norm = has(0, "x_block.attn.ln_q.weight", "attn.norm_q.weight");
        let of_norm = norm.as_ref().and_then(|shape| shape.first().copied());
        let head = of_norm
            .or(like.map(|like| like.attention_head_dim))
            .unwrap_or(HEAD_WIDTH);
        let side = positions.isqrt();
        if head == 0 || !width.is_multiple_of(head) || side * side != positions {
            return Err(Error::failed(format!(
                "{} holds a transformer of width {width} with heads of {head} channels and {positions} positions, which no Stable \
                 Diffusion 3 has",
                file.whole().label()
            )));
        }
        let json = json!({
            "in_channels": channels,
            "out_channels": channels,
            "num_layers": layers,
            "attention_head_dim": head,
            "num_attention_heads": width / head,
            "caption_projection_dim": width,
            "joint_attention_dim": joint,
            "pooled_projection_dim": pooled,
            "pos_embed_max_size": side,
            "dual_attention_layers": dual,
            "qk_norm": norm.map(|_| "rms_norm"),
        });
        Sd3Config::from_json(&json).map_err(|error| error.context("what the tensors show"))
    }

    /// The tensors under the names of `transformer/diffusion_pytorch_model.safetensors`.
    ///
    /// # Errors
    ///
    /// Names tensors of the transformer that it does not have by its configuration.
    pub fn store(&self, config: &Sd3Config) -> Result<Store> {
        self.0.renamed(|rules| {
            outside(rules);
            (0..config.num_layers).for_each(|block| joint_block(rules, block, config.num_layers));
        })
    }

    /// Which other networks of a model the file holds, by the names of their folders; text encoders with their tensors.
    pub(super) fn others(&self) -> Vec<(&'static str, Option<Store>)> {
        let store = self.0.whole();
        let has = |prefix: &str| store.names().any(|name| name.starts_with(prefix));
        let text = TEXT_ENCODERS.into_iter().filter(|(prefix, _)| has(prefix));
        let mut others: Vec<(&'static str, Option<Store>)> = text
            .map(|(prefix, folder)| (folder, Some(store.renamed(vec![Rename::new(prefix, "")]))))
            .collect();
        if AUTOENCODERS.iter().any(|prefix| has(prefix)) {
            others.push((VAE, None));
        }
        others
    }
}

/// Layers that are in no block.
fn outside(rules: &mut Rules) {
    for (theirs, ours) in [
        ("x_embedder.proj", "pos_embed.proj"),
        ("context_embedder", "context_embedder"),
        ("final_layer.linear", "proj_out"),
    ] {
        rules.module(theirs, ours);
    }
    for (theirs, ours) in [("t_embedder", "timestep"), ("y_embedder", "text")] {
        let ours = format!("time_text_embed.{ours}_embedder");
        rules.modules(theirs, &ours, &[("mlp.0", "linear_1"), ("mlp.2", "linear_2")]);
    }
    rules.tensor("pos_embed", "pos_embed.pos_embed");
    // Their last norms have the shift first.
    rules.part("final_layer.adaLN_modulation.1", "norm_out.linear", Take::SwappedHalves);
}

fn joint_block(rules: &mut Rules, block: usize, blocks: usize) {
    let (from, to) = (format!("joint_blocks.{block}"), format!("transformer_blocks.{block}"));
    for (theirs, ours) in [
        ("x_block.adaLN_modulation.1", "norm1.linear"),
        ("x_block.attn.proj", "attn.to_out.0"),
        ("x_block.attn.ln_q", "attn.norm_q"),
        ("x_block.attn.ln_k", "attn.norm_k"),
        ("x_block.attn2.proj", "attn2.to_out.0"),
        ("x_block.attn2.ln_q", "attn2.norm_q"),
        ("x_block.attn2.ln_k", "attn2.norm_k"),
        ("x_block.mlp.fc1", "ff.net.0.proj"),
        ("x_block.mlp.fc2", "ff.net.2"),
        ("context_block.attn.proj", "attn.to_add_out"),
        ("context_block.attn.ln_q", "attn.norm_added_q"),
        ("context_block.attn.ln_k", "attn.norm_added_k"),
        ("context_block.mlp.fc1", "ff_context.net.0.proj"),
        ("context_block.mlp.fc2", "ff_context.net.2"),
    ] {
        rules.module(&format!("{from}.{theirs}"), &format!("{to}.{ours}"));
    }
    let (theirs, ours) = (
        format!("{from}.context_block.adaLN_modulation.1"),
        format!("{to}.norm1_context.linear"),
    );
    match block + 1 == blocks {
        true => rules.part(&theirs, &ours, Take::SwappedHalves),
        false => rules.module(&theirs, &ours),
    }
    for (attention, projections) in [
        ("x_block.attn", ["attn.to_q", "attn.to_k", "attn.to_v"]),
        ("x_block.attn2", ["attn2.to_q", "attn2.to_k", "attn2.to_v"]),
        (
            "context_block.attn",
            ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"],
        ),
    ] {
        for (third, projection) in projections.into_iter().enumerate() {
            let theirs = format!("{from}.{attention}.qkv");
            rules.part(&theirs, &format!("{to}.{projection}"), Take::Third(third));
        }
    }
}

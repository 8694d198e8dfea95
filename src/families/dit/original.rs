//! The authors' checkpoints of DiT, SiT and REPA: their tensors under the names that the network has here, which are diffusers'.

use super::config::DitConfig;
use crate::{
    error::{Error, Result},
    weights::{Rename, Store, Take},
};

/// What REPA aligns with an image encoder by, which nothing here computes.
pub(super) const PROJECTORS: &str = "projectors.";
/// The second part of the stack in older files of REPA's.
pub(super) const DECODER_BLOCKS: &str = "decoder_blocks";
/// Tensors that no other network has together.
const MARKS: [&str; 2] = ["blocks.0.attn.qkv.weight", "y_embedder.embedding_table.weight"];
/// What may stand before every name of a file.
const PREFIXES: [&str; 2] = ["", "model.diffusion_model."];
/// A message about tensors that nothing reads names at most this many.
const MOST_NAMED: usize = 5;

/// The tensors without what stands before all their names; none where they are not of such a network.
pub(super) fn plain(store: &Store) -> Option<Store> {
    let prefix = PREFIXES.into_iter().find(|prefix| {
        MARKS
            .iter()
            .all(|mark| store.shape(&format!("{prefix}{mark}")).is_some())
    })?;
    Some(match prefix {
        "" => store.clone(),
        prefix => store.renamed(vec![Rename::new(prefix, "")]),
    })
}

/// The tensors of [`plain`] under the names of the network.
///
/// # Errors
///
/// Names tensors that are in no such network.
pub(super) fn renamed(plain: &Store, config: &DitConfig) -> Result<Store> {
    let rules = rules(plain, config.num_layers);
    let mut left: Vec<&str> = plain
        .names()
        .filter(|name| !name.starts_with(PROJECTORS) && !rules.iter().any(|rule| name.starts_with(&rule.from)))
        .collect();
    left.sort_unstable();
    if left.is_empty() {
        return Ok(plain.renamed(rules));
    }
    let more = left.len().saturating_sub(MOST_NAMED);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    left.truncate(MOST_NAMED);
    Err(Error::failed(format!(
        "{} holds tensors that no DiT, SiT or REPA has: {}{more}",
        plain.label(),
        left.join(", ")
    )))
}

fn rules(plain: &Store, layers: usize) -> Vec<Rename> {
    let mut rules: Vec<Rename> = [
        ("x_embedder.proj.", "pos_embed.proj."),
        ("pos_embed", "pos_embed.pos_embed"),
        ("t_embedder.mlp.0.", "emb.timestep_embedder.linear_1."),
        ("t_embedder.mlp.2.", "emb.timestep_embedder.linear_2."),
        ("y_embedder.", "emb.class_embedder."),
        ("final_layer.adaLN_modulation.1.", "proj_out_1."),
        ("final_layer.linear.", "proj_out_2."),
    ]
    .into_iter()
    .map(|(from, to)| Rename::new(from, to))
    .collect();
    let is_there = |stack: &str, index: usize| plain.shape(&format!("{stack}.{index}.attn.qkv.weight")).is_some();
    let first = (0..layers).take_while(|index| is_there("blocks", *index)).count();
    for block in 0..layers {
        // Blocks of the second part are counted on after those of the first.
        let from = match block < first {
            true => format!("blocks.{block}"),
            false => format!("{DECODER_BLOCKS}.{}", block - first),
        };
        let to = format!("transformer_blocks.{block}");
        for (third, part) in ["to_q", "to_k", "to_v"].into_iter().enumerate() {
            let rule = Rename::new(format!("{from}.attn.qkv."), format!("{to}.attn1.{part}."));
            rules.push(rule.taking(Take::Third(third)));
        }
        for (old, new) in [
            ("attn.q_norm", "attn1.norm_q"),
            ("attn.k_norm", "attn1.norm_k"),
            ("attn.proj", "attn1.to_out.0"),
            ("mlp.fc1", "ff.net.0.proj"),
            ("mlp.fc2", "ff.net.2"),
            ("adaLN_modulation.1", "norm1.linear"),
        ] {
            rules.push(Rename::new(format!("{from}.{old}."), format!("{to}.{new}.")));
        }
    }
    rules
}

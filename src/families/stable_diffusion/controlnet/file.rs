//! A ControlNet in one file: with diffusers' names, or with those of its authors, where the whole base model may lie beside
//! it in the same file.
//!
//! Tensors show which half of a U-Net it is a copy of. What they do not show (groups, heads, epsilon) is as in the U-Net
//! that it is put beside, whose copy it began as.

use std::{ffi::OsStr, path::Path};

use serde_json::Value;

use super::{
    config::{ChannelOrder, ControlNetConfig},
    half::Half,
    kind::other_kind_of_tensors,
};
use crate::{
    error::{Error, Result},
    families::stable_diffusion::{single_file::RESNET, unet::UnetConfig},
    weights::{
        Rename, Store,
        config::{MAX_LAYERS, MAX_WIDTH},
        read_json,
    },
};

/// A tensor that every ControlNet has under its authors' names, after their prefix.
const OF_AUTHORS: &str = "input_hint_block.0.weight";
/// The same under diffusers' names.
const OF_DIFFUSERS: &str = "controlnet_cond_embedding.conv_in.weight";
/// Colours of a control image.
const COLOURS: usize = 3;
/// ControlNets of shuffled pictures average their residuals over the picture. Their authors' files do not state it: who runs them
/// goes by this word in the file's name.
const SHUFFLE: &str = "shuffle";

/// A ControlNet in one file, whose tensors are not read yet.
pub struct ControlNetFile {
    /// Its tensors, named as in a folder of diffusers.
    store: Store,
    half: Half,
    /// Widths of the network that looks at the control image.
    embedding: Vec<usize>,
    /// The configuration beside it, where there is one that describes it.
    beside: Option<ControlNetConfig>,
    pools: bool,
}

impl ControlNetFile {
    /// Reads what the file is.
    pub fn open(path: &Path) -> Result<Self> {
        let store = Store::open(path)?;
        Self::of(path, &store).map_err(|error| error.context(path.display()))
    }

    fn of(path: &Path, store: &Store) -> Result<Self> {
        if let Some(kind) = other_kind_of_tensors(store) {
            return Err(not_computed(kind));
        }
        let store = named_as_in_diffusers(store)?;
        let half = Half::of_tensors(&store)?;
        check_names(&half, store.names())?;
        let embedding = embedding_widths(&store)?;
        Ok(Self {
            beside: config_beside(path, &half, &embedding),
            pools: path
                .file_name()
                .map(OsStr::to_string_lossy)
                .is_some_and(|name| name.to_lowercase().contains(SHUFFLE)),
            store,
            half,
            embedding,
        })
    }

    /// Its configuration beside a U-Net.
    pub fn config(&self, unet: &UnetConfig) -> ControlNetConfig {
        match &self.beside {
            Some(beside) => beside.clone(),
            None => ControlNetConfig {
                half: self.half.clone(),
                unet: UnetConfig {
                    in_channels: self.half.latent,
                    ..unet.clone()
                },
                conditioning_channels: COLOURS,
                channel_order: ChannelOrder::Rgb,
                embedding_channels: self.embedding.clone(),
                global_pool: self.pools,
            },
        }
    }

    /// Its tensors, named as in a folder of diffusers.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// Why a network that acts beside a U-Net in another way is not run.
pub(crate) fn not_computed(kind: &str) -> Error {
    Error::failed(format!(
        "it is {kind}, not a ControlNet: this program computes ControlNets alone (diffusers' ControlNetModel, or the authors' \
         control_model.*)"
    ))
}

/// Refuses a ControlNet with tensors that this program would leave out.
pub(crate) fn check_names<'n>(half: &Half, names: impl Iterator<Item = &'n str>) -> Result<()> {
    let mut unknown: Vec<&str> = names.filter(|name| !half.has(name)).collect();
    unknown.sort_unstable();
    match unknown.first() {
        None => Ok(()),
        Some(_) => Err(left_out(&unknown)),
    }
}

fn left_out(unknown: &[&str]) -> Error {
    const SHOWN: usize = 3;
    let shown = unknown.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    Error::failed(format!(
        "{} of its tensors belong to no ControlNet that this program knows, and would be left out: {shown}{}",
        unknown.len(),
        if unknown.len() > SHOWN { ", …" } else { "" }
    ))
}

/// The ControlNet's tensors under the names of diffusers' `diffusion_pytorch_model.safetensors`; those of a base model beside it
/// are left out.
fn named_as_in_diffusers(store: &Store) -> Result<Store> {
    let prefixes = |known: &str| -> Vec<String> {
        let found = store.names().filter_map(|name| name.strip_suffix(known));
        found.map(str::to_owned).collect()
    };
    let (authors, diffusers) = (prefixes(OF_AUTHORS), prefixes(OF_DIFFUSERS));
    match (authors.as_slice(), diffusers.as_slice()) {
        ([], [prefix]) => Ok(store.renamed(vec![Rename::new(prefix.as_str(), "")])),
        ([prefix], []) => {
            let rules = rules(store, prefix);
            let forgotten = |name: &&str| {
                name.starts_with(prefix.as_str()) && !rules.iter().any(|rule| name.starts_with(&rule.from))
            };
            let mut unknown: Vec<&str> = store.names().filter(forgotten).collect();
            unknown.sort_unstable();
            match unknown.first() {
                None => Ok(store.renamed(rules)),
                Some(_) => Err(left_out(&unknown)),
            }
        }
        ([], []) => {
            let mut names: Vec<&str> = store.names().collect();
            names.sort_unstable();
            Err(Error::failed(format!(
                "it holds no ControlNet: a tensor …{OF_DIFFUSERS} or …{OF_AUTHORS} was looked for, its {} tensors begin with {}",
                names.len(),
                names.first().unwrap_or(&"nothing")
            )))
        }
        _ => Err(Error::failed("it holds several ControlNets: give a file with one")),
    }
}

/// Rules for the authors' names. They number the blocks of all levels through, samplers included; diffusers counts levels, and
/// repeats in them.
fn rules(store: &Store, prefix: &str) -> Vec<Rename> {
    /// Every second module of what looks at the image is a convolution, the others have no tensors.
    const HINT: [(usize, &str); 8] = [
        (0, "conv_in"),
        (2, "blocks.0"),
        (4, "blocks.1"),
        (6, "blocks.2"),
        (8, "blocks.3"),
        (10, "blocks.4"),
        (12, "blocks.5"),
        (14, "conv_out"),
    ];
    let mut rules = Vec::new();
    let mut module = |from: &str, to: &str| rules.push(Rename::new(format!("{prefix}{from}."), format!("{to}.")));
    let there = |name: String| store.shape(&format!("{prefix}{name}")).is_some();
    for (from, to) in HINT {
        module(
            &format!("input_hint_block.{from}"),
            &format!("controlnet_cond_embedding.{to}"),
        );
    }
    for (from, to) in [
        ("time_embed.0", "time_embedding.linear_1"),
        ("time_embed.2", "time_embedding.linear_2"),
        ("label_emb.0.0", "add_embedding.linear_1"),
        ("label_emb.0.2", "add_embedding.linear_2"),
        ("input_blocks.0.0", "conv_in"),
        ("middle_block.1", "mid_block.attentions.0"),
        ("middle_block_out.0", "controlnet_mid_block"),
        ("zero_convs.0.0", "controlnet_down_blocks.0"),
    ] {
        module(from, to);
    }
    let (mut level, mut repeat) = (0, 0);
    for block in 1..MAX_LAYERS {
        let from = format!("input_blocks.{block}");
        if there(format!("{from}.0.op.weight")) {
            module(
                &format!("{from}.0.op"),
                &format!("down_blocks.{level}.downsamplers.0.conv"),
            );
            (level, repeat) = (level + 1, 0);
        } else if there(format!("{from}.0.in_layers.2.weight")) {
            for (theirs, ours) in RESNET {
                module(
                    &format!("{from}.0.{theirs}"),
                    &format!("down_blocks.{level}.resnets.{repeat}.{ours}"),
                );
            }
            module(
                &format!("{from}.1"),
                &format!("down_blocks.{level}.attentions.{repeat}"),
            );
            repeat += 1;
        } else {
            break;
        }
        module(
            &format!("zero_convs.{block}.0"),
            &format!("controlnet_down_blocks.{block}"),
        );
    }
    for (from, to) in [("middle_block.0", 0), ("middle_block.2", 1)] {
        for (theirs, ours) in RESNET {
            module(&format!("{from}.{theirs}"), &format!("mid_block.resnets.{to}.{ours}"));
        }
    }
    rules
}

/// Widths of the network that looks at the control image, from the shapes of its convolutions.
fn embedding_widths(store: &Store) -> Result<Vec<usize>> {
    let outputs = |name: &str| match store.shape(&format!("controlnet_cond_embedding.{name}.weight")) {
        Some([outputs, inputs, ..]) => Ok([*outputs, *inputs]),
        _ => Err(Error::failed(format!(
            "the ControlNet lacks the tensor controlnet_cond_embedding.{name}.weight"
        ))),
    };
    let [first, colours] = outputs("conv_in")?;
    if colours != COLOURS {
        return Err(Error::failed(format!(
            "its control image has {colours} channels: this program shows pictures of {COLOURS}"
        )));
    }
    let mut widths = vec![first];
    for block in [1, 3, 5] {
        widths.push(outputs(&format!("blocks.{block}"))?[0]);
    }
    match widths.iter().all(|width| (1..=MAX_WIDTH).contains(width)) {
        true => Ok(widths),
        false => Err(Error::failed(format!(
            "the network that looks at its control image has widths {widths:?}"
        ))),
    }
}

/// The configuration beside a file, where it describes this very net: people keep many files in one folder.
fn config_beside(path: &Path, half: &Half, embedding: &[usize]) -> Option<ControlNetConfig> {
    let beside = [path.with_extension("json"), path.with_file_name("config.json")];
    let read = |file: &Path| {
        let json = file.is_file().then(|| read_json(file).ok()).flatten()?;
        (json.get("_class_name") == Some(&Value::from(super::config::CLASS))).then_some(())?;
        ControlNetConfig::from_json(&json).ok()
    };
    beside
        .iter()
        .filter_map(|file| read(file))
        .find(|config| config.half == *half && config.embedding_channels == embedding)
}

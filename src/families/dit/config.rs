//! The network's configuration: diffusers' `config.json`, or what the authors' tensors and a `config.json` beside them say.

use serde_json::{Value, json};

use super::{FFN_RATIO, kind::DitKind};
use crate::{
    error::{Error, Result},
    geometry::Grid,
    weights::{
        Store,
        config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
    },
};

/// The class of today's folders.
const CLASS: &str = "DiTTransformer2DModel";
/// The class of older folders, which other networks have, too.
pub(super) const OLD_CLASS: &str = "Transformer2DModel";
/// The norm that makes such a network of the old class a DiT.
pub(super) const NORM_TYPE: &str = "ada_norm_zero";
const MAX_SAMPLE_SIZE: usize = 1024;
const MAX_PATCH: usize = 16;
const MAX_CLASSES: usize = 1 << 20;
/// Epsilon of the authors' norms.
const NORM_EPS: f64 = 1e-6;
/// Epsilon of diffusers' norm before the feed-forward where its configuration states none.
const DIFFUSERS_NORM_EPS: f64 = 1e-5;
/// Width of the one published network whose heads are not of [`HEAD_WIDTH`], and its heads.
const XL: (usize, usize) = (1152, 16);
/// Width of a head of the others.
const HEAD_WIDTH: usize = 64;

/// In whose names the tensors are, which differ in more than names: diffusers' networks embed timestep and class in every block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `transformer_blocks.0.attn1.to_q.weight`.
    Diffusers,
    /// `blocks.0.attn.qkv.weight`.
    Original,
}

/// Configuration of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct DitConfig {
    /// What it was trained to predict.
    pub kind: DitKind,
    /// In whose names its tensors are.
    pub layout: Layout,
    /// Channels of the latent.
    pub in_channels: usize,
    /// Channels of the output: the prediction, and perhaps as many numbers for a variance behind it.
    pub out_channels: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width of one head.
    pub attention_head_dim: usize,
    /// Transformer blocks.
    pub num_layers: usize,
    /// Positions of the latent along a side of one token.
    pub patch_size: usize,
    /// Side of the latents it was trained on.
    pub sample_size: usize,
    /// Classes that it can be told, without the row for none.
    pub num_classes: usize,
    /// Epsilon of the norm before the feed-forward.
    pub ffn_norm_eps: f64,
    /// Whether queries and keys go through a LayerNorm of their own, head by head.
    pub qk_norm: bool,
}

impl DitConfig {
    /// Reads and checks diffusers' `transformer/config.json`; keys that are missing have its defaults.
    ///
    /// # Errors
    ///
    /// Names the key whose value no network can have, or that asks for another network than this one.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, "the transformer's config.json")?;
        let is_old = config.choice("_class_name", CLASS, &[CLASS, OLD_CLASS])? == OLD_CLASS;
        refuse_unsupported(&config, is_old)?;
        let default = |new, old: Option<usize>| if is_old { old } else { Some(new) };
        let in_channels = config.count("in_channels", default(4, None), 1, MAX_WIDTH)?;
        let read = Self {
            kind: DitKind::Dit,
            layout: Layout::Diffusers,
            in_channels,
            out_channels: config.count("out_channels", Some(in_channels), in_channels, MAX_WIDTH)?,
            num_attention_heads: config.count("num_attention_heads", Some(16), 1, MAX_WIDTH)?,
            attention_head_dim: config.count("attention_head_dim", default(72, Some(88)), 1, MAX_WIDTH)?,
            num_layers: config.count("num_layers", default(28, Some(1)), 1, MAX_LAYERS)?,
            patch_size: config.count("patch_size", default(2, None), 1, MAX_PATCH)?,
            sample_size: config.count("sample_size", default(32, None), 1, MAX_SAMPLE_SIZE)?,
            num_classes: config.count("num_embeds_ada_norm", default(1000, None), 1, MAX_CLASSES)?,
            ffn_norm_eps: config.number("norm_eps", DIFFUSERS_NORM_EPS)?,
            qk_norm: false,
        };
        if read.ffn_norm_eps <= 0.0 || read.ffn_norm_eps >= 1.0 {
            return Err(config.refuse("norm_eps", "a number between 0 and 1"));
        }
        read.checked()
    }

    /// Reads the `config.json` beside an authors' checkpoint, of keys as their constructors have them, and `kind`.
    ///
    /// # Errors
    ///
    /// Names the key whose value no network can have.
    pub fn from_original_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, "config.json")?;
        let (width, heads) = (
            config.count("hidden_size", None, 1, MAX_WIDTH)?,
            config.count("num_heads", None, 1, MAX_WIDTH)?,
        );
        if !width.is_multiple_of(heads) {
            return Err(config.refuse("num_heads", &format!("a divisor of hidden_size, {width}")));
        }
        let in_channels = config.count("in_channels", Some(4), 1, MAX_WIDTH / 2)?;
        let learns_variance = config.flag("learn_sigma", true)?;
        Self {
            kind: kind_in(&config)?.unwrap_or(DitKind::Dit),
            layout: Layout::Original,
            in_channels,
            out_channels: in_channels * if learns_variance { 2 } else { 1 },
            num_attention_heads: heads,
            attention_head_dim: width / heads,
            num_layers: config.count("depth", None, 1, MAX_LAYERS)?,
            patch_size: config.count("patch_size", Some(2), 1, MAX_PATCH)?,
            sample_size: config.count("input_size", Some(32), 1, MAX_SAMPLE_SIZE)?,
            num_classes: config.count("num_classes", Some(1000), 1, MAX_CLASSES)?,
            ffn_norm_eps: NORM_EPS,
            qk_norm: config.flag("qk_norm", false)?,
        }
        .checked()
    }

    /// Deduces the configuration of an authors' checkpoint from its tensors, in their names. What they do not tell is as
    /// `beside`, the `config.json` in the same folder, says: `kind` and `num_heads`. Where both tell something they must agree.
    ///
    /// # Errors
    ///
    /// Where the tensors are none of such a network, or `beside` says otherwise.
    pub fn from_tensors(store: &Store, beside: Option<&Value>) -> Result<Self> {
        let [width, in_channels, patch_size, _] = dims(store, "x_embedder.proj.weight")?;
        let [_, positions, _] = dims(store, "pos_embed")?;
        let [rows, _] = dims(store, "y_embedder.embedding_table.weight")?;
        let [numbers, _] = dims(store, "final_layer.linear.weight")?;
        let blocks = |stack: &str| {
            let is_there = |index: &usize| store.shape(&format!("{stack}.{index}.attn.qkv.weight")).is_some();
            (0..MAX_LAYERS).take_while(is_there).count()
        };
        let head_of_norm = store.shape("blocks.0.attn.q_norm.weight").and_then(<[usize]>::first);
        let out_channels = numbers / (patch_size * patch_size).max(1);
        let nothing = json!({});
        let config = ConfigReader::new(beside.unwrap_or(&nothing), "the config.json beside it")?;
        let heads = match (head_of_norm, width) {
            (Some(head), _) => width / (*head).max(1),
            (None, width) if width == XL.0 => XL.1,
            (None, width) => (width / HEAD_WIDTH).max(1),
        };
        let heads = config.count("num_heads", Some(heads), 1, MAX_WIDTH)?;
        if !width.is_multiple_of(heads) {
            return Err(config.refuse("num_heads", &format!("a divisor of the width, {width}")));
        }
        // REPA alone has such norms and projectors, and predicts no variance.
        let is_repa = head_of_norm.is_some()
            || out_channels == in_channels
            || store.names().any(|name| name.starts_with(super::original::PROJECTORS));
        let deduced = if is_repa { DitKind::Repa } else { DitKind::Dit };
        let read = Self {
            kind: kind_in(&config)?.unwrap_or(deduced),
            layout: Layout::Original,
            in_channels,
            out_channels,
            num_attention_heads: heads,
            attention_head_dim: width / heads,
            num_layers: blocks("blocks") + blocks(super::original::DECODER_BLOCKS),
            patch_size,
            sample_size: positions.isqrt() * patch_size,
            num_classes: rows.saturating_sub(1),
            ffn_norm_eps: NORM_EPS,
            qk_norm: head_of_norm.is_some(),
        }
        .checked()?;
        for (key, found) in [
            ("hidden_size", json!(width)),
            ("depth", json!(read.num_layers)),
            ("patch_size", json!(read.patch_size)),
            ("in_channels", json!(read.in_channels)),
            ("input_size", json!(read.sample_size)),
            ("num_classes", json!(read.num_classes)),
            ("learn_sigma", json!(read.out_channels > read.in_channels)),
            ("qk_norm", json!(read.qk_norm)),
        ] {
            config
                .only(key, &found)
                .map_err(|error| error.context(format_args!("{}: the tensors say otherwise", store.label())))?;
        }
        Ok(read)
    }

    /// The configuration, if a network can have it.
    fn checked(self) -> Result<Self> {
        let width = self.width();
        let allowed = match () {
            () if width > MAX_WIDTH || !width.is_multiple_of(4) => {
                format!("a width that is a multiple of 4, at most {MAX_WIDTH}; it is {width}")
            }
            () if !(1..=MAX_PATCH).contains(&self.patch_size) || !self.sample_size.is_multiple_of(self.patch_size) => {
                let (patch, sample) = (self.patch_size, self.sample_size);
                format!(
                    "patches of at most {MAX_PATCH} that divide the side of its latents; they are {patch} of {sample}"
                )
            }
            () if !(1..=MAX_SAMPLE_SIZE).contains(&self.sample_size) => {
                format!("latents of at most {MAX_SAMPLE_SIZE}; they are {}", self.sample_size)
            }
            () if self.out_channels != self.in_channels && self.out_channels != 2 * self.in_channels => format!(
                "as many output channels as the latent has, {}, or twice as many; there are {}",
                self.in_channels, self.out_channels
            ),
            () if self.num_layers == 0 || self.num_classes == 0 || self.num_classes > MAX_CLASSES => format!(
                "at least one block and from 1 to {MAX_CLASSES} classes; there are {} and {}",
                self.num_layers, self.num_classes
            ),
            () => return Ok(self),
        };
        Err(Error::failed(format!("a DiT has {allowed}")))
    }

    /// Width D of the tokens: all heads side by side.
    pub fn width(&self) -> usize {
        self.num_attention_heads.saturating_mul(self.attention_head_dim)
    }

    /// Width inside the feed-forward part.
    pub(crate) fn ffn_width(&self) -> usize {
        FFN_RATIO * self.width()
    }

    /// Tokens along a side of the latents it was trained on.
    pub(crate) fn trained_side(&self) -> usize {
        self.sample_size / self.patch_size
    }

    /// The grid of tokens for a latent of `latent` rows and columns, multiples of the patch.
    pub(crate) fn token_grid(&self, latent: Grid) -> Grid {
        Grid::new(latent.height / self.patch_size, latent.width / self.patch_size)
    }
}

/// The kind that a `config.json` beside an authors' checkpoint states, if it does.
fn kind_in(config: &ConfigReader<'_>) -> Result<Option<DitKind>> {
    let words = DitKind::ALL.map(DitKind::word);
    let found = config
        .value("kind")
        .map(|_| config.choice("kind", "", &words))
        .transpose()?;
    Ok(found.and_then(DitKind::of_word))
}

/// The sides of a tensor with N of them.
fn dims<const N: usize>(store: &Store, name: &str) -> Result<[usize; N]> {
    let found = store
        .shape(name)
        .ok_or_else(|| Error::failed(format!("{} lacks the tensor {name} of a DiT", store.label())))?;
    found.try_into().map_err(|_| {
        Error::failed(format!(
            "{}: the tensor {name} has shape {found:?}; in a DiT it has {N} sides",
            store.label()
        ))
    })
}

/// Refuses what would compute something else than the configuration says.
fn refuse_unsupported(config: &ConfigReader<'_>, is_old: bool) -> Result<()> {
    // Keys whose default in older folders is another network.
    for (key, supported) in [
        ("norm_type", json!(NORM_TYPE)),
        ("activation_fn", json!("gelu-approximate")),
        ("attention_bias", json!(true)),
        ("norm_elementwise_affine", json!(false)),
    ] {
        config.only(key, &supported)?;
        if is_old && config.value(key).is_none() {
            return Err(config.refuse(key, &supported.to_string()));
        }
    }
    config.choice("attention_type", "default", &["default"])?;
    for key in [
        "only_cross_attention",
        "double_self_attention",
        "num_vector_embeds",
        "cross_attention_dim",
        "caption_channels",
    ] {
        config.absent(key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(more: &Value) -> Value {
        let mut json = json!({
            "_class_name": OLD_CLASS, "activation_fn": "gelu-approximate", "attention_bias": true,
            "attention_head_dim": 72, "in_channels": 4, "norm_elementwise_affine": false, "norm_type": "ada_norm_zero",
            "num_embeds_ada_norm": 1000, "num_layers": 28, "out_channels": 8, "patch_size": 2, "sample_size": 32,
            "num_vector_embeds": null, "only_cross_attention": false
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            json[key] = value.clone();
        }
        json
    }

    #[test]
    fn both_classes_are_the_published_network() -> Result<()> {
        let new = DitConfig::from_json(&json!({"out_channels": 8}))?;
        assert_eq!((new.width(), new.ffn_width(), new.num_layers), (1152, 4608, 28));
        assert_eq!((new.ffn_norm_eps, new.num_classes), (1e-5, 1000));
        assert_eq!(DitConfig::from_json(&old(&json!({})))?, new);
        let original = json!({"kind": "repa", "hidden_size": 1152, "depth": 28, "num_heads": 16, "learn_sigma": false});
        let original = DitConfig::from_original_json(&original)?;
        assert_eq!(
            (original.kind, original.out_channels, original.ffn_norm_eps),
            (DitKind::Repa, 4, 1e-6)
        );
        Ok(())
    }

    #[test]
    fn what_no_network_has_is_refused_by_name() {
        for (key, value) in [
            ("_class_name", json!("HunyuanDiT2DModel")),
            ("attention_head_dim", json!(0)),
            ("num_attention_heads", json!(1_u64 << 62)),
            ("num_layers", json!(1_000_000)),
            ("in_channels", json!("four")),
            ("sample_size", json!(1_u64 << 40)),
            ("num_embeds_ada_norm", json!(null)),
            ("cross_attention_dim", json!(768)),
            ("norm_eps", json!(0)),
            ("norm_type", json!("ada_norm_single")),
            ("norm_type", json!(null)),
            ("activation_fn", json!("geglu")),
            ("attention_bias", json!(false)),
            ("patch_size", json!(64)),
        ] {
            let error = DitConfig::from_json(&old(&json!({key: value})))
                .expect_err(key)
                .to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{key} {value}: {error}");
        }
        for (key, value) in [
            ("attention_head_dim", json!(60_000)),
            ("out_channels", json!(7)),
            ("sample_size", json!(33)),
        ] {
            let error = DitConfig::from_json(&old(&json!({key: value})))
                .expect_err(key)
                .to_string();
            assert!(error.contains("a DiT has "), "{key} {value}: {error}");
        }
        for (key, value) in [
            ("kind", json!("dift")),
            ("num_heads", json!(7)),
            ("hidden_size", json!(null)),
            ("depth", json!(65)),
        ] {
            let mut json = json!({"kind": "sit", "hidden_size": 1152, "depth": 28, "num_heads": 16});
            json[key] = value.clone();
            let error = DitConfig::from_original_json(&json).expect_err(key).to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{key} {value}: {error}");
        }
    }
}

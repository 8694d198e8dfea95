//! An encoder's `config.json`. Files often hold only what is no default of transformers: those are here.

use serde_json::{Value, json};

use super::kind::EncoderKind;
use crate::{
    error::Result,
    geometry::{Grid, Size},
    image::picture::CHANNELS,
    weights::config::{ConfigReader, MAX_LAYERS, MAX_WIDTH},
};

const NAME: &str = "the encoder's config.json";
/// Larger pictures and patches than these are of no encoder.
const MAX_IMAGE_SIDE: usize = 4096;
const MAX_PATCH: usize = 256;
/// More registers than this are in no encoder.
const MAX_REGISTERS: usize = 256;
/// Widths of SwiGLU's inside are multiples of this.
const SWIGLU_STEP: usize = 8;
/// More times the width of its block than this no feed-forward has inside.
const MAX_RATIO: f64 = 64.0;

/// Nonlinearity of the feed-forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x·Φ(x), with the error function.
    Gelu,
    /// The same with a tanh in place of the error function.
    GeluTanh,
    /// x·σ(1.702·x).
    QuickGelu,
    /// x·σ(x).
    Silu,
}

/// Kind of the feed-forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedForward {
    /// out(act(in y)).
    Plain,
    /// out(silu(a)·b), a and b the halves of in y.
    SwiGlu,
    /// out(act(gate y)·in y).
    Gated,
}

/// Configuration of an encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Which encoder it is.
    pub kind: EncoderKind,
    /// Width D of the tokens.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width inside the feed-forward.
    pub intermediate_size: usize,
    /// Pixels of a patch's side.
    pub patch_size: usize,
    /// Side of the pictures it was made for, in pixels.
    pub image_size: usize,
    /// Epsilon of the norms.
    pub layer_norm_eps: f64,
    /// Nonlinearity of the feed-forward.
    pub activation: Activation,
    /// Kind of the feed-forward.
    pub feed_forward: FeedForward,
    /// Tokens without a place in the picture, besides that of the class.
    pub registers: usize,
    /// Whether query, key, value and projection have a bias.
    pub attention_bias: [bool; 4],
    /// Whether the feed-forward's layers have one.
    pub mlp_bias: bool,
    /// Base of the frequencies of positions, where queries and keys are turned by them.
    pub rope_theta: f64,
}

/// Defaults that differ between the kinds.
struct Defaults {
    hidden_size: usize,
    heads: usize,
    /// None where the width inside the feed-forward follows from a ratio.
    inner: Option<usize>,
    patch: usize,
    eps: f64,
    activation: &'static str,
}

impl Defaults {
    fn of(kind: EncoderKind) -> Self {
        let base = Self {
            hidden_size: 768,
            heads: 12,
            inner: Some(3072),
            patch: 16,
            eps: 1e-6,
            activation: "gelu",
        };
        match kind {
            EncoderKind::Dinov2 => Self {
                inner: None,
                patch: 14,
                ..base
            },
            EncoderKind::Dinov2WithRegisters => Self { inner: None, ..base },
            EncoderKind::Dinov3 => Self {
                hidden_size: 384,
                heads: 6,
                inner: Some(1536),
                eps: 1e-5,
                ..base
            },
            EncoderKind::Mae => Self { eps: 1e-12, ..base },
            EncoderKind::Clip => Self {
                patch: 32,
                eps: 1e-5,
                activation: "quick_gelu",
                ..base
            },
            EncoderKind::Siglip => Self {
                activation: "gelu_pytorch_tanh",
                ..base
            },
        }
    }
}

/// Side of the pictures where none is stated.
const IMAGE_SIZE: usize = 224;
const LAYERS: usize = 12;
/// Registers of DINOv2 with registers where no number is stated.
const REGISTERS: usize = 4;
const ROPE_THETA: f64 = 100.0;
/// Ratio of the feed-forward's inside to the tokens' width in DINOv2.
const MLP_RATIO: f64 = 4.0;

impl EncoderConfig {
    /// Reads and checks a configuration: of an encoder, or of a CLIP or SigLIP with its vision tower under `vision_config`.
    ///
    /// # Errors
    ///
    /// Names the key whose value no encoder can have, or that asks for another network than this one.
    pub fn from_json(json: &Value) -> Result<Self> {
        let whole = ConfigReader::new(json, NAME)?;
        let kind = EncoderKind::of_type(whole.text("model_type", "")?)?;
        let empty = json!({});
        let tower = match whole.text("model_type", "")? {
            "clip" | "siglip" => json.get("vision_config").unwrap_or(&empty),
            _ => json,
        };
        Self::of_kind(kind, &ConfigReader::new(tower, NAME)?)
    }

    fn of_kind(kind: EncoderKind, config: &ConfigReader<'_>) -> Result<Self> {
        let defaults = Defaults::of(kind);
        config.only("num_channels", &json!(CHANNELS))?;
        let hidden_size = config.count("hidden_size", Some(defaults.hidden_size), 1, MAX_WIDTH)?;
        let num_attention_heads = config.count("num_attention_heads", Some(defaults.heads), 1, MAX_WIDTH)?;
        if !hidden_size.is_multiple_of(num_attention_heads) {
            return Err(config.refuse("num_attention_heads", &format!("a divisor of the width, {hidden_size}")));
        }
        let is_dinov2 = matches!(kind, EncoderKind::Dinov2 | EncoderKind::Dinov2WithRegisters);
        let feed_forward = match kind {
            _ if is_dinov2 && config.flag("use_swiglu_ffn", false)? => FeedForward::SwiGlu,
            EncoderKind::Dinov3 if config.flag("use_gated_mlp", false)? => FeedForward::Gated,
            _ => FeedForward::Plain,
        };
        let intermediate_size = match defaults.inner {
            Some(inner) => config.count("intermediate_size", Some(inner), 1, MAX_WIDTH)?,
            None => inner_of_ratio(config, hidden_size, feed_forward)?,
        };
        let registers = match kind {
            EncoderKind::Dinov2WithRegisters => {
                config.count("num_register_tokens", Some(REGISTERS), 0, MAX_REGISTERS)?
            }
            EncoderKind::Dinov3 => config.count("num_register_tokens", Some(0), 0, MAX_REGISTERS)?,
            _ => 0,
        };
        let flag = |key, default| config.flag(key, default);
        let attention_bias = match kind {
            EncoderKind::Dinov3 => [
                flag("query_bias", true)?,
                flag("key_bias", false)?,
                flag("value_bias", true)?,
                flag("proj_bias", true)?,
            ],
            EncoderKind::Clip | EncoderKind::Siglip => [true; 4],
            _ => {
                let bias = flag("qkv_bias", true)?;
                [bias, bias, bias, true]
            }
        };
        let patch_size = config.count("patch_size", Some(defaults.patch), 1, MAX_PATCH)?;
        let read = Self {
            kind,
            hidden_size,
            num_hidden_layers: config.count("num_hidden_layers", Some(LAYERS), 1, MAX_LAYERS)?,
            num_attention_heads,
            intermediate_size,
            patch_size,
            image_size: config.count("image_size", Some(IMAGE_SIZE), patch_size, MAX_IMAGE_SIDE)?,
            layer_norm_eps: config.number("layer_norm_eps", defaults.eps)?,
            activation: activation(config, defaults.activation)?,
            feed_forward,
            registers,
            attention_bias,
            mlp_bias: kind != EncoderKind::Dinov3 || flag("mlp_bias", true)?,
            rope_theta: config.number("rope_theta", ROPE_THETA)?,
        };
        if kind == EncoderKind::Dinov3 && !read.head_width().is_multiple_of(4) {
            let allowed = "a number of heads whose width is a multiple of 4";
            return Err(config.refuse("num_attention_heads", allowed));
        }
        if read.layer_norm_eps <= 0.0 || read.layer_norm_eps >= 1.0 {
            return Err(config.refuse("layer_norm_eps", "a number between 0 and 1"));
        }
        if read.rope_theta <= 0.0 {
            return Err(config.refuse("rope_theta", "a number above 0"));
        }
        Ok(read)
    }

    /// Width d of a head.
    pub(super) fn head_width(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Tokens without a place in the picture, which stand before the patches: that of the class, then registers.
    pub fn special_tokens(&self) -> usize {
        usize::from(self.kind.has_class_token()) + self.registers
    }

    /// Patches along a side of the pictures it was made for: the table of positions has this many rows and columns.
    pub(super) fn table_side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// The grid of patches of a picture whose sides are multiples of a patch's.
    pub(super) fn grid(&self, picture: Size) -> Grid {
        Grid::new(picture.height / self.patch_size, picture.width / self.patch_size)
    }
}

/// DINOv2's width inside the feed-forward: ⌊D·ratio⌋, of SwiGLU two thirds of that, rounded up to a multiple of 8.
fn inner_of_ratio(config: &ConfigReader<'_>, hidden_size: usize, feed_forward: FeedForward) -> Result<usize> {
    let ratio = config.number("mlp_ratio", MLP_RATIO)?;
    let inner = (hidden_size as f64 * ratio).floor();
    if ratio <= 0.0 || ratio > MAX_RATIO || !(1.0..=MAX_WIDTH as f64).contains(&inner) {
        return Err(config.refuse("mlp_ratio", &format!("a number above 0, at most {MAX_RATIO}")));
    }
    let inner = inner as usize;
    Ok(match feed_forward {
        FeedForward::SwiGlu => (inner * 2 / 3).next_multiple_of(SWIGLU_STEP),
        FeedForward::Plain | FeedForward::Gated => inner,
    })
}

fn activation(config: &ConfigReader<'_>, default: &'static str) -> Result<Activation> {
    const KNOWN: [&str; 4] = ["gelu", "gelu_pytorch_tanh", "quick_gelu", "silu"];
    Ok(match config.choice("hidden_act", default, &KNOWN)? {
        "gelu_pytorch_tanh" => Activation::GeluTanh,
        "quick_gelu" => Activation::QuickGelu,
        "silu" => Activation::Silu,
        _ => Activation::Gelu,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_leaves_out_is_as_transformers_has_it() -> Result<()> {
        for (model_type, [hidden, heads, inner, patch, registers], eps, activation) in [
            ("dinov2", [768, 12, 3072, 14, 0], 1e-6, Activation::Gelu),
            ("dinov2_with_registers", [768, 12, 3072, 16, 4], 1e-6, Activation::Gelu),
            ("dinov3_vit", [384, 6, 1536, 16, 0], 1e-5, Activation::Gelu),
            ("vit_mae", [768, 12, 3072, 16, 0], 1e-12, Activation::Gelu),
            ("clip", [768, 12, 3072, 32, 0], 1e-5, Activation::QuickGelu),
            ("clip_vision_model", [768, 12, 3072, 32, 0], 1e-5, Activation::QuickGelu),
            ("siglip", [768, 12, 3072, 16, 0], 1e-6, Activation::GeluTanh),
        ] {
            let read = EncoderConfig::from_json(&json!({ "model_type": model_type }))?;
            let found = [
                read.hidden_size,
                read.num_attention_heads,
                read.intermediate_size,
                read.patch_size,
                read.registers,
            ];
            assert_eq!(found, [hidden, heads, inner, patch, registers], "{model_type}");
            assert_eq!(
                (read.num_hidden_layers, read.layer_norm_eps, read.activation),
                (12, eps, activation),
                "{model_type}"
            );
        }
        let keys = EncoderConfig::from_json(&json!({"model_type": "dinov3_vit"}))?;
        assert_eq!(keys.attention_bias, [true, false, true, true]);
        Ok(())
    }

    #[test]
    fn the_vision_tower_of_a_whole_model_counts_and_swiglu_has_its_own_width() -> Result<()> {
        let clip = json!({"model_type": "clip", "hidden_size": 1, "vision_config": {"hidden_size": 1024, "patch_size": 14,
            "num_attention_heads": 16, "intermediate_size": 4096, "num_hidden_layers": 24}});
        let clip = EncoderConfig::from_json(&clip)?;
        assert_eq!(
            (clip.hidden_size, clip.table_side(), clip.special_tokens()),
            (1024, 16, 1)
        );
        let giant =
            json!({"model_type": "dinov2", "hidden_size": 1536, "num_attention_heads": 24, "use_swiglu_ffn": true});
        assert_eq!(EncoderConfig::from_json(&giant)?.intermediate_size, 4096);
        Ok(())
    }

    #[test]
    fn what_no_encoder_has_is_refused_by_name() {
        for (key, value) in [
            ("model_type", json!("siglip2")),
            ("model_type", json!("dinov3_convnext")),
            ("model_type", json!(null)),
            ("num_channels", json!(4)),
            ("hidden_size", json!(1_u64 << 62)),
            ("num_attention_heads", json!(7)),
            ("num_attention_heads", json!(0)),
            ("num_attention_heads", json!(64)),
            ("num_hidden_layers", json!(1_000_000)),
            ("intermediate_size", json!("wide")),
            ("patch_size", json!(0)),
            ("image_size", json!([224, 224])),
            ("image_size", json!(1_u64 << 40)),
            ("layer_norm_eps", json!(0)),
            ("hidden_act", json!("relu")),
            ("num_register_tokens", json!(-1)),
            ("rope_theta", json!(0)),
            ("use_gated_mlp", json!("yes")),
        ] {
            let mut json = json!({"model_type": "dinov3_vit"});
            json[key] = value;
            let error = EncoderConfig::from_json(&json).expect_err(key).to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{key}: {error}");
        }
        let ratio = json!({"model_type": "dinov2", "mlp_ratio": 1e300});
        assert!(EncoderConfig::from_json(&ratio).is_err());
        assert!(EncoderConfig::from_json(&json!([])).is_err());
        assert!(EncoderConfig::from_json(&json!({"model_type": "clip", "vision_config": 3})).is_err());
    }
}

//! How the kinds of encoders differ: their tokens, their norms, and the names of their tensors.

use crate::error::{Error, Result};

/// Kind of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderKind {
    /// DINOv2.
    Dinov2,
    /// DINOv2 with registers.
    Dinov2WithRegisters,
    /// DINOv3's vision transformers.
    Dinov3,
    /// Masked autoencoders.
    Mae,
    /// The vision tower of CLIP.
    Clip,
    /// The vision tower of SigLIP, also of SigLIP 2 with a fixed size.
    Siglip,
}

/// Every value of `model_type`, with its kind.
const TYPES: [(&str, EncoderKind); 8] = [
    ("dinov2", EncoderKind::Dinov2),
    ("dinov2_with_registers", EncoderKind::Dinov2WithRegisters),
    ("dinov3_vit", EncoderKind::Dinov3),
    ("vit_mae", EncoderKind::Mae),
    ("clip", EncoderKind::Clip),
    ("clip_vision_model", EncoderKind::Clip),
    ("siglip", EncoderKind::Siglip),
    ("siglip_vision_model", EncoderKind::Siglip),
];
/// How the names of kinds begin that are near enough to say what is wrong.
const NEAR: [&str; 5] = ["dinov2", "dinov3", "vit_mae", "clip", "siglip"];

/// Names of an encoder's tensors without the prefix of all of them.
pub(super) struct Names {
    /// Prefixes of a whole file's tensors, the most likely first.
    pub prefixes: &'static [&'static str],
    pub class: &'static str,
    pub positions: &'static str,
    pub patches: &'static str,
    pub pre_norm: &'static str,
    /// In front of a block's number.
    pub blocks: &'static str,
    pub norms: [&'static str; 2],
    /// Query, key, value and the projection.
    pub attention: [&'static str; 4],
    /// Into the feed-forward and out of it.
    pub feed_forward: [&'static str; 2],
    pub last_norm: &'static str,
}

pub(super) const REGISTERS: &str = "embeddings.register_tokens";
/// Scales of a block's two branches.
pub(super) const LAYER_SCALES: [&str; 2] = ["layer_scale1.lambda1", "layer_scale2.lambda1"];
/// The feed-forward of DINOv2 with a gate: into it, its halves beside each other, and out of it.
pub(super) const SWIGLU: [&str; 2] = ["mlp.weights_in", "mlp.weights_out"];
/// The gate of DINOv3's feed-forward.
pub(super) const GATE: &str = "mlp.gate_proj";

const DINOV2: Names = Names {
    prefixes: &["", "dinov2.", "dinov2_with_registers.", "backbone."],
    class: "embeddings.cls_token",
    positions: "embeddings.position_embeddings",
    patches: "embeddings.patch_embeddings.projection",
    pre_norm: "",
    blocks: "encoder.layer",
    norms: ["norm1", "norm2"],
    attention: [
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
        "attention.output.dense",
    ],
    feed_forward: ["mlp.fc1", "mlp.fc2"],
    last_norm: "layernorm",
};
const DINOV3: Names = Names {
    prefixes: &[""],
    positions: "",
    patches: "embeddings.patch_embeddings",
    blocks: "layer",
    attention: [
        "attention.q_proj",
        "attention.k_proj",
        "attention.v_proj",
        "attention.o_proj",
    ],
    feed_forward: ["mlp.up_proj", "mlp.down_proj"],
    last_norm: "norm",
    ..DINOV2
};
const MAE: Names = Names {
    prefixes: &["vit.", ""],
    norms: ["layernorm_before", "layernorm_after"],
    feed_forward: ["intermediate.dense", "output.dense"],
    ..DINOV2
};
const CLIP: Names = Names {
    prefixes: &["vision_model."],
    class: "embeddings.class_embedding",
    positions: "embeddings.position_embedding.weight",
    patches: "embeddings.patch_embedding",
    // So spelt.
    pre_norm: "pre_layrnorm",
    blocks: "encoder.layers",
    norms: ["layer_norm1", "layer_norm2"],
    attention: [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.out_proj",
    ],
    feed_forward: ["mlp.fc1", "mlp.fc2"],
    last_norm: "post_layernorm",
};

/// How tensors begin that lie beside an encoder, or inside it, and take no part in its features: text towers, heads, decoders, and
/// what stands for patches that were masked in training.
pub(super) const BESIDE: [&str; 12] = [
    "mask_token",
    "embeddings.mask_token",
    "embeddings.position_ids",
    "head.",
    "neck.",
    "classifier.",
    "decoder.",
    "text_model.",
    "text_projection.",
    "visual_projection.",
    "logit_scale",
    "logit_bias",
];

impl EncoderKind {
    /// The kind of a configuration's `model_type`.
    pub(super) fn of_type(model_type: &str) -> Result<Self> {
        let found = TYPES.iter().find(|(known, _)| *known == model_type);
        found.map(|(_, kind)| *kind).ok_or_else(|| {
            let known: Vec<&str> = TYPES.iter().map(|(known, _)| *known).collect();
            Error::failed(format!(
                "\"model_type\" is \"{}\", which is no image encoder that this program computes: it computes {}",
                crate::words::shown(model_type),
                known.join(", ")
            ))
        })
    }

    pub(super) fn names(self) -> &'static Names {
        match self {
            Self::Dinov2 | Self::Dinov2WithRegisters => &DINOV2,
            Self::Dinov3 => &DINOV3,
            Self::Mae => &MAE,
            Self::Clip | Self::Siglip => &CLIP,
        }
    }

    /// Whether its first token is of no patch, but for the class of the picture.
    pub fn has_class_token(self) -> bool {
        self != Self::Siglip
    }

    /// Whether it has a table of positions; DINOv3 turns queries and keys by them instead.
    pub fn has_position_table(self) -> bool {
        self != Self::Dinov3
    }

    /// Whether the table is brought to another grid with the antialiasing of the reference.
    pub(super) fn is_antialiased(self) -> bool {
        self == Self::Dinov2WithRegisters
    }

    /// Whether all tokens go through a norm before the first block.
    pub(super) fn has_pre_norm(self) -> bool {
        self == Self::Clip
    }

    /// Whether each branch of a block has a scale for each channel.
    pub(super) fn has_layer_scale(self) -> bool {
        matches!(self, Self::Dinov2 | Self::Dinov2WithRegisters | Self::Dinov3)
    }

    /// Whether the class token and the table of positions have no sides of length 1 around them.
    pub(super) fn is_of_a_tower(self) -> bool {
        matches!(self, Self::Clip | Self::Siglip)
    }
}

/// Whether a `model_type` is of an encoder, or near enough to say what is wrong with it.
pub(super) fn is_near(model_type: &str) -> bool {
    NEAR.iter().any(|near| model_type.starts_with(near))
}

/// Names that tell a single file with an encoder: transformers', and those of the authors and of timm.
pub(super) fn file_names() -> impl Iterator<Item = &'static str> {
    [
        "embeddings.cls_token",
        "vit.embeddings.cls_token",
        "dinov2.embeddings.cls_token",
        "vision_model.embeddings.patch_embedding.weight",
        "visual.class_embedding",
        "visual.trunk.patch_embed.proj.weight",
        "cls_token",
    ]
    .into_iter()
}

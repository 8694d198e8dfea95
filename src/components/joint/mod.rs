//! Blocks in which a picture's tokens and a text's attend to each other (Esser et al., *Scaling Rectified Flow Transformers for
//! High-Resolution Image Synthesis*): two streams with weights of their own, one softmax over both. Flux.1, Flux.2 and Stable
//! Diffusion 3 are made of them.

mod attention;
mod block;
mod catalogue;
mod last_norm;
mod parts;
mod rotary;
mod time_text;

use crate::weights::Store;

pub(crate) use self::{
    attention::{Heads, Projections, attend_jointly},
    block::{JointBlock, JointShape},
    catalogue::{BlockFacts, push_block},
    last_norm::{NORM_EPS, last_norm},
    parts::{JointPart, JointTaps, id},
    rotary::Rotation,
    time_text::TimeText,
};

/// Whether a file holds a denoiser with joint attention, beside whatever else is in it: by names of its authors or of diffusers, of
/// Z-Image by the padding of its text.
pub(crate) fn is_in(store: &Store) -> bool {
    const MARKS: [&str; 4] = [
        "double_blocks.0.img_attn.qkv.weight",
        "joint_blocks.0.x_block.attn.qkv.weight",
        "transformer_blocks.0.attn.add_q_proj.weight",
        "cap_pad_token",
    ];
    store.names().any(|name| MARKS.iter().any(|mark| name.ends_with(mark)))
}

//! Our own operators of a diffusion network for the CPU in f32: what candle computes there takes two to three times as long,
//! and much more memory. In: candle's tensors and weights. Out: new tensors. `model` calls them where device and format
//! are theirs, and candle's own elsewhere. Which instructions are used (AVX2, AVX-512, NEON or none of these) is decided at
//! run time; results do not depend on the number of threads.

mod activation;
mod attention;
mod conv;
mod group_norm;
mod im2col;
mod kernel;
mod layer_norm;
mod patches;
mod scratch;
mod tiling;
mod transform;
mod vector;
mod winograd;

pub(crate) use activation::gelu_tanh;
pub use activation::{geglu, gelu, quick_gelu, silu};
pub use attention::attend;
pub(crate) use attention::mean_map;
pub use conv::CpuConv2d;
pub use group_norm::{CpuGroupNorm, Lines};
pub use layer_norm::CpuLayerNorm;
pub use vector::supports;

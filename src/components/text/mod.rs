//! Prompts → text states. In: a prompt, the tokenizer's and the encoder's folders. Out: what the denoiser's
//! cross-attention reads. `extract` calls it once per prompt and keeps the result.

mod clip;
mod embedding;
mod encoder;
pub mod sentencepiece;
pub mod t5;
pub mod t5_tokenizer;
mod tokenizer;
mod vocabulary;

pub use clip::{Activation, ClipConfig, ClipTextModel, TextStates};
pub use embedding::Embedding;
pub use encoder::{TEXT_WEIGHTS_STEM, TextPart};
pub use tokenizer::{CONTEXT_LENGTH, Encoded, MAX_PROMPT_TOKENS, Padding, Tokenizer, check_prompt};

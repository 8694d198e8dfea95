//! Prompts → text states. In: a prompt, the tokenizer's and the encoder's folders. Out: what the denoiser's
//! cross-attention reads. `extract` calls it once per prompt and keeps the result.

pub mod bert;
mod clip;
mod embedding;
mod encoder;
pub mod qwen3;
pub mod qwen_tokenizer;
pub mod sentencepiece;
pub mod t5;
pub mod t5_tokenizer;
mod tokenizer;
mod vocabulary;
pub mod wordpiece;

pub use clip::{Activation, ClipConfig, ClipTextModel, TextStates};
pub use embedding::TextualInversion;
pub(crate) use encoder::TEXT_WEIGHTS_STEM;
pub use encoder::TextPart;
pub(crate) use tokenizer::check_prompt;
pub use tokenizer::{CONTEXT_LENGTH, MAX_PROMPT_TOKENS, Padding, TokenizedPrompt, Tokenizer};

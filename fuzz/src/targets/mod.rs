//! What is done with an input, one function for every kind of it. `fuzz_targets/` calls them with what libFuzzer makes up, and
//! `tests/replay.rs` of the program with every input that is kept in `corpus/` and `found/`.
//!
//! A target reads its input as the program does, and goes on with what was read as far as that takes no model. It panics where
//! something that must hold does not; an input that is refused is as good as one that is read.

mod hub;
mod lists;
mod models;
mod outputs;
mod pictures;
mod scratch;
mod weights;
mod window;
mod worker;

use featscope::Result;

/// Reads an input.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 20] = [
    ("answers", hub::answers),
    ("basis", window::basis),
    ("configs", models::configs),
    ("gguf", weights::gguf),
    ("ids", lists::ids),
    ("layers", lists::layers),
    ("listing", hub::listing),
    ("lora", models::lora),
    ("npy", outputs::npy),
    ("pairs", lists::pairs),
    ("pickle", weights::pickle),
    ("pictures", pictures::pictures),
    ("safetensors", weights::safetensors),
    ("saved", outputs::saved),
    ("sentencepiece", models::sentencepiece),
    ("shards", weights::shards),
    ("vocabulary", models::vocabulary),
    ("wire", worker::wire),
    ("wordpiece", models::wordpiece),
    ("workspace", window::workspace),
];

/// What was read, if it was not refused: in words that can be shown.
fn read<T>(result: Result<T>) -> Option<T> {
    /// No message is longer, in characters.
    const LONGEST_MESSAGE: usize = 2000;
    result
        .map_err(|error| {
            let message = error.to_string();
            let length = message.chars().count();
            assert!(length <= LONGEST_MESSAGE, "a message of {length} characters: {message}");
            assert!(!message.is_empty(), "a message without words");
        })
        .ok()
}

/// An input of several parts, which stand between bytes 0; what is not there is empty.
fn parts<const N: usize>(bytes: &[u8]) -> [&[u8]; N] {
    let mut parts = bytes.splitn(N, |byte| *byte == 0);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

//! Files → tensors. In: a folder of the hub's layout, a single file (safetensors, PyTorch's own, GGUF), bytes embedded in the program. Out: named tensors
//! in a dtype on a device, and the JSON beside them. Families call it while they build a network.

mod bytes;
pub(crate) mod config;
mod contents;
pub mod embedded;
mod file;
mod folder;
mod gguf;
mod header;
mod held;
pub mod hub;
pub(crate) mod in_cache;
mod json;
pub(crate) mod moved;
mod numbers;
mod outline;
mod pickle;
mod plain_names;
mod renamed;
mod rules;
mod safetensors_file;
mod scales;
mod shard_index;
mod store;
mod tensors;
#[cfg(test)]
mod tests;

pub(crate) use bytes::Bytes;
pub(crate) use folder::variant_notes;
pub use folder::{DIFFUSERS_STEM, FoundWeights, find_weights, open_weights};
pub(crate) use in_cache::{hub_file, hub_folder, hub_snapshot};
pub use json::read_json;
pub(crate) use json::{TextKind, read_text};
pub(crate) use outline::{check_tensors, refuse_left_over};
pub(crate) use pickle::Archive;
pub use renamed::{Rename, Take};
pub(crate) use rules::Rules;
pub use safetensors_file::SafetensorsFile;
pub use store::Store;

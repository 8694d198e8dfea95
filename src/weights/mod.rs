//! Files → tensors. In: a folder of the hub's layout, a single file, bytes embedded in the program. Out: named tensors
//! in the wanted dtype on the wanted device, and the JSON beside them. `model` calls it while a network is built.

pub mod embedded;
mod json;
mod pickle;
mod store;

pub use json::{read_json, read_text};
pub use store::Store;

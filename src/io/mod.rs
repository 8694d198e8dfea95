//! Features and pictures to files and back; every output whole or not at all.

pub mod array;
pub mod npy;
pub mod npz;
pub mod output;
pub mod saved;
pub mod writers;

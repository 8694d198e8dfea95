//! Stable Diffusion in one file with its authors' names: the same activations as from a folder of the hub's layout.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod alone;
#[path = "../common/mod.rs"]
mod common;
mod control;
mod deduced;
mod layouts;
mod names;
mod parity;
mod recognised;
mod torch_zip;
mod vocabulary;

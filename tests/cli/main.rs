//! What the command line promises, through the program itself.
#![allow(clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod extract;
mod layers;
mod matching;
mod non_finite;
#[cfg(unix)]
mod names;
mod pca;
mod presets;
mod ranking;
mod shot;
mod survey;
mod tensors;
mod words;

//! What the command line promises, through the program itself.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

#[path = "../common/mod.rs"]
mod common;

mod arguments;
mod extract;
mod layers;
mod manual;
mod matching;
mod memory;
#[cfg(unix)]
mod names;
mod non_finite;
mod pca;
mod presets;
mod ranking;
mod recommend;
mod shot;
mod survey;
mod tensors;
mod unread;
mod words;
mod written;

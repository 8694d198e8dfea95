//! The hub, against a server on this machine that behaves and misbehaves as real ones do.
#![allow(clippy::expect_used, missing_docs, reason = "a test says what it expects")]

mod by_name;
mod choosing;
mod choosing_transformers;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod downloads;
mod faults;
mod fetching;
mod kills;
mod kit;
mod looking;
mod naming;
mod refusals;
mod server;

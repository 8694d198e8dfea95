//! The hub, against a server on this machine that behaves and misbehaves as real ones do.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod choosing;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod fetching;
mod kills;
mod kit;
mod looking;
mod naming;
mod refusals;
mod server;

//! The window without a display: the real [`App`](featscope::app::App) over the real lanes and an
//! extractor that needs no model, driven by pointer and keys, read by what it says and by the pixels it paints. A software
//! device (Mesa's lavapipe, package mesa-vulkan-drivers) serves.
#![allow(clippy::expect_used, missing_docs, reason = "a test says what it expects")]

mod access;
mod arrival;
mod calm;
mod channels;
mod commands;
mod comparing;
mod conditions;
mod devices;
mod display;
mod driver;
mod fake;
mod finite;
mod first;
mod heads;
mod kept;
#[path = "../hub/kit.rs"]
#[allow(dead_code, reason = "not every target that shares this file needs it")]
mod kit;
mod model;
mod models;
mod panes;
mod pca;
mod pictures;
mod queries;
mod ranking;
mod saving;
#[path = "../hub/server.rs"]
#[allow(dead_code, reason = "not every target that shares this file needs it")]
mod server;
mod settings;
mod sides;
mod survey;
mod tour;
mod undo;
mod workspace;

type TestResult = Result<(), Box<dyn std::error::Error>>;

//! Request → activations. In: pictures, a prompt, a timestep, a seed and the ids asked for. Out: arrays of activations with
//! a record of what was asked and what ran. The command line and the worker call it; it knows neither threads nor
//! windows.

pub(crate) mod allocator;
pub mod attention;
pub mod averager;
mod encode;
pub mod extracted;
pub mod facts;
pub mod finite;
pub mod intermediates;
pub mod inversion;
pub mod job;
pub(crate) mod lru;
pub mod model;
pub mod noise;
pub mod pass;
pub mod preset;
pub mod progress;
pub(crate) mod ram;
pub mod request;
pub mod select;
pub mod self_check;
pub mod settings;

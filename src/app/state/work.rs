//! The model, the pass under way, and jobs in the background.

use std::collections::HashSet;

use crate::{
    activation::Id,
    engine::{ModelInfo, RunSettings},
    geometry::framing::WorkingSize,
};

/// The model, being read or there.
#[derive(Debug, Default)]
pub struct ModelState {
    /// What was asked for last.
    pub wanted: String,
    /// The model that is there.
    pub info: Option<ModelInfo>,
    /// How far reading it is.
    pub loading: Option<f32>,
    /// Why it could not be read.
    pub error: Option<String>,
    /// How many have been loaded: another model is another number.
    pub generation: u64,
}

/// The pass under way, or the last one.
#[derive(Debug, Default)]
pub struct RunState {
    /// How far it is.
    pub running: Option<f32>,
    /// Which picture of how many is run, counted from 1.
    pub item: Option<[usize; 2]>,
    /// Why the last one failed.
    pub error: Option<String>,
    /// Seconds that the model's fastest pass took per unit of its [`Work`].
    pub secs_per_work: Option<f64>,
    /// Whether that was timed since the model was loaded, and not remembered from an earlier start.
    pub timed: bool,
    /// Pictures that the autoencoder has seen, by fingerprint and size: they are not encoded again.
    pub encoded: HashSet<(u64, Option<WorkingSize>)>,
    /// Whether the user asked for the run that is wanted now.
    pub asked: bool,
    /// Whether the run that was begun last ended without a result: the user ended it, or it failed.
    pub ended: bool,
}

/// Work that writes a file, or a study, in the background.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its number.
    pub number: u64,
    /// What it is called.
    pub title: String,
    /// How far it is, 0 to 1; none while it waits.
    pub fraction: Option<f32>,
    /// Which picture of how many, counted from 1.
    pub item: Option<[usize; 2]>,
}

/// What a run depends on: settings, activation, model, and the pictures.
#[derive(PartialEq)]
pub(in crate::app) struct RunWanted(
    pub(in crate::app) RunSettings,
    pub(in crate::app) Id,
    pub(in crate::app) u64,
    pub(in crate::app) Vec<u64>,
);

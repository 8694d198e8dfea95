//! Where feature maps come from. In: pictures as a source sees them, settings, a selection. Out: the selected tensors, as
//! they are met. The window and the analyses need maps, and not diffusion: a new source is a file beside this one.

mod denoiser;
mod device;
#[cfg(test)]
mod tests;

use std::ops::Range;

use candle_core::Tensor;

pub use device::{open_device, self_check};

use crate::{
    activation::{Catalogue, Progress, Selection, Tap},
    error::Result,
    extract::{
        finite::Origin,
        intermediates::Intermediates,
        progress::ProgressShares,
        request::{FramedPicture, Provenance},
        settings::{PassSettings, RunSettings, SettingsRead},
    },
    geometry::{
        Size,
        framing::{SizeRule, WorkingSize},
    },
    image::prepare::PreparedImage,
};

/// A source as it is known before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceInfo {
    /// As the user named it.
    pub name: String,
    /// Short side of the pictures it was made for.
    pub native_side: usize,
    /// Working sizes it takes.
    pub size_rule: SizeRule,
    /// The settings that change its features: others are no part of the key of its passes.
    pub reads: SettingsRead,
}

/// Something that makes feature maps of pictures.
pub trait FeatureSource: Send {
    /// What it is, and which settings it reads.
    fn info(&self) -> SourceInfo;

    /// Every activation in execution order, with its shape at a working size.
    fn catalogue(&self, working: Size) -> Catalogue;

    /// The working size where `run` is asked for: the short side it was made for, where none is set.
    ///
    /// # Errors
    ///
    /// Where it takes no such size.
    fn working_size(&self, run: &RunSettings) -> Result<WorkingSize> {
        Ok(run.size.unwrap_or(WorkingSize::ShortSide(self.info().native_side)))
    }

    /// What runs where `run` is asked for. A source without noise runs at t 0, and at the mixture
    /// [`CLEAN`](crate::components::schedule::Mixture::CLEAN).
    ///
    /// # Errors
    ///
    /// Where it cannot run with such settings.
    fn settings(&self, run: RunSettings) -> Result<PassSettings>;

    /// Runs over pictures of one working size and hands every selected tensor to `sink` when it is met: tensors are not
    /// collected. It ends after the last selected activation, or within one where `progress` is cancelled.
    ///
    /// # Errors
    ///
    /// Where `sink` or `progress` end the work with one, the settings do not fit the pictures, or the device fails.
    fn run(
        &mut self,
        pictures: &[PreparedImage],
        settings: &PassSettings,
        selection: &Selection,
        sink: &mut dyn FeatureSink,
        progress: &mut Progress<'_>,
    ) -> Result<()>;

    /// What ran, after it ran.
    fn provenance(
        &self,
        settings: &PassSettings,
        pictures: Vec<FramedPicture>,
        ids: Vec<String>,
        seconds: f64,
    ) -> Provenance;

    /// Why features that are not finite are likely so, and what to do; `origin` is where such numbers began, if that is known.
    fn cause_of_non_finite(&self, settings: &PassSettings, origin: Option<&Origin>) -> String;

    /// How the work of a run that is about to begin is shared between its parts.
    fn progress_shares(&self, _: &[PreparedImage], _: &PassSettings, _: &Selection) -> ProgressShares {
        ProgressShares::default()
    }
}

/// Receives the tensors of a run.
pub trait FeatureSink {
    /// Takes the rows `rows` of an activation: (rows, C, h, w), or (rows, heads, queries, keys). Row b·K + k is member k of
    /// picture b.
    ///
    /// # Errors
    ///
    /// An error ends the run.
    fn record(&mut self, tap: Tap, rows: Range<usize>, tensor: &Tensor) -> Result<()>;

    /// Receives the inner tensors that are no activations (`mid.*`). None by default; where there is one, the run goes on to
    /// the network's output.
    fn intermediates(&mut self) -> Option<&mut Intermediates> {
        None
    }
}

impl<F: FnMut(Tap, Range<usize>, &Tensor) -> Result<()>> FeatureSink for F {
    fn record(&mut self, tap: Tap, rows: Range<usize>, tensor: &Tensor) -> Result<()> {
        self(tap, rows, tensor)
    }
}

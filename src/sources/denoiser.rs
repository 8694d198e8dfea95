//! A model as a source: a diffusion model, whose denoiser makes one pass over pictures mixed with noise, or inverted; or an image
//! encoder, which makes one pass over the pictures.

use super::{FeatureSink, FeatureSource, SourceInfo};
use crate::{
    activation::{Catalogue, Progress, Selection},
    error::Result,
    extract::{
        finite::{Origin, likely_cause},
        model::Model,
        pass::run_pass,
        progress::ProgressShares,
        request::{FramedPicture, Provenance},
        settings::{PassSettings, RunSettings, SettingsRead},
    },
    geometry::{Size, framing::WorkingSize},
    image::prepare::PreparedImage,
};

impl FeatureSource for Model {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            name: self.spec.name.clone(),
            native_side: self.spec.native_side,
            size_rule: self.spec.size_rule(),
            reads: SettingsRead::by(&self.spec),
        }
    }

    fn catalogue(&self, working: Size) -> Catalogue {
        self.spec.plain_catalogue(working)
    }

    fn working_size(&self, run: &RunSettings) -> Result<WorkingSize> {
        run.working_size(&self.spec)
    }

    fn settings(&self, run: RunSettings) -> Result<PassSettings> {
        PassSettings::new(&self.spec, run)
    }

    fn run(
        &mut self,
        pictures: &[PreparedImage],
        settings: &PassSettings,
        selection: &Selection,
        sink: &mut dyn FeatureSink,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        run_pass(self, pictures, settings, selection, sink, progress)
    }

    fn provenance(
        &self,
        settings: &PassSettings,
        pictures: Vec<FramedPicture>,
        ids: Vec<String>,
        seconds: f64,
    ) -> Provenance {
        Provenance::of(self, settings, pictures, ids, seconds)
    }

    fn cause_of_non_finite(&self, settings: &PassSettings, origin: Option<&Origin>) -> String {
        likely_cause(self, settings, origin)
    }

    fn progress_shares(
        &self,
        pictures: &[PreparedImage],
        settings: &PassSettings,
        selection: &Selection,
    ) -> ProgressShares {
        ProgressShares::of(self, pictures, settings, selection)
    }
}

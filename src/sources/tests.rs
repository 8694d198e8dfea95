//! A source without noise and prompt: the means of colours in squares of the picture.

use candle_core::Device;

use super::*;
use crate::{
    activation::{
        CatalogueEntry, Facts, Id, Kind, Probe, Shape, Stage, Stop, no_progress, pool::adaptive_average_pool,
    },
    components::schedule::{Mixture, Timestep},
    error::Error,
    extract::{
        averager::Averager,
        finite::NonFinite,
        settings::{Recording, SettingsRead},
    },
    geometry::{Grid, PixelRange},
    image::{picture::Picture, prepare::prepare},
    model::adapters::AppliedAdapters,
};

/// Pixels of a square's side.
const SQUARE: usize = 8;
const COARSE: &str = "colours-coarse";
const FINE: &str = "colours-fine";

struct Colours;

fn grids(working: Size) -> [(&'static str, Grid); 2] {
    let fine = Grid::new(working.height / SQUARE, working.width / SQUARE);
    [(FINE, fine), (COARSE, Grid::new(fine.height / 2, fine.width / 2))]
}

impl FeatureSource for Colours {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            name: "colours".to_owned(),
            native_side: 64,
            size_rule: SizeRule::Latent { multiple: 2 * SQUARE },
            reads: SettingsRead::SIZE,
        }
    }

    fn catalogue(&self, working: Size) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for (name, grid) in grids(working) {
            let id = Id::of(name);
            catalogue.push(CatalogueEntry {
                id,
                shape: Shape::Features { channels: 3, grid },
                facts: Facts::new(id, Stage::Stack, Kind::BlockOutput),
            });
        }
        catalogue
    }

    fn settings(&self, run: RunSettings) -> Result<PassSettings> {
        Ok(PassSettings {
            run: self.info().reads.of(&run),
            t: Timestep::default(),
            mixture: Mixture::CLEAN,
            class: None,
            noise: None,
            recording: Recording::default(),
            non_finite: NonFinite::default(),
        })
    }

    fn run(
        &mut self,
        pictures: &[PreparedImage],
        _: &PassSettings,
        selection: &Selection,
        sink: &mut dyn FeatureSink,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        for (row, picture) in pictures.iter().enumerate() {
            let working = picture.framing.working;
            let pixels = picture.picture.to_chw(PixelRange::Latent);
            let mut record = |tap: Tap, tensor: &Tensor| sink.record(tap, row..row + 1, tensor);
            let mut progress = |done: f32| progress((row as f32 + done) / pictures.len() as f32);
            let mut probe = Probe::new(selection, 2, &mut record, &mut progress);
            for (tap, (_, grid)) in (0..).map(Tap).zip(grids(working)) {
                let from = Grid::new(working.height, working.width);
                let means = adaptive_average_pool(&pixels, 3, from, grid)?;
                let means = Tensor::from_vec(means, (1, 3, grid.height, grid.width), &Device::Cpu)?;
                match probe.visit(tap, means) {
                    Ok(_) => {}
                    Err(Stop::Done) => break,
                    Err(Stop::Error(error)) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn provenance(&self, _: &PassSettings, pictures: Vec<FramedPicture>, ids: Vec<String>, seconds: f64) -> Provenance {
        Provenance {
            featscope: env!("CARGO_PKG_VERSION").to_owned(),
            weights: "none".to_owned(),
            notes: Vec::new(),
            mixture: None,
            device: "cpu".to_owned(),
            dtype: "f32".to_owned(),
            adapters: AppliedAdapters::default(),
            tokens: Vec::new(),
            guidance: None,
            class: None,
            pictures,
            ids,
            not_finite: Vec::new(),
            seconds,
        }
    }

    fn cause_of_non_finite(&self, _: &PassSettings, _: Option<&Origin>) -> String {
        "bytes are finite".to_owned()
    }
}

fn picture(source: &dyn FeatureSource, level: u8) -> Result<PreparedImage> {
    let size = Size::new(64, 64);
    let picture = Picture::from_rgb(size, vec![level; 3 * size.pixels()])?;
    prepare(
        &picture,
        &source.working_size(&RunSettings::default())?,
        source.info().size_rule,
    )
}

#[test]
fn a_source_without_noise_runs_as_a_denoiser_does() -> Result<()> {
    let mut source = Colours;
    let pictures = [picture(&source, 0)?, picture(&source, 255)?];
    let asked = RunSettings {
        t: 261.into(),
        prompt: "a cat".to_owned(),
        ensemble: 8,
        ..RunSettings::default()
    };
    let settings = source.settings(asked)?;
    assert_eq!(settings.run, RunSettings::default(), "it reads none of them");
    let list = source.catalogue(pictures[0].framing.working);
    let mut averager = Averager::new(pictures.len(), settings.run.ensemble, |_, array| Ok(array));
    let all = Selection::features(&list);
    source.run(&pictures, &settings, &all, &mut averager, &mut no_progress)?;
    let met = averager.finish();
    for (tap, entry) in (0..).map(Tap).zip(list.entries()) {
        let array = met.get(&tap).ok_or_else(|| Error::failed("it was not met"))?;
        let [channels, height, width] = entry.shape.dims();
        assert_eq!(array.shape, [2, channels, height, width]);
        let (black, white) = array.data.split_at(array.data.len() / 2);
        assert!(black.iter().all(|x| *x == -1.0) && white.iter().all(|x| *x == 1.0));
    }
    Ok(())
}

#[test]
fn it_ends_behind_the_last_selected_activation_and_where_it_is_cancelled() -> Result<()> {
    let mut source = Colours;
    let pictures = [picture(&source, 7)?];
    let settings = source.settings(RunSettings::default())?;
    let first: Selection = [Tap(0)].into_iter().collect();
    let (mut met, mut told) = (Vec::new(), Vec::new());
    source.run(
        &pictures,
        &settings,
        &first,
        &mut |tap: Tap, _: Range<usize>, _: &Tensor| {
            met.push(tap);
            Ok(())
        },
        &mut |done| {
            told.push(done);
            Ok(())
        },
    )?;
    assert_eq!((met, told), (vec![Tap(0)], vec![0.5]));
    let mut nothing = |_: Tap, _: Range<usize>, _: &Tensor| Ok(());
    let ended = source.run(&pictures, &settings, &first, &mut nothing, &mut |_| {
        Err(Error::Cancelled)
    });
    assert_eq!(ended, Err(Error::Cancelled));
    Ok(())
}

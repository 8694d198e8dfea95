//! One pass over a picture and the same moved, all noises at once: every activation is measured where the pass meets it.

use std::ops::Range;

use candle_core::Tensor;

use super::plan::moved;
use crate::{
    activation::{Facts, FeatureMap, Id, Kind, Progress, Selection, Shape, Tap},
    analysis::{
        agreement::{Movement, found_again},
        choice::ChoiceFigures,
        colour::RgbPicture,
        figures::Figures,
    },
    error::Result,
    extract::settings::{PassSettings, Recording},
    image::prepare::PreparedImage,
    sources::FeatureSource,
    survey::{grid_of, map_of, measured, thumbnail_picture},
};

/// Input of a pass.
pub struct PassInput<'a> {
    /// The picture as the model sees it.
    pub picture: &'a PreparedImage,
    /// Settings of the pass; the members of the ensemble are the noises compared.
    pub settings: &'a PassSettings,
    /// The activations.
    pub selection: &'a Selection,
}

/// An activation of one pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The activation.
    pub id: Id,
    /// Its place in execution order, counted from 0.
    pub order: usize,
    /// What it is.
    pub facts: Facts,
    /// Its shape.
    pub shape: Shape,
    /// Its figures, or why it has none, in words.
    pub figures: Result<MeasuredFigures, String>,
}

/// The figures of an activation in one pass.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredFigures {
    /// What it is compared by.
    pub choice: ChoiceFigures,
    /// Massive channels.
    pub massive: usize,
    /// PCA of it alone.
    pub picture: RgbPicture,
}

impl MeasuredFigures {
    /// From a survey's figures and how many places are found again.
    pub fn new(figures: &Figures, kind: Kind, shape: Shape, agreement: Option<f64>, picture: RgbPicture) -> Self {
        let [channels, height, width] = shape.dims();
        Self {
            choice: ChoiceFigures {
                agreement,
                nsr_low_passed: figures.nsr_low_passed,
                effective_rank: figures.effective_rank,
                most_rank: channels.min((height * width).saturating_sub(1)),
                locality_half_width: figures.locality.half_width,
                cell: 1.0 / height.max(width).max(1) as f64,
                increment: kind.is_increment(),
            },
            massive: figures.massive.len(),
            picture,
        }
    }
}

/// Runs the pass and gives each activation to `found` as it is met, with its map under the first noise where its numbers are
/// finite.
///
/// # Errors
///
/// Where the pass fails (see [`crate::extract::pass::run_pass`]), where `found` does, and where `progress` ends it.
pub fn measure_pass(
    source: &mut dyn FeatureSource,
    input: &PassInput<'_>,
    found: &mut dyn FnMut(Measured, Option<&FeatureMap>) -> Result<()>,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let working = input.picture.framing.working;
    let list = source.catalogue(working);
    let settings = PassSettings {
        recording: Recording::Whole,
        ..input.settings.clone()
    };
    let noises = settings.run.ensemble;
    let pictures = [input.picture.clone(), moved(input.picture)?];
    // The moved picture is looked at under another noise.
    let row_of_moved = noises + noises.saturating_sub(1).min(1);
    source.run(
        &pictures,
        &settings,
        input.selection,
        &mut |tap: Tap, _: Range<usize>, tensor: &Tensor| {
            let Some(entry) = list.entry(tap) else { return Ok(()) };
            let grid = grid_of(&list, entry)?;
            let about = |figures| Measured {
                id: entry.id,
                order: tap.index(),
                facts: entry.facts,
                shape: entry.shape,
                figures,
            };
            let (figures, thumbnail) = match measured(tensor, noises, grid, None) {
                Ok(Ok(measured)) => measured,
                Ok(Err(why)) => return found(about(Err(why)), None),
                Err(error) => return Err(error.context(entry.id)),
            };
            let map = map_of(tensor, 0, grid)?;
            let moved = map_of(tensor, row_of_moved, grid)?;
            let agreement = found_again(&map, &moved, Movement::SMALL)?;
            let figures = MeasuredFigures::new(
                &figures,
                entry.facts.kind,
                entry.shape,
                agreement,
                thumbnail_picture(&thumbnail),
            );
            found(about(Ok(figures)), Some(&map))
        },
        progress,
    )
}

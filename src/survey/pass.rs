//! The one pass: every activation is measured where the pass meets it, and let go.

use std::{collections::HashMap, ops::Range};

use candle_core::Tensor;

use super::Measurement;
use crate::{
    activation::{Catalogue, CatalogueEntry, FeatureMap, Progress, Selection, Shape, Tap, pool::adaptive_average_pool},
    analysis::figures::{Figures, Thumbnail, measure},
    error::{Error, Result},
    extract::{
        finite,
        inversion::Inversion,
        ram,
        settings::{PassSettings, Recording},
    },
    geometry::Grid,
    image::prepare::PreparedImage,
    io::array::Array,
    model::spec::ModelSpec,
    sources::FeatureSource,
};

/// Keys of an attention map that its figures are of, at most: where there are more, the weights of neighbouring keys are averaged.
/// A map of 64 x 64 positions would else have 4096 channels, and its figures would take longer than the pass.
pub const MOST_KEYS: usize = 1024;

/// Default number of noises that are compared.
pub const DEFAULT_NOISES: usize = 4;
/// Bytes of tensors and what is computed from them that a survey may hold besides the model and its pass.
pub const MEMORY_BOUND: usize = 1 << 30;
/// Copies of one map that are in memory while it is measured, besides one of every noise and the tensors of all: the map itself,
/// centred, by channels, the mean over the noises, one noise's map as it is read, and that by channels.
const COPIES: usize = 6;

/// Names the region of each position of a grid, where some are marked.
pub type Regions<'a> = dyn Fn(Grid) -> Vec<Option<usize>> + Sync + 'a;

/// Input of a survey.
pub struct SurveyInput<'a> {
    /// The picture as the model sees it.
    pub picture: &'a PreparedImage,
    /// Settings of the pass; the members of the ensemble are the noises compared.
    pub settings: &'a PassSettings,
    /// The activations.
    pub selection: &'a Selection,
    /// Regions of the picture, for the locality-semantics index.
    pub regions: Option<&'a Regions<'a>>,
}

/// Whether passes with these settings differ in their noise.
pub fn can_compare_noises(spec: &ModelSpec, inversion: Inversion) -> bool {
    spec.adds_noise && inversion == Inversion::None
}

/// Refuses a survey that would hold more than [`MEMORY_BOUND`].
pub(crate) fn check_memory(list: &Catalogue, selection: &Selection, noises: usize) -> Result<()> {
    let largest = selection
        .iter()
        .filter_map(|tap| list.entry(tap))
        .max_by_key(|entry| bytes_of(entry, noises));
    let Some(entry) = largest else {
        return Err(Error::usage("no activation is surveyed: choose at least one"));
    };
    let needed = bytes_of(entry, noises);
    if needed > MEMORY_BOUND {
        const MIB: usize = 1 << 20;
        return Err(Error::usage(format!(
            "measuring {} over {noises} noises takes about {} MiB, and a survey holds at most {} MiB: compare fewer \
             noises, leave attention maps out, or choose a smaller size",
            entry.id,
            needed / MIB,
            MEMORY_BOUND / MIB
        )));
    }
    ram::check(needed, "the survey", "compare fewer noises or choose a smaller size")
}

/// Bytes of one activation while it is measured: the tensors of all noises, and what is made from them.
fn bytes_of(entry: &CatalogueEntry, noises: usize) -> usize {
    let (tensor, map) = match entry.shape {
        Shape::Features { channels, grid } => [FeatureMap::bytes_of(channels, grid); 2].into(),
        Shape::Attention { queries, keys, .. } => {
            let bytes = |keys: usize| queries.saturating_mul(keys).saturating_mul(size_of::<f32>());
            (bytes(keys), bytes(keys.min(MOST_KEYS)))
        }
    };
    let tensors = tensor.saturating_mul(noises);
    tensors.saturating_add(map.saturating_mul(noises + COPIES))
}

/// Runs the pass, all noises at once, and gives the measurement of each activation to `found` as the pass meets it.
///
/// # Errors
///
/// Where the pass fails (see [`crate::extract::pass::run_pass`]), where `found` does, and where `progress` ends it.
pub fn survey_pass(
    source: &mut dyn FeatureSource,
    what: &SurveyInput<'_>,
    found: &mut dyn FnMut(Measurement) -> Result<()>,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let list = source.catalogue(what.picture.framing.working);
    let noises = what.settings.run.ensemble;
    let settings = PassSettings {
        recording: Recording::Whole,
        ..what.settings.clone()
    };
    let blocks = blocks(&list)?;
    let last = list.entries().len().saturating_sub(1).max(1) as f64;
    source.run(
        std::slice::from_ref(what.picture),
        &settings,
        what.selection,
        &mut |tap: Tap, _: Range<usize>, tensor: &Tensor| {
            let Some(entry) = list.entry(tap) else { return Ok(()) };
            let grid = grid_of(&list, entry)?;
            let (unmeasured, (figures, thumbnail)) = match measured(tensor, noises, grid, what.regions) {
                Ok(Ok(measured)) => (None, measured),
                Ok(Err(why)) => (Some(why), (Figures::unmeasured(noises, grid), Thumbnail::black(grid))),
                Err(error) => return Err(error.context(entry.id)),
            };
            found(Measurement {
                id: entry.id,
                order: tap.index(),
                depth: tap.index() as f64 / last,
                facts: entry.facts,
                block: blocks.get(tap.index()).copied().unwrap_or_default(),
                shape: entry.shape,
                unmeasured,
                figures,
                thumbnail,
            })
        },
        progress,
    )
}

/// The figures of an activation (K, …) and its small picture, or why it has none, in words.
pub(crate) fn measured(
    tensor: &Tensor,
    noises: usize,
    grid: Grid,
    regions: Option<&Regions<'_>>,
) -> Result<Result<(Figures, Thumbnail), String>> {
    if let Some(numbers) = finite::in_tensor(tensor)? {
        return Ok(Err(numbers.to_string()));
    }
    match measure(noises, &|noise| map_of(tensor, noise, grid), regions) {
        Ok(measured) => Ok(Ok(measured)),
        // Numbers near the end of what f32 holds overflow in the figures: of such a layer too the others say nothing.
        Err(error @ (Error::Failed(_) | Error::Compute { .. })) if exceeds(tensor)? => {
            Ok(Err(error.message().to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// Whether a tensor has numbers whose squares, summed, are beyond `f32`.
fn exceeds(tensor: &Tensor) -> Result<bool> {
    const LARGE: f32 = 1e15;
    Ok(Array::from_tensor(tensor)?.data.iter().any(|x| x.abs() > LARGE))
}

/// Which of its kind on its grid and in its stage every activation is.
fn blocks(list: &Catalogue) -> Result<Vec<usize>> {
    let mut counts = HashMap::new();
    let mut blocks = Vec::with_capacity(list.entries().len());
    for entry in list.entries() {
        let kind = (entry.facts.word, entry.facts.stage, grid_of(list, entry)?);
        let count = counts.entry(kind).or_insert(0);
        blocks.push(*count);
        *count += 1;
    }
    Ok(blocks)
}

/// The grid of an activation's positions.
pub(crate) fn grid_of(list: &Catalogue, entry: &CatalogueEntry) -> Result<Grid> {
    list.grid_of(entry.id)
        .ok_or_else(|| Error::failed(format!("the positions of {} are not known", entry.id)))
}

/// The grid on which the keys of self-attention are measured: halved until there are at most [`MOST_KEYS`].
fn key_grid(grid: Grid) -> Grid {
    let mut keys = grid;
    while keys.positions() > MOST_KEYS {
        keys = Grid::new(keys.height.div_ceil(2), keys.width.div_ceil(2));
    }
    keys
}

/// The map of one noise from (K, C, h, w), or from (K, 1, positions, keys) as vectors of weights.
pub(crate) fn map_of(tensor: &Tensor, noise: usize, grid: Grid) -> Result<FeatureMap> {
    match *tensor.dims() {
        [_, _, height, width] if (height, width) == (grid.height, grid.width) => Array::map_of(tensor, noise),
        [_, 1, queries, keys] => {
            let array = Array::from_tensor(&tensor.narrow(0, noise, 1)?)?;
            // Tokens without a position stand before those that have one, as queries and as keys.
            let special = queries.saturating_sub(grid.positions());
            let (weights, keys) = match (special, queries == keys) {
                (0, _) => (array.data, keys),
                (_, of_itself) => {
                    let left = if of_itself { special } else { 0 };
                    let rows = array.data.chunks_exact(keys).skip(special);
                    (
                        rows.flat_map(|row| row.iter().skip(left).copied()).collect(),
                        keys - left,
                    )
                }
            };
            let of_itself = keys == grid.positions();
            let seen = if of_itself { key_grid(grid) } else { grid };
            if !of_itself || seen == grid {
                return FeatureMap::from_positions(keys, grid, weights);
            }
            let averaged = adaptive_average_pool(&weights, grid.positions(), grid, seen)?;
            FeatureMap::from_positions(seen.positions(), grid, averaged)
        }
        _ => Err(Error::failed(format!(
            "a tensor of the shape {:?} has no {} x {} positions",
            tensor.dims(),
            grid.height,
            grid.width
        ))),
    }
}

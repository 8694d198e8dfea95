//! The one pass of an image encoder over pictures of one working size: no noise, no timestep, no prompt.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::{
    model::Model,
    pass::{batch_rows, working_size_of},
    settings::{PassSettings, Recording},
};
use crate::{
    activation::{Cost, Probe, Progress, Selection, Shape, Stop, Tap},
    error::{Error, Result},
    geometry::Grid,
    image::prepare::PreparedImage,
    io::array::Array,
    model::encoder::Encoder,
    sources::FeatureSink,
};

/// Runs an encoder, whose tensors go to `sink`: `mid.image` and, for every activation selected, the tokens without a position as
/// `extra.ID.special` (B, C, count) where inner tensors are asked for.
///
/// # Errors
///
/// Where `sink` or `progress` end the work with one, the pictures differ in their working size, or the device fails.
pub(super) fn encode(
    model: &Model,
    encoder: &dyn Encoder,
    pictures: &[PreparedImage],
    settings: &PassSettings,
    selection: &Selection,
    sink: &mut dyn FeatureSink,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let list = model.spec.plain_catalogue(working_size_of(pictures)?);
    let grid = match list.entries().first().map(|entry| entry.shape) {
        Some(Shape::Features { grid, .. }) => grid,
        _ => Grid::new(1, 1),
    };
    let rows = pictures.len();
    let batch = match settings.recording {
        Recording::InBatches => batch_rows(&list, selection, &[rows, 0, grid.height, grid.width]),
        Recording::Whole => rows,
    };
    let cost = Cost::of(&list);
    let keeps = sink.intermediates().is_some();
    let (mut images, mut special) = (Vec::new(), BTreeMap::<Tap, Vec<Tensor>>::new());
    for start in (0..rows).step_by(batch) {
        let range = start..(start + batch).min(rows);
        let inputs = pictures[range.clone()]
            .iter()
            .map(|picture| encoder.input(&picture.picture));
        let input = Tensor::cat(&inputs.collect::<Result<Vec<_>>>()?, 0)?;
        let (from, share) = (start as f32 / rows as f32, range.len() as f32 / rows as f32);
        let mut watch = |met: f32| progress(from + share * cost.share(met, selection.last()));
        let mut record = |tap: Tap, tensor: &Tensor| sink.record(tap, range.clone(), tensor);
        let mut record_special = |tap: Tap, tokens: &Tensor| {
            special.entry(tap).or_default().push(tokens.clone());
            Ok(())
        };
        let mut probe = Probe::new(selection, list.len(), &mut record, &mut watch);
        if keeps {
            probe = probe.with_special(&mut record_special);
        }
        if settings.recording == Recording::Whole {
            probe = probe.with_means_of_heads();
        }
        match encoder.encode(&input, &mut probe) {
            Ok(()) | Err(Stop::Done) => {}
            Err(Stop::Error(error)) => return Err(error),
        }
        if keeps {
            images.push(input);
        }
    }
    if let Some(kept) = sink.intermediates() {
        let joined = |parts: &[Tensor]| Array::from_tensor(&Tensor::cat(parts, 0)?);
        kept.insert("mid.image".to_owned(), joined(&images)?);
        for (tap, parts) in &special {
            let entry = list
                .entry(*tap)
                .ok_or_else(|| Error::failed("an unlisted activation was met"))?;
            kept.insert(format!("extra.{}.special", entry.id), joined(parts)?);
        }
    }
    progress(1.0)
}

//! Numbers of a pass that are not finite: found where they are recorded, traced back to where they began, and reported with
//! the likely cause. Such numbers make every figure behind them meaningless, so they are never written without a word.

use std::ops::Range;

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use half::f16;
use serde::{Deserialize, Serialize};

use super::{model::Model, pass::Input, request::StoreFormat, settings::PassSettings};
use crate::{
    activation::{Id, NotFinite, Progress, Selection, Tap},
    error::{Error, Result},
    image::prepare::PreparedImage,
    io::array::Array,
    model::{control::ControlSignal, denoiser::LatentDistribution, spec::ModelSpec},
    sources::FeatureSource,
};

/// What a pass does about numbers that are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NonFinite {
    /// A latent, text states or a network's input with such numbers are refused; activations are checked by the sink.
    #[default]
    Refused,
    /// Residuals of ControlNets are refused too: for the pass that finds out where such numbers began.
    Traced,
    /// Nothing is refused.
    Allowed,
}

/// A tensor that was written with numbers that are not finite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotFiniteTensor {
    /// Its name in the output.
    pub name: String,
    /// How many of its numbers.
    #[serde(flatten)]
    pub numbers: NotFinite,
}

/// Counts the numbers of a tensor, on any device, that are not finite. On a CPU they are read in place.
///
/// # Errors
///
/// Where the device fails.
pub fn in_tensor(tensor: &Tensor) -> Result<Option<NotFinite>> {
    if !matches!(tensor.device(), Device::Cpu) {
        // One number comes from the device, and the others only where a sum of large ones may have overflowed.
        let sum = tensor.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?;
        if sum.is_finite() {
            return Ok(None);
        }
    }
    // Tokens are met as planes: a view, whose numbers lie position by position.
    let by_positions = (tensor.rank() == 4).then(|| tensor.permute((0, 2, 3, 1))).transpose()?;
    for view in [Some(tensor.clone()), by_positions].into_iter().flatten() {
        let (storage, layout) = view.storage_and_layout();
        if let (Storage::Cpu(CpuStorage::F32(numbers)), Some((start, end))) = (&*storage, layout.contiguous_offsets()) {
            return Ok(NotFinite::among(numbers.get(start..end).unwrap_or_default()));
        }
    }
    Ok(NotFinite::among(&Array::from_tensor(tensor)?.data))
}

/// An activation of a row that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met {
    /// Which activation.
    pub tap: Tap,
    /// Row b·K + k: member k of picture b.
    pub row: usize,
    /// How many of the row's numbers.
    pub numbers: NotFinite,
}

/// Ends a pass at the first activation recorded that is not finite.
#[derive(Debug, Default)]
pub struct Lookout {
    met: Option<Met>,
}

impl Lookout {
    /// Looks at rows of an activation that was met; the error ends the pass, and [`Self::met`] says why.
    ///
    /// # Errors
    ///
    /// Where a number is not finite, or the device fails.
    pub fn look(&mut self, tap: Tap, rows: &Range<usize>, tensor: &Tensor) -> Result<()> {
        if in_tensor(tensor)?.is_none() {
            return Ok(());
        }
        for (index, row) in rows.clone().enumerate() {
            if let Some(numbers) = in_tensor(&tensor.narrow(0, index, 1)?)? {
                self.met = Some(Met { tap, row, numbers });
                break;
            }
        }
        Err(Error::failed("an activation is not finite"))
    }

    /// What ended the pass, if that was it.
    pub fn met(&self) -> Option<Met> {
        self.met
    }
}

/// Refuses what the denoiser is given where it is not finite.
pub(super) fn check_input(model: &Model, settings: &PassSettings, input: &Input) -> Result<()> {
    if settings.non_finite == NonFinite::Allowed {
        return Ok(());
    }
    let refused = |what: String, numbers: NotFinite| {
        let cause = likely_cause(model, settings, None);
        Error::failed(format!(
            "{what} is not finite: {numbers}, so no activation would be right; {cause}"
        ))
    };
    for (index, encoded) in input.encoded.iter().enumerate() {
        let LatentDistribution::Posterior(posterior) = encoded else {
            continue;
        };
        for tensor in [&posterior.mean, &posterior.std] {
            if let Some(numbers) = in_tensor(tensor)? {
                let what = format!("what the autoencoder makes of picture {}", index + 1);
                return Err(refused(what, numbers));
            }
        }
    }
    if let Some(prompt) = &input.prompt {
        for (what, tensor) in [
            ("what the text encoder makes of the prompt", Some(&prompt.states)),
            ("the pooled text of the prompt", prompt.pooled.as_ref()),
        ] {
            if let Some(numbers) = tensor.map(in_tensor).transpose()?.flatten() {
                return Err(refused(what.to_owned(), numbers));
            }
        }
    }
    match in_tensor(&input.noisy)? {
        Some(numbers) => Err(refused("the network's input".to_owned(), numbers)),
        None => Ok(()),
    }
}

/// Refuses residuals of ControlNets that are not finite.
pub(super) fn check_control(residuals: &ControlSignal) -> Result<()> {
    let down = residuals.down.iter().enumerate();
    let named = down
        .map(|(index, tensor)| (format!("skip {index}"), tensor))
        .chain([("the middle".to_owned(), &residuals.mid)]);
    for (place, tensor) in named {
        if let Some(numbers) = in_tensor(tensor)? {
            return Err(Error::failed(format!(
                "what the ControlNets add to {place} is not finite: {numbers}"
            )));
        }
    }
    Ok(())
}

/// Where the numbers of a pass stopped to be finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Origin {
    /// The first activation that is not finite, of all that are no attention maps.
    pub id: Id,
    /// How many of its numbers.
    pub numbers: NotFinite,
    /// The activation before it with the largest number, and that.
    pub largest: Option<(Id, f32)>,
}

/// Runs a pass of one picture again as far as `up_to`, which was not finite, and looks at every activation: where it began.
/// None if all are finite. `settings` are of this picture alone.
///
/// # Errors
///
/// Where `progress` ends the work, the input or a residual of a ControlNet is not finite, or the device fails.
pub fn origin(
    source: &mut dyn FeatureSource,
    picture: &PreparedImage,
    settings: &PassSettings,
    up_to: Tap,
    progress: &mut Progress<'_>,
) -> Result<Option<Origin>> {
    let list = source.catalogue(picture.framing.working);
    let features = Selection::features(&list);
    let looked_at: Selection = features.iter().filter(|tap| *tap < up_to).chain([up_to]).collect();
    let settings = PassSettings {
        non_finite: NonFinite::Traced,
        ..settings.clone()
    };
    let mut lookout = Lookout::default();
    let mut largest: Option<(Id, f32)> = None;
    let ran = source.run(
        std::slice::from_ref(picture),
        &settings,
        &looked_at,
        &mut |tap: Tap, rows: Range<usize>, tensor: &Tensor| {
            lookout.look(tap, &rows, tensor)?;
            let numbers = Array::from_tensor(tensor)?.data;
            let most = numbers.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            if let Some(entry) = list
                .entry(tap)
                .filter(|_| largest.is_none_or(|(_, known)| most > known))
            {
                largest = Some((entry.id, most));
            }
            Ok(())
        },
        progress,
    );
    match lookout.met() {
        Some(Met { tap, numbers, .. }) => Ok(list.entry(tap).map(|entry| Origin {
            id: entry.id,
            numbers,
            largest,
        })),
        None => ran.map(|()| None),
    }
}

/// Why a pass over pictures was ended at an activation that is not finite, and what to do.
pub(super) fn refusal(
    spec: &ModelSpec,
    source: &mut dyn FeatureSource,
    pictures: &[PreparedImage],
    names: &[String],
    settings: &PassSettings,
    met: Met,
    progress: &mut Progress<'_>,
) -> Error {
    let index = met.row / settings.run.ensemble.max(1);
    let Some(picture) = pictures.get(index) else {
        return Error::failed("a row of no picture was met");
    };
    let list = source.catalogue(picture.framing.working);
    let Some(id) = list.entry(met.tap).map(|entry| entry.id) else {
        return Error::failed("an activation that the model does not have was met");
    };
    let of = match names.get(index).filter(|_| pictures.len() > 1) {
        Some(name) => format!(" of {name}"),
        None => String::new(),
    };
    let alone = settings.of_picture_among(spec, picture.framing.working, pictures.len(), index);
    let found = match alone.and_then(|settings| origin(source, picture, &settings, met.tap, progress)) {
        Ok(found) => found,
        Err(Error::Cancelled) => return Error::Cancelled,
        // What was found on the way says more than the activation it ended in.
        Err(error) => return error.context(format_args!("{id}{of} is not finite: {}", met.numbers)),
    };
    let first = match found {
        Some(found) if found.id != id => {
            format!(
                "the first such activation of the pass is {} ({})",
                found.id, found.numbers
            )
        }
        Some(_) => "it is the first such activation of the pass".to_owned(),
        None => "the pass without the other pictures is finite".to_owned(),
    };
    Error::failed(format!(
        "{id}{of} is not finite: {}; {first}, and the network's input is finite; {}. Nothing was written: `extract \
         --allow-non-finite` writes such numbers and says in the output where they are",
        met.numbers,
        source.cause_of_non_finite(settings, found.as_ref())
    ))
}

/// What most often makes numbers that are not finite with a model and its settings.
pub fn likely_cause(model: &Model, settings: &PassSettings, origin: Option<&Origin>) -> String {
    /// A share of the picture in the mixture below which hardly anything is left of it.
    const NEXT_TO_NOTHING: f64 = 1e-3;
    /// Numbers above this are not of activations, and their squares overflow.
    const HUGE: f32 = 1e18;
    let mut causes = Vec::new();
    if model.place.dtype == DType::F16 {
        causes.push(format!(
            "a number above {}, the largest of f16, overflowed: compute with --dtype bf16 or f32",
            f16::MAX
        ));
    }
    for lora in model.applied().loras {
        causes.push(format!(
            "the LoRA {} at {} changes the weights too much: lower its scale",
            lora.file.display(),
            f64::from(lora.scale)
        ));
    }
    for control in &settings.run.adapters.acting().controls {
        if control.scale != crate::model::adapters::Scale::ONE {
            causes.push(format!(
                "the ControlNet {} acts too strongly at {}: lower its scale",
                control.net.display(),
                f64::from(control.scale)
            ));
        }
    }
    if settings.mixture.signal < NEXT_TO_NOTHING {
        causes.push(format!(
            "t {} leaves next to nothing of the picture: choose a smaller one",
            settings.t
        ));
    }
    match origin
        .and_then(|origin| origin.largest)
        .filter(|(_, most)| *most > HUGE)
    {
        Some((id, most)) => causes.push(format!(
            "numbers had grown to {most:.1e} in {id} before: {} holds huge weights",
            model.spec.weights_label()
        )),
        None => causes.push(format!(
            "{} holds huge or damaged weights: compare it with the model's own files",
            model.spec.weights_label()
        )),
    }
    format!("likely because {}", causes.join(", or "))
}

/// What of a tensor will not be finite in a file of this format.
pub(super) fn in_file(array: &Array, format: StoreFormat) -> Option<NotFinite> {
    match format {
        StoreFormat::F32 => NotFinite::among(&array.data),
        StoreFormat::F16 => {
            let numbers = &array.data;
            let nan = numbers.iter().filter(|x| x.is_nan()).count();
            let infinite = numbers.iter().filter(|x| f16::from_f32(**x).is_infinite()).count();
            let of = numbers.len();
            (nan + infinite > 0).then_some(NotFinite { nan, infinite, of })
        }
    }
}

/// Refuses an output with a tensor that is not finite, which may have become so on its way there.
pub(super) fn check_file(array: &Array, name: &str, format: StoreFormat) -> Result<()> {
    if let Some(numbers) = NotFinite::among(&array.data) {
        return Err(Error::failed(format!(
            "{name} is not finite: {numbers}; nothing was written: `extract --allow-non-finite` writes such numbers and says \
             in the output where they are"
        )));
    }
    match in_file(array, format) {
        Some(numbers) => Err(Error::failed(format!(
            "--store f16: {} of {} numbers of {name} are above {}, the largest of f16, and would be infinite; nothing was \
             written: leave --store f16 out, or take --allow-non-finite",
            numbers.infinite,
            numbers.of,
            f16::MAX
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers lie in the order of the tensor, position by position, with gaps between, or in another format.
    #[test]
    fn a_number_is_found_however_the_tensor_lies() -> Result<()> {
        let sound: Vec<f32> = (0..48).map(|i| i as f32).collect();
        let mut broken = sound.clone();
        broken[29] = f32::NAN;
        for (numbers, expected) in [(sound, 0), (broken, 1)] {
            let tensor = Tensor::from_vec(numbers, (2, 2, 3, 4), &Device::Cpu)?;
            let tokens = tensor.permute((0, 3, 1, 2))?;
            let part = tensor.narrow(0, 1, 1)?;
            let gaps = tensor.narrow(3, 1, 2)?;
            for view in [&tensor, &tokens, &part, &gaps, &tensor.to_dtype(DType::F16)?] {
                let found = in_tensor(view)?;
                assert_eq!(found.map_or(0, |found| found.nan), expected, "{:?}", view.dims());
                assert!(found.is_none_or(|found| found.of == view.elem_count()));
            }
        }
        Ok(())
    }

    #[test]
    fn what_f16_cannot_hold_is_found_before_it_is_written() -> Result<()> {
        let array = |x: f32| Array::new(vec![2], vec![1.0, x]);
        // Up to half a step above its largest number f16 rounds down.
        assert_eq!(in_file(&array(65_519.0)?, StoreFormat::F16), None);
        assert!(check_file(&array(65_519.0)?, "b1", StoreFormat::F16).is_ok());
        let found = in_file(&array(-65_520.0)?, StoreFormat::F16);
        let expected = NotFinite {
            nan: 0,
            infinite: 1,
            of: 2,
        };
        assert_eq!(found, Some(expected));
        let told = check_file(&array(-65_520.0)?, "b1", StoreFormat::F16);
        assert!(told.is_err_and(|error| error.to_string().contains("1 of 2 numbers of b1 are above 65504")));
        assert_eq!(in_file(&array(65_520.0)?, StoreFormat::F32), None);
        Ok(())
    }
}

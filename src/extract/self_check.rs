//! Whether a device computes what the CPU computes: the embedded model on both, compared activation by activation.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{averager::Averager, model::Model, settings::RunSettings};
use crate::{
    activation::{Id, Selection, no_progress},
    device::{Compute, DeviceChoice, Devices, Precision},
    error::{Error, Result},
    geometry::framing::WorkingSize,
    image::{prepare::prepare, source::PictureSource},
    io::array::Array,
    model::{LoadExtent, spec::ModelSpec},
    sources::FeatureSource,
};

/// The key of the model that is run: it is inside the program.
pub const CHECKED_MODEL: &str = "demo";
/// The picture it is run on.
const PICTURE: &str = "noto-cat-face";
/// A timestep at which picture and noise both matter.
const T: u32 = 100;

/// The least cosine, over a whole activation, of what a device computes with what the CPU computes in f32.
const fn least_cosine(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 0.999_999,
        Precision::F16 => 0.9995,
        Precision::Bf16 => 0.99,
    }
}

/// What came of the check of one device in one format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelfCheck {
    /// `cpu`, `cuda:0`, …
    pub device: String,
    /// The format computed in.
    pub precision: Precision,
    /// The cosine of every activation with the CPU's in f32, in execution order.
    pub cosines: Vec<(Id, f64)>,
    /// Seconds of the pass, the first on this device.
    pub seconds: f64,
}

impl SelfCheck {
    /// The activation that differs most.
    pub fn worst(&self) -> Option<(Id, f64)> {
        // A cosine that is no number is worse than any.
        let rank = |cosine: f64| if cosine.is_nan() { f64::NEG_INFINITY } else { cosine };
        let worst = self.cosines.iter().min_by(|a, b| rank(a.1).total_cmp(&rank(b.1)));
        worst.copied()
    }

    /// Whether every activation is as near to the CPU's as the format allows.
    pub fn passed(&self) -> bool {
        let least = least_cosine(self.precision);
        !self.cosines.is_empty() && self.cosines.iter().all(|(_, cosine)| *cosine >= least)
    }

    /// The outcome in one line.
    pub fn describe(&self) -> String {
        let Self { device, precision, .. } = self;
        let Some((id, cosine)) = self.worst() else {
            return format!("{device} in {}: nothing was computed", precision.name());
        };
        let least = least_cosine(*precision);
        let verdict = match self.passed() {
            true => "right",
            false => "WRONG",
        };
        format!(
            "{device} in {}: {verdict}, {} activations, least cosine {cosine:.7} in {id} (at least {least} is asked for), \
             {:.2} s",
            precision.name(),
            self.cosines.len(),
            self.seconds
        )
    }
}

/// Runs `checked`, the model of [`CHECKED_MODEL`], on the CPU in f32 and at `place`, and compares every activation.
///
/// # Errors
///
/// Where one of the passes fails.
pub fn self_check(checked: &ModelSpec, place: &Compute, precision: Precision) -> Result<SelfCheck> {
    let truth = features(checked, &Compute::CPU)?;
    let started = Instant::now();
    let found = features(checked, place)?;
    Ok(SelfCheck {
        device: place.device_name(),
        precision,
        cosines: truth
            .iter()
            .zip(&found)
            .map(|((id, a), (_, b))| (*id, cosine(&a.data, &b.data)))
            .collect(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// A device that was opened.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The device with its format.
    pub place: Compute,
    /// Where a GPU was looked for and none is used: why. Where another format runs than was asked for: that.
    pub note: Option<String>,
}

/// Opens the first GPU that passes the check with `model`, else the CPU with the reason.
///
/// # Errors
///
/// Where the CPU does not compute in such a format.
pub fn open_checked(model: &ModelSpec, precision: Precision) -> Result<Opened> {
    let devices = Devices::look();
    let mut reasons: Vec<String> = devices.trouble.clone().into_iter().collect();
    for gpu in devices.gpus() {
        match checked(model, gpu.choice, precision) {
            Ok(place) => return Ok(Opened { place, note: None }),
            Err(why) => reasons.push(format!("{}: {why}", gpu.choice)),
        }
    }
    let note = (!reasons.is_empty()).then(|| format!("computed on the CPU: {}", reasons.join("; ")));
    let place = Compute::open(DeviceChoice::Cpu, precision)?;
    Ok(Opened { place, note })
}

/// A GPU that computes what it should; each is checked once in a process.
fn checked(model: &ModelSpec, choice: DeviceChoice, precision: Precision) -> Result<Compute, String> {
    type Known = HashMap<(DeviceChoice, Precision), Result<(), String>>;
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    let words = |error: Error| error.to_string();
    let place = Compute::open(choice, precision).map_err(words)?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = known
        .get_or_insert_default()
        .entry((choice, precision))
        .or_insert_with(|| match self_check(model, &place, precision) {
            Ok(check) if check.passed() => Ok(()),
            Ok(check) => Err(format!(
                "it does not compute what the CPU computes ({})",
                check.describe()
            )),
            Err(error) => Err(error.to_string()),
        });
    outcome.clone().map(|()| place)
}

/// Every feature map of a model, in execution order.
fn features(spec: &ModelSpec, place: &Compute) -> Result<Vec<(Id, Array)>> {
    let mut model = Model::load(spec, place.clone(), LoadExtent::Whole, &mut no_progress)?;
    let picture = PictureSource::Sample(PICTURE.to_owned()).read()?;
    let prepared = prepare(&picture, &WorkingSize::ShortSide(spec.native_side), spec.size_rule())?;
    let list = spec.plain_catalogue(prepared.framing.working);
    let settings = RunSettings {
        t: T.into(),
        ..RunSettings::default()
    };
    let settings = model.settings(settings)?;
    let mut averager = Averager::new(1, 1, |_, array| Ok(array));
    let selection = Selection::features(&list);
    model.run(&[prepared], &settings, &selection, &mut averager, &mut no_progress)?;
    let kept = averager.finish().into_iter();
    Ok(kept
        .filter_map(|(tap, array)| Some((list.entry(tap)?.id, array)))
        .collect())
}

/// The cosine of two tensors as vectors; that of two without any length is 1.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum() };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    match lengths > 0.0 || lengths.is_nan() {
        true => dot(a, b) / lengths,
        false => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::families::resolve;

    #[test]
    fn the_cpu_agrees_with_itself_and_half_formats_pass_by_what_they_may_lose() -> Result<()> {
        let demo = resolve(CHECKED_MODEL)?;
        let same = self_check(&demo, &Compute::CPU, Precision::F32)?;
        assert!(same.passed() && same.cosines.len() > 50, "{}", same.describe());
        let halved = Compute {
            dtype: DType::BF16,
            ..Compute::CPU
        };
        let near = self_check(&demo, &halved, Precision::Bf16)?;
        assert!(near.passed(), "{}", near.describe());
        // What bf16 loses is seen where f32 is asked for.
        let asked_too_much = SelfCheck {
            precision: Precision::F32,
            ..near
        };
        assert!(!asked_too_much.passed() && asked_too_much.describe().contains("WRONG"));
        Ok(())
    }

    #[test]
    fn what_is_no_number_does_not_pass() -> Result<(), String> {
        let id: Id = "b1".parse().map_err(|error: Error| error.to_string())?;
        let check = SelfCheck {
            device: "cuda:0".to_owned(),
            precision: Precision::F16,
            cosines: vec![(id, 1.0), (id, f64::NAN)],
            seconds: 0.1,
        };
        assert!(!check.passed());
        assert!(check.worst().is_some_and(|(_, cosine)| cosine.is_nan()));
        assert!(cosine(&[1.0, f32::NAN], &[1.0, 2.0]).is_nan());
        Ok(())
    }

    #[test]
    fn auto_finds_a_device_and_says_why_it_is_no_gpu() -> Result<()> {
        let opened = open_checked(&resolve(CHECKED_MODEL)?, Precision::F16)?;
        if opened.place.device.is_cpu() {
            assert_eq!(opened.place.dtype_name(), "f32");
            assert_eq!(opened.note.is_some(), Devices::look().trouble.is_some());
        }
        Ok(())
    }
}

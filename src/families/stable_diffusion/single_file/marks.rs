//! Marks of the schedule that a file's model was trained with: marks among its tensors, and the header of a safetensors
//! file as training scripts write it.

use super::text::TextKind;
use crate::{
    components::schedule::{DiscreteSchedule, Prediction},
    error::{Error, Result},
    weights::Store,
};

/// Tensors that say that another mixture of picture and noise belongs to a timestep.
const OTHER_SCHEDULES: [(&str, &str); 2] = [
    (
        "edm_mean",
        "EDM's schedule and its own scaling of latents (Playground 2.5)",
    ),
    ("edm_vpred.sigma_max", "EDM's schedule"),
];
/// Tensors that only mark.
const V_PREDICTION: &str = "v_pred";
const ZERO_SNR: &str = "ztsnr";
/// Keys of a header.
const PREDICTION_TYPE: &str = "modelspec.prediction_type";
const ARCHITECTURE: &str = "modelspec.architecture";
const RESOLUTION: &str = "modelspec.resolution";
const TRAINED_WITH_ZERO_SNR: &str = "ss_zero_terminal_snr";

/// Short sides that a header may name.
const SIDES: std::ops::RangeInclusive<usize> = 64..=8192;

/// Marks of a model's schedule in its file.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    /// Parameterisation of the output, and the mark of it.
    prediction: Option<(Prediction, &'static str)>,
    /// The mark of a last timestep of pure noise.
    zero_snr: Option<&'static str>,
    /// Short side of the pictures it was made for.
    side: Option<usize>,
}

impl Marks {
    /// # Errors
    ///
    /// Marks that are not known here.
    pub(super) fn of(store: &Store) -> Result<Self> {
        for (tensor, meaning) in OTHER_SCHEDULES {
            if store.shape(tensor).is_some() {
                return Err(Error::failed(format!(
                    "the file has a tensor \"{tensor}\": the model was trained with {meaning}, which this version does not \
                     compute"
                )));
            }
        }
        let is_there = |tensor| store.shape(tensor).map(|_| tensor);
        let true_in_header = |key| {
            let value = store.metadata(key)?;
            value.eq_ignore_ascii_case("true").then_some(key)
        };
        Ok(Self {
            prediction: match is_there(V_PREDICTION) {
                Some(tensor) => Some((Prediction::V, tensor)),
                None => prediction_in_header(store)?,
            },
            zero_snr: is_there(ZERO_SNR).or_else(|| true_in_header(TRAINED_WITH_ZERO_SNR)),
            side: store.metadata(RESOLUTION).and_then(short_side),
        })
    }

    /// The schedule of Stable Diffusion by the marks, which go into `notes`; without marks, as in the published model.
    pub(super) fn schedule(&self, text: TextKind, notes: &mut Vec<String>) -> Result<DiscreteSchedule> {
        let published = DiscreteSchedule::stable_diffusion().with_prediction(match text {
            TextKind::Sd2 => Prediction::V,
            TextKind::Sd1 | TextKind::Sdxl => Prediction::Epsilon,
        });
        if self.prediction.is_none() && text == TextKind::Sd2 {
            notes.push(
                "Stable Diffusion 2 was published predicting v (at 768 pixels) and predicting noise (base, at 512), and no \
                 tensor tells which: v and 768 are assumed; a folder beside the file with its name and a \
                 scheduler/scheduler_config.json says otherwise (activations do not depend on it)"
                    .to_owned(),
            );
        }
        self.over(published, notes)
    }

    /// A schedule changed by the marks, which go into `notes`.
    pub(super) fn over(&self, schedule: DiscreteSchedule, notes: &mut Vec<String>) -> Result<DiscreteSchedule> {
        let mut schedule = schedule;
        if let Some((prediction, mark)) = self.prediction {
            let words = match prediction {
                Prediction::V => "v",
                Prediction::Epsilon => "the noise",
                Prediction::Sample => "the picture",
            };
            notes.push(format!("the network predicts {words}: the file says so ({mark})"));
            schedule = schedule.with_prediction(prediction);
        }
        if let Some(mark) = self.zero_snr
            && !schedule.ends_in_noise()
        {
            notes.push(format!(
                "the schedule ends in pure noise (zero terminal SNR): the file says so ({mark})"
            ));
            schedule = schedule.with_zero_terminal_snr()?;
        }
        Ok(schedule)
    }

    /// Short side of the pictures it was made for.
    pub(super) fn native_side(&self, text: TextKind) -> usize {
        match (text, self.side, self.prediction) {
            (TextKind::Sd1, ..) => 512,
            (TextKind::Sd2, Some(side), _) => side,
            (TextKind::Sd2, None, Some((Prediction::Epsilon, _))) => 512,
            (TextKind::Sd2, None, _) => 768,
            (TextKind::Sdxl, ..) => 1024,
        }
    }
}

/// Parameterisation of the output by a header.
fn prediction_in_header(store: &Store) -> Result<Option<(Prediction, &'static str)>> {
    if let Some(value) = store.metadata(PREDICTION_TYPE).filter(|value| !value.trim().is_empty()) {
        let prediction = match value.trim().to_lowercase().as_str() {
            "epsilon" | "eps" => Prediction::Epsilon,
            "v" | "v_prediction" | "v-prediction" | "v_pred" | "vpred" => Prediction::V,
            "x0" | "sample" => Prediction::Sample,
            _ => {
                let value: String = value.chars().take(40).collect();
                return Err(Error::failed(format!(
                    "the file's header says {PREDICTION_TYPE}: \"{value}\", which this version does not compute; epsilon and \
                     v are known. A folder beside the file with its name and a scheduler/scheduler_config.json says \
                     otherwise"
                )));
            }
        };
        return Ok(Some((prediction, PREDICTION_TYPE)));
    }
    let prediction = match store.metadata(ARCHITECTURE) {
        Some("stable-diffusion-v2-768-v") => Prediction::V,
        Some("stable-diffusion-v2-512") => Prediction::Epsilon,
        _ => return Ok(None),
    };
    Ok(Some((prediction, ARCHITECTURE)))
}

/// The shorter side of "WIDTHxHEIGHT".
fn short_side(text: &str) -> Option<usize> {
    let (width, height) = text.split_once('x')?;
    let side = |text: &str| text.trim().parse().ok().filter(|side| SIDES.contains(side));
    Some(side(width)?.min(side(height)?))
}

//! Schedules of whole timesteps: √ā of picture and √(1−ā) of noise (DDPM, Stable Diffusion, ADM, PixArt).

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Mixture, Timestep};
use crate::{
    error::{Error, Result},
    weights::config::ConfigReader,
};

/// Longest schedule that is accepted.
const MAX_STEPS: usize = 100_000;
/// The cosine schedule's offset (Nichol and Dhariwal).
const COSINE_OFFSET: f64 = 0.008;
/// A step never takes all of the picture away, where a formula says so.
const MAX_BETA: f64 = 0.999;
const SD_BETA_START: f64 = 0.000_85;
const SD_BETA_END: f64 = 0.012;
const LINEAR_BETA_START: f64 = 1e-4;
const LINEAR_BETA_END: f64 = 0.02;
/// Number of steps these two are for.
const LINEAR_BETA_STEPS: f64 = 1000.0;

/// How the names of schedulers begin whose mixture of picture and noise is that of their betas. Others (EDM, flow
/// matching) mix in another way, and a network trained with them sees something else.
const KNOWN_SCHEDULERS: [&str; 13] = [
    "DDIM",
    "DDPM",
    "DEIS",
    "DPMSolver",
    "Euler",
    "Heun",
    "IPNDM",
    "KDPM2",
    "LCM",
    "LMS",
    "PNDM",
    "TCD",
    "UniPC",
];

/// Parameterisation of the network's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prediction {
    /// The noise.
    Epsilon,
    /// √ā·noise − √(1−ā)·picture.
    V,
    /// The picture.
    Sample,
}

/// How the names of those schedulers begin that can rescale their betas so that the last timestep is pure noise, and
/// whether they leave a trace of the picture there. The others leave the key unread.
const ZERO_SNR_SCHEDULERS: [(&str, bool); 8] = [
    ("DDIM", false),
    ("DDPM", false),
    ("DPMSolverMultistep", true),
    ("EulerAncestral", true),
    ("EulerDiscrete", true),
    ("LCM", false),
    ("TCD", false),
    ("UniPC", true),
];
/// The trace: ā of the last timestep, 2⁻²⁴.
const TRACE: f64 = 1.0 / 16_777_216.0;

/// How beta grows with t.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Betas {
    /// Straight from start to end.
    Linear,
    /// The square of a straight line (Stable Diffusion).
    ScaledLinear,
    /// From a squared cosine of the cumulated product.
    Cosine,
}

/// ā of every timestep.
#[derive(Debug, Clone, PartialEq)]
pub struct DiscreteSchedule {
    alphas_cumprod: Vec<f64>,
    /// Parameterisation of the network's output.
    pub prediction: Prediction,
    /// Whether the folder's scheduler mixes z + σ·n and scales the input by 1/√(σ²+1) after (Euler): the same mixture.
    pub scales_input: bool,
}

impl DiscreteSchedule {
    /// The latent one deterministic step of DDIM earlier, at t − 1 (at t = 0: the picture), from the latent at `t` and
    /// the network's prediction there; all three have one shape.
    ///
    /// # Errors
    ///
    /// Where `t` is no timestep of the schedule, where [`Self::split`] cannot tell picture and noise apart, and where
    /// the shapes differ.
    pub fn ddim_step(&self, latent: &Tensor, prediction: &Tensor, t: Timestep) -> Result<Tensor> {
        let earlier = match self.index(t)?.checked_sub(1) {
            Some(index) => self.shares(index),
            None => Mixture::CLEAN,
        };
        let (clean, epsilon) = self.split(latent, prediction, t)?;
        Ok(((clean * earlier.signal)? + (epsilon * earlier.noise)?)?)
    }

    /// Splits a latent into picture and noise by the network's prediction at `t`; all of one shape.
    ///
    /// # Errors
    ///
    /// Where `t` is no timestep of the schedule, where the latent at `t` is picture or noise alone and the prediction
    /// does not tell the other, and where the shapes differ.
    pub fn split(&self, latent: &Tensor, prediction: &Tensor, t: Timestep) -> Result<(Tensor, Tensor)> {
        let Mixture { signal, noise } = self.mixture(t)?;
        let lost = match self.prediction {
            Prediction::Epsilon => signal == 0.0,
            Prediction::V => false,
            Prediction::Sample => noise == 0.0,
        };
        if lost {
            return Err(Error::usage(format!(
                "at timestep {t} the latent is {} alone, so that what the network predicts does not tell the rest; ask \
                 for another timestep",
                if signal == 0.0 { "noise" } else { "the picture" }
            )));
        }
        Ok(match self.prediction {
            Prediction::Epsilon => (((latent - (prediction * noise)?)? / signal)?, prediction.clone()),
            Prediction::V => (
                ((latent * signal)? - (prediction * noise)?)?,
                ((prediction * signal)? + (latent * noise)?)?,
            ),
            Prediction::Sample => (prediction.clone(), ((latent - (prediction * signal)?)? / noise)?),
        })
    }

    /// The schedule that ADM and PixArt were trained on: linear betas from 1e-4 to 0.02 for 1000 steps, in f64. Fewer
    /// steps are proportionally larger, as guided-diffusion has it.
    pub fn linear(steps: usize) -> Self {
        let scale = LINEAR_BETA_STEPS / steps.max(1) as f64;
        let betas = betas_f64(Betas::Linear, steps, scale * LINEAR_BETA_START, scale * LINEAR_BETA_END);
        Self::from_betas(
            betas.into_iter().map(|beta| beta.min(MAX_BETA)).collect(),
            Prediction::Epsilon,
        )
    }

    /// The cosine schedule, in f64.
    pub fn cosine(steps: usize) -> Self {
        Self::from_betas(
            betas_f64(Betas::Cosine, steps, LINEAR_BETA_START, LINEAR_BETA_END),
            Prediction::Epsilon,
        )
    }

    /// Stable Diffusion's schedule.
    pub fn stable_diffusion() -> Self {
        Self::from_f32_betas(&betas_f32(Betas::ScaledLinear, 1000, SD_BETA_START, SD_BETA_END))
    }

    /// The same schedule for a network that predicts something else.
    pub fn with_prediction(self, prediction: Prediction) -> Self {
        Self { prediction, ..self }
    }

    /// From `scheduler/scheduler_config.json`; missing keys have diffusers' defaults.
    ///
    /// # Errors
    ///
    /// Where a value is of another type or out of its range, and where the scheduler is none whose noise follows from
    /// its betas.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, "scheduler_config.json")?;
        let betas = match trained_betas(&config)? {
            Some(betas) => betas,
            None => formula_betas(&config)?,
        };
        let prediction = match config.choice("prediction_type", "epsilon", &["epsilon", "v_prediction", "sample"])? {
            "epsilon" => Prediction::Epsilon,
            "v_prediction" => Prediction::V,
            _ => Prediction::Sample,
        };
        // Such schedulers mix picture and noise along a straight line, whatever their betas.
        config.absent("use_flow_sigmas")?;
        let class = config.text("_class_name", "")?;
        if !(class.is_empty() || KNOWN_SCHEDULERS.iter().any(|known| class.starts_with(known))) {
            return Err(config.refuse(
                "_class_name",
                &format!(
                    "a scheduler whose noise follows from its betas, with a name that begins with {}",
                    KNOWN_SCHEDULERS.join(", ")
                ),
            ));
        }
        let mut schedule = Self::from_f32_betas(&betas);
        if config.flag(ZERO_SNR, false)? {
            let knows = |(known, _): &&(&str, bool)| class.starts_with(known);
            let leaves_trace = match ZERO_SNR_SCHEDULERS.iter().find(knows) {
                Some((_, leaves_trace)) => *leaves_trace,
                None if class.is_empty() => false,
                None => {
                    return Err(config.refuse(
                        ZERO_SNR,
                        &format!(
                            "nothing or false with {class}, which does not read it; if the model was trained so, name a \
                             scheduler that does, such as DDIMScheduler, as \"_class_name\""
                        ),
                    ));
                }
            };
            schedule = schedule.with_zero_terminal_snr()?;
            if let (true, Some(last)) = (leaves_trace, schedule.alphas_cumprod.last_mut()) {
                *last = TRACE;
            }
        }
        Ok(Self {
            scales_input: class.contains("Euler"),
            prediction,
            ..schedule
        })
    }

    /// The schedule rescaled so that its last timestep is pure noise (Lin et al., *Common Diffusion Noise Schedules and
    /// Sample Steps are Flawed*), in f32 as diffusers computes it.
    ///
    /// # Errors
    ///
    /// Where ā does not fall.
    pub(crate) fn with_zero_terminal_snr(self) -> Result<Self> {
        let mut roots: Vec<f32> = self.alphas_cumprod.iter().map(|bar| (*bar as f32).sqrt()).collect();
        let (Some(first), Some(last)) = (roots.first().copied(), roots.last().copied()) else {
            return Ok(self);
        };
        if first <= last {
            return Err(Error::failed(
                "a schedule of one step, or without noise, cannot be rescaled to end in pure noise",
            ));
        }
        let scale = first / (first - last);
        roots.iter_mut().for_each(|root| *root = (*root - last) * scale);
        let bars: Vec<f32> = roots.iter().map(|root| root * root).collect();
        let later = bars.windows(2).map(|pair| pair[1] / pair[0]);
        let alphas = bars.first().copied().into_iter().chain(later);
        let betas: Vec<f32> = alphas.map(|alpha| 1.0 - alpha).collect();
        Ok(Self {
            alphas_cumprod: Self::from_f32_betas(&betas).alphas_cumprod,
            ..self
        })
    }

    /// As diffusers computes it: betas in f32, their product accumulated in f64.
    fn from_f32_betas(betas: &[f32]) -> Self {
        Self::from_betas(
            betas.iter().map(|beta| 1.0 - f64::from(1.0 - beta)).collect(),
            Prediction::Epsilon,
        )
    }

    fn from_betas(betas: Vec<f64>, prediction: Prediction) -> Self {
        let alphas_cumprod = betas
            .into_iter()
            .scan(1.0, |product, beta| {
                *product *= 1.0 - beta;
                Some(*product)
            })
            .collect();
        Self {
            alphas_cumprod,
            prediction,
            scales_input: false,
        }
    }

    /// Whether the last timestep is pure noise, or all but that.
    pub fn ends_in_noise(&self) -> bool {
        self.alphas_cumprod.last().is_some_and(|bar| *bar <= TRACE)
    }

    /// ā of every timestep.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// Number of timesteps.
    pub fn steps(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// The shares at timestep `t`.
    ///
    /// # Errors
    ///
    /// Where `t` is no whole number, or outside the schedule; the error names its range.
    pub fn mixture(&self, t: Timestep) -> Result<Mixture> {
        Ok(self.shares(self.index(t)?))
    }

    fn shares(&self, index: usize) -> Mixture {
        let alpha = self.alphas_cumprod[index];
        Mixture {
            signal: alpha.sqrt(),
            noise: (1.0 - alpha).sqrt(),
        }
    }

    /// The place of a timestep in the schedule.
    fn index(&self, t: Timestep) -> Result<usize> {
        let last = self.steps().saturating_sub(1);
        let Some(whole) = t.whole() else {
            return Err(Error::usage(format!(
                "timestep {t} is between two of the model's: its timesteps are the whole numbers from 0 to {last}"
            )));
        };
        usize::try_from(whole)
            .ok()
            .filter(|index| *index < self.steps())
            .ok_or_else(|| {
                Error::usage(format!(
                    "timestep {t} is outside the model's schedule: its timesteps are 0 to {last}"
                ))
            })
    }
}

const ZERO_SNR: &str = "rescale_betas_zero_snr";

/// The betas that a configuration lists, if it does.
fn trained_betas(config: &ConfigReader<'_>) -> Result<Option<Vec<f32>>> {
    const KEY: &str = "trained_betas";
    let Some(value) = config.value(KEY) else {
        return Ok(None);
    };
    let beta = |value: &Value| {
        let beta = value.as_f64()? as f32;
        (beta > 0.0 && beta <= 1.0).then_some(beta)
    };
    let betas = value.as_array().filter(|list| (1..=MAX_STEPS).contains(&list.len()));
    let betas: Option<Vec<f32>> = betas.and_then(|list| list.iter().map(beta).collect());
    let allowed = || config.refuse(KEY, &format!("a list of up to {MAX_STEPS} numbers above 0 and up to 1"));
    betas.map(Some).ok_or_else(allowed)
}

/// The betas that follow from a formula's name and its ends.
fn formula_betas(config: &ConfigReader<'_>) -> Result<Vec<f32>> {
    let steps = config.count("num_train_timesteps", Some(1000), 1, MAX_STEPS)?;
    let allowed = ["linear", "scaled_linear", "squaredcos_cap_v2"];
    let kind = match config.choice("beta_schedule", "linear", &allowed)? {
        "linear" => Betas::Linear,
        "scaled_linear" => Betas::ScaledLinear,
        _ => Betas::Cosine,
    };
    let bound = |key, default| {
        let beta = config.number(key, default)?;
        if beta > 0.0 && beta < 1.0 {
            Ok(beta)
        } else {
            Err(config.refuse(key, "a number between 0 and 1"))
        }
    };
    let (start, end) = (
        bound("beta_start", LINEAR_BETA_START)?,
        bound("beta_end", LINEAR_BETA_END)?,
    );
    Ok(betas_f32(kind, steps, start, end))
}

fn betas_f32(kind: Betas, steps: usize, start: f64, end: f64) -> Vec<f32> {
    match kind {
        Betas::Linear => linspace_f32(start, end, steps),
        Betas::ScaledLinear => linspace_f32(start.sqrt(), end.sqrt(), steps)
            .into_iter()
            .map(|root| root * root)
            .collect(),
        Betas::Cosine => betas_f64(kind, steps, start, end)
            .into_iter()
            .map(|beta| beta as f32)
            .collect(),
    }
}

/// torch.linspace in f32: from both ends towards the middle.
fn linspace_f32(start: f64, end: f64, steps: usize) -> Vec<f32> {
    let (start, end) = (start as f32, end as f32);
    let step = if steps > 1 {
        (end - start) / (steps - 1) as f32
    } else {
        0.0
    };
    (0..steps)
        .map(|i| {
            if i < steps / 2 {
                start + step * i as f32
            } else {
                end - step * (steps - 1 - i) as f32
            }
        })
        .collect()
}

fn betas_f64(kind: Betas, steps: usize, start: f64, end: f64) -> Vec<f64> {
    let line = |from: f64, to: f64, i: usize| from + (to - from) * i as f64 / (steps.max(2) - 1) as f64;
    let cosine = |s: f64| {
        ((s + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * std::f64::consts::FRAC_PI_2)
            .cos()
            .powi(2)
    };
    (0..steps)
        .map(|i| match kind {
            Betas::Linear => line(start, end, i),
            Betas::ScaledLinear => line(start.sqrt(), end.sqrt(), i).powi(2),
            Betas::Cosine => {
                let at = |i: usize| cosine(i as f64 / steps as f64);
                (1.0 - at(i + 1) / at(i)).min(MAX_BETA)
            }
        })
        .collect()
}

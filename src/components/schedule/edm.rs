//! EDM (Karras et al., *Elucidating the Design Space of Diffusion-Based Generative Models*), as diffusers' `EDMEulerScheduler` and
//! `EDMDPMSolverMultistepScheduler` have it: noise is added to a picture that keeps its size, x = z + σ·n, and the network is given x
//! and σ in a form of its own (Playground 2.5, CosXL).

use candle_core::Tensor;
use serde_json::{Value, json};

use super::{Mixture, Prediction, Timestep};
use crate::{
    error::{Error, Result},
    weights::config::ConfigReader,
};

/// How the names of its schedulers begin.
const CLASSES: &str = "EDM";
/// Steps of the schedule that a network was trained with.
const TIMESTEPS: u32 = 1000;
/// What the network is told is this times the logarithm of σ.
const TOLD_TIMES: f64 = 0.25;
/// Published ones are .002 to 120.
const SIGMAS: [f64; 2] = [1e-6, 1e6];
/// Published ones are 7.
const MOST_RHO: f64 = 100.0;

/// How σ grows with t.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Growth {
    /// Its root of this degree, ρ, along a straight line.
    Karras(f64),
    /// Its logarithm along a straight line.
    Exponential,
}

/// σ at every timestep from 0 to 1000, fractions too: `sigma_min` at 0, `sigma_max` at 1000.
#[derive(Debug, Clone, PartialEq)]
pub struct EdmSchedule {
    sigma_min: f64,
    sigma_max: f64,
    /// Standard deviation of the latents.
    sigma_data: f64,
    growth: Growth,
    prediction: Prediction,
}

impl EdmSchedule {
    /// The timestep of the most noise.
    pub(crate) const LAST: Timestep = Timestep::of(TIMESTEPS);

    /// Reads the JSON of a `scheduler_config.json`, with diffusers' defaults for what it lacks; none where it is of another scheduler.
    ///
    /// # Errors
    ///
    /// Names the key whose value no schedule has, or one that this program does not compute.
    pub fn from_json(json: &Value) -> Result<Option<Self>> {
        let config = ConfigReader::new(json, "scheduler_config.json")?;
        if !config.text("_class_name", "")?.starts_with(CLASSES) {
            return Ok(None);
        }
        config.only("num_train_timesteps", &json!(TIMESTEPS))?;
        let [least, most] = SIGMAS;
        let sigma = |key: &str, default: f64| {
            let found = config.number(key, default)?;
            match (least..=most).contains(&found) {
                true => Ok(found),
                false => Err(config.refuse(key, &format!("a number from {least} to {most}"))),
            }
        };
        let rho = config.number("rho", 7.0)?;
        if !(1.0..=MOST_RHO).contains(&rho) {
            return Err(config.refuse("rho", &format!("a number from 1 to {MOST_RHO}")));
        }
        let read = Self {
            sigma_min: sigma("sigma_min", 0.002)?,
            sigma_max: sigma("sigma_max", 80.0)?,
            sigma_data: sigma("sigma_data", 0.5)?,
            growth: match config.choice("sigma_schedule", "karras", &["karras", "exponential"])? {
                "karras" => Growth::Karras(rho),
                _ => Growth::Exponential,
            },
            prediction: match config.choice("prediction_type", "epsilon", &["epsilon", "v_prediction"])? {
                "epsilon" => Prediction::Epsilon,
                _ => Prediction::V,
            },
        };
        match read.sigma_min < read.sigma_max {
            true => Ok(Some(read)),
            false => Err(config.refuse("sigma_max", "a number above sigma_min")),
        }
    }

    /// σ at timestep `t`.
    ///
    /// # Errors
    ///
    /// Where `t` is above 1000.
    pub fn sigma(&self, t: Timestep) -> Result<f64> {
        if t > Self::LAST {
            return Err(Error::usage(format!(
                "timestep {t} is outside the model's schedule: its timesteps are 0 to {TIMESTEPS}, from the least noise (sigma {}) to \
                 the most (sigma {})",
                self.sigma_min, self.sigma_max
            )));
        }
        let way = t.value() / f64::from(TIMESTEPS);
        let along = |from: f64, to: f64| from + way * (to - from);
        Ok(match self.growth {
            Growth::Karras(rho) => along(self.sigma_min.powf(rho.recip()), self.sigma_max.powf(rho.recip())).powf(rho),
            Growth::Exponential => along(self.sigma_min.ln(), self.sigma_max.ln()).exp(),
        })
    }

    /// The whole timestep at which noise stands to picture nearest to `noise`/`signal` of another schedule, whose latents have a standard
    /// deviation of 1.
    pub(crate) fn like(&self, other: Mixture) -> Timestep {
        let wanted = self.sigma_data * other.noise / other.signal;
        let off = |t: &Timestep| self.sigma(*t).map_or(f64::MAX, |sigma| (sigma / wanted).ln().abs());
        let all = (0..=TIMESTEPS).map(Timestep::from);
        all.min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or_default()
    }

    /// What the network is told of a timestep.
    ///
    /// # Errors
    ///
    /// As [`Self::sigma`].
    pub fn told(&self, t: Timestep) -> Result<f64> {
        Ok(TOLD_TIMES * self.sigma(t)?.ln())
    }

    /// The shares of picture and noise in what the network is given: (z + σ·n)/√(σ² + σ_data²).
    ///
    /// # Errors
    ///
    /// As [`Self::sigma`].
    pub fn mixture(&self, t: Timestep) -> Result<Mixture> {
        let sigma = self.sigma(t)?;
        let signal = sigma.hypot(self.sigma_data).recip();
        Ok(Mixture {
            signal,
            noise: sigma * signal,
        })
    }

    /// Splits what the network was given into picture and noise by its prediction at `t`; all of one shape.
    ///
    /// # Errors
    ///
    /// As [`Self::sigma`].
    pub fn split(&self, given: &Tensor, prediction: &Tensor, t: Timestep) -> Result<(Tensor, Tensor)> {
        let sigma = self.sigma(t)?;
        let Mixture { signal, .. } = self.mixture(t)?;
        let noisy = (given / signal)?;
        let skip = (self.sigma_data * signal).powi(2);
        let out = match self.prediction {
            Prediction::V => -sigma * self.sigma_data * signal,
            _ => sigma * self.sigma_data * signal,
        };
        let clean = ((&noisy * skip)? + (prediction * out)?)?;
        let noise = ((noisy - &clean)? / sigma)?;
        Ok((clean, noise))
    }

    /// The noisy latent one step of t earlier (before the first: the picture) by one step of Euler's method, of the same shape.
    ///
    /// # Errors
    ///
    /// As [`Self::sigma`].
    pub(crate) fn euler_step(&self, given: &Tensor, prediction: &Tensor, t: Timestep) -> Result<Tensor> {
        let earlier = match t.value() >= 1.0 {
            true => self.sigma(Timestep::new(t.value() - 1.0)?)?,
            false => 0.0,
        };
        let (clean, noise) = self.split(given, prediction, t)?;
        Ok((clean + (noise * earlier)?)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn schedule(more: Value) -> EdmSchedule {
        let mut json = json!({"_class_name": "EDMDPMSolverMultistepScheduler"});
        json.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        EdmSchedule::from_json(&json).expect("a schedule").expect("EDM's")
    }

    /// Numbers of diffusers' formulas: (max^(1/ρ) + r·(min^(1/ρ) − max^(1/ρ)))^ρ at r = 1 − t/1000, a quarter of their logarithm.
    #[test]
    fn sigmas_are_those_of_the_paper() -> Result<()> {
        let karras = schedule(json!({}));
        for (t, sigma) in [
            (0, 0.002),
            (231, 0.131_611_098_757_7),
            (500, 2.515_218_976_147),
            (1000, 80.0),
        ] {
            let found = karras.sigma(Timestep::of(t))?;
            assert!((found / sigma - 1.0).abs() < 1e-7, "{t}: {found}");
            assert!((karras.told(Timestep::of(t))? - sigma.ln() / 4.0).abs() < 1e-7, "{t}");
        }
        let exponential = schedule(json!({"sigma_schedule": "exponential", "sigma_max": 120.0}));
        let middle = (0.002_f64 * 120.0).sqrt();
        assert!((exponential.sigma(Timestep::of(500))? - middle).abs() < 1e-12);
        assert!(karras.sigma(Timestep::new(1000.5)?).is_err());
        Ok(())
    }

    /// A network that knows the noise predicts what its paper has it predict, and is understood.
    #[test]
    fn a_prediction_tells_picture_and_noise() -> Result<()> {
        let random = |scale: f64| Tensor::randn(0f64, scale, (1, 4, 3, 2), &Device::Cpu);
        let (picture, noise) = (random(0.5)?, random(1.0)?);
        let distance = |a: &Tensor, b: &Tensor| -> Result<f64> {
            Ok((a - b)?.abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar()?)
        };
        for (kind, sign) in [("epsilon", 1.0), ("v_prediction", -1.0)] {
            let schedule = schedule(json!({"prediction_type": kind}));
            for t in [0.0, 0.5, 231.0, 1000.0] {
                let t = Timestep::new(t)?;
                let sigma = schedule.sigma(t)?;
                let noisy = (&picture + (&noise * sigma)?)?;
                let Mixture { signal, noise: share } = schedule.mixture(t)?;
                let given = ((&picture * signal)? + (&noise * share)?)?;
                assert!(distance(&given, &(&noisy / (sigma * sigma + 0.25).sqrt())?)? < 1e-12);
                // F = (z − c_skip·x)/c_out.
                let (skip, out) = (
                    0.25 / (sigma * sigma + 0.25),
                    sigma * 0.5 / (sigma * sigma + 0.25).sqrt(),
                );
                let prediction = ((&picture - (&noisy * skip)?)? / (sign * out))?;
                let (z, n) = schedule.split(&given, &prediction, t)?;
                assert!(
                    distance(&z, &picture)? < 1e-9 && distance(&n, &noise)? < 1e-9,
                    "{kind} {t}"
                );
                let earlier = if t.value() < 1.0 {
                    0.0
                } else {
                    schedule.sigma(Timestep::new(t.value() - 1.0)?)?
                };
                let wanted = (&picture + (&noise * earlier)?)?;
                assert!(
                    distance(&schedule.euler_step(&given, &prediction, t)?, &wanted)? < 1e-9,
                    "{kind} {t}"
                );
            }
        }
        Ok(())
    }

    #[test]
    fn other_schedulers_are_none_and_absurd_numbers_are_refused_by_name() -> Result<()> {
        assert_eq!(
            EdmSchedule::from_json(&json!({"_class_name": "EulerDiscreteScheduler"}))?,
            None
        );
        assert_eq!(EdmSchedule::from_json(&json!({}))?, None);
        for (key, value) in [
            ("num_train_timesteps", json!(50)),
            ("sigma_min", json!(0)),
            ("sigma_max", json!(0.001)),
            ("sigma_data", json!("half")),
            ("sigma_schedule", json!("cosine")),
            ("prediction_type", json!("sample")),
            ("rho", json!(0)),
        ] {
            let json = json!({"_class_name": "EDMEulerScheduler", key: value});
            let error = EdmSchedule::from_json(&json).expect_err(key).to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{error}");
        }
        Ok(())
    }

    #[test]
    fn the_timestep_like_another_schedule_s_has_as_much_noise_for_its_picture() -> Result<()> {
        let wanted = super::super::DiscreteSchedule::stable_diffusion().mixture(Timestep::of(50))?;
        let karras = schedule(json!({}));
        let like = karras.like(wanted);
        let found = karras.sigma(like)? / 0.5;
        assert!(
            (found / (wanted.noise / wanted.signal) - 1.0).abs() < 0.02,
            "{like}: {found}"
        );
        Ok(())
    }
}

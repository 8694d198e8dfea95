//! How flow models shift their timesteps: the share of noise σ that a nominal one of 0 to 1000 stands for, s = t/1000 before.

use serde_json::Value;

use super::{FlowSchedule, Timestep};
use crate::{
    error::{Error, Result},
    weights::config::ConfigReader,
};

/// The class of diffusers' scheduler whose shift is read.
const CLASS: &str = "FlowMatchEulerDiscreteScheduler";
/// Nothing published shifts more: Stable Diffusion 3 by 3, Flux at 2048 pixels by e^3.1.
const MOST_SHIFT: f64 = 1e3;
/// More tokens than any picture has.
const MOST_TOKENS: usize = 1 << 24;

/// The shift of a flow model's schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FlowShift {
    /// σ = a·s/(1 + (a − 1)·s) for this a, which is above 0.
    Static(f64),
    /// σ = e^μ/(e^μ + 1/s − 1), with μ linear in the number of a picture's tokens through both pairs of tokens and μ.
    Dynamic([(f64, f64); 2]),
}

impl FlowShift {
    /// Reads the JSON of a `scheduler_config.json`, with diffusers' defaults for what it lacks.
    ///
    /// # Errors
    ///
    /// Where it is that of another scheduler, or names a shift that this program does not compute.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, "the scheduler's config.json")?;
        let class = config.text("_class_name", CLASS)?;
        if class != CLASS {
            return Err(config.refuse("_class_name", CLASS));
        }
        config.only("num_train_timesteps", &Value::from(FlowSchedule::LAST.value()))?;
        let in_bounds = |key: &str, default: f64, least: f64| {
            let number = config.number(key, default)?;
            match (least..=MOST_SHIFT).contains(&number) {
                true => Ok(number),
                false => Err(config.refuse(key, &format!("a number from {least} to {MOST_SHIFT}"))),
            }
        };
        if !config.flag("use_dynamic_shifting", false)? {
            return Ok(Self::Static(in_bounds("shift", 1.0, MOST_SHIFT.recip())?));
        }
        config.choice("time_shift_type", "exponential", &["exponential"])?;
        let fewest = config.count("base_image_seq_len", Some(256), 1, MOST_TOKENS)? as f64;
        let most = config.count("max_image_seq_len", Some(4096), 1, MOST_TOKENS)? as f64;
        if most <= fewest {
            return Err(config.refuse("max_image_seq_len", "a number above base_image_seq_len"));
        }
        Ok(Self::Dynamic([
            (fewest, in_bounds("base_shift", 0.5, -MOST_SHIFT)?),
            (most, in_bounds("max_shift", 1.15, -MOST_SHIFT)?),
        ]))
    }

    /// The timestep that runs for a nominal one, of pictures of so many tokens.
    ///
    /// # Errors
    ///
    /// Where `nominal` is above 1000.
    pub fn apply(self, nominal: Timestep, tokens: usize) -> Result<Timestep> {
        let s = FlowSchedule.sigma(nominal)?;
        // e^μ in place of a static shift gives the same formula.
        let shift = match self {
            Self::Static(shift) => shift,
            Self::Dynamic([(fewest, low), (most, high)]) => {
                let slope = (high - low) / (most - fewest);
                (low + slope * (tokens as f64 - fewest)).exp()
            }
        };
        let sigma = shift * s / (1.0 + (shift - 1.0) * s);
        if !sigma.is_finite() {
            return Err(Error::usage(format!(
                "the nominal timestep {nominal} has no share of noise at {tokens} tokens: choose a smaller size"
            )));
        }
        Timestep::new(FlowSchedule::LAST.value() * sigma.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shifts_are_those_of_the_published_schedulers() -> Result<()> {
        let flux = FlowShift::from_json(&json!({"use_dynamic_shifting": true, "shift": 3.0}))?;
        let sd3 = FlowShift::from_json(&json!({"_class_name": CLASS, "shift": 3.0}))?;
        let none = FlowShift::from_json(&json!({}))?;
        for (shift, t, tokens, wanted) in [
            (flux, 261, 24, 358.921_468_257_9),
            (flux, 0, 4096, 0.0),
            (flux, 1000, 16, 1000.0),
            (sd3, 261, 16, 514.454_664_914_6),
            (sd3, 900, 4096, 964.285_714_285_7),
            (none, 300, 4096, 300.0),
        ] {
            let found = shift.apply(Timestep::of(t), tokens)?.value();
            assert!((found - wanted).abs() < 1e-9, "{shift:?} {t}: {found}");
        }
        assert!(none.apply(Timestep::of(1001), 1).is_err());
        Ok(())
    }

    #[test]
    fn other_schedulers_and_absurd_shifts_are_refused_by_name() {
        for (key, value) in [
            ("_class_name", json!("DDIMScheduler")),
            ("num_train_timesteps", json!(50)),
            ("shift", json!(-1)),
            ("shift", json!(1e300)),
        ] {
            let error = FlowShift::from_json(&json!({key: value})).expect_err(key).to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{error}");
        }
        for (key, value) in [
            ("time_shift_type", json!("linear")),
            ("max_shift", json!("much")),
            ("base_image_seq_len", json!(0)),
            ("max_image_seq_len", json!(256)),
        ] {
            let json = json!({"use_dynamic_shifting": true, key: value});
            let error = FlowShift::from_json(&json).expect_err(key).to_string();
            assert!(error.contains(&format!("\"{key}\" is ")), "{error}");
        }
    }
}

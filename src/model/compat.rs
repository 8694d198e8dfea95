//! Numbers as other programs make them, where this one differs on purpose.

use serde::{Deserialize, Serialize};

use super::spec::ModelSpec;
use crate::{
    components::schedule::Timestep,
    error::{Error, Result},
    geometry::{Size, framing::WorkingSize},
};

/// A program whose numbers are reproduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Compat {
    /// generic-diffusion-feature: t goes through its 1000-step schedulers, pictures become squares, long prompts are cut
    /// where the ids fall, DDIM inversion is as published.
    Gdf,
}

/// Scaling of the latent in generic-diffusion-feature's inversion, whatever the model.
pub(crate) const PUBLISHED_SCALING: f64 = 0.18215;

/// Pieces between spaces above which generic-diffusion-feature treats a prompt as long.
pub(crate) const LONG_PROMPT_PIECES: usize = 70;

/// The model whose scheduler generic-diffusion-feature would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GdfKind {
    /// PNDM, "leading" spacing with offset 1.
    Sd1,
    /// Euler made from PNDM's configuration, "linspace" spacing.
    Sd2,
    /// Euler, "leading" spacing with offset 1.
    Sdxl,
    /// Flow matching in 28 steps of diffusers' image-to-image.
    Flow,
}

impl GdfKind {
    /// The timestep that its scheduler makes of a request of `nominal`: for [`Self::Flow`] before the schedule's shift.
    ///
    /// # Errors
    ///
    /// Where `nominal` is no whole number from 1 to 999.
    pub fn runs(self, nominal: Timestep) -> Result<Timestep> {
        const FLOW_STEPS: u32 = 28;
        const ALL: u32 = 1000;
        const LAST: u32 = 999;
        let Some(nominal) = nominal.whole().filter(|whole| (1..=LAST).contains(whole)) else {
            return Err(Error::usage(format!(
                "--compat gdf: generic-diffusion-feature takes a whole t from 1 to {LAST}, {nominal} was given"
            )));
        };
        let runs = match self {
            Self::Sd1 => (nominal + 1).min(LAST),
            Self::Sd2 => nominal - 1,
            Self::Sdxl => nominal,
            Self::Flow => {
                let skipped = FLOW_STEPS * (ALL - nominal) / ALL;
                return Timestep::new(f64::from(ALL) * (1.0 - f64::from(skipped) / f64::from(FLOW_STEPS)));
            }
        };
        Ok(runs.into())
    }
}

impl Compat {
    /// The timestep that runs in that program for a request of `nominal` at a working size.
    ///
    /// # Errors
    ///
    /// Where that program does not run the model, and where `nominal` is no whole number from 1 to 999.
    pub fn t(self, spec: &ModelSpec, nominal: Timestep, working: Size) -> Result<Timestep> {
        let kind = spec.gdf_kind().ok_or_else(|| {
            Error::usage(format!(
                "--compat gdf: generic-diffusion-feature does not run {} with settings that this program knows",
                spec.name
            ))
        })?;
        let runs = kind.runs(nominal)?;
        match kind {
            GdfKind::Flow => spec.shifted(runs, working),
            GdfKind::Sd1 | GdfKind::Sd2 | GdfKind::Sdxl => Ok(runs),
        }
    }

    /// The working size in that program: always a square.
    ///
    /// # Errors
    ///
    /// Where the short side was asked for: that program does not keep the aspect ratio.
    pub fn size(self, spec: &ModelSpec, asked: Option<WorkingSize>) -> Result<WorkingSize> {
        match asked {
            None => Ok(WorkingSize::Exact {
                width: spec.native_side,
                height: spec.native_side,
            }),
            Some(WorkingSize::ShortSide(side)) => Err(Error::usage(format!(
                "--compat gdf: generic-diffusion-feature does not keep the aspect ratio; give --size {side} in place of \
                 --short-side {side}"
            ))),
            Some(exact) => Ok(exact),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_what_the_table_says() -> Result<()> {
        let rows = [
            (GdfKind::Sd1, [(1, 2), (50, 51), (261, 262), (998, 999), (999, 999)]),
            (GdfKind::Sd2, [(1, 0), (50, 49), (261, 260), (500, 499), (999, 998)]),
            (GdfKind::Sdxl, [(1, 1), (50, 50), (261, 261), (500, 500), (999, 999)]),
        ];
        for (kind, pairs) in rows {
            for (nominal, runs) in pairs {
                assert_eq!(
                    kind.runs(Timestep::of(nominal))?,
                    Timestep::of(runs),
                    "{kind:?} {nominal}"
                );
            }
            assert!(kind.runs(0.into()).is_err() && kind.runs(1000.into()).is_err());
        }
        for (nominal, step) in [(1, 27), (35, 27), (36, 26), (261, 20), (300, 19), (999, 0)] {
            let runs = GdfKind::Flow.runs(Timestep::of(nominal))?;
            let wanted = 1000.0 * (1.0 - f64::from(step) / 28.0);
            assert_eq!(runs.value(), wanted, "{nominal}");
        }
        Ok(())
    }
}

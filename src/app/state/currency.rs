//! Whether what is shown is what is set: one answer for panes, lists, scores and the status line.

use super::{queries::pca_is_current, root::State};
use crate::{
    app::document::pane::PaneKind,
    engine::{ImageSlot, RunSettings},
};

/// Whether what is shown is what is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Currency {
    /// There is nothing that could be shown.
    Empty,
    /// What is shown is what is set.
    Current,
    /// What is set is on its way.
    Running,
    /// What is shown is of something else, for this reason, and stays until it is asked for anew.
    Outdated(String),
    /// What is set could not be made.
    Failed,
}

impl Currency {
    /// The word for it, on badges and in the status line.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Empty => "",
            Self::Current => "current",
            Self::Running => "running",
            Self::Outdated(_) => "outdated",
            Self::Failed => "failed",
        }
    }

    /// Whether something is shown that is not what is set.
    pub const fn is_behind(&self) -> bool {
        matches!(self, Self::Running | Self::Outdated(_) | Self::Failed)
    }
}

impl State {
    /// Whether the passes that are shown are those of what is set.
    pub fn currency(&self) -> Currency {
        if self.model.error.is_some() && self.model.info.is_none() {
            return Currency::Failed;
        }
        if self.model.loading.is_some() {
            return Currency::Running;
        }
        if self.model.info.is_none() || self.open_slots().next().is_none() || self.layer().is_none() {
            return Currency::Empty;
        }
        let behind = self.open_slots().find(|slot| !self.is_captured(*slot));
        let Some(behind) = behind else { return Currency::Current };
        self.way_of(|| self.why_outdated(behind))
    }

    /// Whether what a pane shows is what is set.
    pub fn pane_currency(&self, kind: PaneKind, slot: ImageSlot) -> Currency {
        let run = self.currency();
        match kind {
            PaneKind::Sheet | PaneKind::Plot => self.survey_currency(),
            _ if !kind.is_of_picture() => Currency::Current,
            _ if self.slot(slot).picture.is_none() => Currency::Empty,
            // The picture itself is never behind; the heat map over it may be.
            PaneKind::Picture if self.heat_on(slot).is_none() => Currency::Current,
            _ if !self.is_captured(slot) => match run {
                Currency::Current | Currency::Empty => Currency::Running,
                other => other,
            },
            PaneKind::Pca if self.layer().is_some_and(|id| id.has_vectors()) => match pca_is_current(self, slot) {
                true => Currency::Current,
                false => Currency::Running,
            },
            PaneKind::Picture | PaneKind::Heat if self.heat_on(slot).is_some() && self.heat_is_stale() => {
                Currency::Running
            }
            _ => Currency::Current,
        }
    }

    fn survey_currency(&self) -> Currency {
        let Some(survey) = &self.survey else {
            return Currency::Current;
        };
        if self.surveys_now() {
            return Currency::Running;
        }
        match self.survey_is_of_something_else(survey) {
            Some(other) => Currency::Outdated(other.to_owned()),
            None => Currency::Current,
        }
    }

    /// How what is wanted comes about.
    fn way_of(&self, why: impl FnOnce() -> String) -> Currency {
        if self.run.running.is_some() {
            Currency::Running
        } else if self.run.error.is_some() {
            Currency::Failed
        } else if (self.run_is_cheap() || self.run_is_kept()) && !self.run.ended || self.run.asked {
            // It begins by itself.
            Currency::Running
        } else {
            Currency::Outdated(why())
        }
    }

    /// What is set otherwise than what a picture is shown from.
    fn why_outdated(&self, slot: ImageSlot) -> String {
        let Some(capture) = &self.slot(slot).capture else {
            return "not run yet".to_owned();
        };
        let changes = changed(&capture.settings.acting(), &self.settings_read().acting());
        match changes.as_slice() {
            [] => "this layer was not kept".to_owned(),
            [one] => format!("{one} changed"),
            [others @ .., last] => format!("{} and {last} changed", others.join(", ")),
        }
    }
}

/// The settings in which two differ, in words. Every field has one: a new one does not compile without.
fn changed(from: &RunSettings, to: &RunSettings) -> Vec<&'static str> {
    let RunSettings {
        prompt,
        class,
        t,
        nominal_t,
        guidance,
        seed,
        ensemble,
        latent,
        size,
        inversion,
        compat,
        adapters,
    } = from;
    [
        (*prompt != to.prompt, "prompt"),
        (*class != to.class, "class"),
        (*t != to.t || *nominal_t != to.nominal_t, "timestep"),
        (*guidance != to.guidance, "guidance"),
        (*seed != to.seed, "seed"),
        (*ensemble != to.ensemble, "ensemble size"),
        (*latent != to.latent, "latent"),
        (*size != to.size, "size"),
        (*inversion != to.inversion, "inversion"),
        (*compat != to.compat, "reproduced program"),
        (*adapters != to.adapters, "LoRA, ControlNet or embedding"),
    ]
    .into_iter()
    .filter_map(|(differs, word)| differs.then_some(word))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_in_the_order_of_settings() {
        let settings = RunSettings::default();
        let mut other = settings.clone();
        assert!(changed(&settings, &other).is_empty());
        other.seed += 1;
        other.prompt = "a cat".to_owned();
        assert_eq!(changed(&settings, &other), ["prompt", "seed"]);
    }
}

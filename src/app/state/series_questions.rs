//! Which passes and activations strips, CKA matrices and content shifts need.

use super::{
    layer_tree::is_found,
    root::State,
    series::{Role, Wanted},
};
use crate::{
    activation::{Id, Kind},
    analysis::{gram::LEAST_PICTURES, shift::ANCHOR_T},
    app::document::{
        choices::{CkaBetween, CkaRows, LayerChoice, StripAxis, timesteps},
        layout::panes,
        limits::MOST_FRAMES,
        pane::PaneKind,
    },
    components::schedule::Timestep,
    engine::{ComparisonKind, ImageSlot, Layer, RunSettings, SeriesMember, SeriesQuery},
};

/// The kind of comparison that a kind of pane shows.
pub fn kind_of(pane: PaneKind) -> Option<ComparisonKind> {
    match pane {
        PaneKind::Strip => Some(ComparisonKind::Strip),
        PaneKind::Cka => Some(ComparisonKind::Cka),
        PaneKind::Shift => Some(ComparisonKind::Shift),
        _ => None,
    }
}

impl State {
    /// Whether everything that is looked at was kept by a series: then a run shows it without computing anything.
    pub fn run_is_kept(&self) -> bool {
        let Some(id) = self.layer() else { return false };
        let mut missing = self.open_slots().filter(|slot| !self.is_captured(*slot));
        missing.all(|slot| self.known(&self.member(slot, |_| ()), &[id]).is_some())
    }

    /// The greatest timestep of the model.
    pub fn last_t(&self) -> u32 {
        let steps = self.model.info.as_ref().map_or(0, |info| info.mixtures.len());
        steps.saturating_sub(1) as u32
    }

    /// The timesteps that a text names with one more.
    fn times_with(&self, text: &str, one: Timestep) -> Result<Vec<Timestep>, String> {
        let named = timesteps(text, self.last_t())?;
        Ok(with(named.into_iter().map(Timestep::from).collect(), one))
    }

    /// The passes that a comparison needs, if a pane shows it; why there are none where what is chosen makes no sense.
    pub fn wanted_series(&self, kind: ComparisonKind) -> Option<Result<Wanted, String>> {
        let shown = panes(&self.document.layout)
            .iter()
            .any(|(_, pane)| kind_of(pane.kind) == Some(kind));
        let ready = self.model.info.is_some() && self.model.loading.is_none() && self.open_slots().next().is_some();
        (shown && ready).then(|| self.series_of(kind))
    }

    fn series_of(&self, kind: ComparisonKind) -> Result<Wanted, String> {
        let over_noise = match kind {
            ComparisonKind::Strip | ComparisonKind::Shift => true,
            ComparisonKind::Cka => self.document.cka.between == CkaBetween::Times,
        };
        if over_noise && !self.has_denoiser() {
            return Err(
                "an image encoder has neither timesteps nor noise: load a diffusion model to compare them".to_owned(),
            );
        }
        let (members, ids) = match kind {
            ComparisonKind::Strip => (self.strip_members()?, vec![self.compared_layer()?]),
            ComparisonKind::Cka => (self.cka_members()?, self.cka_ids()?),
            ComparisonKind::Shift => (self.shift_members()?, vec![self.compared_layer()?]),
        };
        let (members, roles) = members.into_iter().unzip();
        Ok(Wanted {
            query: SeriesQuery { members, ids },
            roles,
            generation: self.model.generation,
            numbers: self.numbers(),
        })
    }

    /// The layer, where it is one whose vectors can be compared. What a held key shows instead changes nothing.
    fn compared_layer(&self) -> Result<Id, String> {
        let id = self.document.layer.ok_or("choose a layer first")?;
        if !self.layers().iter().any(|layer| layer.id == id) {
            return Err(format!("this model has no {id}: choose another layer"));
        }
        match id.has_vectors() {
            true => Ok(id),
            false => Err(format!(
                "{id} is an attention map: choose an activation that has vectors"
            )),
        }
    }

    fn member(&self, slot: ImageSlot, change: impl FnOnce(&mut RunSettings)) -> SeriesMember {
        let mut settings = self.settings_read();
        change(&mut settings);
        SeriesMember {
            slot,
            settings,
            noiseless: false,
        }
    }

    /// The picture worked with first.
    fn slots_from_focused(&self) -> Vec<ImageSlot> {
        let focused = self.focused_slot();
        let others = self.open_slots().filter(|slot| *slot != focused);
        [focused].into_iter().chain(others).collect()
    }

    fn strip_members(&self) -> Result<Vec<(SeriesMember, Role)>, String> {
        let choice = &self.document.strip;
        let now = &self.document.settings;
        let frames: Vec<(Timestep, u64)> = match choice.axis {
            StripAxis::T => {
                let times = self.times_with(&choice.times, now.t)?;
                times.into_iter().map(|t| (t, now.seed)).collect()
            }
            StripAxis::Seed => {
                let seeds = with((0..choice.seeds.clamp(1, MOST_FRAMES) as u64).collect(), now.seed);
                seeds.into_iter().map(|seed| (now.t, seed)).collect()
            }
        };
        let slots = match choice.all_pictures {
            true => self.slots_from_focused(),
            false => vec![self.focused_slot()],
        };
        let of_slot = |(index, slot): (usize, ImageSlot)| {
            let role = if index == 0 { Role::Shown } else { Role::Beside };
            let member = move |(t, seed): &(Timestep, u64)| {
                let member = self.member(slot, |settings| {
                    settings.t = *t;
                    settings.seed = *seed;
                });
                (member, role.clone())
            };
            frames.iter().map(member).collect::<Vec<_>>()
        };
        Ok(slots.into_iter().enumerate().flat_map(of_slot).collect())
    }

    /// Of every timestep the pictures, in the order of slots.
    fn cka_members(&self) -> Result<Vec<(SeriesMember, Role)>, String> {
        let choice = &self.document.cka;
        let slots = match choice.rows {
            CkaRows::Positions => vec![self.focused_slot()],
            CkaRows::AllPositions | CkaRows::Pictures => self.open_slots().collect(),
        };
        let times = match choice.between {
            CkaBetween::Times => self.times_with(&choice.times, self.document.settings.t)?,
            CkaBetween::Layers | CkaBetween::Models => vec![self.document.settings.t],
        };
        if choice.between == CkaBetween::Models && self.comparable_before(&slots).is_none() {
            return Err(
                "load another model: its activations are compared with those of the one before it, as far as they \
                        are kept of the same pictures"
                    .to_owned(),
            );
        }
        if choice.rows == CkaRows::Pictures && slots.len() < LEAST_PICTURES {
            return Err(format!(
                "CKA over pictures needs at least {LEAST_PICTURES} of them, found {}: open more, or compare positions",
                slots.len()
            ));
        }
        let of_t = |t: Timestep| {
            let member = move |slot: &ImageSlot| (self.member(*slot, |settings| settings.t = t), Role::Shown);
            slots.iter().map(member).collect::<Vec<_>>()
        };
        Ok(times.into_iter().flat_map(of_t).collect())
    }

    fn cka_ids(&self) -> Result<Vec<Id>, String> {
        let choice = &self.document.cka;
        if choice.between == CkaBetween::Times {
            return Ok(vec![self.compared_layer()?]);
        }
        let chosen = self.layers().iter().filter(|layer| self.is_chosen_for_cka(layer));
        let ids: Vec<Id> = chosen.map(|layer| layer.id).collect();
        match ids.is_empty() {
            true => Err("no activation is chosen: choose all features, or search for others".to_owned()),
            false => Ok(ids),
        }
    }

    /// Whether an activation is among those that are chosen.
    pub(in crate::app) fn is_chosen_for_cka(&self, layer: &Layer) -> bool {
        !layer.id.is_map()
            && match self.document.cka.layers {
                LayerChoice::BlockOutputs => is_block_output(layer),
                LayerChoice::Features => true,
                LayerChoice::Found => is_found(layer.id, &self.search),
            }
    }

    /// Reference and anchor, and every line at every timestep.
    fn shift_members(&self) -> Result<Vec<(SeriesMember, Role)>, String> {
        let choice = &self.document.shift;
        let slot = self.focused_slot();
        let reference = SeriesMember {
            noiseless: true,
            ..self.member(slot, |settings| settings.t = Timestep::default())
        };
        let anchor = self.member(slot, |settings| {
            settings.t = ANCHOR_T.min(self.last_t()).into();
            settings.prompt.clear();
        });
        let mut members = vec![(reference, Role::Reference), (anchor, Role::Anchor)];
        let times = self.times_with(&choice.times, self.document.settings.t)?;
        for (name, change) in self.shift_lines() {
            members.extend(times.iter().map(|t| {
                let member = self.member(slot, |settings| {
                    settings.t = *t;
                    change(settings);
                });
                (member, Role::Line(name))
            }));
        }
        Ok(members)
    }

    /// The lines of the content-shift meter: their names, and how their settings differ from what is set.
    pub fn shift_lines(&self) -> Vec<(&'static str, Change)> {
        let (choice, can) = (&self.document.shift, self.shift_variants());
        let mut lines: Vec<(&'static str, Change)> = vec![(AS_SET, |_| ())];
        if choice.without_prompt && can.prompt {
            lines.push(("without prompt", |settings| settings.prompt.clear()));
        }
        if choice.without_loras && can.loras {
            lines.push(("without LoRA", |settings| settings.adapters.loras.clear()));
        }
        if choice.without_controls && can.controls {
            lines.push(("without ControlNet", |settings| settings.adapters.controls.clear()));
        }
        lines
    }

    /// What could be left out.
    pub fn shift_variants(&self) -> Variants {
        let acting = self.document.settings.acting();
        let reads = self.model.info.as_ref().is_some_and(|info| info.reads_prompt);
        Variants {
            prompt: reads && !acting.prompt.is_empty(),
            loras: !acting.adapters.loras.is_empty(),
            controls: !acting.adapters.controls.is_empty(),
        }
    }
}

/// How settings differ from what is set.
pub type Change = fn(&mut RunSettings);

/// The line of what is set.
pub const AS_SET: &str = "as set";

/// What could be left out of what is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variants {
    /// The prompt.
    pub prompt: bool,
    /// LoRAs that act.
    pub loras: bool,
    /// ControlNets that act.
    pub controls: bool,
}

/// Ascending numbers with one more, once.
pub fn with<T: Ord>(mut numbers: Vec<T>, one: T) -> Vec<T> {
    if let Err(place) = numbers.binary_search(&one) {
        numbers.insert(place, one);
    }
    numbers
}

/// Whether an activation is what a block, a resnet, a transformer or a sampler gives to the next.
fn is_block_output(layer: &Layer) -> bool {
    matches!(layer.facts.kind, Kind::BlockOutput | Kind::Output)
}

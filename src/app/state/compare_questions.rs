//! Sides of a comparison: their passes, activations and names, and the request to the workers.

use super::{compare::Absent, estimate::feature_bytes, pass_index::KeptPass, root::State, shown::shown_source};
use crate::{
    activation::Id,
    app::document::{
        compare::{CompareSide, PassChoice},
        pane::PaneKind,
    },
    engine::{CompareQuery, ImageSlot, MemberKept, PassId, RunSettings, SeriesMember, SeriesQuery},
    error::Result,
    extract::inversion::Inversion,
};

/// Bytes of activations up to which a pass for a comparison keeps all of them, and not only the one compared.
const KEEP_ALL_BYTES: f64 = (512 << 20) as f64;

/// The activation of a side.
pub fn layer_of(state: &State, side: &CompareSide) -> Option<Id> {
    side.layer.or(state.layer())
}

/// The kept pass of a side.
pub fn kept_of<'a>(state: &'a State, side: &CompareSide) -> Option<&'a KeptPass> {
    match &side.pass {
        PassChoice::Shown(slot) => state.passes.get(state.pass(*slot)?),
        PassChoice::Kept(wanted) => state.passes.iter().rev().find(|kept| kept.is(wanted)),
    }
}

/// Pass and activation of a side, or why there are none.
pub fn found(state: &State, side: &CompareSide) -> Result<(PassId, Id), Absent> {
    let words = |text: String| Absent::Words(text);
    let id = layer_of(state, side).ok_or_else(|| words("no activation is looked at".to_owned()))?;
    if id.is_map() {
        return Err(words(format!("{id} is an attention map: choose a feature map")));
    }
    let not_finite = kept_of(state, side).and_then(|kept| kept.not_finite.iter().find(|(other, _)| *other == id));
    if let Some((_, numbers)) = not_finite {
        return Err(words(format!("{id} is not finite: {numbers}")));
    }
    match &side.pass {
        PassChoice::Shown(slot) => {
            let name = slot.name();
            if state.slot(*slot).picture.is_none() {
                return Err(words(format!("no picture is open as {name}")));
            }
            let kept = kept_of(state, side).filter(|kept| kept.features.contains(&id));
            let kept = kept.ok_or_else(|| match side.layer {
                // What is looked at is run by itself.
                None => words(format!("{id} of {name} has not been run yet")),
                Some(_) => Absent::CanRun(*slot),
            })?;
            Ok((kept.pass, id))
        }
        PassChoice::Kept(wanted) => match kept_of(state, side) {
            Some(kept) if kept.features.contains(&id) => Ok((kept.pass, id)),
            _ => {
                let there = state.model.info.as_ref().is_some_and(|info| info.name == wanted.model);
                let has = |slot: &ImageSlot| {
                    let picture = state.slot(*slot).picture.as_ref();
                    picture.is_some_and(|picture| picture.fingerprint == wanted.fingerprint)
                };
                match state.open_slots().find(has) {
                    Some(slot) if there => Err(Absent::CanRun(slot)),
                    _ => Err(words(format!(
                        "its maps are no longer kept: load {} and open {} to run it again",
                        wanted.model,
                        shown_source(&wanted.source)
                    ))),
                }
            }
        },
    }
}

/// The question about the maps of both sides.
pub fn compare_query(state: &State) -> Option<CompareQuery> {
    let [a, b] = &state.document.compare.sides;
    Some(CompareQuery {
        sides: [found(state, a).ok()?, found(state, b).ok()?],
        settings: state.document.pca.clone(),
    })
}

/// Whether the picture shows another comparison than the one that is set.
pub fn is_stale(state: &State) -> bool {
    let view = state.compare.view.as_ref();
    view.is_none_or(|view| Some(&view.query) != compare_query(state).as_ref())
}

/// What a pass is called in lists: what tells it from what is set comes with it.
pub fn pass_text(state: &State, kept: &KeptPass) -> String {
    let settings = &kept.settings;
    let mut text = format!("{} {}", kept.slot.name(), shown_source(&kept.source));
    if kept.ran.mixture.is_some() {
        text += &format!("  t {}  seed {}", settings.t, settings.seed);
    }
    let set = &state.settings_read();
    if settings.ensemble != set.ensemble {
        text += &format!("  mean of {}", settings.ensemble);
    }
    if settings.prompt != set.prompt {
        text += &format!("  \"{}\"", settings.prompt);
    }
    if settings.guidance != set.guidance {
        text += &format!("  guidance {}", settings.guidance);
    }
    if settings.nominal_t != set.nominal_t {
        text += if settings.nominal_t {
            "  nominal t"
        } else {
            "  t that runs"
        };
    }
    if settings.class != set.class {
        text += &settings
            .class
            .map_or("  no class".to_owned(), |class| format!("  class {class}"));
    }
    if settings.size != set.size {
        text += &format!("  {} x {} px", kept.framing.working.width, kept.framing.working.height);
    }
    if settings.inversion != set.inversion {
        text += match settings.inversion {
            Inversion::None => "  no inversion",
            Inversion::Ddim => "  DDIM inversion",
        };
    }
    if settings.adapters.acting() != set.adapters.acting() {
        text += "  other LoRAs or ControlNets";
    }
    if state.model.info.as_ref().is_none_or(|info| info.name != kept.model) {
        text += &format!("  {}", kept.model);
    }
    text
}

/// What a side is called under the picture.
pub fn side_text(state: &State, side: &CompareSide) -> String {
    let layer = layer_of(state, side).map_or(String::new(), |id| id.to_string());
    match kept_of(state, side) {
        Some(kept) => format!("{layer} of {}", pass_text(state, kept)),
        None => layer,
    }
}

/// What is shown of the picture worked with now, so that it can be compared with what is looked at later.
pub fn side_of_now(state: &State) -> Option<CompareSide> {
    let slot = state.focused_slot();
    let kept = state.passes.get(state.pass(slot)?)?;
    let id = state.layer().filter(|id| kept.features.contains(id))?;
    Some(CompareSide {
        pass: PassChoice::Kept(Box::new(kept.reference())),
        layer: Some(id),
    })
}

/// The picture that passes for a comparison are run of: A's.
pub fn slot_of(state: &State, side: &CompareSide) -> ImageSlot {
    match &side.pass {
        PassChoice::Shown(slot) => *slot,
        PassChoice::Kept(wanted) => {
            let has = |slot: &ImageSlot| {
                let picture = state.slot(*slot).picture.as_ref();
                picture.is_some_and(|picture| picture.fingerprint == wanted.fingerprint)
            };
            state.open_slots().find(has).unwrap_or(wanted.slot)
        }
    }
}

/// One pass for a comparison: with all activations where they take little memory.
pub fn series_of(state: &State, slot: ImageSlot, settings: RunSettings, id: Id) -> SeriesQuery {
    let layers = state.layers();
    let ids = if feature_bytes(layers) <= KEEP_ALL_BYTES {
        let features = layers.iter().map(|layer| layer.id).filter(|id| !id.is_map());
        features.collect()
    } else {
        vec![id]
    };
    SeriesQuery {
        members: vec![SeriesMember {
            slot,
            settings,
            noiseless: false,
        }],
        ids,
    }
}

impl State {
    /// A pass that was run for a comparison is there.
    pub fn on_compared_pass(&mut self, job: u64, kept: &MemberKept) {
        let Some((_, query)) = self.compare.asked.take_if(|(asked, _)| *asked == job) else {
            return;
        };
        let Some(member) = query.members.get(kept.index) else {
            return;
        };
        self.remember_member(member, kept, &query.ids);
        if let Some(known) = self.passes.get(kept.pass) {
            let pass = PassChoice::Kept(Box::new(known.reference()));
            // Where a side that was gone is run again, it is the same side.
            if self.document.compare.sides.iter().all(|side| side.pass != pass) {
                self.document.compare.sides[1].pass = pass;
            }
        }
    }

    /// Whether a pane compares.
    pub fn compares(&self) -> bool {
        let panes = crate::app::document::layout::panes(&self.document.layout);
        panes.iter().any(|(_, pane)| pane.kind == PaneKind::Compare)
    }
}

//! What a ranking is computed from: pairs of points, passes, timesteps that are typed.

use super::root::State;
use crate::{
    activation::Id,
    analysis::rank::RankMade,
    app::document::pairs::point_pairs,
    components::schedule::Timestep,
    engine::{ImageSlot, RankPasses, RankQuery, RankView, RunSettings, SeriesMember, SeriesQuery},
    files::names,
};

/// The question of a ranking: every activation that is kept of both pictures, at every timestep.
pub fn rank_query(state: &State) -> Option<RankQuery> {
    let document = &state.document;
    let pairs = point_pairs(document);
    let slots = document.rank.slots;
    let [sources, targets] = slots.map(|slot| state.kept_over_t(slot));
    let passes: Vec<RankPasses> = sources
        .iter()
        .filter_map(|source| {
            let t = source.settings.t;
            let target = targets.iter().find(|target| target.settings.t == t)?;
            let ids: Vec<Id> = if source.features == target.features {
                source.features.clone()
            } else {
                let both = source.features.iter().filter(|id| target.features.contains(id));
                both.copied().collect()
            };
            (!ids.is_empty()).then_some(RankPasses {
                t,
                source: source.pass,
                target: target.pass,
                ids,
            })
        })
        .collect();
    (!pairs.is_empty() && !passes.is_empty()).then_some(RankQuery {
        slots,
        passes,
        pairs,
        options: document.rank.options,
    })
}

/// The timesteps that are typed, or what is wrong with them.
pub fn typed_steps(state: &State) -> Result<Vec<u32>, String> {
    let last = state
        .model
        .info
        .as_ref()
        .map_or(0, |info| info.mixtures.len())
        .saturating_sub(1) as u32;
    let mut steps = Vec::new();
    for word in state.rank.steps.split([',', ' ']).filter(|word| !word.is_empty()) {
        match word.parse::<u32>() {
            Ok(t) if t <= last => steps.push(t),
            _ => {
                return Err(format!(
                    "\"{word}\" is no timestep: whole numbers from 0 to {last}, separated by commas"
                ));
            }
        }
    }
    steps.sort_unstable();
    steps.dedup();
    Ok(steps)
}

/// Passes of both pictures at the timesteps that are typed, with everything else as it is set.
pub fn series_of_steps(state: &State) -> Option<SeriesQuery> {
    let steps = typed_steps(state).ok()?;
    let slots = state.document.rank.slots;
    let open = slots.iter().all(|slot| state.slot(*slot).picture.is_some());
    let ids: Vec<Id> = state
        .layers()
        .iter()
        .map(|layer| layer.id)
        .filter(|id| !id.is_map())
        .collect();
    let member = |t: Timestep, slot: ImageSlot| SeriesMember {
        slot,
        settings: RunSettings {
            t,
            ..state.settings_read()
        },
        noiseless: false,
    };
    let members = steps.into_iter().flat_map(|t| slots.map(|slot| member(t.into(), slot)));
    let members: Vec<SeriesMember> = members.collect();
    (open && !members.is_empty() && !ids.is_empty()).then_some(SeriesQuery { members, ids })
}

/// What the rows of a view share.
pub fn made(state: &State, view: &RankView) -> Option<RankMade> {
    let slots = view.query.slots;
    let pass = view.query.passes.first()?;
    let [source, target] = [state.passes.get(pass.source)?, state.passes.get(pass.target)?];
    let (framing, settings) = (target.framing, &target.settings);
    let name = |slot: ImageSlot, picture: String| format!("{}: {picture}", slot.name());
    Some(RankMade {
        model: target.model.clone(),
        pictures: [
            name(slots[0], names::text(source.source.path())),
            name(slots[1], names::text(target.source.path())),
        ],
        target_size: [framing.original.width, framing.original.height],
        longer_side_px: view.longer_side_px,
        pairs: view.pairs,
        options: view.query.options,
        seed: settings.seed,
        ensemble: settings.ensemble,
        working_size: [framing.working.width, framing.working.height],
        dtype: target.dtype.clone(),
    })
}

//! A survey as a study: one pass, which begins anew where it made way for something, without measuring again what was
//! measured.

use std::collections::BTreeSet;

use super::{
    passes::{PassOf, provenance},
    studies::{Bench, Course, Left},
};
use crate::{
    activation::{Selection, Tap},
    engine::{
        cells::{cells_at, positions_of},
        study::{StudyEvent, SurveyQuery, SurveyStarted},
    },
    error::{Error, Result},
    extract::settings::RunSettings,
    geometry::{Grid, framing::Framing},
    sources::FeatureSource,
    survey::{Regions, SurveyInput, can_compare_noises, check_memory, survey_pass},
};

/// A survey, and what it has measured.
pub struct SurveyCourse {
    query: SurveyQuery,
    done: BTreeSet<Tap>,
}

impl SurveyCourse {
    pub fn new(query: SurveyQuery) -> Self {
        Self {
            query,
            done: BTreeSet::new(),
        }
    }
}

impl Course for SurveyCourse {
    fn next_pass(&mut self, bench: &mut Bench<'_>) -> Result<Left> {
        let Self { query, done } = self;
        let open = bench
            .pictures
            .get(&query.slot)
            .ok_or_else(|| Error::usage(format!("picture {} is not open: open one there", query.slot.name())))?;
        let settings = &query.settings;
        let of = PassOf {
            open,
            settings,
            noiseless: false,
        };
        let planned = of.planned(bench.loaded, bench.host, &[])?;
        let list = &planned.list;
        let all = Selection::listed(list, |entry| query.maps || !entry.id.is_map());
        let noises = match can_compare_noises(&bench.loaded.model.spec, settings.inversion) {
            true => query.noises,
            false => 1,
        };
        check_memory(list, &all, noises)?;
        let picture = planned.prepared()?;
        let framing = picture.framing;
        let regions = |grid: Grid| regions_of(query, &framing, grid);
        let run = RunSettings {
            ensemble: noises,
            ..settings.clone()
        };
        let pass_settings = bench.loaded.model.settings(run)?;
        // The record comes before the pass: adapters and prompt are put on the model now, and the pass finds them there.
        let model = &mut bench.loaded.model;
        model.adapt(&settings.adapters)?;
        model.encode_prompt(&settings.prompt, settings.compat, &mut |_| (bench.watch)(0.0, None))?;
        (bench.tell)(StudyEvent::SurveyStarted(Box::new(SurveyStarted {
            activations: all.len(),
            noises,
            ran: provenance(&bench.loaded.model, open, &picture, &pass_settings, 0.0),
        })));
        let left: Selection = all.iter().filter(|tap| !done.contains(tap)).collect();
        if left.is_empty() {
            return Ok(Left::Nothing);
        }
        let count = all.len();
        let (tell, watch) = (bench.tell, &mut *bench.watch);
        let measured = std::cell::Cell::new(done.len());
        survey_pass(
            &mut bench.loaded.model,
            &SurveyInput {
                picture: &picture,
                settings: &pass_settings,
                selection: &left,
                regions: (!query.regions.is_empty()).then_some(&regions as &Regions<'_>),
            },
            &mut |finding| {
                done.insert(Tap(finding.order as u32));
                measured.set(done.len());
                tell(StudyEvent::Found(Box::new(finding)));
                Ok(())
            },
            &mut |fraction| watch(fraction, Some([(measured.get() + 1).min(count), count])),
        )?;
        Ok(Left::Nothing)
    }
}

/// The region that each cell lies in; where two overlap, the later one counts.
fn regions_of(query: &SurveyQuery, framing: &Framing, grid: Grid) -> Vec<Option<usize>> {
    let mut regions = vec![None; grid.positions()];
    for (number, at) in query.regions.iter().enumerate() {
        let cells = cells_at(at, framing, grid).unwrap_or_default();
        for position in positions_of(&cells, grid) {
            regions[position] = Some(number);
        }
    }
    regions
}

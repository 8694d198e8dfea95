//! A recommendation as a study: a pass for each timestep and picture; one that makes way for something is done anew.

use super::{
    passes::{PassOf, provenance},
    studies::{Bench, Course, Left},
};
use crate::{
    analysis::rank::{RankOptions, Ranking},
    engine::{
        ids::ImageSlot,
        study::{RecommendQuery, RecommendStarted, StudyEvent},
    },
    error::{Error, Result},
    extract::settings::RunSettings,
    image::prepare::PreparedImage,
    recommend::{Ledger, PassInput, Plan, candidates, check_room, measure_pass},
    sources::FeatureSource,
    survey::can_compare_noises,
};

/// A recommendation, and what it has measured.
pub struct RecommendCourse {
    query: RecommendQuery,
    /// None before the first pass.
    ledger: Option<Ledger>,
    /// Passes that are done.
    done: usize,
}

impl RecommendCourse {
    pub fn new(query: RecommendQuery) -> Self {
        Self {
            query,
            ledger: None,
            done: 0,
        }
    }

    /// Finds out what is measured, checks that it can be, and says so.
    fn begin(&self, bench: &mut Bench<'_>) -> Result<Ledger> {
        let query = &self.query;
        let spec = &bench.loaded.model.spec;
        let (is_encoder, compares) = (spec.is_encoder(), can_compare_noises(spec, query.settings.inversion));
        let steps = match is_encoder {
            true => vec![Default::default()],
            false => query.steps.clone(),
        };
        if steps.is_empty() || query.slots.is_empty() {
            return Err(Error::usage(
                "nothing is to be compared: open a picture and give a timestep",
            ));
        }
        let plan = Plan {
            steps,
            noises: if compares { query.noises.max(1) } else { 1 },
            pictures: query.slots.len(),
            is_encoder,
            filtered: false,
        };
        let mut framings = Vec::new();
        for slot in &query.slots {
            let picture = prepared(bench, *slot, &query.settings)?;
            let working = picture.framing.working;
            let list = bench.loaded.model.spec.plain_catalogue(working);
            let selection = candidates(&list);
            check_room(&list, &selection, plan.rows(), query.pairs.len())?;
            framings.push(picture.framing);
        }
        let ranking = match (framings.as_slice(), query.pairs.is_empty()) {
            ([source, target, ..], false) => {
                Some(Ranking::new(&query.pairs, [*source, *target], RankOptions::default())?)
            }
            _ => None,
        };
        Ok(Ledger::new(plan, ranking))
    }
}

impl Course for RecommendCourse {
    fn next_pass(&mut self, bench: &mut Bench<'_>) -> Result<Left> {
        let mut ledger = match self.ledger.take() {
            Some(ledger) => ledger,
            None => self.begin(bench)?,
        };
        let result = one_pass(&self.query, &mut ledger, self.done, bench);
        let count = ledger.plan().passes();
        if result.is_ok() {
            self.done += 1;
            if self.done == count {
                let found = ledger.recommendation(self.query.top);
                (bench.tell)(StudyEvent::Recommended(Box::new(found)));
            }
        }
        self.ledger = Some(ledger);
        result?;
        Ok(match self.done < count {
            true => Left::More,
            false => Left::Nothing,
        })
    }
}

/// Measures one picture at one timestep.
fn one_pass(query: &RecommendQuery, ledger: &mut Ledger, done: usize, bench: &mut Bench<'_>) -> Result<()> {
    let plan = ledger.plan().clone();
    let (step, index) = (done / plan.pictures, done % plan.pictures);
    let missing = || Error::failed("more passes were begun than there are");
    let (t, slot) = (
        *plan.steps.get(step).ok_or_else(missing)?,
        *query.slots.get(index).ok_or_else(missing)?,
    );
    let run = RunSettings {
        t,
        ensemble: plan.noises,
        ..query.settings.clone()
    };
    let picture = prepared(bench, slot, &run)?;
    let working = picture.framing.working;
    let model = &mut bench.loaded.model;
    let settings = model.settings(run)?;
    if done == 0 {
        // The record comes before the pass: adapters and prompt are put on the model now, and the pass finds them there.
        model.adapt(&query.settings.adapters)?;
        let asked = &query.settings;
        model.encode_prompt(&asked.prompt, asked.compat, &mut |_| (bench.watch)(0.0, None))?;
        let open = bench.pictures.get(&slot).ok_or_else(|| not_open(slot))?;
        let ran = provenance(&bench.loaded.model, open, &picture, &settings, 0.0);
        let plan = plan.clone();
        (bench.tell)(StudyEvent::Recommending(Box::new(RecommendStarted { plan, ran })));
    }
    let list = bench.loaded.model.spec.plain_catalogue(working);
    let selection = candidates(&list);
    let input = PassInput {
        picture: &picture,
        settings: &settings,
        selection: &selection,
    };
    let count = plan.passes();
    let watch = &mut *bench.watch;
    ledger.begin();
    measure_pass(
        &mut bench.loaded.model,
        &input,
        &mut |measured, map| ledger.add(step, index, measured, map),
        &mut |share| watch((done as f32 + share) / count as f32, Some([done + 1, count])),
    )?;
    ledger.end(index);
    Ok(())
}

/// A picture as the model sees it with these settings.
fn prepared(bench: &Bench<'_>, slot: ImageSlot, settings: &RunSettings) -> Result<PreparedImage> {
    let open = bench.pictures.get(&slot).ok_or_else(|| not_open(slot))?;
    let of = PassOf {
        open,
        settings,
        noiseless: false,
    };
    of.planned(bench.loaded, bench.host, &[])?.prepared()
}

fn not_open(slot: ImageSlot) -> Error {
    Error::usage(format!("picture {} is not open: open one there", slot.name()))
}

//! Runs: an activation of every open picture, as soon as possible.

use super::{
    Doing, Extractor, LoadedModel, OpenPicture,
    passes::{PassOf, check_room},
};
use crate::{
    activation::{Catalogue, Id, Selection},
    engine::{
        ids::{ImageSlot, TaskKind},
        message::Event,
    },
    error::{Error, Result},
    extract::settings::RunSettings,
};

/// What a round over the open pictures is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// What is looked at, handed over as soon as it is there.
    LookedAt,
    /// Every activation that can be kept.
    Everything,
}

/// A picture of a round.
#[derive(Clone, Copy)]
struct Turn {
    round: Round,
    slot: ImageSlot,
    /// Of how many open pictures it is which, counted from 0.
    picture: [usize; 2],
    /// Of how many passes of the run it is which, counted from 0.
    pass: [usize; 2],
}

impl Extractor {
    /// Makes `id` available for every open picture.
    pub(super) fn run_pictures(&mut self, settings: &RunSettings, id: Id) -> Result<()> {
        let mut seconds = None;
        let pictures: Vec<(ImageSlot, OpenPicture)> = self.pictures.clone().into_iter().collect();
        let rounds = match &self.model {
            Some(loaded) if (self.shows_first)(&loaded.model.place) => [Round::LookedAt, Round::Everything].as_slice(),
            _ => [Round::Everything].as_slice(),
        };
        for (number, round) in rounds.iter().enumerate() {
            let mut of_round = None;
            for (index, (slot, open)) in pictures.iter().enumerate() {
                let Some(mut loaded) = self.model.take() else {
                    return Err(Error::usage("no model is loaded"));
                };
                let of = PassOf {
                    open,
                    settings,
                    noiseless: false,
                };
                let turn = Turn {
                    round: *round,
                    slot: *slot,
                    picture: [index, pictures.len()],
                    pass: [number * pictures.len() + index, rounds.len() * pictures.len()],
                };
                let result = self.run_picture(&mut loaded, turn, of, id, rounds.len() > 1);
                self.model = Some(loaded);
                let named = |error: Error| match pictures.len() {
                    1 => error,
                    _ => error.context(format_args!("picture {}", slot.name())),
                };
                if let Some(taken) = result.map_err(named)? {
                    of_round = Some(of_round.unwrap_or(0.0) + taken);
                }
            }
            // What a run takes is told by its last round: estimates go by all activations.
            seconds = of_round.or(seconds);
        }
        self.host.emit(Event::RunFinished { seconds });
        Ok(())
    }

    /// One picture; gives the seconds of its pass, none if everything was kept already.
    fn run_picture(
        &mut self,
        loaded: &mut LoadedModel,
        turn: Turn,
        of: PassOf<'_>,
        id: Id,
        in_rounds: bool,
    ) -> Result<Option<f64>> {
        let [index, open_count] = turn.picture;
        let planned = of.planned(loaded, &self.host, &[id])?;
        let not_run = |error: Error| error.context(format_args!("{id} at {} pixels is not run", planned.working()));
        let (list, needed) = (&planned.list, &planned.needed);
        let selection = match turn.round {
            Round::LookedAt => check_room(&self.host, list, needed, open_count).map(|()| needed.clone()),
            Round::Everything => self.selection(list, needed, open_count),
        };
        // Where it is all done in one round, what is needed is enough to go on with.
        let enough = match in_rounds && turn.round == Round::Everything {
            true => selection.as_ref().unwrap_or(needed),
            false => needed,
        };
        if planned.are_kept(&self.host, enough) && self.host.report_kept(turn.slot, planned.pass) {
            return Ok(None);
        }
        let selection = selection.map_err(not_run)?;
        let item = (open_count > 1).then_some([index + 1, open_count]);
        let [pass, passes] = turn.pass;
        let finished = planned.run(loaded, &selection, &mut |done| {
            let fraction = (pass as f32 + done) / passes as f32;
            self.watch(Doing::Running, TaskKind::Run, fraction, item)
        })?;
        let seconds = finished.ran.seconds;
        tracing::info!(
            slot = turn.slot.name(),
            settings = ?of.settings,
            recorded = selection.len(),
            seconds,
            "pass"
        );
        self.host.keep(turn.slot, finished)?;
        Ok(Some(seconds))
    }

    /// What is recorded: all features where those of every open picture can be kept, otherwise only what is needed.
    fn selection(&self, list: &Catalogue, needed: &Selection, open_count: usize) -> Result<Selection> {
        check_room(&self.host, list, needed, open_count)?;
        let mut everything = Selection::features(list);
        if check_room(&self.host, list, &everything, open_count).is_err() {
            return Ok(needed.clone());
        }
        needed.iter().for_each(|tap| everything.insert(tap));
        Ok(everything)
    }
}

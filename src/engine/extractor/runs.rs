//! Runs: an activation of every open picture, as soon as possible.

use super::{
    Doing, Extractor, LoadedModel, OpenPicture,
    passes::{PassOf, check_room},
};
use crate::{
    activation::{Catalogue, Id, Selection},
    engine::message::{Event, RunSettings, Slot, Work},
    error::{Error, Result},
};

impl Extractor {
    /// Makes `id` available for every open picture.
    pub(super) fn run_pictures(&mut self, settings: &RunSettings, id: Id) -> Result<()> {
        let mut seconds = None;
        let pictures: Vec<(Slot, OpenPicture)> = self.pictures.clone().into_iter().collect();
        for (index, (slot, open)) in pictures.iter().enumerate() {
            let Some(mut loaded) = self.model.take() else {
                return Err(Error::usage("no model is loaded"));
            };
            let of = PassOf {
                open,
                settings,
                noiseless: false,
            };
            let result = self.run_picture(&mut loaded, [index, pictures.len()], *slot, of, id);
            self.model = Some(loaded);
            let named = |error: Error| match pictures.len() {
                1 => error,
                _ => error.context(format_args!("picture {}", slot.name())),
            };
            if let Some(taken) = result.map_err(named)? {
                seconds = Some(seconds.unwrap_or(0.0) + taken);
            }
        }
        self.host.tell(Event::RunFinished { seconds });
        Ok(())
    }

    /// One picture, number `index` of `open_count`; gives the seconds of its pass, none if everything was kept already.
    fn run_picture(
        &mut self,
        loaded: &mut LoadedModel,
        [index, open_count]: [usize; 2],
        slot: Slot,
        of: PassOf<'_>,
        id: Id,
    ) -> Result<Option<f64>> {
        let planned = of.planned(loaded, &self.host, &[id])?;
        if planned.is_kept(&self.host) && self.host.tell_kept(slot, planned.pass) {
            return Ok(None);
        }
        let not_run = |error: Error| error.context(format_args!("{id} at {} pixels is not run", planned.working()));
        let selection = self
            .selection(&planned.list, &planned.needed, open_count)
            .map_err(not_run)?;
        let item = (open_count > 1).then_some([index + 1, open_count]);
        let finished = planned.run(loaded, &selection, &mut |done| {
            let fraction = (index as f32 + done) / open_count as f32;
            self.watch(Doing::Running, Work::Run, fraction, item)
        })?;
        let seconds = finished.ran.seconds;
        tracing::info!(
            slot = slot.name(),
            settings = ?of.settings,
            recorded = selection.len(),
            seconds,
            "pass"
        );
        self.host.keep(slot, finished)?;
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

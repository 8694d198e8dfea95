//! What the workers tell, taken into the state.

use super::{
    App,
    state::{PcaShown, State},
};
use crate::{
    engine::{Event, PcaView, Slot, Work},
    error::Error,
    paint::ScoreMap,
};

impl App {
    /// Takes one event into the state. Nothing here takes longer than a frame allows: pictures are made ready for
    /// display elsewhere.
    pub(super) fn take(&mut self, event: Event) {
        let state = &mut self.state;
        match event {
            Event::Progress {
                work: Work::Model,
                fraction,
            } => state.model.loading = Some(fraction),
            Event::Progress {
                work: Work::Run,
                fraction,
            } => state.run.running = Some(fraction),
            Event::Progress { .. } => {}
            Event::ModelLoaded(info) => {
                state.begin_with(&info);
                state.model.info = Some(*info);
                state.model.loading = None;
                state.model.error = None;
                state.model.generation += 1;
                state.run.error = None;
                forget_captures(state);
                self.textures.clear_maps();
            }
            Event::PictureOpened { slot, picture } => {
                let opened = state.slot_mut(slot);
                opened.picture = Some((picture.source.clone(), picture.size));
                opened.error = None;
                opened.generation += 1;
                opened.capture = None;
                opened.pca = None;
                if state.pin.is_some_and(|pin| pin.slot == slot) {
                    state.pin = None;
                }
                state.heat = None;
                self.textures.clear_heat();
                self.textures
                    .prepare_picture(slot, opened_generation(&self.state, slot), picture);
            }
            Event::Captured { slot, capture } => state.slot_mut(slot).capture = Some(*capture),
            Event::RunFinished { seconds } => {
                state.run.running = None;
                state.run.asked = false;
                state.run.error = None;
                if let Some(seconds) = seconds {
                    state.run.timed = Some((state.model.generation, seconds, state.pass_bytes()));
                }
            }
            Event::Pca(view) => self.take_pca(view),
            Event::Heat(view) => {
                for target in &view.targets {
                    let scores = ScoreMap::new(target.grid, target.scores.clone()).ok();
                    self.textures.heat[target.slot.index()] = scores;
                }
                state.heat = Some(view);
            }
            Event::Missing { pass, .. } => {
                // Room was made for others: the pass has to be run again before this is asked again.
                for slot in &mut state.slots {
                    if slot.capture.as_ref().is_some_and(|capture| capture.pass == pass) {
                        slot.capture = None;
                    }
                }
                self.sent.run = None;
            }
            Event::Saved { path } => state.save = Some(Ok(format!("Saved {}", path.display()))),
            Event::Failed { work, error } => self.take_failure(work, &error),
            Event::Recovered { message } => {
                state.run.running = None;
                state.model.loading = None;
                state.recovered = Some(message);
            }
        }
    }

    fn take_pca(&mut self, view: PcaView) {
        let layer = self.state.layers().iter().find(|layer| layer.id == view.id).copied();
        let slot = self.state.slot_mut(view.slot);
        let current = slot.capture.as_ref().is_some_and(|capture| capture.pass == view.pass);
        if !current {
            return;
        }
        slot.pca = Some(PcaShown {
            id: view.id,
            explained: view.explained,
            joint: view.joint,
            shape: layer.map(|layer| layer.shape),
        });
        self.textures.prepare_pca(view.slot, view.grid, &view.rgb);
    }

    fn take_failure(&mut self, work: Work, error: &Error) {
        let state = &mut self.state;
        // What the user ended needs no explanation.
        let words = (*error != Error::Cancelled).then(|| error.to_string());
        match work {
            Work::Model => {
                state.model.loading = None;
                state.model.error = words;
            }
            Work::Picture(slot) => state.slot_mut(slot).error = words,
            Work::Run | Work::View => {
                state.run.running = None;
                state.run.asked = false;
                state.run.error = words;
            }
            Work::Save | Work::Extract { .. } => state.save = words.map(Err),
        }
    }
}

fn opened_generation(state: &State, slot: Slot) -> u64 {
    state.slot(slot).generation
}

fn forget_captures(state: &mut State) {
    for slot in &mut state.slots {
        slot.capture = None;
        slot.pca = None;
    }
    state.heat = None;
    state.run.timed = None;
}

//! What the workers tell, taken into the state.

use super::{
    App, PointAt, Sent,
    state::{PcaShown, RunState, SlotState, feature_bytes},
};
use crate::{
    engine::{Event, PcaView, Slot, Work},
    error::Error,
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
                state.run = RunState::default();
                for slot in &mut state.slots {
                    slot.capture = None;
                    slot.pca = None;
                }
                self.forget_views();
            }
            Event::PictureOpened { slot, picture } => {
                state.pictures_opened += 1;
                let number = state.pictures_opened;
                *state.slot_mut(slot) = SlotState {
                    picture: Some((picture.source.clone(), picture.size)),
                    number,
                    ..SlotState::default()
                };
                state.pin = state.pin.filter(|pin| pin.slot != slot);
                self.forget_views();
                self.textures.clear_slot(slot);
                self.textures.prepare_picture(number, picture);
            }
            Event::PictureClosed { slot } => self.empty_slot(slot),
            Event::PicturesSwapped => {
                state.slots.reverse();
                state.pin = state.pin.map(|pin| PointAt {
                    slot: pin.slot.other(),
                    ..pin
                });
                self.textures.swap();
                self.forget_views();
            }
            Event::Captured { slot, capture } => {
                let work = 1.0 + feature_bytes(&capture.layers) * capture.settings.ensemble as f64;
                let rate = capture.ran.seconds / work;
                // The first pass also warms caches: the fastest one says what the next will take.
                state.run.secs_per_byte = Some(state.run.secs_per_byte.map_or(rate, |known| known.min(rate)));
                state.slot_mut(slot).capture = Some(*capture);
            }
            Event::RunFinished { .. } => {
                state.run.running = None;
                state.run.asked = false;
                state.run.error = None;
            }
            Event::Pca(view) => self.take_pca(view),
            Event::Heat(view) => {
                for target in &view.targets {
                    self.textures.prepare_heat(target);
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
                self.sent = Sent::default();
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

    /// Views are asked for again: what was told is of other pictures or of another model.
    fn forget_views(&mut self) {
        self.state.heat = None;
        self.textures.clear_heat();
        self.sent = Sent::default();
    }

    /// Takes a picture and everything known of it away.
    pub(super) fn empty_slot(&mut self, slot: Slot) {
        *self.state.slot_mut(slot) = SlotState::default();
        self.state.pin = self.state.pin.filter(|pin| pin.slot != slot);
        self.textures.clear_slot(slot);
        self.forget_views();
    }

    fn take_pca(&mut self, view: PcaView) {
        let slot = self.state.slot_mut(view.slot);
        let current = slot.capture.as_ref().is_some_and(|capture| capture.pass == view.pass);
        if !current {
            return;
        }
        slot.pca = Some(PcaShown {
            id: view.id,
            explained: view.explained,
            joint: view.joint,
            shape: slot.layer(view.id).map(|layer| layer.shape),
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
            Work::View => state.run.error = words,
            Work::Run => {
                state.run.running = None;
                state.run.asked = false;
                state.run.error = words;
            }
            Work::Save | Work::Extract { .. } => state.save = words.map(Err),
        }
    }
}

//! What is done to comparisons.

use egui::Context;

use super::{app::App, command::Command};
use crate::{
    app::{
        document::{
            compare::{CompareSide, PassChoice},
            pane::{Pane, PaneKind},
        },
        state::{
            compare_questions::{layer_of, series_of, side_of_now, slot_of},
            messages::Level,
        },
    },
    engine::{ImageSlot, RunSettings, Study},
};

impl App {
    /// Keeps what is shown of the picture worked with as B, and shows what is looked at from now on as A.
    pub(in crate::app) fn compare_with_now(&mut self, context: &Context) {
        let slot = self.state.focused_slot();
        let Some(side) = side_of_now(&self.state) else {
            self.state.messages.report(
                Level::Warning,
                "There is nothing to compare with: look at a feature map that has been run.",
            );
            return;
        };
        let now = CompareSide {
            pass: PassChoice::Shown(slot),
            layer: None,
        };
        self.state.document.compare.sides = [now, side];
        if !self.state.compares() {
            self.apply(Command::AddPane(Pane::new(PaneKind::Compare, slot)), context);
        }
    }

    /// Runs A's picture with the timestep and seed that are typed; the pass becomes B.
    pub(in crate::app) fn run_as_b(&mut self) {
        let state = &self.state;
        let side = &state.document.compare.sides[0];
        let set = &state.document.settings;
        let (t, seed) = state.compare.typed.unwrap_or((set.t, set.seed));
        let settings = RunSettings { t, seed, ..set.clone() };
        self.run_compared(slot_of(state, side), settings, 0);
    }

    /// Runs the pass of a side again.
    pub(in crate::app) fn run_side(&mut self, index: usize) {
        let state = &self.state;
        let Some(side) = state.document.compare.sides.get(index) else {
            return;
        };
        let settings = match &side.pass {
            PassChoice::Shown(_) => state.document.settings.clone(),
            PassChoice::Kept(gone) => gone.settings.clone(),
        };
        self.run_compared(slot_of(state, side), settings, index);
    }

    fn run_compared(&mut self, slot: ImageSlot, settings: RunSettings, side: usize) {
        let state = &self.state;
        let side = state.document.compare.sides.get(side);
        let Some(id) = side.and_then(|side| layer_of(state, side)).filter(|id| !id.is_map()) else {
            return;
        };
        let query = series_of(state, slot, settings, id);
        let job = self.begin_study("a pass to compare".to_owned(), Study::Series(query.clone()));
        self.state.compare.asked = Some((job, query));
    }
}

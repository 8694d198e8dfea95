//! What the workers tell, taken into the state.

use super::app::App;
use crate::{
    app::{
        document::{
            pairs::forget_picture,
            root::{PictureRef, Pin},
        },
        state::{
            downloads::may_be_on_the_hub,
            messages::Level,
            root::State,
            slots::{OpenPicture, PointAt, SlotState},
            work::RunState,
        },
    },
    engine::{Capture, Event, ImageSlot, ModelInfo, OpenedPicture, PassId, PictureSource, QueryAt, TaskKind},
    error::Error,
    families::inventory::LocalModels,
};

impl App {
    /// Takes one event into the state. Nothing here takes longer than a frame allows: pictures are made ready for
    /// display elsewhere.
    pub(in crate::app) fn on_event(&mut self, event: Event) {
        let state = &mut self.state;
        match event {
            Event::Progress { work, fraction, item } => on_progress(state, work, fraction, item),
            Event::Devices(devices) => state.devices = Some(devices),
            Event::ModelLoaded(info) => self.on_model_loaded(*info),
            Event::PictureOpened { slot, picture } => {
                if self.pending.answer(slot) {
                    self.on_picture(slot, picture);
                }
            }
            Event::PictureClosed { slot } => {
                self.pending.answer(slot);
                // One that was asked for after it was closed is still to come.
                if !state.document.pictures.contains_key(&slot) {
                    self.empty_slot(slot);
                }
            }
            Event::PicturesSwapped { a, b } => self.on_swap(a, b),
            Event::Captured { slot, capture } => on_capture(state, slot, *capture),
            Event::RunFinished { seconds } => on_run_finished(state, seconds),
            Event::Study { job, event } => self.on_study_event(job, event),
            Event::StudyFinished { job } => {
                end_job(state, TaskKind::Study { job });
                self.on_series_end(job);
            }
            Event::Answer(answer) => self.on_answer(answer),
            Event::Answered { number } => self.questions.on_answered(number),
            Event::Missing { pass, .. } => self.on_lost_pass(pass),
            Event::Saved { work, path } => {
                end_job(state, work);
                state.pages.retain(|page| *page != path);
                state.messages.report(Level::Info, format!("Saved {}", path.display()));
            }
            Event::Hub(event) => self.on_hub_event(event),
            Event::ModelFailed { name, error } => self.on_model_failure(&name, &error),
            Event::Failed { work, error } => self.on_task_failure(work, &error),
            Event::Recovered { message } => self.on_bug(message),
        }
    }

    /// Room was made for others: a pass has to be run again before its maps are asked about again.
    fn on_lost_pass(&mut self, pass: PassId) {
        let state = &mut self.state;
        state.passes.forget(pass);
        for slot in state.slots_mut() {
            if slot.capture.as_ref().is_some_and(|capture| capture.pass == pass) {
                slot.capture = None;
            }
        }
        self.ask_again();
        self.on_missing(pass);
    }

    /// A bug in a worker, which goes on.
    fn on_bug(&mut self, message: String) {
        let state = &mut self.state;
        state.run.running = None;
        state.model.loading = None;
        state
            .messages
            .note(Level::Error, format!("A bug in the worker was caught: {message}"));
        state.recovered = Some(message);
        self.pending.forget();
    }

    /// Shows an error where its task is shown.
    fn on_task_failure(&mut self, task: TaskKind, error: &Error) {
        match task {
            TaskKind::Download { job } => self.on_download_failure(job, error),
            TaskKind::Study { job } => self.on_study_failure(job, error),
            TaskKind::Comparison(kind) => self.on_comparison_failure(kind, error),
            TaskKind::Picture(slot) if !self.pending.answer(slot) => {
                self.state.messages.note(Level::of(error), error.to_string());
            }
            TaskKind::Picture(_) => {
                on_failure(&mut self.state, task, error);
                let there = &self.state.document;
                self.history
                    .amend(|settled| settled.pictures.clone_from(&there.pictures));
            }
            _ => on_failure(&mut self.state, task, error),
        }
    }

    /// Passes of a comparison are missed where that is shown.
    fn on_study_failure(&mut self, job: u64, error: &Error) {
        let work = TaskKind::Study { job };
        match self.on_series_failure(job, error) {
            true => end_job(&mut self.state, work),
            false => on_failure(&mut self.state, work, error),
        }
    }

    fn on_model_loaded(&mut self, info: ModelInfo) {
        self.remember_model();
        let state = &mut self.state;
        // One that was overtaken by another changes nothing of what is wanted of that.
        let wanted = state.model.wanted == info.name;
        if wanted {
            let lost = state.layer_lost_with(&info);
            state.begin_with(&info);
            if let Some(lost) = lost {
                let shown = state
                    .document
                    .layer
                    .map_or_else(|| "none".to_owned(), |id| id.to_string());
                let words = format!("{} has no activation \"{lost}\": {shown} is shown", info.name);
                state.messages.report(Level::Error, words);
            }
        }
        state.preferences.add_model(&info.name);
        state.messages.note(
            Level::Info,
            format!(
                "Model {} is there ({}, {} on {}).",
                info.name, info.weights, info.dtype, info.device
            ),
        );
        let preset = self.preset_awaited.take_if(|preset| preset.model == info.name);
        state.model.info = Some(info);
        state.model.loading = state.model.loading.filter(|_| !wanted);
        state.model.error = None;
        state.model.generation += 1;
        state.run = RunState {
            secs_per_work: state
                .model
                .info
                .as_ref()
                .and_then(|info| state.preferences.rates.get(&info.rate_key()))
                .copied(),
            ..RunState::default()
        };
        for slot in state.slots_mut() {
            slot.capture = None;
            slot.pca = None;
        }
        self.forget_views();
        if let Some(preset) = preset {
            self.use_preset(preset);
        }
    }

    fn on_model_failure(&mut self, name: &str, error: &Error) {
        let state = &mut self.state;
        let words = words_of(state, error);
        if state.model.wanted != name {
            // Another one is on its way.
            return;
        }
        state.model.loading = None;
        let failed = words.is_some();
        state.model.error = words;
        // Undo may have named a model that is gone: the one that is there is looked at.
        match state.model.info.clone() {
            Some(info) => state.begin_with(&info),
            None => state.document.model = None,
        }
        let there = &state.document;
        self.history.amend(|settled| {
            settled.model.clone_from(&there.model);
            settled.settings.clone_from(&there.settings);
            settled.layer = there.layer;
        });
        if failed && may_be_on_the_hub(name) {
            self.doubt_model(name);
        } else {
            self.preset_awaited = None;
        }
    }

    fn on_picture(&mut self, slot: ImageSlot, picture: OpenedPicture) {
        let state = &mut self.state;
        state.pictures_opened += 1;
        let number = state.pictures_opened;
        // A picture that was asked for because it was not where the workspace says stands for that one.
        let found = state.missing.iter().position(|(missing, _)| *missing == slot);
        let found = found.map(|index| state.missing.remove(index).1);
        let expected = found.or_else(|| {
            let expected = state.document.pictures.get(&slot);
            expected.filter(|expected| expected.source == picture.source).cloned()
        });
        let known = expected.as_ref().and_then(|expected| expected.fingerprint);
        let changed = known.is_some_and(|known| known != picture.fingerprint);
        if changed {
            let name = picture.source.name();
            state.messages.report(
                Level::Warning,
                format!("{name} has other pixels than when the workspace was saved: what is shown differs from it."),
            );
        }
        if let Some(note) = &picture.note {
            state.messages.report(Level::Warning, note.clone());
        }
        if let PictureSource::File(path) = &picture.source {
            state.preferences.add_picture(path);
        }
        state.document.pictures.insert(
            slot,
            PictureRef {
                source: picture.source.clone(),
                fingerprint: Some(picture.fingerprint),
            },
        );
        if expected.is_none() {
            // A pin is in pixels of the picture that was there.
            forget_picture(&mut state.document, slot);
            state.pairing.let_go();
        }
        *state.slot_mut(slot) = SlotState {
            picture: Some(OpenPicture {
                source: picture.source.clone(),
                size: picture.size,
                fingerprint: picture.fingerprint,
            }),
            number,
            ..SlotState::default()
        };
        if expected.is_none() {
            self.make_room(slot);
            self.mark_first_point(slot);
        }
        self.forget_views();
        self.textures.clear_slot(slot);
        self.textures.prepare_picture(number, picture);
    }

    /// Fixes the point that a fresh window begins with, in its first picture.
    fn mark_first_point(&mut self, slot: ImageSlot) {
        let document = &mut self.state.document;
        if slot != ImageSlot::A || !document.pins.is_empty() {
            return;
        }
        if let Some(at) = self.first_point.take() {
            let number = document.next_pin_number();
            let at = QueryAt::Point(at);
            document.pins.push(Pin {
                number,
                slot,
                at,
                mate: None,
            });
            document.selected_pin = Some(number);
        }
    }

    fn on_swap(&mut self, a: ImageSlot, b: ImageSlot) {
        let state = &mut self.state;
        let other = |slot: ImageSlot| match slot {
            slot if slot == a => b,
            slot if slot == b => a,
            slot => slot,
        };
        if self.pending.answer_swap() {
            let pictures = std::mem::take(&mut state.document.pictures);
            let swapped = pictures.into_iter().map(|(slot, picture)| (other(slot), picture));
            state.document.pictures = swapped.collect();
            for pin in &mut state.document.pins {
                pin.slot = other(pin.slot);
                if let Some(mate) = &mut pin.mate {
                    mate.slot = other(mate.slot);
                }
            }
            if let Some(first) = &mut state.pairing.first {
                first.slot = other(first.slot);
            }
        }
        state.hover = state.hover.map(|point| PointAt {
            slot: other(point.slot),
            ..point
        });
        state.swap_slots(a, b);
        self.textures.swap(a, b);
        for slot in [a, b] {
            // It names the slot it was made for.
            self.state.slot_mut(slot).pca = None;
        }
        self.forget_views();
    }

    /// Asks every question again: the answers are of other pictures or of another model.
    fn forget_views(&mut self) {
        let state = &mut self.state;
        state.heat = None;
        state.matches = None;
        state.channels = None;
        state.answers.clear();
        state.rank.forget();
        state.view_error = None;
        self.textures.clear_heat();
        self.textures.clear_scores();
        self.ask_again();
    }

    /// Takes a picture and everything known of it away.
    pub(in crate::app) fn empty_slot(&mut self, slot: ImageSlot) {
        *self.state.slot_mut(slot) = SlotState::default();
        forget_picture(&mut self.state.document, slot);
        self.state.pairing.let_go();
        self.textures.clear_slot(slot);
        self.forget_views();
    }

    /// Draws the PCA colours of a picture with what counts as background.
    pub(in crate::app) fn show_pca(&mut self, slot: ImageSlot) {
        if let Some(view) = &self.state.slot(slot).pca {
            self.textures.prepare_pca(view, self.state.document.mask);
        }
    }
}

fn on_run_finished(state: &mut State, seconds: Option<f64>) {
    state.run.running = None;
    state.run.asked = false;
    state.run.error = None;
    if let Some(seconds) = seconds {
        state
            .messages
            .note(Level::Info, format!("Run finished in {seconds:.2} s."));
    }
}

fn on_progress(state: &mut State, work: TaskKind, fraction: f32, item: Option<[usize; 2]>) {
    match work {
        TaskKind::Model => state.model.loading = Some(fraction),
        TaskKind::Run => {
            state.run.running = Some(fraction);
            state.run.item = item;
        }
        TaskKind::Extract { job } | TaskKind::Study { job } => {
            let mut jobs = state.jobs.iter_mut().chain(&mut state.studies);
            if let Some(job) = jobs.find(|other| other.number == job) {
                job.fraction = Some(fraction);
                job.item = item;
            }
        }
        TaskKind::Picture(_)
        | TaskKind::View
        | TaskKind::Comparison(_)
        | TaskKind::Save
        | TaskKind::Shelf
        | TaskKind::Download { .. } => {}
    }
}

fn on_capture(state: &mut State, slot: ImageSlot, capture: Capture) {
    report_not_finite(state, slot, &capture);
    state.on_time(slot, &capture);
    state.remember_pass(slot, &capture);
    state.slot_mut(slot).capture = Some(capture);
}

/// What is not finite in a pass is said once, with the first such activation and the likely cause.
fn report_not_finite(state: &mut State, slot: ImageSlot, capture: &Capture) {
    let before = state.slot(slot).capture.as_ref();
    let known = before.is_some_and(|before| before.pass == capture.pass && before.not_finite == capture.not_finite);
    let Some((first, numbers)) = capture.not_finite.first().filter(|_| !known) else {
        return;
    };
    // The extractor knows the likely cause.
    let name = first.to_string();
    let said = capture.ran.notes.iter().find(|note| note.starts_with(&name));
    let words = said
        .cloned()
        .unwrap_or_else(|| format!("{first} is not finite: {numbers}"));
    state
        .messages
        .report(Level::Warning, format!("In the pass of {}, {words}.", slot.name()));
}

fn end_job(state: &mut State, work: TaskKind) {
    if let TaskKind::Extract { job } | TaskKind::Study { job } = work {
        state.jobs.retain(|other| other.number != job);
        state.studies.retain(|other| other.number != job);
    }
}

/// The message of an error, which is noted in the log; none where the user ended the task.
fn words_of(state: &mut State, error: &Error) -> Option<String> {
    let words = (*error != Error::Cancelled).then(|| error.to_string())?;
    state.messages.note(Level::of(error), words.clone());
    Some(words)
}

/// An error is shown where it belongs, once.
fn on_failure(state: &mut State, work: TaskKind, error: &Error) {
    end_job(state, work);
    let words = words_of(state, error);
    match work {
        // Told by an event of its own.
        TaskKind::Model | TaskKind::Download { .. } | TaskKind::Comparison(_) => {}
        // What the shelf says is asked for again with the next look at it.
        TaskKind::Shelf => {
            state.downloads.shelf = state.downloads.shelf.take().or_else(|| Some(LocalModels::default()))
        }
        TaskKind::Picture(slot) => {
            let there = state.slot(slot).picture.as_ref().map(|picture| PictureRef {
                source: picture.source.clone(),
                fingerprint: Some(picture.fingerprint),
            });
            // A workspace's picture that is not where it was is asked for.
            let wanted = state.document.pictures.get(&slot).cloned();
            if let (Some(wanted), None) = (wanted, &there) {
                state.missing.retain(|(missing, _)| *missing != slot);
                state.missing.push((slot, wanted));
            }
            match there {
                Some(there) => {
                    state.document.pictures.insert(slot, there);
                }
                None => {
                    state.document.pictures.remove(&slot);
                }
            }
            state.slot_mut(slot).error = words;
        }
        TaskKind::View => state.view_error = words,
        TaskKind::Run => {
            state.run.ended = true;
            state.run.running = None;
            state.run.asked = false;
            state.run.error = words;
        }
        TaskKind::Save | TaskKind::Extract { .. } | TaskKind::Study { .. } => {
            if work == TaskKind::Save {
                // Which file it was is not said.
                state.pages.clear();
            }
            if let Some(words) = words {
                state.messages.toast(Level::of(error), words);
            }
        }
    }
}

//! What commands do: the only place where the user's wishes change the state.

use egui::Context;

use super::{
    app::App,
    command::{Command, Notice},
    dialog,
    panes::set_view,
    portal::has_bus,
};
use crate::{
    app::{
        document::{
            layout,
            pairs::{add_pin, place, split},
            root::{Document, Mark, Pin},
        },
        state::{
            path_box::PathBox,
            ranking_questions::series_of_steps,
            readout::position_text,
            reveal::{self, Side},
            root::State,
        },
    },
    engine::{Request, Study},
};

impl App {
    /// Carries one command out.
    pub fn apply(&mut self, command: Command, context: &Context) {
        // Where the pointer is and where the user works changes nothing that could be undone.
        self.touched |= !matches!(
            command,
            Command::Hover(_)
                | Command::HoverWord(_)
                | Command::FocusPane(_)
                | Command::LookForDevices
                | Command::Reveal(_)
                | Command::Chosen(_)
                | Command::PaletteText(_)
        );
        let rest = edit(&mut self.state.document, command).and_then(|command| set(&mut self.state, command));
        if let Some(command) = rest {
            self.carry_out(command, context);
        }
        self.questions.on_change();
        context.request_repaint();
    }

    /// What is more than to set something.
    fn carry_out(&mut self, command: Command, context: &Context) {
        let state = &mut self.state;
        match command {
            Command::Act(action) => self.act(action, context),
            Command::LoadModel(name) => {
                self.preset_awaited = None;
                self.load_model(name);
            }
            Command::Device(device, precision) => self.compute_on(device, precision),
            Command::LookForDevices => self.engine.send(Request::LookForDevices),
            Command::Preset(preset, its_model) => self.begin_preset(preset, its_model),
            Command::OpenPicture(slot, source) => self.open_picture(slot, source),
            Command::OpenFiles(paths) => self.open_files(paths),
            Command::ClosePicture(slot) => self.close_picture(slot),
            Command::SwapPictures(a, b) => self.swap_pictures(a, b),
            Command::SelectLayer(id) => self.select_layer(id),
            Command::LookAt(id, t) => {
                state.document.settings.t = t;
                self.select_layer(id);
            }
            Command::Reveal(control) => {
                match control.facts().side {
                    Side::Left => state.preferences.settings_shown = true,
                    Side::Right => {
                        state.preferences.inspector_shown = true;
                        self.work_in_a_picture();
                    }
                    Side::Top => {}
                }
                reveal::want(context, control);
            }
            Command::RankRun => self.run_ranked_steps(),
            Command::RunAsB => self.run_as_b(),
            Command::RunSide(index) => self.run_side(index),
            Command::Mask(mask) => self.set_mask(mask),
            // What is known to have no dialog opens the box at once, which takes what is typed from then on.
            Command::AskPath(purpose) if self.kept_in.is_some() || self.has_no_dialogs || !has_bus() => {
                self.open_path_box(purpose);
            }
            Command::InterfaceSize(zoom) => {
                state.preferences.dense_screen_asked = true;
                self.set_interface_size(zoom, context);
            }
            Command::Browse(command) => self.browse(command, context),
            Command::AskPath(purpose) => dialog::ask(purpose, self.answer.clone(), context),
            Command::UsePath(purpose, path) => {
                state.path_box = PathBox::default();
                self.use_path(purpose, path, context);
            }
            Command::Download(command) => self.act_on_downloads(command),
            Command::CancelJob(job) => self.engine.send(Request::CancelExtract { job }),
            Command::Compute(kind) => self.compute(kind),
            Command::CancelStudy(job) => self.engine.send(Request::CancelStudy { job }),
            Command::Recover(command) => self.recover(command),
            Command::AddPane(pane) => self.add_pane(pane),
            Command::Point(pointing) => self.point(pointing, context),
            Command::StartPair(slot, at) => self.begin_pair(slot, at),
            Command::CopyPosition(point) => context.copy_text(position_text(&self.state, point)),
            Command::CopyText(text) => context.copy_text(text),
            // Carried out by `edit` and `set`.
            Command::Word(_)
            | Command::Head(_)
            | Command::AddPin(..)
            | Command::MovePin(_)
            | Command::SelectPin(_)
            | Command::SelectMark(_)
            | Command::SplitPair(_)
            | Command::DeletePin(_)
            | Command::TopK(_)
            | Command::Rank(_)
            | Command::Compare(_)
            | Command::Display(_)
            | Command::Figure(_)
            | Command::Pca(_)
            | Command::Channel(_)
            | Command::View(..)
            | Command::ChangePane(..)
            | Command::Strip(_)
            | Command::Cka(_)
            | Command::Shift(_)
            | Command::Sheet(_)
            | Command::Settings(_)
            | Command::Search(_)
            | Command::Hover(_)
            | Command::HoverWord(_)
            | Command::RankSearch(_)
            | Command::RankSteps(_)
            | Command::CompareTyped(..)
            | Command::FocusPane(_)
            | Command::ClosePane(_)
            | Command::PaletteText(_)
            | Command::Chosen(_)
            | Command::Hold(_)
            | Command::PathBox(_)
            | Command::Peek(_)
            | Command::Dismiss(_)
            | Command::DismissToast(_)
            | Command::Welcomed => {}
        }
    }

    /// Runs the timesteps that are typed for the ranking.
    fn run_ranked_steps(&mut self) {
        let Some(query) = series_of_steps(&self.state) else {
            return;
        };
        let job = self.begin_study("timesteps to rank".to_owned(), Study::Series(query.clone()));
        let under_way: Vec<u64> = self.state.studies.iter().map(|study| study.number).collect();
        let asked = &mut self.state.rank.asked;
        asked.retain(|(other, _)| under_way.contains(other));
        asked.push((job, query));
    }
}

/// Sets what undo goes back to; gives back a command that is not about it alone.
fn edit(document: &mut Document, command: Command) -> Option<Command> {
    match command {
        Command::Word(word) => document.word = word,
        Command::Head(head) => document.head = head,
        Command::AddPin(slot, at) => {
            add_pin(document, slot, at);
        }
        Command::MovePin(Pin { number, slot, at, .. }) => place(document, Mark { number, mate: false }, slot, at),
        Command::SelectPin(number) => document.select(number.map(|number| Mark { number, mate: false })),
        Command::SelectMark(mark) => document.select(Some(mark)),
        Command::SplitPair(number) => split(document, number),
        Command::DeletePin(number) => document.delete_pins(|pin| pin.number == number),
        Command::TopK(count) => document.top_k = count,
        Command::Rank(choice) => document.rank = choice,
        Command::Compare(choice) => document.compare = choice,
        Command::Display(display) => document.display = display,
        Command::Pca(settings) => document.pca = settings,
        Command::Channel(channel) => document.channel = channel,
        Command::View(tile, view) => set_view(document, tile, view),
        Command::ChangePane(tile, pane) => layout::change_pane(&mut document.layout, tile, pane),
        Command::Strip(choice) => document.strip = choice,
        Command::Cka(choice) => document.cka = choice,
        Command::Shift(choice) => document.shift = choice,
        Command::Sheet(settings) => document.sheet = *settings,
        other => return Some(other),
    }
    None
}

/// Sets what is seen otherwise; gives back a command that does more.
fn set(state: &mut State, command: Command) -> Option<Command> {
    match command {
        Command::Settings(settings) => {
            state.document.settings = settings;
            state.want_another_run();
        }
        Command::Figure(settings) => state.preferences.figure = settings,
        Command::Search(text) => state.search = text,
        Command::Hover(point) => state.hover = point,
        Command::HoverWord(word) => state.hover_word = word,
        Command::RankSearch(text) => state.rank.search = text,
        Command::RankSteps(text) => state.rank.steps = text,
        Command::CompareTyped(t, seed) => state.compare.typed = Some((t, seed)),
        Command::FocusPane(tile) => state.focused = Some(tile),
        Command::ClosePane(tile) => {
            layout::close_pane(&mut state.document.layout, tile);
            state.focused = state.focused.filter(|focused| *focused != tile);
        }
        Command::Chosen(key) => state.preferences.add_choice(key),
        Command::PaletteText(text) => state.overlays.palette = Some(text),
        Command::Hold(hold) => state.hold = hold,
        Command::PathBox(path_box) => {
            // Other entries are listed.
            state.browser.cursor = None;
            state.path_box = path_box;
        }
        Command::Peek(id) => state.peek = id,
        Command::Dismiss(notice) => match notice {
            Notice::Recovered => state.recovered = None,
            Notice::Picture(slot) => state.slot_mut(slot).error = None,
            Notice::Model => state.model.error = None,
            Notice::Run => state.run.error = None,
            Notice::View => state.view_error = None,
        },
        Command::Welcomed => {
            state.welcomes = false;
            state.preferences.welcomed = true;
        }
        Command::DismissToast(number) => state.messages.toasts.retain(|toast| toast.number != number),
        other => return Some(other),
    }
    None
}

//! What commands do: the only place where the user's wishes change the state.

use egui::{Context, Theme, ThemePreference, ViewportCommand};

use super::{
    action::Action,
    app::App,
    command::{Command, Notice},
    dialog,
    panes::set_view,
    pins::delete_pin,
};
use crate::{
    app::{
        document::{
            display::{Mask, RangeMode},
            layout,
            limits::INTERFACE_RANGE,
            root::Pin,
        },
        export::matches::matches_csv,
        state::{
            messages::Level,
            overlays::TemporaryView,
            path_box::{PathBox, PathPurpose},
            ranking_questions::series_of_steps,
        },
    },
    engine::{BasisChoice, ImageSlot, Request, Study},
    paint::{ColourMap, Interpolation},
};

/// How much a step of opacity is.
const OPACITY_STEP: f32 = 0.1;
/// How much a step of t is, as a share of all timesteps.
const T_STEPS: u32 = 50;
/// How many layers page up and page down walk.
const PAGE: isize = 10;
/// How much a step of the interface's size is.
const INTERFACE_STEP: f32 = 1.1;

impl App {
    /// Carries one command out.
    pub fn apply(&mut self, command: Command, context: &Context) {
        // Where the pointer is and where the user works changes nothing that could be undone.
        self.touched |= !matches!(
            command,
            Command::Hover(_) | Command::HoverWord(_) | Command::FocusPane(_) | Command::LookForDevices
        );
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
            Command::Settings(settings) => {
                state.document.settings = settings;
                state.want_another_run();
            }
            Command::SelectLayer(id) => self.select_layer(id),
            Command::Search(text) => state.search = text,
            Command::Hover(point) => state.hover = point,
            Command::HoverWord(word) => state.hover_word = word,
            Command::Word(word) => state.document.word = word,
            Command::Head(head) => state.document.head = head,
            Command::AddPin(slot, at) => {
                let number = state.document.next_pin_number();
                state.document.pins.push(Pin { number, slot, at });
                state.document.selected_pin = Some(number);
            }
            Command::MovePin(moved) => {
                if let Some(pin) = state.document.pins.iter_mut().find(|pin| pin.number == moved.number) {
                    *pin = moved;
                }
            }
            Command::Pins(pins, selected) => {
                state.document.pins = pins;
                state.document.selected_pin = selected;
            }
            Command::SelectPin(number) => {
                state.document.selected_pin = number.filter(|number| state.document.pin(*number).is_some());
            }
            Command::DeletePin(number) => delete_pin(&mut state.document, number),
            Command::TopK(count) => state.document.top_k = count,
            Command::Rank(choice) => state.document.rank = choice,
            Command::RankSearch(text) => state.rank.search = text,
            Command::RankSteps(text) => state.rank.steps = text,
            Command::RankRun => {
                if let Some(query) = series_of_steps(state) {
                    let job = self.begin_study("timesteps to rank".to_owned(), Study::Series(query.clone()));
                    let under_way: Vec<u64> = self.state.studies.iter().map(|study| study.number).collect();
                    let asked = &mut self.state.rank.asked;
                    asked.retain(|(other, _)| under_way.contains(other));
                    asked.push((job, query));
                }
            }
            Command::Compare(choice) => state.document.compare = choice,
            Command::CompareTyped(t, seed) => state.compare.typed = Some((t, seed)),
            Command::RunAsB => self.run_as_b(),
            Command::RunSide(index) => self.run_side(index),
            Command::LookAt(id, t) => {
                state.document.settings.t = t;
                self.select_layer(id);
            }
            Command::Display(display) => state.document.display = display,
            Command::Pca(settings) => state.document.pca = settings,
            Command::Mask(mask) => self.set_mask(mask),
            Command::Channel(channel) => state.document.channel = channel,
            Command::View(tile, view) => set_view(&mut state.document, tile, view),
            Command::FocusPane(tile) => state.focused = Some(tile),
            Command::AddPane(pane) => {
                let layout = &mut state.document.layout;
                // What is not of one picture has the whole height.
                let beside = state.focused.or_else(|| layout::last_of(layout, pane.slot));
                let beside = beside.filter(|_| pane.kind.is_of_picture());
                let added = layout::add_pane(layout, beside, pane);
                state.focused = Some(added);
            }
            Command::ChangePane(tile, pane) => layout::change_pane(&mut state.document.layout, tile, pane),
            Command::ClosePane(tile) => {
                layout::close_pane(&mut state.document.layout, tile);
                state.focused = state.focused.filter(|focused| *focused != tile);
            }
            Command::PaletteText(text) => state.overlays.palette = Some(text),
            Command::Hold(hold) => state.hold = hold,
            Command::AskPath(purpose) if self.kept_in.is_some() => {
                state.path_box.purpose = Some(purpose);
                state.path_box.text.clear();
            }
            Command::AskPath(purpose) => dialog::ask(purpose, self.answer.clone(), context),
            Command::PathBox(path_box) => state.path_box = path_box,
            Command::UsePath(purpose, path) => {
                state.path_box = PathBox::default();
                self.use_path(purpose, path, context);
            }
            Command::Download(command) => self.act_on_downloads(command),
            Command::CancelJob(job) => self.engine.send(Request::CancelExtract { job }),
            Command::Strip(choice) => state.document.strip = choice,
            Command::Cka(choice) => state.document.cka = choice,
            Command::Shift(choice) => state.document.shift = choice,
            Command::Compute(kind) => self.compute(kind),
            Command::Peek(id) => state.peek = id,
            Command::Sheet(settings) => state.document.sheet = *settings,
            Command::CancelStudy(job) => self.engine.send(Request::CancelStudy { job }),
            Command::Recover(command) => self.recover(command),
            Command::Dismiss(notice) => match notice {
                Notice::Recovered => state.recovered = None,
                Notice::Picture(slot) => state.slot_mut(slot).error = None,
                Notice::Model => state.model.error = None,
                Notice::Run => state.run.error = None,
                Notice::View => self.sent.failure_read |= state.view_error.take().is_some(),
            },
            Command::DismissToast(number) => state.messages.toasts.retain(|toast| toast.number != number),
        }
        context.request_repaint();
    }

    /// Does what has a name.
    fn act(&mut self, action: Action, context: &Context) {
        let ask = |purpose| Command::AskPath(purpose);
        let focused = self.state.focused_slot();
        match action {
            Action::OpenPicture => self.apply(ask(PathPurpose::Picture(focused)), context),
            Action::AddPicture => {
                if let Some(slot) = self.state.document.free_slot() {
                    self.apply(ask(PathPurpose::Picture(slot)), context);
                }
            }
            Action::OpenModel => self.apply(ask(PathPurpose::Model), context),
            Action::OpenWorkspace => self.apply(ask(PathPurpose::OpenWorkspace), context),
            Action::SaveWorkspace => match self.state.workspace_path.clone() {
                Some(path) => self.apply(Command::UsePath(PathPurpose::SaveWorkspace, path), context),
                None => self.apply(ask(PathPurpose::SaveWorkspace), context),
            },
            Action::SaveWorkspaceAs => self.apply(ask(PathPurpose::SaveWorkspace), context),
            Action::ExportPanes => self.apply(ask(PathPurpose::ExportPanes), context),
            Action::ExtractMaps => self.apply(ask(PathPurpose::Extract), context),
            Action::SavePca => self.apply(ask(PathPurpose::SavePca(focused)), context),
            Action::SaveHeat => self.apply(ask(PathPurpose::SaveHeat(focused)), context),
            Action::SaveMap => self.apply(ask(PathPurpose::SaveMap(focused)), context),
            Action::SaveBasis => self.apply(ask(PathPurpose::SaveBasis), context),
            Action::SaveMatches => self.apply(ask(PathPurpose::SaveMatches), context),
            Action::SaveStrip => self.apply(ask(PathPurpose::SaveStrip), context),
            Action::SaveCka => self.apply(ask(PathPurpose::SaveCka), context),
            Action::SaveShift => self.apply(ask(PathPurpose::SaveShift), context),
            Action::LaterFrame => self.step_frame(1),
            Action::EarlierFrame => self.step_frame(-1),
            Action::OpenPairs => self.apply(ask(PathPurpose::OpenPairs), context),
            Action::SavePairs => self.apply(ask(PathPurpose::SavePairs), context),
            Action::SaveRanking => self.apply(ask(PathPurpose::SaveRanking), context),
            Action::Survey => self.begin_survey(),
            Action::CancelStudies => {
                for study in &self.state.studies {
                    self.engine.send(Request::CancelStudy { job: study.number });
                }
            }
            Action::SaveSurvey => self.apply(ask(PathPurpose::SaveSurvey), context),
            Action::Quit => context.send_viewport_cmd(ViewportCommand::Close),
            Action::Tour => self.toggle_tour(),
            Action::TourNext => self.step_tour(true),
            Action::TourBack => self.step_tour(false),
            Action::Undo if self.undo_tour() => {}
            Action::Undo => {
                if let Some(document) = self.history.undo() {
                    self.restore(document);
                }
            }
            Action::Redo => {
                if let Some(document) = self.history.redo() {
                    self.restore(document);
                }
            }
            Action::CopyMatches => {
                let table = matches_csv(&self.state, '\t');
                context.copy_text(table);
                self.state
                    .messages
                    .report(Level::Info, "Pins and matches copied as a table.");
            }
            Action::SwapPictures => {
                if let Some(next) = self.state.slot_after(focused) {
                    self.swap_pictures(focused, next);
                }
            }
            Action::ClosePicture => self.close_picture(focused),
            Action::Run => {
                // Asked for when nothing is to be run, it would let a later run begin by itself.
                self.state.run.asked = self.state.needs_run();
                self.state.run.error = None;
                self.sent.run = None;
            }
            Action::Cancel => {
                self.state.run.asked = false;
                self.engine.send(Request::Cancel);
            }
            Action::NextLayer => self.step_layer(1),
            Action::PreviousLayer => self.step_layer(-1),
            Action::LayersForward => self.step_layer(PAGE),
            Action::LayersBack => self.step_layer(-PAGE),
            Action::SearchLayers => {
                self.state.preferences.settings_shown = true;
                self.tree.focus_search();
            }
            // By key they last as long as it is down: see the window's keys. By name, until they are done again.
            Action::HoldLayer => self.toggle_hold(TemporaryView::Layer),
            Action::HoldSlot => self.toggle_hold(TemporaryView::Slot),
            Action::HoldSide => self.toggle_hold(TemporaryView::Side),
            Action::SetCompareSide => self.compare_with_now(context),
            Action::SwapSides => self.state.document.compare.sides.reverse(),
            Action::SaveCompare => self.apply(ask(PathPurpose::SaveCompare), context),
            Action::LaterTimestep => self.step_t(true),
            Action::EarlierTimestep => self.step_t(false),
            Action::Brush
            | Action::AddPin
            | Action::NextPin
            | Action::Unpin
            | Action::DeletePin
            | Action::ClearPins
            | Action::PinLeft
            | Action::PinRight
            | Action::PinUp
            | Action::PinDown => self.act_on_pins(action),
            Action::ZoomIn
            | Action::ZoomOut
            | Action::Fit
            | Action::OneToOne
            | Action::AddPicturePane
            | Action::AddPcaPane
            | Action::AddHeatPane
            | Action::AddChannelPane
            | Action::AddSheetPane
            | Action::AddPlotPane
            | Action::AddStripPane
            | Action::AddCkaPane
            | Action::AddShiftPane
            | Action::AddRankPane
            | Action::AddComparePane
            | Action::ClosePane
            | Action::NextPane
            | Action::ResetLayout => self.act_on_panes(action, context),
            Action::Theme | Action::SystemTheme => {
                let other = match context.theme() {
                    Theme::Dark => ThemePreference::Light,
                    Theme::Light => ThemePreference::Dark,
                };
                let theme = if action == Action::Theme {
                    other
                } else {
                    ThemePreference::System
                };
                self.state.preferences.theme = theme;
                context.set_theme(theme);
            }
            Action::LargerInterface => self.set_interface_size(self.state.preferences.zoom * INTERFACE_STEP, context),
            Action::SmallerInterface => self.set_interface_size(self.state.preferences.zoom / INTERFACE_STEP, context),
            Action::StandardInterface => self.set_interface_size(1.0, context),
            Action::Fullscreen => {
                let full = context.input(|input| input.viewport().fullscreen.unwrap_or(false));
                context.send_viewport_cmd(ViewportCommand::Fullscreen(!full));
            }
            _ => self.toggle(action),
        }
    }

    fn toggle_hold(&mut self, hold: TemporaryView) {
        self.state.hold = Some(hold).filter(|hold| self.state.hold != Some(*hold));
    }

    /// What is on or off, or one of several.
    fn toggle(&mut self, action: Action) {
        let state = &mut self.state;
        let (document, overlays, memory) = (&mut state.document, &mut state.overlays, &mut state.preferences);
        let display = &mut document.display;
        let flip = |flag: &mut bool| *flag = !*flag;
        match action {
            Action::Link => flip(&mut document.linked),
            Action::Grid => flip(&mut display.grid),
            Action::Numbers => flip(&mut display.numbers),
            Action::Loupe => flip(&mut display.loupe),
            Action::Overlay => flip(&mut display.overlay),
            Action::OnSource => flip(&mut display.on_source),
            Action::Settings => flip(&mut memory.settings_shown),
            Action::Inspector => flip(&mut memory.inspector_shown),
            Action::Whiten => flip(&mut document.pca.options.whiten),
            Action::L2 => flip(&mut document.pca.options.l2_normalise_positions),
            Action::DropMassive => flip(&mut document.pca.drop_massive),
            Action::Keys => flip(&mut overlays.keys),
            Action::Log => flip(&mut overlays.log),
            Action::Recover => flip(&mut overlays.recoveries),
            Action::Models => {
                flip(&mut overlays.models);
                if overlays.models {
                    self.look_at_models();
                }
            }
            Action::FrameTimes => flip(&mut overlays.frame_times),
            Action::About => flip(&mut overlays.about),
            Action::Palette => {
                overlays.palette = match overlays.palette {
                    Some(_) => None,
                    None => Some(String::new()),
                };
            }
            Action::Normalise => {
                display.range = match display.range {
                    RangeMode::PerMap => RangeMode::Fixed([0.0, 1.0]),
                    _ => RangeMode::PerMap,
                };
            }
            Action::LockRange => {
                display.range = match display.range {
                    RangeMode::Common => RangeMode::PerMap,
                    _ => RangeMode::Common,
                };
            }
            Action::NextColours => {
                let current = ColourMap::ALL.iter().position(|map| *map == display.map).unwrap_or(0);
                display.map = ColourMap::ALL[(current + 1) % ColourMap::ALL.len()];
            }
            Action::Smooth => {
                display.interpolation = match display.interpolation {
                    Interpolation::Nearest => Interpolation::Bilinear,
                    Interpolation::Bilinear => Interpolation::Nearest,
                };
            }
            Action::MoreOpaque => display.opacity = (display.opacity + OPACITY_STEP).min(1.0),
            Action::LessOpaque => display.opacity = (display.opacity - OPACITY_STEP).max(0.0),
            Action::JointBasis => {
                document.pca.basis = match document.pca.basis {
                    BasisChoice::Together => BasisChoice::Each,
                    _ => BasisChoice::Together,
                };
            }
            Action::Foreground => {
                let mask = document.mask;
                let fresh = (mask == Mask::default())
                    .then(|| crate::app::state::figures::first_mask(&self.state))
                    .flatten();
                self.set_mask(fresh.unwrap_or(Mask { on: !mask.on, ..mask }));
            }
            Action::NextHead => self.step_head(true),
            Action::PreviousHead => self.step_head(false),
            Action::NextChannel => self.step_channel(1),
            Action::PreviousChannel => self.step_channel(-1),
            // Every other action is done elsewhere.
            _ => {}
        }
    }

    fn select_layer(&mut self, id: crate::activation::Id) {
        let state = &mut self.state;
        if state.document.layer != Some(id) {
            state.layer_before = state.document.layer;
        }
        state.document.layer = Some(id);
        state.want_another_run();
    }

    pub(in crate::app) fn step_layer(&mut self, step: isize) {
        if let Some(id) = self.tree.step(&self.state, step) {
            self.select_layer(id);
        }
    }

    fn step_t(&mut self, later: bool) {
        let state = &mut self.state;
        let Some(info) = &state.model.info else { return };
        let last = info.mixtures.len().saturating_sub(1) as u32;
        let step = f64::from((last / T_STEPS).max(1));
        let t = &mut state.document.settings.t;
        *t = t.later(if later { step } else { -step }, last.into());
        state.want_another_run();
    }

    /// The next head, around the end; the mean stands before the first.
    fn step_head(&mut self, forward: bool) {
        let Some(count) = self.state.head_count() else { return };
        let place = self.state.head().map_or(0, |head| head + 1);
        let step = if forward { 1 } else { count };
        let next = (place + step) % (count + 1);
        self.state.document.head = next.checked_sub(1);
    }

    /// The next channel in the order of variance.
    fn step_channel(&mut self, step: isize) {
        let Some(channels) = &self.state.channels else { return };
        let order = crate::app::state::figures::by_variance(channels);
        let current = order.iter().position(|channel| *channel == self.state.document.channel);
        let last = order.len().saturating_sub(1);
        let next = current.map_or(0, |index| index.saturating_add_signed(step).min(last));
        if let Some(channel) = order.get(next) {
            self.state.document.channel = *channel;
        }
    }

    pub(in crate::app) fn set_mask(&mut self, mask: Mask) {
        self.state.document.mask = mask;
        for slot in ImageSlot::all() {
            self.show_pca(slot);
        }
    }

    fn set_interface_size(&mut self, zoom: f32, context: &Context) {
        let [least, most] = INTERFACE_RANGE;
        self.state.preferences.zoom = zoom.clamp(least, most);
        context.set_zoom_factor(self.state.preferences.zoom);
    }
}

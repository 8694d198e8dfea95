//! What commands do: the only place where the user's wishes change the state.

use std::path::{Path, PathBuf};

use egui::{Context, Theme, ThemePreference, ViewportCommand};
use egui_tiles::TileId;

use super::{
    App, Command, Notice, PathBox, PathPurpose,
    action::Action,
    arrange,
    asked::By,
    dialog,
    document::{Document, Mask, Pane, PaneKind, Pin, RangeMode, View, standard_layout},
    export,
    messages::Level,
    state::{Hold, Job, PointAt, State, representative},
    workspace,
};
use crate::{
    engine::{BasisChoice, PictureSource, QueryAt, Request, Slot},
    extract::{
        image::Size,
        model::{DeviceChoice, Precision},
    },
    paint::{ColourMap, Interpolation},
    weights::zoo_entry,
};

/// How much a step of zoom is.
const ZOOM_STEP: f32 = 1.25;
/// The least and the greatest zoom.
pub const ZOOM_RANGE: [f32; 2] = [0.5, 256.0];
/// How much a step of opacity is.
const OPACITY_STEP: f32 = 0.1;
/// How much a step of t is, as a share of all timesteps.
const T_STEPS: u32 = 50;
/// How many layers page up and page down walk.
const PAGE: isize = 10;
/// How much a step of the interface's size is.
const INTERFACE_STEP: f32 = 1.1;
/// The least and the greatest size of the interface, as shares of the standard.
pub const INTERFACE_RANGE: [f32; 2] = [0.5, 4.0];

impl App {
    /// Carries one command out.
    pub fn apply(&mut self, command: Command, context: &Context) {
        // Where the pointer is and where the user works changes nothing that could be undone.
        self.touched |= !matches!(command, Command::Hover(_) | Command::FocusPane(_));
        let state = &mut self.state;
        match command {
            Command::Act(action) => self.act(action, context),
            Command::LoadModel(name) => self.load_model(name),
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
            Command::Display(display) => state.document.display = display,
            Command::Pca(settings) => state.document.pca = settings,
            Command::Mask(mask) => self.set_mask(mask),
            Command::Channel(channel) => state.document.channel = channel,
            Command::View(tile, view) => set_view(&mut state.document, tile, view),
            Command::FocusPane(tile) => state.focused = Some(tile),
            Command::AddPane(pane) => {
                let layout = &mut state.document.layout;
                let beside = state.focused.or_else(|| arrange::last_of(layout, pane.slot));
                let added = arrange::add_pane(layout, beside, pane);
                state.focused = Some(added);
            }
            Command::ChangePane(tile, pane) => arrange::change_pane(&mut state.document.layout, tile, pane),
            Command::ClosePane(tile) => {
                arrange::close_pane(&mut state.document.layout, tile);
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
            Command::CancelJob(job) => self.engine.send(Request::CancelExtract { job }),
            Command::Dismiss(notice) => match notice {
                Notice::Recovered => state.recovered = None,
                Notice::Picture(slot) => state.slot_mut(slot).error = None,
                Notice::Model => state.model.error = None,
                Notice::Run => state.run.error = None,
                Notice::View => state.view_error = None,
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
            Action::Quit => context.send_viewport_cmd(ViewportCommand::Close),
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
                let table = export::matches_csv(&self.state, '\t');
                context.copy_text(table);
                self.state
                    .messages
                    .tell(Level::Info, "Pins and matches copied as a table.");
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
                self.state.memory.settings_shown = true;
                self.tree.focus_search();
            }
            // By key they last as long as it is down: see the window's keys. By name, until they are done again.
            Action::HoldLayer => self.toggle_hold(Hold::Layer),
            Action::HoldSlot => self.toggle_hold(Hold::Slot),
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
                self.state.memory.theme = theme;
                context.set_theme(theme);
            }
            Action::LargerInterface => self.set_interface_size(self.state.memory.zoom * INTERFACE_STEP, context),
            Action::SmallerInterface => self.set_interface_size(self.state.memory.zoom / INTERFACE_STEP, context),
            Action::StandardInterface => self.set_interface_size(1.0, context),
            Action::Fullscreen => {
                let full = context.input(|input| input.viewport().fullscreen.unwrap_or(false));
                context.send_viewport_cmd(ViewportCommand::Fullscreen(!full));
            }
            _ => self.toggle(action),
        }
    }

    fn toggle_hold(&mut self, hold: Hold) {
        self.state.hold = Some(hold).filter(|hold| self.state.hold != Some(*hold));
    }

    /// What is on or off, or one of several.
    fn toggle(&mut self, action: Action) {
        let state = &mut self.state;
        let (document, overlays, memory) = (&mut state.document, &mut state.overlays, &mut state.memory);
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
                    .then(|| super::inspector::first_mask(&self.state))
                    .flatten();
                self.set_mask(fresh.unwrap_or(Mask { on: !mask.on, ..mask }));
            }
            Action::NextChannel => self.step_channel(1),
            Action::PreviousChannel => self.step_channel(-1),
            // Every other action is done elsewhere.
            _ => {}
        }
    }

    fn act_on_pins(&mut self, action: Action) {
        let focused = self.state.focused_slot();
        let state = &mut self.state;
        let document = &mut state.document;
        match action {
            Action::Brush => state.brush = !state.brush,
            Action::AddPin => {
                let size = state.slot(focused).picture.as_ref().map(|picture| picture.size);
                if let Some(Size { width, height }) = size {
                    let middle = [(width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0];
                    let document = &mut state.document;
                    let number = document.next_pin_number();
                    let at = QueryAt::Point(middle);
                    document.pins.push(Pin {
                        number,
                        slot: focused,
                        at,
                    });
                    document.selected_pin = Some(number);
                }
            }
            Action::NextPin => {
                let numbers: Vec<u32> = document.pins.iter().map(|pin| pin.number).collect();
                let current = numbers.iter().position(|number| Some(*number) == document.selected_pin);
                let next = current.map_or(0, |index| (index + 1) % numbers.len());
                document.selected_pin = numbers.get(next).copied();
            }
            Action::Unpin => document.selected_pin = None,
            Action::DeletePin => {
                if let Some(number) = document.selected_pin {
                    delete_pin(document, number);
                }
            }
            Action::ClearPins => {
                document.pins.clear();
                document.selected_pin = None;
            }
            Action::PinLeft => self.step_pin([-1, 0]),
            Action::PinRight => self.step_pin([1, 0]),
            Action::PinUp if document.active_pin().is_none() => self.step_layer(-1),
            Action::PinDown if document.active_pin().is_none() => self.step_layer(1),
            Action::PinUp => self.step_pin([0, -1]),
            _ => self.step_pin([0, 1]),
        }
    }

    fn act_on_panes(&mut self, action: Action, context: &Context) {
        let focused = self.state.focused_slot();
        let tile = self
            .state
            .focused
            .or_else(|| arrange::first_pane(&self.state.document.layout));
        let new = match action {
            Action::AddPicturePane => Some(PaneKind::Picture),
            Action::AddPcaPane => Some(PaneKind::Pca),
            Action::AddHeatPane => Some(PaneKind::Heat),
            Action::AddChannelPane => Some(PaneKind::Channel),
            _ => None,
        };
        if let Some(kind) = new {
            self.apply(Command::AddPane(Pane::new(kind, focused)), context);
            return;
        }
        let Some(tile) = tile.filter(|_| action != Action::ResetLayout) else {
            let slots: Vec<Slot> = self.state.document.pictures.keys().copied().collect();
            let slots = if slots.is_empty() { vec![Slot::A] } else { slots };
            self.state.document.layout = standard_layout(&slots);
            self.state.focused = None;
            return;
        };
        let document = &mut self.state.document;
        let view = arrange::view_of(document, tile);
        match action {
            Action::ZoomIn => set_view(document, tile, zoomed(view, ZOOM_STEP)),
            Action::ZoomOut => set_view(document, tile, zoomed(view, 1.0 / ZOOM_STEP)),
            Action::Fit => set_view(document, tile, View::default()),
            Action::OneToOne => {
                // How large a pixel is when the picture fits is known only where panes are painted.
                if let Some(zoom) = self.canvases.one_to_one(tile, context.pixels_per_point()) {
                    set_view(document, tile, View { zoom, ..view });
                }
            }
            Action::ClosePane => {
                arrange::close_pane(&mut document.layout, tile);
                self.state.focused = None;
            }
            _ => self.state.focused = arrange::next_pane(&document.layout, tile),
        }
    }

    fn load_model(&mut self, name: String) {
        let name = lasting_name(name);
        let model = &mut self.state.model;
        model.wanted.clone_from(&name);
        model.error = None;
        model.loading = Some(0.0);
        let (device, dtype) = (DeviceChoice::Auto, Precision::F32);
        self.engine.send(Request::LoadModel { name, device, dtype });
    }

    fn open_picture(&mut self, slot: Slot, source: PictureSource) {
        let source = match source {
            PictureSource::File(path) => PictureSource::File(lasting(path)),
            sample @ PictureSource::Sample(_) => sample,
        };
        self.ask_for_picture(slot, source, By::User);
    }

    fn ask_for_picture(&mut self, slot: Slot, source: PictureSource, by: By) {
        self.state.slot_mut(slot).error = None;
        self.asked.ask(slot, by);
        self.engine.send(Request::OpenPicture { slot, source });
    }

    /// Empties a slot that the document says is empty.
    fn let_go_of_picture(&mut self, slot: Slot) {
        self.empty_slot(slot);
        self.asked.ask(slot, By::Document);
        self.engine.send(Request::ClosePicture { slot });
    }

    /// Pictures where there is room, the first in the pane worked in; a workspace in place of everything.
    fn open_files(&mut self, paths: Vec<PathBuf>) {
        let focused = self.state.focused_slot();
        let mut taken: Vec<Slot> = self.state.document.pictures.keys().copied().collect();
        let several = paths.len() > 1;
        for (index, path) in paths.into_iter().enumerate() {
            if workspace::is_workspace(&path) {
                self.open_workspace(path);
                continue;
            }
            let free = Slot::all().find(|slot| !taken.contains(slot));
            let first = index == 0 && (!several || taken.is_empty());
            let Some(slot) = Some(focused).filter(|_| first).or(free) else {
                self.state.messages.tell(
                    Level::Warning,
                    format!("{} is not opened: all {} places are taken.", path.display(), Slot::MOST),
                );
                continue;
            };
            taken.push(slot);
            self.open_picture(slot, PictureSource::of(&path));
        }
    }

    fn close_picture(&mut self, slot: Slot) {
        self.state.document.pictures.remove(&slot);
        self.state.missing.retain(|(missing, _)| *missing != slot);
        self.let_go_of_picture(slot);
    }

    fn swap_pictures(&mut self, a: Slot, b: Slot) {
        self.engine.send(Request::SwapPictures { a, b });
    }

    fn select_layer(&mut self, id: crate::activation::Id) {
        let state = &mut self.state;
        if state.document.layer != Some(id) {
            state.layer_before = state.document.layer;
        }
        state.document.layer = Some(id);
        state.want_another_run();
    }

    fn step_layer(&mut self, step: isize) {
        if let Some(id) = self.tree.step(&self.state, step) {
            self.select_layer(id);
        }
    }

    fn step_t(&mut self, later: bool) {
        let state = &mut self.state;
        let Some(info) = &state.model.info else { return };
        let last = info.mixtures.len().saturating_sub(1) as u32;
        let step = (last / T_STEPS).max(1);
        let t = &mut state.document.settings.t;
        *t = if later {
            t.saturating_add(step).min(last)
        } else {
            t.saturating_sub(step)
        };
        state.want_another_run();
    }

    /// The next channel in the order of variance.
    fn step_channel(&mut self, step: isize) {
        let Some(channels) = &self.state.channels else { return };
        let order = super::channels::by_variance(channels);
        let current = order.iter().position(|channel| *channel == self.state.document.channel);
        let last = order.len().saturating_sub(1);
        let next = current.map_or(0, |index| index.saturating_add_signed(step).min(last));
        if let Some(channel) = order.get(next) {
            self.state.document.channel = *channel;
        }
    }

    /// Moves the selected pin by cells.
    fn step_pin(&mut self, [columns, rows]: [isize; 2]) {
        let state = &self.state;
        let Some(pin) = state.document.active_pin() else { return };
        let slot = pin.slot;
        let moved = || {
            let at = representative(&pin.at)?;
            let grid = state.shown_grid(slot)?;
            let framing = state.slot(slot).capture.as_ref()?.framing;
            let (row, column) = state.cell_at(PointAt { slot, at })?;
            let row = row.saturating_add_signed(rows).min(grid.height - 1);
            let column = column.saturating_add_signed(columns).min(grid.width - 1);
            let there = framing.original_from_cell((row, column), grid);
            Some(match &pin.at {
                QueryAt::Point(_) => QueryAt::Point(there),
                QueryAt::Region { path, radius } => QueryAt::Region {
                    path: path
                        .iter()
                        .map(|[x, y]| [x + there[0] - at[0], y + there[1] - at[1]])
                        .collect(),
                    radius: *radius,
                },
            })
        };
        if let Some(at) = moved() {
            let moved = Pin { at, ..pin.clone() };
            if let Some(pin) = self
                .state
                .document
                .pins
                .iter_mut()
                .find(|pin| pin.number == moved.number)
            {
                *pin = moved;
            }
        }
    }

    pub(super) fn set_mask(&mut self, mask: Mask) {
        self.state.document.mask = mask;
        for slot in Slot::all() {
            self.show_pca(slot);
        }
    }

    fn set_interface_size(&mut self, zoom: f32, context: &Context) {
        let [least, most] = INTERFACE_RANGE;
        self.state.memory.zoom = zoom.clamp(least, most);
        context.set_zoom_factor(self.state.memory.zoom);
    }

    /// Shows a document that was shown before, or that a workspace holds: what differs from what is there is asked for.
    pub(super) fn restore(&mut self, document: Document) {
        let slots: Vec<Slot> = Slot::all().collect();
        for slot in slots {
            let (there, wanted) = (
                self.state
                    .slot(slot)
                    .picture
                    .as_ref()
                    .map(|picture| picture.source.clone()),
                document.pictures.get(&slot).map(|picture| picture.source.clone()),
            );
            // What is still to come may be something else than what is there.
            let changes = self.asked.is_open(slot);
            match wanted {
                Some(source) if changes || there.as_ref() != Some(&source) => {
                    self.ask_for_picture(slot, source, By::Document)
                }
                None if changes || there.is_some() => self.let_go_of_picture(slot),
                _ => {}
            }
        }
        let there = self.state.model.info.as_ref().map(|info| info.name.clone());
        if let Some(name) = document.model.clone().filter(|name| there.as_ref() != Some(name)) {
            self.load_model(name);
        }
        let mask = document.mask;
        self.state.document = document;
        self.state.want_another_run();
        self.set_mask(mask);
    }

    fn use_path(&mut self, purpose: PathPurpose, path: PathBuf, context: &Context) {
        match purpose {
            PathPurpose::Picture(slot) => self.open_picture(slot, PictureSource::of(&path)),
            PathPurpose::Model => self.load_model(path.display().to_string()),
            PathPurpose::OpenWorkspace => self.open_workspace(path),
            PathPurpose::SaveWorkspace => self.save_workspace(lasting(path)),
            PathPurpose::OpenBasis => self.state.document.pca.basis = BasisChoice::Saved(lasting(path)),
            PathPurpose::ExportPanes => self.export_panes(path, context),
            PathPurpose::SaveMatches => self.save_matches(path),
            PathPurpose::Extract => self.extract(path),
            PathPurpose::SavePca(slot) | PathPurpose::SaveHeat(slot) | PathPurpose::SaveMap(slot) => {
                self.save_view(purpose, Some(slot), path);
            }
            PathPurpose::SaveBasis => self.save_view(purpose, None, path),
        }
        context.request_repaint();
    }

    fn save_view(&mut self, purpose: PathPurpose, slot: Option<Slot>, path: PathBuf) {
        match export::save_request(&self.state, &self.textures, purpose, slot, path) {
            Some(request) => self.engine.send(Request::View(request)),
            None => self.state.messages.tell(
                Level::Error,
                "There is nothing to save yet: nothing has run, or nothing is pointed at.",
            ),
        }
    }

    fn extract(&mut self, out: PathBuf) {
        let Some(request) = export::extract_request(&self.state) else {
            self.state.messages.tell(
                Level::Error,
                "There is nothing to extract: a model, a layer and at least one picture from a file are needed.",
            );
            return;
        };
        self.state.jobs_begun += 1;
        let number = self.state.jobs_begun;
        let title = out
            .file_name()
            .unwrap_or(out.as_os_str())
            .to_string_lossy()
            .into_owned();
        self.state.jobs.push_back(Job {
            number,
            title,
            fraction: None,
            item: None,
        });
        self.engine.send(Request::Extract {
            job: number,
            request: Box::new(request),
            out,
        });
    }
}

/// A path that means the same when the program is started elsewhere.
fn lasting(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// The same of a model, where its name is a path.
fn lasting_name(name: String) -> String {
    let path = Path::new(&name);
    if zoo_entry(&name).is_some() || !path.exists() {
        return name;
    }
    lasting(path.to_owned()).display().to_string()
}

fn delete_pin(document: &mut Document, number: u32) {
    document.delete_pins(|pin| pin.number == number);
}

/// Shows another part: in all panes where they move together, else in one.
fn set_view(document: &mut Document, tile: TileId, view: View) {
    let [least, most] = ZOOM_RANGE;
    let view = View {
        centre: view.centre.map(|share| share.clamp(0.0, 1.0)),
        zoom: view.zoom.clamp(least, most),
    };
    if document.linked {
        document.view = view;
    } else if let Some(pane) = arrange::pane_mut(&mut document.layout, tile) {
        pane.view = view;
    }
}

fn zoomed(view: View, by: f32) -> View {
    View {
        zoom: view.zoom * by,
        ..view
    }
}

impl State {
    /// Whether an action can be done now; menus show those that cannot in grey.
    pub fn can(&self, action: Action) -> bool {
        let document = &self.document;
        match action {
            Action::ClosePicture => self.open_slots().next().is_some(),
            Action::SwapPictures => self.open_slots().count() > 1,
            Action::DeletePin | Action::Unpin | Action::PinLeft | Action::PinRight => document.active_pin().is_some(),
            Action::NextPin | Action::ClearPins | Action::CopyMatches | Action::SaveMatches => {
                !document.pins.is_empty()
            }
            Action::AddPin => self.slot(self.focused_slot()).picture.is_some(),
            Action::Run => self.needs_run() && self.run.running.is_none(),
            Action::Cancel => self.run.running.is_some() || self.model.loading.is_some(),
            Action::SavePca | Action::SaveMap | Action::SaveBasis => !self.shown_passes().is_empty(),
            Action::SaveHeat => self.heat_on(self.focused_slot()).is_some(),
            Action::HoldLayer => self.layer_before.is_some() || self.hold == Some(Hold::Layer),
            Action::HoldSlot => self.open_slots().count() > 1 || self.hold == Some(Hold::Slot),
            Action::AddPicture => document.free_slot().is_some(),
            Action::ClosePane => !document.layout.is_empty(),
            _ => true,
        }
    }

    /// Whether what an action switches is on; nothing for one that switches nothing.
    pub fn is_on(&self, action: Action) -> Option<bool> {
        let (document, display) = (&self.document, &self.document.display);
        Some(match action {
            Action::Brush => self.brush,
            Action::HoldLayer => self.hold == Some(Hold::Layer),
            Action::HoldSlot => self.hold == Some(Hold::Slot),
            Action::Link => document.linked,
            Action::Grid => display.grid,
            Action::Numbers => display.numbers,
            Action::Loupe => display.loupe,
            Action::Overlay => display.overlay,
            Action::OnSource => display.on_source,
            Action::Settings => self.memory.settings_shown,
            Action::Inspector => self.memory.inspector_shown,
            Action::Whiten => document.pca.options.whiten,
            Action::L2 => document.pca.options.l2_normalise_positions,
            Action::DropMassive => document.pca.drop_massive,
            Action::Normalise => display.range == RangeMode::PerMap,
            Action::LockRange => display.range == RangeMode::Common,
            Action::Smooth => display.interpolation == Interpolation::Bilinear,
            Action::JointBasis => document.pca.basis == BasisChoice::Together,
            Action::Foreground => document.mask.on,
            Action::SystemTheme => self.memory.theme == ThemePreference::System,
            Action::Keys => self.overlays.keys,
            Action::Log => self.overlays.log,
            Action::FrameTimes => self.overlays.frame_times,
            _ => return None,
        })
    }
}

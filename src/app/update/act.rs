//! What actions do, menu by menu.

use egui::{Context, Theme, ThemePreference, ViewportCommand};

use super::{
    action::{Action, Menu},
    app::App,
    command::Command,
};
use crate::{
    activation::Id,
    app::{
        document::{
            display::{Display, Mask, RangeMode},
            limits::INTERFACE_RANGE,
        },
        export::matches::matches_csv,
        state::{
            figures::{by_variance, first_mask},
            messages::Level,
            overlays::TemporaryView,
            path_box::PathPurpose,
        },
        theme,
    },
    components::schedule::Timestep,
    engine::{BasisChoice, ImageSlot, PcaSettings, Request},
    render::{ColourMap, Interpolation},
};

/// How much a step of opacity is.
const OPACITY_STEP: f32 = 0.1;
/// Steps of t end at multiples of this, in a schedule that is long enough for them.
const T_STEP: f64 = 20.0;
/// The last timestep from which on a schedule is long enough.
const LEAST_LAST_T: f64 = 100.0;
/// How many layers page up and page down walk.
const PAGE: isize = 10;
/// How much a step of the interface's size is.
const INTERFACE_STEP: f32 = 1.1;

impl App {
    /// Does what has a name.
    pub(in crate::app) fn act(&mut self, action: Action, context: &Context) {
        if let Some(purpose) = self.path_for(action) {
            self.apply(Command::AskPath(purpose), context);
            return;
        }
        if let Action::AddPane(kind) = action {
            self.open_pane(kind);
            return;
        }
        if let Action::Page(page) = action {
            self.go_to(page);
            return;
        }
        match action.entry().menu {
            Menu::File => self.act_on_files(action, context),
            Menu::Edit => self.act_on_pictures(action, context),
            Menu::Model => self.act_on_model(action),
            Menu::View => self.act_on_window(action, context),
            Menu::Display => self.act_on_display(action),
            Menu::Study => self.act_on_studies(action, context),
            Menu::Help => self.act_on_overlays(action),
        }
    }

    /// The path that an action asks for.
    fn path_for(&self, action: Action) -> Option<PathPurpose> {
        let focused = self.state.focused_slot();
        Some(match action {
            Action::OpenPicture => PathPurpose::Picture(focused),
            Action::AddPicture => PathPurpose::Picture(self.state.document.free_slot()?),
            Action::OpenModel => PathPurpose::Model,
            Action::OpenWorkspace => PathPurpose::OpenWorkspace,
            Action::SaveWorkspace if self.state.workspace_path.is_none() => PathPurpose::SaveWorkspace,
            Action::Screenshot => PathPurpose::Screenshot,
            Action::SaveWorkspaceAs => PathPurpose::SaveWorkspace,
            Action::ExportPage => PathPurpose::SavePage,
            Action::ExtractMaps => PathPurpose::Extract,
            Action::SavePca => PathPurpose::SavePca(focused),
            Action::SaveHeat => PathPurpose::SaveHeat(focused),
            Action::SaveMap => PathPurpose::SaveMap(focused),
            Action::SaveBasis => PathPurpose::SaveBasis,
            Action::SaveMatches => PathPurpose::SaveMatches,
            Action::OpenPairs => PathPurpose::OpenPairs,
            Action::SavePairs => PathPurpose::SavePairs,
            Action::SaveSurvey => PathPurpose::SaveSurvey,
            Action::SavePane(kind) => PathPurpose::SavePane(kind),
            _ => return None,
        })
    }

    fn act_on_files(&mut self, action: Action, context: &Context) {
        match action {
            Action::SaveWorkspace => {
                if let Some(path) = self.state.workspace_path.clone() {
                    self.apply(Command::UsePath(PathPurpose::SaveWorkspace, path), context);
                }
            }
            Action::ExportPanes => flip(&mut self.state.overlays.export),
            Action::Recover => flip(&mut self.state.overlays.recoveries),
            Action::Quit => context.send_viewport_cmd(ViewportCommand::Close),
            // The others ask for a path.
            _ => {}
        }
    }

    fn act_on_pictures(&mut self, action: Action, context: &Context) {
        let focused = self.state.focused_slot();
        match action {
            Action::Undo if self.undo_tour() => {}
            // The first click of a pair is a step, too.
            Action::Undo if self.state.pairing.let_go() => {}
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
            Action::CopyImage => self.copy_pane(context),
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
            _ => self.act_on_pins(action),
        }
    }

    fn act_on_model(&mut self, action: Action) {
        match action {
            Action::Models => {
                flip(&mut self.state.overlays.models);
                if self.state.overlays.models {
                    self.look_at_models();
                }
            }
            Action::Run => {
                // Asked for when nothing is to be run, it would let a later run begin by itself.
                self.state.run.asked = self.state.needs_run();
                self.state.run.error = None;
                self.run_asked = None;
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
            // By key it lasts as long as that is down: see the window's keys. By name, until it is done again.
            Action::HoldLayer => self.toggle_hold(TemporaryView::Layer),
            Action::LaterTimestep => self.step_t(T_STEP, true),
            Action::EarlierTimestep => self.step_t(T_STEP, false),
            Action::LaterTimestepByOne => self.step_t(1.0, true),
            Action::EarlierTimestepByOne => self.step_t(1.0, false),
            _ => {}
        }
    }

    fn act_on_window(&mut self, action: Action, context: &Context) {
        let (document, preferences) = (&mut self.state.document, &mut self.state.preferences);
        match action {
            Action::Link => flip(&mut document.linked),
            Action::Grid => flip(&mut document.display.grid),
            Action::Numbers => flip(&mut document.display.numbers),
            Action::Loupe => flip(&mut document.display.loupe),
            Action::Settings => flip(&mut preferences.settings_shown),
            Action::Inspector => flip(&mut preferences.inspector_shown),
            Action::HoldSlot => self.toggle_hold(TemporaryView::Slot),
            Action::Theme => {
                let other = match context.theme() {
                    Theme::Dark => ThemePreference::Light,
                    Theme::Light => ThemePreference::Dark,
                };
                self.set_theme(other, context);
            }
            Action::Presentation => {
                flip(&mut self.state.presentation);
                self.set_interface_size(self.state.preferences.zoom, context);
            }
            Action::SystemTheme => self.set_theme(ThemePreference::System, context),
            Action::LargerInterface => self.set_interface_size(self.state.preferences.zoom * INTERFACE_STEP, context),
            Action::SmallerInterface => self.set_interface_size(self.state.preferences.zoom / INTERFACE_STEP, context),
            Action::StandardInterface => self.set_interface_size(1.0, context),
            Action::ResetSettings => self.reset_settings(),
            Action::Fullscreen => {
                let full = context.input(|input| input.viewport().fullscreen.unwrap_or(false));
                context.send_viewport_cmd(ViewportCommand::Fullscreen(!full));
            }
            _ => self.act_on_panes(action, context),
        }
    }

    fn act_on_display(&mut self, action: Action) {
        let document = &mut self.state.document;
        match action {
            Action::Whiten => flip(&mut document.pca.options.whiten),
            Action::L2 => flip(&mut document.pca.options.l2_normalise_positions),
            Action::DropMassive => flip(&mut document.pca.drop_massive),
            Action::JointBasis => {
                document.pca.basis = match document.pca.basis {
                    BasisChoice::Together => BasisChoice::Each,
                    _ => BasisChoice::Together,
                };
            }
            Action::Foreground => {
                let mask = document.mask;
                let fresh = (mask == Mask::default()).then(|| first_mask(&self.state)).flatten();
                self.set_mask(fresh.unwrap_or(Mask { on: !mask.on, ..mask }));
            }
            Action::NextHead => self.step_head(true),
            Action::PreviousHead => self.step_head(false),
            Action::NextChannel => self.step_channel(1),
            Action::PreviousChannel => self.step_channel(-1),
            _ => draw_otherwise(&mut document.display, action),
        }
    }

    fn act_on_studies(&mut self, action: Action, context: &Context) {
        match action {
            Action::Survey => self.begin_survey(),
            Action::Recommend => self.begin_recommendation(),
            Action::CancelStudies => {
                for study in &self.state.studies {
                    self.engine.send(Request::CancelStudy { job: study.number });
                }
            }
            Action::SetCompareSide => self.compare_with_now(context),
            Action::SwapSides => self.state.document.compare.sides.reverse(),
            Action::HoldSide => self.toggle_hold(TemporaryView::Side),
            Action::LaterFrame => self.step_frame(1),
            Action::EarlierFrame => self.step_frame(-1),
            _ => {}
        }
    }

    fn act_on_overlays(&mut self, action: Action) {
        let overlays = &mut self.state.overlays;
        match action {
            Action::Palette => {
                overlays.palette = match overlays.palette {
                    Some(_) => None,
                    None => Some(String::new()),
                };
            }
            Action::Keys => flip(&mut overlays.keys),
            Action::Log => flip(&mut overlays.log),
            Action::FrameTimes => flip(&mut overlays.frame_times),
            Action::About => flip(&mut overlays.about),
            Action::Tour => self.toggle_tour(),
            Action::TourNext => self.step_tour(true),
            Action::TourBack => self.step_tour(false),
            _ => {}
        }
    }

    /// Runs, draws and colours as a fresh window does.
    fn reset_settings(&mut self) {
        let settings = self.state.fresh_settings();
        let document = &mut self.state.document;
        document.settings = settings;
        document.display = Display::default();
        document.pca = PcaSettings::default();
        self.state.want_another_run();
        self.set_mask(Mask::default());
    }

    fn set_theme(&mut self, theme: ThemePreference, context: &Context) {
        self.state.preferences.theme = theme;
        context.set_theme(theme);
    }

    fn toggle_hold(&mut self, hold: TemporaryView) {
        self.state.hold = Some(hold).filter(|hold| self.state.hold != Some(*hold));
    }

    pub(in crate::app) fn select_layer(&mut self, id: Id) {
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

    /// To the next multiple of `step`, or the one before.
    fn step_t(&mut self, step: f64, later: bool) {
        let state = &mut self.state;
        let Some(info) = state.model.info.as_ref().filter(|info| info.is_denoiser()) else {
            return;
        };
        let last = info.mixtures.len().saturating_sub(1) as f64;
        let step = if last < LEAST_LAST_T { 1.0 } else { step };
        let t = &mut state.document.settings.t;
        if let Ok(next) = Timestep::new(stepped(t.value(), step, later, last)) {
            *t = next;
        }
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
        let order = by_variance(channels);
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

    pub(in crate::app) fn set_interface_size(&mut self, zoom: f32, context: &Context) {
        let [least, most] = INTERFACE_RANGE;
        self.state.preferences.zoom = zoom.clamp(least, most);
        let presented = if self.state.presentation {
            theme::PRESENTATION
        } else {
            1.0
        };
        context.set_zoom_factor(self.state.preferences.zoom * presented);
    }
}

/// The next multiple of `step` after `t`, or the one before it, from 0 to `last`.
fn stepped(t: f64, step: f64, later: bool, last: f64) -> f64 {
    let steps = t / step;
    let next = if later { steps.floor() + 1.0 } else { steps.ceil() - 1.0 };
    (next * step).clamp(0.0, last)
}

fn flip(flag: &mut bool) {
    *flag = !*flag;
}

/// Draws scores otherwise.
fn draw_otherwise(display: &mut Display, action: Action) {
    match action {
        Action::Overlay => flip(&mut display.overlay),
        Action::OnSource => flip(&mut display.on_source),
        Action::FurtherMatches => flip(&mut display.further),
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
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_t_end_at_round_numbers() {
        let walk = |from: f64, later: bool| {
            let mut t = from;
            [(); 3].map(|()| {
                t = stepped(t, T_STEP, later, 999.0);
                t
            })
        };
        assert_eq!(walk(100.0, true), [120.0, 140.0, 160.0]);
        assert_eq!(walk(110.0, true), [120.0, 140.0, 160.0]);
        assert_eq!(walk(110.0, false), [100.0, 80.0, 60.0]);
        assert_eq!(walk(970.0, true), [980.0, 999.0, 999.0]);
        assert_eq!(walk(999.0, false), [980.0, 960.0, 940.0]);
        assert_eq!(walk(30.0, false), [20.0, 0.0, 0.0]);
        assert_eq!(stepped(195.5, 1.0, true, 999.0), 196.0);
        assert_eq!(stepped(195.5, 1.0, false, 999.0), 195.0);
    }
}

//! The panes as tiles that can be moved, split and put into tabs.

use egui::{
    Align, Button, Color32, Label, Layout as UiLayout, Popup, Rect, RichText, Stroke, StrokeKind, TextStyle, Ui,
    UiBuilder, WidgetText, pos2,
    text::{LayoutJob, TextWrapping},
    vec2,
};
use egui_tiles::{Behavior, EditAction, SimplificationOptions, Tabs, TileId, Tiles, UiResponse};

use super::{VIEWS, canvas::canvas_ui};
use crate::{
    app::{
        document::{
            layout::RULES,
            pane::{Layout, Pane, PaneKind},
        },
        export::captions::not_finite_text,
        gpu::textures::Textures,
        state::{
            canvas_rects::{CanvasRects, Painted},
            root::State,
            slots::PointAt,
        },
        theme,
        update::{
            action::Action,
            command::{Command, Notice},
            view::ViewContext,
        },
        widgets::{Glyph, badge, colour_bar_ui, error_ui, glyph_button_ui},
    },
    engine::ImageSlot,
};

/// Height of a pane's footer, in points.
const FOOTER_HEIGHT: f32 = 30.0;
/// Distance of a badge from the corner of its pane, in points.
const BADGE_MARGIN: f32 = 6.0;
/// Width of the popup with what helps, in points.
const HELP_WIDTH: f32 = 320.0;
/// A footer narrower than this has no room for all words: they are cut, and whole in the tooltip.
const LEAST_WITH_TWO_LINES: f32 = 330.0;
/// What a tab holds beside its title: margins and the button that closes it.
const BESIDE_TITLE: f32 = 36.0;
/// The tab of a picture that is narrower than this has its letter and its name alone.
const LEAST_WITH_KIND: f32 = 230.0;
/// A pane that is narrower than this has no buttons beside its title; its menu has them.
const LEAST_WITH_BUTTONS: f32 = 230.0;
/// The width of these buttons, in points.
const BUTTONS_WIDTH: f32 = 56.0;
/// A pane that is narrower or lower than this shows no footer.
const LEAST_WITH_FOOTER: f32 = 110.0;

/// All panes; gives the layout with what the user moved.
pub fn panes_ui(
    ui: &mut Ui,
    state: &State,
    textures: &Textures,
    canvases: &mut CanvasRects,
    commands: &mut Vec<Command>,
) -> Layout {
    let mut layout = state.document.layout.clone();
    if layout.is_empty() {
        empty_ui(ui, state, commands);
        return layout;
    }
    canvases.room = Some(ui.max_rect());
    let alone = state
        .document
        .maximised
        .filter(|tile| layout.tiles.get_pane(tile).is_some());
    match alone {
        Some(tile) => canvases.keep(&[tile]),
        None => canvases.keep(&layout.active_tiles()),
    }
    let mut painting = Painting {
        context: ViewContext {
            state,
            textures,
            canvases,
            commands,
            peek: None,
        },
        hover: None,
    };
    match alone {
        Some(tile) => painting.alone_ui(ui, tile, &layout),
        None => layout.ui(&mut painting, ui),
    }
    let (hover, peek) = (painting.hover, painting.context.peek);
    if peek != state.peek {
        commands.push(Command::Peek(peek));
    }
    if hover != state.hover {
        commands.push(Command::Hover(hover));
    }
    layout
}

/// What is said where no pane is open.
fn empty_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.centered_and_justified(|ui| {
        ui.vertical_centered(|ui| {
            ui.add_space(ui.available_height() / 3.0);
            ui.label("No pane is open.");
            for action in [
                Action::ResetLayout,
                Action::AddPane(PaneKind::Picture),
                Action::AddPane(PaneKind::Pca),
            ] {
                crate::app::widgets::action_button_ui(ui, state, action, commands);
            }
        });
    });
}

/// The panes while they are painted.
struct Painting<'a> {
    context: ViewContext<'a>,
    hover: Option<PointAt>,
}

impl Behavior<Pane> for Painting<'_> {
    fn pane_ui(&mut self, ui: &mut Ui, tile: TileId, pane: &mut Pane) -> UiResponse {
        let rect = ui.max_rect();
        let tokens = theme::tokens(ui);
        if !pane.kind.is_of_picture() {
            ui.painter().rect_filled(rect, 0.0, tokens.panel);
            let (slot, size) = (pane.slot, None);
            self.context.canvases.set(tile, Painted { rect, slot, size });
            VIEWS.of(pane.kind).ui(ui, tile, pane, &mut self.context);
            self.badge(ui, rect, pane);
            self.outline(ui, tile, rect);
            return UiResponse::None;
        }
        let footer_height = if rect.height().min(rect.width()) < LEAST_WITH_FOOTER {
            0.0
        } else {
            FOOTER_HEIGHT
        };
        let footer = Rect::from_min_max(pos2(rect.left(), rect.bottom() - footer_height), rect.max);
        let canvas = Rect::from_min_max(rect.min, footer.right_top());
        ui.painter().rect_filled(rect, 0.0, tokens.canvas);
        let hover = canvas_ui(ui, canvas, tile, pane, &mut self.context);
        self.hover = hover.or(self.hover);
        let (state, slot) = (self.context.state, self.context.state.shown_slot(pane.slot));
        if state.slot(slot).picture.is_none() {
            no_picture_ui(ui, canvas, slot, pane.kind, self.context.commands);
        } else if footer_height > 0.0 {
            let strip = UiBuilder::new()
                .max_rect(footer.shrink2(vec2(6.0, 2.0)))
                .id_salt("footer");
            ui.scope_builder(strip, |ui| self.footer_ui(ui, pane.kind, slot));
        }
        if pane.kind == PaneKind::Picture {
            picture_error_ui(ui, canvas, state, slot, self.context.commands);
        } else {
            not_finite_ui(ui, canvas, state, slot);
        }
        self.badge(ui, canvas, pane);
        self.outline(ui, tile, rect);
        UiResponse::None
    }

    /// A title that is longer than its pane is wide is cut, so that its tab needs no arrows to be scrolled by.
    fn tab_title_for_tile(&mut self, tiles: &Tiles<Pane>, tile: TileId) -> WidgetText {
        let Some(pane) = tiles.get_pane(&tile) else {
            return WidgetText::default();
        };
        let Some(rect) = tiles.rect(tile) else {
            return self.title_of(pane, true).into();
        };
        let title = self.title_of(pane, rect.width() >= LEAST_WITH_KIND);
        let context = self.context.textures.context();
        let font = TextStyle::Button.resolve(&context.global_style());
        let mut job = LayoutJob::simple_singleline(title, font, Color32::PLACEHOLDER);
        let buttons = if rect.width() >= LEAST_WITH_BUTTONS {
            BUTTONS_WIDTH
        } else {
            0.0
        };
        job.wrap = TextWrapping::truncate_at_width((rect.width() - BESIDE_TITLE - buttons).max(0.0));
        context.fonts_mut(|fonts| fonts.layout_job(job)).into()
    }

    fn tab_title_for_pane(&mut self, pane: &Pane) -> WidgetText {
        self.title_of(pane, true).into()
    }

    fn is_tab_closable(&self, _tiles: &Tiles<Pane>, _tile: TileId) -> bool {
        true
    }

    fn on_tab_close(&mut self, _tiles: &mut Tiles<Pane>, tile: TileId) -> bool {
        self.context.commands.push(Command::ClosePane(tile));
        false
    }

    fn on_tab_button(&mut self, tiles: &mut Tiles<Pane>, tile: TileId, response: egui::Response) -> egui::Response {
        let Some(pane) = tiles.get_pane(&tile).cloned() else {
            return response;
        };
        if response.clicked() {
            self.context.commands.push(Command::FocusPane(tile));
        }
        let title = self.title_of(&pane, true);
        let (state, commands) = (self.context.state, &mut *self.context.commands);
        response.context_menu(|ui| pane_menu_ui(ui, state, tile, &pane, commands));
        response.on_hover_text(format!(
            "{title}\nDrag to move the pane; right-click to change what it shows"
        ))
    }

    fn top_bar_right_ui(
        &mut self,
        tiles: &Tiles<Pane>,
        ui: &mut Ui,
        _tile: TileId,
        tabs: &Tabs,
        _scroll_offset: &mut f32,
    ) {
        let pane = tabs.active.and_then(|tile| Some((tile, tiles.get_pane(&tile)?)));
        let Some((tile, pane)) = pane else { return };
        // The title goes first where there is no room for both.
        if tiles.rect(tile).is_some_and(|rect| rect.width() >= LEAST_WITH_BUTTONS) {
            self.buttons_ui(ui, tile, pane.kind);
        }
    }

    fn simplification_options(&self) -> SimplificationOptions {
        RULES
    }

    fn gap_width(&self, _style: &egui::Style) -> f32 {
        theme::PANE_GAP
    }

    fn tab_bar_color(&self, visuals: &egui::Visuals) -> Color32 {
        theme::tokens_of(visuals).panel
    }

    fn on_edit(&mut self, _action: EditAction) {}
}

/// What a pane shows, and what else can be done with it.
fn pane_menu_ui(ui: &mut Ui, state: &State, tile: TileId, pane: &Pane, commands: &mut Vec<Command>) {
    for kind in PaneKind::ALL {
        if ui.radio(pane.kind == kind, kind.name()).clicked() {
            let pane = Pane { kind, ..pane.clone() };
            commands.push(Command::ChangePane(tile, pane));
            ui.close();
        }
    }
    ui.separator();
    for slot in state.open_slots().filter(|_| pane.kind.is_of_picture()) {
        if ui.radio(pane.slot == slot, format!("of {}", slot.name())).clicked() {
            let pane = Pane { slot, ..pane.clone() };
            commands.push(Command::ChangePane(tile, pane));
            ui.close();
        }
    }
    ui.separator();
    let maximised = state.document.maximised == Some(tile);
    if ui.button(if maximised { "Restore" } else { "Maximise" }).clicked() {
        commands.push(Command::FocusPane(tile));
        commands.push(Command::Act(Action::Maximise));
        ui.close();
    }
    if ui.button("Open another beside").clicked() {
        commands.push(Command::FocusPane(tile));
        commands.push(Command::AddPane(pane.clone()));
        ui.close();
    }
    if ui.button("Close").clicked() {
        commands.push(Command::ClosePane(tile));
        ui.close();
    }
}

impl Painting<'_> {
    /// One pane in the place of all, below its title.
    fn alone_ui(&mut self, ui: &mut Ui, tile: TileId, layout: &Layout) {
        let Some(mut pane) = layout.tiles.get_pane(&tile).cloned() else {
            return;
        };
        let room = ui.max_rect();
        let (title, below) = room.split_top_bottom_at_y(room.top() + theme::TITLE_HEIGHT);
        ui.painter().rect_filled(title, 0.0, theme::tokens(ui).panel);
        let line = UiBuilder::new()
            .max_rect(title.shrink2(vec2(theme::SPACE_M, 0.0)))
            .layout(UiLayout::right_to_left(Align::Center));
        ui.scope_builder(line, |ui| {
            self.buttons_ui(ui, tile, pane.kind);
            let words = Label::new(RichText::new(self.title_of(&pane, true)).strong()).truncate();
            ui.with_layout(UiLayout::left_to_right(Align::Center), |ui| ui.add(words));
        });
        let below = UiBuilder::new().max_rect(below).id_salt(("alone", tile));
        ui.scope_builder(below, |ui| self.pane_ui(ui, tile, &mut pane));
    }

    /// What every pane has: alone or among the others, and what helps.
    fn buttons_ui(&mut self, ui: &mut Ui, tile: TileId, kind: PaneKind) {
        ui.spacing_mut().item_spacing.x = theme::SPACE_XS;
        let alone = self.context.state.document.maximised == Some(tile);
        let name = if alone { "Restore" } else { "Maximise" };
        let key = Action::Maximise.key_text(ui.ctx());
        let maximise = glyph_button_ui(ui, Glyph::Maximise, name).on_hover_text(format!("{name}  ({key})"));
        if maximise.clicked() {
            self.context.commands.push(Command::FocusPane(tile));
            self.context.commands.push(Command::Act(Action::Maximise));
        }
        let help = glyph_button_ui(ui, Glyph::Help, "Help");
        Popup::menu(&help).show(|ui| {
            ui.set_max_width(HELP_WIDTH);
            let facts = kind.facts();
            ui.strong(facts.name);
            ui.label(facts.help);
        });
    }

    /// What tells at once that a pane does not show what is set.
    fn badge(&self, ui: &Ui, rect: Rect, pane: &Pane) {
        let state = self.context.state;
        let currency = state.pane_currency(pane.kind, state.shown_slot(pane.slot));
        if currency.is_behind() {
            let corner = rect.right_top() + vec2(-BADGE_MARGIN, BADGE_MARGIN);
            badge(ui, corner, &currency);
        }
    }

    /// What a pane is called: what it shows, and which one; that it is a picture is seen.
    fn title_of(&self, pane: &Pane, with_kind: bool) -> String {
        let state = self.context.state;
        let slot = state.shown_slot(pane.slot);
        let shown = Pane { slot, ..pane.clone() };
        let subject = VIEWS.of(pane.kind).subject(state, slot);
        match subject {
            Some(subject) if pane.kind == PaneKind::Picture && !with_kind => format!("{}  {subject}", slot.name()),
            Some(subject) => format!("{}  {subject}", shown.title()),
            None => shown.title(),
        }
    }

    /// Marks the pane worked in.
    fn outline(&self, ui: &Ui, tile: TileId, rect: Rect) {
        if self.context.state.focused == Some(tile) {
            let stroke = Stroke::new(1.0, theme::tokens(ui).accent);
            ui.painter().rect_stroke(rect, 0.0, stroke, StrokeKind::Inside);
        }
    }

    /// The colours and what they stand for, or how PCA colours came about.
    fn footer_ui(&mut self, ui: &mut Ui, kind: PaneKind, slot: ImageSlot) {
        let (state, textures) = (self.context.state, self.context.textures);
        if let Some(words) = not_finite_text(state, slot) {
            footer_words_ui(ui, &words, theme::tokens(ui).error);
            return;
        }
        let view = VIEWS.of(kind);
        if let Some((_, style)) = view.layers(slot, state, textures).scores {
            colour_bar_ui(ui, &style);
            return;
        }
        let words = view.footer(state, slot, ui.available_width());
        if words.is_empty() {
            return;
        }
        footer_words_ui(ui, &words, ui.visuals().weak_text_color());
    }
}

/// The words of a footer, as much of them as there is room for.
fn footer_words_ui(ui: &mut Ui, words: &str, colour: Color32) {
    let layout = UiLayout::left_to_right(Align::Center);
    ui.with_layout(layout, |ui| {
        let label = Label::new(RichText::new(words).size(theme::FONT_SMALL).color(colour));
        let label = if ui.available_width() < LEAST_WITH_TWO_LINES {
            label.truncate()
        } else {
            label.wrap()
        };
        ui.add(label).on_hover_text(words);
    });
}

/// The mark in the place of a map that is not finite: an empty pane could as well be waiting.
fn not_finite_ui(ui: &mut Ui, canvas: Rect, state: &State, slot: ImageSlot) {
    let Some(words) = not_finite_text(state, slot) else {
        return;
    };
    let builder = UiBuilder::new().max_rect(canvas.shrink(8.0)).id_salt("not finite");
    ui.scope_builder(builder, |ui| {
        ui.vertical_centered(|ui| {
            ui.add_space((ui.available_height() / 2.0 - 30.0).max(0.0));
            ui.colored_label(theme::tokens(ui).error, words);
            ui.weak("Nothing can be shown of it. The log says the first such layer and the likely cause.");
        });
    });
}

/// What to do first.
fn no_picture_ui(ui: &mut Ui, canvas: Rect, slot: ImageSlot, kind: PaneKind, commands: &mut Vec<Command>) {
    let builder = UiBuilder::new().max_rect(canvas.shrink(8.0)).id_salt("no picture");
    ui.scope_builder(builder, |ui| {
        ui.vertical_centered(|ui| {
            ui.add_space((ui.available_height() / 2.0 - 30.0).max(0.0));
            let hint = match kind {
                PaneKind::Picture => format!("Drop a picture here, or open one as {}", slot.name()),
                _ => format!("No picture {}", slot.name()),
            };
            ui.add(Label::new(RichText::new(hint).weak()).wrap());
            let open = Button::new(format!("Open picture {}…", slot.name()));
            if kind == PaneKind::Picture && ui.add(open).clicked() {
                commands.push(Command::AskPath(crate::app::state::path_box::PathPurpose::Picture(
                    slot,
                )));
            }
        });
    });
}

/// Why a picture was not opened, over the one that stays.
fn picture_error_ui(ui: &mut Ui, canvas: Rect, state: &State, slot: ImageSlot, commands: &mut Vec<Command>) {
    if let Some(error) = &state.slot(slot).error {
        let builder = UiBuilder::new().max_rect(canvas.shrink(4.0)).id_salt("error");
        ui.scope_builder(builder, |ui| {
            egui::Frame::popup(ui.style()).show(ui, |ui| error_ui(ui, error, Notice::Picture(slot), commands));
        });
    }
}

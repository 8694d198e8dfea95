//! The pane that compares two sides: side by side, a wipe between their colours, or where they differ.

use std::path::Path;

use egui::{
    Align2, Color32, CursorIcon, FontId, Id, Label, Painter, Pos2, Rect, RichText, Sense, Stroke, StrokeKind, Ui,
    UiBuilder, Vec2, WidgetInfo, accesskit::Role, pos2, vec2,
};
use egui_tiles::TileId;

use super::{
    compare_settings::{NAMES, settings_ui},
    controls::{inside_ui, outdated_ui, provenance_ui},
};
use crate::{
    app::{
        document::{
            compare::{CompareChoice, CompareMode},
            pane::Pane,
        },
        export::{compare::compared_content, content::Content, styles::difference_style},
        gpu::{scores::paint_scores, textures::Textures},
        state::{
            compare::Absent,
            compare_questions::{compare_query, found, is_stale, side_text},
            overlays::TemporaryView,
            root::State,
        },
        theme,
        update::{
            command::Command,
            questions::Questions,
            view::{PaneView, ViewContext},
        },
        widgets::{cell_numbers, colour_bar_ui},
    },
    engine::CompareView,
    error::Result,
};

const WHOLE: Rect = Rect {
    min: pos2(0.0, 0.0),
    max: pos2(1.0, 1.0),
};
/// Height of the heading over a picture, in points.
const HEADING: f32 = 22.0;
/// Height of the colours below the differences, in points.
const BAR: f32 = 34.0;
/// Height of the line that says how the colours came about, in points.
const FOOTER: f32 = 20.0;
/// The least height of a picture, in points.
const LEAST_PICTURE: f32 = 40.0;
/// Radius of the grip of the divider, in points.
const GRIP: f32 = 6.0;
/// How strongly what is not up to date is dimmed.
const STALE: f32 = 0.45;
/// Distance of the sides' names from the corners, in points.
const NAME_MARGIN: f32 = 6.0;

/// Two of layers, timesteps, seeds, models or pictures as A and B.
pub struct ComparePane;

impl PaneView for ComparePane {
    fn wants(&self, state: &State, questions: &mut Questions) {
        if let Some(query) = compare_query(state) {
            questions.want(query);
        }
    }

    fn ui(&self, ui: &mut Ui, tile: TileId, _pane: &Pane, context: &mut ViewContext<'_>) {
        inside_ui(ui, |ui| compare_ui(ui, tile, context));
    }

    fn inspector(&self, ui: &mut Ui, _pane: &Pane, state: &State, _textures: &Textures, commands: &mut Vec<Command>) {
        settings_ui(ui, state, commands);
    }

    fn content(&self, state: &State, path: &Path) -> Result<Content> {
        compared_content(state, path)
    }
}

/// The whole pane.
fn compare_ui(ui: &mut Ui, tile: TileId, context: &mut ViewContext<'_>) {
    let state = context.state;
    let mut choice = state.document.compare.clone();
    for index in 0..NAMES.len() {
        absent_ui(ui, state, index, &choice, context.commands);
    }
    match &state.compare.view {
        Some(view)
            if view
                .query
                .sides
                .iter()
                .all(|(pass, _)| state.passes.get(*pass).is_some()) =>
        {
            shown_ui(ui, tile, view, &mut choice, context);
        }
        _ => {
            let waits = choice.sides.iter().all(|side| found(state, side).is_ok());
            ui.weak(if waits {
                "comparing …"
            } else {
                "Choose two sides whose maps are kept."
            });
        }
    }
    if choice != state.document.compare {
        context.commands.push(Command::Compare(choice));
    }
}

/// Why a side cannot be shown, and what makes it.
fn absent_ui(ui: &mut Ui, state: &State, index: usize, choice: &CompareChoice, commands: &mut Vec<Command>) {
    let (name, side) = (NAMES[index], &choice.sides[index]);
    match found(state, side) {
        Ok(_) => {}
        Err(Absent::Words(words)) => {
            ui.colored_label(theme::tokens(ui).warning, format!("{name}: {words}"));
        }
        Err(Absent::CanRun(_)) => {
            ui.horizontal_wrapped(|ui| {
                ui.colored_label(theme::tokens(ui).warning, format!("{name}: its maps are not kept."));
                if ui
                    .button("Run it")
                    .on_hover_text("Runs this pass again and keeps its maps")
                    .clicked()
                {
                    commands.push(Command::RunSide(index));
                }
            });
        }
    }
}

/// The pictures and what they say.
fn shown_ui(ui: &mut Ui, tile: TileId, view: &CompareView, choice: &mut CompareChoice, context: &mut ViewContext<'_>) {
    let state = context.state;
    let whole = ui.available_rect_before_wrap();
    let footer = whole.with_min_y((whole.bottom() - FOOTER).max(whole.top()));
    let room = whole.with_max_y(footer.top() - theme::SPACE_S);
    let shape = aspect(state, view);
    match choice.mode {
        CompareMode::Side => side_by_side_ui(ui, tile, view, shape, room, context),
        CompareMode::Wipe | CompareMode::Difference => {
            let label = match choice.mode {
                CompareMode::Difference => "Difference of A and B",
                CompareMode::Wipe | CompareMode::Side => "Comparison of A and B",
            };
            let bar = match choice.mode {
                CompareMode::Difference => BAR,
                CompareMode::Wipe | CompareMode::Side => 0.0,
            };
            let heading = room.with_max_y(room.top() + HEADING);
            let canvas = room.with_min_y(heading.bottom()).with_max_y(room.bottom() - bar);
            let words: Vec<String> = (0..NAMES.len()).map(|index| heading_of(state, index, choice)).collect();
            heading_ui(ui, heading, &words.join("   "), is_stale(state));
            let rect = fitted(canvas, shape);
            let response = ui.interact(canvas, ui.scope_id().with(("compared", tile)), Sense::click_and_drag());
            response.widget_info(|| WidgetInfo::labeled(Role::Image, true, label));
            let painter = ui.painter().with_clip_rect(canvas.intersect(ui.clip_rect()));
            painter.rect_filled(canvas, 0.0, theme::tokens(ui).canvas);
            let hovered = response.hover_pos().and_then(|pos| cell_at(view, rect, pos));
            if choice.mode == CompareMode::Difference {
                difference_ui(ui, &painter, tile, view, rect, context);
                bar_ui(
                    ui,
                    Rect::from_min_max(pos2(rect.left(), canvas.bottom()), pos2(rect.right(), room.bottom())),
                    view,
                );
            } else {
                wipe_ui(ui, &painter, rect, choice.divider, context);
                let at = response.interact_pointer_pos();
                if let (Some(pos), true) = (at, response.dragged() || response.clicked()) {
                    let share = (pos.x - rect.left()) / rect.width().max(1.0);
                    choice.divider = share.clamp(0.0, 1.0);
                }
            }
            let response = match choice.mode {
                CompareMode::Wipe => response.on_hover_cursor(CursorIcon::ResizeHorizontal),
                CompareMode::Difference | CompareMode::Side => response,
            };
            if let Some(words) = hovered.and_then(|cell| words_of(view, cell)) {
                response.on_hover_text_at_pointer(words);
            }
        }
    }
    let words = provenance(state, view, choice);
    ui.scope_builder(UiBuilder::new().max_rect(footer).id_salt("about"), |ui| {
        provenance_ui(ui, &words)
    });
    ui.advance_cursor_after_rect(whole);
}

/// What a side is, with its name.
fn heading_of(state: &State, index: usize, choice: &CompareChoice) -> String {
    format!("{}: {}", NAMES[index], side_text(state, &choice.sides[index]))
}

/// A line over a picture.
fn heading_ui(ui: &mut Ui, rect: Rect, words: &str, stale: bool) {
    let builder = UiBuilder::new().max_rect(rect).id_salt(("heading", words));
    ui.scope_builder(builder, |ui| {
        ui.horizontal(|ui| {
            if stale {
                outdated_ui(ui, "");
            }
            let label = Label::new(RichText::new(words).color(theme::tokens(ui).text_strong)).truncate();
            ui.add(label).on_hover_text(words);
        });
    });
}

/// The colours of the differences.
fn bar_ui(ui: &mut Ui, rect: Rect, view: &CompareView) {
    ui.scope_builder(UiBuilder::new().max_rect(rect).id_salt("bar"), |ui| {
        ui.add_space(theme::SPACE_S);
        colour_bar_ui(ui, &difference_style(view));
    });
}

/// A, B and how much they differ, each with its heading, beside each other or below each other: whichever shows them
/// larger.
fn side_by_side_ui(
    ui: &mut Ui,
    tile: TileId,
    view: &CompareView,
    shape: f32,
    room: Rect,
    context: &mut ViewContext<'_>,
) {
    let state = context.state;
    let choice = &state.document.compare;
    let parts = NAMES.len() + 1;
    let gaps = (parts - 1) as f32 * theme::SPACE_M;
    let beside = vec2((room.width() - gaps) / parts as f32, room.height() - HEADING - BAR);
    let below = vec2(room.width(), (room.height() - gaps - BAR) / parts as f32 - HEADING);
    let width_in = |size: Vec2| size.x.min(size.y * shape);
    let is_beside = width_in(beside) >= width_in(below);
    let size = if is_beside { beside } else { below };
    let size = vec2(size.x.max(LEAST_PICTURE), size.y.max(LEAST_PICTURE));
    let step = match is_beside {
        true => vec2(size.x + theme::SPACE_M, 0.0),
        false => vec2(0.0, size.y + HEADING + theme::SPACE_M),
    };
    let stale = is_stale(state);
    let tint = tint_of(state);
    let canvases: Vec<Rect> = (0..parts)
        .map(|place| {
            let corner = room.min + place as f32 * step + vec2(0.0, HEADING);
            Rect::from_min_size(corner, size)
        })
        .collect();
    let mut pointed = None;
    for (place, canvas) in canvases.iter().enumerate() {
        let heading = Rect::from_min_max(canvas.min - vec2(0.0, HEADING), canvas.right_top());
        let measure = view.difference.measure.name();
        let words = match place < NAMES.len() {
            true => heading_of(state, place, choice),
            false => format!("{measure}, mean {:.3}", view.difference.mean),
        };
        heading_ui(ui, heading, &words, stale);
        let label = match NAMES.get(place) {
            Some(name) => format!("Side {name}"),
            None => "Difference of A and B".to_owned(),
        };
        let response = ui.interact(*canvas, ui.scope_id().with(("side", tile, place)), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
        let painter = ui.painter().with_clip_rect(canvas.intersect(ui.clip_rect()));
        painter.rect_filled(*canvas, 0.0, theme::tokens(ui).canvas);
        let rect = fitted(*canvas, shape);
        if place < NAMES.len() {
            // All of B, as long as the key is down.
            let shown = if state.hold == Some(TemporaryView::Side) {
                NAMES.len() - 1
            } else {
                place
            };
            context.textures.compared.sides[shown].paint(&painter, rect, WHOLE, tint);
        } else {
            difference_ui(ui, &painter, tile, view, rect, context);
            let bar = Rect::from_min_max(canvas.left_bottom(), canvas.right_bottom() + vec2(0.0, BAR));
            bar_ui(ui, bar, view);
        }
        if let Some(cell) = response.hover_pos().and_then(|pos| cell_at(view, rect, pos)) {
            pointed = Some(cell);
            if let Some(words) = words_of(view, cell) {
                response.on_hover_text_at_pointer(words);
            }
        }
    }
    let Some([row, column]) = pointed else { return };
    let grid = view.difference.grid;
    let stroke = Stroke::new(theme::STROKE_MARK, theme::tokens(ui).text_strong);
    for canvas in canvases {
        let rect = fitted(canvas, shape);
        let cell = rect.size() / vec2(grid.width as f32, grid.height as f32);
        let corner = rect.min + cell * vec2(column as f32, row as f32);
        let outline = Rect::from_min_size(corner, cell);
        ui.painter().rect_stroke(outline, 0.0, stroke, StrokeKind::Outside);
    }
}

/// What is not up to date is dimmed.
fn tint_of(state: &State) -> Color32 {
    match is_stale(state) {
        true => Color32::WHITE.gamma_multiply(STALE),
        false => Color32::WHITE,
    }
}

/// How much A and B differ at each position.
fn difference_ui(ui: &Ui, painter: &Painter, tile: TileId, view: &CompareView, rect: Rect, context: &ViewContext<'_>) {
    let Some(scores) = &context.textures.compared.difference else {
        return;
    };
    let mut style = difference_style(view);
    if is_stale(context.state) {
        style.opacity = STALE;
    }
    let id = Id::unique(("difference", tile));
    paint_scores(painter, id, rect, WHOLE, scores, &style, &context.textures.painter);
    if context.state.document.display.numbers {
        cell_numbers(
            &ui.painter().with_clip_rect(painter.clip_rect()),
            rect,
            WHOLE,
            scores,
            &style,
        );
    }
}

/// The colours of A left of the divider, those of B right of it.
fn wipe_ui(ui: &Ui, painter: &Painter, rect: Rect, divider: f32, context: &ViewContext<'_>) {
    let (state, tokens) = (context.state, theme::tokens(ui));
    let held = state.hold == Some(TemporaryView::Side);
    // All of B, as long as the key is down.
    let divider = if held {
        rect.left()
    } else {
        egui::lerp(rect.x_range(), divider)
    };
    let (tint, sides) = (tint_of(state), &context.textures.compared.sides);
    sides[0].paint(painter, rect, WHOLE, tint);
    let right = Rect::from_min_max(pos2(divider, rect.top()), rect.max);
    let clipped = painter.with_clip_rect(right.intersect(painter.clip_rect()));
    clipped.rect_filled(right, 0.0, tokens.canvas);
    sides[1].paint(&clipped, rect, WHOLE, tint);
    if !held {
        let line = Stroke::new(theme::STROKE_MARK, tokens.text_strong);
        let halo = Stroke::new(2.0 * theme::STROKE_MARK + 1.0, tokens.halo);
        for stroke in [halo, line] {
            painter.vline(divider, rect.y_range(), stroke);
        }
        painter.circle_filled(pos2(divider, rect.center().y), GRIP, tokens.text_strong);
        corner(ui, painter, rect.left_top(), Align2::LEFT_TOP, NAMES[0]);
    }
    corner(ui, painter, rect.right_top(), Align2::RIGHT_TOP, NAMES[1]);
}

/// How the colours came about, and how the differences did.
fn provenance(state: &State, view: &CompareView, choice: &CompareChoice) -> String {
    let what = match choice.mode {
        CompareMode::Wipe => view.agreement.words().to_owned(),
        CompareMode::Difference => view.difference.measure.words().to_owned(),
        CompareMode::Side => format!("{}; {}", view.agreement.words(), view.difference.measure.words()),
    };
    let mean = format!("mean {} {:.3}", view.difference.measure.name(), view.difference.mean);
    let stale = if is_stale(state) { "; outdated" } else { "" };
    let grids = match view.sides[0].grid == view.sides[1].grid {
        true => String::new(),
        false => format!(
            "; grids of {} x {} and {} x {} cells, compared on {} x {} with the nearest cells",
            view.sides[0].grid.height,
            view.sides[0].grid.width,
            view.sides[1].grid.height,
            view.sides[1].grid.width,
            view.difference.grid.height,
            view.difference.grid.width
        ),
    };
    let sides: Vec<String> = (0..NAMES.len()).map(|index| heading_of(state, index, choice)).collect();
    format!("{what}; {mean}{grids}{stale}; {}", sides.join("; "))
}

/// Width over height of the part of A's picture that the model sees.
fn aspect(state: &State, view: &CompareView) -> f32 {
    let seen = state
        .passes
        .get(view.query.sides[0].0)
        .map(|kept| kept.framing.visible());
    seen.map_or(1.0, |[left, top, right, bottom]| {
        ((right - left) / (bottom - top)) as f32
    })
}

/// The largest place of a shape in the middle of another.
fn fitted(canvas: Rect, aspect: f32) -> Rect {
    let width = canvas.width().min(canvas.height() * aspect);
    Rect::from_center_size(canvas.center(), vec2(width, width / aspect))
}

fn corner(ui: &Ui, painter: &Painter, at: Pos2, align: Align2, name: &str) {
    let tokens = theme::tokens(ui);
    let galley = painter.layout_no_wrap(
        name.to_owned(),
        FontId::proportional(theme::FONT_HEADING),
        tokens.text_strong,
    );
    let inside = align.to_sign() * -NAME_MARGIN;
    let rect = align.anchor_size(at + inside, galley.size()).expand(theme::SPACE_XS);
    painter.rect_filled(rect, theme::RADIUS_SMALL, tokens.halo.gamma_multiply(0.8));
    painter.galley(rect.shrink(theme::SPACE_XS).min, galley, tokens.text_strong);
}

/// The cell (row, column) of the differences under the pointer.
fn cell_at(view: &CompareView, rect: Rect, pos: Pos2) -> Option<[usize; 2]> {
    if !rect.contains(pos) {
        return None;
    }
    let share = (pos - rect.min) / rect.size();
    let grid = view.difference.grid;
    let cell = |share: f32, count: usize| ((share * count as f32) as usize).min(count.saturating_sub(1));
    Some([cell(share.y, grid.height), cell(share.x, grid.width)])
}

/// How much A and B differ in a cell.
fn words_of(view: &CompareView, [row, column]: [usize; 2]) -> Option<String> {
    let value = view.difference.values.get(view.difference.grid.index(row, column))?;
    let name = view.difference.measure.name();
    Some(format!("cell x {column} y {row}  {name} {value:.4}"))
}

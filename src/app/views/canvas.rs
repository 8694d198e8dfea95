//! One canvas: a picture at a place and zoom, what is drawn over it, and what pointer and wheel do to it.

use egui::{
    Color32, FontId, Painter, Pos2, Rect, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, accesskit::Role, pos2, vec2,
};
use egui_tiles::TileId;

use super::{VIEWS, canvas_input::interact, placed::Placed};
use crate::{
    app::{
        document::{pane::Pane, places::representative, root::Pin},
        gpu::scores::paint_scores,
        state::{canvas_rects::Painted, root::State, slots::PointAt},
        theme,
        update::{
            command::Command,
            view::{Layers, ViewContext},
        },
        widgets::{Loupe, LoupeScores, cell_grid, cell_numbers, cell_outline},
    },
    engine::{ImageSlot, QueryAt, TargetHeat},
};

const WHOLE: Rect = Rect {
    min: pos2(0.0, 0.0),
    max: pos2(1.0, 1.0),
};

/// Half the size of a pin's cross, the radius of a match's ring, and the width of their lines, in points.
const CROSS: f32 = 8.0;
const MATCH_RADIUS: f32 = 7.0;
const LINE: f32 = 2.0;
/// Size of a pin's number, in points.
const NUMBER_SIZE: f32 = 11.0;
/// Side of the loupe, in points, and how much larger than the pane it shows things.
const LOUPE_SIDE: f32 = 140.0;
const LOUPE_MAGNIFICATION: f32 = 5.0;

/// One canvas; gives the point of its picture under the pointer.
pub fn canvas_ui(
    ui: &mut Ui,
    canvas: Rect,
    tile: TileId,
    pane: &Pane,
    context: &mut ViewContext<'_>,
) -> Option<PointAt> {
    let state = context.state;
    let slot = state.shown_slot(pane.slot);
    let response = ui.interact(canvas, ui.scope_id().with("canvas"), Sense::click_and_drag());
    let label = pane.title();
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
    let picture = state.slot(slot).picture.as_ref();
    let size = picture.map(|picture| picture.size);
    context.canvases.set(
        tile,
        Painted {
            rect: canvas,
            slot,
            size,
        },
    );
    let tokens = theme::tokens(ui);
    ui.painter().rect_filled(canvas, 0.0, tokens.canvas);
    if response.clicked() || response.drag_started() || response.secondary_clicked() {
        context.commands.push(Command::FocusPane(tile));
    }
    let size = size?;
    let view = if state.document.linked {
        state.document.view
    } else {
        pane.view
    };
    // There may be no room for it.
    let place = Placed::new(canvas, size, view)?;
    let painter = ui.painter().with_clip_rect(canvas.intersect(ui.clip_rect()));
    let layers = VIEWS.of(pane.kind).layers(slot, state, context.textures);
    paint_content(&painter, tile, &layers, slot, &place, context);
    paint_marks(&painter, slot, &place, state);
    let hover = response.hover_pos().filter(|pos| place.rect.contains(*pos));
    let point = hover.map(|pos| PointAt {
        slot,
        at: place.pixel_at(pos),
    });
    if let (Some(pos), true) = (hover, state.document.display.loupe) {
        paint_loupe(&painter, pos, &layers, slot, &place, context);
    }
    interact(ui, &response, tile, slot, &place, view, context);
    point
}

fn paint_content(
    painter: &Painter,
    tile: TileId,
    layers: &Layers<'_>,
    slot: ImageSlot,
    place: &Placed,
    context: &ViewContext<'_>,
) {
    let (state, textures) = (context.state, context.textures);
    let framing = state.slot(slot).capture.as_ref().map(|capture| capture.framing);
    let tokens = theme::tokens_in(painter.ctx());
    if layers.picture {
        let picture = &textures.slot(slot).picture;
        picture.paint(painter, place.rect, WHOLE, Color32::WHITE);
    }
    let Some(framing) = framing else { return };
    let seen = place.seen(&framing);
    if let Some((colours, tint)) = layers.colours {
        colours.paint(painter, seen, WHOLE, tint);
    }
    if let Some((scores, style)) = &layers.scores {
        let pane = egui::Id::unique(("scores", tile));
        paint_scores(painter, pane, seen, WHOLE, scores, style, &textures.painter);
    }
    if framing.scaled != framing.working {
        // What lies outside was cut off.
        let stroke = Stroke::new(1.0, tokens.text_weak);
        painter.rect_stroke(seen, 0.0, stroke, StrokeKind::Outside);
    }
    if let (true, Some(grid)) = (state.document.display.grid, state.shown_grid(slot)) {
        cell_grid(
            painter,
            seen,
            WHOLE,
            grid,
            Stroke::new(theme::STROKE_HAIR, tokens.grid_line),
        );
    }
    if let (Some((scores, style)), true) = (&layers.scores, state.document.display.numbers) {
        cell_numbers(painter, seen, WHOLE, scores, style);
    }
}

/// Pins, the query's cell, the best matches.
fn paint_marks(painter: &Painter, slot: ImageSlot, place: &Placed, state: &State) {
    let tokens = theme::tokens_in(painter.ctx());
    let framing = state.slot(slot).capture.as_ref().map(|capture| capture.framing);
    if let (Some((source, at)), Some(framing), Some(grid)) = (state.query_at(), framing, state.shown_grid(slot))
        && source == slot
    {
        let cell = representative(&at).and_then(|at| state.cell_at(PointAt { slot, at }));
        if let Some(cell) = cell {
            let stroke = Stroke::new(theme::STROKE_HAIR, tokens.query);
            cell_outline(painter, place.seen(&framing), WHOLE, grid, cell, stroke);
        }
    }
    if let Some(heat) = state.heat_on(slot).filter(|_| !state.heat_is_stale()) {
        let colour = match state.document.active_pin() {
            Some(pin) => tokens.pin(pin.number),
            None => tokens.query,
        };
        paint_best(painter, place, heat, colour, tokens.halo);
    }
    for pin in state.document.pins.iter().filter(|pin| pin.slot == slot) {
        let selected = state.document.selected_pin == Some(pin.number);
        paint_pin(painter, place, pin, selected);
    }
    paint_other_matches(painter, slot, place, state);
    let follows = state.document.active_pin().is_none();
    if let Some(point) = state.hover.filter(|point| follows && point.slot == slot) {
        cross(painter, place.on_screen(point.at), tokens.query, tokens.halo);
    }
}

fn paint_pin(painter: &Painter, place: &Placed, pin: &Pin, selected: bool) {
    let tokens = theme::tokens_in(painter.ctx());
    let colour = tokens.pin(pin.number);
    let at = match &pin.at {
        QueryAt::Word(_) => return,
        QueryAt::Point(at) => place.on_screen(*at),
        QueryAt::Region { path, radius } => {
            let width = 2.0 * *radius as f32 * place.points_per_pixel();
            let points: Vec<Pos2> = path.iter().map(|at| place.on_screen(*at)).collect();
            let Some(first) = points.first().copied() else { return };
            let tint = colour.gamma_multiply(0.35);
            if points.len() > 1 {
                painter.add(Shape::line(points, Stroke::new(width, tint)));
            } else {
                painter.circle_filled(first, width / 2.0, tint);
            }
            first
        }
    };
    cross(painter, at, colour, tokens.halo);
    if selected {
        painter.circle_stroke(at, CROSS + LINE, Stroke::new(2.0 * LINE, tokens.halo));
        painter.circle_stroke(at, CROSS + LINE, Stroke::new(LINE, colour));
    }
    label(painter, at, &pin.number.to_string(), colour);
}

/// A cross over a dark edge.
fn cross(painter: &Painter, at: Pos2, colour: Color32, halo: Color32) {
    for (width, colour) in [(2.0 * LINE + 1.0, halo), (LINE, colour)] {
        let stroke = Stroke::new(width, colour);
        painter
            .extend([vec2(CROSS, 0.0), vec2(0.0, CROSS)].map(|arm| Shape::line_segment([at - arm, at + arm], stroke)));
    }
}

fn label(painter: &Painter, at: Pos2, text: &str, colour: Color32) {
    let tokens = theme::tokens_in(painter.ctx());
    let corner = at + vec2(CROSS, -CROSS);
    let font = FontId::proportional(NUMBER_SIZE);
    let galley = painter.layout_no_wrap(text.to_owned(), font, colour);
    let rect = Rect::from_min_size(corner - vec2(0.0, galley.size().y), galley.size()).expand(2.0);
    painter.rect_filled(rect, 3.0, tokens.halo.gamma_multiply(0.8));
    painter.galley(rect.shrink(2.0).min, galley, colour);
}

/// The best match as a ring, the next ones smaller.
fn paint_best(painter: &Painter, place: &Placed, heat: &TargetHeat, colour: Color32, halo: Color32) {
    for (rank, found) in heat.best.iter().enumerate().rev() {
        let radius = if rank == 0 { MATCH_RADIUS } else { MATCH_RADIUS / 3.0 };
        ring(painter, place.on_screen(found.at), radius, colour, halo);
    }
}

fn ring(painter: &Painter, at: Pos2, radius: f32, colour: Color32, halo: Color32) {
    painter.circle_stroke(at, radius, Stroke::new(2.0 * LINE + 1.0, halo));
    painter.circle_stroke(at, radius, Stroke::new(LINE, colour));
}

/// The best matches of the pins whose heat map is not shown; a mutual one has a second ring.
fn paint_other_matches(painter: &Painter, slot: ImageSlot, place: &Placed, state: &State) {
    let tokens = theme::tokens_in(painter.ctx());
    let Some(matches) = &state.matches else { return };
    for pin in &matches.pins {
        let source = state.document.pin(pin.pin).map(|pin| pin.slot);
        if source == Some(slot) {
            continue;
        }
        let targets = pin.targets.iter().filter(|target| target.slot == slot);
        for best in targets.filter_map(|target| target.best.first()) {
            let at = place.on_screen(best.found.at);
            let colour = tokens.pin(pin.pin);
            ring(painter, at, MATCH_RADIUS, colour, tokens.halo);
            if best.mutual {
                ring(painter, at, MATCH_RADIUS / 2.0, colour, tokens.halo);
            }
            label(painter, at, &pin.pin.to_string(), colour);
        }
    }
}

fn paint_loupe(
    painter: &Painter,
    pos: Pos2,
    layers: &Layers<'_>,
    slot: ImageSlot,
    place: &Placed,
    context: &ViewContext<'_>,
) {
    let (state, textures) = (context.state, context.textures);
    let framing = state.slot(slot).capture.as_ref().map(|capture| capture.framing);
    let has_picture = layers.picture || layers.picture_in_loupe;
    let picture = has_picture.then_some((&textures.slot(slot).picture, place.rect, WHOLE));
    let colours = layers.colours.zip(framing);
    let colours = colours.map(|((colours, _), framing)| (colours, place.seen(&framing), WHOLE));
    let Some(loupe) = Loupe::near(pos, painter.clip_rect(), LOUPE_SIDE, LOUPE_MAGNIFICATION) else {
        return;
    };
    let scores = layers.scores.as_ref().zip(framing);
    let scores = scores.map(|((map, style), framing)| (*map, style, place.seen(&framing)));
    let scores = scores.map(|(map, style, seen)| {
        let drawn = LoupeScores {
            id: egui::Id::unique("loupe"),
            map,
            style,
            backend: &textures.painter,
        };
        (drawn, seen)
    });
    let tokens = theme::tokens_in(painter.ctx());
    let border = Stroke::new(theme::STROKE_MARK, tokens.text_strong);
    let scores = scores.as_ref().map(|(drawn, seen)| (drawn, *seen, WHOLE));
    loupe.paint(painter, tokens.canvas, border, colours.or(picture), scores);
}

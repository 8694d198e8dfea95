//! Marks over a picture: pins, the points of pairs, the query's cell, the best matches.

use egui::{Color32, FontId, Painter, Pos2, Rect, Shape, Stroke, vec2};

use crate::{
    app::{
        document::{
            places::representative,
            root::{Mark, Pin},
        },
        state::{
            placed::{Placed, WHOLE},
            root::State,
            slots::PointAt,
        },
        theme,
        widgets::{cell_outline, readable_on},
    },
    engine::{ImageSlot, QueryAt, TargetHeat},
};

/// Half the size of a pin's cross, the radii of the rings of a best match and of a mutual one, and of the dots of further
/// ones, and the width of lines, in points.
const CROSS: f32 = 8.0;
const MATCH_RADIUS: f32 = 7.0;
const MUTUAL_RADIUS: f32 = 3.5;
const DOT_RADIUS: f32 = 2.5;
const LINE: f32 = 2.0;
/// Size of a mark's number, what is left around it, and how round its corners are, in points.
const NUMBER_SIZE: f32 = 13.0;
const NUMBER_MARGIN: f32 = 3.0;
const NUMBER_ROUND: f32 = 3.0;
/// How opaque the region of a pin is.
const REGION_OPACITY: f32 = 0.35;
/// Arcs of the ring that proposes the second point of a pair, and how much of each is drawn.
const ARCS: usize = 8;
const ARC_SHARE: f32 = 0.6;
/// Straight lines of an arc.
const ARC_STEPS: usize = 4;

/// Pins, the query's cell, the best matches.
pub fn paint_marks(painter: &Painter, slot: ImageSlot, place: &Placed, state: &State) {
    let tokens = theme::tokens_in(painter.ctx());
    let document = &state.document;
    paint_query_cell(painter, slot, place, state);
    let begun = state.pairing.first.as_ref();
    let active = document.active_mark().filter(|_| begun.is_none());
    if let Some(heat) = state.heat_on(slot).filter(|_| !state.heat_is_stale()) {
        let colour = match (begun, active) {
            (Some(_), _) => tokens.pin(document.next_pin_number()),
            (None, Some((mark, ..))) => tokens.pin(mark.number),
            (None, None) => tokens.query,
        };
        if begun.is_none() {
            paint_best(painter, place, heat, colour, tokens.halo);
        }
        if document.display.further {
            paint_further(painter, place, heat, colour, tokens.halo);
        }
    }
    let of_slot = document.pins.iter().flat_map(Pin::marks);
    for (mark, _, at) in of_slot.filter(|(_, other, _)| *other == slot) {
        let selected = active.is_some_and(|(active, ..)| active == mark);
        paint_mark(painter, place, mark, at, selected);
    }
    paint_other_matches(painter, slot, place, state);
    paint_begun(painter, slot, place, state);
    let follows = active.is_none() && begun.is_none();
    if let Some(point) = state.hover.filter(|point| follows && point.slot == slot) {
        cross(painter, place.on_screen(point.at), tokens.query, tokens.halo);
    }
}

fn paint_query_cell(painter: &Painter, slot: ImageSlot, place: &Placed, state: &State) {
    let framing = state.slot(slot).capture.as_ref().map(|capture| capture.framing);
    if let (Some((source, at)), Some(framing), Some(grid)) = (state.query_at(), framing, state.shown_grid(slot))
        && source == slot
    {
        let cell = representative(&at).and_then(|at| state.cell_at(PointAt { slot, at }));
        if let Some(cell) = cell {
            let stroke = Stroke::new(theme::STROKE_HAIR, theme::tokens_in(painter.ctx()).query);
            cell_outline(painter, place.seen(&framing), WHOLE, grid, cell, stroke);
        }
    }
}

fn paint_mark(painter: &Painter, place: &Placed, mark: Mark, at: &QueryAt, selected: bool) {
    let tokens = theme::tokens_in(painter.ctx());
    let colour = tokens.pin(mark.number);
    let at = match at {
        QueryAt::Word(_) => return,
        QueryAt::Point(at) => place.on_screen(*at),
        QueryAt::Region { path, radius } => {
            let width = 2.0 * *radius as f32 * place.points_per_pixel();
            let points: Vec<Pos2> = path.iter().map(|at| place.on_screen(*at)).collect();
            let Some(first) = points.first().copied() else { return };
            let tint = colour.gamma_multiply(REGION_OPACITY);
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
    label(painter, at, &mark.number.to_string(), colour);
}

/// The pair that is being made: its first point, and where the second may be.
fn paint_begun(painter: &Painter, slot: ImageSlot, place: &Placed, state: &State) {
    let tokens = theme::tokens_in(painter.ctx());
    let Some(first) = &state.pairing.first else { return };
    let number = state.document.next_pin_number();
    let colour = tokens.pin(number);
    if first.slot == slot {
        if let Some(at) = representative(&first.at) {
            let at = place.on_screen(at);
            cross(painter, at, colour, tokens.halo);
            arcs(painter, at, CROSS + LINE, colour, tokens.halo);
            label(painter, at, &number.to_string(), colour);
        }
    } else if let Some(at) = state.proposal_in(slot) {
        let at = place.on_screen(at);
        arcs(painter, at, MATCH_RADIUS, colour, tokens.halo);
        if state.second_slot() == Some(slot) {
            label(painter, at, "Enter", colour);
        }
    }
}

/// A cross over a dark edge.
fn cross(painter: &Painter, at: Pos2, colour: Color32, halo: Color32) {
    for (width, colour) in [(2.0 * LINE + 1.0, halo), (LINE, colour)] {
        let stroke = Stroke::new(width, colour);
        painter
            .extend([vec2(CROSS, 0.0), vec2(0.0, CROSS)].map(|arm| Shape::line_segment([at - arm, at + arm], stroke)));
    }
}

/// A number on its own colour, within a dark edge: it can be read over any picture.
fn label(painter: &Painter, at: Pos2, text: &str, colour: Color32) {
    let tokens = theme::tokens_in(painter.ctx());
    let corner = at + vec2(CROSS, -CROSS);
    let font = FontId::proportional(NUMBER_SIZE);
    let galley = painter.layout_no_wrap(text.to_owned(), font, readable_on(colour));
    let size = galley.size() + vec2(2.0 * NUMBER_MARGIN, 0.0);
    let rect = Rect::from_min_size(corner - vec2(0.0, size.y), size);
    painter.rect_filled(rect.expand(theme::STROKE_HALO), NUMBER_ROUND, tokens.halo);
    painter.rect_filled(rect, NUMBER_ROUND, colour);
    painter.galley(rect.min + vec2(NUMBER_MARGIN, 0.0), galley, readable_on(colour));
}

/// The best match as a ring.
fn paint_best(painter: &Painter, place: &Placed, heat: &TargetHeat, colour: Color32, halo: Color32) {
    if let Some(found) = heat.best.first() {
        ring(painter, place.on_screen(found.at), MATCH_RADIUS, colour, halo);
    }
}

/// The next ones as dots.
fn paint_further(painter: &Painter, place: &Placed, heat: &TargetHeat, colour: Color32, halo: Color32) {
    for found in heat.best.iter().skip(1).rev() {
        let at = place.on_screen(found.at);
        painter.circle_filled(at, DOT_RADIUS + theme::STROKE_HALO, halo);
        painter.circle_filled(at, DOT_RADIUS, colour);
    }
}

fn ring(painter: &Painter, at: Pos2, radius: f32, colour: Color32, halo: Color32) {
    painter.circle_stroke(at, radius, Stroke::new(2.0 * LINE + 1.0, halo));
    painter.circle_stroke(at, radius, Stroke::new(LINE, colour));
}

/// A ring with gaps: what is proposed and not yet there.
fn arcs(painter: &Painter, at: Pos2, radius: f32, colour: Color32, halo: Color32) {
    let turn = std::f32::consts::TAU / ARCS as f32;
    for (width, colour) in [(2.0 * LINE + 1.0, halo), (LINE, colour)] {
        for arc in 0..ARCS {
            let angle = |step: usize| turn * (arc as f32 + ARC_SHARE * step as f32 / ARC_STEPS as f32);
            let points = (0..=ARC_STEPS).map(|step| at + radius * egui::Vec2::angled(angle(step)));
            painter.add(Shape::line(points.collect(), Stroke::new(width, colour)));
        }
    }
}

/// The best matches of the pins whose heat map is not shown; a mutual one has a second ring. Where a pair is found is told
/// by its line and its figures.
fn paint_other_matches(painter: &Painter, slot: ImageSlot, place: &Placed, state: &State) {
    let tokens = theme::tokens_in(painter.ctx());
    let Some(matches) = &state.matches else { return };
    for found in &matches.pins {
        let alone = state.document.pin(found.pin).filter(|pin| pin.mate.is_none());
        if alone.is_none_or(|pin| pin.slot == slot) {
            continue;
        }
        let targets = found.targets.iter().filter(|target| target.slot == slot);
        for best in targets.filter_map(|target| target.best.first()) {
            let at = place.on_screen(best.found.at);
            let colour = tokens.pin(found.pin);
            ring(painter, at, MATCH_RADIUS, colour, tokens.halo);
            if best.mutual {
                ring(painter, at, MUTUAL_RADIUS, colour, tokens.halo);
            }
            label(painter, at, &found.pin.to_string(), colour);
        }
    }
}

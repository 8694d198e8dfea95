//! The guided tour: three properties of diffusion features, each on a state of the window that shows it. What the steps
//! say of the embedded model was measured on its sample pictures; what they say of SDXL is what its paper reports. Its window
//! stands beside what a step speaks of, which is framed.

use egui::{Button, FontId, Id, LayerId, Rect, Stroke, StrokeKind, Ui, Vec2, Window, vec2};

use crate::app::{
    state::{
        canvas_rects::CanvasRects,
        root::State,
        tour::{Shows, Step, TourState},
    },
    theme,
    update::{abilities::Abilities, action::Action, command::Command},
};

/// Widths of its window that are tried, in points: what is left of them in a narrow window.
const WIDTHS: [f32; 3] = [222.0, 320.0, 420.0];
/// The share of the window's width that it takes at most.
const MOST_OF_WIDTH: f32 = 0.33;
/// What its window has besides the words, in points: title, step, buttons and margins.
const BESIDE_WORDS: Vec2 = vec2(16.0, 126.0);
/// What it keeps free at the upper and the lower edge, for menus and the state of things, in points.
const ABOVE: f32 = 76.0;
const BELOW: f32 = 36.0;
/// How much of a pane that is not spoken of, or of the room around a picture, counts beside what is spoken of.
const LESS: f32 = 0.1;
/// Places that are tried in each direction.
const PLACES: u8 = 16;

/// The window of the tour; gives what ends it and where it is, if it stays.
pub fn tour_ui(
    ui: &Ui,
    state: &State,
    tour: &TourState,
    canvases: &CanvasRects,
    commands: &mut Vec<Command>,
) -> Option<(Action, LayerId)> {
    let step = tour.steps.get(tour.step)?;
    let panes = panes_of(state, step, canvases);
    mark_ui(ui, &panes);
    let (width, place) = place_of(ui, step, &panes);
    let mut stays = true;
    let shown = Window::new("Tour")
        .id(Id::unique("tour"))
        .open(&mut stays)
        .collapsible(false)
        .auto_sized()
        .movable(false)
        .current_pos(place.min)
        .constrain(true)
        .show(ui.ctx(), |ui| {
            ui.set_width(width);
            ui.strong(step.title);
            ui.label(step.words);
            if tour.survey_awaited || state.surveys_now() && step.shows == Shows::Survey {
                ui.weak("measuring …");
            }
            ui.horizontal_wrapped(|ui| {
                for (name, action) in [("Previous", Action::TourBack), ("Next", Action::TourNext)] {
                    let tooltip = action.tooltip(ui.ctx());
                    let button = ui.add_enabled(state.can(action), Button::new(name));
                    if button
                        .on_hover_text(&tooltip)
                        .on_disabled_hover_text(&tooltip)
                        .clicked()
                    {
                        commands.push(Command::Act(action));
                    }
                }
                if ui.button("End").on_hover_text("Keep what is shown (Esc)").clicked() {
                    commands.push(Command::Act(Action::Tour));
                }
                ui.weak(format!("{} of {}", tour.step + 1, tour.steps.len()));
            });
        });
    if !stays {
        commands.push(Command::Act(Action::Tour));
    }
    shown
        .filter(|_| stays)
        .map(|shown| (Action::Tour, shown.response.layer_id))
}

/// A pane of a step, as it was painted last.
struct Place {
    pane: Rect,
    /// What is seen in it: a picture without the room around it.
    shown: Rect,
    /// Whether the step speaks of it.
    is_spoken_of: bool,
}

fn panes_of(state: &State, step: &Step, canvases: &CanvasRects) -> Vec<Place> {
    let layout = &state.document.layout;
    let panes = step.shows.panes().iter().filter_map(|(kind, slot)| {
        Some(Place {
            pane: canvases.rect_of(layout, *kind, *slot)?,
            shown: canvases.shown_rect_of(layout, *kind, *slot)?,
            is_spoken_of: step.shows.speaks_of(*kind),
        })
    });
    panes.collect()
}

/// Frames what is spoken of, below all windows.
fn mark_ui(ui: &Ui, panes: &[Place]) {
    let painter = ui.ctx().layer_painter(LayerId::background());
    let stroke = Stroke::new(theme::STROKE_MARK, theme::tokens(ui).accent);
    for place in panes.iter().filter(|place| place.is_spoken_of) {
        painter.rect_stroke(place.pane, theme::RADIUS_SMALL, stroke, StrokeKind::Inside);
    }
}

/// The width of the words, and where the window covers least of what they speak of.
fn place_of(ui: &Ui, step: &Step, panes: &[Place]) -> (f32, Rect) {
    let screen = ui.ctx().content_rect();
    let area = Rect::from_min_max(screen.min + vec2(0.0, ABOVE), screen.max - vec2(0.0, BELOW));
    let colour = theme::tokens(ui).text;
    let mut best: Option<(f32, f32, Rect)> = None;
    for width in WIDTHS {
        let width = width.min(MOST_OF_WIDTH * screen.width() - BESIDE_WORDS.x);
        let font = FontId::proportional(theme::FONT_BODY);
        let words = ui.painter().layout(step.words.to_owned(), font, colour, width);
        let size = vec2(width, words.size().y) + BESIDE_WORDS;
        let (cost, place) = least_covering(area, size, panes);
        if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
            best = Some((cost, width, place));
        }
    }
    best.map_or((0.0, area), |(_, width, place)| (width, place))
}

/// Of the places that a window of a size can have, the one that covers least: the lowest, and of these the leftmost.
fn least_covering(area: Rect, size: Vec2, panes: &[Place]) -> (f32, Rect) {
    let room = (area.size() - size).max(Vec2::ZERO);
    let share = |step: u8| f32::from(step) / f32::from(PLACES);
    let places = (0..=PLACES)
        .rev()
        .flat_map(|down| (0..=PLACES).map(move |right| (down, right)));
    let mut best = (f32::INFINITY, Rect::from_min_size(area.min, size));
    for (down, right) in places {
        let place = Rect::from_min_size(area.min + room * vec2(share(right), share(down)), size);
        let cost = panes.iter().map(|pane| cover(place, pane)).sum();
        if cost < best.0 {
            best = (cost, place);
        }
    }
    best
}

/// How much of a pane is covered, in points x points, by what that matters.
fn cover(place: Rect, pane: &Place) -> f32 {
    let area = |of: Rect| {
        let both = place.intersect(of);
        if both.is_positive() { both.area() } else { 0.0 }
    };
    let shown = if pane.is_spoken_of {
        area(pane.shown)
    } else {
        LESS * area(pane.shown)
    };
    shown + LESS * area(pane.pane)
}

#[cfg(test)]
mod tests {
    use egui::pos2;

    use super::*;

    fn pane(pane: Rect, shown: Rect, is_spoken_of: bool) -> Place {
        Place {
            pane,
            shown,
            is_spoken_of,
        }
    }

    fn rect(x: [f32; 2], y: [f32; 2]) -> Rect {
        Rect::from_min_max(pos2(x[0], y[0]), pos2(x[1], y[1]))
    }

    #[test]
    fn it_stands_beside_the_panes_where_there_is_room() {
        let area = rect([0.0, 1280.0], [76.0, 764.0]);
        let panes = [[250.0, 630.0], [630.0, 1010.0]].map(|x| {
            let all = rect(x, [100.0, 760.0]);
            pane(all, all, true)
        });
        let (cost, place) = least_covering(area, vec2(240.0, 300.0), &panes);
        assert_eq!(cost, 0.0);
        assert!(area.contains_rect(place) && place.right() <= 250.0 && place.bottom() == 764.0);
    }

    #[test]
    fn without_room_beside_it_covers_what_is_not_spoken_of() {
        let area = rect([0.0, 1000.0], [0.0, 700.0]);
        let (left, right) = (rect([0.0, 500.0], [0.0, 700.0]), rect([500.0, 1000.0], [0.0, 700.0]));
        let place = |left_spoken_of: bool| {
            let panes = [pane(left, left, left_spoken_of), pane(right, right, !left_spoken_of)];
            least_covering(area, vec2(300.0, 200.0), &panes).1
        };
        assert!(left.contains_rect(place(false)) && right.contains_rect(place(true)));
        // The room around a picture is better than the picture.
        let panes = [pane(area, rect([150.0, 850.0], [0.0, 450.0]), true)];
        let (_, place) = least_covering(area, vec2(300.0, 200.0), &panes);
        assert!(place.top() >= 450.0, "{place}");
    }
}

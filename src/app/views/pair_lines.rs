//! Pairs of points as lines from one picture to the other, over the panes between them.

use egui::{Pos2, Rect, Stroke, Ui};

use crate::{
    app::{
        document::{
            pairs::{Pair, pairs},
            pane::PaneKind,
        },
        state::{canvas_rects::CanvasRects, placed::Placed, root::State},
        theme,
    },
    engine::ImageSlot,
};

/// Width of the line of the selected pair and of the others, in points, and how opaque these are.
const SELECTED_WIDTH: f32 = 2.0;
const OTHER_WIDTH: f32 = 1.0;
const OTHER_OPACITY: f32 = 0.45;

/// A picture that is in sight.
struct Shown {
    kind: PaneKind,
    slot: ImageSlot,
    rect: Rect,
    place: Placed,
}

/// The lines of all pairs whose pictures are both in sight; that of the selected one is strong and lies on top.
pub fn pair_lines(ui: &Ui, state: &State, canvases: &CanvasRects) {
    let document = &state.document;
    let mut pairs = pairs(document).peekable();
    if pairs.peek().is_none() {
        return;
    }
    let shown = shown(state, canvases);
    let tokens = theme::tokens(ui);
    let lines = pairs.filter_map(|pair| Some((pair.number, ends(&shown, &pair)?)));
    let (selected, others): (Vec<_>, Vec<_>) = lines.partition(|(number, _)| document.selected_pin == Some(*number));
    let painter = ui.painter();
    for (number, ends) in others {
        let colour = tokens.pin(number).gamma_multiply(OTHER_OPACITY);
        painter.line_segment(ends, Stroke::new(OTHER_WIDTH, colour));
    }
    for (number, ends) in selected {
        painter.line_segment(
            ends,
            Stroke::new(SELECTED_WIDTH + 2.0 * theme::STROKE_HALO, tokens.halo),
        );
        painter.line_segment(ends, Stroke::new(SELECTED_WIDTH, tokens.pin(number)));
    }
}

/// Every picture in sight, those of pictures before those of maps.
fn shown(state: &State, canvases: &CanvasRects) -> Vec<Shown> {
    let panes = canvases.all().filter_map(|(tile, painted)| {
        let pane = state.document.layout.tiles.get_pane(&tile)?;
        let view = state.document.view_of(tile);
        Some((
            tile,
            Shown {
                kind: pane.kind,
                slot: painted.slot,
                rect: painted.rect,
                place: Placed::new(painted.rect, painted.size?, view)?,
            },
        ))
    });
    let mut panes: Vec<_> = panes.collect();
    panes.sort_by_key(|(tile, pane)| (pane.kind != PaneKind::Picture, pane.kind as usize, tile.0));
    panes.into_iter().map(|(_, pane)| pane).collect()
}

/// Where the points of a pair are on the screen: in two panes of one kind if there are two, else in the first ones; nothing
/// where a point is out of sight.
fn ends(shown: &[Shown], pair: &Pair) -> Option<[Pos2; 2]> {
    let of = |slot: ImageSlot| shown.iter().filter(move |pane| pane.slot == slot);
    let [first, second] = pair.slots;
    let alike = of(first).find_map(|a| Some((a, of(second).find(|b| b.kind == a.kind)?)));
    let (a, b) = alike.or_else(|| of(first).next().zip(of(second).next()))?;
    let ends = [a.place.on_screen(pair.at[0]), b.place.on_screen(pair.at[1])];
    (a.rect.contains(ends[0]) && b.rect.contains(ends[1])).then_some(ends)
}

#[cfg(test)]
mod tests {
    use egui::{pos2, vec2};

    use super::*;
    use crate::{app::document::pane::View, geometry::Size};

    fn pane(kind: PaneKind, slot: ImageSlot, left: f32, zoom: f32) -> Shown {
        let rect = Rect::from_min_size(pos2(left, 0.0), vec2(100.0, 100.0));
        let view = View {
            zoom,
            ..View::default()
        };
        let place = Placed::new(rect, Size::new(10, 10), view).expect("there is room");
        Shown {
            kind,
            slot,
            rect,
            place,
        }
    }

    #[test]
    fn a_line_joins_panes_of_one_kind_and_points_in_sight() {
        let (a, b) = (ImageSlot::A, ImageSlot::B);
        let pair = Pair {
            number: 1,
            slots: [b, a],
            at: [[0.0, 4.5], [9.0, 4.5]],
        };
        let panes = [
            pane(PaneKind::Picture, a, 0.0, 1.0),
            pane(PaneKind::Heat, a, 100.0, 1.0),
            pane(PaneKind::Heat, b, 200.0, 1.0),
        ];
        assert_eq!(ends(&panes, &pair), Some([pos2(205.0, 50.0), pos2(195.0, 50.0)]));
        assert_eq!(ends(&panes[..2], &pair), None, "B is not in sight");
        let two_kinds = [
            pane(PaneKind::Picture, a, 0.0, 1.0),
            pane(PaneKind::Heat, b, 200.0, 1.0),
        ];
        assert_eq!(ends(&two_kinds, &pair), Some([pos2(205.0, 50.0), pos2(95.0, 50.0)]));
        let zoomed = [
            pane(PaneKind::Picture, a, 0.0, 4.0),
            pane(PaneKind::Heat, b, 200.0, 1.0),
        ];
        assert_eq!(ends(&zoomed, &pair), None, "that point of A is out of sight");
    }
}

//! What clicks and drags over pictures do. Each is carried out on what the ones before it have made, so that many in one
//! frame do what they would do one by one.

use egui::{Context, Pos2, Vec2};
use egui_tiles::TileId;

use super::{app::App, panes::set_view};
use crate::{
    app::{
        document::{
            pairs::{add_pin, click, drag_to, mark_near, pair_up},
            pane::View,
            root::Spot,
        },
        state::{
            canvas_rects::{Drag, Marks},
            gestures::{Gesture, Pointing},
            placed::Placed,
        },
    },
    engine::{ImageSlot, QueryAt},
};

/// How near the pointer takes hold of a mark, in points.
const GRIP: f32 = 10.0;
/// How near to the proposed point of a pair a click takes that, in points: beside it another can be marked.
const PROPOSAL_GRIP: f32 = 5.0;
/// Radius of the brush, as a share of the picture's short side.
const BRUSH_SHARE: f64 = 0.03;
/// Shortest distance between two points of a brush's path, as a share of its radius.
const BRUSH_STEP: f64 = 0.5;

impl App {
    pub(in crate::app) fn point(&mut self, Pointing { tile, gesture }: Pointing, context: &Context) {
        match gesture {
            Gesture::Click(at, another) => {
                self.state.focused = Some(tile);
                self.click(tile, at, another);
            }
            Gesture::DoubleClick => self.double_click(tile),
            Gesture::DragFrom { at, holds, brush } => {
                self.state.focused = Some(tile);
                self.canvases.drag = self.drag_from(tile, at, holds, brush);
                return;
            }
            Gesture::DragTo(at) => {
                self.drag_on(tile, at);
                return;
            }
            Gesture::DragEnd => self.canvases.drag = None,
        }
        // The next gesture of the same frame is another step of undo.
        self.keep_history(context, false);
    }

    /// The picture of a pane, and where it is on the screen.
    fn placed(&self, tile: TileId) -> Option<(ImageSlot, Placed)> {
        let painted = self.canvases.painted(tile)?;
        let view = self.state.document.view_of(tile);
        Some((painted.slot, Placed::new(painted.rect, painted.size?, view)?))
    }

    fn click(&mut self, tile: TileId, at: Pos2, another: bool) {
        let Some((slot, place)) = self.placed(tile) else { return };
        if !place.rect.contains(at) {
            return;
        }
        let (point, reach) = (place.pixel_at(at), reach_px(&place));
        let document = &self.state.document;
        self.canvases.before_click = Some(Marks {
            pins: document.pins.clone(),
            selected: document.active_mark().map(|(mark, ..)| mark),
            first: self.state.pairing.first.clone(),
        });
        if self.state.pairing.takes_clicks() {
            self.click_for_pair(slot, point, reach);
        } else {
            click(&mut self.state.document, slot, point, reach, another);
        }
    }

    /// Shows the whole picture, and takes back what the first of the two clicks did to marks.
    fn double_click(&mut self, tile: TileId) {
        let document = &mut self.state.document;
        set_view(document, tile, View::default());
        if let Some(before) = self.canvases.before_click.take() {
            document.pins = before.pins;
            document.select(before.selected);
            self.state.pairing.first = before.first;
        }
    }

    /// A click while a pair is being made: the first point, the first one elsewhere, or the second.
    fn click_for_pair(&mut self, slot: ImageSlot, point: [f64; 2], reach: f64) {
        let near = mark_near(&self.state.document, slot, point, reach);
        let proposed = self.state.proposal_in(slot);
        let first = self.state.pairing.first.clone();
        let alone = near.and_then(|mark| self.state.document.pin(mark.number));
        let alone = alone.filter(|pin| pin.mate.is_none()).map(|pin| pin.at.clone());
        match (near, first) {
            (Some(mark), None) if alone.is_none() => self.state.document.select(Some(mark)),
            (_, Some(first)) if first.slot != slot => {
                let proposed = proposed
                    .filter(|[x, y]| (x - point[0]).hypot(y - point[1]) <= reach * f64::from(PROPOSAL_GRIP / GRIP));
                let at = alone.unwrap_or(QueryAt::Point(proposed.unwrap_or(point)));
                self.state.pairing.let_go();
                pair_up(&mut self.state.document, first, Spot { slot, at });
            }
            _ => {
                let at = alone.unwrap_or(QueryAt::Point(point));
                self.state.pairing.first = Some(Spot { slot, at });
                self.state.pairing.accepted = None;
            }
        }
    }

    /// Begins a pair, whether the mode is on or not.
    pub(in crate::app) fn begin_pair(&mut self, slot: ImageSlot, at: [f64; 2]) {
        self.state.pairing.first = Some(Spot {
            slot,
            at: QueryAt::Point(at),
        });
        self.state.pairing.accepted = None;
    }

    /// Completes the pair that is being made at the best match, where that was accepted and has come.
    pub(in crate::app) fn complete_accepted_pair(&mut self) {
        let accepted = self.state.pairing.accepted;
        let proposed = accepted.and_then(|slot| Some((slot, self.state.proposal_in(slot)?)));
        if let (Some((slot, at)), Some(first)) = (proposed, self.state.pairing.first.clone()) {
            self.state.pairing.let_go();
            let at = QueryAt::Point(at);
            pair_up(&mut self.state.document, first, Spot { slot, at });
            self.questions.on_change();
        }
    }

    fn drag_from(&mut self, tile: TileId, at: Pos2, holds: bool, brush: bool) -> Option<Drag> {
        let (slot, place) = self.placed(tile)?;
        let brushes = holds && (brush || self.state.brush) && place.rect.contains(at);
        let document = &mut self.state.document;
        let point = place.pixel_at(at);
        let held = mark_near(document, slot, point, reach_px(&place)).filter(|_| holds);
        Some(match held {
            Some(mark) => {
                document.select(Some(mark));
                Drag::Mark(mark)
            }
            None if brushes => {
                let short = place.size.width.min(place.size.height) as f64;
                let at = QueryAt::Region {
                    path: vec![point],
                    radius: (short * BRUSH_SHARE).max(1.0),
                };
                Drag::Brush(add_pin(document, slot, at).number)
            }
            None => Drag::Pan(at),
        })
    }

    fn drag_on(&mut self, tile: TileId, at: Pos2) {
        let Some((_, place)) = self.placed(tile) else { return };
        let document = &mut self.state.document;
        let inside = || place.pixel_at(at.clamp(place.rect.min, place.rect.max));
        match &mut self.canvases.drag {
            Some(Drag::Pan(last)) => {
                let moved = (at - std::mem::replace(last, at)) / place.rect.size();
                if moved != Vec2::ZERO {
                    let view = document.view_of(tile);
                    let centre = [view.centre[0] - moved.x, view.centre[1] - moved.y];
                    set_view(document, tile, View { centre, ..view });
                }
            }
            Some(Drag::Mark(mark)) => drag_to(document, *mark, inside()),
            Some(Drag::Brush(number)) => {
                let pin = document.pins.iter_mut().find(|pin| pin.number == *number);
                if let Some(pin) = pin {
                    brush_on(&mut pin.at, inside());
                }
            }
            None => {}
        }
    }
}

/// How near to a mark takes hold of it, in pixels of the picture.
fn reach_px(place: &Placed) -> f64 {
    f64::from(GRIP / place.points_per_pixel())
}

/// Adds a point to a region, if that is far enough from the last one.
fn brush_on(at: &mut QueryAt, there: [f64; 2]) {
    if let QueryAt::Region { path, radius } = at
        && let Some([x, y]) = path.last()
        && (there[0] - x).hypot(there[1] - y) >= *radius * BRUSH_STEP
    {
        path.push(there);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::document::places::moved_to;

    #[test]
    fn a_region_moves_as_a_whole_and_grows_by_steps() {
        let region = QueryAt::Region {
            path: vec![[1.0, 2.0], [3.0, 2.0]],
            radius: 2.0,
        };
        let moved = moved_to(&region, [11.0, 12.0]);
        assert_eq!(
            moved,
            QueryAt::Region {
                path: vec![[11.0, 12.0], [13.0, 12.0]],
                radius: 2.0
            }
        );
        let brushed = |mut at: QueryAt, there: [f64; 2]| {
            brush_on(&mut at, there);
            at
        };
        assert_eq!(brushed(region.clone(), [3.5, 2.0]), region);
        let longer = QueryAt::Region {
            path: vec![[1.0, 2.0], [3.0, 2.0], [9.0, 2.0]],
            radius: 2.0,
        };
        assert_eq!(brushed(region, [9.0, 2.0]), longer);
        assert_eq!(brushed(QueryAt::Point([0.0; 2]), [9.0, 2.0]), QueryAt::Point([0.0; 2]));
    }
}

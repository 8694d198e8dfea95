//! What pointer and wheel do to a canvas: zoom, move, fix points, drag pins, mark regions.

use egui::{Pos2, Response, Ui};
use egui_tiles::TileId;

use super::placed::Placed;
use crate::{
    app::{
        document::{
            limits::ZOOM_RANGE,
            pane::View,
            places::{moved_to, representative},
            root::Pin,
        },
        state::canvas_rects::Drag,
        update::{command::Command, view::ViewContext},
    },
    engine::{ImageSlot, QueryAt},
};

/// How near the pointer takes hold of a pin, in points.
const GRIP: f32 = 10.0;
/// Radius of the brush, as a share of the picture's short side.
const BRUSH_SHARE: f64 = 0.03;
/// Points of the wheel that double the size.
const WHEEL_POINTS_PER_DOUBLING: f32 = 240.0;
/// Shortest distance between two points of a brush's path, as a share of its radius.
const BRUSH_STEP: f64 = 0.5;

/// Wheel, drags and clicks.
pub fn interact(
    ui: &Ui,
    response: &Response,
    tile: TileId,
    slot: ImageSlot,
    place: &Placed,
    view: View,
    context: &mut ViewContext<'_>,
) {
    zoom_by_wheel(ui, response, tile, place, view, context.commands);
    let state = context.state;
    let near = |pos: Pos2| {
        let pins = state.document.pins.iter().filter(|pin| pin.slot == slot);
        let distances = pins.filter_map(|pin| {
            let at = place.on_screen(representative(&pin.at)?);
            Some((pin.number, at.distance(pos)))
        });
        distances
            .filter(|(_, distance)| *distance <= GRIP)
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .map(|(number, _)| number)
    };
    drag(ui, response, tile, slot, place, view, context, &near);
    if response.double_clicked() {
        context.commands.push(Command::View(tile, View::default()));
        if let Some((pins, selected)) = context.canvases.before_click.take() {
            context.commands.push(Command::Pins(pins, selected));
        }
        return;
    }
    let Some(pos) = response.interact_pointer_pos().filter(|_| response.clicked()) else {
        return;
    };
    if !place.rect.contains(pos) {
        return;
    }
    context.canvases.before_click = Some((state.document.pins.clone(), state.document.selected_pin));
    let at = QueryAt::Point(place.pixel_at(pos));
    let another = ui.input(|input| input.modifiers.shift);
    let command = match (near(pos), state.document.active_pin()) {
        (Some(number), _) => Command::SelectPin(Some(number)),
        (None, Some(pin)) if !another => Command::MovePin(Pin {
            number: pin.number,
            slot,
            at,
        }),
        _ => Command::AddPin(slot, at),
    };
    context.commands.push(command);
}

/// The place under the pointer stays where it is.
fn zoom_by_wheel(ui: &Ui, response: &Response, tile: TileId, place: &Placed, view: View, commands: &mut Vec<Command>) {
    let Some(pos) = response.hover_pos() else { return };
    let (wheel, pinch) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
    let factor = pinch * (wheel / WHEEL_POINTS_PER_DOUBLING).exp2();
    if factor == 1.0 || !factor.is_finite() {
        return;
    }
    let [least, most] = ZOOM_RANGE;
    let zoom = (view.zoom * factor).clamp(least, most);
    let growth = zoom / view.zoom;
    // The share of the picture under the pointer, and how far it is from the middle of the canvas.
    let under = (pos - place.rect.min) / place.rect.size();
    let share = |axis: usize, under: f32| under + (view.centre[axis] - under) / growth;
    commands.push(Command::View(
        tile,
        View {
            centre: [share(0, under.x), share(1, under.y)],
            zoom,
        },
    ));
}

#[allow(clippy::too_many_arguments, reason = "one gesture from its beginning to its end")]
fn drag(
    ui: &Ui,
    response: &Response,
    tile: TileId,
    slot: ImageSlot,
    place: &Placed,
    view: View,
    context: &mut ViewContext<'_>,
    near: &impl Fn(Pos2) -> Option<u32>,
) {
    let state = context.state;
    let pressed_at = ui.input(|input| input.pointer.press_origin());
    if response.drag_started()
        && let Some(pos) = pressed_at.or(response.interact_pointer_pos())
    {
        let (primary, command) = ui.input(|input| (input.pointer.primary_down(), input.modifiers.command));
        let brushes = primary && (command || state.brush) && place.rect.contains(pos);
        context.canvases.drag = Some(match near(pos).filter(|_| primary) {
            Some(number) => {
                context.commands.push(Command::SelectPin(Some(number)));
                Drag::Pin(number)
            }
            None if brushes => {
                let number = state.document.next_pin_number();
                let short = place.size.width.min(place.size.height) as f64;
                let at = QueryAt::Region {
                    path: vec![place.pixel_at(pos)],
                    radius: (short * BRUSH_SHARE).max(1.0),
                };
                context.commands.push(Command::AddPin(slot, at));
                Drag::Brush(number)
            }
            None => Drag::Pan,
        });
    }
    if response.dragged()
        && let (Some(drag), Some(pos)) = (context.canvases.drag.clone(), response.interact_pointer_pos())
    {
        let inside = pos.clamp(place.rect.min, place.rect.max);
        match drag {
            Drag::Pan => {
                let moved = response.drag_delta() / place.rect.size();
                if moved != egui::Vec2::ZERO {
                    let centre = [view.centre[0] - moved.x, view.centre[1] - moved.y];
                    context.commands.push(Command::View(tile, View { centre, ..view }));
                }
            }
            Drag::Pin(number) => {
                if let Some(pin) = state.document.pin(number) {
                    let at = moved_to(&pin.at, place.pixel_at(inside));
                    context.commands.push(Command::MovePin(Pin { number, slot, at }));
                }
            }
            Drag::Brush(number) => {
                if let Some(pin) = state.document.pin(number)
                    && let Some(at) = brushed(&pin.at, place.pixel_at(inside))
                {
                    context.commands.push(Command::MovePin(Pin { number, slot, at }));
                }
            }
        }
    }
    if response.drag_stopped() {
        context.canvases.drag = None;
    }
}

/// A region with one more point, if that is far enough from the last one.
fn brushed(at: &QueryAt, there: [f64; 2]) -> Option<QueryAt> {
    let QueryAt::Region { path, radius } = at else {
        return None;
    };
    let [x, y] = path.last()?;
    let far = (there[0] - x).hypot(there[1] - y) >= radius * BRUSH_STEP;
    far.then(|| {
        let mut path = path.clone();
        path.push(there);
        QueryAt::Region { path, radius: *radius }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(brushed(&region, [3.5, 2.0]), None);
        assert!(brushed(&region, [9.0, 2.0]).is_some());
        assert_eq!(brushed(&QueryAt::Point([0.0; 2]), [9.0, 2.0]), None);
    }
}

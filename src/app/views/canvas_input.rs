//! What pointer and wheel do to canvases: zoom, and clicks and drags as the events of the pointer tell them, each with the
//! place and the keys of its own moment, however many come in one frame.

use egui::{Context, Event, LayerId, Pos2, Response, Ui};
use egui_tiles::TileId;

use crate::app::{
    document::{limits::ZOOM_RANGE, pane::View},
    state::{
        canvas_rects::{CanvasRects, LastClick, Press},
        gestures::{Gesture, Pointing},
        placed::Placed,
    },
    update::command::Command,
};

/// Points of the wheel that double the size.
const WHEEL_POINTS_PER_DOUBLING: f32 = 240.0;
/// As far the pointer may be from where a button went down for what is under both to be the same, in points.
const SAME_PLACE: f32 = 1.0;

/// The place under the pointer stays where it is.
pub fn zoom_by_wheel(
    ui: &Ui,
    response: &Response,
    tile: TileId,
    place: &Placed,
    view: View,
    commands: &mut Vec<Command>,
) {
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

/// Whether a response is that of what the button that is down, or was clicked last, is down on.
pub fn is_pressed(response: &Response) -> bool {
    response.is_pointer_button_down_on()
        || response.clicked()
        || response.secondary_clicked()
        || response.middle_clicked()
        || response.drag_stopped()
}

/// What is known of the frame beside its events.
struct Frame {
    /// Its time and that of the one before, in seconds.
    secs: f64,
    before_secs: f64,
    /// Where the pointer is at its end.
    latest: Option<Pos2>,
    /// What egui counts as a click.
    click_points: f32,
    click_secs: f64,
    double_secs: f64,
    /// How far into a canvas its edges reach, by which panes are made larger.
    edge_points: f32,
    layer: LayerId,
}

impl Frame {
    fn of(ui: &Ui) -> Self {
        let options = ui.ctx().options(|options| options.input_options);
        let (secs, step, latest) = ui.input(|input| (input.time, input.unstable_dt, input.pointer.interact_pos()));
        Self {
            secs,
            before_secs: secs - f64::from(step),
            latest,
            click_points: options.max_click_dist,
            click_secs: options.max_click_duration,
            double_secs: options.max_double_click_delay,
            edge_points: ui.style().interaction.resize_grab_radius_side,
            layer: ui.layer_id(),
        }
    }

    /// Whether more time than `most` has certainly gone by since something that the frame of `then` heard of: what the
    /// present one hears of came after the frame before it.
    fn is_longer_than(&self, most: f64, then: f64) -> bool {
        self.before_secs - then > most
    }
}

/// Tells what the events of a frame do to the pictures of all canvases, in their order. A press while `closes` is what
/// closes a menu, and nothing else.
pub fn gestures(ui: &Ui, canvases: &mut CanvasRects, closes: bool, commands: &mut Vec<Command>) {
    let is_of_pointer = |event: &&Event| matches!(event, Event::PointerMoved(_) | Event::PointerButton { .. });
    let events: Vec<Event> = ui.input(|input| input.events.iter().filter(is_of_pointer).cloned().collect());
    let frame = Frame::of(ui);
    let is_press = |event: &Event| matches!(event, Event::PointerButton { pressed: true, .. });
    let last_press = events.iter().rposition(is_press);
    for (index, event) in events.iter().enumerate() {
        match *event {
            Event::PointerMoved(pos) => on_move(canvases, &frame, pos, commands),
            Event::PointerButton {
                pos,
                button,
                pressed: true,
                modifiers,
            } if canvases.press.is_none() && !closes => {
                let stays = frame.latest.is_some_and(|latest| latest.distance(pos) <= SAME_PLACE);
                let told = Some(index) == last_press && stays;
                canvases.press = under(canvases, ui.ctx(), &frame, pos, told).map(|tile| Press {
                    tile,
                    button,
                    at: pos,
                    modifiers,
                    secs: frame.secs,
                    dragging: false,
                });
            }
            Event::PointerButton {
                pos,
                button,
                pressed: false,
                ..
            } if canvases.press.is_some_and(|press| press.button == button) => {
                on_move(canvases, &frame, pos, commands);
                if let Some(press) = canvases.press.take() {
                    on_release(canvases, &frame, press, commands);
                }
            }
            _ => {}
        }
    }
    // The release was not told: the window lost the pointer.
    if !ui.input(|input| input.pointer.any_down())
        && let Some(press) = canvases.press.take().filter(|press| press.dragging)
    {
        push(commands, press.tile, Gesture::DragEnd);
    }
}

/// The pane with the picture that a button went down on. Where the pointer still is, egui knows what lies over it (`told`).
fn under(canvases: &CanvasRects, context: &Context, frame: &Frame, pos: Pos2, told: bool) -> Option<TileId> {
    let mut pictures = canvases.all().filter(|(_, painted)| painted.size.is_some());
    if told {
        let found = pictures.find(|(_, painted)| painted.pressed && painted.rect.contains(pos));
        return found.map(|(tile, _)| tile);
    }
    let on_top = context.layer_id_at(pos).is_none_or(|layer| layer == frame.layer);
    let found = pictures.find(|(_, painted)| painted.rect.shrink(frame.edge_points).contains(pos));
    found.filter(|_| on_top).map(|(tile, _)| tile)
}

fn on_move(canvases: &mut CanvasRects, frame: &Frame, pos: Pos2, commands: &mut Vec<Command>) {
    let Some(press) = &mut canvases.press else { return };
    if !press.dragging && press.at.distance(pos) > frame.click_points {
        press.dragging = true;
        push(commands, press.tile, drag_from(press));
    }
    if press.dragging {
        push(commands, press.tile, Gesture::DragTo(pos));
    }
}

fn on_release(canvases: &mut CanvasRects, frame: &Frame, press: Press, commands: &mut Vec<Command>) {
    let is_click = !press.dragging && !frame.is_longer_than(frame.click_secs, press.secs);
    if !is_click {
        if !press.dragging {
            // Held for long at one place it is a drag to nowhere.
            push(commands, press.tile, drag_from(&press));
        }
        push(commands, press.tile, Gesture::DragEnd);
        return;
    }
    if press.button != egui::PointerButton::Primary {
        return;
    }
    let again = canvases.last_click.take().is_some_and(|last| {
        last.at.distance(press.at) <= frame.click_points && !frame.is_longer_than(frame.double_secs, last.secs)
    });
    if again {
        push(commands, press.tile, Gesture::DoubleClick);
        return;
    }
    canvases.last_click = Some(LastClick {
        at: press.at,
        secs: frame.secs,
    });
    push(commands, press.tile, Gesture::Click(press.at, press.modifiers.shift));
}

fn drag_from(press: &Press) -> Gesture {
    Gesture::DragFrom {
        at: press.at,
        holds: press.button == egui::PointerButton::Primary,
        brush: press.modifiers.command,
    }
}

fn push(commands: &mut Vec<Command>, tile: TileId, gesture: Gesture) {
    commands.push(Command::Point(Pointing { tile, gesture }));
}

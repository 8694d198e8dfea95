//! One canvas: a picture at a place and zoom, and what is drawn over it.

use egui::{Color32, Painter, Pos2, Rect, Response, Sense, Stroke, StrokeKind, Ui, WidgetInfo, accesskit::Role};
use egui_tiles::TileId;

use super::{
    VIEWS,
    canvas_input::{is_pressed, zoom_by_wheel},
    canvas_menu::canvas_menu_ui,
    marks::paint_marks,
};
use crate::{
    app::{
        document::pane::Pane,
        gpu::scores::paint_scores,
        state::{
            canvas_rects::Painted,
            placed::{Placed, WHOLE},
            slots::PointAt,
        },
        theme,
        update::{
            command::Command,
            view::{Layers, ViewContext},
        },
        widgets::{Loupe, LoupeScores, cell_grid, cell_numbers},
    },
    engine::ImageSlot,
};

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
            pressed: is_pressed(&response),
        },
    );
    let tokens = theme::tokens(ui);
    ui.painter().rect_filled(canvas, 0.0, tokens.canvas);
    if response.clicked() || response.drag_started() || response.secondary_clicked() {
        context.commands.push(Command::FocusPane(tile));
    }
    let view = if state.document.linked {
        state.document.view
    } else {
        pane.view
    };
    // There may be no room for it.
    let place = size.and_then(|size| Placed::new(canvas, size, view));
    menu_ui(&response, tile, pane, slot, place.as_ref(), context);
    let place = place?;
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
    zoom_by_wheel(ui, &response, tile, &place, view, context.commands);
    point
}

/// The menu at the point that was clicked.
fn menu_ui(
    response: &Response,
    tile: TileId,
    pane: &Pane,
    slot: ImageSlot,
    place: Option<&Placed>,
    context: &mut ViewContext<'_>,
) {
    if response.secondary_clicked() {
        let clicked = response.interact_pointer_pos().zip(place);
        let at = clicked.filter(|(pos, place)| place.rect.contains(*pos));
        context.canvases.menu = Some((tile, at.map(|(pos, place)| place.pixel_at(pos))));
    }
    let of_this = context.canvases.menu.filter(|(of, _)| *of == tile);
    let at = of_this.and_then(|(_, at)| at);
    let (state, commands) = (context.state, &mut *context.commands);
    let shown = response.context_menu(|ui| canvas_menu_ui(ui, state, tile, pane, slot, at, commands));
    if shown.is_none() && of_this.is_some() {
        context.canvases.menu = None;
    }
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

//! The four panes: picture A, PCA of A, picture B, PCA of B; points, heat maps and matches over them.

use egui::{
    Align, Color32, Frame, Label, Layout, Painter, Pos2, Rect, Response, RichText, Sense, Shape, Stroke, StrokeKind,
    Ui, UiBuilder, WidgetInfo, accesskit::Role, emath::RectTransform, pos2, vec2,
};

use super::{
    Command, Notice, PointAt, State, layer_tree::shape_text, panels::error_ui, state::PcaShown, textures::Textures,
};
use crate::{
    engine::{PictureSource, Slot, TargetHeat},
    extract::{framing::Framing, image::Size},
    paint::{ScoreMap, ScoreStyle, colour_bar_ui, paint_scores},
};

/// Space between panes, in points.
const GAP: f32 = 6.0;
/// Height of a pane's title and of its footer, in points.
const TITLE_HEIGHT: f32 = 22.0;
const FOOTER_HEIGHT: f32 = 34.0;
/// Size of letters, in points.
const TITLE_SIZE: f32 = 13.0;
const FOOTER_SIZE: f32 = 10.0;
/// Half the size of a query point's cross and the radius of a match's circle, in points.
const CROSS: f32 = 8.0;
const MATCH_RADIUS: f32 = 7.0;
const LINE: f32 = 2.0;
/// The query point and matches are drawn in a colour no map has, over a dark edge.
const POINT_COLOUR: Color32 = Color32::from_rgb(255, 80, 220);
const EDGE_COLOUR: Color32 = Color32::from_rgb(10, 10, 10);
const WHOLE: Rect = Rect {
    min: pos2(0.0, 0.0),
    max: pos2(1.0, 1.0),
};

/// What a pane shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum PaneKind {
    Picture,
    Pca,
}

/// All four panes.
pub fn panes_ui(ui: &mut Ui, state: &State, textures: &Textures, commands: &mut Vec<Command>) {
    let area = ui.available_rect_before_wrap();
    let size = vec2((area.width() - GAP) / 2.0, (area.height() - GAP) / 2.0);
    let mut hover = None;
    let mut areas = Vec::new();
    for slot in Slot::ALL {
        for (column, kind) in [PaneKind::Picture, PaneKind::Pca].into_iter().enumerate() {
            let corner = area.min + vec2((size.x + GAP) * column as f32, (size.y + GAP) * slot.index() as f32);
            let rect = Rect::from_min_size(corner, size);
            areas.push((slot, rect));
            let builder = UiBuilder::new().max_rect(rect).id_salt((slot, kind == PaneKind::Pca));
            ui.scope_builder(builder, |ui| {
                hover = pane_ui(ui, slot, kind, state, textures, commands).or(hover);
            });
        }
    }
    ui.advance_cursor_after_rect(area);
    if hover != state.hover {
        commands.push(Command::Hover(hover));
    }
    take_dropped(ui, state, &areas, commands);
}

/// One pane; gives the point of its picture under the pointer.
fn pane_ui(
    ui: &mut Ui,
    slot: Slot,
    kind: PaneKind,
    state: &State,
    textures: &Textures,
    commands: &mut Vec<Command>,
) -> Option<PointAt> {
    let rect = ui.max_rect();
    ui.painter().rect_filled(rect, 2.0, ui.visuals().extreme_bg_color);
    let title = Rect::from_min_size(rect.min, vec2(rect.width(), TITLE_HEIGHT));
    let footer = Rect::from_min_max(pos2(rect.left(), rect.bottom() - FOOTER_HEIGHT), rect.max);
    let canvas = Rect::from_min_max(title.left_bottom(), footer.right_top()).shrink(2.0);
    let words = RichText::new(title_text(state, slot, kind)).size(TITLE_SIZE);
    words_ui(ui, title, Label::new(words).truncate());

    let response = ui.allocate_rect(canvas, Sense::click());
    let label = match kind {
        PaneKind::Picture => format!("Picture {}", slot.name()),
        PaneKind::Pca => format!("PCA of {}", slot.name()),
    };
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
    let mut hover = None;
    if let Some((_, size)) = &state.slot(slot).picture {
        let place = Placed {
            size: *size,
            rect: fitted(canvas, *size),
        };
        let painter = ui.painter().with_clip_rect(canvas);
        match kind {
            PaneKind::Picture => picture_ui(ui, &painter, slot, &place, footer, state, textures),
            PaneKind::Pca => pca_ui(ui, &painter, slot, &place, footer, state, textures),
        }
        paint_points(&painter, slot, &place, state);
        hover = point_under(&response, slot, &place, commands);
    } else if kind == PaneKind::Picture {
        let hint = format!("Drop a picture here, or open one as {}", slot.name());
        ui.put(
            canvas,
            Label::new(RichText::new(hint).size(TITLE_SIZE).weak()).truncate(),
        );
    }
    if kind == PaneKind::Picture {
        picture_error_ui(ui, canvas, state, slot, commands);
    }
    hover
}

/// Words in a strip of a pane, however narrow it is.
fn words_ui(ui: &mut Ui, rect: Rect, label: Label) {
    let strip = UiBuilder::new()
        .max_rect(rect.shrink2(vec2(6.0, 0.0)))
        .layout(Layout::left_to_right(Align::Center));
    ui.scope_builder(strip, |ui| ui.add(label));
}

fn title_text(state: &State, slot: Slot, kind: PaneKind) -> String {
    let name = state
        .slot(slot)
        .picture
        .as_ref()
        .map_or(String::new(), |(source, size)| {
            format!("{}  {}×{}", source.name(), size.width, size.height)
        });
    match kind {
        PaneKind::Picture => format!("{}  {name}", slot.name()),
        PaneKind::Pca => match &state.slot(slot).pca {
            Some(pca) if state.id.is_some_and(|id| !id.is_map()) => {
                let shape = pca.shape.map(shape_text).unwrap_or_default();
                format!("PCA of {}  {}  {shape}", slot.name(), pca.id)
            }
            _ => format!("PCA of {}", slot.name()),
        },
    }
}

/// Why a picture was not opened, over the one that stays.
fn picture_error_ui(ui: &mut Ui, canvas: Rect, state: &State, slot: Slot, commands: &mut Vec<Command>) {
    if let Some(error) = &state.slot(slot).error {
        ui.scope_builder(UiBuilder::new().max_rect(canvas.shrink(4.0)), |ui| {
            Frame::popup(ui.style()).show(ui, |ui| error_ui(ui, error, Notice::Picture(slot), commands));
        });
    }
}

/// The picture, and the heat map over it.
fn picture_ui(
    ui: &mut Ui,
    painter: &Painter,
    slot: Slot,
    place: &Placed,
    footer: Rect,
    state: &State,
    textures: &Textures,
) {
    textures.pictures[slot.index()].paint(painter, place.rect, WHOLE, Color32::WHITE);
    let framing = state.slot(slot).capture.as_ref().map(|capture| capture.framing);
    if let Some(framing) = framing.filter(|framing| framing.scaled != framing.working) {
        let seen = place.seen(&framing);
        painter.rect_stroke(
            seen,
            0.0,
            Stroke::new(LINE, ui.visuals().weak_text_color()),
            StrokeKind::Inside,
        );
    }
    let scores = state.heat_on(slot).and_then(|_| textures.scores(slot));
    if let (Some(scores), Some(framing)) = (scores, framing) {
        let style = style_for(state, scores);
        let pane = ui.scope_id().with("heat");
        paint_scores(
            painter,
            pane,
            place.seen(&framing),
            WHOLE,
            scores,
            &style,
            &textures.painter,
        );
        ui.scope_builder(UiBuilder::new().max_rect(footer.shrink2(vec2(6.0, 2.0))), |ui| {
            colour_bar_ui(ui, &style)
        });
    }
}

/// How the scores of a map are drawn: in the fixed range, or from its lowest to its highest.
pub fn style_for(state: &State, scores: &ScoreMap) -> ScoreStyle {
    let range = state
        .display
        .fixed_range
        .or_else(|| scores.extent())
        .unwrap_or([0.0, 1.0]);
    ScoreStyle {
        range,
        ..state.display.style
    }
}

/// The PCA colours, where the model saw the picture.
fn pca_ui(
    ui: &mut Ui,
    painter: &Painter,
    slot: Slot,
    place: &Placed,
    footer: Rect,
    state: &State,
    textures: &Textures,
) {
    let shown = &state.slot(slot).pca;
    let framing = state.slot(slot).capture.as_ref().map(|capture| capture.framing);
    let words = match (shown, framing) {
        _ if state.id.is_some_and(|id| id.is_map()) => {
            "An attention map has no PCA: point at the picture for its rows".to_owned()
        }
        (Some(pca), Some(framing)) => {
            textures.pcas[slot.index()].paint(painter, place.seen(&framing), WHOLE, Color32::WHITE);
            let stale = !state.is_captured(slot) || state.id != Some(pca.id);
            let common = pca.joint && state.open_slots().count() > 1;
            pca_text(pca, common, stale)
        }
        _ if state.run.running.is_some() => "running …".to_owned(),
        _ => String::new(),
    };
    words_ui(
        ui,
        footer,
        Label::new(RichText::new(words).size(FOOTER_SIZE).weak()).wrap(),
    );
}

/// How the colours came about.
fn pca_text(pca: &PcaShown, common: bool, stale: bool) -> String {
    let percents = pca.explained.iter().map(|share| format!("{:.1}", 100.0 * share));
    let basis = if common {
        "basis of A and B together"
    } else {
        "basis of this map"
    };
    let note = if stale { "  (not yet what is set)" } else { "" };
    format!(
        "variance {} %, {basis}, centred, lowest to highest{note}",
        percents.collect::<Vec<_>>().join(" + ")
    )
}

/// A picture on the screen.
struct Placed {
    size: Size,
    rect: Rect,
}

/// The largest rectangle of a picture's shape inside of an area.
fn fitted(area: Rect, size: Size) -> Rect {
    let (width, height) = (size.width as f32, size.height as f32);
    let scale = (area.width() / width).min(area.height() / height).max(0.0);
    Rect::from_center_size(area.center(), vec2(width, height) * scale)
}

impl Placed {
    /// Pixel coordinates, with pixel centres at whole numbers.
    fn pixels(&self) -> Rect {
        let corner = pos2(-0.5, -0.5);
        Rect::from_min_size(corner, vec2(self.size.width as f32, self.size.height as f32))
    }

    fn on_screen(&self, [x, y]: [f64; 2]) -> Pos2 {
        RectTransform::from_to(self.pixels(), self.rect).transform_pos(pos2(x as f32, y as f32))
    }

    fn pixel_at(&self, pos: Pos2) -> [f64; 2] {
        let pixel = RectTransform::from_to(self.rect, self.pixels()).transform_pos(pos);
        [f64::from(pixel.x), f64::from(pixel.y)]
    }

    /// The part that the model sees.
    fn seen(&self, framing: &Framing) -> Rect {
        let [left, top, right, bottom] = framing.seen();
        Rect::from_min_max(self.on_screen([left, top]), self.on_screen([right, bottom]))
    }
}

fn point_under(response: &Response, slot: Slot, place: &Placed, commands: &mut Vec<Command>) -> Option<PointAt> {
    let inside = |pos: &Pos2| place.rect.contains(*pos);
    if response.secondary_clicked() {
        commands.push(Command::Pin(None));
    }
    if let Some(pos) = response
        .interact_pointer_pos()
        .filter(inside)
        .filter(|_| response.clicked())
    {
        commands.push(Command::Pin(Some(PointAt {
            slot,
            at: place.pixel_at(pos),
        })));
    }
    response.hover_pos().filter(inside).map(|pos| PointAt {
        slot,
        at: place.pixel_at(pos),
    })
}

/// The query point as a cross, the best match as a ring, the next ones smaller.
fn paint_points(painter: &Painter, slot: Slot, place: &Placed, state: &State) {
    let Some(point) = state.query_point() else { return };
    if point.slot == slot {
        let at = place.on_screen(point.at);
        for (width, colour) in [(2.0 * LINE + 1.0, EDGE_COLOUR), (LINE, POINT_COLOUR)] {
            let stroke = Stroke::new(width, colour);
            painter.extend(
                [vec2(CROSS, 0.0), vec2(0.0, CROSS)].map(|arm| Shape::line_segment([at - arm, at + arm], stroke)),
            );
        }
    }
    if let Some(heat) = state.heat_on(slot) {
        paint_matches(painter, place, heat);
    }
}

fn paint_matches(painter: &Painter, place: &Placed, heat: &TargetHeat) {
    for (rank, found) in heat.best.iter().enumerate().rev() {
        let at = place.on_screen(found.at);
        let radius = if rank == 0 { MATCH_RADIUS } else { MATCH_RADIUS / 3.0 };
        painter.circle_stroke(at, radius, Stroke::new(2.0 * LINE + 1.0, EDGE_COLOUR));
        painter.circle_stroke(at, radius, Stroke::new(LINE, POINT_COLOUR));
    }
}

/// Files dropped on a pane open in its slot; two files open in both.
fn take_dropped(ui: &Ui, state: &State, areas: &[(Slot, Rect)], commands: &mut Vec<Command>) {
    let (files, pointer) = ui.input(|input| (input.raw.dropped_files.clone(), input.pointer.latest_pos()));
    let under = pointer.and_then(|pos| areas.iter().find(|(_, rect)| rect.contains(pos)).map(|(slot, _)| *slot));
    let empty = || Slot::ALL.into_iter().find(|slot| state.slot(*slot).picture.is_none());
    let mut slot = under.or_else(empty).unwrap_or(Slot::A);
    for file in files.iter().take(Slot::ALL.len()) {
        commands.push(Command::OpenPicture(
            slot,
            PictureSource::File(file.path().to_path_buf()),
        ));
        slot = slot.other();
    }
}

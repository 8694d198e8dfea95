//! The film strip: one layer at several timesteps or seeds in common colours, and how alike they are.

use std::path::Path;

use egui::{
    Align2, Color32, DragValue, Id, Rect, ScrollArea, Sense, Stroke, StrokeKind, Ui, UiBuilder, WidgetInfo,
    accesskit::Role, pos2, vec2,
};
use egui_tiles::TileId;

use super::{
    controls::{advanced_ui, form_ui, inside_ui, progress_ui, provenance_ui, times_ui},
    curves::{Axes, Curve, curves_ui},
    matrix::matrix_ui,
};
use crate::{
    app::{
        document::{
            choices::StripAxis,
            limits::MOST_FRAMES,
            pane::{Pane, PaneKind},
        },
        export::{
            captions::{form_text, strip_caption},
            content::Content,
            styles::{matrix_style, range_up_to},
            tables::strip_content,
        },
        gpu::textures::Textures,
        state::{
            comparing::Strip,
            filmstrip::{current_frame, frame_name},
            root::State,
        },
        theme,
        update::{
            action::Action,
            command::{Command, look_at},
            view::{PaneView, ViewContext},
        },
        widgets::{action_button_ui, row_ui},
    },
    engine::{ComparisonKind, NotFiniteMap},
    error::Result,
};

/// The least and the greatest height of a frame, in points.
const FRAME_HEIGHTS: [f32; 2] = [80.0, 300.0];
/// The share of the pane's height that frames may take.
const MOST_OF_PANE: f32 = 0.55;
/// Lines of figures under a frame.
const LINES: usize = 2;
/// The least height of the curves, in points.
const LEAST_CURVES: f32 = 220.0;
/// The least and the greatest side of a matrix of figures, in points.
const MATRIX_SIDES: [f32; 2] = [70.0, 170.0];

/// All of a texture.
const WHOLE: Rect = Rect {
    min: pos2(0.0, 0.0),
    max: pos2(1.0, 1.0),
};

/// One activation at several timesteps or seeds.
pub struct StripPane;

impl PaneView for StripPane {
    fn ui(&self, ui: &mut Ui, tile: TileId, _pane: &Pane, context: &mut ViewContext<'_>) {
        inside_ui(ui, |ui| strip_ui(ui, tile, context));
    }

    fn inspector(&self, ui: &mut Ui, _pane: &Pane, state: &State, _textures: &Textures, commands: &mut Vec<Command>) {
        settings_ui(ui, state, commands);
    }

    fn content(&self, state: &State, path: &Path) -> Result<Content> {
        strip_content(state, path)
    }
}

/// Along what, which passes, and how they are compared.
fn settings_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut choice = state.document.strip.clone();
    row_ui(ui, "frames", |ui| {
        ui.radio_value(&mut choice.axis, StripAxis::T, "timesteps");
        ui.radio_value(&mut choice.axis, StripAxis::Seed, "seeds");
    });
    match choice.axis {
        StripAxis::T => times_ui(ui, "Timesteps of the strip", &mut choice.times, state.last_t()),
        StripAxis::Seed => {
            row_ui(ui, "seeds", |ui| {
                let count = DragValue::new(&mut choice.seeds).range(1..=MOST_FRAMES);
                ui.add(count).on_hover_text("Seeds from 0 on, and the one that is set");
            });
        }
    }
    ui.checkbox(&mut choice.all_pictures, "other pictures too")
        .on_hover_text("Make the passes of the other pictures as well, so that every pane follows at once");
    ui.horizontal_wrapped(|ui| {
        for action in [
            Action::EarlierFrame,
            Action::LaterFrame,
            Action::SavePane(PaneKind::Strip),
        ] {
            action_button_ui(ui, state, action, commands);
        }
    });
    advanced_ui(ui, |ui| form_ui(ui, &mut choice.form));
    if choice != state.document.strip {
        commands.push(Command::Strip(choice));
    }
}

/// The whole pane.
fn strip_ui(ui: &mut Ui, tile: TileId, context: &mut ViewContext<'_>) {
    let state = context.state;
    progress_ui(ui, state, ComparisonKind::Strip, context.commands);
    let Some(strip) = &state.comparing.strip else { return };
    provenance_ui(ui, &strip_caption(state, strip));
    let height = ui.available_height();
    ScrollArea::vertical().id_salt(tile).auto_shrink(false).show(ui, |ui| {
        let top = ui.cursor().top();
        let frame = frame_height(ui, strip, height);
        ui.horizontal_wrapped(|ui| {
            for index in 0..strip.members.len() {
                frame_ui(ui, strip, index, frame, context);
            }
        });
        ui.add_space(theme::SPACE_S);
        let left = (height - (ui.cursor().top() - top) - theme::SPACE_M).max(LEAST_CURVES);
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), left), Sense::hover());
        let side = (left / 2.0 - 2.0 * theme::ROW_HEIGHT).clamp(MATRIX_SIDES[0], MATRIX_SIDES[1]);
        let split = rect.right() - side - theme::SPACE_M;
        let matrices = rect.with_min_x(split + theme::SPACE_M);
        ui.scope_builder(UiBuilder::new().max_rect(matrices).id_salt("matrices"), |ui| {
            for (index, title) in ["cosine", form_text(strip.view.query.form)].iter().enumerate() {
                figures_ui(ui, tile, strip, index, title, side, context);
            }
        });
        let curves = rect.with_max_x(split);
        ui.scope_builder(UiBuilder::new().max_rect(curves).id_salt("curves"), |ui| {
            alike_ui(ui, tile, strip, state);
        });
    });
}

/// The height of frames at which they are largest, of all ways to break them into rows.
fn frame_height(ui: &Ui, strip: &Strip, height: f32) -> f32 {
    let count = strip.view.frames.len().max(1);
    let aspect = strip
        .view
        .frames
        .first()
        .map_or(1.0, |frame| frame.grid.width as f32 / frame.grid.height.max(1) as f32);
    let gap = ui.spacing().item_spacing;
    let below = lines_height(ui);
    let of_rows = |rows: usize| {
        let columns = count.div_ceil(rows) as f32;
        let width = (ui.available_width() - (columns - 1.0) * gap.x) / columns;
        let room = MOST_OF_PANE * height / rows as f32 - below - gap.y;
        // Rounding must not break a row earlier.
        (width / aspect).min(room).floor()
    };
    let largest = (1..=count).map(of_rows).fold(0.0, f32::max);
    largest.clamp(FRAME_HEIGHTS[0], FRAME_HEIGHTS[1])
}

/// Height of the figures under a frame.
fn lines_height(ui: &Ui) -> f32 {
    LINES as f32 * ui.text_style_height(&egui::TextStyle::Small) + theme::SPACE_S
}

/// How alike each frame is to what is set, and to the next one.
fn alike_ui(ui: &mut Ui, tile: TileId, strip: &Strip, state: &State) {
    let view = &strip.view;
    let count = view.frames.len();
    let of_seeds = state.document.strip.axis == StripAxis::Seed;
    let place = |index: usize| {
        let settings = strip.members.get(index).map(|(member, _)| &member.settings)?;
        Some(match of_seeds {
            true => settings.seed as f64,
            false => f64::from(settings.t),
        })
    };
    let current = current_frame(state, strip);
    let cosine = |row: usize, column: usize| view.cosine.get(row * count + column).copied();
    let cka = |row: usize, column: usize| view.cka.get(row * count + column).copied().flatten();
    let curve = |name: &str, value: &dyn Fn(usize) -> Option<f64>| Curve {
        name: name.to_owned(),
        points: (0..count)
            .filter_map(|index| Some([place(index)?, value(index).filter(|value| value.is_finite())?]))
            .collect(),
    };
    let next = |index: usize| Some(index + 1).filter(|next| *next < count);
    let form = form_text(view.query.form);
    let curves = [
        curve("cosine, with what is set", &|index| cosine(index, current?)),
        curve(&format!("{form}, with what is set"), &|index| cka(index, current?)),
        curve("cosine, with the next", &|index| cosine(index, next(index)?)),
        curve(&format!("{form}, with the next"), &|index| cka(index, next(index)?)),
    ];
    let settings = &state.document.settings;
    let axes = Axes {
        name: "How alike the frames are",
        x: if of_seeds { "seed" } else { "timestep t" },
        y: "likeness (1: the same)",
        now: if of_seeds {
            settings.seed as f64
        } else {
            f64::from(settings.t)
        },
        references: &[1.0],
    };
    curves_ui(ui, ("strip", tile), &axes, &curves);
}

fn frame_ui(ui: &mut Ui, strip: &Strip, index: usize, height: f32, context: &mut ViewContext<'_>) {
    let (state, view) = (context.state, &strip.view);
    let Some(frame) = view.frames.get(index) else { return };
    let width = height * frame.grid.width as f32 / frame.grid.height as f32;
    let line = ui.text_style_height(&egui::TextStyle::Small);
    let size = vec2(width, height + lines_height(ui));
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    let name = frame_name(strip, index);
    let current = current_frame(state, strip);
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, current == Some(index), &name));
    let picture = Rect::from_min_size(rect.min, vec2(width, height));
    if let Some(texture) = context.textures.strip_frame(index) {
        texture.paint(ui.painter(), picture, WHOLE, Color32::WHITE);
    }
    let tokens = theme::tokens(ui);
    let stroke = match (current == Some(index), response.hovered()) {
        (true, _) => Stroke::new(theme::STROKE_MARK, tokens.accent),
        (false, true) => Stroke::new(theme::STROKE_MARK, tokens.text),
        (false, false) => Stroke::new(theme::STROKE_HAIR, tokens.border),
    };
    ui.painter().rect_stroke(picture, 0.0, stroke, StrokeKind::Inside);
    let count = view.frames.len();
    let with = |other: usize| {
        let cosine = view.cosine.get(index * count + other).copied().unwrap_or(f64::NAN);
        let cka = view.cka.get(index * count + other).copied().flatten();
        (cosine, cka)
    };
    let text = |title: &str, (cosine, cka): (f64, Option<f64>)| {
        let figure = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
        let cosine = Some(cosine).filter(|cosine| cosine.is_finite());
        format!("{title} {} {}", figure(cosine), figure(cka))
    };
    let not_finite = not_finite_frame(strip, index);
    let lines = [
        match not_finite {
            Some(_) => (format!("{name}: not finite"), tokens.error),
            None => (name, tokens.text_strong),
        },
        (
            current.map_or_else(String::new, |current| text("set", with(current))),
            tokens.text,
        ),
    ];
    for (place, (words, colour)) in lines.into_iter().enumerate() {
        let at = pos2(rect.left(), picture.bottom() + theme::SPACE_XS + place as f32 * line);
        let font = egui::TextStyle::Small.resolve(ui.style());
        let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
        painter.text(at, Align2::LEFT_TOP, words, font, colour);
    }
    let hint = "Click to look at it. Below it: cosine and CKA with what is set";
    let hint = match not_finite {
        Some(found) => format!("{} is not finite here: {}. {hint}", found.id, found.numbers),
        None => hint.to_owned(),
    };
    if response.on_hover_text(hint).clicked() {
        context.commands.push(look_at(state, strip, index));
    }
}

/// What of a frame is not finite.
fn not_finite_frame(strip: &Strip, index: usize) -> Option<&NotFiniteMap> {
    let pass = strip.view.query.passes.get(index)?;
    strip.view.not_finite.iter().find(|found| found.pass == *pass)
}

/// All pairs of frames by one figure.
fn figures_ui(
    ui: &mut Ui,
    tile: TileId,
    strip: &Strip,
    which: usize,
    title: &str,
    side: f32,
    context: &mut ViewContext<'_>,
) {
    let Some(scores) = &strip.figures[which] else { return };
    ui.vertical(|ui| {
        let style = matrix_style(context.state.document.display.map, range_up_to(scores, 1.0));
        let [low, high] = style.range;
        ui.weak(format!("{title} {low:.2} to {high:.2}"));
        let id = Id::unique(("strip figures", tile, which));
        let size = vec2(side, side);
        let painter = &context.textures.painter;
        let (response, at) = matrix_ui(ui, title, id, scores, &style, size, painter);
        let Some([row, column]) = at else { return };
        let value = scores.scores().get(scores.grid().index(row, column)).copied();
        let value = value.filter(|value| value.is_finite());
        let value = value.map_or_else(|| "not defined".to_owned(), |value| format!("{value:.4}"));
        let text = format!("{} and {}: {value}", frame_name(strip, row), frame_name(strip, column));
        if response.on_hover_text_at_pointer(text).clicked() {
            context.commands.push(look_at(context.state, strip, row));
        }
    });
}

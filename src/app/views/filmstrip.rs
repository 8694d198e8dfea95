//! The film strip: one layer at several timesteps or seeds in common colours, and how alike they are.

use std::path::Path;

use egui::{
    Align2, Color32, DragValue, Id, Rect, ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo, accesskit::Role, pos2,
    vec2,
};
use egui_tiles::TileId;

use super::{
    controls::{form_ui, inside_ui, progress_ui, times_ui},
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
        widgets::action_button_ui,
    },
    engine::{ComparisonKind, NotFiniteMap},
    error::Result,
};

/// Height of a frame, in points.
const FRAME_HEIGHT: f32 = 104.0;
/// Lines of figures under a frame.
const LINES: usize = 3;
/// Side of a matrix of figures, in points.
const MATRIX_SIDE: f32 = 150.0;

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

    fn content(&self, state: &State, path: &Path) -> Result<Content> {
        strip_content(state, path)
    }
}

/// The whole pane.
fn strip_ui(ui: &mut Ui, tile: TileId, context: &mut ViewContext<'_>) {
    let state = context.state;
    let mut choice = state.document.strip.clone();
    ui.horizontal_wrapped(|ui| {
        ui.radio_value(&mut choice.axis, StripAxis::T, "timesteps");
        ui.radio_value(&mut choice.axis, StripAxis::Seed, "seeds");
        match choice.axis {
            StripAxis::T => times_ui(ui, "Timesteps of the strip", &mut choice.times, state.last_t()),
            StripAxis::Seed => {
                let count = DragValue::new(&mut choice.seeds)
                    .range(1..=MOST_FRAMES)
                    .suffix(" seeds");
                ui.add(count).on_hover_text("Seeds from 0 on, and the one that is set");
            }
        }
        ui.checkbox(&mut choice.all_pictures, "other pictures too")
            .on_hover_text("Make the passes of the other pictures as well, so that every pane follows at once");
        form_ui(ui, &mut choice.form);
        for action in [
            Action::EarlierFrame,
            Action::LaterFrame,
            Action::SavePane(PaneKind::Strip),
        ] {
            action_button_ui(ui, state, action, context.commands);
        }
    });
    progress_ui(ui, state, ComparisonKind::Strip, context.commands);
    if choice != state.document.strip {
        context.commands.push(Command::Strip(choice));
    }
    let Some(strip) = &state.comparing.strip else { return };
    ui.weak(strip_caption(state, strip));
    ScrollArea::vertical().id_salt(tile).auto_shrink(false).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            for index in 0..strip.members.len() {
                frame_ui(ui, strip, index, context);
            }
        });
        ui.horizontal_wrapped(|ui| {
            let titles = [
                "cosine (mean over positions)".to_owned(),
                form_text(strip.view.query.form).to_owned(),
            ];
            for (index, title) in titles.iter().enumerate() {
                figures_ui(ui, tile, strip, index, title, context);
            }
        });
    });
}

fn frame_ui(ui: &mut Ui, strip: &Strip, index: usize, context: &mut ViewContext<'_>) {
    let (state, view) = (context.state, &strip.view);
    let Some(frame) = view.frames.get(index) else { return };
    let width = FRAME_HEIGHT * frame.grid.width as f32 / frame.grid.height as f32;
    let line = ui.text_style_height(&egui::TextStyle::Small);
    let size = vec2(width, FRAME_HEIGHT + (LINES + 1) as f32 * line + theme::SPACE_S);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    let name = frame_name(strip, index);
    let current = current_frame(state, strip);
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, current == Some(index), &name));
    let picture = Rect::from_min_size(rect.min, vec2(width, FRAME_HEIGHT));
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
        (
            match index + 1 < count {
                true => text("next", with(index + 1)),
                false => String::new(),
            },
            tokens.text_weak,
        ),
    ];
    for (place, (words, colour)) in lines.into_iter().enumerate() {
        let at = pos2(rect.left(), picture.bottom() + theme::SPACE_XS + place as f32 * line);
        let font = egui::TextStyle::Small.resolve(ui.style());
        ui.painter().text(at, Align2::LEFT_TOP, words, font, colour);
    }
    let hint = "Click to look at it. Below it: cosine and CKA with the frame that is set, and with the next one";
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
fn figures_ui(ui: &mut Ui, tile: TileId, strip: &Strip, which: usize, title: &str, context: &mut ViewContext<'_>) {
    let Some(scores) = &strip.figures[which] else { return };
    ui.vertical(|ui| {
        ui.weak(title);
        let style = matrix_style(context.state.document.display.map, range_up_to(scores, 1.0));
        let id = Id::unique(("strip figures", tile, which));
        let size = vec2(MATRIX_SIDE, MATRIX_SIDE);
        let painter = &context.textures.painter;
        let (response, at) = matrix_ui(ui, title, id, scores, &style, size, painter);
        ui.weak(format!("{:.2} to {:.2}", style.range[0], style.range[1]));
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

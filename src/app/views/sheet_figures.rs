//! One activation of a survey: what it is called, what a click on it does, and its figures, in a strip or a column with a place of its own, so that they cover no
//! thumbnail.

use egui::{
    Color32, Grid, Label, Response, RichText, ScrollArea, Sense, TextStyle, Ui,
    text::{LayoutJob, TextFormat, TextWrapping},
    vec2,
};

use super::controls::provenance_ui;
use crate::{
    activation::Shape,
    app::{
        document::sheet::SheetSettings,
        gpu::{atlas::Atlas, thumbnails::SheetKey},
        state::survey::SurveyState,
        theme,
        update::{command::Command, view::ViewContext},
    },
    render::score_text,
    survey::{Column, Measurement},
};

/// Side of the thumbnail in the column, in points.
const THUMBNAIL: f32 = 160.0;
/// Lines of figures in the strip.
const LINES: usize = 3;
/// Height of the strip, in points.
pub const STRIP_HEIGHT: f32 = 76.0;
/// Width of the column, in points.
pub const COLUMN_WIDTH: f32 = 240.0;
/// A pane at least this wide has the column in the place of the strip, in points.
pub const LEAST_WITH_COLUMN: f32 = 900.0;

/// Most activations that are marked.
const MOST_MARKED: usize = 12;

/// What a thumbnail is called where it is read out.
pub fn cell_name(finding: &Measurement) -> String {
    let marked = if finding.unmeasured.is_some() {
        ", not measured"
    } else {
        ""
    };
    format!("{} on the sheet{marked}", finding.id)
}

/// A click looks at an activation, or marks it with Ctrl or Shift; the panes show the one under the pointer.
pub fn answer(
    ui: &Ui,
    response: &Response,
    settings: &SheetSettings,
    finding: &Measurement,
    context: &mut ViewContext<'_>,
) {
    if response.hovered() {
        context.peek = Some(finding.id);
    }
    if response.clicked() {
        let several = ui.input(|input| input.modifiers.command || input.modifiers.shift);
        context.commands.push(match several {
            true => mark(settings, finding),
            false => Command::SelectLayer(finding.id),
        });
    }
}

/// Marks what is not marked, and the other way round.
fn mark(settings: &SheetSettings, finding: &Measurement) -> Command {
    let mut chosen = settings.clone();
    match chosen.marked.iter().position(|id| *id == finding.id) {
        Some(place) => {
            chosen.marked.remove(place);
        }
        None if chosen.marked.len() < MOST_MARKED => chosen.marked.push(finding.id),
        None => {}
    }
    Command::Sheet(Box::new(chosen))
}

/// The end of a name tells more than its beginning.
pub fn short_name(name: &str) -> String {
    name.replace("up-level", "up")
        .replace("down-level", "down")
        .replace("-repeat", ".")
        .replace("-vit-block", "·")
        .replace("-vit", " vit")
}

/// A figure of an activation as text; a dash where it has none.
pub fn figure_text(column: Column, finding: &Measurement) -> String {
    column
        .value(finding)
        .map_or_else(|| "–".to_owned(), |value| score_text(value as f32))
}

/// Channels and grid of an activation.
pub fn shape_text(finding: &Measurement) -> String {
    match finding.shape {
        Shape::Features { channels, grid } => format!("{channels}, {} × {}", grid.height, grid.width),
        Shape::Attention { heads, queries, keys } => format!("{heads} heads, {queries} × {keys}"),
    }
}

/// What else than its shape is known of an activation.
fn figures(finding: &Measurement) -> impl Iterator<Item = (Column, String)> {
    let told = Column::ALL.iter().copied().filter(|column| {
        let in_shape = matches!(column, Column::Order | Column::Channels | Column::Positions);
        !in_shape && column.value(finding).is_some()
    });
    told.map(|column| (column, figure_text(column, finding)))
}

/// One line for the name, the others for the figures.
pub fn strip_ui(ui: &mut Ui, survey: &SurveyState, shown: Option<usize>) {
    let tokens = theme::tokens(ui);
    let Some(finding) = shown.and_then(|place| survey.findings.get(place)) else {
        ui.weak("Point at a thumbnail for its figures; click it to look at it, Ctrl+click to mark it.");
        provenance_ui(ui, &survey.in_words());
        return;
    };
    ui.horizontal(|ui| {
        ui.strong(finding.id.to_string());
        ui.weak(format!("{} · {}", finding.facts.kind.name(), shape_text(finding)));
        if let Some(why) = &finding.unmeasured {
            ui.add(Label::new(RichText::new(format!("not measured: {why}")).color(tokens.error)).truncate());
        }
    });
    let font = TextStyle::Small.resolve(ui.style());
    let mut job = LayoutJob::default();
    for (column, text) in figures(finding) {
        let format = |colour: Color32| TextFormat::simple(font.clone(), colour);
        job.append(&format!("{} ", column.title()), 0.0, format(tokens.text_weak));
        job.append(&format!("{text}   "), 0.0, format(tokens.text));
    }
    job.wrap = TextWrapping {
        max_width: ui.available_width(),
        max_rows: LINES,
        ..TextWrapping::default()
    };
    ui.add(Label::new(job));
}

/// A picture and every figure below each other.
pub fn column_ui(ui: &mut Ui, survey: &SurveyState, atlas: &Atlas<SheetKey>, shown: Option<usize>) {
    let Some((place, finding)) = shown.and_then(|place| Some((place, survey.findings.get(place)?))) else {
        ui.add(
            Label::new(
                RichText::new("Point at a thumbnail for its figures; click it to look at it, Ctrl+click to mark it.")
                    .weak(),
            )
            .wrap(),
        );
        return;
    };
    ScrollArea::vertical()
        .id_salt("figures of one")
        .auto_shrink(false)
        .show(ui, |ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(THUMBNAIL, THUMBNAIL), Sense::hover());
            atlas.paint(ui.painter(), place, rect);
            ui.add(Label::new(RichText::new(finding.id.to_string()).strong()).wrap());
            ui.weak(format!("{} · {}", finding.facts.kind.name(), shape_text(finding)));
            if let Some(why) = &finding.unmeasured {
                ui.colored_label(theme::tokens(ui).error, format!("not measured: {why}"));
            }
            Grid::new("figures").num_columns(2).show(ui, |ui| {
                for (column, text) in figures(finding) {
                    ui.add(Label::new(RichText::new(column.title()).weak()))
                        .on_hover_text(format!("{}\n{}", column.about(), column.key()));
                    ui.label(text);
                    ui.end_row();
                }
            });
        });
}

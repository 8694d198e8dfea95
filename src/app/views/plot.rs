//! Figures of every activation as a plot: hover a point to see its layer, click it to look at it.

use std::ops::RangeInclusive;

use egui::{
    Align2, ComboBox, FontId, Rect, Role, ScrollArea, Sense, Shape, Ui, UiBuilder, WidgetInfo, layers::ShapeIdx, pos2,
    vec2,
};
use egui_plot::{GridInput, GridMark, HLine, Line, LineStyle, Plot, PlotPoint, PlotTransform, Points};
use egui_tiles::TileId;

use super::{
    controls::{changed, outdated_ui, provenance_ui},
    plot_marks::{Mark, beside_legend, legend_line_ui, mark},
    sheet_figures::figure_text,
    sheet_settings::{filter_ui, toggle},
};
use crate::{
    activation::{Kind, Stage},
    app::{
        document::{
            pane::Pane,
            sheet::{PlotKind, SheetSettings},
        },
        gpu::textures::Textures,
        state::{root::State, survey::SurveyState},
        theme,
        update::{
            action::Action,
            command::Command,
            view::{PaneView, ViewContext},
        },
        widgets::{Glyph, action_button_ui, empty_ui, name_combo, row_ui},
    },
    render::score_text,
    survey::{Column, Measurement},
};

/// Radius of a point, in points.
const POINT: f32 = 4.0;
/// Radius of the ring around the point of the current layer, in points.
const CHOSEN: f32 = 8.0;
/// Points from the pointer within which a point is hovered.
const NEAR: f32 = 12.0;
/// Points of a thumbnail's side beside the pointer.
const THUMBNAIL: f32 = 72.0;
/// Grid lines of a logarithmic axis: the parts of a decade, and how far apart they count as being, for fading.
const IN_DECADE: [(f64, f64); 3] = [(1.0, 1.0), (2.0, 0.3), (5.0, 0.3)];
/// How strongly every other stage is shaded.
const BAND_OPACITY: f32 = 0.5;
/// Room above the points for the names of the stages, as a share of the height.
const ROOM_FOR_NAMES: f64 = 0.08;

/// Figures of every activation as a plot.
pub struct PlotPane;

impl PaneView for PlotPane {
    fn ui(&self, ui: &mut Ui, _tile: TileId, _pane: &Pane, context: &mut ViewContext<'_>) {
        let inner = ui.max_rect().shrink(theme::SPACE_S);
        ui.scope_builder(UiBuilder::new().max_rect(inner), |ui| plot_ui(ui, context));
    }

    fn inspector(&self, ui: &mut Ui, _pane: &Pane, state: &State, _textures: &Textures, commands: &mut Vec<Command>) {
        settings_ui(ui, state, commands);
    }
}

/// What the axes show, and what is left out.
fn settings_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let settings = &state.document.sheet;
    let mut chosen = settings.clone();
    for (name, kind) in READY {
        if ui.selectable_label(chosen.plot == kind, name).clicked() {
            chosen.plot = kind;
        }
    }
    if let PlotKind::Figures { x, y } = &mut chosen.plot {
        for (label, name, column) in [("y", "Upwards", y), ("x", "To the right", x)] {
            row_ui(ui, label, |ui| {
                let combo = ComboBox::from_id_salt(("axis", label))
                    .selected_text(column.title())
                    .show_ui(ui, |ui| {
                        for other in Column::ALL {
                            ui.selectable_value(column, *other, other.title())
                                .on_hover_text(format!("{}\nIn files: {}", other.about(), other.key()));
                        }
                    });
                name_combo(&combo.response, name, column.title());
            });
        }
        let mut logarithmic = !chosen.linear;
        ui.checkbox(&mut logarithmic, "logarithmic noise")
            .on_hover_text("Noise spans decades: a logarithmic axis shows all of them");
        chosen.linear = !logarithmic;
    }
    if let Some(survey) = &state.survey {
        filter_ui(ui, &mut chosen, survey);
    }
    if chosen != *settings {
        commands.push(Command::Sheet(Box::new(chosen)));
    }
}

/// Plots that are ready to be chosen.
const READY: [(&str, PlotKind); 3] = [
    (
        "Noise against depth",
        PlotKind::Figures {
            x: Column::Depth,
            y: Column::Nsr,
        },
    ),
    (
        "Granularity in a level",
        PlotKind::Figures {
            x: Column::Block,
            y: Column::SignalCentroid,
        },
    ),
    ("Similarity against distance", PlotKind::Locality),
];

/// What it is of, and the plot.
fn plot_ui(ui: &mut Ui, context: &mut ViewContext<'_>) {
    let state = context.state;
    let Some(survey) = &state.survey else {
        empty_ui(
            ui,
            Glyph::Cells,
            "No survey yet",
            "What a survey measures is plotted here",
        );
        ui.vertical_centered(|ui| action_button_ui(ui, state, Action::Survey, context.commands));
        return;
    };
    let settings = &state.document.sheet;
    ui.horizontal(|ui| {
        ui.strong(match settings.plot {
            PlotKind::Figures { x, y } => format!("{} against {}", y.title(), lower(x.title())),
            PlotKind::Locality => "Similarity against distance".to_owned(),
        });
        if let Some(other) = state.survey_is_of_something_else(survey) {
            outdated_ui(ui, &other);
        }
        provenance_ui(ui, &survey.in_words());
    });
    match settings.plot {
        PlotKind::Figures { x, y } => figures_plot_ui(ui, settings, survey, [x, y], context),
        PlotKind::Locality => locality_plot_ui(ui, settings, survey, context),
    }
}

/// Inside of a sentence.
fn lower(title: &str) -> String {
    title.to_lowercase()
}

/// A figure along one axis.
#[derive(Clone, Copy)]
struct Axis {
    column: Column,
    logarithmic: bool,
}

impl Axis {
    fn new(column: Column, settings: &SheetSettings) -> Self {
        let logarithmic = column.spans_decades() && !settings.linear;
        Self { column, logarithmic }
    }

    /// Where a value lies on the axis; a logarithmic one has no place for 0.
    fn place(self, value: f64) -> Option<f64> {
        let place = if self.logarithmic { value.log10() } else { value };
        place.is_finite().then_some(place)
    }

    /// What a place on the axis says.
    fn text(self, place: f64) -> String {
        let value = if self.logarithmic { 10_f64.powf(place) } else { place };
        score_text(value as f32)
    }

    /// Its figure and what it is counted in.
    fn title(self) -> String {
        let scale = if self.logarithmic { ", logarithmic" } else { "" };
        match self.column.unit() {
            Some(unit) => format!("{} ({unit}{scale})", self.column.title()),
            None => self.column.title().to_owned(),
        }
    }
}

/// Lines at 1, 2 and 5 of every decade that is in sight.
fn decades(input: GridInput) -> Vec<GridMark> {
    let (low, high) = input.bounds;
    let exponents = low.floor() as i64..=high.ceil() as i64;
    let marks = exponents.flat_map(|exponent| {
        IN_DECADE.map(|(part, step_size)| GridMark {
            value: exponent as f64 + part.log10(),
            step_size,
        })
    });
    marks.filter(|mark| (low..=high).contains(&mark.value)).collect()
}

/// Where an activation is in the plot, where it has both figures.
fn point(finding: &Measurement, axes: [Axis; 2]) -> Option<[f64; 2]> {
    let [x, y] = axes;
    Some([x.place(x.column.value(finding)?)?, y.place(y.column.value(finding)?)?])
}

fn figures_plot_ui(
    ui: &mut Ui,
    settings: &SheetSettings,
    survey: &SurveyState,
    columns: [Column; 2],
    context: &mut ViewContext<'_>,
) {
    let axes = columns.map(|column| Axis::new(column, settings));
    let shown = settings.shown(&survey.findings);
    let mut points = Vec::new();
    let mut without = 0;
    for index in shown {
        match point(&survey.findings[index], axes) {
            Some(point) => points.push((index, point)),
            None => without += 1,
        }
    }
    if without > 0 {
        ui.weak(format!("{without} activations have no place on these axes"))
            .on_hover_text("They lack one of both figures, or it is 0 where the axis is logarithmic");
    }
    let [left, right] = beside_legend(ui);
    let builder = UiBuilder::new().max_rect(right).id_salt("legend");
    ui.scope_builder(builder, |ui| legend_ui(ui, settings, survey, context));
    ui.scope_builder(UiBuilder::new().max_rect(left).id_salt("plot"), |ui| {
        if points.is_empty() {
            ui.weak("No activation that is left has both figures.");
        } else {
            scatter_ui(ui, survey, axes, &points, context);
        }
    });
}

/// The kinds of activations with their marks; a click leaves one out, here and among the thumbnails.
fn legend_ui(ui: &mut Ui, settings: &SheetSettings, survey: &SurveyState, context: &mut ViewContext<'_>) {
    let tokens = theme::tokens(ui);
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            if !survey.findings.iter().any(|finding| finding.facts.kind == kind) {
                continue;
            }
            let on = !settings.hidden_kinds.contains(&kind);
            let hint = "Click to leave this kind out, here and among the thumbnails";
            if legend_line_ui(ui, mark(tokens, number), kind.name(), on, hint) {
                let command = changed(context.state, |settings| toggle(&mut settings.hidden_kinds, kind));
                context.commands.push(command);
            }
        }
    });
}

/// The points, with the stages behind them.
fn scatter_ui(
    ui: &mut Ui,
    survey: &SurveyState,
    axes: [Axis; 2],
    points: &[(usize, [f64; 2])],
    context: &mut ViewContext<'_>,
) {
    let tokens = theme::tokens(ui);
    let chosen = context.state.document.layer.and_then(|id| {
        let place = survey.place_of(id)?;
        point(&survey.findings[place], axes)
    });
    let behind = ui.painter().add(Shape::Noop);
    let [x, y] = axes;
    let highest = points.iter().map(|(_, [_, y])| *y).fold(f64::NEG_INFINITY, f64::max);
    let lowest = points.iter().map(|(_, [_, y])| *y).fold(f64::INFINITY, f64::min);
    let mut plot = Plot::new(("figures", x.column, y.column, y.logarithmic, x.logarithmic))
        .x_axis_label(x.title())
        .y_axis_label(y.title())
        .x_axis_formatter(move |mark: GridMark, _: &RangeInclusive<f64>| x.text(mark.value))
        .y_axis_formatter(move |mark: GridMark, _: &RangeInclusive<f64>| y.text(mark.value))
        .include_y(highest + ROOM_FOR_NAMES * (highest - lowest))
        .show_background(false)
        .allow_scroll(false)
        .label_formatter(|_| None);
    if x.logarithmic {
        plot = plot.x_grid_spacer(decades);
    }
    if y.logarithmic {
        plot = plot.y_grid_spacer(decades);
    }
    let response = plot.show(ui, |plot| {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            let of_kind = points
                .iter()
                .filter(|(index, _)| survey.findings[*index].facts.kind == kind);
            let of_kind: Vec<[f64; 2]> = of_kind.map(|(_, point)| *point).collect();
            if !of_kind.is_empty() {
                let Mark { colour, shape } = mark(tokens, number);
                let points = Points::new(kind.name(), of_kind).radius(POINT);
                plot.points(points.color(colour).shape(shape).allow_hover(false));
            }
        }
        if let Some(chosen) = chosen {
            let ring = Points::new("current layer", vec![chosen]).allow_hover(false);
            plot.points(ring.radius(CHOSEN).filled(false).color(tokens.accent));
        }
    });
    let stages = stages_along(survey, x.column);
    bands_ui(ui, behind, &response.transform, &stages);
    let name = format!("{} against {}", y.column.title(), x.column.title());
    let answer = response.response;
    answer.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    let transform = response.transform;
    let nearest = answer.hover_pos().and_then(|pointer| {
        let distance = |point: &[f64; 2]| {
            let at = transform.position_from_point(&PlotPoint::from(*point));
            at.distance(pointer)
        };
        let near = points.iter().map(|(index, point)| (*index, distance(point)));
        let near = near.filter(|(_, distance)| *distance < NEAR);
        near.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
    });
    let Some(index) = nearest else { return };
    let finding = &survey.findings[index];
    // The panes show it where it is kept, and stay with it after a click.
    context.peek = Some(finding.id);
    if answer.clicked() {
        context.commands.push(Command::SelectLayer(finding.id));
    }
    answer.on_hover_ui_at_pointer(|ui| {
        ui.horizontal(|ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(THUMBNAIL, THUMBNAIL), Sense::hover());
            context.textures.sheet.paint(ui.painter(), index, rect);
            ui.vertical(|ui| {
                ui.strong(finding.id.to_string());
                for axis in [y, x] {
                    ui.label(format!("{} {}", axis.column.title(), figure_text(axis.column, finding)));
                }
            });
        });
    });
}

/// The stages of the network along an axis on which they lie behind each other: from where to where.
fn stages_along(survey: &SurveyState, column: Column) -> Vec<(Stage, [f64; 2])> {
    if !matches!(column, Column::Depth | Column::Order) {
        return Vec::new();
    }
    let mut stages: Vec<(Stage, [f64; 2])> = Vec::new();
    for finding in &survey.findings {
        let Some(at) = column.value(finding) else { continue };
        let stage = finding.facts.stage;
        match stages.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, [from, to])) => [*from, *to] = [from.min(at), to.max(at)],
            None => stages.push((stage, [at, at])),
        }
    }
    stages.sort_by(|a, b| a.1[0].total_cmp(&b.1[0]));
    // One begins half-way behind the end of the one before.
    for place in 1..stages.len() {
        let middle = (stages[place - 1].1[1] + stages[place].1[0]) / 2.0;
        stages[place - 1].1[1] = middle;
        stages[place].1[0] = middle;
    }
    stages
}

/// Shades every other stage behind a plot, and names those that have room for their name.
fn bands_ui(ui: &Ui, behind: ShapeIdx, transform: &PlotTransform, stages: &[(Stage, [f64; 2])]) {
    let tokens = theme::tokens(ui);
    let frame = *transform.frame();
    let mut shapes = vec![Shape::rect_filled(frame, 0.0, tokens.inset)];
    for (number, (stage, [from, to])) in stages.iter().enumerate() {
        let [left, right] = [*from, *to].map(|x| transform.position_from_point_x(x));
        // The first and the last reach to the edges.
        let left = if number == 0 { frame.left() } else { left };
        let right = if number + 1 == stages.len() {
            frame.right()
        } else {
            right
        };
        let band = Rect::from_x_y_ranges(left..=right, frame.y_range()).intersect(frame);
        if !band.is_positive() {
            continue;
        }
        if number % 2 == 1 {
            let colour = tokens.button.gamma_multiply(BAND_OPACITY);
            shapes.push(Shape::rect_filled(band, 0.0, colour));
        }
        let font = FontId::proportional(theme::FONT_SMALL);
        let galley = ui
            .painter()
            .layout_no_wrap(stage.name().to_owned(), font, tokens.text_weak);
        if galley.size().x < band.width() {
            let at = pos2(band.center().x, band.top() + theme::SPACE_XS);
            let rect = Align2::CENTER_TOP.anchor_size(at, galley.size());
            shapes.push(Shape::galley(rect.min, galley, tokens.text_weak));
        }
    }
    ui.painter().set(behind, Shape::Vec(shapes));
}

fn locality_plot_ui(ui: &mut Ui, settings: &SheetSettings, survey: &SurveyState, context: &mut ViewContext<'_>) {
    let mut ids = settings.marked.clone();
    ids.extend(context.state.document.layer.filter(|id| !settings.marked.contains(id)));
    let found: Vec<&Measurement> = ids
        .iter()
        .filter_map(|id| survey.findings.get(survey.place_of(*id)?))
        .map(AsRef::as_ref)
        .collect();
    if found.is_empty() {
        ui.weak("Mark layers among the thumbnails (Ctrl+click), or look at one that was measured.");
        return;
    }
    let tokens = theme::tokens(ui);
    provenance_ui(
        ui,
        "Mean cosine of positions at a distance; dashed: of all pairs. Distances are shares of the short side.",
    );
    let [left, right] = beside_legend(ui);
    ui.scope_builder(UiBuilder::new().max_rect(right).id_salt("legend"), |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for (number, finding) in found.iter().enumerate() {
            let name = finding.id.to_string();
            if legend_line_ui(ui, mark(tokens, number), &name, true, "Click to look at it") {
                context.commands.push(Command::SelectLayer(finding.id));
            }
        }
    });
    ui.scope_builder(UiBuilder::new().max_rect(left).id_salt("plot"), |ui| {
        let response = Plot::new("locality")
            .x_axis_label("Distance (share of the short side)")
            .y_axis_label("Similarity (mean cosine)")
            .allow_scroll(false)
            .show(ui, |plot| {
                for (number, finding) in found.iter().enumerate() {
                    let Mark { colour, shape } = mark(tokens, number);
                    let locality = &finding.figures.locality;
                    let place =
                        |(index, score): (usize, &f64)| [(index + 1) as f64 / locality.short_side as f64, *score];
                    let curve: Vec<[f64; 2]> = locality.curve.iter().enumerate().map(place).collect();
                    let name = finding.id.to_string();
                    plot.hline(
                        HLine::new(format!("{name}, all pairs"), locality.baseline)
                            .color(colour)
                            .style(LineStyle::dashed_loose())
                            .allow_hover(false),
                    );
                    plot.line(
                        Line::new(name.clone(), curve.clone())
                            .color(colour)
                            .width(theme::STROKE_MARK),
                    );
                    plot.points(Points::new(name, curve).color(colour).shape(shape).radius(POINT));
                }
            });
        response
            .response
            .widget_info(|| WidgetInfo::labeled(Role::Image, true, "Similarity against distance"));
    });
}

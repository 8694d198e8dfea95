//! Figures of every activation as a plot: hover a point to see its layer, click it to look at it.

use std::collections::BTreeMap;

use egui::{ComboBox, Role, Sense, Ui, UiBuilder, WidgetInfo, vec2};
use egui_plot::{Corner, HLine, Legend, Line, Plot, PlotPoint, Points};
use egui_tiles::TileId;

use super::{contact_sheet::figures_ui, controls::changed};
use crate::{
    activation::Name,
    app::{
        document::{
            pane::Pane,
            sheet::{PlotKind, SheetSettings},
        },
        state::survey::SurveyState,
        theme,
        update::{
            action::Action,
            command::Command,
            view::{PaneView, ViewContext},
        },
        widgets::{Glyph, action_button_ui, empty_ui},
    },
    survey::{Column, Measurement},
};

/// Radius of a point, in points.
const POINT: f32 = 3.0;
/// Radius of the point of the layer looked at.
const CHOSEN: f32 = 6.0;
/// Points from the pointer within which a point is hovered.
const NEAR: f32 = 12.0;
/// Points of a thumbnail's side beside the pointer.
const THUMBNAIL: f32 = 96.0;

/// Figures of every activation as a plot.
pub struct PlotPane;

impl PaneView for PlotPane {
    fn ui(&self, ui: &mut Ui, _tile: TileId, _pane: &Pane, context: &mut ViewContext<'_>) {
        plot_ui(ui, context);
    }
}

/// The plot, and what can be chosen above it.
fn plot_ui(ui: &mut Ui, context: &mut ViewContext<'_>) {
    let inner = ui.max_rect().shrink(theme::SPACE_S);
    ui.scope_builder(UiBuilder::new().max_rect(inner), |ui| {
        let Some(survey) = &context.state.survey else {
            empty_ui(
                ui,
                Glyph::Cells,
                "No survey yet",
                "What a survey measures is plotted here",
            );
            ui.vertical_centered(|ui| action_button_ui(ui, context.state, Action::Survey, context.commands));
            return;
        };
        let settings = &context.state.document.sheet;
        choices_ui(ui, settings, context);
        ui.weak(survey.in_words());
        match settings.plot {
            PlotKind::Figures { x, y } => figures_plot_ui(ui, settings, survey, [x, y], context),
            PlotKind::Locality => locality_plot_ui(ui, settings, survey, context),
        }
    });
}

fn choices_ui(ui: &mut Ui, settings: &SheetSettings, context: &mut ViewContext<'_>) {
    let mut plot = settings.plot;
    ui.horizontal_wrapped(|ui| {
        let ready = [
            ("Noise against depth", PlotKind::default()),
            (
                "Granularity in a level",
                PlotKind::Figures {
                    x: Column::Block,
                    y: Column::SignalCentroid,
                },
            ),
            ("Similarity against distance", PlotKind::Locality),
        ];
        for (name, kind) in ready {
            if ui.selectable_label(plot == kind, name).clicked() {
                plot = kind;
            }
        }
        if let PlotKind::Figures { x, y } = &mut plot {
            for (label, column) in [("upwards", y), ("to the right", x)] {
                ComboBox::from_label(label)
                    .selected_text(column.title())
                    .show_ui(ui, |ui| {
                        for other in Column::ALL {
                            ui.selectable_value(column, *other, other.title())
                                .on_hover_text(other.about());
                        }
                    });
            }
        }
    });
    if plot != settings.plot {
        context
            .commands
            .push(changed(context.state, |settings| settings.plot = plot));
    }
}

/// Where an activation is in the plot, where it has both figures.
fn point(finding: &Measurement, [x, y]: [Column; 2]) -> Option<[f64; 2]> {
    let point = [x.value(finding)?, y.value(finding)?];
    point.iter().all(|value| value.is_finite()).then_some(point)
}

fn figures_plot_ui(
    ui: &mut Ui,
    settings: &SheetSettings,
    survey: &SurveyState,
    axes: [Column; 2],
    context: &mut ViewContext<'_>,
) {
    let shown = settings.shown(&survey.findings);
    let mut kinds: BTreeMap<Name, Vec<[f64; 2]>> = BTreeMap::new();
    let mut points = Vec::new();
    for index in shown {
        let finding = &survey.findings[index];
        if let Some(point) = point(finding, axes) {
            kinds.entry(finding.facts.word).or_default().push(point);
            points.push((index, point));
        }
    }
    if points.is_empty() {
        ui.weak("No activation that is left has both figures.");
        return;
    }
    let chosen = context.state.document.layer.and_then(|id| {
        let place = survey.place_of(id)?;
        point(&survey.findings[place], axes)
    });
    let tokens = theme::tokens(ui);
    let response = Plot::new(("figures", axes))
        .x_axis_label(axes[0].title())
        .y_axis_label(axes[1].title())
        .legend(Legend::default().position(Corner::RightTop))
        .label_formatter(|_| None)
        .show(ui, |plot| {
            for (number, (kind, points)) in kinds.into_iter().enumerate() {
                let colour = tokens.pin(number as u32 + 1);
                plot.points(Points::new(kind.as_str(), points).radius(POINT).color(colour));
            }
            if let Some(chosen) = chosen {
                let ring = Points::new("looked at", vec![chosen]);
                plot.points(ring.radius(CHOSEN).filled(false).color(tokens.accent));
            }
        });
    response.response.widget_info(|| {
        WidgetInfo::labeled(
            Role::Image,
            true,
            format!("{} against {}", axes[1].title(), axes[0].title()),
        )
    });
    let pointer = response.response.hover_pos();
    let nearest = pointer.and_then(|pointer| {
        let distance = |point: &[f64; 2]| {
            let at = response.transform.position_from_point(&PlotPoint::from(*point));
            at.distance(pointer)
        };
        let near = points.iter().map(|(index, point)| (*index, distance(point)));
        let near = near.filter(|(_, distance)| *distance < NEAR);
        near.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
    });
    if let Some(index) = nearest {
        let id = survey.findings[index].id;
        // The panes show it where it is kept, and stay with it after a click.
        context.peek = Some(id);
        if response.response.clicked() {
            context.commands.push(Command::SelectLayer(id));
        }
        response.response.on_hover_ui_at_pointer(|ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(THUMBNAIL, THUMBNAIL), Sense::hover());
            context.textures.sheet.paint(ui.painter(), index, rect);
            figures_ui(ui, &survey.findings[index]);
        });
    }
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
        ui.weak("Mark layers on the contact sheet (Ctrl-click), or look at one that was measured.");
        return;
    }
    let tokens = theme::tokens(ui);
    ui.weak("Mean cosine of positions at a distance; dashed: of all pairs. Distances are shares of the short side.");
    let response = Plot::new("locality")
        .x_axis_label("Distance")
        .y_axis_label("Similarity")
        .legend(Legend::default().position(Corner::RightTop))
        .show(ui, |plot| {
            for (number, finding) in found.iter().enumerate() {
                let colour = tokens.pin(number as u32 + 1);
                let locality = &finding.figures.locality;
                let place = |(index, score): (usize, &f64)| [(index + 1) as f64 / locality.short_side as f64, *score];
                let curve: Vec<[f64; 2]> = locality.curve.iter().enumerate().map(place).collect();
                let name = finding.id.to_string();
                plot.hline(
                    HLine::new(format!("{name}, all pairs"), locality.baseline)
                        .color(colour)
                        .style(egui_plot::LineStyle::dashed_loose())
                        .allow_hover(false),
                );
                plot.line(Line::new(name, curve).color(colour).width(2.0));
            }
        });
    response
        .response
        .widget_info(|| WidgetInfo::labeled(Role::Image, true, "Similarity against distance"));
}

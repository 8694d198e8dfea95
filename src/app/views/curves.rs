//! Curves over timesteps or seeds, with their legend beside them.

use egui::{Role, Ui, UiBuilder, WidgetInfo};
use egui_plot::{HLine, HoverPosition, Line, Plot, PlotPoints, Points, VLine};

use super::plot_marks::{Mark, beside_legend, legend_line_ui, mark};
use crate::app::theme;

/// Radius of a point of a curve, in points.
const POINT_RADIUS: f32 = 4.0;
/// How strongly lines of reference are drawn.
const REFERENCE: f32 = 0.5;

/// A curve.
pub struct Curve {
    /// What it is called.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<[f64; 2]>,
}

/// What a plot of curves shows besides.
pub struct Axes<'a> {
    /// What the plot is called where it is read out.
    pub name: &'a str,
    /// To the right, with its unit.
    pub x: &'a str,
    /// Upwards, with its unit.
    pub y: &'a str,
    /// What is set.
    pub now: f64,
    /// Values that the others are measured against.
    pub references: &'a [f64],
}

/// The curves as large as there is room for.
pub fn curves_ui(ui: &mut Ui, id: impl std::hash::Hash + std::fmt::Debug, axes: &Axes<'_>, curves: &[Curve]) {
    let tokens = theme::tokens(ui);
    let [left, right] = beside_legend(ui);
    ui.scope_builder(UiBuilder::new().max_rect(right).id_salt("legend"), |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for (number, curve) in curves.iter().enumerate() {
            legend_line_ui(ui, mark(tokens, number), &curve.name, true, "");
        }
    });
    ui.scope_builder(UiBuilder::new().max_rect(left).id_salt("plot"), |ui| {
        let weak = tokens.text_weak.gamma_multiply(REFERENCE);
        let x_name = axes.x;
        let response = Plot::new(id)
            .x_axis_label(axes.x)
            .y_axis_label(axes.y)
            .allow_scroll(false)
            .label_formatter(move |at| match at {
                HoverPosition::NearDataPoint {
                    plot_name, position, ..
                } => Some(format!("{plot_name}\n{x_name} {:.0}: {:.4}", position.x, position.y)),
                HoverPosition::Elsewhere { .. } => None,
            })
            .show(ui, |plot| {
                for value in axes.references {
                    plot.hline(HLine::new("", *value).color(weak).allow_hover(false));
                }
                plot.vline(VLine::new("", axes.now).color(tokens.accent).allow_hover(false));
                for (number, curve) in curves.iter().enumerate() {
                    let Mark { colour, shape } = mark(tokens, number);
                    let points = || PlotPoints::from(curve.points.clone());
                    plot.line(Line::new(&curve.name, points()).color(colour));
                    let marks = Points::new(&curve.name, points()).radius(POINT_RADIUS);
                    plot.points(marks.color(colour).shape(shape));
                }
            });
        let name = axes.name.to_owned();
        response
            .response
            .widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    });
}

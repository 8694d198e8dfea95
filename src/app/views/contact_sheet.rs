//! The layers of a network, surveyed: every activation with its picture and its figures, as the network runs, in rows, or as
//! a table.

use egui::{
    Align2, Button, Color32, ComboBox, FontId, Label, ProgressBar, Rect, RichText, Role, ScrollArea, Sense, Slider,
    Stroke, StrokeKind, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};
use egui_tiles::TileId;

use super::{
    controls::{changed, outdated_ui, provenance_ui},
    sheet_figures::{
        COLUMN_WIDTH, LEAST_WITH_COLUMN, STRIP_HEIGHT, answer, cell_name, column_ui, figure_text, short_name, strip_ui,
    },
    sheet_layout::{BAND_TITLE, Layout, as_it_runs, cell_size, flow},
    sheet_settings::settings_ui,
    sheet_table::table_ui,
};
use crate::{
    app::{
        document::{
            limits::THUMBNAIL_RANGE,
            pane::Pane,
            sheet::{SheetSettings, SheetView},
        },
        gpu::textures::Textures,
        state::{root::State, survey::SurveyState},
        theme,
        update::{
            action::Action,
            command::Command,
            view::{PaneView, ViewContext},
        },
        widgets::{Glyph, action_button_ui, empty_ui, name_combo},
    },
    survey::{Column, Measurement},
};

/// Points of a line under a thumbnail.
const LINE: f32 = 15.0;
/// Points of a thumbnail's side among those that are marked.
const MARKED_SIDE: f32 = 96.0;
/// Widths of the bar of progress and of the slider of sizes, in points.
const PROGRESS_WIDTH: f32 = 150.0;
const SLIDER_WIDTH: f32 = 70.0;
/// What is left of a pane for the thumbnails, however much is marked below them, as a share of its height.
const LEAST_OF_THUMBNAILS: f32 = 0.5;

/// Every activation, measured.
pub struct SheetPane;

impl PaneView for SheetPane {
    fn ui(&self, ui: &mut Ui, _tile: TileId, _pane: &Pane, context: &mut ViewContext<'_>) {
        let inner = ui.max_rect().shrink(theme::SPACE_S);
        ui.scope_builder(UiBuilder::new().max_rect(inner), |ui| sheet_ui(ui, context));
    }

    fn inspector(&self, ui: &mut Ui, _pane: &Pane, state: &State, _textures: &Textures, commands: &mut Vec<Command>) {
        settings_ui(ui, state, commands);
    }
}

/// What is done here, how it is laid out, the thumbnails, and the figures of one of them.
fn sheet_ui(ui: &mut Ui, context: &mut ViewContext<'_>) {
    head_ui(ui, context);
    let Some(survey) = &context.state.survey else {
        empty_ui(
            ui,
            Glyph::Cells,
            "No survey yet",
            "Survey every layer: noise, locality and granularity of each, with a picture of it",
        );
        return;
    };
    let settings = &context.state.document.sheet;
    let shown = settings.shown(&survey.findings);
    choices_ui(ui, settings, survey, shown.len(), context);
    let whole = ui.available_rect_before_wrap();
    let with_column = whole.width() >= LEAST_WITH_COLUMN;
    let (mut cells, mut figures) = (whole, whole);
    if with_column {
        cells.max.x -= COLUMN_WIDTH + theme::SPACE_M;
        figures.min.x = figures.max.x - COLUMN_WIDTH;
    } else {
        cells.max.y -= STRIP_HEIGHT + theme::SPACE_S;
        figures.min.y = cells.max.y + theme::SPACE_S;
    }
    let below = MARKED_SIDE + 2.0 * LINE + 2.0 * theme::SPACE_M;
    let marks = !settings.marked.is_empty() && below < (1.0 - LEAST_OF_THUMBNAILS) * cells.height();
    let mut marked = cells;
    if marks {
        cells.max.y -= below;
        marked.min.y = cells.max.y;
    }
    let hovered = ui.scope_builder(UiBuilder::new().max_rect(cells).id_salt("cells"), |ui| {
        match settings.shown_as() {
            _ if shown.is_empty() => {
                nothing_ui(ui, survey);
                None
            }
            SheetView::Table => table_ui(ui, settings, survey, &shown, context),
            view => cells_ui(ui, view, settings, survey, &shown, context),
        }
    });
    let mut hovered = hovered.inner;
    if marks {
        let builder = UiBuilder::new().max_rect(marked).id_salt("marked");
        let over = ui.scope_builder(builder, |ui| marked_ui(ui, settings, survey, context));
        hovered = over.inner.or(hovered);
    }
    let current = || survey.place_of(context.state.document.layer?);
    let told = hovered.or_else(current);
    ui.scope_builder(UiBuilder::new().max_rect(figures).id_salt("figures"), |ui| {
        ui.shrink_clip_rect(figures);
        if with_column {
            column_ui(ui, survey, &context.textures.sheet, told);
        } else {
            strip_ui(ui, survey, told);
        }
    });
}

/// What is begun here, and what the survey is of.
fn head_ui(ui: &mut Ui, context: &mut ViewContext<'_>) {
    let state = context.state;
    ui.horizontal(|ui| {
        action_button_ui(ui, state, Action::Survey, context.commands);
        let Some(survey) = &state.survey else { return };
        if state.surveys_now() {
            progress_ui(ui, state, survey);
        } else if let Some(other) = state.survey_is_of_something_else(survey) {
            outdated_ui(ui, &other);
        }
        provenance_ui(ui, &survey.in_words());
    });
}

/// How far a survey is.
fn progress_ui(ui: &mut Ui, state: &State, survey: &SurveyState) {
    let found = survey.findings.len();
    let all = survey.about.as_ref().map_or(found, |about| about.activations);
    let study = state.studies.iter().find(|study| study.number == survey.job);
    let fraction = study.and_then(|study| study.fraction).unwrap_or(0.0);
    let bar = ProgressBar::new(fraction).desired_width(PROGRESS_WIDTH);
    ui.add(bar.text(format!("{found} of {all} measured")));
}

/// Order, layout and size; `left` activations are shown.
fn choices_ui(ui: &mut Ui, settings: &SheetSettings, survey: &SurveyState, left: usize, context: &mut ViewContext<'_>) {
    let mut chosen = settings.clone();
    ui.horizontal_wrapped(|ui| {
        ui.weak("sort");
        let name = chosen.sort.map_or("as the network runs", Column::title);
        let mut sort = chosen.sort;
        let combo = ComboBox::from_id_salt("sort").selected_text(name).show_ui(ui, |ui| {
            ui.selectable_value(&mut sort, None, "as the network runs");
            for column in Column::ALL {
                ui.selectable_value(&mut sort, Some(*column), column.title())
                    .on_hover_text(format!("{}\nIn files: {}", column.about(), column.key()));
            }
        });
        name_combo(&combo.response, "Sort by", name);
        if sort != chosen.sort {
            chosen.sort_by(sort);
        }
        let arrow = if chosen.descending { "↓" } else { "↑" };
        let turn = ui.add_enabled(chosen.sort.is_some(), Button::new(arrow));
        turn.widget_info(|| WidgetInfo::selected(Role::Button, true, settings.descending, "Largest first"));
        if turn.on_hover_text("Largest or smallest first").clicked() {
            chosen.descending = !chosen.descending;
        }
        ui.weak("view");
        let now = chosen.shown_as();
        for view in SheetView::ALL {
            let button = ui.selectable_label(now == view, view.name());
            if button.on_hover_text(view.about()).clicked() {
                chosen.view = Some(view);
            }
        }
        if now != SheetView::Table {
            ui.weak("size");
            let [least, most] = THUMBNAIL_RANGE;
            ui.spacing_mut().slider_width = SLIDER_WIDTH;
            let size = ui.add(Slider::new(&mut chosen.side, least..=most).show_value(false));
            size.widget_info(|| WidgetInfo::slider(true, f64::from(settings.side), "Size of the thumbnails"));
            size.on_hover_text("Size of the thumbnails");
        }
        let words = format!("{left} of {}", survey.findings.len());
        let label = ui.strong(&words);
        label.widget_info(|| WidgetInfo::labeled(Role::Label, true, &words));
        label.on_hover_text("Activations that are left by the filter, which is in the inspector");
    });
    if chosen != *settings {
        context.commands.push(Command::Sheet(Box::new(chosen)));
    }
}

/// Why there is no thumbnail.
fn nothing_ui(ui: &mut Ui, survey: &SurveyState) {
    let hint = match survey.findings.is_empty() {
        true => "The first thumbnails come with the first layers.",
        false => "Nothing is left by the filter: \"Show all\" in the inspector takes it away.",
    };
    ui.weak(hint);
}

/// The thumbnails that are in sight; gives the place among the findings of the one under the pointer.
fn cells_ui(
    ui: &mut Ui,
    view: SheetView,
    settings: &SheetSettings,
    survey: &SurveyState,
    shown: &[usize],
    context: &mut ViewContext<'_>,
) -> Option<usize> {
    let area = ScrollArea::vertical().id_salt("thumbnails").auto_shrink(false);
    let hovered = area.show_viewport(ui, |ui, viewport| {
        let cell = cell_size(settings.side, LINE);
        let width = ui.available_width();
        let layout = match view {
            SheetView::Network => as_it_runs(&survey.findings, shown, width, cell),
            SheetView::Grid | SheetView::Table => flow(shown, width, cell),
        };
        ui.set_height(layout.height);
        let origin = ui.max_rect().min;
        let in_sight = |rect: &Rect| rect.bottom() > viewport.top() && rect.top() < viewport.bottom();
        bands_ui(ui, &layout, origin, viewport);
        let cells: Vec<(usize, Rect)> = layout
            .cells
            .iter()
            .filter(|(_, rect)| in_sight(rect))
            .map(|(index, rect)| (*index, rect.translate(origin.to_vec2())))
            .collect();
        let square = |(index, rect): &(usize, Rect)| {
            let side = vec2(settings.side, settings.side);
            (*index, Rect::from_min_size(rect.min, side))
        };
        let atlas = &context.textures.sheet;
        atlas.paint_all(ui.painter(), cells.iter().map(square).collect());
        let mut hovered = None;
        for (index, rect) in &cells {
            if cell_ui(ui, &survey.findings[*index], *rect, settings, context) {
                hovered = Some(*index);
            }
        }
        hovered
    });
    hovered.inner
}

/// The grids, and what is handed across.
fn bands_ui(ui: &Ui, layout: &Layout, origin: egui::Pos2, viewport: Rect) {
    let tokens = theme::tokens(ui);
    for band in &layout.bands {
        if band.top > viewport.bottom() || band.top + BAND_TITLE < viewport.top() {
            continue;
        }
        let at = origin + vec2(0.0, band.top + BAND_TITLE / 2.0);
        ui.painter().text(
            at,
            Align2::LEFT_CENTER,
            &band.title,
            FontId::proportional(theme::FONT_SMALL),
            tokens.text_weak,
        );
        if let Some([from, to, y]) = band.skip {
            let stroke = Stroke::new(1.5, tokens.text_weak);
            let (from, to) = (origin + vec2(from, y), origin + vec2(to, y));
            ui.painter().arrow(from, to - from, stroke);
            let above = pos2((from.x + to.x) / 2.0, from.y - 2.0);
            ui.painter().text(
                above,
                Align2::CENTER_BOTTOM,
                "skip",
                FontId::proportional(theme::FONT_SMALL),
                tokens.text_weak,
            );
        }
    }
}

/// Name and figure of one thumbnail, and what happens when it is clicked; whether the pointer is over it.
fn cell_ui(
    ui: &mut Ui,
    finding: &Measurement,
    rect: Rect,
    settings: &SheetSettings,
    context: &mut ViewContext<'_>,
) -> bool {
    let state = context.state;
    let tokens = theme::tokens(ui);
    let response = ui.interact(rect, ui.scope_id().with(("cell", finding.order)), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, cell_name(finding)));
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    let font = FontId::proportional(theme::FONT_SMALL);
    let below = rect.min + vec2(0.0, settings.side);
    let name = fitted_name(&painter, &short_name(finding.id.as_str()), rect.width());
    painter.text(below, Align2::LEFT_TOP, name, font.clone(), tokens.text);
    let second = below + vec2(0.0, LINE - 1.0);
    let (words, colour) = match &finding.unmeasured {
        Some(_) => ("no figures".to_owned(), tokens.error),
        None => (
            figure_words(&painter, finding, settings, rect.width()),
            tokens.text_weak,
        ),
    };
    painter.text(second, Align2::LEFT_TOP, words, font.clone(), colour);
    let square = Rect::from_min_size(rect.min, vec2(settings.side, settings.side));
    if let Some(why) = &finding.unmeasured {
        let width = (square.width() - 2.0 * theme::SPACE_XS).max(0.0);
        let galley = painter.layout(why.clone(), font, tokens.error, width);
        let inside = painter.with_clip_rect(square.intersect(painter.clip_rect()));
        inside.galley(
            square.min + vec2(theme::SPACE_XS, theme::SPACE_XS),
            galley,
            tokens.error,
        );
    }
    let outline = |colour: Color32, width: f32| {
        ui.painter()
            .rect_stroke(square, 0.0, Stroke::new(width, colour), StrokeKind::Inside);
    };
    if settings.marked.contains(&finding.id) {
        outline(tokens.text_strong, theme::STROKE_MARK);
    }
    if state.document.layer == Some(finding.id) {
        outline(tokens.accent, theme::STROKE_MARK);
    } else if response.hovered() || state.peek == Some(finding.id) {
        outline(tokens.text, theme::STROKE_MARK);
    }
    answer(ui, &response, settings, finding, context);
    response.hovered()
}

/// As much of the end of a name as there is room for: it tells more than the beginning.
fn fitted_name(painter: &egui::Painter, name: &str, width: f32) -> String {
    let font = FontId::proportional(theme::FONT_SMALL);
    let whole = painter
        .layout_no_wrap(name.to_owned(), font, Color32::PLACEHOLDER)
        .size()
        .x;
    if whole <= width {
        return name.to_owned();
    }
    let count = name.chars().count();
    // Some go for the dots, and as letters are not equally wide.
    let left = ((count as f32 * width / whole) as usize).saturating_sub(2);
    let end: String = name.chars().skip(count - left.min(count)).collect();
    format!("…{end}")
}

/// The figure that thumbnails are sorted by, with its name where there is room for it.
fn figure_words(painter: &egui::Painter, finding: &Measurement, settings: &SheetSettings, width: f32) -> String {
    let column = settings.sort.unwrap_or(Column::Nsr);
    let figure = figure_text(column, finding);
    let named = format!("{} {figure}", column.title());
    let font = FontId::proportional(theme::FONT_SMALL);
    let needed = painter
        .layout_no_wrap(named.clone(), font, Color32::PLACEHOLDER)
        .size()
        .x;
    if needed <= width { named } else { figure }
}

/// What is marked, side by side, in colours that agree with the first; gives the place among the findings of the one under
/// the pointer.
fn marked_ui(
    ui: &mut Ui,
    settings: &SheetSettings,
    survey: &SurveyState,
    context: &mut ViewContext<'_>,
) -> Option<usize> {
    ui.separator();
    let found: Vec<(usize, usize)> = settings
        .marked
        .iter()
        .enumerate()
        .filter_map(|(place, id)| Some((place, survey.place_of(*id)?)))
        .collect();
    let mut hovered = None;
    ScrollArea::horizontal()
        .id_salt("marked")
        .content_margin(theme::AROUND_WIDE_CONTENTS)
        .show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.vertical(|ui| {
                    if ui.button("Mark none").clicked() {
                        let none = changed(context.state, |settings| settings.marked.clear());
                        context.commands.push(none);
                    }
                    ui.add(Label::new(RichText::new("colours of the first").weak()))
                        .on_hover_text("Rotated onto the colours of the first (Procrustes)");
                });
                for (place, index) in found {
                    let finding = &survey.findings[index];
                    let size = vec2(MARKED_SIDE, MARKED_SIDE + LINE);
                    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
                    let name = format!("marked {}", finding.id);
                    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
                    let square = Rect::from_min_size(rect.min, vec2(MARKED_SIDE, MARKED_SIDE));
                    context.textures.marked.paint(ui.painter(), place, square);
                    let tokens = theme::tokens(ui);
                    let below = rect.min + vec2(0.0, MARKED_SIDE);
                    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
                    let font = FontId::proportional(theme::FONT_SMALL);
                    let name = fitted_name(&painter, &short_name(finding.id.as_str()), rect.width());
                    painter.text(below, Align2::LEFT_TOP, name, font, tokens.text);
                    answer(ui, &response, settings, finding, context);
                    if response.hovered() {
                        hovered = Some(index);
                    }
                }
            });
        });
    hovered
}

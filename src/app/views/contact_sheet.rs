//! The contact sheet: every activation of a survey as a thumbnail with a figure.

use egui::{
    Align2, Button, Checkbox, Color32, ComboBox, DragValue, FontId, Rect, Response, Role, ScrollArea, Sense, Slider,
    Stroke, StrokeKind, TextEdit, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};
use egui_tiles::TileId;

use super::{
    controls::changed,
    sheet_layout::{BAND_TITLE, Layout, as_it_runs, cell_size, flow},
};
use crate::{
    app::{
        document::{
            limits::THUMBNAIL_RANGE,
            pane::Pane,
            sheet::{Limit, SheetColours, SheetSettings},
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
    render::score_text,
    survey::{Column, Measurement},
};

/// Letters under a thumbnail, in points.
const LETTERS: f32 = 9.5;
/// Points of a line under a thumbnail.
const LINE: f32 = 12.0;
/// Points of a thumbnail's side among those that are marked.
const MARKED_SIDE: f32 = 120.0;
/// Most activations that are marked.
const MOST_MARKED: usize = 12;

/// Every activation on one sheet, measured.
pub struct SheetPane;

impl PaneView for SheetPane {
    fn ui(&self, ui: &mut Ui, _tile: TileId, _pane: &Pane, context: &mut ViewContext<'_>) {
        sheet_ui(ui, context);
    }
}

/// The sheet, what can be chosen above it, and what is marked below.
fn sheet_ui(ui: &mut Ui, context: &mut ViewContext<'_>) {
    let inner = ui.max_rect().shrink(theme::SPACE_S);
    ui.scope_builder(UiBuilder::new().max_rect(inner), |ui| {
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
        let below = match settings.marked.is_empty() {
            true => 0.0,
            false => MARKED_SIDE + 2.0 * LINE + 2.0 * theme::SPACE_M,
        };
        let height = (ui.available_height() - below).max(0.0);
        ui.allocate_ui(vec2(ui.available_width(), height), |ui| {
            cells_ui(ui, settings, survey, &shown, context);
        });
        if below > 0.0 {
            marked_ui(ui, settings, survey, context);
        }
    });
}

/// What is begun here, and what the sheet is of.
fn head_ui(ui: &mut Ui, context: &mut ViewContext<'_>) {
    let state = context.state;
    let settings = &state.document.sheet;
    ui.horizontal_wrapped(|ui| {
        action_button_ui(ui, state, Action::Survey, context.commands);
        let mut noises = settings.noises;
        // An image encoder has no noise to compare.
        let changes_noises = state.has_denoiser() && {
            let drag = DragValue::new(&mut noises).range(1..=64).suffix(" noises");
            let response = ui
                .add(drag)
                .on_hover_text("How many passes with different noise are compared");
            response.widget_info(|| WidgetInfo::drag_value(ui.is_enabled(), noises as f64));
            response.changed()
        };
        let mut maps = settings.maps;
        let with_maps = ui.checkbox(&mut maps, "attention maps");
        let with_maps =
            with_maps.on_hover_text("Measure attention maps as well, as the mean over their heads: takes longer");
        if changes_noises || with_maps.changed() {
            context.commands.push(changed(state, |settings| {
                settings.noises = noises;
                settings.maps = maps;
            }));
        }
        if let Some(survey) = &state.survey {
            action_button_ui(ui, state, Action::SaveSurvey, context.commands);
            let words = survey.in_words();
            ui.weak(&words)
                .on_hover_text("What was measured. All but noise and granularity are of the first noise.");
            if let Some(other) = state.survey_is_of_something_else(survey) {
                ui.colored_label(
                    theme::tokens(ui).warning,
                    format!("This survey is {other}: survey again"),
                );
            }
        }
    });
}

/// Order, words, filter; `left` activations are shown.
fn choices_ui(ui: &mut Ui, settings: &SheetSettings, survey: &SurveyState, left: usize, context: &mut ViewContext<'_>) {
    let mut chosen = settings.clone();
    ui.horizontal_wrapped(|ui| {
        let name = chosen.sort.map_or("As the network runs", Column::title);
        let combo = ComboBox::from_label("order").selected_text(name).show_ui(ui, |ui| {
            ui.selectable_value(&mut chosen.sort, None, "As the network runs");
            for column in Column::ALL {
                ui.selectable_value(&mut chosen.sort, Some(*column), column.title())
                    .on_hover_text(column.about());
            }
        });
        combo.response.on_hover_text("How the sheet is ordered");
        ui.add_enabled(
            chosen.sort.is_some(),
            Checkbox::new(&mut chosen.descending, "largest first"),
        );
        ComboBox::from_label("thumbnails")
            .selected_text(chosen.colours.name())
            .show_ui(ui, |ui| {
                for colours in SheetColours::ALL {
                    ui.selectable_value(&mut chosen.colours, colours, colours.name())
                        .on_hover_text(colours.about());
                }
            });
        let search = TextEdit::singleline(&mut chosen.search)
            .hint_text("Search")
            .desired_width(110.0);
        let search = ui.add(search);
        search.widget_info(|| WidgetInfo::labeled(Role::SearchInput, true, "Search the sheet"));
        let [least, most] = THUMBNAIL_RANGE;
        ui.spacing_mut().slider_width = 70.0;
        let size = ui.add(
            Slider::new(&mut chosen.side, least..=most)
                .show_value(false)
                .text("size"),
        );
        size.on_hover_text("Size of the thumbnails");
        limits_ui(ui, &mut chosen, survey);
    });
    ui.horizontal_wrapped(|ui| {
        ui.weak("Filter of the paper:").on_hover_text(
            "The qualitative filter of Not All Diffusion Model Activations Have Been Evaluated as Discriminative Features, \
             step by step. With any step on, attention maps are left out. The first half of the up stage is the first half \
             of its blocks, rounded up.",
        );
        let filter = &mut chosen.filter;
        let steps = [
            (&mut filter.first_half, "1 first half of up", "Keep only the first half of the up stage: the rest is noisy"),
            (
                &mut filter.without_self_attention,
                "2 no self-q, k, v",
                "There, drop queries, keys and values of self-attention: they are local",
            ),
            (
                &mut filter.late_self_attention,
                "3 late self-q, k",
                "Put queries and keys of self-attention of the second half back",
            ),
            (
                &mut filter.without_increments,
                "4 no increments",
                "Drop residual branches, inner activations of feed-forwards, and values",
            ),
        ];
        for (on, name, about) in steps {
            ui.checkbox(on, name).on_hover_text(about);
        }
        let found = survey.findings.len();
        let words = match &survey.about {
            Some(about) if context.state.surveys_now() => {
                format!("{found} of {} measured, {left} left", about.activations)
            }
            _ => format!("{found} → {left} left"),
        };
        let label = ui.strong(&words);
        label.widget_info(|| WidgetInfo::labeled(Role::Label, true, &words));
    });
    if chosen != *settings {
        context.commands.push(Command::Sheet(Box::new(chosen)));
    }
}

/// Figures between which the sheet stays.
fn limits_ui(ui: &mut Ui, chosen: &mut SheetSettings, survey: &SurveyState) {
    let button = ui.menu_button("Limit…", |ui| {
        ui.set_max_height(320.0);
        ScrollArea::vertical().show(ui, |ui| {
            for column in Column::ALL.iter().copied() {
                let known = chosen.limits.iter().any(|limit| limit.column == column);
                let values = survey.findings.iter().filter_map(|finding| column.value(finding));
                let finite = values.filter(|value| value.is_finite());
                let range = finite.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
                    [low.min(value), high.max(value)]
                });
                let any = range[0] <= range[1];
                let entry = ui.add_enabled(any && !known, Button::new(column.title()));
                if entry.on_hover_text(column.about()).clicked() {
                    let [low, high] = range;
                    chosen.limits.push(Limit { column, low, high });
                    ui.close();
                }
            }
        });
    });
    button
        .response
        .on_hover_text("Show only what has a figure between two numbers");
    let mut gone = None;
    for (index, limit) in chosen.limits.iter_mut().enumerate() {
        ui.push_id(("limit", index), |ui| {
            ui.label(limit.column.title());
            let speed = ((limit.high - limit.low).abs() / 200.0).max(1e-4);
            let high = limit.high;
            ui.add(
                DragValue::new(&mut limit.low)
                    .speed(speed)
                    .range(f64::NEG_INFINITY..=high)
                    .max_decimals(4),
            );
            ui.label("to");
            let low = limit.low;
            ui.add(
                DragValue::new(&mut limit.high)
                    .speed(speed)
                    .range(low..=f64::INFINITY)
                    .max_decimals(4),
            );
            if ui
                .small_button("×")
                .on_hover_text("No longer limit this figure")
                .clicked()
            {
                gone = Some(index);
            }
        });
    }
    if let Some(index) = gone {
        chosen.limits.remove(index);
    }
}

/// The thumbnails that are in sight.
fn cells_ui(
    ui: &mut Ui,
    settings: &SheetSettings,
    survey: &SurveyState,
    shown: &[usize],
    context: &mut ViewContext<'_>,
) {
    if shown.is_empty() {
        let hint = match survey.findings.is_empty() {
            true => "The first thumbnails come with the first layers.",
            false => "Nothing is left: take a word, a step of the filter or a limit away.",
        };
        ui.weak(hint);
        return;
    }
    ScrollArea::vertical()
        .auto_shrink(false)
        .show_viewport(ui, |ui, viewport| {
            let cell = cell_size(settings.side, LINE);
            let width = ui.available_width();
            let layout = match settings.sort {
                None => as_it_runs(&survey.findings, shown, width, cell),
                Some(_) => flow(shown, width, cell),
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
                (
                    *index,
                    Rect::from_min_size(rect.min, vec2(settings.side, settings.side)),
                )
            };
            let atlas = &context.textures.sheet;
            atlas.paint_all(ui.painter(), cells.iter().map(square).collect());
            for (index, rect) in &cells {
                words_ui(ui, &survey.findings[*index], *rect, settings, context);
            }
        });
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
            FontId::proportional(11.0),
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
                FontId::proportional(LETTERS),
                tokens.text_weak,
            );
        }
    }
}

/// Name and figure of one thumbnail, and what happens when it is clicked.
fn words_ui(ui: &mut Ui, finding: &Measurement, rect: Rect, settings: &SheetSettings, context: &mut ViewContext<'_>) {
    let state = context.state;
    let tokens = theme::tokens(ui);
    let name = finding.id.to_string();
    let response = ui.interact(rect, ui.scope_id().with(("cell", finding.order)), Sense::click());
    let marked = if finding.unmeasured.is_some() {
        ", not measured"
    } else {
        ""
    };
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("{name} on the sheet{marked}")));
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    let font = FontId::proportional(LETTERS);
    let below = rect.min + vec2(0.0, settings.side);
    painter.text(below, Align2::LEFT_TOP, short_name(&name), font.clone(), tokens.text);
    let column = settings.sort.unwrap_or(Column::Nsr);
    let figure = column
        .value(finding)
        .map_or("–".to_owned(), |value| score_text(value as f32));
    let second = below + vec2(0.0, LINE - 1.0);
    let (words, colour) = match &finding.unmeasured {
        Some(_) => ("no figures".to_owned(), tokens.error),
        None => (format!("{} {figure}", column.title()), tokens.text_weak),
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
        outline(tokens.text_strong, 2.0);
    }
    if state.document.layer == Some(finding.id) {
        outline(tokens.accent, 2.0);
    } else if response.hovered() || state.peek == Some(finding.id) {
        outline(tokens.text_weak, 1.0);
    }
    answer(ui, response, settings, finding, context);
}

/// A click looks at an activation, or marks it with Ctrl or Shift; hovering tells its figures.
fn answer(ui: &Ui, response: Response, settings: &SheetSettings, finding: &Measurement, context: &mut ViewContext<'_>) {
    if response.clicked() {
        let several = ui.input(|input| input.modifiers.command || input.modifiers.shift);
        context.commands.push(match several {
            true => mark(settings, finding),
            false => Command::SelectLayer(finding.id),
        });
    }
    response.on_hover_ui(|ui| figures_ui(ui, finding));
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
fn short_name(name: &str) -> String {
    name.replace("up-level", "up")
        .replace("down-level", "down")
        .replace("-repeat", ".")
        .replace("-vit-block", " ")
        .replace("-vit", " vit")
}

/// Every figure of an activation.
pub fn figures_ui(ui: &mut Ui, finding: &Measurement) {
    ui.strong(finding.id.to_string());
    if let Some(why) = &finding.unmeasured {
        ui.colored_label(theme::tokens(ui).error, format!("Not measured: {why}"));
    }
    egui::Grid::new("figures").num_columns(2).show(ui, |ui| {
        for column in Column::ALL.iter().skip(2) {
            if let Some(value) = column.value(finding) {
                ui.label(column.title());
                ui.label(score_text(value as f32));
                ui.end_row();
            }
        }
    });
    ui.weak("Click to look at it; with Ctrl to mark it");
}

/// What is marked, side by side, in colours that agree with the first.
fn marked_ui(ui: &mut Ui, settings: &SheetSettings, survey: &SurveyState, context: &mut ViewContext<'_>) {
    ui.separator();
    let found: Vec<(usize, &Measurement)> = settings
        .marked
        .iter()
        .enumerate()
        .filter_map(|(place, id)| Some((place, survey.findings.get(survey.place_of(*id)?)?.as_ref())))
        .collect();
    ScrollArea::horizontal()
        .content_margin(theme::AROUND_WIDE_CONTENTS)
        .show(ui, |ui| {
            ui.horizontal(|ui| {
                for (place, finding) in found {
                    let size = cell_size(MARKED_SIDE, LINE);
                    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
                    let name = format!("marked {}", finding.id);
                    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
                    let square = Rect::from_min_size(rect.min, vec2(MARKED_SIDE, MARKED_SIDE));
                    context.textures.marked.paint(ui.painter(), place, square);
                    let tokens = theme::tokens(ui);
                    let below = rect.min + vec2(0.0, MARKED_SIDE);
                    let painter = ui.painter().with_clip_rect(rect);
                    let font = FontId::proportional(LETTERS);
                    painter.text(
                        below,
                        Align2::LEFT_TOP,
                        short_name(&finding.id.to_string()),
                        font,
                        tokens.text,
                    );
                    answer(ui, response, settings, finding, context);
                }
                ui.vertical(|ui| {
                    ui.weak("Colours as the first has them (Procrustes)");
                    if ui.button("Mark none").clicked() {
                        context
                            .commands
                            .push(changed(context.state, |settings| settings.marked.clear()));
                    }
                });
            });
        });
}

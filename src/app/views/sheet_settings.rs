//! What a survey measures and which of its activations are left: the inspector of the survey and of its plots.

use egui::{Button, Checkbox, ComboBox, DragValue, Role, ScrollArea, Slider, SliderClamping, TextEdit, Ui, WidgetInfo};

use super::controls::{advanced_ui, changed};
use crate::{
    activation::{Kind, Stage},
    app::{
        document::sheet::{Limit, SheetColours, SheetSettings},
        state::{root::State, survey::SurveyState},
        update::{action::Action, command::Command},
        widgets::{action_button_ui, name_combo, row_ui},
    },
    render::score_text,
    survey::Column,
};

/// Height of the list of figures to be limited, in points.
const LIST_HEIGHT: f32 = 320.0;
/// A step of dragging a limit, as a share of its range, and the least one.
const DRAG_SHARE: f64 = 1.0 / 200.0;
const LEAST_DRAG: f64 = 1e-4;
/// Room for the value beside a slider, and the least width of one, in points.
const BESIDE_SLIDER: f32 = 76.0;
const LEAST_SLIDER: f32 = 40.0;
/// Decimals of a limit.
const DECIMALS: usize = 4;

/// What the next survey measures, and the filter.
pub fn settings_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    measured_ui(ui, state, commands);
    let Some(survey) = &state.survey else { return };
    let settings = &state.document.sheet;
    let mut chosen = settings.clone();
    row_ui(ui, "thumbnails", |ui| {
        let combo = ComboBox::from_id_salt("thumbnails")
            .selected_text(chosen.colours.name())
            .show_ui(ui, |ui| {
                for colours in SheetColours::ALL {
                    ui.selectable_value(&mut chosen.colours, colours, colours.name())
                        .on_hover_text(colours.about());
                }
            });
        name_combo(&combo.response, "Thumbnails", chosen.colours.name());
    });
    filter_ui(ui, &mut chosen, survey);
    if chosen != *settings {
        commands.push(Command::Sheet(Box::new(chosen)));
    }
}

/// What the next survey measures.
fn measured_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let settings = &state.document.sheet;
    let mut noises = settings.noises;
    // An image encoder has no noise to compare.
    let changes_noises = state.has_denoiser()
        && row_ui(ui, "noise samples", |ui| {
            let response = ui.add(DragValue::new(&mut noises).range(1..=64));
            response.widget_info(|| WidgetInfo::drag_value(ui.is_enabled(), noises as f64));
            let hint = "How many passes with different noise are compared";
            response.on_hover_text(hint).changed()
        });
    let mut maps = settings.maps;
    let with_maps = ui
        .checkbox(&mut maps, "attention maps")
        .on_hover_text("Measure attention maps as well, as the mean over their heads: takes longer");
    if changes_noises || with_maps.changed() {
        commands.push(changed(state, |settings| {
            settings.noises = noises;
            settings.maps = maps;
        }));
    }
    ui.horizontal_wrapped(|ui| {
        action_button_ui(ui, state, Action::Survey, commands);
        action_button_ui(ui, state, Action::SaveSurvey, commands);
    });
}

/// Which activations are left.
pub fn filter_ui(ui: &mut Ui, chosen: &mut SheetSettings, survey: &SurveyState) {
    ui.add_space(crate::app::theme::SPACE_S);
    ui.strong("Filter");
    row_ui(ui, "name", |ui| {
        let search = TextEdit::singleline(&mut chosen.search).hint_text("such as up self-q");
        let search = ui.add(search);
        search.widget_info(|| WidgetInfo::labeled(Role::SearchInput, true, "Search the survey"));
    });
    let has = |stage: &Stage| survey.findings.iter().any(|finding| finding.facts.stage == *stage);
    let stages: Vec<Stage> = Stage::ALL.into_iter().filter(has).collect();
    choices_ui(ui, "stage", &stages, Stage::name, &mut chosen.hidden_stages);
    let has = |kind: &Kind| survey.findings.iter().any(|finding| finding.facts.kind == *kind);
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(has).collect();
    choices_ui(ui, "kind", &kinds, Kind::name, &mut chosen.hidden_kinds);
    noise_ui(ui, chosen, survey);
    paper_ui(ui, chosen);
    advanced_ui(ui, |ui| limits_ui(ui, chosen, survey));
    let none = SheetSettings::default();
    let filtered = chosen.search != none.search
        || chosen.filter != none.filter
        || !(chosen.hidden_stages.is_empty() && chosen.hidden_kinds.is_empty() && chosen.limits.is_empty());
    if ui.add_enabled(filtered, Button::new("Show all")).clicked() {
        chosen.search = none.search;
        chosen.filter = none.filter;
        chosen.hidden_stages.clear();
        chosen.hidden_kinds.clear();
        chosen.limits.clear();
    }
}

/// What of a few is shown.
fn choices_ui<T: Copy + PartialEq>(
    ui: &mut Ui,
    label: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
    hidden: &mut Vec<T>,
) {
    if all.len() < 2 {
        return;
    }
    ui.weak(label);
    ui.horizontal_wrapped(|ui| {
        for one in all {
            let mut on = !hidden.contains(one);
            if ui.checkbox(&mut on, name(*one)).changed() {
                toggle(hidden, *one);
            }
        }
    });
}

/// Leaves out what was shown, and the other way round.
pub fn toggle<T: Copy + PartialEq>(hidden: &mut Vec<T>, one: T) {
    match hidden.iter().position(|other| *other == one) {
        Some(place) => {
            hidden.remove(place);
        }
        None => hidden.push(one),
    }
}

/// The least and the greatest value of a figure.
fn range_of(survey: &SurveyState, column: Column) -> Option<[f64; 2]> {
    let values = survey.findings.iter().filter_map(|finding| column.value(finding));
    let finite = values.filter(|value| value.is_finite());
    let [low, high] = finite.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
        [low.min(value), high.max(value)]
    });
    (low <= high).then_some([low, high])
}

/// Between which noise-to-signal ratios activations are left: a limit of that figure.
fn noise_ui(ui: &mut Ui, chosen: &mut SheetSettings, survey: &SurveyState) {
    let Some(all) = range_of(survey, Column::Nsr).filter(|[low, high]| low < high) else {
        return;
    };
    let place = chosen.limits.iter().position(|limit| limit.column == Column::Nsr);
    let before = place.map_or(all, |place| [chosen.limits[place].low, chosen.limits[place].high]);
    let mut range = before;
    let positive = survey.findings.iter().filter_map(|finding| Column::Nsr.value(finding));
    let least = positive.filter(|value| *value > 0.0).fold(all[1], f64::min);
    for (end, label) in ["noise from", "noise to"].into_iter().enumerate() {
        row_ui(ui, label, |ui| {
            // The panel stays as wide as it is.
            ui.spacing_mut().slider_width = (ui.available_width() - BESIDE_SLIDER).max(LEAST_SLIDER);
            let slider = Slider::new(&mut range[end], all[0]..=all[1])
                .logarithmic(true)
                .smallest_positive(least)
                // What nobody has moved stays as it is, to the last digit.
                .clamping(SliderClamping::Edits)
                .custom_formatter(|value, _| score_text(value as f32));
            ui.add(slider).on_hover_text(Column::Nsr.about());
        });
    }
    if range == before {
        return;
    }
    chosen.limits.retain(|limit| limit.column != Column::Nsr);
    let [low, high] = [range[0].min(range[1]), range[1].max(range[0])];
    if [low, high] != all {
        let column = Column::Nsr;
        chosen.limits.push(Limit { column, low, high });
    }
}

/// The four steps of the paper's filter.
fn paper_ui(ui: &mut Ui, chosen: &mut SheetSettings) {
    ui.weak("GDF filter").on_hover_text(
        "The qualitative filter of Not All Diffusion Model Activations Have Been Evaluated as Discriminative Features, \
         step by step. With any step on, attention maps are left out. The first half of the up stage is the first half \
         of its blocks, rounded up.",
    );
    let filter = &mut chosen.filter;
    let steps = [
        (
            &mut filter.first_half,
            "1 first half of up",
            "Keep only the first half of the up stage: the rest is noisy",
        ),
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
    ui.horizontal_wrapped(|ui| {
        for (on, name, about) in steps {
            ui.add(Checkbox::new(on, name)).on_hover_text(about);
        }
    });
}

/// Figures between which the survey stays.
fn limits_ui(ui: &mut Ui, chosen: &mut SheetSettings, survey: &SurveyState) {
    let button = ui.menu_button("Limit a figure…", |ui| {
        ui.set_max_height(LIST_HEIGHT);
        ScrollArea::vertical().show(ui, |ui| {
            for column in Column::ALL.iter().copied() {
                let known = chosen.limits.iter().any(|limit| limit.column == column);
                let range = range_of(survey, column);
                let entry = ui.add_enabled(range.is_some() && !known, Button::new(column.title()));
                if let (Some([low, high]), true) = (range, entry.on_hover_text(column.about()).clicked()) {
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
            ui.horizontal_wrapped(|ui| {
                ui.label(limit.column.title());
                let speed = ((limit.high - limit.low).abs() * DRAG_SHARE).max(LEAST_DRAG);
                let high = limit.high;
                ui.add(
                    DragValue::new(&mut limit.low)
                        .speed(speed)
                        .range(f64::NEG_INFINITY..=high)
                        .max_decimals(DECIMALS),
                );
                ui.label("to");
                let low = limit.low;
                ui.add(
                    DragValue::new(&mut limit.high)
                        .speed(speed)
                        .range(low..=f64::INFINITY)
                        .max_decimals(DECIMALS),
                );
                let hint = "No longer limit this figure";
                if ui.small_button("×").on_hover_text(hint).clicked() {
                    gone = Some(index);
                }
            });
        });
    }
    if let Some(index) = gone {
        chosen.limits.remove(index);
    }
}

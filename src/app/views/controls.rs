//! What the panes that compare many maps have in common.

use egui::{CollapsingHeader, Label, ProgressBar, RichText, TextEdit, Ui, WidgetInfo, accesskit::Role};

use crate::{
    analysis::cka::{Form, GridRule},
    app::{document::choices::timesteps, state::root::State, theme, update::command::Command, widgets::row_ui},
    engine::ComparisonKind,
};

/// Width of a list of timesteps, in points.
const TIMES_WIDTH: f32 = 150.0;

/// What is rarely set, folded at first.
pub fn advanced_ui(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    CollapsingHeader::new("Advanced").show_unindented(ui, add);
}

/// What made something: one line, cut where it is too long, and whole in its tooltip.
pub fn provenance_ui(ui: &mut Ui, words: &str) {
    let text = RichText::new(words).size(theme::FONT_SMALL).weak();
    ui.add(Label::new(text).truncate()).on_hover_text(words);
}

/// That something shown is not of what is set, and why: a mark in one colour, wherever it is said.
pub fn outdated_ui(ui: &mut Ui, why: &str) {
    let text = match why {
        "" => "● outdated".to_owned(),
        why => format!("● outdated: {why}"),
    };
    ui.colored_label(theme::tokens(ui).warning, text);
}

/// A list of timesteps: what is typed counts when it is done.
pub fn times_ui(ui: &mut Ui, name: &str, text: &mut String, last: u32) {
    let id = ui.make_persistent_id(name);
    let typed: Option<String> = ui.data(|data| data.get_temp(id));
    let mut shown = typed.clone().unwrap_or_else(|| text.clone());
    let field = TextEdit::singleline(&mut shown)
        .id(id.with("field"))
        .hint_text(format!("8 from 0 to {last}"))
        .desired_width(TIMES_WIDTH);
    let response = row_ui(ui, "timesteps t", |ui| ui.add(field))
        .on_hover_text("Numbers and ranges such as 0-900:100, separated by commas; empty: eight over all timesteps");
    response.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, name));
    let read = timesteps(&shown, last);
    if response.lost_focus() {
        if read.is_ok() {
            text.clone_from(&shown);
        }
        ui.data_mut(|data| data.remove_temp::<String>(id));
    } else if response.has_focus() {
        ui.data_mut(|data| data.insert_temp(id, shown));
    }
    if let Err(problem) = read {
        ui.colored_label(ui.visuals().error_fg_color, problem);
    }
}

/// The estimator of CKA.
pub fn form_ui(ui: &mut Ui, form: &mut Form) {
    row_ui(ui, "CKA", |ui| {
        for (value, name, hint) in [
            (Form::Biased, "plain", "‖YᵀX‖² / (‖XᵀX‖·‖YᵀY‖), columns centred"),
            (
                Form::Unbiased,
                "unbiased",
                "From the unbiased HSIC with zero diagonals: 0 on average for unrelated maps",
            ),
        ] {
            ui.radio_value(form, value, name).on_hover_text(hint);
        }
    });
}

/// What happens to maps on different grids.
pub fn grids_ui(ui: &mut Ui, grids: &mut GridRule) {
    row_ui(ui, "other grids", |ui| {
        for (value, name, hint) in [
            (
                GridRule::EnlargeNearest,
                "enlarged",
                "Maps are brought to the largest grid by nearest neighbour",
            ),
            (
                GridRule::PoolAverage,
                "pooled",
                "Maps are brought to the smallest grid by adaptive averages",
            ),
        ] {
            ui.radio_value(grids, value, name).on_hover_text(hint);
        }
    });
}

/// How far the passes of a comparison are, or why there are none; and what makes them.
pub fn progress_ui(ui: &mut Ui, state: &State, kind: ComparisonKind, commands: &mut Vec<Command>) {
    let Some(series) = state.comparing.series.get(kind) else {
        return;
    };
    if let Some(problem) = &series.problem {
        ui.colored_label(ui.visuals().error_fg_color, problem);
    }
    let Some(wanted) = &series.wanted else { return };
    let count = wanted.query.members.len();
    let waits = !series.begun && !state.pass_is_cheap();
    if waits || series.problem.is_some() {
        let hint = "Runs the model in the background: what is shown goes first";
        let missing = series.kept.iter().filter(|kept| kept.is_none()).count();
        let text = match (series.problem.is_some(), missing) {
            (true, _) => "Compute again".to_owned(),
            (false, missing) => format!("Compute {missing} passes"),
        };
        if ui.button(text).on_hover_text(hint).clicked() {
            commands.push(Command::Compute(kind));
        }
    } else if !series.is_done() {
        let done = series.kept.iter().flatten().count();
        let study = state.studies.iter().find(|study| Some(study.number) == series.job);
        let fraction = study.and_then(|study| study.fraction).unwrap_or(0.0);
        ui.add(ProgressBar::new(fraction).text(format!("{done} of {count} passes")));
    }
}

/// Another choice of what the sheet shows.
pub fn changed(state: &State, change: impl FnOnce(&mut crate::app::document::sheet::SheetSettings)) -> Command {
    let mut settings = state.document.sheet.clone();
    change(&mut settings);
    Command::Sheet(Box::new(settings))
}

/// With a margin to the edges of the pane.
pub fn inside_ui(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    egui::Frame::new().inner_margin(theme::SPACE_M).show(ui, add);
}

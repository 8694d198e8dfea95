//! How PCA colours come about.

use egui::{ComboBox, DragValue, Ui};

use super::inspector::BINS;
use crate::{
    analysis::{colour::RangeRule, pca::SignRule},
    app::{
        document::limits::MOST_COMPONENTS,
        state::{
            figures::first_component,
            path_box::PathPurpose,
            root::State,
            shown::{file_name, short},
        },
        update::{action::Action, command::Command},
        widgets::{
            Histogram, HistogramChange, action_button_ui, advanced_ui, bins, histogram_ui, name_combo, row_ui,
            variance_bars_ui,
        },
    },
    engine::{BasisChoice, PcaSettings},
    render::ColourMap,
};

/// Where a percentile clip begins when it is switched on.
const FIRST_CLIP: [f64; 2] = [1.0, 99.0];

/// Basis, components, foreground; preparation, sign and clip behind one word.
pub fn pca_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut settings = state.document.pca.clone();
    basis_ui(ui, state, &mut settings, commands);
    components_ui(ui, state, &mut settings);
    mask_ui(ui, state, commands);
    action_button_ui(ui, state, Action::DropMassive, commands);
    advanced_ui(ui, "pca", |ui| {
        ui.checkbox(&mut settings.options.centre, "Centre")
            .on_hover_text("Subtract the mean of every channel");
        for action in [Action::L2, Action::Whiten] {
            action_button_ui(ui, state, action, commands);
        }
        row_ui(ui, "Sign by", |ui| sign_ui(ui, &mut settings.options.sign));
        clip_ui(ui, &mut settings.clip);
    });
    if settings != state.document.pca {
        commands.push(Command::Pca(settings));
    }
    ui.horizontal_wrapped(|ui| {
        for action in [Action::SavePca, Action::SaveBasis] {
            action_button_ui(ui, state, action, commands);
        }
    });
}

/// Which of two equal components, of opposite signs, is taken.
fn sign_ui(ui: &mut Ui, sign: &mut SignRule) {
    for (rule, name, hint) in [
        (
            SignRule::Score,
            "score",
            "The score of largest magnitude is positive (scikit-learn 1.0)",
        ),
        (
            SignRule::Loading,
            "loading",
            "The loading of largest magnitude is positive (scikit-learn 1.5)",
        ),
    ] {
        ui.radio_value(sign, rule, name).on_hover_text(hint);
    }
}

/// Of which pictures the components are.
fn basis_ui(ui: &mut Ui, state: &State, settings: &mut PcaSettings, commands: &mut Vec<Command>) {
    let name = |basis: &BasisChoice| match basis {
        BasisChoice::Together => "all pictures".to_owned(),
        BasisChoice::Each => "each picture alone".to_owned(),
        BasisChoice::Of(slot) => format!("picture {}", slot.name()),
        BasisChoice::Saved(path) => short(&file_name(path)),
    };
    row_ui(ui, "Fitted on", |ui| {
        let shown = name(&settings.basis);
        let combo = ComboBox::from_id_salt("Fitted on")
            .selected_text(&shown)
            .show_ui(ui, |ui| {
                let pictures = state.open_slots().map(BasisChoice::Of);
                for basis in [BasisChoice::Together, BasisChoice::Each].into_iter().chain(pictures) {
                    let text = name(&basis);
                    ui.selectable_value(&mut settings.basis, basis, text);
                }
                if ui.button("A saved basis…").clicked() {
                    commands.push(Command::AskPath(PathPurpose::OpenBasis));
                }
            });
        name_combo(&combo.response, "PCA fitted on", &shown);
        combo.response.on_hover_text(Action::JointBasis.tooltip(ui.ctx()));
    });
}

fn clip_ui(ui: &mut Ui, clip: &mut RangeRule) {
    ui.horizontal_wrapped(|ui| {
        let mut percentiles = matches!(clip, RangeRule::Percentile { .. });
        ui.checkbox(&mut percentiles, "Clip at percentiles")
            .on_hover_text("Off: each component from its lowest to its highest score");
        let [low, high] = match clip {
            RangeRule::Percentile { low, high } => [*low, *high],
            RangeRule::MinMax => FIRST_CLIP,
        };
        if !percentiles {
            *clip = RangeRule::MinMax;
            return;
        }
        let mut bounds = [low, high];
        for (bound, hint) in bounds.iter_mut().zip(["becomes black", "becomes full intensity"]) {
            let drag = DragValue::new(bound).range(0.0..=100.0).speed(0.1).max_decimals(1);
            ui.add(drag).on_hover_text(hint);
        }
        *clip = RangeRule::Percentile {
            low: bounds[0].min(bounds[1]),
            high: bounds[1].max(bounds[0]),
        };
    });
}

/// Which components are red, green and blue, and what share of the variance each explains.
fn components_ui(ui: &mut Ui, state: &State, settings: &mut PcaSettings) {
    row_ui(ui, "Components", |ui| {
        for (shown, colour) in settings.shown.iter_mut().zip(["red", "green", "blue"]) {
            let mut number = *shown + 1;
            let drag = DragValue::new(&mut number).range(1..=MOST_COMPONENTS).speed(0.05);
            ui.add(drag)
                .on_hover_text(format!("The component that becomes {colour}"));
            *shown = number - 1;
        }
    });
    if let Some(view) = state.open_slots().find_map(|slot| state.slot(slot).pca.as_ref()) {
        // A click makes a component the first colour.
        if let Some(component) = variance_bars_ui(ui, &view.explained, settings.shown) {
            settings.shown[0] = component;
        }
    }
}

/// Foreground by the first component.
fn mask_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut mask = state.document.mask;
    ui.horizontal_wrapped(|ui| {
        action_button_ui(ui, state, Action::Foreground, commands);
        if mask.on {
            ui.checkbox(&mut mask.below, "below")
                .on_hover_text("Foreground lies below the threshold instead of above it");
        }
    });
    if mask.on
        && let Some((scores, extent)) = first_component(state)
    {
        let histogram = Histogram {
            name: "first component",
            counts: &bins(&scores, extent, BINS),
            extent,
            map: ColourMap::Grey,
            gamma: 1.0,
            range: None,
            threshold: Some(mask.threshold),
        };
        if let Some(HistogramChange::Threshold(threshold)) = histogram_ui(ui, &histogram) {
            mask.threshold = threshold;
        }
    }
    if mask != state.document.mask {
        commands.push(Command::Mask(mask));
    }
}

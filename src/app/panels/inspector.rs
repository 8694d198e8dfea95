//! The right side: how scores and components become colours, channels, pins and matches.

use egui::{ComboBox, DragValue, Rangef, ScrollArea, Slider, Ui};

use super::{attention_heads::heads_ui, channels::channels_ui, matches::matches_ui, prompt_tokens::words_ui};
use crate::{
    activation::Id,
    analysis::{colour::RangeRule, pca::SignRule},
    app::{
        document::{
            display::{Display, RangeMode},
            limits::MOST_COMPONENTS,
        },
        export::styles::heat_style,
        gpu::textures::Textures,
        state::{
            figures::first_component,
            path_box::PathPurpose,
            reveal::Control,
            root::State,
            shown::{file_name, short},
        },
        update::{action::Action, command::Command},
        widgets::{
            Histogram, HistogramChange, action_button_ui, bins, histogram_ui, reveal, section_ui, variance_bars_ui,
        },
    },
    engine::{BasisChoice, PcaSettings},
    render::ColourMap,
};

/// Width of the right side at the start, in points, and how narrow and wide it can be made.
pub const WIDTH: f32 = 270.0;
pub const WIDTHS: Rangef = Rangef { min: 200.0, max: 560.0 };
/// Bars of a histogram.
pub const BINS: usize = 48;
/// Bounds of gamma.
const GAMMA: std::ops::RangeInclusive<f32> = 0.1..=10.0;
/// Where a percentile clip begins when it is switched on.
const FIRST_CLIP: [f64; 2] = [1.0, 99.0];

/// All of the right side.
pub fn inspector_ui(ui: &mut Ui, state: &State, textures: &Textures, commands: &mut Vec<Command>) {
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        if state.layer().is_some_and(Id::is_cross_map) {
            section_ui(ui, "Words", |ui| words_ui(ui, state, commands));
        }
        if state.head_count().is_some() {
            section_ui(ui, "Attention heads", |ui| heads_ui(ui, state, textures, commands));
        }
        section_ui(ui, "Pins and matches", |ui| matches_ui(ui, state, commands));
        section_ui(ui, "Heat maps", |ui| heat_ui(ui, state, textures, commands));
        section_ui(ui, "PCA colours", |ui| pca_ui(ui, state, commands));
        section_ui(ui, "Channels", |ui| channels_ui(ui, state, commands));
    });
}

/// Colours, range with histogram, gamma, opacity.
fn heat_ui(ui: &mut Ui, state: &State, textures: &Textures, commands: &mut Vec<Command>) {
    let mut display = state.document.display.clone();
    ui.horizontal_wrapped(|ui| {
        let hint = Action::NextColours.tooltip(ui.ctx());
        map_ui(ui, "Colour map", Control::ColourMap, &mut display.map, hint);
    });
    histogram_of_heat_ui(ui, state, textures, &mut display);
    ui.horizontal_wrapped(|ui| {
        for action in [Action::Normalise, Action::LockRange, Action::Smooth] {
            action_button_ui(ui, state, action, commands);
        }
    });
    let gamma = Slider::new(&mut display.gamma, GAMMA).logarithmic(true).text("gamma");
    let gamma = ui
        .add(gamma)
        .on_hover_text("Below 1 spreads low scores, above 1 high ones");
    reveal(ui, Control::Gamma, &gamma);
    let keys = [Action::LessOpaque, Action::MoreOpaque].map(|action| action.key_text(ui.ctx()));
    let opacity = ui
        .add(Slider::new(&mut display.opacity, 0.0..=1.0).text("opacity"))
        .on_hover_text(format!("Of heat maps over pictures  ({} and {})", keys[0], keys[1]));
    reveal(ui, Control::Opacity, &opacity);
    ui.horizontal_wrapped(|ui| {
        for action in [Action::Overlay, Action::OnSource, Action::Numbers, Action::Grid] {
            action_button_ui(ui, state, action, commands);
        }
    });
    ui.horizontal_wrapped(|ui| {
        let hint = "Colours of channel panes; coolwarm has zero in its middle".to_owned();
        map_ui(
            ui,
            "Channel colours",
            Control::ChannelMap,
            &mut display.channel_map,
            hint,
        );
    });
    if display != state.document.display {
        commands.push(Command::Display(display));
    }
}

fn map_ui(ui: &mut Ui, label: &str, control: Control, map: &mut ColourMap, hint: String) {
    let combo = ComboBox::from_label(label).selected_text(map.name()).show_ui(ui, |ui| {
        for other in ColourMap::ALL {
            ui.selectable_value(map, other, other.name());
        }
    });
    reveal(ui, control, &combo.response);
    combo.response.on_hover_text(hint);
}

/// The scores of the pictures that have a heat map; dragging a handle fixes the range.
fn histogram_of_heat_ui(ui: &mut Ui, state: &State, textures: &Textures, display: &mut Display) {
    let maps = state.open_slots().filter_map(|slot| {
        state.heat_on(slot)?;
        textures.slot(slot).heat.as_ref()
    });
    let maps: Vec<_> = maps.collect();
    let Some(first) = maps.first() else {
        ui.weak("No heat map is shown: point at a picture.");
        return;
    };
    let extents = maps.iter().filter_map(|map| map.extent());
    let extent = extents.reduce(|[low, high], [other_low, other_high]| [low.min(other_low), high.max(other_high)]);
    let Some(extent) = extent else { return };
    let scores: Vec<f32> = maps.iter().flat_map(|map| map.scores().iter().copied()).collect();
    let style = heat_style(state, textures, first);
    let counts = bins(&scores, extent, BINS);
    let histogram = Histogram {
        name: "scores",
        counts: &counts,
        extent,
        map: style.map,
        gamma: style.gamma,
        range: Some(style.range),
        threshold: None,
    };
    if let Some(HistogramChange::Range(range)) = histogram_ui(ui, &histogram) {
        display.range = RangeMode::Fixed(range);
    }
}

/// Basis, preparation, clip, components, foreground.
fn pca_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut settings = state.document.pca.clone();
    basis_ui(ui, state, &mut settings, commands);
    ui.horizontal_wrapped(|ui| {
        ui.checkbox(&mut settings.options.centre, "centre")
            .on_hover_text("Subtract the mean of every channel");
        for action in [Action::L2, Action::Whiten, Action::DropMassive] {
            action_button_ui(ui, state, action, commands);
        }
    });
    ui.horizontal_wrapped(|ui| {
        ui.label("sign by");
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
            ui.radio_value(&mut settings.options.sign, rule, name)
                .on_hover_text(hint);
        }
    });
    clip_ui(ui, &mut settings.clip);
    components_ui(ui, state, &mut settings);
    if settings != state.document.pca {
        commands.push(Command::Pca(settings));
    }
    mask_ui(ui, state, commands);
    ui.horizontal_wrapped(|ui| {
        for action in [Action::SavePca, Action::SaveBasis] {
            action_button_ui(ui, state, action, commands);
        }
    });
}

fn basis_ui(ui: &mut Ui, state: &State, settings: &mut PcaSettings, commands: &mut Vec<Command>) {
    let name = |basis: &BasisChoice| match basis {
        BasisChoice::Together => "all pictures".to_owned(),
        BasisChoice::Each => "each picture alone".to_owned(),
        BasisChoice::Of(slot) => format!("picture {}", slot.name()),
        BasisChoice::Saved(path) => short(&file_name(path)),
    };
    let combo = ComboBox::from_label("Basis of")
        .selected_text(name(&settings.basis))
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
    reveal(ui, Control::PcaBasis, &combo.response);
    combo.response.on_hover_text(Action::JointBasis.tooltip(ui.ctx()));
}

fn clip_ui(ui: &mut Ui, clip: &mut RangeRule) {
    ui.horizontal_wrapped(|ui| {
        let mut percentiles = matches!(clip, RangeRule::Percentile { .. });
        let checked = ui
            .checkbox(&mut percentiles, "clip at percentiles")
            .on_hover_text("Off: each component from its lowest to its highest score");
        reveal(ui, Control::Clip, &checked);
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
    ui.horizontal_wrapped(|ui| {
        ui.label("components");
        for (shown, colour) in settings.shown.iter_mut().zip(["red", "green", "blue"]) {
            let mut number = *shown + 1;
            let drag = DragValue::new(&mut number).range(1..=MOST_COMPONENTS).speed(0.05);
            let drag = ui
                .add(drag)
                .on_hover_text(format!("The component that becomes {colour}"));
            reveal(ui, Control::Components, &drag);
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
            let below = ui
                .checkbox(&mut mask.below, "below")
                .on_hover_text("Foreground lies below the threshold instead of above it");
            reveal(ui, Control::Threshold, &below);
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

//! The right side: how scores and components become colours, channels, pins and matches.

use egui::{ComboBox, Rangef, ScrollArea, Sense, Slider, Ui, Vec2, vec2};

use super::{
    attention_heads::heads_ui, channels::channels_ui, matches::matches_ui, pca_settings::pca_ui,
    prompt_tokens::words_ui,
};
use crate::{
    activation::Id,
    app::{
        document::{
            display::{Display, RangeMode},
            pane::PaneKind,
        },
        export::styles::heat_style,
        gpu::textures::Textures,
        state::root::State,
        update::{action::Action, command::Command},
        views::VIEWS,
        widgets::{
            Histogram, HistogramChange, action_button_ui, advanced_ui, bins, colour_bar, currency_ui, fold_ui,
            histogram_ui, name_combo, number_ui, row_ui, section_ui,
        },
    },
    render::ColourMap,
};

/// Width of the right side at the start, in points, and how narrow and wide it can be made.
pub const WIDTH: f32 = 270.0;
pub const WIDTHS: Rangef = Rangef { min: 200.0, max: 560.0 };
/// Bars of a histogram.
pub const BINS: usize = 48;
/// Bounds of gamma.
const GAMMA: std::ops::RangeInclusive<f32> = 0.1..=10.0;
/// Colours beside the name of a colour map, in points.
const SWATCH: Vec2 = vec2(48.0, 12.0);

/// What can be set of the pane that is worked in first; of a picture's panes what belongs to the others is folded below.
pub fn inspector_ui(ui: &mut Ui, state: &State, textures: &Textures, commands: &mut Vec<Command>) {
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        let pane = state.inspected_pane();
        let kind = pane.map_or(PaneKind::Picture, |pane| pane.kind);
        let currency = state.pane_currency(kind, state.focused_slot());
        if currency.is_behind() {
            currency_ui(ui, &currency, currency.word());
        }
        if let Some(pane) = pane.filter(|_| !kind.is_of_picture()) {
            let view = VIEWS.of(kind);
            section_ui(ui, kind.name(), |ui| {
                view.inspector(ui, pane, state, textures, commands)
            });
            if kind == PaneKind::Rank {
                section_ui(ui, "Matches", |ui| matches_ui(ui, state, commands));
            }
            return;
        }
        if state.layer().is_some_and(Id::is_cross_map) {
            section_ui(ui, "Tokens", |ui| words_ui(ui, state, commands));
        }
        if state.head_count().is_some() {
            section_ui(ui, "Attention heads", |ui| heads_ui(ui, state, textures, commands));
        }
        // What the pane shows stands first and open.
        let mut parts = [Part::Heat, Part::Matches, Part::Pca, Part::Channels];
        parts.sort_by_key(|part| !part.is_of(kind));
        for part in parts {
            let open = part.is_of(kind) || part == Part::Matches;
            fold_ui(ui, part.title(), (part.title(), kind), open, |ui| match part {
                Part::Heat => heat_ui(ui, state, textures, commands),
                Part::Matches => matches_ui(ui, state, commands),
                Part::Pca => pca_ui(ui, state, commands),
                Part::Channels => {
                    channel_colours_ui(ui, state, commands);
                    channels_ui(ui, state, commands);
                }
            });
        }
    });
}

/// A part of the inspector of pictures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Heat,
    Matches,
    Pca,
    Channels,
}

impl Part {
    const fn title(self) -> &'static str {
        match self {
            Self::Heat => "Heat map",
            Self::Matches => "Matches",
            Self::Pca => "PCA",
            Self::Channels => "Channels",
        }
    }

    /// Whether it is what panes of a kind show.
    const fn is_of(self, kind: PaneKind) -> bool {
        matches!(
            (self, kind),
            (Self::Heat, PaneKind::Picture | PaneKind::Heat)
                | (Self::Pca, PaneKind::Pca)
                | (Self::Channels, PaneKind::Channel)
        )
    }
}

/// Colour map, range with histogram, opacity.
fn heat_ui(ui: &mut Ui, state: &State, textures: &Textures, commands: &mut Vec<Command>) {
    let mut display = state.document.display.clone();
    row_ui(ui, "Colour map", |ui| {
        map_ui(
            ui,
            "Colour map",
            &mut display.map,
            Action::NextColours.tooltip(ui.ctx()),
        );
    });
    histogram_of_heat_ui(ui, state, textures, &mut display);
    for action in [Action::Normalise, Action::LockRange, Action::Smooth, Action::Overlay] {
        action_button_ui(ui, state, action, commands);
    }
    let keys = [Action::LessOpaque, Action::MoreOpaque].map(|action| action.key_text(ui.ctx()));
    number_ui(ui, "Opacity", |ui| {
        ui.add(Slider::new(&mut display.opacity, 0.0..=1.0))
            .on_hover_text(format!("Of heat maps over pictures  ({} and {})", keys[0], keys[1]))
    });
    advanced_ui(ui, "heat", |ui| {
        number_ui(ui, "Gamma", |ui| {
            ui.add(Slider::new(&mut display.gamma, GAMMA).logarithmic(true))
                .on_hover_text("Below 1 spreads low scores, above 1 high ones")
        });
        for action in [Action::OnSource, Action::Numbers, Action::Grid] {
            action_button_ui(ui, state, action, commands);
        }
    });
    if display != state.document.display {
        commands.push(Command::Display(display));
    }
}

/// The colours of channels, which have a sign.
fn channel_colours_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut display = state.document.display.clone();
    let hint = "Colours of channel panes; coolwarm has zero in its middle".to_owned();
    row_ui(ui, "Colour map", |ui| {
        map_ui(ui, "Channel colours", &mut display.channel_map, hint)
    });
    if display != state.document.display {
        commands.push(Command::Display(display));
    }
}

/// A list of colour maps, each with its colours beside its name.
fn map_ui(ui: &mut Ui, label: &str, map: &mut ColourMap, hint: String) {
    let shown = map.name();
    let combo = ComboBox::from_id_salt(label).selected_text(shown).show_ui(ui, |ui| {
        for other in ColourMap::ALL {
            ui.horizontal(|ui| {
                let (rect, _) = ui.allocate_exact_size(SWATCH, Sense::hover());
                colour_bar(ui.painter(), rect, other, 1.0);
                ui.selectable_value(map, other, other.name());
            });
        }
    });
    name_combo(&combo.response, label, shown);
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

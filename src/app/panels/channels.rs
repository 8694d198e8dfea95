//! The channels of a layer: sorted by variance, outlier channels (massive activations) flagged.

use egui::{Button, RichText, ScrollArea, Ui};

use crate::app::{
    document::pane::PaneKind,
    state::{
        figures::{advice, by_variance, summary},
        root::State,
    },
    theme,
    update::{action::Action, command::Command},
    widgets::action_button_ui,
};

/// Height of the list, in points.
const LIST_HEIGHT: f32 = 180.0;

/// The list of channels, and what is known of them together.
pub fn channels_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let shown = state
        .channels
        .as_ref()
        .filter(|view| Some(view.query.id) == state.layer());
    let Some(view) = shown else {
        ui.weak(if state.layer().is_some_and(|id| id.is_map()) {
            "An attention map has no channels."
        } else {
            "No channels are known yet."
        });
        return;
    };
    ui.weak(summary(view));
    if let Some(advice) = advice(state.layers(), view) {
        ui.label(advice);
    }
    ui.horizontal_wrapped(|ui| {
        action_button_ui(ui, state, Action::DropMassive, commands);
        action_button_ui(ui, state, Action::AddPane(PaneKind::Channel), commands);
        action_button_ui(ui, state, Action::PreviousChannel, commands);
        action_button_ui(ui, state, Action::NextChannel, commands);
    });
    let order = by_variance(view);
    let row_height = ui.text_style_height(&egui::TextStyle::Body) + theme::SPACE_S;
    ScrollArea::vertical()
        .id_salt("channels")
        .max_height(LIST_HEIGHT)
        .auto_shrink([false, true])
        .show_rows(ui, row_height, order.len(), |ui, rows| {
            for &channel in order.get(rows).unwrap_or_default() {
                let figures = &view.channels[channel];
                let mut text = format!("{channel}  variance {:.3e}  mean {:.3}", figures.variance, figures.mean);
                if figures.massive {
                    text += &format!("  OUTLIER ×{:.0}", figures.ratio);
                }
                let selected = state.document.channel == channel;
                let button = Button::selectable(selected, RichText::new(text).monospace().size(theme::FONT_SMALL));
                let hint = format!(
                    "Channel {channel}: mean |x| {:.4}, {:.1} times the median channel's",
                    figures.mean_abs, figures.ratio
                );
                if ui.add(button).on_hover_text(hint).clicked() {
                    commands.push(Command::Channel(channel));
                }
            }
        });
}

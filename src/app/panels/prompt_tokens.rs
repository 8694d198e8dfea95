//! The tokens of the prompt, for attention to text: which of them a place of the picture attends to, and the attention of
//! each.

use egui::{Button, Label, ProgressBar, RichText, ScrollArea, Ui};

use crate::{
    app::{state::root::State, theme, update::command::Command},
    model::tokens::{PromptToken, TokenRole},
};

/// Height of the list, in points.
const LIST_HEIGHT: f32 = 220.0;
/// Width of the bar beside a token and of its number, in points.
const BAR_WIDTH: f32 = 56.0;
const NUMBER_WIDTH: f32 = 44.0;

/// The tokens, those with the greatest weight at the point first.
pub fn words_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let slot = state.query_at().map_or(state.focused_slot(), |(slot, _)| slot);
    let Some(capture) = &state.slot(slot).capture else {
        ui.weak("Run the model to see its tokens.");
        return;
    };
    let tokens = &capture.ran.tokens;
    let passes = state.shown_passes();
    let known = state.token_weights.as_ref();
    let known = known.and_then(|known| known.known(state.layer(), &passes, state.head(), tokens.len()));
    let head = state.head_text().unwrap_or_default();
    let weights = known.filter(|known| known.of_head).map(|known| known.weights);
    ui.weak(match weights {
        Some(_) => format!("Weights at the point, {head}. Point at a token for the attention of this token."),
        None => "Point at a token for the attention of this token, at the picture for the weights there.".to_owned(),
    });
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.retain(|token| tokens[*token].role != TokenRole::Padding);
    // The order is that of the last point, until there is another.
    if let Some(known) = known {
        order.sort_by(|a, b| known.weights[*b].total_cmp(&known.weights[*a]));
    }
    let largest = weights.map_or(0.0, |weights| {
        order.iter().map(|token| weights[*token]).fold(0.0, f32::max)
    });
    let mut hovered = None;
    let row_height = ui.text_style_height(&egui::TextStyle::Body) + theme::SPACE_S;
    ScrollArea::vertical()
        .id_salt("words")
        .max_height(LIST_HEIGHT)
        .auto_shrink([false, true])
        .show_rows(ui, row_height, order.len(), |ui, rows| {
            for &token in order.get(rows).unwrap_or_default() {
                ui.horizontal(|ui| {
                    let chosen = state.document.word == Some(token);
                    if let Some(weights) = weights {
                        let weight = weights[token];
                        let share = if largest > 0.0 { weight / largest } else { 0.0 };
                        ui.add(ProgressBar::new(share).desired_width(BAR_WIDTH));
                        let text = RichText::new(format!("{weight:.3}")).size(theme::FONT_SMALL);
                        ui.add_sized([NUMBER_WIDTH, row_height], Label::new(text));
                    }
                    let response = ui.add(Button::selectable(chosen, word_text(&tokens[token])));
                    let response = response.on_hover_text(format!("Token {token}: {}", tokens[token].piece));
                    if response.hovered() {
                        hovered = Some(token);
                    }
                    if response.clicked() {
                        commands.push(Command::Word(Some(token).filter(|_| !chosen)));
                    }
                });
            }
        });
    if hovered != state.hover_word {
        commands.push(Command::HoverWord(hovered));
    }
}

fn word_text(token: &PromptToken) -> RichText {
    let text = RichText::new(token.shown()).monospace();
    match token.role {
        TokenRole::Word => text,
        _ => text.weak(),
    }
}

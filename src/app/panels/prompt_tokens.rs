//! The tokens of the prompt, for attention to text: which of them a place of the picture attends to, and where each is
//! looked for.

use egui::{Button, ProgressBar, RichText, ScrollArea, Ui};

use crate::{
    app::{state::root::State, theme, update::command::Command},
    engine::QueryAt,
    model::tokens::{PromptToken, TokenRole},
};

/// Height of the list, in points.
const LIST_HEIGHT: f32 = 220.0;
/// Width of the bar beside a token, in points.
const BAR_WIDTH: f32 = 70.0;

/// The tokens, those with the greatest weight at the point first.
pub fn words_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let slot = state.query_at().map_or(state.focused_slot(), |(slot, _)| slot);
    let Some(capture) = &state.slot(slot).capture else {
        ui.weak("Run the model to see its tokens.");
        return;
    };
    let tokens = &capture.ran.tokens;
    let weights = weights(state, tokens.len());
    let head = state.head_text().unwrap_or_default();
    ui.weak(match weights {
        Some(_) => format!("Weights at the point, {head}. Point at a token to see where it is looked for."),
        None => "Point at a token to see where it is looked for, at the picture for the weights there.".to_owned(),
    });
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.retain(|token| tokens[*token].role != TokenRole::Padding);
    if let Some(weights) = weights {
        order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
    }
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
                        let text = RichText::new(format!("{weight:.3}")).size(theme::FONT_SMALL);
                        ui.add(ProgressBar::new(weight).desired_width(BAR_WIDTH).text(text));
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

/// The weights at the point that is asked about, if they are of `count` tokens.
fn weights(state: &State, count: usize) -> Option<&[f32]> {
    let heat = state.heat.as_ref().filter(|_| !state.heat_is_stale())?;
    let of_point = !matches!(heat.query.at, QueryAt::Word(_)) && heat.words.len() == count;
    of_point.then_some(heat.words.as_slice())
}

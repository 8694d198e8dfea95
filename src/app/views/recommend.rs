//! The pane that says which layer at which timestep to take: a card for each of the best, with its pictures, its figures
//! and what speaks against it.

use std::path::Path;

use egui::{
    Button, Frame, Grid, Label, ProgressBar, Rect, Response, RichText, Role, ScrollArea, Sense, Ui, WidgetInfo, vec2,
};
use egui_tiles::TileId;

use super::controls::inside_ui;
use crate::{
    app::{
        document::pane::{Pane, PaneKind},
        export::{content::Content, recommend::recommend_content},
        gpu::textures::Textures,
        state::{recommend::RecommendState, root::State},
        theme,
        update::{
            action::Action,
            command::Command,
            view::{PaneView, ViewContext},
        },
        widgets::action_button_ui,
    },
    engine::RecommendQuery,
    error::Result,
    recommend::{Plan, Recommendation, Recommended, figures_in_words},
};

/// A card is at least so wide, in points.
const LEAST_CARD: f32 = 300.0;
/// The least and the greatest side of a small picture, in points.
const PICTURE_SIDES: [f32; 2] = [32.0, 112.0];

/// Which activation at which timestep to take.
pub struct RecommendPane;

impl PaneView for RecommendPane {
    fn ui(&self, ui: &mut Ui, _tile: TileId, _pane: &Pane, context: &mut ViewContext<'_>) {
        inside_ui(ui, |ui| {
            recommend_ui(ui, context.state, context.textures, context.commands)
        });
    }

    fn inspector(&self, ui: &mut Ui, pane: &Pane, _state: &State, _textures: &Textures, _commands: &mut Vec<Command>) {
        ui.add(Label::new(RichText::new(pane.kind.facts().help).weak()).wrap());
    }

    fn content(&self, state: &State, path: &Path) -> Result<Content> {
        recommend_content(state, path)
    }
}

/// The whole pane.
fn recommend_ui(ui: &mut Ui, state: &State, textures: &Textures, commands: &mut Vec<Command>) {
    ui.horizontal_wrapped(|ui| {
        action_button_ui(ui, state, Action::Recommend, commands);
        action_button_ui(ui, state, Action::SavePane(PaneKind::Recommend), commands);
    });
    match state.recommend_query() {
        Some(query) => {
            let cost = cost_in_words(state, &query);
            ui.add(Label::new(RichText::new(cost).weak()).wrap());
        }
        None => {
            ui.weak("Open a picture and a model: then every activation is compared on it.");
        }
    }
    progress_ui(ui, state, commands);
    let Some(recommend) = &state.recommend else { return };
    let Some(found) = &recommend.found else { return };
    if let Some(why) = state.recommendation_is_of_something_else(recommend) {
        let words = format!("This recommendation is {why}: recommend again");
        ui.colored_label(theme::tokens(ui).warning, words);
    }
    ui.add(Label::new(found.proxy_in_words()).wrap());
    if found.best.is_empty() {
        ui.colored_label(theme::tokens(ui).error, "No activation has figures.");
    }
    cards_ui(ui, state, textures, recommend, found, commands);
}

/// What the next recommendation takes.
fn cost_in_words(state: &State, query: &RecommendQuery) -> String {
    let is_encoder = !state.has_denoiser();
    let plan = Plan {
        steps: match is_encoder {
            true => vec![Default::default()],
            false => query.steps.clone(),
        },
        noises: if is_encoder { 1 } else { query.noises },
        pictures: query.slots.len(),
        is_encoder,
        filtered: false,
    };
    let pairs = match query.pairs.len() {
        0 => String::new(),
        1 => "; the pair of pins decides".to_owned(),
        count => format!("; {count} pairs of pins decide"),
    };
    format!("{}{pairs}", plan.cost_in_words())
}

/// How far a recommendation is that is under way, or that it was ended.
fn progress_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let Some(job) = state.recommends_now() else {
        if state
            .recommend
            .as_ref()
            .is_some_and(|recommend| recommend.found.is_none())
        {
            ui.weak("It was ended before everything was compared.");
        }
        return;
    };
    ui.horizontal(|ui| {
        let end = ui
            .button("End")
            .on_hover_text("End the comparison: nothing is recommended");
        if end.clicked() {
            commands.push(Command::CancelStudy(job.number));
        }
        let text = match job.item {
            Some([index, count]) => format!("pass {index} of {count}"),
            None => "waiting".to_owned(),
        };
        ui.add(ProgressBar::new(job.fraction.unwrap_or(0.0)).text(text));
    });
}

/// The cards, as many side by side as there is room for.
fn cards_ui(
    ui: &mut Ui,
    state: &State,
    textures: &Textures,
    recommend: &RecommendState,
    found: &Recommendation,
    commands: &mut Vec<Command>,
) {
    ScrollArea::vertical()
        .id_salt("recommended")
        .auto_shrink(false)
        .show(ui, |ui| {
            let gap = theme::SPACE_M;
            let columns = (((ui.available_width() + gap) / (LEAST_CARD + gap)).floor())
                .clamp(1.0, found.best.len().max(1) as f32);
            let width = (ui.available_width() - (columns - 1.0) * gap) / columns;
            let mut first_picture = 0;
            for (row, cards) in found.best.chunks(columns as usize).enumerate() {
                ui.horizontal_top(|ui| {
                    ui.spacing_mut().item_spacing.x = gap;
                    for (column, recommended) in cards.iter().enumerate() {
                        let card = Card {
                            place: row * columns as usize + column + 1,
                            recommended,
                            first_picture,
                            is_encoder: found.plan.is_encoder,
                            command: recommend.command(recommended),
                        };
                        first_picture += recommended.pictures.len();
                        let size = vec2(width, 0.0);
                        ui.allocate_ui(size, |ui| card_ui(ui, state, textures, &card, width, commands));
                    }
                });
                ui.add_space(gap);
            }
            ui.add(Label::new(RichText::new(found.in_words()).weak()).wrap());
        });
}

/// One of the best, as its card shows it.
struct Card<'a> {
    /// Counted from 1.
    place: usize,
    recommended: &'a Recommended,
    /// The place of its first small picture on the card's textures.
    first_picture: usize,
    is_encoder: bool,
    command: String,
}

impl Card<'_> {
    /// What it is of: `b11 at t 100`.
    fn name(&self) -> String {
        match self.is_encoder {
            true => self.recommended.id.to_string(),
            false => format!("{} at t {}", self.recommended.id, self.recommended.t),
        }
    }
}

fn card_ui(ui: &mut Ui, state: &State, textures: &Textures, card: &Card<'_>, width: f32, commands: &mut Vec<Command>) {
    let tokens = theme::tokens(ui);
    let recommended = card.recommended;
    let shown =
        state.layer() == Some(recommended.id) && (card.is_encoder || state.document.settings.t == recommended.t);
    let border = if shown { tokens.accent } else { tokens.border };
    let frame = Frame::new()
        .fill(tokens.panel)
        .stroke(egui::Stroke::new(theme::STROKE_HAIR, border))
        .corner_radius(theme::RADIUS)
        .inner_margin(theme::SPACE_M);
    frame.show(ui, |ui| {
        ui.vertical(|ui| {
            let inside = width - 2.0 * (theme::SPACE_M + theme::STROKE_HAIR);
            ui.set_width(inside);
            let title = format!("{}. {}", card.place, card.name());
            ui.add(Label::new(RichText::new(title).strong()).wrap());
            ui.weak(format!("score {:.2}", recommended.score.score))
                .on_hover_text("Mean of its ranks among all candidates, 0 to 1: a proxy");
            pictures_ui(ui, textures, card, inside);
            figures_ui(ui, card);
            ui.weak("Speaks against it");
            for words in &recommended.against {
                ui.add(Label::new(format!("• {words}")).wrap());
            }
            ui.add_space(theme::SPACE_S);
            ui.horizontal_wrapped(|ui| {
                let look = named(ui.button("Look at it"), &format!("Look at {}", card.name()));
                if look.on_hover_text("Show it in all panes").clicked() {
                    let t = if card.is_encoder {
                        state.document.settings.t
                    } else {
                        recommended.t
                    };
                    commands.push(Command::LookAt(recommended.id, t));
                }
                let copy = ui.add(Button::new("Copy command line"));
                let copy = named(copy, &format!("Copy the command line of {}", card.name()));
                if copy.on_hover_text(&card.command).clicked() {
                    commands.push(Command::CopyText(card.command.clone()));
                }
            });
        });
    });
}

/// A button under a name that tells it from the same one on other cards.
fn named(button: Response, name: &str) -> Response {
    button.widget_info(|| WidgetInfo::labeled(Role::Button, true, name));
    button
}

/// PCA of the first pictures.
fn pictures_ui(ui: &mut Ui, textures: &Textures, card: &Card<'_>, width: f32) {
    let count = card.recommended.pictures.len();
    if count == 0 {
        return;
    }
    // Many pictures in a narrow pane go on in the next row.
    let [least, most] = PICTURE_SIDES;
    let side = ((width - theme::SPACE_S * count as f32) / count as f32).clamp(least, most);
    ui.horizontal_wrapped(|ui| {
        for index in 0..count {
            let (rect, response) = ui.allocate_exact_size(vec2(side, side), Sense::hover());
            let name = format!("PCA of {} on picture {}", card.name(), index + 1);
            response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
            let square = Rect::from_min_size(rect.min, vec2(side, side));
            textures
                .recommended
                .paint(ui.painter(), card.first_picture + index, square);
        }
    });
}

/// The figures, a row each.
fn figures_ui(ui: &mut Ui, card: &Card<'_>) {
    let recommended = card.recommended;
    Grid::new(("figures", card.place))
        .num_columns(2)
        .spacing(vec2(theme::SPACE_M, theme::SPACE_XS))
        .show(ui, |ui| {
            for (name, words) in figures_in_words(recommended) {
                ui.weak(name);
                ui.add(Label::new(words).wrap());
                ui.end_row();
            }
            ui.weak("GDF filter");
            ui.label(if recommended.kept_by_filter {
                "keeps it"
            } else {
                "drops it"
            });
            ui.end_row();
            if !recommended.other_steps.is_empty() {
                let steps = recommended
                    .other_steps
                    .iter()
                    .map(|(t, value)| format!("t {t}: {value:.2}"));
                ui.weak("Other timesteps");
                ui.add(Label::new(steps.collect::<Vec<_>>().join(", ")).wrap());
                ui.end_row();
            }
            if !recommended.same_as.is_empty() {
                let ids: Vec<String> = recommended.same_as.iter().map(ToString::to_string).collect();
                ui.weak("Same numbers");
                ui.add(Label::new(ids.join(", ")).wrap());
                ui.end_row();
            }
        });
}

//! The pane that ranks every kept activation by marked points.

use std::path::Path;

use egui::{
    Align2, Button, Color32, ComboBox, FontId, ProgressBar, Rect, ScrollArea, Sense, Stroke, TextEdit, Ui, WidgetInfo,
    accesskit::Role, pos2, vec2,
};
use egui_tiles::TileId;

use super::controls::{inside_ui, outdated_ui, provenance_ui};
use crate::{
    activation::Id,
    analysis::{
        correspondence::Method,
        rank::{RankRow, protocol},
    },
    app::{
        document::{
            pane::{Pane, PaneKind},
            ranking::{RankChoice, RankColumn},
            root::Pin,
        },
        export::{captions::not_finite_words, content::Content, ranking::ranking_content},
        gpu::textures::Textures,
        state::{
            ranking_questions::{made, rank_query, series_of_steps, typed_steps},
            root::State,
        },
        theme,
        update::{
            abilities::Abilities,
            action::Action,
            command::Command,
            questions::Questions,
            view::{PaneView, ViewContext},
        },
        widgets::{action_button_ui, name_combo, pair_ui, row_ui},
    },
    components::schedule::Timestep,
    engine::ImageSlot,
    error::Result,
};

/// Widths of mean distance, chance and timestep, in points.
const WIDTHS: [f32; 3] = [78.0, 72.0, 56.0];
/// The least and the greatest width of names, in points, and the share of the pane that they take in between: the end of a
/// table in a narrow pane is cut, never the names.
const NAMES: [f32; 2] = [110.0, 340.0];
const SHARE_OF_NAMES: f32 = 0.36;
/// The least width of a column with a bar, in points, and what of it its number takes.
const LEAST_BAR: f32 = 62.0;
const NUMBER: f32 = 56.0;
/// Height of a bar and of the mark of chance in it, in points.
const BAR_HEIGHT: f32 = 8.0;
const CHANCE_HEIGHT: f32 = 14.0;
/// Height of the titles, in points.
const TITLES: f32 = 24.0;
/// Height of the list of pairs, in points.
const PAIRS_HEIGHT: f32 = 110.0;
/// Width of the search, in points.
const SEARCH_WIDTH: f32 = 130.0;

/// Every activation by how well it finds marked points again.
pub struct RankPane;

impl PaneView for RankPane {
    fn wants(&self, state: &State, questions: &mut Questions) {
        if let Some(query) = rank_query(state) {
            questions.want(query);
        }
    }

    fn ui(&self, ui: &mut Ui, _tile: TileId, _pane: &Pane, context: &mut ViewContext<'_>) {
        inside_ui(ui, |ui| rank_ui(ui, context.state, context.commands));
    }

    fn inspector(&self, ui: &mut Ui, _pane: &Pane, state: &State, _textures: &Textures, commands: &mut Vec<Command>) {
        inspector_ui(ui, state, commands);
    }

    fn content(&self, state: &State, path: &Path) -> Result<Content> {
        ranking_content(state, path)
    }
}

/// The whole pane.
fn rank_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut choice = state.document.rank.clone();
    how_ui(ui, state);
    let mut search = state.rank.search.clone();
    let field = TextEdit::singleline(&mut search)
        .hint_text("search, such as up t100")
        .desired_width(SEARCH_WIDTH);
    ui.horizontal(|ui| {
        let field = ui.add(field);
        field.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Search the ranking"));
        provenance_ui(ui, &count_text(state));
    });
    if search != state.rank.search {
        commands.push(Command::RankSearch(search));
    }
    head_ui(ui, &mut choice, state.has_denoiser());
    table_ui(ui, state, commands);
    if choice != state.document.rank {
        commands.push(Command::Rank(choice));
    }
}

/// What can be chosen.
fn inspector_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut choice = state.document.rank.clone();
    settings_ui(ui, state, &mut choice, commands);
    if choice != state.document.rank {
        commands.push(Command::Rank(choice));
    }
}

/// What is ranked and how.
fn settings_ui(ui: &mut Ui, state: &State, choice: &mut RankChoice, commands: &mut Vec<Command>) {
    slot_ui(ui, state, "Points of", &mut choice.slots[0]);
    slot_ui(ui, state, "found in", &mut choice.slots[1]);
    method_ui(ui, choice);
    ui.horizontal_wrapped(|ui| {
        for action in [Action::OpenPairs, Action::SavePairs, Action::SavePane(PaneKind::Rank)] {
            action_button_ui(ui, state, action, commands);
        }
    });
    if state.has_denoiser() {
        steps_ui(ui, state, commands);
    }
    pairs_ui(ui, state, choice, commands);
}

fn slot_ui(ui: &mut Ui, state: &State, label: &str, slot: &mut ImageSlot) {
    row_ui(ui, label, |ui| {
        let combo = ComboBox::from_id_salt(("rank", label))
            .width(theme::SPACE_XL)
            .selected_text(slot.name())
            .show_ui(ui, |ui| {
                for other in state.open_slots() {
                    ui.selectable_value(slot, other, other.name());
                }
            });
        name_combo(&combo.response, label, slot.name());
    });
}

fn method_ui(ui: &mut Ui, choice: &mut RankChoice) {
    row_ui(ui, "found by", |ui| {
        for (method, name, hint) in [
            (
                Method::Grid,
                "cells",
                "Nearest neighbour by cosine on the grid: predictions are cell centres",
            ),
            (
                Method::Dift,
                "DIFT",
                "Features enlarged bilinearly to the pictures' own sizes, then compared: predictions are pixels",
            ),
        ] {
            ui.radio_value(&mut choice.options.method, method, name)
                .on_hover_text(hint);
        }
    });
    ui.checkbox(&mut choice.options.drop_massive, "without outlier channels")
        .on_hover_text("Leave out channels of the source (massive activations) that are much larger than the others, in both pictures");
}

/// Other timesteps to be ranked as well.
fn steps_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.horizontal_wrapped(|ui| {
        ui.label("also at t");
        let mut steps = state.rank.steps.clone();
        let field = TextEdit::singleline(&mut steps)
            .hint_text("50, 100, 200")
            .desired_width(SEARCH_WIDTH);
        let field = ui.add(field);
        field.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Timesteps to rank"));
        if steps != state.rank.steps {
            commands.push(Command::RankSteps(steps));
        }
        let can = series_of_steps(state).is_some();
        let button = ui.add_enabled(can, Button::new("Run these"));
        let hint = "Runs both pictures at these timesteps and keeps their activations, which then are ranked too";
        if button.on_hover_text(hint).on_disabled_hover_text(hint).clicked() {
            commands.push(Command::RankRun);
        }
        if let Err(words) = typed_steps(state) {
            ui.colored_label(ui.visuals().error_fg_color, words);
        }
    });
}

/// The pairs of points that are ranked by.
fn pairs_ui(ui: &mut Ui, state: &State, choice: &RankChoice, commands: &mut Vec<Command>) {
    let document = &state.document;
    let [source, target] = choice.slots;
    if source == target {
        ui.weak("Points are found in another picture: choose two.");
        return;
    }
    ui.horizontal_wrapped(|ui| {
        action_button_ui(ui, state, Action::PairMode, commands);
        if state.can(Action::PairInOrder) {
            action_button_ui(ui, state, Action::PairInOrder, commands);
        }
    });
    let of_both = |pin: &&Pin| {
        let slots = pin.mate.as_ref().map(|mate| [pin.slot, mate.slot]);
        slots == Some([source, target]) || slots == Some([target, source])
    };
    let pairs: Vec<&Pin> = document.pins.iter().filter(of_both).collect();
    if pairs.is_empty() {
        ui.weak(format!(
            "Mark pairs of points: in pair mode click a place in {} and the same place in {}.",
            source.name(),
            target.name()
        ));
        return;
    }
    let row_height = ui.spacing().interact_size.y + ui.spacing().item_spacing.y;
    ScrollArea::vertical()
        .id_salt("pairs")
        .max_height(PAIRS_HEIGHT.min(pairs.len() as f32 * row_height))
        .auto_shrink([false, true])
        .show_rows(ui, ui.spacing().interact_size.y, pairs.len(), |ui, rows| {
            for pin in pairs.get(rows).unwrap_or_default() {
                pair_ui(ui, state, pin, commands);
            }
        });
}

/// How the figures came about, how far they are, or why there are none.
fn how_ui(ui: &mut Ui, state: &State) {
    let wanted = rank_query(state);
    let Some(view) = &state.rank.view else {
        ui.weak(match wanted {
            Some(_) => "comparing …",
            None => "Nothing is ranked yet: pairs of points are needed, and the inspector says how they are marked.",
        });
        return;
    };
    if let Some(problem) = &view.problem {
        ui.colored_label(ui.visuals().error_fg_color, problem);
    }
    if let Some(words) = not_finite_words(&view.not_finite) {
        let all: Vec<String> = view
            .not_finite
            .iter()
            .map(|found| format!("{}: {}", found.id, found.numbers))
            .collect();
        ui.colored_label(theme::tokens(ui).error, words)
            .on_hover_text(all.join("\n"));
    }
    if view.done < view.total {
        let share = view.done as f32 / view.total.max(1) as f32;
        ui.add(ProgressBar::new(share).text(format!("{} of {}", view.done, view.total)));
    }
    let outdated = wanted.as_ref() != Some(&view.query);
    if let Some(made) = made(state, view).filter(|made| made.pairs[0] > 0) {
        let steps: Vec<String> = view.query.passes.iter().map(|passes| passes.t.to_string()).collect();
        let (steps, noise) = match state.has_denoiser() {
            true => (
                format!("t {}; ", steps.join(", ")),
                format!("seed {}, ensemble size {}, ", made.seed, made.ensemble),
            ),
            false => Default::default(),
        };
        let text = format!(
            "{}; {steps}{}, {noise}{} x {} px, {}",
            protocol(&made),
            made.model,
            made.working_size[0],
            made.working_size[1],
            made.dtype
        );
        ui.horizontal(|ui| {
            if outdated {
                outdated_ui(ui, "");
            }
            provenance_ui(ui, &text);
        });
    } else if outdated {
        outdated_ui(ui, "");
    }
}

/// How many rows there are, and whether there could be more.
fn count_text(state: &State) -> String {
    let Some(view) = &state.rank.view else {
        return String::new();
    };
    let listed = state.rank.rows().len();
    let mut text = format!("{listed} of {} activations", view.rows.len());
    let all = state.layers().iter().filter(|layer| !layer.id.is_map()).count();
    let kept = view.query.passes.iter().map(|passes| passes.ids.len()).max();
    if kept.is_some_and(|kept| kept < all) {
        text +=
            &format!("; the model has {all}, the others did not fit into memory: featscope rank scores all of them");
    }
    text
}

/// Widths of the columns, those with bars taking what is left.
fn widths(ui: &Ui, has_t: bool) -> [f32; RankColumn::ALL.len()] {
    let whole = ui.available_width();
    let [distance, chance, t] = WIDTHS;
    let t = if has_t { t } else { 0.0 };
    let name = (SHARE_OF_NAMES * whole).clamp(NAMES[0], NAMES[1]);
    let bar = ((whole - name - distance - chance - t) / 2.0).max(LEAST_BAR);
    [name, bar, bar, distance, chance, t]
}

/// Titles that sort; a second click turns the order around.
fn head_ui(ui: &mut Ui, choice: &mut RankChoice, has_t: bool) {
    let widths = widths(ui, has_t);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        for (column, width) in RankColumn::ALL.into_iter().zip(widths) {
            if column == RankColumn::Timestep && !has_t {
                continue;
            }
            let sorted = choice.column == column;
            let mark = match (sorted, choice.reversed) {
                (true, false) => " ▾",
                (true, true) => " ▴",
                _ => "",
            };
            let title = egui::RichText::new(format!("{}{mark}", column.title())).size(theme::FONT_SMALL);
            let button = ui.add_sized([width, TITLES], Button::selectable(sorted, title));
            let name = format!("Sort by {}", column.title());
            button.widget_info(|| WidgetInfo::selected(Role::Button, true, sorted, &name));
            if button.on_hover_text(column.hint()).clicked() {
                choice.reversed = sorted && !choice.reversed;
                choice.column = column;
            }
        }
    });
}

fn table_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let shown = (state.layer(), state.document.settings.t);
    let rows: Vec<&RankRow> = state.rank.rows().collect();
    ui.spacing_mut().item_spacing.y = 0.0;
    ScrollArea::vertical().id_salt("ranking").auto_shrink(false).show_rows(
        ui,
        theme::ROW_HEIGHT,
        rows.len(),
        |ui, range| {
            for row in rows.get(range).unwrap_or_default() {
                rank_row_ui(ui, row, shown, state.has_denoiser(), commands);
            }
        },
    );
}

fn rank_row_ui(ui: &mut Ui, row: &RankRow, shown: (Option<Id>, Timestep), has_t: bool, commands: &mut Vec<Command>) {
    let size = vec2(ui.available_width(), theme::ROW_HEIGHT);
    let widths = widths(ui, has_t);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    let selected = shown == (Some(row.id), row.t);
    let (found, chance) = (&row.score.figures, &row.score.chance);
    let t = if has_t { row.t.to_string() } else { String::new() };
    let at_t = if has_t { format!(" at t {t}") } else { String::new() };
    let name = format!(
        "{}{at_t}: PCK@.1 {:.3}, PCK@.05 {:.3}, mean {:.2} px, by chance {:.3}",
        row.id, found.pck_10, found.pck_05, found.mean_distance_px, chance.pck_10
    );
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, selected, &name));
    let tokens = theme::tokens(ui);
    if selected {
        ui.painter().rect_filled(rect, theme::RADIUS_SMALL, tokens.selection);
    } else if response.hovered() || response.has_focus() {
        ui.painter()
            .rect_filled(rect, theme::RADIUS_SMALL, tokens.button_hovered);
    }
    // What is no better than chance is not worth reading.
    let colour = if found.pck_10 > chance.pck_10 || found.mean_distance_px < chance.mean_distance_px {
        tokens.text
    } else {
        tokens.text_weak
    };
    let font = FontId::monospace(theme::FONT_SMALL);
    let [name_width, bar_width, ..] = widths;
    let named = Rect::from_min_size(rect.min, vec2(name_width - theme::SPACE_S, rect.height()));
    let at = named.left_center() + vec2(theme::SPACE_S, 0.0);
    ui.painter().with_clip_rect(named.intersect(ui.clip_rect())).text(
        at,
        Align2::LEFT_CENTER,
        row.id.to_string(),
        font.clone(),
        colour,
    );
    for (place, [share, by_chance]) in [[found.pck_10, chance.pck_10], [found.pck_05, chance.pck_05]]
        .into_iter()
        .enumerate()
    {
        let left = rect.left() + name_width + place as f32 * bar_width;
        let column = Rect::from_x_y_ranges(left..=left + bar_width - NUMBER, rect.y_range());
        bar_ui(ui, column, share, by_chance, colour);
    }
    let numbers = [
        format!("{:.3}", found.pck_10),
        format!("{:.3}", found.pck_05),
        format!("{:.1}", found.mean_distance_px),
        format!("{:.3}", chance.pck_10),
        t,
    ];
    let mut right = rect.left() + name_width;
    for (number, width) in numbers.into_iter().zip(&widths[1..]) {
        right += width;
        let at = pos2(right - theme::SPACE_M, rect.center().y);
        ui.painter()
            .text(at, Align2::RIGHT_CENTER, number, font.clone(), colour);
    }
    if response.clicked() {
        commands.push(Command::LookAt(row.id, row.t));
    }
    response.on_hover_text(format!(
        "{name} (mean {:.1} px); {} channels on {} x {} cells. Click to look at it.",
        chance.mean_distance_px, row.score.channels, row.score.grid.height, row.score.grid.width
    ));
}

/// A share as a bar, and what is expected by chance as a mark across it.
fn bar_ui(ui: &Ui, column: Rect, share: f64, by_chance: f64, colour: Color32) {
    let tokens = theme::tokens(ui);
    if column.width() < 2.0 * theme::SPACE_M {
        return;
    }
    let rail = column.shrink2(vec2(theme::SPACE_S, (column.height() - BAR_HEIGHT) / 2.0));
    let at = |share: f64| egui::lerp(rail.x_range(), share.clamp(0.0, 1.0) as f32);
    ui.painter().rect_filled(rail, theme::RADIUS_SMALL, tokens.inset);
    let filled = if colour == tokens.text {
        tokens.accent
    } else {
        tokens.bar_outside
    };
    ui.painter()
        .rect_filled(rail.with_max_x(at(share)), theme::RADIUS_SMALL, filled);
    let half = CHANCE_HEIGHT / 2.0;
    let across = rail.center().y - half..=rail.center().y + half;
    ui.painter().vline(
        at(by_chance),
        across,
        Stroke::new(theme::STROKE_HAIR, tokens.text_strong),
    );
}

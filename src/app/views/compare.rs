//! The pane that compares two sides: a wipe between their colours, or where they differ.

use std::path::Path;

use egui::{
    Align2, Button, Color32, ComboBox, CursorIcon, DragValue, FontId, Rect, RichText, ScrollArea, Sense, Slider,
    Stroke, Ui, WidgetInfo, accesskit::Role, pos2, vec2,
};
use egui_tiles::TileId;

use super::controls::inside_ui;
use crate::{
    activation::Id,
    app::{
        document::{
            compare::{CompareChoice, CompareMode, CompareSide, PassChoice},
            limits::{t_decimals, t_set_by_hand},
            pane::{Pane, PaneKind},
        },
        export::{compare::compared_content, content::Content, styles::difference_style},
        gpu::scores::paint_scores,
        state::{
            compare::Absent,
            compare_questions::{compare_query, found, is_stale, kept_of, layer_of, pass_text, side_text},
            overlays::TemporaryView,
            root::State,
        },
        theme,
        update::{
            action::Action,
            command::Command,
            questions::Questions,
            view::{PaneView, ViewContext},
        },
        widgets::{Histogram, action_button_ui, bins, cell_numbers, colour_bar_ui, histogram_ui, name_combo},
    },
    engine::{CompareView, ImageSlot},
    error::Result,
};

const WHOLE: Rect = Rect {
    min: pos2(0.0, 0.0),
    max: pos2(1.0, 1.0),
};
/// Names of the sides.
const NAMES: [&str; 2] = ["A", "B"];
/// The share of the pane's height that what is set may take.
const MOST_OF_PANE: f32 = 0.4;
/// Width of the lists of passes and of activations, in points.
const LIST_WIDTH: f32 = 190.0;
/// Bars of the histogram of differences.
const BINS: usize = 48;
/// Height of what stands below the picture: of words, and of colours and histogram with them, in points.
const FOOTER_HEIGHT: f32 = 34.0;
const HISTOGRAM_HEIGHT: f32 = 150.0;
/// Radius of the grip of the divider, in points.
const GRIP: f32 = 6.0;
/// How strongly what is not up to date is dimmed.
const STALE: f32 = 0.45;
/// Distance of the sides' names from the corners, in points.
const NAME_MARGIN: f32 = 6.0;

/// Two of layers, timesteps, seeds, models or pictures as A and B.
pub struct ComparePane;

impl PaneView for ComparePane {
    fn wants(&self, state: &State, questions: &mut Questions) {
        if let Some(query) = compare_query(state) {
            questions.want(query);
        }
    }

    fn ui(&self, ui: &mut Ui, tile: TileId, _pane: &Pane, context: &mut ViewContext<'_>) {
        inside_ui(ui, |ui| compare_ui(ui, tile, context));
    }

    fn content(&self, state: &State, path: &Path) -> Result<Content> {
        compared_content(state, path)
    }
}

/// The whole pane.
fn compare_ui(ui: &mut Ui, tile: TileId, context: &mut ViewContext<'_>) {
    let state = context.state;
    let mut choice = state.document.compare.clone();
    ScrollArea::vertical()
        .id_salt("compared")
        .max_height(MOST_OF_PANE * ui.available_height())
        .auto_shrink([false, true])
        .show(ui, |ui| settings_ui(ui, state, &mut choice, context.commands));
    match &state.compare.view {
        Some(view)
            if view
                .query
                .sides
                .iter()
                .all(|(pass, _)| state.passes.get(*pass).is_some()) =>
        {
            shown_ui(ui, tile, view, &mut choice, context);
        }
        _ => {
            let waits = choice.sides.iter().all(|side| found(state, side).is_ok());
            ui.weak(if waits {
                "comparing …"
            } else {
                "Choose two sides whose maps are kept."
            });
        }
    }
    if choice != state.document.compare {
        context.commands.push(Command::Compare(choice));
    }
}

/// The sides, and what is shown of them.
fn settings_ui(ui: &mut Ui, state: &State, choice: &mut CompareChoice, commands: &mut Vec<Command>) {
    for index in 0..NAMES.len() {
        side_ui(ui, state, index, &mut choice.sides[index], commands);
    }
    run_ui(ui, state, choice, commands);
    ui.horizontal_wrapped(|ui| {
        for (mode, name, hint) in [
            (
                CompareMode::Wipe,
                "wipe",
                "The colours of A left of a line that can be dragged, those of B right of it",
            ),
            (
                CompareMode::Difference,
                "difference",
                "How much A and B differ at each position",
            ),
        ] {
            ui.radio_value(&mut choice.mode, mode, name).on_hover_text(hint);
        }
        if choice.mode == CompareMode::Wipe {
            let slider = Slider::new(&mut choice.divider, 0.0..=1.0)
                .show_value(false)
                .text("divider");
            ui.add(slider).on_hover_text("Where A ends and B begins");
        }
    });
    ui.horizontal_wrapped(|ui| {
        for action in [
            Action::HoldSide,
            Action::SetCompareSide,
            Action::SwapSides,
            Action::SavePane(PaneKind::Compare),
        ] {
            action_button_ui(ui, state, action, commands);
        }
    });
}

fn side_ui(ui: &mut Ui, state: &State, index: usize, side: &mut CompareSide, commands: &mut Vec<Command>) {
    let name = NAMES[index];
    ui.horizontal_wrapped(|ui| {
        ui.strong(name);
        let now = |slot: ImageSlot| format!("{} as it is shown", slot.name());
        let text = match (&side.pass, kept_of(state, side)) {
            (PassChoice::Shown(slot), _) => now(*slot),
            (PassChoice::Kept(_), Some(kept)) => pass_text(state, kept),
            (PassChoice::Kept(gone), None) => {
                format!("{} t {} seed {}", gone.slot.name(), gone.settings.t, gone.settings.seed)
            }
        };
        let combo = ComboBox::from_id_salt(("pass of", name))
            .width(LIST_WIDTH)
            .truncate()
            .selected_text(text.as_str())
            .show_ui(ui, |ui| {
                for slot in state.open_slots() {
                    ui.selectable_value(&mut side.pass, PassChoice::Shown(slot), now(slot));
                }
                ui.separator();
                for kept in state.passes.iter().rev() {
                    let pass = PassChoice::Kept(Box::new(kept.reference()));
                    let text = pass_text(state, kept);
                    ui.selectable_value(&mut side.pass, pass, text);
                }
            });
        name_combo(&combo.response, &format!("Pass of {name}"), &text);
        layer_ui(ui, state, name, side);
    });
    match found(state, side) {
        Ok(_) => {}
        Err(Absent::Words(words)) => {
            ui.colored_label(theme::tokens(ui).warning, format!("{name}: {words}"));
        }
        Err(Absent::CanRun(_)) => {
            ui.horizontal_wrapped(|ui| {
                ui.colored_label(theme::tokens(ui).warning, format!("{name}: its maps are not kept."));
                if ui
                    .button("Run it")
                    .on_hover_text("Runs this pass again and keeps its maps")
                    .clicked()
                {
                    commands.push(Command::RunSide(index));
                }
            });
        }
    }
}

fn layer_ui(ui: &mut Ui, state: &State, name: &str, side: &mut CompareSide) {
    let text = |layer: Option<Id>| match layer {
        Some(id) => id.to_string(),
        None => "the one looked at".to_owned(),
    };
    let chosen = text(side.layer);
    let combo = ComboBox::from_id_salt(("layer of", name))
        .width(LIST_WIDTH)
        .truncate()
        .selected_text(chosen.as_str())
        .show_ui(ui, |ui| {
            ui.selectable_value(&mut side.layer, None, text(None));
            ui.separator();
            let features = kept_of(state, side).map_or(&[][..], |kept| &kept.features);
            let row_height = ui.spacing().interact_size.y;
            let all: Vec<Id> = features.to_vec();
            ScrollArea::vertical().show_rows(ui, row_height, all.len(), |ui, rows| {
                for id in all.get(rows).unwrap_or_default() {
                    ui.selectable_value(&mut side.layer, Some(*id), id.to_string());
                }
            });
        });
    name_combo(&combo.response, &format!("Activation of {name}"), &chosen);
}

/// Another timestep or seed as B.
fn run_ui(ui: &mut Ui, state: &State, choice: &CompareChoice, commands: &mut Vec<Command>) {
    let Some(info) = state.model.info.as_ref().filter(|info| info.is_denoiser()) else {
        return;
    };
    let settings = &state.document.settings;
    let (mut t, mut seed) = state.compare.typed.unwrap_or((settings.t, settings.seed));
    ui.horizontal_wrapped(|ui| {
        ui.label("as B also");
        let last = info.mixtures.len().saturating_sub(1) as f64;
        let mut number = t.value();
        let drag = DragValue::new(&mut number)
            .prefix("t ")
            .range(0.0..=last)
            .clamp_existing_to_range(false)
            .max_decimals(t_decimals(info.flows));
        let drag = ui.add(drag).on_hover_text("Timestep of a pass for B");
        if let (true, Some(typed)) = (drag.changed(), t_set_by_hand(number, info.flows)) {
            t = typed;
        }
        ui.add(DragValue::new(&mut seed).prefix("seed "))
            .on_hover_text("Seed of the noise of a pass for B");
        if (t, seed) != state.compare.typed.unwrap_or((settings.t, settings.seed)) {
            commands.push(Command::CompareTyped(t, seed));
        }
        let layer = layer_of(state, &choice.sides[0]).filter(|id| !id.is_map());
        let can = layer.is_some() && state.compare.asked.is_none();
        let button = ui.add_enabled(can, Button::new("Run as B"));
        let hint = "Runs A's picture with this timestep and seed, keeps its maps and shows them as B";
        if button.on_hover_text(hint).on_disabled_hover_text(hint).clicked() {
            commands.push(Command::RunAsB);
        }
    });
}

/// The picture and what it says.
fn shown_ui(ui: &mut Ui, tile: TileId, view: &CompareView, choice: &mut CompareChoice, context: &mut ViewContext<'_>) {
    let state = context.state;
    let below = match choice.mode {
        CompareMode::Wipe => FOOTER_HEIGHT,
        CompareMode::Difference => HISTOGRAM_HEIGHT,
    };
    let size = vec2(ui.available_width(), (ui.available_height() - below).max(FOOTER_HEIGHT));
    let (canvas, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
    let label = match choice.mode {
        CompareMode::Wipe => "Comparison of A and B",
        CompareMode::Difference => "Difference of A and B",
    };
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, label));
    let painter = ui.painter().with_clip_rect(canvas.intersect(ui.clip_rect()));
    let tokens = theme::tokens(ui);
    painter.rect_filled(canvas, 0.0, tokens.canvas);
    let rect = fitted(canvas, aspect(state, view));
    let tint = if is_stale(state) {
        Color32::WHITE.gamma_multiply(STALE)
    } else {
        Color32::WHITE
    };
    let textures = &context.textures.compared;
    if choice.mode == CompareMode::Difference {
        if let Some(scores) = &textures.difference {
            let mut style = difference_style(view);
            if is_stale(state) {
                style.opacity = STALE;
            }
            let id = egui::Id::unique(("difference", tile));
            paint_scores(&painter, id, rect, WHOLE, scores, &style, &context.textures.painter);
            if state.document.display.numbers {
                cell_numbers(&painter, rect, WHOLE, scores, &style);
            }
        }
    } else {
        let divider = match state.hold {
            // All of B, as long as the key is down.
            Some(TemporaryView::Side) => rect.left(),
            _ => egui::lerp(rect.x_range(), choice.divider),
        };
        textures.sides[0].paint(&painter, rect, WHOLE, tint);
        let right = Rect::from_min_max(pos2(divider, rect.top()), rect.max);
        let clipped = painter.with_clip_rect(right.intersect(painter.clip_rect()));
        clipped.rect_filled(right, 0.0, tokens.canvas);
        textures.sides[1].paint(&clipped, rect, WHOLE, tint);
        if state.hold != Some(TemporaryView::Side) {
            let line = Stroke::new(theme::STROKE_MARK, tokens.text_strong);
            let halo = Stroke::new(2.0 * theme::STROKE_MARK + 1.0, tokens.halo);
            for stroke in [halo, line] {
                painter.vline(divider, rect.y_range(), stroke);
            }
            painter.circle_filled(pos2(divider, rect.center().y), GRIP, tokens.text_strong);
            corner(ui, &painter, rect.left_top(), Align2::LEFT_TOP, NAMES[0]);
        }
        corner(ui, &painter, rect.right_top(), Align2::RIGHT_TOP, NAMES[1]);
        if let (Some(pos), true) = (
            response.interact_pointer_pos(),
            response.dragged() || response.clicked(),
        ) {
            let share = (pos.x - rect.left()) / rect.width().max(1.0);
            choice.divider = share.clamp(0.0, 1.0);
        }
    }
    let response = if choice.mode == CompareMode::Wipe {
        response.on_hover_cursor(CursorIcon::ResizeHorizontal)
    } else {
        response
    };
    if let Some(words) = response.hover_pos().and_then(|pos| words_at(view, rect, pos)) {
        response.on_hover_text_at_pointer(words);
    }
    let below = ui.available_size();
    ScrollArea::vertical()
        .id_salt("about the comparison")
        .max_height(below.y)
        .auto_shrink(false)
        .show(ui, |ui| below_ui(ui, state, view, choice));
}

/// How the colours came about, or the differences and how often each occurs.
fn below_ui(ui: &mut Ui, state: &State, view: &CompareView, choice: &CompareChoice) {
    if choice.mode == CompareMode::Difference {
        let style = difference_style(view);
        colour_bar_ui(ui, &style);
        let values = &view.difference.values;
        let histogram = Histogram {
            name: view.difference.measure.name(),
            counts: &bins(values, style.range, BINS),
            extent: style.range,
            map: style.map,
            gamma: style.gamma,
            range: None,
            threshold: None,
        };
        // Nothing of it can be moved.
        let _ = histogram_ui(ui, &histogram);
    }
    let sides: Vec<String> = NAMES
        .iter()
        .zip(&choice.sides)
        .map(|(name, side)| format!("{name}: {}", side_text(state, side)))
        .collect();
    let what = match choice.mode {
        CompareMode::Wipe => view.agreement.words().to_owned(),
        CompareMode::Difference => view.difference.measure.words().to_owned(),
    };
    let mean = format!("mean {} {:.3}", view.difference.measure.name(), view.difference.mean);
    let stale = if is_stale(state) { "; not yet what is set" } else { "" };
    let grids = match view.sides[0].grid == view.sides[1].grid {
        true => String::new(),
        false => format!(
            "; grids of {} x {} and {} x {} cells, compared on {} x {} with the nearest cells",
            view.sides[0].grid.height,
            view.sides[0].grid.width,
            view.sides[1].grid.height,
            view.sides[1].grid.width,
            view.difference.grid.height,
            view.difference.grid.width
        ),
    };
    let text = format!("{}; {what}; {mean}{grids}{stale}", sides.join("; "));
    ui.add(egui::Label::new(RichText::new(text).size(theme::FONT_SMALL).weak()).wrap());
}

/// Width over height of the part of A's picture that the model sees.
fn aspect(state: &State, view: &CompareView) -> f32 {
    let seen = state
        .passes
        .get(view.query.sides[0].0)
        .map(|kept| kept.framing.visible());
    seen.map_or(1.0, |[left, top, right, bottom]| {
        ((right - left) / (bottom - top)) as f32
    })
}

/// The largest place of a shape in the middle of another.
fn fitted(canvas: Rect, aspect: f32) -> Rect {
    let width = canvas.width().min(canvas.height() * aspect);
    Rect::from_center_size(canvas.center(), vec2(width, width / aspect))
}

fn corner(ui: &Ui, painter: &egui::Painter, at: egui::Pos2, align: Align2, name: &str) {
    let tokens = theme::tokens(ui);
    let galley = painter.layout_no_wrap(
        name.to_owned(),
        FontId::proportional(theme::FONT_HEADING),
        tokens.text_strong,
    );
    let inside = align.to_sign() * -NAME_MARGIN;
    let rect = align.anchor_size(at + inside, galley.size()).expand(theme::SPACE_XS);
    painter.rect_filled(rect, theme::RADIUS_SMALL, tokens.halo.gamma_multiply(0.8));
    painter.galley(rect.shrink(theme::SPACE_XS).min, galley, tokens.text_strong);
}

/// The cell under the pointer and how much A and B differ there.
fn words_at(view: &CompareView, rect: Rect, pos: egui::Pos2) -> Option<String> {
    if !rect.contains(pos) {
        return None;
    }
    let share = (pos - rect.min) / rect.size();
    let grid = view.difference.grid;
    let cell = |share: f32, count: usize| ((share * count as f32) as usize).min(count.saturating_sub(1));
    let (row, column) = (cell(share.y, grid.height), cell(share.x, grid.width));
    let value = view.difference.values.get(grid.index(row, column))?;
    let name = view.difference.measure.name();
    Some(format!("cell ({row}, {column})  {name} {value:.4}"))
}

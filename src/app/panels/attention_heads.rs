//! The heads of the attention that is looked at, to choose one: small pictures of what each attends to.

use egui::{Align2, FontId, Rect, Sense, Stroke, StrokeKind, Ui, WidgetInfo, accesskit::Role, pos2, vec2};

use crate::{
    app::{
        gpu::{scores::paint_scores, textures::Textures},
        state::root::State,
        theme,
        update::{action::Action, command::Command},
        widgets::action_button_ui,
    },
    render::{Interpolation, ScoreMap, ScoreStyle},
};

/// Side of a small picture, in points.
const SIDE: f32 = 44.0;
const WHOLE: Rect = Rect {
    min: pos2(0.0, 0.0),
    max: pos2(1.0, 1.0),
};

/// The mean and every head.
pub fn heads_ui(ui: &mut Ui, state: &State, textures: &Textures, commands: &mut Vec<Command>) {
    let Some(count) = state.head_count() else { return };
    let chosen = state.head();
    ui.horizontal_wrapped(|ui| {
        if ui.selectable_label(chosen.is_none(), "mean").clicked() {
            commands.push(Command::Head(None));
        }
        action_button_ui(ui, state, Action::PreviousHead, commands);
        action_button_ui(ui, state, Action::NextHead, commands);
    });
    let current = state.current_heat().is_some() && !state.heat_is_stale();
    let known = current && textures.heads.len() == count;
    // Until the heads are known, each shows their mean.
    let mean = state
        .open_slots()
        .find_map(|slot| textures.slot(slot).heat.as_ref())
        .filter(|_| current);
    ui.weak(match (known, state.layer().is_some_and(|id| id.is_cross_map())) {
        (true, _) => "What each head attends to, each from its least to its greatest weight.",
        (false, true) => "Point at a token to see the attention of each head to it.",
        (false, false) => "Point at a picture to see what each head attends to from there.",
    });
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(theme::SPACE_S, theme::SPACE_S);
        for head in 0..count {
            let map = textures.heads.get(head).filter(|_| known).or(mean);
            if head_ui(ui, state, textures, head, map, chosen == Some(head)) {
                commands.push(Command::Head(Some(head).filter(|_| chosen != Some(head))));
            }
        }
    });
}

/// One head; whether it was clicked.
fn head_ui(ui: &mut Ui, state: &State, textures: &Textures, head: usize, map: Option<&ScoreMap>, chosen: bool) -> bool {
    let (rect, response) = ui.allocate_exact_size(vec2(SIDE, SIDE), Sense::click());
    let name = format!("Head {}", head + 1);
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, chosen, &name));
    let tokens = theme::tokens(ui);
    let painter = ui.painter();
    painter.rect_filled(rect, 0.0, tokens.button);
    if let Some(map) = map {
        let grid = map.grid();
        let aspect = grid.width as f32 / grid.height.max(1) as f32;
        let size = if aspect > 1.0 {
            vec2(SIDE, SIDE / aspect)
        } else {
            vec2(SIDE * aspect, SIDE)
        };
        let style = ScoreStyle {
            map: state.document.display.map,
            range: map.extent().unwrap_or([0.0, 1.0]),
            gamma: state.document.display.gamma,
            opacity: 1.0,
            interpolation: Interpolation::Nearest,
        };
        let place = Rect::from_center_size(rect.center(), size);
        let id = egui::Id::unique(("head", head));
        paint_scores(painter, id, place, WHOLE, map, &style, &textures.painter);
    }
    let font = FontId::proportional(theme::FONT_SMALL);
    let galley = painter.layout_no_wrap((head + 1).to_string(), font, tokens.text_strong);
    let label = Align2::LEFT_TOP.anchor_size(rect.min, galley.size()).expand(1.0);
    painter.rect_filled(label, theme::RADIUS_SMALL, tokens.halo.gamma_multiply(0.8));
    painter.galley(label.shrink(1.0).min, galley, tokens.text_strong);
    let stroke = match (chosen, response.hovered() || response.has_focus()) {
        (true, _) => Stroke::new(theme::STROKE_MARK, tokens.accent),
        (false, true) => Stroke::new(theme::STROKE_HAIR, tokens.text_strong),
        (false, false) => Stroke::new(theme::STROKE_HAIR, tokens.border),
    };
    painter.rect_stroke(rect, 0.0, stroke, StrokeKind::Inside);
    let hint = format!("{name}: show its attention; a click on the chosen one shows the mean again");
    response.on_hover_text(hint).clicked()
}

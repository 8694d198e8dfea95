//! The list of layers by stage, level, repeat and block, with search.

use egui::{
    Button, CollapsingHeader, Key, Rect, ScrollArea, Sense, Stroke, TextEdit, Ui, WidgetInfo, accesskit::Role, vec2,
};

use super::network_map::network_map_ui;
use crate::{
    activation::Shape,
    app::{
        state::{
            layer_tree::{LayerTree, Node, found, holds, tree},
            root::State,
        },
        theme,
        update::{action::Action, command::Command},
    },
    engine::{Capture, Layer},
};

/// Search box and tree.
pub fn layers_ui(ui: &mut Ui, list: &mut LayerTree, state: &State, commands: &mut Vec<Command>) {
    let layers = state.layers();
    if list.generation != state.model.generation {
        list.generation = state.model.generation;
        list.nodes = tree(layers);
        list.shown = None;
    }
    ui.separator();
    ui.horizontal(|ui| {
        ui.strong("Layers");
        let keys = [Action::PreviousLayer, Action::NextLayer].map(|action| action.key_text(ui.ctx()));
        ui.weak(format!("{}, keys {} {}", layers.len(), keys[0], keys[1]));
    });
    network_map_ui(ui, state, commands);
    let mut text = state.search.clone();
    let search = TextEdit::singleline(&mut text)
        .hint_text("Search, such as: up cross-q")
        .desired_width(f32::INFINITY);
    let response = ui.add(search);
    response.widget_info(|| WidgetInfo::labeled(Role::SearchInput, true, "Search layers"));
    let response = response.on_hover_text(Action::SearchLayers.tooltip(ui.ctx()));
    if std::mem::take(&mut list.search_wanted) {
        response.request_focus();
    }
    if response.changed() {
        commands.push(Command::Search(text));
    }
    if response.has_focus() {
        // The arrows walk through what is found while the search is typed.
        for (key, action) in [
            (Key::ArrowDown, Action::NextLayer),
            (Key::ArrowUp, Action::PreviousLayer),
        ] {
            if ui.input(|input| input.key_pressed(key)) {
                commands.push(Command::Act(action));
            }
        }
    }
    let height = ui.available_height();
    let mut rows = Rows {
        layers,
        state,
        moved: list.shown != state.layer() || (list.shown_height - height).abs() > 1.0,
        reached: false,
        commands,
    };
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        if state.search.trim().is_empty() {
            for node in &list.nodes {
                rows.node_ui(ui, node);
            }
            return;
        }
        let found = found(state);
        if found.is_empty() {
            ui.weak("No layer has all of these words.");
        }
        for layer in found {
            rows.layer_ui(ui, layer, layer.id.as_str());
        }
    });
    // A group that opens shows its layers in a later frame.
    if rows.reached {
        list.shown = state.layer();
        list.shown_height = height;
    }
}

/// The list while it is painted.
struct Rows<'a> {
    layers: &'a [Layer],
    state: &'a State,
    /// Whether another layer has been selected that is not yet in sight.
    moved: bool,
    /// Whether it came into sight.
    reached: bool,
    commands: &'a mut Vec<Command>,
}

impl Rows<'_> {
    fn node_ui(&mut self, ui: &mut Ui, node: &Node) {
        match node {
            Node::Layer(index) => {
                if let Some(layer) = self.layers.get(*index) {
                    self.layer_ui(ui, layer, layer.facts.label.as_str());
                }
            }
            Node::Group { title, children } => {
                let selected_inside = self.moved && self.state.layer().is_some_and(|id| holds(node, self.layers, id));
                CollapsingHeader::new(title)
                    .open(selected_inside.then_some(true))
                    .show(ui, |ui| {
                        for child in children {
                            self.node_ui(ui, child);
                        }
                    });
            }
        }
    }

    fn layer_ui(&mut self, ui: &mut Ui, layer: &Layer, name: &str) {
        let state = self.state;
        let selected = state.layer() == Some(layer.id);
        let row = Rect::from_min_size(
            ui.cursor().min,
            vec2(ui.available_width(), ui.spacing().interact_size.y),
        );
        // A large model has more rows than can be laid out in a frame.
        let scrolled_to = selected && self.moved;
        if !(ui.is_rect_visible(row) || scrolled_to) {
            ui.allocate_space(row.size());
            return;
        }
        let kept =
            |capture: &Capture| capture.settings.same_pass(&state.settings_read()) && capture.ids.contains(&layer.id);
        let mut captures = state.open_slots().filter_map(|slot| state.slot(slot).capture.as_ref());
        let captured = captures.any(kept);
        let not_finite = state.not_finite_of(layer.id);
        ui.horizontal(|ui| {
            // A dot says that the layer is there at once.
            let (rect, _) = ui.allocate_exact_size(vec2(DOT_WIDTH, DOT_WIDTH), Sense::hover());
            if captured {
                let (centre, radius) = (rect.center(), DOT_WIDTH / 4.0);
                if not_finite.is_none() {
                    ui.painter().circle_filled(centre, radius, ui.visuals().hyperlink_color);
                } else {
                    let stroke = Stroke::new(theme::STROKE_MARK, theme::tokens(ui).error);
                    for arm in [vec2(radius, radius), vec2(radius, -radius)] {
                        ui.painter().line_segment([centre - arm, centre + arm], stroke);
                    }
                }
            }
            let response = ui.add_enabled(layer.can_be_shown(), Button::selectable(selected, name));
            let hint = match not_finite {
                Some((slot, numbers)) => format!("{} is not finite in {}: {numbers}", layer.id, slot.name()),
                None if captured => format!("{}, captured", layer.id),
                None => layer.id.to_string(),
            };
            let response = response.on_hover_text(hint).on_disabled_hover_text(
                "Attention to text: `featscope extract` writes it; it has no row to show here.",
            );
            if response.clicked() {
                self.commands.push(Command::SelectLayer(layer.id));
            }
            if selected && self.moved {
                response.scroll_to_me(None);
                self.reached = true;
            }
            match not_finite {
                Some(_) => ui.colored_label(theme::tokens(ui).error, "not finite"),
                None => ui.weak(shape_text(layer.shape)),
            };
        });
    }
}

/// Side of the space for the dot, in points.
const DOT_WIDTH: f32 = 10.0;

/// `1280, 16 × 16`, or `8 heads, 256 × 77`.
pub fn shape_text(shape: Shape) -> String {
    match shape {
        Shape::Features { channels, grid } => format!("{channels}, {} × {}", grid.height, grid.width),
        Shape::Attention { heads, queries, keys } => format!("{heads} heads, {queries} × {keys}"),
    }
}

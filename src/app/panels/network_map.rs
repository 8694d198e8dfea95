//! The network as a small picture: a mark for each block, lower where its grid is coarser. A U-Net is a U, a transformer a row.

use std::collections::HashMap;

use egui::{Color32, Rect, Sense, Stroke, StrokeKind, Ui, WidgetInfo, accesskit::Role, pos2, vec2};

use crate::{
    activation::{Id, Shape, Stage},
    app::{
        document::sheet::SheetSettings,
        state::{root::State, survey::SurveyState},
        theme::{self, tokens},
        update::command::Command,
    },
    engine::Layer,
    render::{ColourMap, score_text},
    survey::Column,
};

/// Height of a mark, and between two levels, in points.
const MARK_HEIGHT: f32 = 10.0;
const LEVEL_GAP: f32 = 3.0;
/// The widest mark, and between two marks, in points.
const WIDEST_MARK: f32 = 26.0;
const MARK_GAP: f32 = 2.0;
/// Levels that are told apart; a network with more has its finest ones in one.
const MOST_LEVELS: usize = 6;

/// A block: its layers lie next to each other in the order of execution.
#[derive(Debug, Clone, PartialEq)]
struct Block {
    stage: Stage,
    index: u16,
    /// Positions of the grid of its last features.
    positions: usize,
    /// Its layers that can be looked at.
    layers: Vec<Id>,
}

/// The blocks of a network, in the order of execution.
fn blocks(layers: &[Layer]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for layer in layers.iter().filter(|layer| layer.can_be_shown()) {
        let (stage, index) = (layer.facts.stage, layer.facts.block.0);
        let grid = match layer.shape {
            Shape::Features { grid, .. } => Some(grid.positions()),
            Shape::Attention { .. } => None,
        };
        match blocks.last_mut() {
            Some(block) if (block.stage, block.index) == (stage, index) => {
                block.positions = grid.unwrap_or(block.positions);
                block.layers.push(layer.id);
            }
            _ => blocks.push(Block {
                stage,
                index,
                positions: grid.unwrap_or_default(),
                layers: vec![layer.id],
            }),
        }
    }
    blocks
}

impl Block {
    fn name(&self) -> String {
        match self.stage {
            Stage::Input => "input".to_owned(),
            Stage::Down => format!("down {}", self.index),
            Stage::Mid => "middle".to_owned(),
            Stage::Up => format!("up {}", self.index),
            Stage::Stack => format!("block {}", self.index),
            Stage::Output => "output".to_owned(),
        }
    }

    /// What it gives to the next: its last layer that has vectors.
    fn output(&self) -> Option<Id> {
        let features = self.layers.iter().rev().find(|id| id.has_vectors());
        features.or(self.layers.last()).copied()
    }
}

/// A survey's figure of each layer.
struct Figures {
    column: Column,
    values: HashMap<Id, f64>,
}

impl Figures {
    /// The figure that a survey is sorted by, else its noise.
    fn of(survey: &SurveyState, settings: &SheetSettings) -> Option<Self> {
        let column = settings.sort.unwrap_or(Column::Nsr);
        let values: HashMap<Id, f64> = survey
            .findings
            .iter()
            .filter_map(|finding| Some((finding.id, column.value(finding)?)))
            .filter(|(_, value)| value.is_finite())
            .collect();
        (!values.is_empty()).then_some(Self { column, values })
    }

    /// The mean over a block.
    fn mean(&self, block: &Block) -> Option<f64> {
        let values: Vec<f64> = block
            .layers
            .iter()
            .filter_map(|id| self.values.get(id).copied())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

/// The marks of all blocks; a click looks at what a block gives to the next.
pub fn network_map_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let blocks = blocks(state.layers());
    if blocks.len() < 2 {
        return;
    }
    let levels = levels(&blocks);
    let survey = state.survey.as_ref();
    let figures = survey.and_then(|survey| Figures::of(survey, &state.document.sheet));
    let means: Vec<Option<f64>> = blocks
        .iter()
        .map(|block| figures.as_ref().and_then(|figures| figures.mean(block)))
        .collect();
    let place_of = ranks(&means);
    let rows = levels.iter().max().map_or(1, |lowest| lowest + 1);
    let height = rows as f32 * (MARK_HEIGHT + LEVEL_GAP);
    let (room, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    let step = (room.width() / blocks.len() as f32).min(WIDEST_MARK + MARK_GAP);
    let left = room.center().x - step * blocks.len() as f32 / 2.0;
    for (place, block) in blocks.iter().enumerate() {
        let corner = pos2(
            left + place as f32 * step,
            room.top() + levels[place] as f32 * (MARK_HEIGHT + LEVEL_GAP),
        );
        let mark = Rect::from_min_size(corner, vec2((step - MARK_GAP).max(1.0), MARK_HEIGHT));
        let figure = means[place].zip(figures.as_ref());
        mark_ui(
            ui,
            state,
            block,
            mark,
            figure.map(|(mean, figures)| (mean, figures.column)),
            place_of[place],
            commands,
        );
    }
}

fn mark_ui(
    ui: &Ui,
    state: &State,
    block: &Block,
    mark: Rect,
    figure: Option<(f64, Column)>,
    rank: Option<f32>,
    commands: &mut Vec<Command>,
) {
    let tokens = tokens(ui);
    let id = ui
        .scope_id()
        .with(("block", block.stage, block.index, mark.left() as i32));
    let response = ui.interact(mark, id, Sense::click());
    let mut words = format!("{}: {} layers", block.name(), block.layers.len());
    if let Some((mean, column)) = figure {
        words += &format!(", {} {}", column.title(), score_text(mean as f32));
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &words));
    let of_rank = rank.and_then(|rank| ColourMap::Viridis.colour(rank, [0.0, 1.0], 1.0));
    let fill = of_rank.map_or(tokens.control, |[red, green, blue]| Color32::from_rgb(red, green, blue));
    ui.painter().rect_filled(mark, theme::RADIUS_SMALL, fill);
    let is_current = state.layer().is_some_and(|layer| block.layers.contains(&layer));
    if is_current || response.hovered() || response.has_focus() {
        let colour = if is_current { tokens.accent } else { tokens.text_strong };
        let stroke = Stroke::new(theme::STROKE_MARK, colour);
        ui.painter()
            .rect_stroke(mark, theme::RADIUS_SMALL, stroke, StrokeKind::Outside);
    }
    if response.on_hover_text(words).clicked()
        && let Some(output) = block.output()
    {
        commands.push(Command::SelectLayer(output));
    }
}

/// How far down each block is: 0 is the finest grid.
fn levels(blocks: &[Block]) -> Vec<usize> {
    let mut grids: Vec<usize> = blocks.iter().map(|block| block.positions).collect();
    grids.sort_unstable_by(|a, b| b.cmp(a));
    grids.dedup();
    let extra = grids.len().saturating_sub(MOST_LEVELS);
    let level = |block: &Block| grids.iter().position(|grid| *grid == block.positions).unwrap_or(0);
    blocks.iter().map(|block| level(block).saturating_sub(extra)).collect()
}

/// The place of each figure among all, from 0 to 1: figures of a survey span decades.
fn ranks(values: &[Option<f64>]) -> Vec<Option<f32>> {
    let mut sorted: Vec<f64> = values.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1).max(1) as f32;
    let rank = |value: f64| sorted.partition_point(|other| *other < value) as f32 / last;
    values.iter().map(|value| value.map(rank)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarser_grids_lie_lower_and_ranks_go_from_0_to_1() {
        let block = |positions| Block {
            stage: Stage::Down,
            index: 0,
            positions,
            layers: Vec::new(),
        };
        assert_eq!(
            levels(&[block(64), block(16), block(4), block(16), block(64)]),
            [0, 1, 2, 1, 0]
        );
        assert_eq!(levels(&[block(9), block(9)]), [0, 0]);
        assert_eq!(
            ranks(&[Some(100.0), None, Some(0.1), Some(1.0)]),
            [Some(1.0), None, Some(0.0), Some(0.5)]
        );
    }
}

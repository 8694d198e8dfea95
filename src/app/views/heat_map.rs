//! The pane of a heat map alone.

use super::picture::{activation, pointing_hint};
use crate::{
    app::{
        export::styles::{STALE, heat_style},
        gpu::textures::Textures,
        state::root::State,
        update::view::{Layers, PaneView},
    },
    engine::ImageSlot,
    render::ScoreStyle,
};

/// The heat map alone.
pub struct HeatPane;

impl PaneView for HeatPane {
    fn subject(&self, state: &State, slot: ImageSlot) -> Option<String> {
        activation(state, slot)
    }

    fn layers<'a>(&self, slot: ImageSlot, state: &State, textures: &'a Textures) -> Layers<'a> {
        let scores = textures.slot(slot).heat.as_ref();
        let scores = scores.filter(|_| state.scores_of(slot).is_some()).map(|scores| {
            let style = heat_style(state, textures, scores);
            let opacity = if state.heat_is_stale() { STALE } else { 1.0 };
            (scores, ScoreStyle { opacity, ..style })
        });
        Layers {
            scores,
            ..Layers::default()
        }
    }

    fn footer(&self, state: &State, _slot: ImageSlot, width: f32) -> String {
        pointing_hint(state, width)
    }
}

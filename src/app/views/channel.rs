//! The pane of one channel.

use crate::{
    app::{
        document::pane::PaneKind,
        export::styles::channel_style,
        gpu::textures::Textures,
        state::{queries::channel_query, root::State},
        update::{
            questions::Questions,
            view::{Layers, PaneView},
        },
    },
    engine::{Answer, ChannelQuery, ImageSlot, queries::Listed},
};

/// One channel.
pub struct ChannelPane;

impl PaneView for ChannelPane {
    fn wants(&self, state: &State, questions: &mut Questions) {
        if let Some(query) = channel_query(state) {
            questions.want(query);
        }
    }

    fn on_answer(&self, answer: &Answer, textures: &mut Textures) {
        if let Some(view) = ChannelQuery::find(answer) {
            textures.set_scores(PaneKind::Channel, &view.maps);
        }
    }

    fn subject(&self, state: &State, _slot: ImageSlot) -> Option<String> {
        let view = state.answers.of::<ChannelQuery>()?;
        Some(view.query.channel.to_string())
    }

    fn layers<'a>(&self, slot: ImageSlot, state: &State, textures: &'a Textures) -> Layers<'a> {
        let scores = textures.scores(PaneKind::Channel, slot);
        let scores = scores.filter(|_| state.not_finite(slot).is_none());
        Layers {
            scores: scores.map(|scores| (scores, channel_style(state, scores))),
            ..Layers::default()
        }
    }

    fn footer(&self, state: &State, _slot: ImageSlot, _width: f32) -> String {
        let is_map = state.layer().is_some_and(|id| !id.has_vectors());
        let words = if is_map { "An attention map has no channels" } else { "" };
        words.to_owned()
    }
}

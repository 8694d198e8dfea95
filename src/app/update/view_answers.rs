//! Answers of the lanes, taken into the state, and what is drawn of them made ready for display.

use std::sync::Arc;

use super::app::App;
use crate::{
    app::state::{queries::pca_is_missing, token_weights::TokenWeights},
    engine::{Answer, ChannelsView, CompareView, HeatView, PcaView, RankView},
};

impl App {
    pub(in crate::app) fn on_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Pca(view) => self.on_pca(*view),
            Answer::Heat(view) => self.on_heat(*view),
            Answer::Matches(view) => self.state.matches = Some(*view),
            Answer::Channels(view) => self.on_channels(*view),
            Answer::Compare(view) => self.on_compared(*view),
            Answer::Rank(view) => self.on_ranking(*view),
            Answer::Strip(view) => self.on_strip(*view),
            Answer::Cka(answer) => self.on_cka(*answer),
            Answer::Shift(view) => self.on_shift(*view),
            other => {
                for (_, view) in self.views.all() {
                    view.on_answer(&other, &mut self.textures);
                }
                self.state.answers.put(other);
            }
        }
    }

    fn on_pca(&mut self, view: PcaView) {
        let state = &mut self.state;
        let slot = view.slot;
        state.view_error = None;
        if state.pass(slot) == Some(view.pass) {
            state.slot_mut(slot).pca = Some(Arc::new(view));
            self.show_pca(slot);
        }
    }

    fn on_heat(&mut self, view: HeatView) {
        self.clear_view_error();
        self.textures.clear_heat();
        self.textures.prepare_heads(&view);
        for target in &view.targets {
            self.textures.prepare_heat(target);
        }
        if let Some(weights) = TokenWeights::of(&view) {
            self.state.token_weights = Some(weights);
        }
        self.state.heat = Some(view);
    }

    fn on_channels(&mut self, view: ChannelsView) {
        let last = view.channels.len().saturating_sub(1);
        let channel = &mut self.state.document.channel;
        *channel = (*channel).min(last);
        self.state.channels = Some(view);
        self.history
            .amend(|settled| settled.channel = settled.channel.min(last));
    }

    fn on_compared(&mut self, view: CompareView) {
        self.clear_view_error();
        self.textures.prepare_compared(&view);
        self.state.compare.view = Some(view);
    }

    fn on_ranking(&mut self, view: RankView) {
        let state = &mut self.state;
        view.gone.iter().for_each(|pass| state.passes.forget(*pass));
        state.rank.view = Some(view);
        state.rank.arrange(&state.document.rank);
    }

    /// What is wrong with colours is still wrong when something else is answered.
    fn clear_view_error(&mut self) {
        if !pca_is_missing(&self.state) {
            self.state.view_error = None;
        }
    }
}

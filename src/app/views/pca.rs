//! The pane of PCA colours.

use egui::Color32;

use super::picture::activation;
use crate::{
    app::{
        export::{captions::provenance_caption, styles::STALE},
        gpu::textures::Textures,
        state::{
            queries::{pca_is_current, pca_query},
            root::State,
        },
        update::{
            questions::Questions,
            view::{Layers, PaneView},
        },
    },
    engine::ImageSlot,
};

/// PCA colours.
pub struct PcaPane;

impl PaneView for PcaPane {
    fn wants(&self, state: &State, questions: &mut Questions) {
        if let Some(query) = pca_query(state) {
            questions.want(query);
        }
    }

    /// The layer whose colours are shown: another one may be on its way.
    fn subject(&self, state: &State, slot: ImageSlot) -> Option<String> {
        let shown = state.slot(slot).pca.as_ref().filter(|_| !pca_is_current(state, slot));
        match shown {
            Some(view) if state.layer().is_some_and(|id| id.has_vectors()) => Some(view.query.id.to_string()),
            _ => activation(state, slot),
        }
    }

    fn layers<'a>(&self, slot: ImageSlot, state: &State, textures: &'a Textures) -> Layers<'a> {
        let has_colours = state.not_finite(slot).is_none()
            && state.slot(slot).pca.is_some()
            && state.layer().is_some_and(|id| id.has_vectors());
        let tint = || match pca_is_current(state, slot) {
            true => Color32::WHITE,
            false => Color32::WHITE.gamma_multiply(STALE),
        };
        Layers {
            picture_in_loupe: true,
            colours: has_colours.then(|| (&textures.slot(slot).pca, tint())),
            ..Layers::default()
        }
    }

    /// How the colours came about.
    fn footer(&self, state: &State, slot: ImageSlot, _width: f32) -> String {
        if state.layer().is_some_and(|id| !id.has_vectors()) {
            return "An attention map has no PCA: point at the picture for its rows".to_owned();
        }
        match &state.slot(slot).pca {
            Some(view) => {
                let mut text = provenance_caption(view, state.open_slots().count() > 1);
                if state.document.mask.on {
                    let side = if state.document.mask.below { "below" } else { "above" };
                    text += &format!(", foreground {side} {:.3}", state.document.mask.threshold);
                }
                text
            }
            None if state.run.running.is_some() => "running …".to_owned(),
            None => String::new(),
        }
    }
}

//! The pane of a picture, with the heat map over it.

use crate::{
    app::{
        export::styles::heat_style,
        gpu::textures::Textures,
        state::{root::State, shown::shown_source},
        update::view::{Layers, PaneView},
    },
    engine::ImageSlot,
};

/// A footer narrower than this says only where to point, in points.
const LEAST_WITH_HINT: f32 = 200.0;

/// The picture, with the heat map over it.
pub struct PicturePane;

impl PaneView for PicturePane {
    fn subject(&self, state: &State, slot: ImageSlot) -> Option<String> {
        let picture = state.slot(slot).picture.as_ref()?;
        Some(shown_source(&picture.source))
    }

    fn layers<'a>(&self, slot: ImageSlot, state: &State, textures: &'a Textures) -> Layers<'a> {
        let shown = state.heat_on(slot).filter(|_| state.document.display.overlay);
        let scores = textures.slot(slot).heat.as_ref().filter(|_| shown.is_some());
        Layers {
            picture: true,
            scores: scores.map(|scores| (scores, heat_style(state, textures, scores))),
            ..Layers::default()
        }
    }

    fn footer(&self, state: &State, _slot: ImageSlot, width: f32) -> String {
        pointing_hint(state, width)
    }
}

/// What to do for a heat map, where there is none.
pub fn pointing_hint(state: &State, width: f32) -> String {
    let hint = match (state.query_at(), width < LEAST_WITH_HINT) {
        (Some(_), _) => "",
        // Cut, it would say no more.
        (None, true) => "Point at a picture",
        (None, false) => "Point at a picture: what is similar lights up",
    };
    hint.to_owned()
}

/// The activation that is shown of a picture.
pub fn activation(state: &State, slot: ImageSlot) -> Option<String> {
    let id = state.layer()?;
    Some(match state.not_finite(slot) {
        Some(_) => format!("{id}, not finite"),
        None => id.to_string(),
    })
}

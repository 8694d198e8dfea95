//! Figures of channels and components.

use super::root::State;
use crate::{
    app::document::display::Mask,
    engine::{ChannelsView, ImageSlot},
};

/// Channels from the greatest to the least variance.
pub fn by_variance(view: &ChannelsView) -> Vec<usize> {
    let mut order: Vec<usize> = (0..view.channels.len()).collect();
    order.sort_by(|a, b| view.channels[*b].variance.total_cmp(&view.channels[*a].variance));
    order
}

/// Scores of the first PCA component over all pictures, and the lowest and the highest finite one.
pub fn first_component(state: &State) -> Option<(Vec<f32>, [f32; 2])> {
    let views = ImageSlot::all().filter_map(|slot| state.slot(slot).pca.as_ref());
    let scores: Vec<f32> = views.flat_map(|view| view.first.iter().copied()).collect();
    let finite = scores.iter().copied().filter(|score| score.is_finite());
    let extent = finite.fold(None, |extent, score| {
        let [low, high] = extent.unwrap_or([score, score]);
        Some([f32::min(low, score), f32::max(high, score)])
    })?;
    Some((scores, extent))
}

/// A mask as it is when it is switched on for the first time: the middle of the scores.
pub fn first_mask(state: &State) -> Option<Mask> {
    let (_, [low, high]) = first_component(state)?;
    Some(Mask {
        on: true,
        threshold: (low + high) / 2.0,
        below: false,
    })
}

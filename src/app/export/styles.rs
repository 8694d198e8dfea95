//! How scores are drawn, on the screen and in files: colours, range, opacity.

use crate::{
    app::{document::display::RangeMode, gpu::textures::Textures, state::root::State},
    engine::CompareView,
    render::{ColourMap, Interpolation, ScoreMap, ScoreStyle},
};

/// How the differences are drawn: from none to the largest.
pub fn difference_style(view: &CompareView) -> ScoreStyle {
    let most = view.difference.values.iter().copied().fold(0.0, f32::max);
    ScoreStyle {
        map: ColourMap::Viridis,
        range: [0.0, most.max(f32::EPSILON)],
        opacity: 1.0,
        ..ScoreStyle::default()
    }
}

/// How a matrix is drawn: values from the first to the last colour.
pub fn matrix_style(map: ColourMap, range: [f32; 2]) -> ScoreStyle {
    ScoreStyle {
        map,
        range,
        gamma: 1.0,
        opacity: 1.0,
        interpolation: Interpolation::Nearest,
    }
}

/// The range of a matrix's colours: from its lowest value, at most `highest`, up to `highest`.
pub fn range_up_to(scores: &ScoreMap, highest: f32) -> [f32; 2] {
    let low = scores.extent().map_or(0.0, |[low, _]| low);
    // All values equal the highest: any range shows them in the last colour.
    let least_span = 1e-3;
    [low.min(highest - least_span), highest]
}

/// How strongly what is not up to date is dimmed.
pub const STALE: f32 = 0.45;

/// How the scores of a heat map are drawn, opacity included.
pub fn heat_style(state: &State, textures: &Textures, scores: &ScoreMap) -> ScoreStyle {
    let display = &state.document.display;
    let own = || scores.extent();
    let range = match display.range {
        RangeMode::PerMap => own(),
        RangeMode::Common => textures.common_extent().or_else(own),
        RangeMode::Fixed(range) => Some(range),
    };
    let stale = if state.heat_is_stale() { STALE } else { 1.0 };
    ScoreStyle {
        map: display.map,
        range: range.unwrap_or([0.0, 1.0]),
        gamma: display.gamma,
        opacity: display.opacity * stale,
        interpolation: display.interpolation,
    }
}

/// How a channel is drawn: a map with a middle has it at zero.
pub fn channel_style(state: &State, values: &ScoreMap) -> ScoreStyle {
    let display = &state.document.display;
    let [low, high] = values.extent().unwrap_or([0.0, 1.0]);
    let range = if display.channel_map == ColourMap::Coolwarm {
        let furthest = low.abs().max(high.abs());
        [-furthest, furthest]
    } else {
        [low, high]
    };
    ScoreStyle {
        map: display.channel_map,
        range,
        gamma: 1.0,
        opacity: 1.0,
        interpolation: display.interpolation,
    }
}

//! Figures of channels and components.

use super::root::State;
use crate::{
    app::document::display::Mask,
    components::vit_block::VitPart,
    engine::{ChannelsView, ImageSlot, Layer},
};

/// With a mean cosine of all pairs above it, positions look alike whatever the picture shows.
const FLAT_COSINE: f64 = 0.9;

/// Channels from the greatest to the least variance.
pub fn by_variance(view: &ChannelsView) -> Vec<usize> {
    let mut order: Vec<usize> = (0..view.channels.len()).collect();
    order.sort_by(|a, b| view.channels[*b].variance.total_cmp(&view.channels[*a].variance));
    order
}

/// What is known of the channels together.
pub fn summary(view: &ChannelsView) -> String {
    let [all, without] = view.mean_cosine;
    match view.massive.as_slice() {
        [] => format!("No outlier channel (massive activation). Mean cosine of all pairs {all:.3}."),
        massive => {
            let numbers: Vec<String> = massive.iter().map(usize::to_string).collect();
            let several = if massive.len() == 1 { "" } else { "s" };
            format!(
                "{} outlier channel{several} (massive activations: {}): mean cosine of all pairs {all:.3}, without them {without:.3}.",
                massive.len(),
                numbers.join(", ")
            )
        }
    }
}

/// What to look at instead where all positions of a layer look alike, and where to read what was left out of one.
pub fn advice(layers: &[Layer], view: &ChannelsView) -> Option<String> {
    let own = layers.iter().find(|layer| layer.id == view.query.id)?;
    let (block, _) = own.facts.block;
    let near = |block: u16, part: VitPart| {
        let at = |layer: &&Layer| layer.facts.stage == own.facts.stage && layer.facts.block.0 == block;
        let mut there = layers.iter().filter(at);
        there.find(|layer| layer.facts.word.as_str() == part.word())
    };
    let is = |part: VitPart| own.facts.word.as_str() == part.word();
    if is(VitPart::Norm1DropMassive) {
        let input = near(block.checked_sub(1)?, VitPart::Out)?;
        return Some(format!(
            "Made without the outlier channels of what enters the block: {} lists them.",
            input.id
        ));
    }
    if view.mean_cosine[0] <= FLAT_COSINE {
        return None;
    }
    let mut remedies = Vec::new();
    if is(VitPart::Out)
        && let Some(norm) = near(block + 1, VitPart::Norm1Out)
    {
        remedies.push(format!("{} (the next block's norm of it)", norm.id));
    }
    let dropped = match (is(VitPart::Out), is(VitPart::Norm1Out)) {
        (true, _) => near(block + 1, VitPart::Norm1DropMassive),
        (_, true) => near(block, VitPart::Norm1DropMassive),
        _ => None,
    };
    remedies.extend(dropped.map(|layer| format!("{} (outlier channels at 0 before that norm)", layer.id)));
    if !view.massive.is_empty() {
        remedies.push("leaving the outlier channels out".to_owned());
    }
    let advice = match remedies.as_slice() {
        [] => "no channel is an outlier: another layer may tell more".to_owned(),
        remedies => format!("try {}", remedies.join(", or ")),
    };
    Some(format!(
        "All positions look alike (mean cosine above {FLAT_COSINE}): {advice}."
    ))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        activation::{Id, Kind},
        analysis::massive::ChannelFigures,
        components::joint::{BlockFacts, push_block},
        engine::{ChannelsQuery, PassId},
        geometry::Grid,
    };

    fn layers() -> Vec<Layer> {
        let mut list = crate::activation::Catalogue::default();
        for number in 0..2 {
            let block = BlockFacts {
                block: (number, 2),
                width: 8,
                heads: 2,
                inner: 32,
                grid: Grid::new(2, 2),
                tokens: 4,
            };
            push_block(&mut list, block, |part| !part.is_of_second_attention());
        }
        list.entries().iter().map(Layer::from).collect()
    }

    fn view(id: &str, massive: &[usize], cosine: f64) -> ChannelsView {
        let channel = ChannelFigures {
            mean: 0.0,
            variance: 1.0,
            mean_abs: 1.0,
            ratio: 1.0,
            massive: false,
        };
        ChannelsView {
            query: ChannelsQuery {
                id: Id::made(id),
                pass: PassId(1),
            },
            channels: vec![channel; 8],
            massive: massive.to_vec(),
            mean_cosine: [cosine, 0.2],
        }
    }

    #[test]
    fn what_is_tried_depends_on_what_there_is() {
        let layers = layers();
        assert!(layers.iter().any(|layer| layer.facts.kind == Kind::BlockOutput));
        let of = |id: &str, massive: &[usize], cosine| advice(&layers, &view(id, massive, cosine)).unwrap_or_default();
        assert_eq!(of("vit-block0-out", &[3], 0.9), "", "not above the limit");
        let raw = of("vit-block0-out", &[3], 0.97);
        for words in [
            "vit-block1-norm1-out",
            "vit-block1-norm1-drop-massive",
            "leaving the outlier channels out",
        ] {
            assert!(raw.contains(words), "{raw}");
        }
        let last = of("vit-block1-out", &[3], 0.97);
        assert!(!last.contains("norm1") && last.contains("leaving"), "{last}");
        assert!(of("vit-block1-q", &[], 0.97).contains("another layer"));
        let dropped = of("vit-block1-norm1-drop-massive", &[], 0.1);
        assert!(dropped.contains("vit-block0-out lists them"), "{dropped}");
        assert_eq!(
            of("vit-block0-norm1-drop-massive", &[], 0.1),
            "",
            "nothing is shown of what enters the first"
        );
        assert_eq!(
            summary(&view("vit-block0-out", &[3, 6], 0.97))
                .matches("activations: 3, 6)")
                .count(),
            1
        );
    }
}

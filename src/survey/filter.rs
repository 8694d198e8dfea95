//! Which activations are left: by words, and by the qualitative filter of *Not All Diffusion Model Activations Have Been
//! Evaluated as Discriminative Features*, whose four steps are switches.

use serde::{Deserialize, Serialize};

use crate::activation::{AttnPart, Id, Leaf, Place, VitPart};

/// The four steps. Each says what it takes away or puts back; those that are off change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PaperFilter {
    /// Keep only the first half of the up stage: the others are noisy.
    pub first_half: bool,
    /// Drop queries, keys and values of self-attention there: they are local.
    pub without_self_attention: bool,
    /// Put queries and keys of self-attention of the second half of the up stage back: they are fine and not so noisy.
    pub late_self_attention: bool,
    /// Drop increments: residual branches, the feed-forward's inner activation, values.
    pub without_increments: bool,
}

impl PaperFilter {
    /// All four.
    pub const WHOLE: Self = Self {
        first_half: true,
        without_self_attention: true,
        late_self_attention: true,
        without_increments: true,
    };

    /// Whether any step is on.
    pub fn is_on(self) -> bool {
        self != Self::default()
    }

    /// Whether an activation is left.
    pub fn keeps(self, id: Id, stages: &Stages) -> bool {
        let half = stages.half(id);
        let part = self_attention(id.leaf);
        let is_query_or_key = matches!(part, Some(SelfPart::Query | SelfPart::Key));
        if self.late_self_attention && half == Some(Half::Second) && is_query_or_key {
            return true;
        }
        let is_increment = part == Some(SelfPart::Value)
            || matches!(
                id.leaf,
                Leaf::ResIncrement
                    | Leaf::Res2Increment
                    | Leaf::DownsamplerIncrement
                    | Leaf::UpsamplerIncrement
                    | Leaf::Vit {
                        part: VitPart::FfnInner,
                        ..
                    }
            );
        let noisy = self.first_half && half != Some(Half::First);
        let local = self.without_self_attention && half == Some(Half::First) && part.is_some();
        // Maps are no features: as soon as features are filtered they go.
        let map = self.is_on() && id.is_map();
        !(noisy || local || map || self.without_increments && is_increment)
    }
}

/// A part of self-attention that has vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SelfPart {
    Query,
    Key,
    Value,
}

fn self_attention(leaf: Leaf) -> Option<SelfPart> {
    match leaf {
        Leaf::Vit { part, .. } => match part {
            VitPart::SelfQ | VitPart::Q => Some(SelfPart::Query),
            VitPart::SelfK | VitPart::K => Some(SelfPart::Key),
            VitPart::SelfV | VitPart::V => Some(SelfPart::Value),
            _ => None,
        },
        Leaf::Attn(AttnPart::Q) => Some(SelfPart::Query),
        Leaf::Attn(AttnPart::K) => Some(SelfPart::Key),
        Leaf::Attn(AttnPart::V) => Some(SelfPart::Value),
        _ => None,
    }
}

/// Which half of the up stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    First,
    Second,
}

/// The up stage of a network: its blocks in execution order. The first half is the first ⌈n/2⌉ of n blocks (a block is a
/// resnet with what follows it up to the next).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stages {
    blocks: Vec<Place>,
    /// Number of the block of ADM in the middle, 0 for other networks.
    middle: u16,
}

/// A part of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before the first block.
    Input,
    /// Towards coarser grids.
    Down,
    /// On the coarsest grid, in between.
    Mid,
    /// Towards finer grids.
    Up,
    /// Behind the last block.
    Output,
}

impl Stages {
    /// Of a network with these activations, in execution order.
    pub fn of(ids: impl Iterator<Item = Id>) -> Self {
        let places: Vec<Place> = ids.map(|id| id.place).collect();
        let blocks_of_adm = places.iter().filter_map(|place| match place {
            Place::Block(number) => Some(*number),
            _ => None,
        });
        // As many blocks before the one in the middle as behind it.
        let middle = blocks_of_adm.max().map_or(0, |last| last.div_ceil(2));
        let mut blocks: Vec<Place> = Vec::new();
        for place in places {
            let up = match place {
                Place::Up { repeat, .. } => repeat.is_some(),
                Place::Block(number) => number > middle,
                _ => false,
            };
            if up && !blocks.contains(&place) {
                blocks.push(place);
            }
        }
        Self { blocks, middle }
    }

    /// Where in the network an activation is.
    pub fn stage(&self, id: Id) -> Stage {
        match id.place {
            Place::Network | Place::Stack => match id.leaf {
                Leaf::Out => Stage::Output,
                _ => Stage::Input,
            },
            Place::Down { .. } => Stage::Down,
            Place::Mid { .. } => Stage::Mid,
            Place::Up { .. } => Stage::Up,
            Place::Block(number) if number > self.middle => Stage::Up,
            Place::Block(number) if number == self.middle => Stage::Mid,
            Place::Block(_) => Stage::Down,
            Place::Decoder => Stage::Output,
        }
    }

    fn half(&self, id: Id) -> Option<Half> {
        let index = self.blocks.iter().rposition(|block| match (*block, id.place) {
            // A sampler belongs to the last block of its level.
            (
                Place::Up { level, .. },
                Place::Up {
                    level: own,
                    repeat: None,
                },
            ) => level == own,
            (block, own) => block == own,
        })?;
        Some(match index < self.blocks.len().div_ceil(2) {
            true => Half::First,
            false => Half::Second,
        })
    }
}

/// Whether the name of an activation has all words of a search.
pub fn fits_search(id: Id, search: &str) -> bool {
    let name = id.to_string();
    search
        .split_whitespace()
        .all(|word| name.contains(&word.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;

    fn left(names: &[&str], filter: PaperFilter) -> Result<Vec<String>> {
        let ids = names.iter().map(|name| name.parse()).collect::<Result<Vec<Id>>>()?;
        let stages = Stages::of(ids.iter().copied());
        let left = ids.iter().filter(|id| filter.keeps(**id, &stages));
        Ok(left.map(Id::to_string).collect())
    }

    const UNET: [&str; 16] = [
        "unet-in",
        "down-level0-repeat0-res-out",
        "mid-repeat0-res-out",
        "up-level0-repeat0-res-increment",
        "up-level0-repeat0-res-out",
        "up-level0-repeat1-res-out",
        "up-level0-repeat1-vit-block0-self-q",
        "up-level0-repeat1-vit-block0-self-map",
        "up-level0-repeat1-vit-block0-cross-q",
        "up-level0-repeat1-vit-block0-ffn-inner",
        "up-level0-upsampler-out",
        "up-level1-repeat0-res-out",
        "up-level1-repeat0-vit-block0-self-q",
        "up-level1-repeat0-vit-block0-self-k",
        "up-level1-repeat0-vit-block0-self-v",
        "up-level1-repeat1-res-out",
    ];

    #[test]
    fn each_step_does_what_the_paper_says() -> Result<()> {
        assert_eq!(left(&UNET, PaperFilter::default())?.len(), UNET.len());
        let whole = left(&UNET, PaperFilter::WHOLE)?;
        assert_eq!(
            whole,
            [
                "up-level0-repeat0-res-out",
                "up-level0-repeat1-res-out",
                "up-level0-repeat1-vit-block0-cross-q",
                "up-level0-upsampler-out",
                "up-level1-repeat0-vit-block0-self-q",
                "up-level1-repeat0-vit-block0-self-k",
            ]
        );
        let first_half = PaperFilter {
            first_half: true,
            ..PaperFilter::default()
        };
        assert_eq!(left(&UNET, first_half)?.len(), 7, "maps go with the first switch");
        let increments = PaperFilter {
            without_increments: true,
            ..PaperFilter::default()
        };
        let without = left(&UNET, increments)?;
        assert!(
            !without
                .iter()
                .any(|name| name.contains("increment") || name.contains("self-v"))
        );
        assert_eq!(without.len(), UNET.len() - 4);
        Ok(())
    }

    #[test]
    fn blocks_of_adm_behind_the_middle_are_its_up_stage() -> Result<()> {
        let names = ["b1", "b2", "b3", "b4", "b5", "b6-attn-q", "b7", "b7-attn-q"];
        assert_eq!(left(&names, PaperFilter::WHOLE)?, ["b5", "b7-attn-q"]);
        assert_eq!(left(&["unet-in", "unet-out"], PaperFilter::WHOLE)?.len(), 0);
        Ok(())
    }

    #[test]
    fn searches_take_words_in_any_order() -> Result<()> {
        let id: Id = "up-level1-repeat0-vit-block0-self-q".parse()?;
        assert!(fits_search(id, "self-q LEVEL1") && fits_search(id, "") && !fits_search(id, "down self"));
        Ok(())
    }
}

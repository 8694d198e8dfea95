//! Which activations are left: by words, and by the qualitative filter of *Not All Diffusion Model Activations Have Been
//! Evaluated as Discriminative Features*, whose four steps are switches.

use serde::{Deserialize, Serialize};

use crate::activation::{Facts, Id, Kind, Stage};

/// The four steps. Each removes activations or puts them back; those that are off change nothing.
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
    pub fn keeps(self, facts: &Facts) -> bool {
        let half = Half::of(facts);
        let is_query_or_key = matches!(facts.kind, Kind::Query | Kind::Key);
        if self.late_self_attention && half == Some(Half::Second) && is_query_or_key {
            return true;
        }
        // A plain stack of blocks has no half that is noisier: the paper is about U-Nets.
        let noisy = self.first_half && half != Some(Half::First) && facts.stage != Stage::Stack;
        let local = self.without_self_attention && half == Some(Half::First) && facts.kind.is_of_self_attention();
        // Maps are no features: as soon as features are filtered they go.
        let map = self.is_on() && facts.map_of.is_some();
        !(noisy || local || map || self.without_increments && facts.kind.is_increment())
    }
}

/// Which half of the up stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    First,
    Second,
}

impl Half {
    /// Of what lies in the up stage.
    fn of(facts: &Facts) -> Option<Self> {
        let half = match facts.is_in_first_half() {
            true => Self::First,
            false => Self::Second,
        };
        (facts.stage == Stage::Up).then_some(half)
    }
}

/// Whether the name of an activation has all words of a search.
pub(crate) fn fits_search(id: Id, search: &str) -> bool {
    search
        .split_whitespace()
        .all(|word| id.as_str().contains(&word.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{activation::MapOf, error::Result};

    /// Activations of a U-Net: name, stage, block of how many, kind.
    const UNET: [(&str, Stage, (u16, u16), Kind); 16] = [
        ("unet-in", Stage::Input, (0, 1), Kind::Input),
        ("down-level0-repeat0-res-out", Stage::Down, (0, 1), Kind::BlockOutput),
        ("mid-repeat0-res-out", Stage::Mid, (0, 2), Kind::BlockOutput),
        (
            "up-level0-repeat0-res-increment",
            Stage::Up,
            (0, 4),
            Kind::ResidualBranch,
        ),
        ("up-level0-repeat0-res-out", Stage::Up, (0, 4), Kind::BlockOutput),
        ("up-level0-repeat1-res-out", Stage::Up, (1, 4), Kind::BlockOutput),
        ("up-level0-repeat1-vit-block0-self-q", Stage::Up, (1, 4), Kind::Query),
        (
            "up-level0-repeat1-vit-block0-self-map",
            Stage::Up,
            (1, 4),
            Kind::SelfMap,
        ),
        (
            "up-level0-repeat1-vit-block0-cross-q",
            Stage::Up,
            (1, 4),
            Kind::CrossQuery,
        ),
        (
            "up-level0-repeat1-vit-block0-ffn-inner",
            Stage::Up,
            (1, 4),
            Kind::MlpHidden,
        ),
        ("up-level0-upsampler-out", Stage::Up, (1, 4), Kind::BlockOutput),
        ("up-level1-repeat0-res-out", Stage::Up, (2, 4), Kind::BlockOutput),
        ("up-level1-repeat0-vit-block0-self-q", Stage::Up, (2, 4), Kind::Query),
        ("up-level1-repeat0-vit-block0-self-k", Stage::Up, (2, 4), Kind::Key),
        ("up-level1-repeat0-vit-block0-self-v", Stage::Up, (2, 4), Kind::Value),
        ("up-level1-repeat1-res-out", Stage::Up, (3, 4), Kind::BlockOutput),
    ];

    fn left(activations: &[(&'static str, Stage, (u16, u16), Kind)], filter: PaperFilter) -> Vec<&'static str> {
        let is_left = |(name, stage, block, kind): &&(&'static str, Stage, (u16, u16), Kind)| {
            let map_of = (*kind == Kind::SelfMap).then_some(MapOf {
                queries: Id::of(name),
                keys: None,
            });
            filter.keeps(&Facts {
                block: *block,
                map_of,
                ..Facts::new(Id::of(name), *stage, *kind)
            })
        };
        activations.iter().filter(is_left).map(|(name, ..)| *name).collect()
    }

    #[test]
    fn each_step_does_what_the_paper_says() {
        assert_eq!(left(&UNET, PaperFilter::default()).len(), UNET.len());
        let whole = left(&UNET, PaperFilter::WHOLE);
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
        assert_eq!(left(&UNET, first_half).len(), 7, "maps go with the first switch");
        let increments = PaperFilter {
            without_increments: true,
            ..PaperFilter::default()
        };
        let without = left(&UNET, increments);
        assert!(
            !without
                .iter()
                .any(|name| name.contains("increment") || name.contains("self-v"))
        );
        assert_eq!(without.len(), UNET.len() - 4);
    }

    #[test]
    fn a_plain_stack_of_blocks_keeps_what_is_no_increment() {
        let stack = [
            ("vit-block0-self-q", Stage::Stack, (0, 2), Kind::Query),
            ("vit-block0-out", Stage::Stack, (0, 2), Kind::BlockOutput),
            ("vit-block1-self-v", Stage::Stack, (1, 2), Kind::Value),
            ("vit-block1-self-map", Stage::Stack, (1, 2), Kind::SelfMap),
            ("vit-block1-out", Stage::Stack, (1, 2), Kind::BlockOutput),
        ];
        assert_eq!(
            left(&stack, PaperFilter::WHOLE),
            ["vit-block0-self-q", "vit-block0-out", "vit-block1-out"]
        );
    }

    #[test]
    fn searches_take_words_in_any_order() -> Result<()> {
        let id: Id = "up-level1-repeat0-vit-block0-self-q".parse()?;
        assert!(fits_search(id, "self-q LEVEL1") && fits_search(id, "") && !fits_search(id, "down self"));
        Ok(())
    }
}

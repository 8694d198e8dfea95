//! From a score to a colour: the one lookup table that the shader, the texture path, the colour bar and files share.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{
    coolwarm::coolwarm,
    tables::{CIVIDIS, MAGMA, TURBO, VIRIDIS},
};

/// Colours in a table.
pub(crate) const TABLE_LEN: usize = 256;

/// Colours from the lowest to the highest score, sRGB.
pub(super) type Table = [[u8; 3]; TABLE_LEN];

/// How scores become colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColourMap {
    /// Dark violet to yellow, perceptually even.
    #[default]
    Viridis,
    /// Black to pale yellow, perceptually even.
    Magma,
    /// Blue to yellow, the same for most kinds of colour vision.
    Cividis,
    /// A smooth rainbow: many distinguishable levels, not even.
    Turbo,
    /// Black to white.
    Grey,
    /// Blue over light grey to red, for scores with a middle.
    Coolwarm,
}

impl ColourMap {
    /// Every map, in the order of menus.
    pub const ALL: [Self; 6] = [
        Self::Viridis,
        Self::Magma,
        Self::Cividis,
        Self::Turbo,
        Self::Grey,
        Self::Coolwarm,
    ];

    /// The name in menus, in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viridis => "viridis",
            Self::Magma => "magma",
            Self::Cividis => "cividis",
            Self::Turbo => "turbo",
            Self::Grey => "grey",
            Self::Coolwarm => "coolwarm",
        }
    }

    /// The table: 256 colours in sRGB, the lowest score first.
    pub fn table(self) -> &'static [[u8; 3]; 256] {
        &TABLES[self.row()]
    }

    /// The colour of `score` where `range` = [lowest, highest] shown, after its share t of the range became t^gamma
    /// (gamma > 0). `None` for a score that is not finite: it is not drawn.
    ///
    /// Scores outside the range take the colours of its ends; with both ends equal every score takes the first.
    pub fn colour(self, score: f32, range: [f32; 2], gamma: f32) -> Option<[u8; 3]> {
        let scale = Scale::new(range, gamma);
        score.is_finite().then(|| self.table()[scale.index(score)])
    }

    /// The row of this map in the texture that holds all tables.
    pub(crate) const fn row(self) -> usize {
        self as usize
    }
}

/// From score to the index of a table: what the shader computes too, from the same three numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    /// The score of the first colour.
    pub low: f32,
    /// 1 / (highest − lowest); 0 where that is not a number.
    pub inverse_span: f32,
    /// Exponent of the share of the range.
    pub gamma: f32,
}

impl Scale {
    pub(crate) fn new([low, high]: [f32; 2], gamma: f32) -> Self {
        let inverse_span = 1.0 / (high - low);
        if inverse_span.is_finite() && low.is_finite() {
            Self {
                low,
                inverse_span,
                gamma,
            }
        } else {
            Self {
                low: 0.0,
                inverse_span: 0.0,
                gamma,
            }
        }
    }

    /// Index of the colour of a finite score.
    pub(crate) fn index(self, score: f32) -> usize {
        let share = ((score - self.low) * self.inverse_span).clamp(0.0, 1.0);
        // `powf` and the shader's `pow` differ in the last bits, so the plain case goes without in both.
        let bent = if self.gamma == 1.0 {
            share
        } else {
            share.powf(self.gamma)
        };
        ((bent * TABLE_LEN as f32) as usize).min(TABLE_LEN - 1)
    }
}

static TABLES: LazyLock<[Table; ColourMap::ALL.len()]> = LazyLock::new(|| {
    ColourMap::ALL.map(|map| match map {
        ColourMap::Viridis => unpack(&VIRIDIS),
        ColourMap::Magma => unpack(&MAGMA),
        ColourMap::Cividis => unpack(&CIVIDIS),
        ColourMap::Turbo => unpack(&TURBO),
        ColourMap::Grey => std::array::from_fn(|level| [level as u8; 3]),
        ColourMap::Coolwarm => coolwarm(),
    })
});

/// From `0xRRGGBB` to bytes.
fn unpack(packed: &[u32; TABLE_LEN]) -> Table {
    packed.map(|colour| {
        let [_, red, green, blue] = colour.to_be_bytes();
        [red, green, blue]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_map_has_its_own_row_and_name() {
        for (row, map) in ColourMap::ALL.into_iter().enumerate() {
            assert_eq!(map.row(), row);
            assert_eq!(
                serde_json::to_value(map).ok(),
                Some(map.name().into()),
                "menus and files use one name"
            );
        }
    }

    #[test]
    fn tables_begin_and_end_as_published() {
        let ends = |map: ColourMap| [map.table()[0], map.table()[TABLE_LEN - 1]];
        assert_eq!(ends(ColourMap::Viridis), [[68, 1, 84], [253, 231, 37]]);
        assert_eq!(ends(ColourMap::Magma), [[0, 0, 4], [252, 253, 191]]);
        assert_eq!(ends(ColourMap::Cividis), [[0, 34, 78], [254, 232, 56]]);
        assert_eq!(ends(ColourMap::Turbo), [[48, 18, 59], [122, 4, 3]]);
        assert_eq!(ends(ColourMap::Grey), [[0; 3], [255; 3]]);
        assert_eq!(ends(ColourMap::Coolwarm), [[59, 76, 192], [180, 4, 38]]);
    }

    #[test]
    fn colours_of_scores() {
        let grey = |score, range, gamma| ColourMap::Grey.colour(score, range, gamma).map(|colour| colour[0]);
        assert_eq!(grey(0.5, [0.0, 1.0], 1.0), Some(128));
        assert_eq!(grey(0.5, [0.0, 1.0], 2.0), Some(64));
        assert_eq!(grey(-7.0, [0.0, 1.0], 0.5), Some(0));
        assert_eq!(grey(7.0, [0.0, 1.0], 1.0), Some(255));
        assert_eq!(grey(0.25, [1.0, 0.0], 1.0), Some(192), "a range may run downwards");
        assert_eq!(
            grey(3.0, [3.0, 3.0], 1.0),
            Some(0),
            "an empty range takes the first colour"
        );
        assert_eq!(grey(3.0, [f32::NAN, 1.0], 1.0), Some(0));
        assert_eq!(grey(f32::NAN, [0.0, 1.0], 1.0), None);
        assert_eq!(grey(f32::INFINITY, [0.0, 1.0], 1.0), None);
    }
}

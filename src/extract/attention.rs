//! Attention maps aggregated over heads and layers (generic-diffusion-feature's `attn`): one small picture per token or
//! position attended to. Maps are averaged while the pass runs and never kept.

use std::{fmt, ops::Range};

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::{
    activation::{Catalogue, CatalogueEntry, Kind, Shape, Stage, Tap},
    error::Result,
    geometry::{Grid, Size},
    io::array::Array,
};

/// The name of the aggregated maps in outputs.
pub const ATTENTION_NAME: &str = "attn";

/// Layers have a place in the aggregate if they have from (S/32)² to (S/16)² positions, S the longer side of the picture.
const COARSEST_STRIDE: usize = 32;
const FINEST_STRIDE: usize = 16;

/// Attention layers by their stage and what they attend to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionCategory {
    /// Self-attention of the down stage.
    DownSelf,
    /// Attention to the text of the down stage.
    DownCross,
    /// Self-attention of the middle.
    MidSelf,
    /// Attention to the text of the middle.
    MidCross,
    /// Self-attention of the up stage.
    UpSelf,
    /// Attention to the text of the up stage.
    UpCross,
}

impl AttentionCategory {
    fn has(self, entry: &CatalogueEntry) -> bool {
        let wanted = match self {
            Self::DownSelf => (Stage::Down, Kind::SelfMap),
            Self::DownCross => (Stage::Down, Kind::CrossMap),
            Self::MidSelf => (Stage::Mid, Kind::SelfMap),
            Self::MidCross => (Stage::Mid, Kind::CrossMap),
            Self::UpSelf => (Stage::Up, Kind::SelfMap),
            Self::UpCross => (Stage::Up, Kind::CrossMap),
        };
        wanted == (entry.facts.stage, entry.facts.kind)
    }
}

impl fmt::Display for AttentionCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DownSelf => "down_self",
            Self::DownCross => "down_cross",
            Self::MidSelf => "mid_self",
            Self::MidCross => "mid_cross",
            Self::UpSelf => "up_self",
            Self::UpCross => "up_cross",
        })
    }
}

/// The layers of one category on one grid.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    grid: Grid,
    layers: Vec<Tap>,
    /// Keys in a map of a prompt that fits into one run of the text encoder.
    keys: usize,
}

/// Which layers are aggregated, and into what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionPlan {
    /// In the order asked for, and inside a category in the order of execution.
    groups: Vec<Group>,
    /// Categories without a layer of the right size: they add nothing.
    pub empty: Vec<AttentionCategory>,
    /// Rows and columns of the result: those of the latent.
    out: Grid,
}

impl AttentionPlan {
    /// The layers of these categories in a model with this list of activations, at a working size with a latent of `out` rows
    /// and columns.
    pub fn new(categories: &[AttentionCategory], list: &Catalogue, working: Size, out: Grid) -> Self {
        let longer = working.width.max(working.height);
        let in_range = |positions: usize| {
            let at = |stride: usize| positions.saturating_mul(stride * stride);
            let picture = longer.saturating_mul(longer);
            at(COARSEST_STRIDE) >= picture && at(FINEST_STRIDE) <= picture
        };
        let mut plan = Self {
            groups: Vec::new(),
            empty: Vec::new(),
            out,
        };
        for category in categories {
            let first = plan.groups.len();
            for (tap, entry) in (0u32..).map(Tap).zip(list.entries()) {
                let Shape::Attention { queries, keys, .. } = entry.shape else {
                    continue;
                };
                let Some(grid) = list.grid_of(entry.id) else { continue };
                if !category.has(entry) || !in_range(queries) {
                    continue;
                }
                match plan.groups[first..].iter_mut().find(|group| group.grid == grid) {
                    Some(group) => group.layers.push(tap),
                    None => plan.groups.push(Group {
                        grid,
                        layers: vec![tap],
                        keys,
                    }),
                }
            }
            if plan.groups.len() == first {
                plan.empty.push(*category);
            }
        }
        plan
    }

    /// Whether no layer is aggregated.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The maps that have to be met.
    pub fn taps(&self) -> impl Iterator<Item = Tap> + '_ {
        self.groups.iter().flat_map(|group| group.layers.iter().copied())
    }

    /// Rows and columns of the result.
    pub const fn grid(&self) -> Grid {
        self.out
    }

    /// Bytes that the result takes for one picture.
    pub fn estimated_bytes(&self) -> usize {
        let keys: usize = self.groups.iter().map(|group| group.keys).sum();
        keys.saturating_mul(self.out.positions())
            .saturating_mul(size_of::<f32>())
    }
}

/// Averages maps over heads, layers and members of an ensemble while they are made.
pub struct AttentionAverager<'a> {
    plan: &'a AttentionPlan,
    pictures: usize,
    members: usize,
    /// (pictures, queries, keys) of every group.
    sums: Vec<Option<Array>>,
}

impl<'a> AttentionAverager<'a> {
    /// For `pictures` of `members` rows each.
    pub fn new(plan: &'a AttentionPlan, pictures: usize, members: usize) -> Self {
        Self {
            plan,
            pictures,
            members,
            sums: vec![None; plan.groups.len()],
        }
    }

    /// Takes the rows `range` of one map, (rows, heads, queries, keys). Maps of no group are passed over.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    pub fn add(&mut self, tap: Tap, range: Range<usize>, map: &Tensor) -> Result<()> {
        for (group, sum) in self.plan.groups.iter().zip(&mut self.sums) {
            if !group.layers.contains(&tap) {
                continue;
            }
            let weight = 1.0 / (group.layers.len() * self.members) as f32;
            for (index, row) in range.clone().enumerate() {
                // One row at a time: the maps of a whole batch are not copied.
                let mean = Array::from_tensor(&map.narrow(0, index, 1)?.to_dtype(DType::F32)?.mean(1)?)?;
                let sum = sum.get_or_insert_with(|| Array {
                    shape: [&[self.pictures], &mean.shape[1..]].concat(),
                    data: vec![0.0; self.pictures * mean.data.len()],
                });
                let picture = row / self.members;
                let target = sum.data.chunks_exact_mut(mean.data.len().max(1)).nth(picture);
                for (total, number) in target.into_iter().flatten().zip(&mean.data) {
                    *total += weight * number;
                }
            }
        }
        Ok(())
    }

    /// (pictures, channels, rows, columns of the latent): for every group a channel per key, enlarged with the nearest
    /// position. None if no map was met.
    ///
    /// # Errors
    ///
    /// Where the sums are of other sizes than their grids say.
    pub fn finish(self) -> Result<Option<Array>> {
        let out = self.plan.out;
        let met: Vec<(&Group, Array)> = self
            .plan
            .groups
            .iter()
            .zip(self.sums)
            .filter_map(|(group, sum)| Some((group, sum?)))
            .collect();
        if met.is_empty() {
            return Ok(None);
        }
        let channels: usize = met.iter().map(|(_, sum)| sum.shape[2]).sum();
        let mut data = Vec::with_capacity(self.pictures * channels * out.positions());
        for picture in 0..self.pictures {
            for (group, sum) in &met {
                let keys = sum.shape[2];
                let maps = sum.row(picture)?;
                let position = |row: usize, column: usize| {
                    let nearest = |at: usize, from: usize, to: usize| at * from / to;
                    nearest(row, group.grid.height, out.height) * group.grid.width
                        + nearest(column, group.grid.width, out.width)
                };
                for key in 0..keys {
                    let cells = (0..out.height).flat_map(|row| (0..out.width).map(move |column| (row, column)));
                    data.extend(cells.map(|(row, column)| maps[position(row, column) * keys + key]));
                }
            }
        }
        Array::new(vec![self.pictures, channels, out.height, out.width], data).map(Some)
    }
}

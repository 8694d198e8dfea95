//! The mean over the noises of an ensemble, made as the tensors come.

use std::{collections::BTreeMap, ops::Range};

use candle_core::Tensor;

use super::array::Array;
use crate::{activation::Tap, error::Result};

/// Averages the members of every picture: what a pass records, as (B, …) arrays.
pub struct Averager<'a> {
    pictures: usize,
    members: usize,
    /// What is done to each tensor (rows, …) before it is kept.
    reduce: Box<dyn Fn(Tap, Array) -> Result<Array> + 'a>,
    kept: BTreeMap<Tap, Array>,
}

impl<'a> Averager<'a> {
    /// For `pictures` of `members` rows each; `reduce` maps what was recorded to what is kept, and must be linear.
    pub fn new(pictures: usize, members: usize, reduce: impl Fn(Tap, Array) -> Result<Array> + 'a) -> Self {
        Self {
            pictures,
            members,
            reduce: Box::new(reduce),
            kept: BTreeMap::new(),
        }
    }

    /// Takes the rows `range` of one activation.
    pub fn add(&mut self, tap: Tap, range: Range<usize>, tensor: &Tensor) -> Result<()> {
        // The common case costs no second copy: everything at once, nothing to average.
        if self.members == 1 && range == (0..self.pictures) {
            let rows = (self.reduce)(tap, Array::from_tensor(tensor)?)?;
            self.kept.insert(tap, rows);
            return Ok(());
        }
        let weight = 1.0 / self.members as f32;
        for (index, row) in range.enumerate() {
            // One row at a time: attention maps are large, and those of a whole batch are not copied.
            let numbers = (self.reduce)(tap, Array::from_tensor(&tensor.narrow(0, index, 1)?)?)?;
            let length = numbers.data.len();
            let sum = self.kept.entry(tap).or_insert_with(|| {
                let mut shape = numbers.shape.clone();
                shape[0] = self.pictures;
                Array {
                    shape,
                    data: vec![0.0; self.pictures * length],
                }
            });
            let picture = row / self.members;
            let target = &mut sum.data[picture * length..(picture + 1) * length];
            for (total, number) in target.iter_mut().zip(&numbers.data) {
                *total += weight * number;
            }
        }
        Ok(())
    }

    /// The averages in execution order.
    pub fn finish(self) -> BTreeMap<Tap, Array> {
        self.kept
    }
}

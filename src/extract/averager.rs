//! The mean over the noises of an ensemble, made as the tensors come.

use std::{collections::BTreeMap, ops::Range};

use candle_core::Tensor;

use crate::{activation::Tap, error::Result, io::array::Array, nn::formats::wide, ops, sources::FeatureSink};

/// Averages the members of every picture: what a pass records, as (B, …) arrays.
pub struct Averager<'a> {
    pictures: usize,
    members: usize,
    /// What is done to each tensor (rows, …) before it is kept.
    reduce: Box<dyn Fn(Tap, Array) -> Result<Array> + 'a>,
    kept: BTreeMap<Tap, Array>,
}

impl<'a> Averager<'a> {
    /// For `pictures` of `members` rows each; `reduce` is applied to every recorded tensor before the mean, and must be linear.
    pub fn new(pictures: usize, members: usize, reduce: impl Fn(Tap, Array) -> Result<Array> + 'a) -> Self {
        Self {
            pictures,
            members,
            reduce: Box::new(reduce),
            kept: BTreeMap::new(),
        }
    }

    /// Takes the rows `range` of one activation.
    fn add(&mut self, tap: Tap, range: Range<usize>, tensor: &Tensor) -> Result<()> {
        // The common case costs no second copy: everything at once, nothing to average.
        if self.members == 1 && range == (0..self.pictures) {
            let rows = (self.reduce)(tap, Array::from_tensor(tensor)?)?;
            self.kept.insert(tap, rows);
            return Ok(());
        }
        let weight = 1.0 / self.members as f32;
        let (mut row, mut index) = (range.start, 0);
        while row < range.end {
            let picture = row / self.members;
            let count = self.summed_at_once(tensor, row).min(range.end - row);
            let rows = tensor.narrow(0, index, count)?;
            let numbers = match count {
                1 => Array::from_tensor(&rows)?,
                _ => Array::from_tensor(&wide(&rows)?.sum_keepdim(0)?)?,
            };
            let numbers = (self.reduce)(tap, numbers)?;
            self.add_to(tap, picture, weight, &numbers);
            (row, index) = (row + count, index + count);
        }
        Ok(())
    }

    /// How many members, from the one in `row` on, are summed where they are, so that one copy of all leaves the device. On the
    /// CPU there is nothing to save, and attention maps are large: it goes row by row.
    fn summed_at_once(&self, tensor: &Tensor, row: usize) -> usize {
        match ops::supports(tensor) {
            true => 1,
            false => self.members - row % self.members,
        }
    }

    fn add_to(&mut self, tap: Tap, picture: usize, weight: f32, numbers: &Array) {
        let length = numbers.data.len();
        let pictures = self.pictures;
        let sum = self.kept.entry(tap).or_insert_with(|| {
            let mut shape = numbers.shape.clone();
            shape[0] = pictures;
            Array {
                shape,
                data: vec![0.0; pictures * length],
            }
        });
        let target = &mut sum.data[picture * length..(picture + 1) * length];
        for (total, number) in target.iter_mut().zip(&numbers.data) {
            *total += weight * number;
        }
    }

    /// The averages in execution order.
    pub fn finish(self) -> BTreeMap<Tap, Array> {
        self.kept
    }
}

impl FeatureSink for Averager<'_> {
    fn record(&mut self, tap: Tap, rows: Range<usize>, tensor: &Tensor) -> Result<()> {
        self.add(tap, rows, tensor)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::error::Error;

    /// Two pictures of three members, in batches that end inside of a picture.
    #[test]
    fn members_that_are_summed_on_the_device_have_the_same_mean() -> Result<()> {
        let numbers: Vec<f32> = (0..6 * 4).map(|i| (i as f32 * 0.7).sin()).collect();
        let rows = Tensor::from_vec(numbers, (6, 1, 2, 2), &Device::Cpu)?;
        let mean = |dtype| -> Result<Array> {
            let mut averager = Averager::new(2, 3, |_, array| Ok(array));
            for range in [0..2, 2..5, 5..6] {
                let batch = rows.narrow(0, range.start, range.len())?.to_dtype(dtype)?;
                averager.add(Tap(0), range, &batch)?;
            }
            let met = averager.finish().remove(&Tap(0));
            met.ok_or_else(|| Error::failed("the activation was not met"))
        };
        let expected = mean(DType::F32)?;
        assert_eq!(expected.shape, [2, 1, 2, 2]);
        for (dtype, tolerance) in [(DType::F64, 1e-6), (DType::F16, 1e-3), (DType::BF16, 8e-3)] {
            let found = mean(dtype)?;
            assert_eq!(found.shape, expected.shape);
            for (x, y) in expected.data.iter().zip(&found.data) {
                assert!((x - y).abs() < tolerance, "{dtype:?}: {x} and {y}");
            }
        }
        Ok(())
    }
}

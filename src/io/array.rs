//! A plain tensor in memory: what leaves the networks and enters files.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16, slice::HalfFloatSliceExt};

use crate::{
    activation::FeatureMap,
    error::{Error, Result},
    geometry::Grid,
};

/// Numbers in row-major order with their shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// The numbers, row-major.
    pub data: Vec<f32>,
}

impl Array {
    /// An array of the given shape.
    ///
    /// # Errors
    ///
    /// Where the numbers are not as many as the shape says.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Result<Self> {
        let expected = shape
            .iter()
            .try_fold(1_usize, |product, side| product.checked_mul(*side));
        if expected != Some(data.len()) {
            return Err(Error::failed(format!(
                "an array of shape {shape:?} cannot hold {} numbers",
                data.len()
            )));
        }
        Ok(Self { shape, data })
    }

    /// Copies a tensor from whatever device and dtype it has. Short formats leave a device as they are, in half the bytes, and
    /// become f32 here.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self> {
        let flat = tensor.flatten_all()?;
        let data = match tensor.dtype() {
            DType::F16 => widened(&flat.to_vec1::<f16>()?),
            DType::BF16 => widened(&flat.to_vec1::<bf16>()?),
            _ => flat.to_dtype(DType::F32)?.to_vec1()?,
        };
        Ok(Self {
            shape: tensor.dims().to_vec(),
            data,
        })
    }

    /// One picture of an activation (B, C, h, w) on whatever device, read position by position where its numbers lie so.
    ///
    /// # Errors
    ///
    /// Where the device fails, or the tensor has no such picture.
    pub fn map_of(tensor: &Tensor, index: usize) -> Result<FeatureMap> {
        let one = tensor.narrow(0, index, 1)?;
        let (_, channels, height, width) = one.dims4()?;
        let by_positions = one.permute((0, 2, 3, 1))?;
        match by_positions.is_contiguous() {
            true => {
                let numbers = Self::from_tensor(&by_positions)?.data;
                FeatureMap::from_positions(channels, Grid::new(height, width), numbers)
            }
            false => Self::from_tensor(&one)?.feature_map(0),
        }
    }

    /// The array as a tensor.
    ///
    /// # Errors
    ///
    /// Where the device fails.
    pub fn to_tensor(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.data, self.shape.as_slice(), device)?.to_dtype(dtype)?)
    }

    /// Number of entries of the first dimension.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// The numbers of one entry of the first dimension.
    ///
    /// # Errors
    ///
    /// Where there is no such entry.
    pub fn row(&self, index: usize) -> Result<&[f32]> {
        let rows = self.rows();
        if index >= rows {
            return Err(Error::usage(format!(
                "there is no picture {index}: the file holds {rows}, counted from 0"
            )));
        }
        let length = self.data.len() / rows;
        Ok(&self.data[index * length..(index + 1) * length])
    }

    /// An array of some entries of the first dimension; those that do not exist are left out.
    pub fn rows_in(&self, rows: Range<usize>) -> Self {
        let length = self.data.len() / self.rows().max(1);
        let end = rows.end.min(self.rows());
        let rows = rows.start.min(end)..end;
        let mut shape = self.shape.clone();
        if let Some(first) = shape.first_mut() {
            *first = rows.len();
        }
        Self {
            shape,
            data: self.data[rows.start * length..rows.end * length].to_vec(),
        }
    }

    /// One picture of an activation (B, C, h, w).
    ///
    /// # Errors
    ///
    /// Where there is no such picture, or the array has not four dimensions.
    pub fn feature_map(&self, index: usize) -> Result<FeatureMap> {
        let [_, channels, height, width] = self.shape[..] else {
            return Err(Error::usage(format!(
                "a feature map has the shape (B, C, h, w), this tensor has {:?}",
                self.shape
            )));
        };
        FeatureMap::from_channels(channels, Grid::new(height, width), self.row(index)?)
    }
}

fn widened<T>(numbers: &[T]) -> Vec<f32>
where
    [T]: HalfFloatSliceExt,
{
    let mut wide = vec![0.0; numbers.len()];
    numbers.convert_to_f32_slice(&mut wide);
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_gives_its_numbers_in_the_order_of_the_tensor() -> Result<()> {
        let numbers: Vec<f32> = (0..24).map(|i| i as f32 - 7.5).collect();
        let tensor = Tensor::from_vec(numbers, (2, 3, 4), &Device::Cpu)?.transpose(1, 2)?;
        let expected = Array::from_tensor(&tensor)?;
        assert_eq!(
            (expected.shape.as_slice(), expected.data[1]),
            ([2, 4, 3].as_slice(), -3.5)
        );
        for dtype in [DType::F16, DType::BF16, DType::F64] {
            let same = tensor.to_dtype(dtype)?;
            assert_eq!(Array::from_tensor(&same)?, expected, "{dtype:?}");
            let rows = same.narrow(0, 1, 1)?;
            assert_eq!(Array::from_tensor(&rows)?.data, expected.row(1)?, "{dtype:?}");
        }
        Ok(())
    }
}

//! Small square matrices in f64: what rotations are made of.

use rayon::prelude::*;

use crate::error::{Error, Result};

/// A square matrix, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Square {
    side: usize,
    numbers: Vec<f64>,
}

impl Square {
    pub(super) fn new(side: usize, numbers: Vec<f64>) -> Self {
        debug_assert_eq!(numbers.len(), side * side);
        Self { side, numbers }
    }

    pub(super) fn identity(side: usize) -> Self {
        let mut numbers = vec![0.0; side * side];
        numbers.iter_mut().step_by(side + 1).for_each(|x| *x = 1.0);
        Self { side, numbers }
    }

    pub(super) fn side(&self) -> usize {
        self.side
    }

    pub(super) fn numbers(&self) -> &[f64] {
        &self.numbers
    }

    /// M − Mᵀ.
    pub(super) fn skew(&self) -> Self {
        let side = self.side;
        let at = |row: usize, column: usize| self.numbers[row * side + column];
        let numbers = (0..side * side).map(|i| at(i / side, i % side) - at(i % side, i / side));
        Self {
            side,
            numbers: numbers.collect(),
        }
    }

    /// a·self + b·other.
    pub(super) fn mixed(&self, a: f64, other: &Self, b: f64) -> Self {
        let numbers = self.numbers.iter().zip(&other.numbers).map(|(x, y)| a * x + b * y);
        Self {
            side: self.side,
            numbers: numbers.collect(),
        }
    }

    /// self·other.
    pub(super) fn times(&self, other: &Self) -> Self {
        let side = self.side;
        let mut numbers = vec![0.0; side * side];
        numbers
            .par_chunks_mut(side.max(1))
            .zip(self.numbers.par_chunks(side.max(1)))
            .for_each(|(sums, row)| {
                for (x, line) in row.iter().zip(other.numbers.chunks(side)) {
                    sums.iter_mut().zip(line).for_each(|(sum, y)| *sum += x * y);
                }
            });
        Self { side, numbers }
    }

    /// The inverse, by elimination with the largest pivot of a column.
    pub(super) fn inverse(&self) -> Result<Self> {
        let side = self.side;
        let mut rows: Vec<Vec<f64>> = self.numbers.chunks(side.max(1)).map(<[f64]>::to_vec).collect();
        let mut inverse: Vec<Vec<f64>> = Self::identity(side)
            .numbers
            .chunks(side.max(1))
            .map(<[f64]>::to_vec)
            .collect();
        for column in 0..side {
            let size = |row: usize| rows[row][column].abs();
            let pivot = (column..side).fold(column, |best, row| if size(row) > size(best) { row } else { best });
            let top = rows[pivot][column];
            if top == 0.0 || !top.is_finite() {
                return Err(Error::failed("a matrix of its rotations has no inverse"));
            }
            rows.swap(column, pivot);
            inverse.swap(column, pivot);
            rows[column].iter_mut().for_each(|x| *x /= top);
            inverse[column].iter_mut().for_each(|x| *x /= top);
            let (line, inverse_line) = (rows[column].clone(), inverse[column].clone());
            rows.par_iter_mut()
                .zip(inverse.par_iter_mut())
                .enumerate()
                .filter(|(row, _)| *row != column)
                .for_each(|(_, (row, inverse_row))| {
                    let by = row[column];
                    row.iter_mut().zip(&line).for_each(|(x, y)| *x -= by * y);
                    inverse_row
                        .iter_mut()
                        .zip(&inverse_line)
                        .for_each(|(x, y)| *x -= by * y);
                });
        }
        Ok(Self {
            side,
            numbers: inverse.concat(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_changes_nothing() -> Result<()> {
        for side in [1, 2, 5, 16] {
            let numbers = (0..side * side).map(|i| (1.0 + 0.7 * (i * i) as f64).sin()).collect();
            let matrix = Square::new(side, numbers);
            let product = matrix.times(&matrix.inverse()?);
            let off = product.mixed(1.0, &Square::identity(side), -1.0);
            assert!(off.numbers().iter().all(|x| x.abs() < 1e-9), "{side}: {off:?}");
        }
        assert!(Square::new(2, vec![1.0, 2.0, 2.0, 4.0]).inverse().is_err());
        Ok(())
    }
}

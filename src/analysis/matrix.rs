//! The matrix products of this room: a safe door to the `gemm` crate for row-major numbers.

use gemm::Parallelism;

/// A matrix in someone else's memory: element (r, c) is `data[r·row_stride + c·column_stride]`.
#[derive(Clone, Copy)]
pub(super) struct View<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// Row-major numbers without gaps.
    pub(super) fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows of `columns` numbers that start `row_stride` numbers apart.
    pub(super) fn strided(data: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self {
            data,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The transpose, without moving a number.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Whether every element lies inside `data`.
    fn is_inside(&self) -> bool {
        let last = |count: usize, stride: usize| count.checked_sub(1).and_then(|steps| steps.checked_mul(stride));
        match (last(self.rows, self.row_stride), last(self.columns, self.column_stride)) {
            (Some(row), Some(column)) => row.checked_add(column).is_some_and(|offset| offset < self.data.len()),
            _ => self.rows == 0 || self.columns == 0,
        }
    }
}

/// The number types that `gemm` multiplies here.
pub(super) trait Real: Copy + 'static {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

/// `out` = `left` · `right`; `out` has rows of `right.columns` numbers, `out_stride` apart.
///
/// On one thread: callers that have much to do split their rows over threads themselves.
#[allow(unsafe_code, reason = "gemm takes pointers; every extent is checked above the call")]
pub(super) fn product<T: Real>(left: View<'_, T>, right: View<'_, T>, out: &mut [T], out_stride: usize) {
    let (rows, columns, depth) = (left.rows, right.columns, left.columns);
    assert_eq!(depth, right.rows, "inner sizes of a matrix product");
    assert!(
        left.is_inside() && right.is_inside(),
        "a factor reaches beyond its numbers"
    );
    assert!(out_stride >= columns, "rows of the product overlap");
    if rows == 0 || columns == 0 {
        return;
    }
    let end = (rows - 1)
        .checked_mul(out_stride)
        .and_then(|start| start.checked_add(columns));
    assert!(end.is_some_and(|end| end <= out.len()), "the product does not fit");
    // SAFETY: both factors and the destination lie inside their slices (asserted above), the destination is borrowed
    // mutably and so overlaps neither factor, and `T` is f32 or f64, which `gemm` supports.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            false,
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `left` · `right` as new row-major numbers.
pub(super) fn multiply<T: Real>(left: View<'_, T>, right: View<'_, T>) -> Vec<T> {
    let mut out = vec![T::ZERO; left.rows * right.columns];
    product(left, right, &mut out, right.columns);
    out
}

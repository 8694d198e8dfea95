//! Shared by the operators: vector functions (one source for AVX2, AVX-512, NEON and plain code, chosen by pulp at run
//! time), a tensor's floats, and new memory that is not written twice.

use std::{mem::MaybeUninit, ops::Range};

use candle_core::{DType, Device, Result, Storage, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Floats in a cache line, which the scratch memory's vectors must not straddle.
const LINE: usize = 16;

/// Added to and taken from a float of at most 2^22, it leaves the nearest whole number.
const ROUND: f32 = 12_582_912.0;

/// Lowest power of two that [`exp2`] gives: the scaled mantissa stays a normal number.
const LOWEST_EXPONENT: f32 = -125.0;

/// Bits of a float's mantissa, below its exponent.
const MANTISSA_BITS: u32 = 23;

/// 2^f on [-1/2, 1/2] from f^5 down to f^0, of relative error 1.1e-7, and exact at 0: a factor that attention applies
/// block after block must not drift.
const EXP2: [f32; 6] = [
    0.001_330_026_4,
    0.009_669_709,
    0.055_505_6,
    0.240_222_81,
    std::f32::consts::LN_2,
    1.0,
];

/// Where erf(x / √2) is 1 in f32.
const ERF_END: f32 = 5.3;

/// erf(x / √2) / x on [0, [`ERF_END`]] as a ratio of polynomials in x², highest power first, of error 1e-8 / x.
const ERF_OVER: [f32; 6] = [
    4.810_056_7e-8,
    1.275_815_8e-5,
    3.206_705e-4,
    9.255_996e-3,
    6.587_169e-2,
    0.797_884_5,
];

/// The ratio's lower half.
const ERF_UNDER: [f32; 6] = [
    1.237_168_8e-6,
    7.135_261e-5,
    1.836_575_7e-3,
    2.813_886_3e-2,
    0.249_224_16,
    1.0,
];

/// c₀xⁿ + … + cₙ.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, coefficients: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = simd.mul_add_e_f32s(sum, x, simd.splat_f32s(*coefficient));
    }
    sum
}

/// 2^x for x up to 127, of relative error 2e-7; below -125 it stays 2^-125.
#[inline(always)]
pub(super) fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = simd.max_f32s(simd.splat_f32s(LOWEST_EXPONENT), x);
    let shifted = simd.add_f32s(x, simd.splat_f32s(ROUND));
    let fraction = simd.sub_f32s(x, simd.sub_f32s(shifted, simd.splat_f32s(ROUND)));
    let mantissa = polynomial(simd, fraction, EXP2);
    // The low bits of `shifted` are the whole number, which is added to the mantissa's exponent.
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(MANTISSA_BITS));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(mantissa), exponent))
}

/// x · σ(slope · x).
#[inline(always)]
pub(super) fn swish<S: Simd>(simd: S, x: S::f32s, slope: f32) -> S::f32s {
    let x_log2 = simd.mul_f32s(x, simd.splat_f32s(-slope * std::f32::consts::LOG2_E));
    let exponential = exp2(simd, simd.min_f32s(simd.splat_f32s(-LOWEST_EXPONENT), x_log2));
    simd.div_f32s(x, simd.add_f32s(exponential, simd.splat_f32s(1.0)))
}

/// x · σ(2u) with u = √(2/π)·(x + 0.044715·x³): x/2 · (1 + tanh u).
#[inline(always)]
pub(super) fn gelu_tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const SLOPE: f32 = 2.0 * (std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2);
    let cubic = simd.mul_add_e_f32s(simd.mul_f32s(x, x), simd.splat_f32s(0.044_715), simd.splat_f32s(1.0));
    let u_log2 = simd.mul_f32s(
        simd.mul_f32s(x, cubic),
        simd.splat_f32s(-SLOPE * std::f32::consts::LOG2_E),
    );
    let exponential = exp2(simd, simd.min_f32s(simd.splat_f32s(-LOWEST_EXPONENT), u_log2));
    simd.div_f32s(x, simd.add_f32s(exponential, simd.splat_f32s(1.0)))
}

/// x · Φ(x), Φ the normal distribution's sum.
#[inline(always)]
pub(super) fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let end = simd.splat_f32s(ERF_END);
    let z = simd.max_f32s(simd.neg_f32s(end), simd.min_f32s(end, x));
    let square = simd.mul_f32s(z, z);
    let over = simd.mul_f32s(z, polynomial(simd, square, ERF_OVER));
    let erf = simd.div_f32s(over, polynomial(simd, square, ERF_UNDER));
    // Rounding may take the ratio an ulp past 1, which a large negative x must not show.
    let one = simd.splat_f32s(1.0);
    let erf = simd.max_f32s(simd.neg_f32s(one), simd.min_f32s(one, erf));
    let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
    simd.mul_add_e_f32s(half, erf, half)
}

/// Calls `each` with the vectors of `input` and `output`, the last one filled up with zeros.
#[inline(always)]
pub(super) fn map<S: Simd>(simd: S, input: &[f32], output: &mut [f32], each: impl Fn(S::f32s) -> S::f32s) {
    let (head, tail) = S::as_simd_f32s(input);
    let (out_head, out_tail) = S::as_mut_simd_f32s(output);
    for (y, x) in out_head.iter_mut().zip(head) {
        *y = each(*x);
    }
    if !tail.is_empty() {
        simd.partial_store_f32s(out_tail, each(simd.partial_load_f32s(tail)));
    }
}

/// As [`map`], of two inputs of the same length.
#[inline(always)]
pub(super) fn map_pairs<S: Simd>(
    simd: S,
    inputs: (&[f32], &[f32]),
    output: &mut [f32],
    each: impl Fn(S::f32s, S::f32s) -> S::f32s,
) {
    let ((a_head, a_tail), (b_head, b_tail)) = (S::as_simd_f32s(inputs.0), S::as_simd_f32s(inputs.1));
    let (out_head, out_tail) = S::as_mut_simd_f32s(output);
    for ((y, a), b) in out_head.iter_mut().zip(a_head).zip(b_head) {
        *y = each(*a, *b);
    }
    if !out_tail.is_empty() {
        simd.partial_store_f32s(
            out_tail,
            each(simd.partial_load_f32s(a_tail), simd.partial_load_f32s(b_tail)),
        );
    }
}

/// Σ (x - centre) and Σ (x - centre)², summed in lanes: for a few thousand floats, whose mean is near the centre.
#[inline(always)]
pub(super) fn deviations<S: Simd>(simd: S, floats: &[f32], centre: f32) -> (f64, f64) {
    // Sums that do not wait for each other's additions.
    const CHAINS: usize = 4;
    let zero = simd.splat_f32s(0.0);
    let (mut sums, mut squares) = ([zero; CHAINS], [zero; CHAINS]);
    let centres = simd.splat_f32s(centre);
    let (head, tail) = S::as_simd_f32s(floats);
    let (fours, rest) = head.as_chunks::<CHAINS>();
    for four in fours {
        for chain in 0..CHAINS {
            let deviation = simd.sub_f32s(four[chain], centres);
            sums[chain] = simd.add_f32s(sums[chain], deviation);
            squares[chain] = simd.mul_add_e_f32s(deviation, deviation, squares[chain]);
        }
    }
    for vector in rest {
        let deviation = simd.sub_f32s(*vector, centres);
        sums[0] = simd.add_f32s(sums[0], deviation);
        squares[0] = simd.mul_add_e_f32s(deviation, deviation, squares[0]);
    }
    let fold = |chains: [S::f32s; CHAINS]| {
        let pairs = (simd.add_f32s(chains[0], chains[1]), simd.add_f32s(chains[2], chains[3]));
        simd.reduce_sum_f32s(simd.add_f32s(pairs.0, pairs.1)) as f64
    };
    let tail = tail.iter().map(|x| (x - centre) as f64);
    tail.fold((fold(sums), fold(squares)), |(sum, square), deviation| {
        (sum + deviation, square + deviation * deviation)
    })
}

/// Side of the square that is transposed in registers.
const SIDE: usize = 4;

/// A square's columns as rows.
#[inline(always)]
fn turn([a, b, c, d]: [[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
    [
        [a[0], b[0], c[0], d[0]],
        [a[1], b[1], c[1], d[1]],
        [a[2], b[2], c[2], d[2]],
        [a[3], b[3], c[3], d[3]],
    ]
}

/// The first numbers of four lists.
#[inline(always)]
fn square(a: &[f32], b: &[f32], c: &[f32], d: &[f32]) -> Option<[[f32; SIDE]; SIDE]> {
    Some([
        *a.first_chunk()?,
        *b.first_chunk()?,
        *c.first_chunk()?,
        *d.first_chunk()?,
    ])
}

/// columns[n][i] = rows[i][n], where the columns lie `stride` floats apart. It goes along all rows together, so that the
/// reads of rows far apart in memory wait for it at the same time.
#[inline(always)]
pub(super) fn transpose(rows: &[&[f32]], columns: &mut [f32], stride: usize) {
    for (block, columns) in columns.chunks_mut(SIDE * stride).enumerate() {
        let start = block * SIDE;
        for (number, rows) in rows.chunks(SIDE).enumerate() {
            let first = number * SIDE;
            if let [a, b, c, d] = rows
                && let Some(square) = square(&a[start..], &b[start..], &c[start..], &d[start..])
            {
                for (column, turned) in columns.chunks_exact_mut(stride).zip(turn(square)) {
                    column[first..first + SIDE].copy_from_slice(&turned);
                }
            } else {
                for (i, row) in rows.iter().enumerate() {
                    for (column, value) in columns.chunks_exact_mut(stride).zip(&row[start..]) {
                        column[first + i] = *value;
                    }
                }
            }
        }
    }
}

/// rows[i][n] = columns[n][i], where the columns lie `stride` floats apart.
#[inline(always)]
pub(super) fn transpose_back(columns: &[f32], stride: usize, rows: &mut [&mut [f32]]) {
    for (block, columns) in columns.chunks(SIDE * stride).enumerate() {
        let start = block * SIDE;
        for (number, rows) in rows.chunks_mut(SIDE).enumerate() {
            let first = number * SIDE;
            let column = |n: usize| columns.get(n * stride + first..).unwrap_or_default();
            if rows.len() == SIDE
                && let Some(square) = square(column(0), column(1), column(2), column(3))
            {
                for (row, turned) in rows.iter_mut().zip(turn(square)) {
                    row[start..start + SIDE].copy_from_slice(&turned);
                }
            } else {
                for (i, row) in rows.iter_mut().enumerate() {
                    for (place, column) in row[start..].iter_mut().zip(columns.chunks_exact(stride)) {
                        *place = column[first + i];
                    }
                }
            }
        }
    }
}

/// Numbers in a vector on this CPU.
pub(super) fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    Arch::new().dispatch(Lanes)
}

/// Balanced parts of `count`, each of `most` at most.
pub(super) fn parts(count: usize, most: usize) -> impl ExactSizeIterator<Item = Range<usize>> + Clone {
    cut(count, count.div_ceil(most))
}

/// So many parts of `count` that differ by one at most.
pub(super) fn cut(count: usize, parts: usize) -> impl ExactSizeIterator<Item = Range<usize>> + Clone {
    (0..parts).map(move |part| part * count / parts..(part + 1) * count / parts)
}

/// Scratch memory whose floats start at a cache line.
pub(super) struct Scratch {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Scratch {
    pub(super) fn new(len: usize) -> Self {
        let memory = vec![0.0_f32; len + LINE];
        let start = memory.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        Self { memory, start, len }
    }

    pub(super) fn floats(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..][..self.len]
    }
}

/// New memory that is filled front to back. A piece is set to zero as it is handed out, while it is in the first cache:
/// zeros over a whole large output would be a pass over memory of their own.
pub(super) struct Fresh<'a> {
    rest: &'a mut [MaybeUninit<f32>],
}

impl<'a> Fresh<'a> {
    /// The next `len` floats, or what is left.
    #[allow(unsafe_code, reason = "floats that have just been written need no second pass")]
    pub(super) fn next(&mut self, len: usize) -> &'a mut [f32] {
        let len = len.min(self.rest.len());
        let (piece, rest) = std::mem::take(&mut self.rest).split_at_mut(len);
        self.rest = rest;
        for float in &mut *piece {
            float.write(0.0);
        }
        // SAFETY: every float of the piece has just been written, and it is handed out once.
        unsafe { &mut *(std::ptr::from_mut(piece) as *mut [f32]) }
    }
}

/// A vector of `len` floats, whose chunks are filled in parallel; what `fill` leaves is zero.
pub(super) fn filled(len: usize, chunk: usize, fill: impl Fn(usize, &mut Fresh<'_>) + Sync) -> Vec<f32> {
    filled_by_image(len, len, chunk, |_, index, fresh| fill(index, fresh))
}

/// As [`filled`], where no chunk reaches over the end of an image of `image` floats; `fill` gets the image's number and
/// the chunk's in it.
#[allow(
    unsafe_code,
    reason = "zeros over the whole vector would be a pass over memory of their own"
)]
pub(super) fn filled_by_image(
    len: usize,
    image: usize,
    chunk: usize,
    fill: impl Fn(usize, usize, &mut Fresh<'_>) + Sync,
) -> Vec<f32> {
    let mut floats = Vec::with_capacity(len);
    floats.spare_capacity_mut()[..len]
        .par_chunks_mut(image.max(1))
        .enumerate()
        .for_each(|(number, image)| {
            image
                .par_chunks_mut(chunk.max(1))
                .enumerate()
                .for_each(|(index, chunk)| {
                    let mut fresh = Fresh { rest: chunk };
                    fill(number, index, &mut fresh);
                    fresh.next(usize::MAX);
                });
        });
    // SAFETY: each chunk's `Fresh` has handed out, and so written, all of its floats, and the chunks cover `len`.
    unsafe { floats.set_len(len) };
    floats
}

/// Whether these operators can take a tensor: one that is f32 and on the CPU.
pub fn supports(x: &Tensor) -> bool {
    x.dtype() == DType::F32 && matches!(x.device(), Device::Cpu)
}

/// An error unless the operators can take `x`.
pub(super) fn check(x: &Tensor, what: &str) -> Result<()> {
    if !supports(x) {
        bail!(
            "{what} must be f32 on the CPU, not {:?} on {:?}",
            x.dtype(),
            x.device().location()
        );
    }
    Ok(())
}

/// The floats behind a tensor, all of its storage.
pub(super) fn floats(storage: &Storage) -> Result<&[f32]> {
    match storage {
        Storage::Cpu(storage) => storage.as_slice::<f32>(),
        _ => bail!("the operator runs on the CPU only"),
    }
}

/// Calls `read` with the floats of `x`, made contiguous if it is not.
pub(super) fn read<T>(x: &Tensor, read: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    check(x, "the input")?;
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    read(&floats(&storage)?[layout.start_offset()..][..x.elem_count()])
}

/// Calls `read` with the floats of all of `tensors`, each made contiguous if it is not.
pub(super) fn read_all<T>(tensors: &[Tensor], read: impl FnOnce(&[&[f32]]) -> Result<T>) -> Result<T> {
    let tensors = tensors
        .iter()
        .map(|x| check(x, "the input").and_then(|()| x.contiguous()))
        .collect::<Result<Vec<_>>>()?;
    let storages: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let slices = (storages.iter().zip(&tensors))
        .map(|((storage, layout), x)| Ok(&floats(storage)?[layout.start_offset()..][..x.elem_count()]))
        .collect::<Result<Vec<_>>>()?;
    read(&slices)
}

/// The floats of a parameter of `len` values.
pub(super) fn parameter(x: &Tensor, len: usize, what: &str) -> Result<Vec<f32>> {
    check(x, what)?;
    if x.dims() != [len] {
        bail!("{what} must have the shape [{len}], not {:?}", x.dims());
    }
    x.to_vec1()
}

//! The one-dimensional transforms of Winograd's F(4, 3): four outputs of a
//! three-tap filter from six inputs with six products.
//!
//! Each function takes and gives vectors; applied along y and then along x
//! they make F(4x4, 3x3). The interpolation points are 0, ±[`A`], ±[`B`] and
//! infinity. These two were chosen by trial: the error is less than half of
//! that for the usual ±1 and ±2, and every constant but [`SCALE_0`] to
//! [`SCALE_B`] is exact in f32.

use pulp::Simd;

/// Outputs per tile and axis.
pub(super) const OUT: usize = 4;
/// Taps of the filter per axis.
pub(super) const TAPS: usize = 3;
/// Inputs, and products, per tile and axis.
pub(super) const IN: usize = OUT + TAPS - 1;

const A: f32 = 1.5;
const B: f32 = 0.625;
const A2: f32 = A * A;
const B2: f32 = B * B;
/// Reciprocal denominators of Lagrange's polynomials for the points 0, ±A and ±B.
/// The input's transform leaves this out; the output's makes up for it.
const SCALE_0: f32 = 1.0 / (A2 * B2);
const SCALE_A: f32 = 1.0 / (2.0 * A2 * (A2 - B2));
const SCALE_B: f32 = 1.0 / (2.0 * B2 * (B2 - A2));

// Functions, not closures: a closure would not be compiled for the CPU's
// vector instructions.

/// `k * x + y`
#[inline(always)]
fn fma<S: Simd>(simd: S, k: f32, x: S::f32s, y: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(k), x, y)
}

/// `k * x`
#[inline(always)]
fn mul<S: Simd>(simd: S, k: f32, x: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(k), x)
}

/// Six inputs to the six factors of the products.
#[inline(always)]
pub(super) fn input<S: Simd>(simd: S, d: [S::f32s; IN]) -> [S::f32s; IN] {
    let even_a = fma(simd, -B2, d[2], d[4]);
    let odd_a = fma(simd, -B2, d[1], d[3]);
    let even_b = fma(simd, -A2, d[2], d[4]);
    let odd_b = fma(simd, -A2, d[1], d[3]);
    [
        fma(simd, A2 * B2, d[0], fma(simd, -(A2 + B2), d[2], d[4])),
        fma(simd, A, odd_a, even_a),
        fma(simd, -A, odd_a, even_a),
        fma(simd, B, odd_b, even_b),
        fma(simd, -B, odd_b, even_b),
        fma(simd, A2 * B2, d[1], fma(simd, -(A2 + B2), d[3], d[5])),
    ]
}

/// How one of the six other factors comes from the three taps.
#[derive(Clone, Copy)]
pub(super) struct Factor {
    /// The tap that counts once.
    pub(super) once: usize,
    /// Factors of the second and the third tap.
    second: f32,
    third: f32,
}

/// All six; [`weights`] computes the same.
pub(super) const FACTORS: [Factor; IN] = [
    factor(0, 0.0, 0.0),
    factor(0, A, A2),
    factor(0, -A, A2),
    factor(0, B, B2),
    factor(0, -B, B2),
    factor(2, 0.0, 0.0),
];

const fn factor(once: usize, second: f32, third: f32) -> Factor {
    Factor { once, second, third }
}

impl Factor {
    /// Combines the tap that counts once with the second and the third.
    #[inline(always)]
    pub(super) fn of<S: Simd>(self, simd: S, once: S::f32s, second: S::f32s, third: S::f32s) -> S::f32s {
        fma(simd, self.second, second, fma(simd, self.third, third, once))
    }
}

/// Three taps to all six other factors.
#[inline(always)]
pub(super) fn weights<S: Simd>(simd: S, g: [S::f32s; TAPS]) -> [S::f32s; IN] {
    let even_a = fma(simd, A2, g[2], g[0]);
    let even_b = fma(simd, B2, g[2], g[0]);
    [
        g[0],
        fma(simd, A, g[1], even_a),
        fma(simd, -A, g[1], even_a),
        fma(simd, B, g[1], even_b),
        fma(simd, -B, g[1], even_b),
        g[2],
    ]
}

/// Six products, summed over the channels, to four outputs.
#[inline(always)]
pub(super) fn output<S: Simd>(simd: S, m: [S::f32s; IN]) -> [S::f32s; OUT] {
    let even_a = simd.add_f32s(m[1], m[2]);
    let odd_a = simd.sub_f32s(m[1], m[2]);
    let even_b = simd.add_f32s(m[3], m[4]);
    let odd_b = simd.sub_f32s(m[3], m[4]);
    [
        fma(
            simd,
            SCALE_0,
            m[0],
            fma(simd, SCALE_A, even_a, mul(simd, SCALE_B, even_b)),
        ),
        fma(simd, A * SCALE_A, odd_a, mul(simd, B * SCALE_B, odd_b)),
        fma(simd, A2 * SCALE_A, even_a, mul(simd, B2 * SCALE_B, even_b)),
        fma(simd, A * A2 * SCALE_A, odd_a, fma(simd, B * B2 * SCALE_B, odd_b, m[5])),
    ]
}

//! All eigenpairs of a small symmetric matrix: Householder's tridiagonal form, then implicit QL (the EISPACK pair
//! tred2 and tql2), arranged so that inner loops run along rows.

/// QL steps allowed per eigenvalue; two are typical, only numbers that are not finite need more.
const STEPS_PER_VALUE: usize = 60;

/// Eigenvalues, highest first, and their unit vectors in the same order.
pub(super) struct Eigen {
    /// Eigenvalues, descending.
    pub(super) values: Vec<f64>,
    /// (count, size), row i belongs to value i.
    pub(super) vectors: Vec<f64>,
}

/// A reflection 1 − factor·v·vᵀ that acts on the coordinates from `start` on.
struct Reflection {
    start: usize,
    factor: f64,
    vector: Vec<f64>,
}

impl Reflection {
    fn apply(&self, to: &mut [f64]) {
        let tail = &mut to[self.start..];
        let along = self.factor * inner(&self.vector, tail);
        add_scaled(tail, -along, &self.vector);
    }
}

/// The `wanted` highest eigenpairs of the symmetric (size, size) row-major `matrix`. `None` if QL does not settle,
/// which happens only when numbers are not finite.
pub(super) fn symmetric_eigen(mut matrix: Vec<f64>, size: usize, wanted: usize) -> Option<Eigen> {
    let reflections = tridiagonalise(&mut matrix, size);
    let mut diagonal: Vec<f64> = (0..size).map(|i| matrix[i * size + i]).collect();
    let mut beside: Vec<f64> = (1..size).map(|i| matrix[i * size + i - 1]).collect();
    // QL expects one more place at the end.
    beside.push(0.0);
    let mut vectors = vec![0.0; size * size];
    for i in 0..size {
        vectors[i * size + i] = 1.0;
    }
    implicit_ql(&mut diagonal, &mut beside, &mut vectors)?;

    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
    order.truncate(wanted);
    let mut chosen = Vec::with_capacity(order.len() * size);
    for &i in &order {
        let mut vector = vectors[i * size..(i + 1) * size].to_vec();
        for reflection in reflections.iter().rev() {
            reflection.apply(&mut vector);
        }
        chosen.extend_from_slice(&vector);
    }
    Some(Eigen {
        values: order.iter().map(|&i| diagonal[i]).collect(),
        vectors: chosen,
    })
}

/// Leaves the tridiagonal form on the diagonal and beside it; returns the reflections in the order of their use.
fn tridiagonalise(matrix: &mut [f64], size: usize) -> Vec<Reflection> {
    let mut reflections = Vec::new();
    for pivot in 0..size.saturating_sub(2) {
        let start = pivot + 1;
        let mut v: Vec<f64> = (start..size).map(|row| matrix[row * size + pivot]).collect();
        let Some(below) = v.get(1..) else { continue };
        if below.iter().all(|&x| x == 0.0) {
            continue;
        }
        // Dividing by the largest number keeps the squares in range.
        let scale = v.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        v.iter_mut().for_each(|x| *x /= scale);
        let norm = inner(&v, &v).sqrt();
        let head = if v[0] >= 0.0 { -norm } else { norm };
        v[0] -= head;
        let factor = 2.0 / inner(&v, &v);

        // A ← (1 − f v vᵀ) A (1 − f v vᵀ) = A − v wᵀ − w vᵀ with p = f A v and w = p − (f/2)(pᵀ v) v.
        let mut w: Vec<f64> = (start..size)
            .map(|row| factor * inner(&matrix[row * size + start..(row + 1) * size], &v))
            .collect();
        let shift = 0.5 * factor * inner(&w, &v);
        add_scaled(&mut w, -shift, &v);
        for (i, row) in (start..size).enumerate() {
            let line = &mut matrix[row * size + start..(row + 1) * size];
            add_scaled(line, -v[i], &w);
            add_scaled(line, -w[i], &v);
        }
        for row in start..size {
            let value = if row == start { head * scale } else { 0.0 };
            matrix[row * size + pivot] = value;
            matrix[pivot * size + row] = value;
        }
        reflections.push(Reflection {
            start,
            factor,
            vector: v,
        });
    }
    reflections
}

/// Diagonalises a tridiagonal matrix: `diagonal` becomes the eigenvalues, row i of `vectors` the vector of value i.
fn implicit_ql(diagonal: &mut [f64], beside: &mut [f64], vectors: &mut [f64]) -> Option<()> {
    let size = diagonal.len();
    // The tridiagonal form is as inexact as this already: where eigenvalues are 0 but for rounding, what lies beside them does
    // not become smaller than a share of them.
    let sizes = diagonal.iter().zip(beside.iter()).map(|(d, e)| d.abs() + e.abs());
    let rounding = f64::EPSILON * sizes.fold(0.0, f64::max);
    for low in 0..size {
        let mut steps = 0;
        loop {
            let split = (low..size.saturating_sub(1))
                .find(|&m| beside[m].abs() <= rounding)
                .unwrap_or(size - 1);
            if split == low {
                break;
            }
            if steps == STEPS_PER_VALUE {
                return None;
            }
            steps += 1;
            ql_step(diagonal, beside, vectors, low, split);
        }
    }
    diagonal.iter().all(|x| x.is_finite()).then_some(())
}

/// One QL step with Wilkinson's shift on the unreduced block `low..=split`.
fn ql_step(diagonal: &mut [f64], beside: &mut [f64], vectors: &mut [f64], low: usize, split: usize) {
    let size = diagonal.len();
    let half_gap = (diagonal[low + 1] - diagonal[low]) / (2.0 * beside[low]);
    let root = half_gap.hypot(1.0);
    let mut g = diagonal[split] - diagonal[low] + beside[low] / (half_gap + root.copysign(half_gap));
    let (mut sine, mut cosine, mut carried) = (1.0, 1.0, 0.0);
    for i in (low..split).rev() {
        let f = sine * beside[i];
        let b = cosine * beside[i];
        let radius = f.hypot(g);
        beside[i + 1] = radius;
        if radius == 0.0 {
            // The block has fallen apart in the middle of the step; the next one starts from the smaller block.
            diagonal[i + 1] -= carried;
            beside[split] = 0.0;
            return;
        }
        sine = f / radius;
        cosine = g / radius;
        let g_next = diagonal[i + 1] - carried;
        let r = (diagonal[i] - g_next) * sine + 2.0 * cosine * b;
        carried = sine * r;
        diagonal[i + 1] = g_next + carried;
        g = cosine * r - b;
        let (before, after) = vectors.split_at_mut((i + 1) * size);
        let lower = &mut before[i * size..];
        for (x, y) in lower.iter_mut().zip(&mut after[..size]) {
            let upper = *y;
            *y = sine * *x + cosine * upper;
            *x = cosine * *x - sine * upper;
        }
    }
    diagonal[low] -= carried;
    beside[low] = g;
    beside[split] = 0.0;
}

/// Dot product in f64 with eight independent sums, so that it vectorises.
pub(super) fn inner(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f64; LANES];
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}

/// `to` += `factor` · `what`.
pub(super) fn add_scaled(to: &mut [f64], factor: f64, what: &[f64]) {
    for (x, &y) in to.iter_mut().zip(what) {
        *x += factor * y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Symmetric numbers without pattern: eigenpairs must satisfy A v = λ v and be orthonormal, at every size.
    #[test]
    fn pairs_satisfy_their_equation() -> Result<(), String> {
        for size in [1, 2, 3, 5, 17, 40] {
            let mut matrix = vec![0.0; size * size];
            for i in 0..size {
                for j in 0..=i {
                    let value = ((i * 37 + j * 101) % 23) as f64 - 11.0;
                    matrix[i * size + j] = value;
                    matrix[j * size + i] = value;
                }
            }
            let eigen = symmetric_eigen(matrix.clone(), size, size).ok_or("QL did not settle")?;
            for (i, vector) in eigen.vectors.chunks_exact(size).enumerate() {
                for (row, x) in matrix.chunks_exact(size).zip(vector) {
                    assert!((inner(row, vector) - eigen.values[i] * x).abs() < 1e-10 * 11.0 * size as f64);
                }
                for (j, other) in eigen.vectors.chunks_exact(size).enumerate() {
                    let wanted = f64::from(u8::from(i == j));
                    assert!((inner(vector, other) - wanted).abs() < 1e-12);
                }
            }
            assert!(eigen.values.is_sorted_by(|a, b| a >= b));
        }
        Ok(())
    }

    /// Gram matrices of rows in f32 of which many depend on the others, one column a thousand times the rest: eigenvalues that
    /// are 0 but for rounding lie beside each other.
    #[test]
    fn matrices_of_low_rank_settle() -> Result<(), String> {
        let mut state = 1_u64;
        let mut unit = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        for case in 0..2000 {
            let (size, columns, kinds) = (2 + case % 63, 24, 1 + case % 5);
            let kind: Vec<f32> = (0..kinds * columns).map(|_| unit()).collect();
            let rows: Vec<f32> = (0..size * columns)
                .map(|place| {
                    let (row, column) = (place / columns, place % columns);
                    let value = kind[row % kinds * columns + column] + if case % 2 == 0 { 0.0 } else { 1e-4 * unit() };
                    if column == 5 { 1000.0 * value } else { value }
                })
                .collect();
            let mut gram = vec![0.0; size * size];
            for i in 0..size {
                for j in 0..size {
                    let pairs = rows[i * columns..(i + 1) * columns].iter().zip(&rows[j * columns..]);
                    gram[i * size + j] = pairs.map(|(a, b)| f64::from(a * b)).sum();
                }
            }
            let trace: f64 = (0..size).map(|i| gram[i * size + i]).sum();
            let eigen = symmetric_eigen(gram, size, size).ok_or(format!("case {case} did not settle"))?;
            assert!(
                (eigen.values.iter().sum::<f64>() - trace).abs() <= 1e-9 * trace,
                "case {case}"
            );
        }
        Ok(())
    }

    #[test]
    fn diagonal_and_zero_matrices() -> Result<(), String> {
        let diagonal = vec![1.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 2.0];
        let eigen = symmetric_eigen(diagonal, 3, 2).ok_or("QL did not settle")?;
        assert_eq!(eigen.values, [3.0, 2.0]);
        let eigen = symmetric_eigen(vec![0.0; 16], 4, 4).ok_or("QL did not settle")?;
        assert_eq!(eigen.values, [0.0; 4]);
        Ok(())
    }

    #[test]
    fn numbers_that_are_not_finite_end() {
        assert!(symmetric_eigen(vec![f64::NAN; 9], 3, 3).is_none());
    }
}

//! The highest eigenpairs of a large symmetric positive operator that is known only by what it does to vectors: block
//! Lanczos with full orthogonalisation and restarts (Rayleigh–Ritz on a block Krylov space).
//!
//! A block finds equal eigenvalues, which a single vector cannot; keeping the basis exactly orthogonal in f64 lets the
//! operator itself compute in f32.

use super::{
    eigen::{Eigen, add_scaled, inner, symmetric_eigen},
    matrix::{View, multiply},
};

pub(super) struct Search {
    /// Number of eigenpairs.
    pub(super) wanted: usize,
    /// Basis vectors before a restart; at least three blocks.
    pub(super) basis_limit: usize,
    /// Applications of the operator to a block before giving up.
    pub(super) sweeps: usize,
    /// A pair is found when its residual is below this share of its distance to the nearest other eigenvalue: the
    /// angle to the true vector, in radians …
    pub(super) angle: f64,
    /// … or below this share of √(λ₁·λ): what the operator's own rounding leaves.
    pub(super) rounding: f64,
    /// Eigenvalues surely below this need no vector.
    pub(super) negligible: f64,
}

/// The result of a search.
pub(super) struct Leading {
    /// The pairs found, or the best estimate.
    pub(super) pairs: Eigen,
    /// The best estimate of a whole block of vectors (rows of `size`): where another search should start.
    pub(super) block: Vec<f64>,
    /// Whether every wanted pair met the search's condition.
    pub(super) converged: bool,
}

/// Two orthogonalisations are enough (Kahan): the second removes what rounding left of the first.
const ORTHOGONALISATIONS: usize = 2;

/// A direction that has lost all but this share of the operator's norm holds rounding and nothing else, in units of
/// `Search::rounding`.
const LOST_SHARE: f64 = 0.1;

/// The growing basis Q, its image A·Q and the projection T = Q·A·Qᵀ; vectors are rows.
struct Space {
    size: usize,
    basis: Vec<f64>,
    image: Vec<f64>,
    /// (count, count), row-major.
    projection: Vec<f64>,
}

/// Searches from `start` (rows of `size`, at least `wanted` of them). `apply` maps rows to their images. `None` if numbers stop being finite.
pub(super) fn leading_pairs(
    size: usize,
    start: Vec<f64>,
    search: &Search,
    mut apply: impl FnMut(&[f64]) -> Vec<f64>,
) -> Option<Leading> {
    let mut space = Space {
        size,
        basis: Vec::new(),
        image: Vec::new(),
        projection: Vec::new(),
    };
    let block_size = start.len() / size;
    let mut block = start;
    orthonormalise(&mut block, &[], size, 0.0);
    let mut largest = 0.0_f64;
    for sweep in 1..=search.sweeps {
        let image = apply(&block);
        for row in image.chunks_exact(size) {
            largest = largest.max(inner(row, row).sqrt());
        }
        if !largest.is_finite() {
            return None;
        }
        space.append(&block, &image);
        block = image;
        orthonormalise(&mut block, &space.basis, size, LOST_SHARE * search.rounding * largest);

        let exhausted = block.is_empty();
        let full = space.count() + block_size > search.basis_limit;
        // The projected problem costs a good part of a sweep: it is solved at every other sweep.
        if exhausted || full || sweep == search.sweeps || sweep % 2 == 0 {
            let keep = (search.basis_limit / 2).max(block_size);
            let ritz = symmetric_eigen(space.projection.clone(), space.count(), keep)?;
            let converged = exhausted || space.residuals_allow(&ritz, search);
            if converged || sweep == search.sweeps {
                return Some(space.finish(&ritz, search.wanted, block_size, converged));
            }
            if full {
                space.restart(&ritz);
            }
        }
    }
    None
}

impl Space {
    fn count(&self) -> usize {
        self.basis.len() / self.size
    }

    /// Takes in orthonormal rows and their images.
    fn append(&mut self, block: &[f64], image: &[f64]) {
        let (before, added) = (self.count(), block.len() / self.size);
        self.basis.extend_from_slice(block);
        self.image.extend_from_slice(image);
        let count = before + added;
        let cross = multiply(
            View::new(image, added, self.size),
            View::new(&self.basis, count, self.size).transposed(),
        );
        let mut projection = vec![0.0; count * count];
        for row in 0..before {
            projection[row * count..row * count + before]
                .copy_from_slice(&self.projection[row * before..(row + 1) * before]);
        }
        for i in 0..added {
            for j in 0..count {
                // Inside the new block both orders were computed: their mean is symmetric.
                let value = if j < before {
                    cross[i * count + j]
                } else {
                    0.5 * (cross[i * count + j] + cross[(j - before) * count + before + i])
                };
                projection[(before + i) * count + j] = value;
                projection[j * count + before + i] = value;
            }
        }
        self.projection = projection;
    }

    /// Rows of `coefficients` (rows, count) as combinations of `vectors` (count, size).
    fn combine(&self, coefficients: &[f64], vectors: &[f64]) -> Vec<f64> {
        let count = self.count();
        multiply(
            View::new(coefficients, coefficients.len() / count, count),
            View::new(vectors, count, self.size),
        )
    }

    /// Whether the wanted Ritz pairs are accurate enough.
    fn residuals_allow(&self, ritz: &Eigen, search: &Search) -> bool {
        let count = self.count();
        if count <= search.wanted {
            return false;
        }
        let wanted = search.wanted.min(ritz.values.len());
        let vectors = self.combine(&ritz.vectors[..wanted * count], &self.basis);
        let images = self.combine(&ritz.vectors[..wanted * count], &self.image);
        let top = ritz.values.first().copied().unwrap_or_default().max(0.0);
        (0..wanted).all(|i| {
            let value = ritz.values[i];
            let range = i * self.size..(i + 1) * self.size;
            let mut residual = images[range.clone()].to_vec();
            add_scaled(&mut residual, -value, &vectors[range]);
            let residual = inner(&residual, &residual).sqrt();
            let above = i.checked_sub(1).map_or(f64::INFINITY, |j| ritz.values[j] - value);
            let below = ritz.values.get(i + 1).map_or(f64::INFINITY, |next| value - next);
            residual <= search.angle * above.min(below)
                || residual <= search.rounding * (top * value.max(0.0)).sqrt()
                || value + residual < search.negligible
        })
    }

    /// Shrinks the basis to the Ritz vectors; the next block, orthogonal to the old basis, continues the Krylov space.
    fn restart(&mut self, ritz: &Eigen) {
        let basis = self.combine(&ritz.vectors, &self.basis);
        let image = self.combine(&ritz.vectors, &self.image);
        let kept = ritz.values.len();
        self.basis = basis;
        self.image = image;
        self.projection = vec![0.0; kept * kept];
        for (i, &value) in ritz.values.iter().enumerate() {
            self.projection[i * kept + i] = value;
        }
    }

    fn finish(&self, ritz: &Eigen, wanted: usize, block_size: usize, converged: bool) -> Leading {
        let count = self.count();
        let kept = block_size.min(ritz.values.len());
        let block = self.combine(&ritz.vectors[..kept * count], &self.basis);
        let wanted = wanted.min(kept);
        Leading {
            pairs: Eigen {
                values: ritz.values[..wanted].to_vec(),
                vectors: block[..wanted * self.size].to_vec(),
            },
            block,
            converged,
        }
    }
}

/// Makes the rows of `block` orthogonal to the orthonormal rows of `basis` and to each other, of length 1. Rows of which
/// no more than `lost` remains are dropped.
fn orthonormalise(block: &mut Vec<f64>, basis: &[f64], size: usize, lost: f64) {
    let mut threshold = lost;
    for _ in 0..ORTHOGONALISATIONS {
        let (rows, known) = (block.len() / size, basis.len() / size);
        if known > 0 && rows > 0 {
            let basis = View::new(basis, known, size);
            let along = multiply(View::new(block, rows, size), basis.transposed());
            let inside = multiply(View::new(&along, rows, known), basis);
            add_scaled(block, -1.0, &inside);
        }
        let mut kept = 0;
        for row in 0..rows {
            let (done, rest) = block.split_at_mut(row * size);
            let current = &mut rest[..size];
            for other in done[..kept * size].chunks_exact(size) {
                let along = inner(other, current);
                add_scaled(current, -along, other);
            }
            let norm = inner(current, current).sqrt();
            if norm > threshold {
                current.iter_mut().for_each(|x| *x /= norm);
                block.copy_within(row * size..(row + 1) * size, kept * size);
                kept += 1;
            }
        }
        block.truncate(kept * size);
        // After the first pass the rows are of length 1, and what was worth keeping stays.
        threshold = 0.0;
    }
}

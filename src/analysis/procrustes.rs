//! The rotation that brings one set of scores nearest to another: how PCA colours of layers with different channel counts
//! are made to agree.

use super::eigen::symmetric_eigen;
use crate::error::{Error, Result};

/// Singular values below this share of the largest belong to directions that the scores do not have.
const NEGLIGIBLE: f64 = 1e-9;

/// The orthogonal matrix R (k, k) that minimises ‖scores·R − target‖_F, for scores and target (n, k) row-major about
/// their own means. A reflection is allowed: the signs of components are arbitrary.
pub(crate) fn rotation_to(scores: &[f32], target: &[f32], k: usize) -> Result<Vec<f64>> {
    if k == 0 || scores.len() != target.len() || scores.is_empty() || !scores.len().is_multiple_of(k) {
        return Err(Error::failed(format!(
            "scores of {} and {} numbers cannot be rotated onto each other in {k} components",
            scores.len(),
            target.len()
        )));
    }
    let (a, b) = (centred(scores, k), centred(target, k));
    // M = AᵀB = U·S·Vᵀ; R = U·Vᵀ.
    let mut m = vec![0.0; k * k];
    for (x, y) in a.chunks_exact(k).zip(b.chunks_exact(k)) {
        for (i, x) in x.iter().enumerate() {
            for (j, y) in y.iter().enumerate() {
                m[i * k + j] += x * y;
            }
        }
    }
    let unsound = || Error::failed("scores that are not finite cannot be rotated");
    if m.iter().any(|x| !x.is_finite()) {
        return Err(unsound());
    }
    let mut squared = vec![0.0; k * k];
    for i in 0..k {
        for j in 0..k {
            squared[i * k + j] = (0..k).map(|row| m[row * k + i] * m[row * k + j]).sum();
        }
    }
    let right = symmetric_eigen(squared, k, k).ok_or_else(unsound)?;
    let largest = right.values.first().copied().unwrap_or(0.0).max(0.0).sqrt();
    let mut left: Vec<Vec<f64>> = Vec::with_capacity(k);
    for (value, v) in right.values.iter().zip(right.vectors.chunks_exact(k)) {
        let singular = value.max(0.0).sqrt();
        let u = match singular > NEGLIGIBLE * largest && largest > 0.0 {
            true => (0..k)
                .map(|row| (0..k).map(|j| m[row * k + j] * v[j]).sum::<f64>() / singular)
                .collect(),
            // Any direction at right angles to the others is as good: that nearest to v keeps things as they are.
            false => v.to_vec(),
        };
        left.push(orthonormal(u, &left, k));
    }
    let mut rotation = vec![0.0; k * k];
    for (u, v) in left.iter().zip(right.vectors.chunks_exact(k)) {
        for i in 0..k {
            for j in 0..k {
                rotation[i * k + j] += u[i] * v[j];
            }
        }
    }
    Ok(rotation)
}

/// Scores (n, k) about their mean, rotated.
pub fn rotated(scores: &[f32], rotation: &[f64], k: usize) -> Vec<f32> {
    centred(scores, k)
        .chunks_exact(k)
        .flat_map(|row| (0..k).map(move |j| (0..k).map(|i| row[i] * rotation[i * k + j]).sum::<f64>() as f32))
        .collect()
}

fn centred(scores: &[f32], k: usize) -> Vec<f64> {
    let rows = scores.len() / k;
    let mut mean = vec![0.0; k];
    for row in scores.chunks_exact(k) {
        mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    mean.iter_mut().for_each(|sum| *sum /= rows.max(1) as f64);
    let of_row = |row: &[f32]| -> Vec<f64> { row.iter().zip(&mean).map(|(x, mean)| f64::from(*x) - mean).collect() };
    scores.chunks_exact(k).flat_map(of_row).collect()
}

/// A unit vector at right angles to others: `wanted` without what it has of them, or where nothing is left the first
/// axis that has something.
fn orthonormal(wanted: Vec<f64>, others: &[Vec<f64>], k: usize) -> Vec<f64> {
    const LEAST: f64 = 1e-6;
    let axes = (0..k).map(|axis| (0..k).map(|i| if i == axis { 1.0 } else { 0.0 }).collect());
    for mut vector in std::iter::once(wanted).chain(axes) {
        for other in others.iter().chain(others) {
            let along: f64 = vector.iter().zip(other).map(|(x, y)| x * y).sum();
            vector.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
        }
        let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        if norm > LEAST {
            return vector.iter().map(|x| x / norm).collect();
        }
    }
    vec![0.0; k]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(rows: usize) -> Vec<f32> {
        (0..rows * 3)
            .map(|i| ((i * 7919 + i * i * 31) % 101) as f32 / (1.0 + (i % 3) as f32))
            .collect()
    }

    #[test]
    fn a_rotation_is_found_again_and_undone() -> Result<()> {
        let (c, s) = (0.6, 0.8);
        // A turn and a reflection.
        let turn = [c, -s, 0.0, s, c, 0.0, 0.0, 0.0, -1.0];
        let original = scores(40);
        let turned = rotated(&original, &turn, 3);
        let found = rotation_to(&original, &turned, 3)?;
        for (found, expected) in found.iter().zip(turn) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        Ok(())
    }

    #[test]
    fn it_is_orthogonal_also_where_components_are_missing() -> Result<()> {
        let full = scores(20);
        let flat: Vec<f32> = full.chunks_exact(3).flat_map(|row| [row[0], 0.0, 0.0]).collect();
        let nothing = vec![0.0; 60];
        for (a, b) in [
            (&full, &flat),
            (&flat, &full),
            (&flat, &flat),
            (&nothing, &full),
            (&nothing, &nothing),
        ] {
            let r = rotation_to(a, b, 3)?;
            for i in 0..3 {
                for j in 0..3 {
                    let inner: f64 = (0..3).map(|row| r[row * 3 + i] * r[row * 3 + j]).sum();
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((inner - expected).abs() < 1e-9, "{r:?}");
                }
            }
        }
        assert!(rotation_to(&full, &full[3..], 3).is_err());
        assert!(rotation_to(&[f32::NAN; 3], &[1.0; 3], 3).is_err());
        Ok(())
    }
}

//! Thumbnails as pictures.

use super::Measurement;
use crate::{
    activation::pool::adaptive_average_pool,
    analysis::{
        colour::RgbPicture,
        figures::{THUMBNAIL_COMPONENTS, Thumbnail},
        pca::Scores,
        procrustes::{rotated, rotation_to},
    },
    error::Result,
    geometry::Grid,
    render::ColourMap,
};

/// PCA colours: each component from its lowest to its highest score. One pixel per cell.
pub fn thumbnail_picture(thumbnail: &Thumbnail) -> RgbPicture {
    coloured(thumbnail.grid, &thumbnail.scores)
}

/// How noisy each cell is, from 0 to the noisiest.
pub(crate) fn noise_picture(thumbnail: &Thumbnail, map: ColourMap) -> RgbPicture {
    let noise = &thumbnail.noise;
    let finite = noise.iter().copied().filter(|x| x.is_finite());
    let highest = finite.fold(0.0, f32::max);
    let shade = |x: &f32| map.colour(*x, [0.0, highest], 1.0).unwrap_or_default();
    let mut rgb: Vec<u8> = noise.iter().flat_map(shade).collect();
    rgb.resize(thumbnail.grid.positions() * THUMBNAIL_COMPONENTS, 0);
    RgbPicture {
        height: thumbnail.grid.height,
        width: thumbnail.grid.width,
        rgb,
    }
}

fn coloured(grid: Grid, scores: &[f32]) -> RgbPicture {
    let scores = Scores {
        grid,
        components: THUMBNAIL_COMPONENTS,
        values: scores.to_vec(),
    };
    scores.to_rgb()
}

/// PCA colours that agree: the scores of every activation rotated onto those of `reference` (orthogonal Procrustes, each
/// component brought to unit variance first), on the reference's grid.
///
/// # Errors
///
/// Where scores are not finite.
pub fn agreeing(measurement: &Measurement, reference: &Measurement) -> Result<RgbPicture> {
    let (own, target) = (&measurement.thumbnail, &reference.thumbnail);
    let resampled = onto(own, target.grid)?;
    let rotation = rotation_to(
        &unit_variance(&resampled),
        &unit_variance(&target.scores),
        THUMBNAIL_COMPONENTS,
    )?;
    let scores = rotated(&unit_variance(&own.scores), &rotation, THUMBNAIL_COMPONENTS);
    Ok(coloured(own.grid, &scores))
}

/// Scores on another grid: averaged where it is coarser, repeated where it is finer.
fn onto(thumbnail: &Thumbnail, grid: Grid) -> Result<Vec<f32>> {
    if thumbnail.grid == grid {
        return Ok(thumbnail.scores.clone());
    }
    let mut out = vec![0.0; grid.positions() * THUMBNAIL_COMPONENTS];
    for component in 0..THUMBNAIL_COMPONENTS {
        let scores = thumbnail.scores.iter().skip(component).step_by(THUMBNAIL_COMPONENTS);
        let plane: Vec<f32> = scores.copied().collect();
        let pooled = adaptive_average_pool(&plane, 1, thumbnail.grid, grid)?;
        for (position, score) in pooled.into_iter().enumerate() {
            out[position * THUMBNAIL_COMPONENTS + component] = score;
        }
    }
    Ok(out)
}

/// Each component divided by its standard deviation.
fn unit_variance(scores: &[f32]) -> Vec<f32> {
    let count = (scores.len() / THUMBNAIL_COMPONENTS).max(1) as f64;
    let mut scales = [0.0_f32; THUMBNAIL_COMPONENTS];
    for (component, scale) in scales.iter_mut().enumerate() {
        let values = || {
            let values = scores.iter().skip(component).step_by(THUMBNAIL_COMPONENTS);
            values.map(|x| f64::from(*x))
        };
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        *scale = if variance > 0.0 {
            variance.sqrt().recip() as f32
        } else {
            0.0
        };
    }
    let of_cell = |cell: &[f32]| -> Vec<f32> { cell.iter().zip(&scales).map(|(x, scale)| x * scale).collect() };
    scores.chunks_exact(THUMBNAIL_COMPONENTS).flat_map(of_cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thumbnail(scores: Vec<f32>, grid: Grid) -> Thumbnail {
        Thumbnail {
            grid,
            noise: vec![0.0; grid.positions()],
            scores,
        }
    }

    #[test]
    fn components_go_from_black_to_full_and_constant_ones_are_black() {
        let picture = thumbnail_picture(&thumbnail(vec![-1.0, 5.0, 2.0, 1.0, 5.0, 4.0], Grid::new(1, 2)));
        assert_eq!(picture.rgb, [0, 0, 0, 255, 0, 255]);
        let noise = Thumbnail {
            noise: vec![0.0, f32::INFINITY],
            ..thumbnail(vec![0.0; 6], Grid::new(1, 2))
        };
        assert_eq!(noise_picture(&noise, ColourMap::Grey).rgb, [0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_finer_grid_repeats_and_a_coarser_one_averages() -> Result<()> {
        let two = thumbnail(vec![0.0, 1.0, 2.0, 4.0, 5.0, 6.0], Grid::new(1, 2));
        assert_eq!(onto(&two, Grid::new(1, 1))?, [2.0, 3.0, 4.0]);
        let four = onto(&two, Grid::new(1, 4))?;
        assert_eq!(four[..6], [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
        Ok(())
    }
}

//! Figures and thumbnail of one activation, for a survey.

use rayon::join;
use serde::{Deserialize, Serialize};

use super::{
    granularity::{Granularity, spectrum},
    locality::{Locality, locality, semantics_index},
    massive::{channel_figures, massive_channels},
    noise::{NoiseComparison, compare_noises},
    pca::{PcaOptions, Scores, fit_with_rank},
};
use crate::{
    activation::{FeatureMap, pool::adaptive_average_pool},
    error::Result,
    geometry::Grid,
};

/// Cells of a thumbnail's longer side, at most: larger maps are averaged down to it.
pub const THUMBNAIL_SIDE: usize = 64;
/// Components of a thumbnail: red, green, blue.
pub const THUMBNAIL_COMPONENTS: usize = 3;

/// The figures of one activation. All but noise and granularity are of the first noise: what is seen when the activation
/// is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Passes with different noise that were compared.
    pub noises: usize,
    /// Noise-to-signal ratio; none where one pass ran. See [`compare_noises`].
    pub nsr: Option<f64>,
    /// The same after a low-pass.
    pub nsr_low_passed: Option<f64>,
    /// Similarity against distance.
    pub locality: Locality,
    /// The locality-semantics index; none where no regions are marked.
    pub semantics: Option<f64>,
    /// Granularity of the mean over the noises; none where it has no structure or no frequency.
    pub signal: Option<Granularity>,
    /// Granularity of what each pass has beyond that mean, summed over the passes.
    pub residual: Option<Granularity>,
    /// Shares of the variance of the first components.
    pub explained: [f64; THUMBNAIL_COMPONENTS],
    /// Effective rank of the covariance of the positions.
    pub effective_rank: f64,
    /// Channels that are massive, counted from 0.
    pub massive: Vec<usize>,
    /// Mean over positions of ‖f_p‖₂.
    pub norm: f64,
}

impl Figures {
    /// The figures of an activation of which there are none.
    pub fn unmeasured(noises: usize, grid: Grid) -> Self {
        Self {
            noises,
            nsr: None,
            nsr_low_passed: None,
            locality: Locality {
                curve: Vec::new(),
                short_side: grid.height.min(grid.width),
                baseline: f64::NAN,
                half_width: None,
            },
            semantics: None,
            signal: None,
            residual: None,
            explained: [f64::NAN; THUMBNAIL_COMPONENTS],
            effective_rank: f64::NAN,
            massive: Vec::new(),
            norm: f64::NAN,
        }
    }
}

/// A small picture of an activation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thumbnail {
    /// Its cells.
    pub grid: Grid,
    /// (h·w, 3): scores of the first components, centred.
    pub scores: Vec<f32>,
    /// (h·w): how noisy each cell is, as a share of the variance; empty where one pass ran.
    pub noise: Vec<f32>,
}

impl Thumbnail {
    /// The black picture of an activation that was not measured.
    pub fn black(of: Grid) -> Self {
        let grid = thumbnail_grid(of);
        Self {
            grid,
            scores: vec![0.0; grid.positions() * THUMBNAIL_COMPONENTS],
            noise: Vec::new(),
        }
    }
}

/// Measures one activation over `noises` passes; `map_of` gives the map of each and is asked once for it. `regions` names the region of a position of a grid, where some are marked.
///
/// # Errors
///
/// Where `map_of` fails, where the maps differ in shape, and where PCA is not defined for the first.
pub fn measure(
    noises: usize,
    map_of: &(dyn Fn(usize) -> Result<FeatureMap> + Sync),
    regions: Option<&(dyn Fn(Grid) -> Vec<Option<usize>> + Sync)>,
) -> Result<(Figures, Thumbnail)> {
    let first = map_of(0)?;
    let grid = first.grid();
    let planes = first.to_channels();
    let of_noise = || -> Result<_> {
        if noises < 2 {
            return Ok((Granularity::of(spectrum(&planes, grid)), None, None));
        }
        let mut maps = vec![planes.clone()];
        for noise in 1..noises {
            maps.push(map_of(noise)?.to_channels());
        }
        let NoiseComparison { mean, beyond, figures } = compare_noises(grid, maps)?;
        let mut radial: Vec<f64> = Vec::new();
        for beyond in beyond {
            let of_one = spectrum(&beyond, grid);
            radial.resize(of_one.len(), 0.0);
            radial.iter_mut().zip(of_one).for_each(|(sum, power)| *sum += power);
        }
        let signal = Granularity::of(spectrum(&mean, grid));
        Ok((signal, Granularity::of(radial), Some(figures)))
    };
    let of_colours = || -> Result<_> {
        let (basis, effective_rank) = fit_with_rank(&first, &PcaOptions::default())?;
        let mut explained = [0.0; THUMBNAIL_COMPONENTS];
        for (to, from) in explained.iter_mut().zip(&basis.explained_variance_ratio) {
            *to = *from;
        }
        Ok((explained, effective_rank, basis.project(&first)?))
    };
    let of_places = || {
        let semantics = regions.and_then(|regions| semantics_index(&first, &regions(grid)));
        (locality(&first, &planes), semantics)
    };
    let (noise, (colours, places)) = join(of_noise, || join(of_colours, of_places));
    let (signal, residual, noise) = noise?;
    let (explained, effective_rank, scores) = colours?;
    let (locality, semantics) = places;
    let norms = first.inverse_norms().iter().filter(|inverse| **inverse > 0.0);
    let thumbnail = thumbnail(&scores, noise.as_ref().map(|noise| noise.of_positions.as_slice()))?;
    let figures = Figures {
        noises,
        nsr: noise.as_ref().map(|noise| noise.nsr),
        nsr_low_passed: noise.as_ref().map(|noise| noise.low_passed),
        locality,
        semantics,
        signal,
        residual,
        explained,
        effective_rank,
        massive: massive_channels(&channel_figures(&first)),
        norm: norms.map(|inverse| 1.0 / f64::from(*inverse)).sum::<f64>() / grid.positions() as f64,
    };
    Ok((figures, thumbnail))
}

/// The grid of the thumbnail of an activation.
fn thumbnail_grid(from: Grid) -> Grid {
    let longer = from.height.max(from.width);
    let shrunk = |side: usize| match longer > THUMBNAIL_SIDE {
        true => (side * THUMBNAIL_SIDE / longer).max(1),
        false => side,
    };
    Grid::new(shrunk(from.height), shrunk(from.width))
}

/// Averages what is larger than a thumbnail.
fn thumbnail(scores: &Scores, noise: Option<&[f32]>) -> Result<Thumbnail> {
    let from = scores.grid;
    let grid = thumbnail_grid(from);
    let pooled = |plane: &[f32]| match grid == from {
        true => Ok(plane.to_vec()),
        false => adaptive_average_pool(plane, 1, from, grid),
    };
    let mut interleaved = vec![0.0; grid.positions() * THUMBNAIL_COMPONENTS];
    for component in 0..THUMBNAIL_COMPONENTS.min(scores.components) {
        let plane: Vec<f32> = scores.component(component).collect();
        for (position, score) in pooled(&plane)?.into_iter().enumerate() {
            interleaved[position * THUMBNAIL_COMPONENTS + component] = score;
        }
    }
    Ok(Thumbnail {
        grid,
        scores: interleaved,
        noise: noise.map_or(Ok(Vec::new()), pooled)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(side: usize, noise: usize) -> Result<FeatureMap> {
        let grid = Grid::new(side, side);
        let vectors = (0..grid.positions()).flat_map(|position| {
            let (row, column) = grid.row_column(position);
            let jitter = ((position * 31 + noise * 7919) % 13) as f32 / 50.0;
            [row as f32 / 3.0, (column as f32 / 4.0).sin(), jitter, 1.0 - jitter]
        });
        FeatureMap::from_positions(4, grid, vectors.collect())
    }

    #[test]
    fn everything_is_measured_and_large_maps_get_small_pictures() -> Result<()> {
        let regions = |grid: Grid| {
            (0..grid.positions())
                .map(|position| Some(grid.row_column(position).1 * 4 / grid.width))
                .collect()
        };
        let (figures, thumbnail) = measure(3, &|noise| map(80, noise), Some(&regions))?;
        assert_eq!(figures.noises, 3);
        assert!(figures.nsr.is_some_and(|nsr| nsr > 0.0));
        assert!(figures.nsr_low_passed < figures.nsr);
        assert!(figures.semantics.is_some() && figures.signal.is_some() && figures.residual.is_some());
        assert!(figures.explained[0] > 0.9 && figures.effective_rank >= 1.0 && figures.norm > 1.0);
        assert_eq!(thumbnail.grid, Grid::new(64, 64));
        assert_eq!(thumbnail.scores.len(), 64 * 64 * 3);
        assert_eq!(thumbnail.noise.len(), 64 * 64);
        Ok(())
    }

    #[test]
    fn one_pass_says_nothing_of_noise_and_one_position_nothing_of_places() -> Result<()> {
        let (figures, thumbnail) = measure(1, &|noise| map(5, noise), None)?;
        assert_eq!(
            (figures.nsr, figures.nsr_low_passed, figures.semantics),
            (None, None, None)
        );
        assert!(figures.signal.is_some() && figures.residual.is_none());
        assert!(thumbnail.noise.is_empty() && thumbnail.scores.len() == 75);
        let (figures, thumbnail) = measure(2, &|noise| map(1, noise), None)?;
        assert!(figures.locality.curve.is_empty() && figures.signal.is_none());
        assert_eq!(figures.effective_rank, 0.0);
        assert_eq!(thumbnail.scores, [0.0; 3]);
        Ok(())
    }
}

//! Whether a map finds itself again: its positions are looked for by cosine in the map of the same picture moved by some
//! pixels, which other noise may have been mixed with. Where each lies there is known, so that the share found is PCK@.1 of
//! the picture against itself, without any mark. It asks for what correspondence needs: vectors that neither noise nor
//! place changes, and that differ between places. A map of colours passes as well: it is a proxy.

use rayon::prelude::*;

use super::{
    rank::PCK_SHARES,
    similarity::{arg_max, cosine_to_all},
};
use crate::{
    activation::FeatureMap,
    error::{Error, Result},
};

/// A place counts as found within this share of the grid's longer side: that of PCK@.1.
pub const WITHIN: f64 = PCK_SHARES[1];
/// Positions that are looked for, at most: every n-th row and column of a larger grid.
const MOST_QUERIES: usize = 256;

/// The share of the positions of `map` that are found again in `moved`, the map of the picture moved down and to the right by
/// `shift` cells (rows, columns). None where the movement leaves no position inside, or is no longer than [`WITHIN`]: then
/// vectors that say nothing but where they are would pass too.
///
/// # Errors
///
/// Where the maps differ in their number of channels or in their grid.
pub fn found_again(map: &FeatureMap, moved: &FeatureMap, shift: [usize; 2]) -> Result<Option<f64>> {
    let grid = map.grid();
    if moved.grid() != grid {
        return Err(Error::usage(format!(
            "a map is looked for in one of its own grid: there are {grid:?} and {:?}",
            moved.grid()
        )));
    }
    let [down, right] = shift;
    let reach = WITHIN * grid.height.max(grid.width) as f64;
    if down >= grid.height || right >= grid.width || (down as f64).hypot(right as f64) <= reach {
        return Ok(None);
    }
    let [rows, columns] = [grid.height - down, grid.width - right];
    let step = (1..).find(|step| rows.div_ceil(*step) * columns.div_ceil(*step) <= MOST_QUERIES);
    let step = step.unwrap_or(1);
    let queries: Vec<[usize; 2]> = (0..rows)
        .step_by(step)
        .flat_map(|row| (0..columns).step_by(step).map(move |column| [row, column]))
        .collect();
    let is_found = |&[row, column]: &[usize; 2]| -> Result<usize> {
        let scores = cosine_to_all(map.vector(grid.index(row, column)), moved)?;
        let Some(best) = arg_max(&scores) else { return Ok(0) };
        let (found_row, found_column) = grid.row_column(best.position);
        let away = [found_row.abs_diff(row + down), found_column.abs_diff(column + right)];
        Ok(usize::from((away[0] as f64).hypot(away[1] as f64) <= reach))
    };
    let found: usize = queries.par_iter().map(is_found).sum::<Result<usize>>()?;
    Ok(Some(found as f64 / queries.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Grid;

    const GRID: Grid = Grid::new(16, 16);

    /// A number from −1 to 1 that looks random.
    fn unit(number: usize) -> f32 {
        let mut bits = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits >> 40) as f32 / (1 << 23) as f32) - 1.0
    }

    fn map_of(value: impl Fn(usize, usize, usize) -> f32) -> Result<FeatureMap> {
        const CHANNELS: usize = 6;
        let vectors = (0..GRID.positions() * CHANNELS).map(|index| {
            let (row, column) = GRID.row_column(index / CHANNELS);
            value(row, column, index % CHANNELS)
        });
        FeatureMap::from_positions(CHANNELS, GRID, vectors.collect())
    }

    /// What a picture of random cells becomes when it is moved by two cells each way.
    fn contents(moved: usize, scale: f32) -> Result<FeatureMap> {
        map_of(|row, column, channel| {
            let [row, column] = [row, column].map(|at| at.saturating_sub(moved));
            scale * unit((row * GRID.width + column) * 8 + channel)
        })
    }

    #[test]
    fn contents_move_along_and_places_do_not() -> Result<()> {
        let share = found_again(&contents(0, 1.0)?, &contents(2, 1.0)?, [2, 2])?;
        assert_eq!(share, Some(1.0));
        let place = map_of(|row, column, channel| {
            let at = if channel % 2 == 0 { row } else { column };
            (at as f32 / 5.0 + channel as f32).sin()
        })?;
        assert_eq!(found_again(&place, &place, [2, 2])?, Some(0.0));
        let constant = map_of(|_, _, _| 1.0)?;
        let by_chance = found_again(&constant, &constant, [2, 2])?;
        assert!(by_chance.is_some_and(|share| share < 0.05), "{by_chance:?}");
        Ok(())
    }

    #[test]
    fn scale_changes_nothing_and_neither_does_the_number_of_threads() -> Result<()> {
        // Half of the cells are others.
        let noisy = map_of(|row, column, channel| {
            let cell = (row.saturating_sub(2) * GRID.width + column.saturating_sub(2)) * 8 + channel;
            if (row + column) % 2 == 0 {
                unit(cell)
            } else {
                unit(cell + 9999)
            }
        })?;
        let one = found_again(&contents(0, 1.0)?, &noisy, [2, 2])?;
        assert!(one.is_some_and(|share| (0.3..0.8).contains(&share)), "{one:?}");
        assert_eq!(found_again(&contents(0, 1e3)?, &noisy, [2, 2])?, one);
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let alone = alone.map_err(|error| Error::failed(error.to_string()))?;
        let map = contents(0, 1.0)?;
        assert_eq!(alone.install(|| found_again(&map, &noisy, [2, 2]))?, one);
        Ok(())
    }

    #[test]
    fn a_movement_that_says_nothing_is_no_figure() -> Result<()> {
        let map = contents(0, 1.0)?;
        for shift in [[0, 0], [1, 1], [16, 2], [2, 16]] {
            assert_eq!(found_again(&map, &map, shift)?, None, "{shift:?}");
        }
        let other = FeatureMap::from_positions(6, Grid::new(1, 2), vec![0.0; 12])?;
        assert!(found_again(&map, &other, [2, 2]).is_err());
        Ok(())
    }
}

//! Whether a map finds itself again: its positions are looked for by cosine in the map of the same picture moved, turned and
//! shrunk a little, which other colours and other noise may have been given. Where each lies there is known, so that the
//! share found is PCK@.1 of the picture against itself, without any mark. It asks for what correspondence needs: vectors
//! that neither noise, place nor light changes, and that differ between places.

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

/// How a picture is moved: turned and scaled about its middle, then shifted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Movement {
    /// What distances are multiplied by.
    pub scale: f64,
    /// Degrees, from the x axis to the y axis.
    pub degrees: f64,
    /// To the right and down, as shares of the longer side.
    pub shift: [f64; 2],
}

impl Movement {
    /// The movement of recommendations: about as much as objects differ between pictures, further than [`WITHIN`] for most
    /// places, and small enough that most of the picture stays inside.
    pub const SMALL: Self = Self {
        scale: 0.85,
        degrees: 15.0,
        shift: [0.1, 0.06],
    };

    /// Where a place lies afterwards, in an area of `sides` (width, height); in any unit.
    pub fn place(&self, [x, y]: [f64; 2], sides: [f64; 2]) -> [f64; 2] {
        let (sine, cosine) = self.degrees.to_radians().sin_cos();
        let longer = sides[0].max(sides[1]);
        let (x, y) = (self.scale * (x - sides[0] / 2.0), self.scale * (y - sides[1] / 2.0));
        [
            sides[0] / 2.0 + cosine * x - sine * y + longer * self.shift[0],
            sides[1] / 2.0 + sine * x + cosine * y + longer * self.shift[1],
        ]
    }

    /// The place that lies there afterwards.
    pub fn back(&self, [x, y]: [f64; 2], sides: [f64; 2]) -> [f64; 2] {
        let (sine, cosine) = self.degrees.to_radians().sin_cos();
        let longer = sides[0].max(sides[1]);
        let x = x - sides[0] / 2.0 - longer * self.shift[0];
        let y = y - sides[1] / 2.0 - longer * self.shift[1];
        [
            sides[0] / 2.0 + (cosine * x + sine * y) / self.scale,
            sides[1] / 2.0 + (cosine * y - sine * x) / self.scale,
        ]
    }
}

/// The share of the positions of `map` that are found again in `moved`, the map of the picture after `movement`; of those that
/// are still inside. None where there are none, and for a single position.
///
/// # Errors
///
/// Where the maps differ in their number of channels or in their grid.
pub fn found_again(map: &FeatureMap, moved: &FeatureMap, movement: Movement) -> Result<Option<f64>> {
    let grid = map.grid();
    if moved.grid() != grid {
        return Err(Error::usage(format!(
            "a map is looked for in one of its own grid: there are {grid:?} and {:?}",
            moved.grid()
        )));
    }
    if grid.positions() < 2 {
        return Ok(None);
    }
    let sides = [grid.width as f64, grid.height as f64];
    let reach = WITHIN * sides[0].max(sides[1]);
    let step = (1..).find(|step| grid.height.div_ceil(*step) * grid.width.div_ceil(*step) <= MOST_QUERIES);
    let step = step.unwrap_or(1);
    let middle = |cell: usize| cell as f64 + 0.5;
    let queries: Vec<(usize, [f64; 2])> = (0..grid.height)
        .step_by(step)
        .flat_map(|row| (0..grid.width).step_by(step).map(move |column| (row, column)))
        .map(|(row, column)| {
            let to = movement.place([middle(column), middle(row)], sides);
            (grid.index(row, column), to)
        })
        .filter(|(_, to)| to.iter().zip(sides).all(|(at, side)| (0.0..side).contains(at)))
        .collect();
    let is_found = |(position, [x, y]): &(usize, [f64; 2])| -> Result<usize> {
        let scores = cosine_to_all(map.vector(*position), moved)?;
        let Some(best) = arg_max(&scores) else { return Ok(0) };
        let (row, column) = grid.row_column(best.position);
        Ok(usize::from((middle(column) - x).hypot(middle(row) - y) <= reach))
    };
    let found: usize = queries.par_iter().map(is_found).sum::<Result<usize>>()?;
    Ok((!queries.is_empty()).then(|| found as f64 / queries.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Grid;

    const GRID: Grid = Grid::new(16, 16);
    /// Two cells down and to the right, nothing else.
    const SHIFT: Movement = Movement {
        scale: 1.0,
        degrees: 0.0,
        shift: [0.125, 0.125],
    };

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

    /// What a picture of random cells becomes when it is moved by some cells each way.
    fn contents(moved: usize, scale: f32) -> Result<FeatureMap> {
        map_of(|row, column, channel| {
            let from = row.checked_sub(moved).zip(column.checked_sub(moved));
            // What comes in is seen nowhere else.
            let (row, column) = from.unwrap_or((row + 100, column));
            scale * unit((row * GRID.width + column) * 8 + channel)
        })
    }

    #[test]
    fn places_go_there_and_back() {
        let sides = [40.0, 24.0];
        for at in [[0.0, 0.0], [20.0, 12.0], [33.3, 1.25]] {
            let back = Movement::SMALL.back(Movement::SMALL.place(at, sides), sides);
            assert!(
                back.iter().zip(at).all(|(a, b)| (a - b).abs() < 1e-9),
                "{at:?} {back:?}"
            );
        }
        assert_eq!(Movement::SMALL.place([20.0, 12.0], sides), [24.0, 14.4]);
    }

    #[test]
    fn contents_move_along_and_places_do_not() -> Result<()> {
        assert_eq!(found_again(&contents(0, 1.0)?, &contents(2, 1.0)?, SHIFT)?, Some(1.0));
        let place = map_of(|row, column, channel| {
            let at = if channel % 2 == 0 { row } else { column };
            (at as f32 / 5.0 + channel as f32).sin()
        })?;
        assert_eq!(found_again(&place, &place, SHIFT)?, Some(0.0));
        let mostly = found_again(&place, &place, Movement::SMALL)?;
        assert!(mostly.is_some_and(|share| share < 0.45), "{mostly:?}");
        let constant = map_of(|_, _, _| 1.0)?;
        let by_chance = found_again(&constant, &constant, SHIFT)?;
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
        let one = found_again(&contents(0, 1.0)?, &noisy, SHIFT)?;
        assert!(one.is_some_and(|share| (0.3..0.8).contains(&share)), "{one:?}");
        assert_eq!(found_again(&contents(0, 1e3)?, &noisy, SHIFT)?, one);
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let alone = alone.map_err(|error| Error::failed(error.to_string()))?;
        let map = contents(0, 1.0)?;
        assert_eq!(alone.install(|| found_again(&map, &noisy, SHIFT))?, one);
        Ok(())
    }

    #[test]
    fn what_cannot_be_looked_for_is_no_figure() -> Result<()> {
        let one = FeatureMap::from_positions(6, Grid::new(1, 1), vec![1.0; 6])?;
        assert_eq!(found_again(&one, &one, SHIFT)?, None);
        let away = Movement {
            shift: [2.0, 0.0],
            ..SHIFT
        };
        let map = contents(0, 1.0)?;
        assert_eq!(found_again(&map, &map, away)?, None);
        assert!(found_again(&map, &one, SHIFT).is_err());
        Ok(())
    }
}

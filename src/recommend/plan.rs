//! What is measured for a recommendation: at which timesteps, moved how far, and what it costs.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::{
    activation::{Catalogue, Kind, Selection, Shape},
    analysis::agreement::WITHIN,
    components::schedule::Timestep,
    error::{Error, Result},
    geometry::{Grid, Size},
    image::{
        picture::{CHANNELS, Picture},
        prepare::PreparedImage,
    },
    survey::{MEMORY_BOUND, check_memory},
};

/// A picture is moved by at least this share of its longer side: further than [`WITHIN`], so that vectors that only say where
/// they are do not pass, and yet most of the picture stays inside.
const LEAST_MOVEMENT: f64 = 0.125;
const _: () = assert!(LEAST_MOVEMENT > WITHIN);
/// It is moved by at most this share of its shorter side.
const MOST_MOVEMENT: f64 = 0.34;
/// How the other timesteps follow from the model's own.
const STEP_FACTORS: [f64; 3] = [0.5, 1.0, 2.0];
/// The other timesteps of a model whose own is 0.
const FROM_ZERO: [u32; 3] = [0, 50, 100];

/// What is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The timesteps; of an image encoder a single 0.
    pub steps: Vec<Timestep>,
    /// Noises that are compared; 1 where none is added.
    pub noises: usize,
    /// Pictures.
    pub pictures: usize,
    /// Pixels of the working picture by which the first is moved down and to the right; 0: no movement fits its grids.
    pub shift_px: usize,
    /// Whether it is an image encoder, without timestep and noise.
    pub is_encoder: bool,
    /// Whether only what the GDF filter keeps is compared.
    pub filtered: bool,
}

impl Plan {
    /// Rows of a pass: the noises of a picture and of the same moved.
    pub fn rows(&self) -> usize {
        2 * self.noises
    }

    /// Passes: one for each timestep and picture.
    pub fn passes(&self) -> usize {
        self.steps.len() * self.pictures
    }

    /// What it costs, told before it begins.
    pub fn cost_in_words(&self) -> String {
        let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        let mut words = String::new();
        if !self.is_encoder {
            let steps: Vec<String> = self.steps.iter().map(Timestep::to_string).collect();
            // Writing into a string cannot fail.
            let _ = write!(words, "t {} x ", steps.join(", "));
        }
        let _ = write!(words, "{} x 2 (itself, and moved)", count(self.pictures, "picture"));
        if self.noises > 1 {
            let _ = write!(words, " x {} noises", self.noises);
        }
        let evaluations = self.passes() * self.rows();
        format!("{words}: {} of the network", count(evaluations, "evaluation"))
    }
}

/// The timesteps where none are given: the model's own, half of it and twice of it, as far as they are in its schedule.
pub fn default_steps(own: Timestep, is_in_schedule: impl Fn(Timestep) -> bool) -> Vec<Timestep> {
    let mut steps: Vec<Timestep> = match own == 0 {
        true => FROM_ZERO.map(Timestep::of).to_vec(),
        false => STEP_FACTORS
            .map(|factor| Timestep::of((factor * own.value()).round() as u32))
            .to_vec(),
    };
    // A fraction of a timestep that is the model's own stays what it is.
    steps[usize::from(own != 0)] = own;
    steps.retain(|t| is_in_schedule(*t));
    steps.dedup();
    if steps.is_empty() {
        steps.push(own);
    }
    steps
}

/// The activations that are compared: all but attention maps and the network's own input and output, which are picture and
/// noise rather than features.
pub fn candidates(list: &Catalogue) -> Selection {
    let inside = Selection::listed(list, |entry| {
        !entry.id.is_map() && !matches!(entry.facts.kind, Kind::Input | Kind::Output)
    });
    match inside.is_empty() {
        true => Selection::features(list),
        false => inside,
    }
}

/// Pixels of a cell, down and across; none where a cell is no whole number of them.
pub(super) fn cell_px(working: Size, grid: Grid) -> Option<[usize; 2]> {
    let whole = |pixels: usize, cells: usize| (cells > 0 && pixels.is_multiple_of(cells)).then(|| pixels / cells);
    Some([whole(working.height, grid.height)?, whole(working.width, grid.width)?])
}

/// By how many pixels a working picture is moved: the least whole number of cells of the coarsest grids that is at least an
/// eighth of its longer side; grids for which that is too far are left out. 0 where there is none.
pub fn shift_of(list: &Catalogue, selection: &Selection, working: Size) -> usize {
    let least = (LEAST_MOVEMENT * working.width.max(working.height) as f64).ceil() as usize;
    let most = (MOST_MOVEMENT * working.short_side() as f64) as usize;
    let mut cells: Vec<usize> = selection
        .iter()
        .filter_map(|tap| list.entry(tap))
        .filter_map(|entry| match entry.shape {
            Shape::Features { grid, .. } => cell_px(working, grid),
            Shape::Attention { .. } => None,
        })
        .filter(|[down, across]| down == across)
        .map(|[down, _]| down)
        .collect();
    cells.sort_unstable();
    cells.dedup();
    let movement = |cell: &usize| least.next_multiple_of(*cell);
    cells
        .iter()
        .rev()
        .map(movement)
        .find(|shift| *shift <= most)
        .unwrap_or(0)
}

/// A working picture moved down and to the right; what comes in is its edge, repeated.
///
/// # Errors
///
/// Where the picture has no pixel.
pub fn moved(picture: &PreparedImage, shift_px: usize) -> Result<PreparedImage> {
    let (size, rgb) = (picture.picture.size(), picture.picture.rgb());
    let mut out = Vec::with_capacity(rgb.len());
    for row in 0..size.height {
        let from_row = row.saturating_sub(shift_px) * size.width;
        for column in 0..size.width {
            let from = CHANNELS * (from_row + column.saturating_sub(shift_px));
            out.extend_from_slice(&rgb[from..from + CHANNELS]);
        }
    }
    Ok(PreparedImage {
        picture: Picture::from_rgb(size, out)?,
        framing: picture.framing,
    })
}

/// Refuses what would hold more than [`MEMORY_BOUND`]: an activation of all rows while it is measured, and the vectors of
/// `pairs` points in every activation.
pub(crate) fn check_room(list: &Catalogue, selection: &Selection, rows: usize, pairs: usize) -> Result<()> {
    check_memory(list, selection, rows)?;
    let channels = selection
        .iter()
        .filter_map(|tap| list.entry(tap))
        .map(|entry| match entry.shape {
            Shape::Features { channels, .. } => channels,
            Shape::Attention { keys, .. } => keys,
        });
    let all = channels.fold(0, usize::saturating_add);
    let bytes = all.saturating_mul(pairs).saturating_mul(size_of::<f32>());
    if bytes > MEMORY_BOUND {
        return Err(Error::usage(format!(
            "{pairs} pairs of points take {} MiB in the {} activations compared, and {} MiB are held: give fewer pairs, or \
             name fewer activations",
            bytes >> 20,
            selection.len(),
            MEMORY_BOUND >> 20
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::framing::Framing;

    fn steps(own: Timestep, last: u32) -> Vec<f64> {
        let steps = default_steps(own, |t| t.value() <= f64::from(last));
        steps.into_iter().map(Timestep::value).collect()
    }

    #[test]
    fn the_other_timesteps_follow_from_the_models_own() {
        assert_eq!(steps(100.into(), 999), [50.0, 100.0, 200.0]);
        assert_eq!(steps(261.into(), 999), [131.0, 261.0, 522.0]);
        assert_eq!(steps(600.into(), 999), [300.0, 600.0]);
        assert_eq!(steps(Timestep::of_tenths(1955), 1000), [98.0, 195.5, 391.0]);
        assert_eq!(steps(0.into(), 999), [0.0, 50.0, 100.0]);
        assert_eq!(steps(1.into(), 1), [1.0]);
        assert_eq!(
            steps(7.into(), 3),
            [7.0],
            "where none is in the schedule, running says so"
        );
    }

    #[test]
    fn a_moved_picture_repeats_its_edge() -> Result<()> {
        let size = Size::new(3, 2);
        let rgb: Vec<u8> = (0..6).flat_map(|pixel| [pixel; CHANNELS]).collect();
        let picture = PreparedImage {
            picture: Picture::from_rgb(size, rgb)?,
            framing: Framing::whole(size, size),
        };
        let first =
            |picture: &PreparedImage| -> Vec<u8> { picture.picture.rgb().iter().step_by(CHANNELS).copied().collect() };
        assert_eq!(first(&moved(&picture, 0)?), [0, 1, 2, 3, 4, 5]);
        assert_eq!(first(&moved(&picture, 1)?), [0, 0, 1, 0, 0, 1]);
        Ok(())
    }

    #[test]
    fn the_cost_is_said_in_evaluations() {
        let plan = Plan {
            steps: vec![50.into(), 100.into()],
            noises: 2,
            pictures: 3,
            shift_px: 8,
            is_encoder: false,
            filtered: false,
        };
        assert_eq!(
            plan.cost_in_words(),
            "t 50, 100 x 3 pictures x 2 (itself, and moved) x 2 noises: 24 evaluations of the network"
        );
        let encoder = Plan {
            steps: vec![0.into()],
            noises: 1,
            pictures: 1,
            is_encoder: true,
            ..plan
        };
        assert_eq!(
            encoder.cost_in_words(),
            "1 picture x 2 (itself, and moved): 2 evaluations of the network"
        );
    }
}

//! What is measured for a recommendation: at which timesteps, moved how far, and what it costs.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::{
    activation::{Catalogue, Kind, Selection, Shape},
    analysis::agreement::Movement,
    components::schedule::Timestep,
    error::{Error, Result},
    image::{
        picture::{CHANNELS, Picture},
        prepare::PreparedImage,
    },
    survey::{MEMORY_BOUND, check_memory},
};

/// What the colours of the moved picture are multiplied by: light of another colour.
const GAINS: [f64; CHANNELS] = [0.85, 1.0, 0.9];
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

/// A working picture moved by [`Movement::SMALL`], under light of another colour. What comes in is its edge, repeated.
///
/// # Errors
///
/// Where the picture has no pixel.
pub fn moved(picture: &PreparedImage) -> Result<PreparedImage> {
    let (size, rgb) = (picture.picture.size(), picture.picture.rgb());
    let sides = [size.width as f64, size.height as f64];
    let mut out = Vec::with_capacity(rgb.len());
    let pixel =
        |column: usize, row: usize, colour: usize| f64::from(rgb[CHANNELS * (row * size.width + column) + colour]);
    for row in 0..size.height {
        for column in 0..size.width {
            let [x, y] = Movement::SMALL.back([column as f64 + 0.5, row as f64 + 0.5], sides);
            let ([left, right], along) = between(x - 0.5, size.width);
            let ([top, bottom], down) = between(y - 0.5, size.height);
            for (colour, gain) in GAINS.iter().enumerate() {
                let of_row = |row: usize| (1.0 - along) * pixel(left, row, colour) + along * pixel(right, row, colour);
                let mixed = (1.0 - down) * of_row(top) + down * of_row(bottom);
                out.push((gain * mixed).round().clamp(0.0, 255.0) as u8);
            }
        }
    }
    Ok(PreparedImage {
        picture: Picture::from_rgb(size, out)?,
        framing: picture.framing,
    })
}

/// The two pixels of a line that a place lies between, and how far it is on the way from the first to the second.
fn between(at: f64, pixels: usize) -> ([usize; 2], f64) {
    let last = pixels.saturating_sub(1);
    let at = at.clamp(0.0, last as f64);
    let first = at.floor() as usize;
    ([first, (first + 1).min(last)], at - first as f64)
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
    use crate::geometry::{Size, framing::Framing};

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
    fn a_moved_picture_has_its_places_where_the_movement_takes_them() -> Result<()> {
        // A bright disk on a dark ground.
        let (size, disk) = (Size::new(60, 40), [20.0, 14.0]);
        let is_inside =
            |column: usize, row: usize| (column as f64 + 0.5 - disk[0]).hypot(row as f64 + 0.5 - disk[1]) < 5.0;
        let rgb: Vec<u8> = (0..size.pixels())
            .flat_map(|pixel| {
                [if is_inside(pixel % size.width, pixel / size.width) {
                    200
                } else {
                    0
                }; CHANNELS]
            })
            .collect();
        let picture = PreparedImage {
            picture: Picture::from_rgb(size, rgb)?,
            framing: Framing::whole(size, size),
        };
        let moved = moved(&picture)?;
        // Green is not multiplied: the middle of what is bright.
        let green = moved
            .picture
            .rgb()
            .iter()
            .skip(1)
            .step_by(CHANNELS)
            .map(|level| f64::from(*level));
        let (mut sums, mut whole) = ([0.0; 2], 0.0);
        for (pixel, level) in green.enumerate() {
            sums[0] += level * ((pixel % size.width) as f64 + 0.5);
            sums[1] += level * ((pixel / size.width) as f64 + 0.5);
            whole += level;
        }
        let expected = Movement::SMALL.place(disk, [60.0, 40.0]);
        for (sum, expected) in sums.iter().zip(expected) {
            assert!((sum / whole - expected).abs() < 0.1, "{} {expected}", sum / whole);
        }
        assert_eq!(moved.picture.rgb().iter().max(), Some(&200));
        let red = moved.picture.rgb().iter().step_by(CHANNELS).max();
        assert_eq!(red, Some(&170));
        Ok(())
    }

    #[test]
    fn the_cost_is_said_in_evaluations() {
        let plan = Plan {
            steps: vec![50.into(), 100.into()],
            noises: 2,
            pictures: 3,
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

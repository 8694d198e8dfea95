//! The least and the greatest of everything that a person, a file or a pane may set.

use crate::components::schedule::Timestep;

/// The most pairs of a file that become pins: more cannot be told apart in a picture.
pub const MOST_PAIRS_AS_PINS: usize = 100;
/// The least and the greatest side of a thumbnail, in points.
pub const THUMBNAIL_RANGE: [f32; 2] = [40.0, 200.0];
/// The most timesteps or seeds of one strip or plot.
pub const MOST_FRAMES: usize = 64;
/// Positions that CKA is computed on at the start, and the choices: 16, 32 and 64 squared.
pub const ROW_CHOICES: [usize; 3] = [256, 1024, 4096];
/// The most components that are computed.
pub const MOST_COMPONENTS: usize = 16;
/// The most matches of a pin in a picture.
pub const MOST_TOLD: usize = 20;
/// The most noises averaged that the window offers.
pub const MAX_ENSEMBLE: usize = 64;
/// The longest short side that the window offers.
pub const MAX_SIDE: usize = 2048;
/// The least and the greatest size of the interface, as shares of the standard.
pub const INTERFACE_RANGE: [f32; 2] = [0.5, 4.0];
/// The least and the greatest zoom.
pub const ZOOM_RANGE: [f32; 2] = [0.5, 256.0];
/// The most tiles of a layout, and how deep they may lie in each other: more than anybody can look at.
pub const MOST_TILES: usize = 1000;
pub const DEEPEST: usize = 64;
/// The most pins, places of the regions drawn, and things put on the model: more than can be shown in a frame.
pub const MOST_PINS: usize = 1000;
pub const MOST_PLACES: usize = 100_000;
pub const MOST_ADAPTERS: usize = 100;
/// A coordinate that is greater than this lies in no picture.
pub const FURTHEST_PX: f64 = 1e6;

/// Decimals of a timestep that is set by hand, where the model takes fractions.
const T_DECIMALS: usize = 3;

/// How many decimals a timestep has that is set by hand, and what is made of a number that is dragged to.
pub fn t_decimals(takes_fractions: bool) -> usize {
    if takes_fractions { T_DECIMALS } else { 0 }
}

/// The timestep nearest to `number` of those that can be set by hand; none of a negative number.
pub fn t_set_by_hand(number: f64, takes_fractions: bool) -> Option<Timestep> {
    let scale = 10_f64.powi(t_decimals(takes_fractions) as i32);
    Timestep::new((number * scale).round() / scale).ok()
}

//! Which channels are massive: the rule, for maps that are kept and for tensors inside a pass.

/// A channel is massive if its mean magnitude is above this many medians of all channels.
pub const MASSIVE_RATIO: f64 = 100.0;

/// The mean magnitude of every channel in medians of all of them; 0 where the median is 0, when most channels are silent and none is
/// massive.
pub fn in_medians(magnitudes: &[f64]) -> Vec<f64> {
    let typical = median(magnitudes);
    let ratio = |magnitude: &f64| if typical > 0.0 { magnitude / typical } else { 0.0 };
    magnitudes.iter().map(ratio).collect()
}

/// The middle number, between the two middle ones where they are even; 0 of none.
fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len().is_multiple_of(2)) {
        (None, _) => 0.0,
        (Some(&upper), false) => upper,
        (Some(&upper), true) => f64::midpoint(sorted[middle - 1], upper),
    }
}

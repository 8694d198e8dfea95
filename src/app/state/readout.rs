//! Positions in words: pixels and cells of pictures as (x, y), the value there, and where the best matches are.

use super::{root::State, slots::PointAt};
use crate::{
    app::document::places::representative,
    engine::{ChannelQuery, ImageSlot, QueryAt},
};

/// The point under the pointer, else the selected one, and its best match in every other picture: `A pixel (202, 139)
/// cell (12, 8)  cos 1.0000 → B pixel (230, 101) cos 0.912`.
pub fn readout(state: &State) -> Option<String> {
    let query = state.query_at();
    let pinned = query.as_ref().and_then(|(slot, at)| {
        let (slot, at) = (*slot, representative(at)?);
        Some(PointAt { slot, at })
    });
    let point = state.hover.or(pinned)?;
    let mut words = point_text(state, point);
    // The matches are those of the point asked about, which another one under the pointer is not.
    if pinned == Some(point) && !state.heat_is_stale() {
        for (slot, (at, score)) in best_matches(state).filter(|(slot, _)| *slot != point.slot) {
            words += &format!(" → {} {} cos {score:.3}", slot.name(), pixel_text(at));
        }
    }
    Some(words)
}

/// The best match in each picture with a heat map: where it is, and how similar. Attention has none.
fn best_matches(state: &State) -> impl Iterator<Item = (ImageSlot, ([f64; 2], f32))> + '_ {
    let is_attention = state.current_heat().is_some_and(|heat| heat.attention);
    let shown = state.open_slots().filter(move |_| !is_attention);
    shown.filter_map(|slot| {
        let best = state.heat_on(slot)?.best.first()?;
        Some((slot, (best.at, best.score)))
    })
}

/// A pixel in words.
pub fn pixel_text(at: [f64; 2]) -> String {
    // Adding zero makes minus zero plain.
    let [x, y] = at.map(|x| x.round() + 0.0);
    format!("pixel ({x}, {y})")
}

/// A cell in words; it is given as (row, column), as arrays are indexed.
pub fn cell_text((row, column): (usize, usize)) -> String {
    format!("cell ({column}, {row})")
}

/// A position in words: picture, pixel and cell.
pub fn position_text(state: &State, point: PointAt) -> String {
    let pixel = format!("{} {}", point.slot.name(), pixel_text(point.at));
    match state.cell_at(point) {
        Some(cell) => format!("{pixel}  {}", cell_text(cell)),
        None => pixel,
    }
}

/// A place that similarities are shown to, in words.
pub fn place_text(at: &QueryAt) -> String {
    match at {
        QueryAt::Word(token) => format!("token {token}"),
        QueryAt::Point(at) => pixel_text(*at),
        QueryAt::Region { path, radius } => {
            let at = pixel_text(path.first().copied().unwrap_or_default());
            format!("region at {at}, radius {radius:.0}")
        }
    }
}

/// Pixel, cell, and the cosine with the query.
pub fn point_text(state: &State, point: PointAt) -> String {
    let mut text = position_text(state, point);
    let Some((row, column)) = state.cell_at(point) else {
        if state.shown_grid(point.slot).is_some() {
            text += "  outside of what the model sees";
        }
        return text;
    };
    if let Some(numbers) = state.not_finite(point.slot) {
        text += &format!("  not finite: {numbers}");
        return text;
    }
    let score = state
        .scores_of(point.slot)
        .filter(|_| !state.heat_is_stale())
        .and_then(|target| target.scores.get(target.grid.index(row, column)));
    if let Some(score) = score {
        let attention = state.current_heat().is_some_and(|heat| heat.attention);
        let head = state.head_text().filter(|_| attention);
        text += &match head {
            Some(head) => format!("  attention ({head}) {score:.4}"),
            None => format!("  {} {score:.4}", if attention { "attention" } else { "cos" }),
        };
    }
    let channel = state
        .answers
        .of::<ChannelQuery>()
        .filter(|channel| Some(channel.query.id) == state.layer())
        .and_then(|channel| {
            let (_, grid, values) = channel.maps.iter().find(|(slot, ..)| *slot == point.slot)?;
            let value = values.get(grid.index(row, column))?;
            Some((channel.query.channel, value))
        });
    if let Some((channel, value)) = channel {
        text += &format!("  channel {channel} {value:.4}");
    }
    text
}

/// The best matches of every heat map that is shown.
pub fn best_text(state: &State) -> String {
    let shown = state.open_slots().filter_map(|slot| state.heat_on(slot));
    let targets = shown.map(|target| {
        let best = target
            .best
            .iter()
            .map(|found| format!("{} {:.3}", cell_text(found.cell), found.score));
        format!(
            "best in {}: {}",
            target.slot.name(),
            best.collect::<Vec<_>>().join("  ")
        )
    });
    targets.collect::<Vec<_>>().join("   ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_first() {
        assert_eq!(cell_text((8, 12)), "cell (12, 8)");
        assert_eq!(pixel_text([202.4, -0.2]), "pixel (202, 0)");
        let region = QueryAt::Region {
            path: vec![[3.6, 4.0], [9.0, 9.0]],
            radius: 7.7,
        };
        assert_eq!(place_text(&region), "region at pixel (4, 4), radius 8");
        assert_eq!(place_text(&QueryAt::Word(3)), "token 3");
    }
}

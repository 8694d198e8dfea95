//! Matches of pins: the most similar positions of other pictures, and where these lead back to.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::heat::{Match, match_at};
use crate::{
    activation::Id,
    analysis::{
        correspondence::way_back,
        similarity::{Peak, cosine_to_all, mean_unit_vector, top_k},
    },
    engine::{
        cells::{QueryAt, cells_at, positions_of},
        ids::{ImageSlot, PassId},
        map_store::{MapStore, Unavailable},
        queries::{Answering, Lane, Memory, Query},
    },
    error::Result,
};

/// All pins, compared with all targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatchesQuery {
    /// The activation.
    pub id: Id,
    /// The pins.
    pub pins: Vec<PinQuery>,
    /// The passes they are compared with, with the slot each is shown in.
    pub targets: Vec<(ImageSlot, PassId)>,
    /// How many matches of each pin in each target.
    pub top_k: usize,
    /// Whether the massive channels of a pin's source are left out of source and targets.
    pub drop_massive: bool,
}

/// One pin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PinQuery {
    /// Chosen by the sender.
    pub pin: u32,
    /// The pass of its picture.
    pub source: PassId,
    /// Where it is.
    pub at: QueryAt,
    /// The target and the point of it that the pin should be found at, where that is known.
    #[serde(default)]
    pub mate: Option<(ImageSlot, [f64; 2])>,
}

/// Matches of all pins in all targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatchesView {
    /// What was asked.
    pub query: MatchesQuery,
    /// One per pin that lies where the model sees its picture.
    pub pins: Vec<PinMatches>,
}

/// Matches of one pin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PinMatches {
    /// The pin.
    pub pin: u32,
    /// (row, column) of its cells.
    pub cells: Vec<(usize, usize)>,
    /// In each target.
    pub targets: Vec<TargetMatches>,
    /// The similarity of the point it should be found at; none where that is not known or not seen by the model.
    #[serde(default)]
    pub mate_score: Option<f32>,
}

/// Matches of one pin in one target, best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetMatches {
    /// The target.
    pub slot: ImageSlot,
    /// Best first.
    pub best: Vec<RankedMatch>,
}

/// A match, and where one gets from it on the way back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RankedMatch {
    /// Where it is and how similar.
    pub found: Match,
    /// The position of the pin's picture that is most similar to it, in pixels of that picture.
    pub back: [f64; 2],
    /// Whether that is the pin's own cell, or one of its region.
    pub mutual: bool,
    /// Distance from there to the pin's nearest cell, in cells.
    pub cycle_cells: f32,
}

impl Query for MatchesQuery {
    type Answer = MatchesView;
    const LANE: Lane = Lane::Instant;

    /// Attention maps have no matches: their weights stay within one picture.
    fn answer(&self, work: &mut Answering<'_, MatchesView>) -> Result<(), Unavailable> {
        let mut pins = Vec::new();
        for pin in self.pins.iter().filter(|_| self.id.has_vectors()) {
            work.step()?;
            pins.extend(pin_matches(work.maps, work.memory, self, pin)?);
        }
        work.emit(MatchesView {
            query: self.clone(),
            pins,
        });
        Ok(())
    }
}

/// None where the model does not see the pin.
fn pin_matches(
    maps: &MapStore,
    memory: &mut Memory,
    query: &MatchesQuery,
    pin: &PinQuery,
) -> Result<Option<PinMatches>, Unavailable> {
    let masked = &mut memory.masks;
    let source = masked.map(maps, query.id, pin.source, pin.source, query.drop_massive)?;
    let framing = maps.info(pin.source, query.id)?.framing;
    let Some(cells) = cells_at(&pin.at, &framing, source.grid()) else {
        return Ok(None);
    };
    let positions = positions_of(&cells, source.grid());
    let vector = mean_unit_vector(&source, &positions)?;
    let mut targets = Vec::with_capacity(query.targets.len());
    let mut mate_score = None;
    for (slot, pass) in &query.targets {
        let target = masked.map(maps, query.id, *pass, pin.source, query.drop_massive)?;
        let target_framing = maps.info(*pass, query.id)?.framing;
        let ranked = |peak: Peak| -> Result<Option<RankedMatch>> {
            let back = way_back(target.vector(peak.position), &source, &positions)?;
            Ok(back.map(|back| RankedMatch {
                found: match_at(peak, target.grid(), &target_framing),
                back: framing.original_from_cell(source.grid().row_column(back.position), source.grid()),
                mutual: positions.contains(&back.position),
                cycle_cells: back.cycle_error,
            }))
        };
        let scores = cosine_to_all(&vector, &target)?;
        if let Some((_, at)) = pin.mate.filter(|(mate, _)| mate == slot) {
            let cell = target_framing.cell_from_original(at, target.grid());
            mate_score = cell.and_then(|(row, column)| scores.get(target.grid().index(row, column)).copied());
        }
        let peaks = top_k(&scores, query.top_k);
        let best = peaks
            .into_par_iter()
            .filter_map(|peak| ranked(peak).transpose())
            .collect::<Result<Vec<_>>>()?;
        targets.push(TargetMatches { slot: *slot, best });
    }
    Ok(Some(PinMatches {
        pin: pin.pin,
        cells,
        targets,
        mate_score,
    }))
}

//! Content shift: how far an activation has moved from what it says of the picture without noise.

use serde::{Deserialize, Serialize};

use crate::{
    activation::Id,
    analysis::shift::{Shift, ShiftRuler},
    engine::{
        ids::{ComparisonKind, PassId, TaskKind},
        map_store::{NotFiniteMap, Unavailable},
        queries::{Answering, Lane, Query},
    },
};

/// How far passes have moved from what an activation says without noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShiftQuery {
    /// The activation.
    pub id: Id,
    /// The pass without noise.
    pub reference: PassId,
    /// The pass whose score is 0.
    pub anchor: PassId,
    /// The passes that are measured.
    pub passes: Vec<PassId>,
}

/// Content shifts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShiftView {
    /// What was asked.
    pub query: ShiftQuery,
    /// diff(anchor): what scores are measured by.
    pub anchor_diff: f64,
    /// Channels of the reference that do not vary and are left out.
    pub left_out: usize,
    /// One for every pass; NaN where its map is not finite.
    pub shifts: Vec<Shift>,
    /// Maps that are not finite: they have no shift.
    pub not_finite: Vec<NotFiniteMap>,
}

impl Query for ShiftQuery {
    type Answer = ShiftView;
    const LANE: Lane = Lane::Long;
    const TASK: TaskKind = TaskKind::Comparison(ComparisonKind::Shift);

    fn answer(&self, work: &mut Answering<'_, ShiftView>) -> Result<(), Unavailable> {
        let maps = work.maps;
        let map = |pass| maps.map(pass, self.id);
        let ruler = ShiftRuler::new(&*map(self.reference)?, &*map(self.anchor)?)?;
        let (mut shifts, mut not_finite) = (Vec::with_capacity(self.passes.len()), Vec::new());
        for pass in &self.passes {
            work.step()?;
            shifts.push(match map(*pass) {
                Ok(map) => ruler.shift(&map)?,
                Err(Unavailable::NotFinite(found)) => {
                    not_finite.push(found);
                    Shift {
                        diff: f64::NAN,
                        score: f64::NAN,
                    }
                }
                Err(other) => return Err(other),
            });
        }
        work.emit(ShiftView {
            query: self.clone(),
            anchor_diff: ruler.anchor_diff(),
            left_out: ruler.left_out(),
            shifts,
            not_finite,
        });
        Ok(())
    }
}

//! CKA matrices: linear CKA of activations, timesteps or models with each other.

use std::{sync::Arc, time::Instant};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    activation::{FeatureMap, Id},
    analysis::{
        cka::{Form, GridRule},
        gram::{CentredGram, RowRule, common_grid},
    },
    engine::{
        ids::{ComparisonKind, PassId, TaskKind},
        map_store::{MapStore, NotFiniteMap, Unavailable},
        queries::{Answering, Lane, Query, Step},
    },
    error::{Error, Result},
    extract::ram,
    geometry::Grid,
};

/// Bytes that the Gram matrices of one CKA matrix may take.
const GRAM_BYTES: usize = 1 << 30;

/// One activation of some pictures' passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CkaItem {
    /// The activation.
    pub id: Id,
    /// A pass of every picture, in the same order in all items.
    pub passes: Vec<PassId>,
}

/// Linear CKA of activations with each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CkaQuery {
    /// Chosen by the sender; answers name it.
    pub number: u64,
    /// The rows of the matrix.
    pub rows: Vec<CkaItem>,
    /// Its columns; none: the rows again, and the matrix is symmetric.
    pub columns: Option<Vec<CkaItem>>,
    /// What the rows of the compared maps are.
    pub over: RowRule,
    /// How maps on other grids are brought to the common one.
    pub grids: GridRule,
    /// The estimator.
    pub form: Form,
    /// Most positions, of all pictures together, that are compared.
    pub most_rows: usize,
}

/// A row of a CKA matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CkaRow {
    /// The query's number.
    pub number: u64,
    /// Which row, counted from 0.
    pub row: usize,
    /// The values of its columns; of a symmetric matrix those up to the diagonal. None where CKA is not defined.
    pub values: Vec<Option<f64>>,
}

/// A CKA matrix is complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CkaDone {
    /// The query's number.
    pub number: u64,
    /// The common grid of each picture; empty where pictures are the rows.
    pub grids: Vec<Grid>,
    /// Rows that were compared: positions or pictures.
    pub rows: usize,
    /// Maps that are not finite: CKA with them is not defined.
    pub not_finite: Vec<NotFiniteMap>,
    /// Seconds it took.
    pub seconds: f64,
}

/// What comes of a CKA matrix, row by row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CkaAnswer {
    /// A row.
    Row(CkaRow),
    /// Every row has been emitted.
    Done(CkaDone),
}

impl Query for CkaQuery {
    type Answer = CkaAnswer;
    const LANE: Lane = Lane::Long;
    const TASK: TaskKind = TaskKind::Comparison(ComparisonKind::Cka);

    /// Emits every row of the matrix as soon as it is there.
    fn answer(&self, work: &mut Answering<'_, CkaAnswer>) -> Result<(), Unavailable> {
        let began = Instant::now();
        let rows = maps_of(work.maps, &self.rows)?;
        let columns = self
            .columns
            .as_ref()
            .map(|items| maps_of(work.maps, items))
            .transpose()?;
        let all = || rows.iter().chain(columns.iter().flatten());
        let items = || self.rows.iter().chain(self.columns.iter().flatten());
        let of_item = |(item, maps): (&CkaItem, &Vec<Arc<FeatureMap>>)| -> Vec<NotFiniteMap> {
            let of_passes = maps.iter().zip(&item.passes);
            of_passes
                .filter_map(|(map, pass)| NotFiniteMap::of(map, *pass, item.id))
                .collect()
        };
        let not_finite = items().zip(all()).flat_map(of_item).collect();
        let Some(pictures) = rows.first().map(Vec::len).filter(|count| *count > 0) else {
            return Err(Error::usage("CKA of no activation: choose some").into());
        };
        if all().any(|maps| maps.len() != pictures) {
            return Err(Error::usage("CKA compares the same pictures: some activations have other ones").into());
        }
        let grids: Vec<Grid> = match self.over {
            RowRule::Pictures => Vec::new(),
            RowRule::Positions => (0..pictures)
                .map(|picture| {
                    let grids: Vec<Grid> = all().map(|maps| maps[picture].grid()).collect();
                    common_grid(&grids, self.grids, self.most_rows / pictures)
                        .ok_or_else(|| Error::usage("CKA on no positions: allow at least one for each picture"))
                })
                .collect::<Result<_>>()?,
        };
        let compared = match self.over {
            RowRule::Pictures => pictures,
            RowRule::Positions => grids.iter().map(|grid| grid.positions()).sum(),
        };
        let kept = self.rows.len() + self.columns.as_ref().map_or(0, Vec::len);
        check_room(CentredGram::bytes_of(compared).saturating_mul(kept))?;
        let mut of = |maps: &Vec<Arc<FeatureMap>>| gram_of(maps, self.over, self.grids, &grids, work.step);
        let columns = columns
            .map(|columns| columns.iter().map(&mut of).collect::<Result<Vec<_>, Unavailable>>())
            .transpose()?;
        let mut before = Vec::with_capacity(rows.len());
        for (row, maps) in rows.iter().enumerate() {
            let gram = of(maps)?;
            let with = |others: &[Option<CentredGram>]| -> Vec<Option<f64>> {
                others.par_iter().map(|other| cell(&gram, other, self.form)).collect()
            };
            let values = match &columns {
                Some(columns) => with(columns),
                None => {
                    let mut values = with(&before);
                    values.push(cell(&gram, &gram, self.form));
                    before.push(gram);
                    values
                }
            };
            let number = self.number;
            let values = CkaRow { number, row, values };
            (work.emit)(CkaAnswer::Row(values));
        }
        (work.emit)(CkaAnswer::Done(CkaDone {
            number: self.number,
            grids,
            rows: compared,
            not_finite,
            seconds: began.elapsed().as_secs_f64(),
        }));
        Ok(())
    }
}

fn maps_of(store: &MapStore, items: &[CkaItem]) -> Result<Vec<Vec<Arc<FeatureMap>>>, Unavailable> {
    let of_item = |item: &CkaItem| {
        let passes = item.passes.iter();
        passes.map(|pass| store.any_map(*pass, item.id)).collect()
    };
    items.iter().map(of_item).collect()
}

/// The Gram matrix of an activation; none where all its rows are equal, or its numbers are not finite, so that nothing
/// compares with it.
pub fn gram_of<M: AsRef<FeatureMap>>(
    maps: &[M],
    over: RowRule,
    rule: GridRule,
    grids: &[Grid],
    step: &mut Step<'_>,
) -> Result<Option<CentredGram>, Unavailable> {
    step()?;
    let maps: Vec<&FeatureMap> = maps.iter().map(AsRef::as_ref).collect();
    if maps.iter().any(|map| map.not_finite().is_some()) {
        return Ok(None);
    }
    let gram = match over {
        RowRule::Pictures => CentredGram::of_pictures(&maps),
        RowRule::Positions => CentredGram::of_positions(&maps, grids, rule),
    };
    match gram {
        Ok(gram) => Ok(Some(gram)),
        // The request is wrong, not one activation.
        Err(error @ Error::Usage(_)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// CKA of two activations, where it is defined.
pub fn cell(a: &Option<CentredGram>, b: &Option<CentredGram>, form: Form) -> Option<f64> {
    a.as_ref()?.cka(b.as_ref()?, form).ok()
}

fn check_room(bytes: usize) -> Result<()> {
    const MIB: usize = 1 << 20;
    if bytes > GRAM_BYTES {
        return Err(Error::failed(format!(
            "this CKA matrix needs {} MiB, more than the {} MiB it may take: compare fewer activations, or fewer positions",
            bytes.div_ceil(MIB),
            GRAM_BYTES / MIB
        )));
    }
    ram::check(bytes, "a CKA matrix", "compare fewer activations, or fewer positions")
}

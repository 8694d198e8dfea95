//! The worker that compares many maps with each other: strips, CKA matrices, content shifts. That takes longer than
//! anybody wants to wait for colours or a heat map.

use std::{sync::Arc, time::Instant};

use rayon::prelude::*;

use super::{
    colourist::Colourist,
    comparison::{
        CkaDone, CkaItem, CkaQuery, CkaRow, Compared, Comparison, ShiftQuery, ShiftView, StripFrame, StripQuery,
        StripView,
    },
    desk::{Desk, Overtaken, Unseen},
    message::{Event, PassId, Slot},
    view::{BasisChoice, NotFiniteMap, PcaQuery, PcaSettings, ViewRequest},
};
use crate::{
    activation::FeatureMap,
    analysis::{
        cka::{Form, GridRule},
        gram::{CentredGram, RowRule, common_grid},
        shift::{Shift, ShiftRuler},
        similarity::mean_cosine_between,
    },
    error::{Error, Result},
    extract::{lru::LruCache, ram},
    geometry::Grid,
};

/// Bytes of finished strips remembered: going back to one answers at once.
const REMEMBERED_BYTES: usize = 32 << 20;
/// Bytes that the Gram matrices of one CKA matrix may take.
const GRAM_BYTES: usize = 1 << 30;

/// Compares many maps; see the [module's words](super).
pub struct Statistician {
    desk: Desk,
    colours: Colourist,
    /// Finished strips. They stay true when their maps are no longer kept.
    strips: LruCache<StripQuery, Arc<StripView>>,
}

impl Statistician {
    /// A statistician that has looked at nothing yet.
    pub(super) fn new(desk: Desk) -> Self {
        Self {
            colours: Colourist::new(desk.clone()),
            desk,
            strips: LruCache::new(REMEMBERED_BYTES),
        }
    }

    /// Tells the answer to a request.
    pub(super) fn answer(&mut self, request: &ViewRequest, overtaken: &mut Overtaken<'_>) -> Result<(), Unseen> {
        let ViewRequest::Compare(comparison) = request else {
            // The others'.
            return Ok(());
        };
        let told = match comparison {
            Comparison::Strip(query) => Compared::Strip(Box::new((*self.strip(query, overtaken)?).clone())),
            Comparison::Cka(query) => Compared::CkaDone(self.cka(query, overtaken)?),
            Comparison::Shift(query) => Compared::Shift(self.shift(query, overtaken)?),
        };
        self.desk.tell(Event::Compared(told));
        Ok(())
    }

    fn strip(&mut self, query: &StripQuery, overtaken: &mut Overtaken<'_>) -> Result<Arc<StripView>, Unseen> {
        if let Some(known) = self.strips.get(query) {
            return Ok(known);
        }
        let maps = query
            .passes
            .iter()
            .map(|pass| self.desk.any_map(*pass, query.id))
            .collect::<Result<Vec<_>, _>>()?;
        let not_finite: Vec<NotFiniteMap> = maps
            .iter()
            .zip(&query.passes)
            .filter_map(|(map, pass)| NotFiniteMap::of(map, *pass, query.id))
            .collect();
        let is_sound = |pass: &PassId| not_finite.iter().all(|found| found.pass != *pass);
        let sound: Vec<PassId> = query.passes.iter().copied().filter(is_sound).collect();
        if let (true, Some(found)) = (sound.is_empty(), not_finite.first()) {
            return Err(Unseen::NotFinite(*found));
        }
        let colours = PcaQuery {
            id: query.id,
            passes: sound.iter().map(|pass| (Slot::A, *pass)).collect(),
            settings: PcaSettings {
                basis: BasisChoice::Together,
                ..query.settings.clone()
            },
        };
        let views = self.colours.views(&colours, overtaken, &mut |_| ())?;
        let Some(first) = views.first() else {
            return Err(Error::failed("a strip without frames").into());
        };
        let grids: Vec<Grid> = maps.iter().map(|map| map.grid()).collect();
        let grid = common_grid(&grids, GridRule::EnlargeNearest, query.most_rows)
            .ok_or_else(|| Error::usage("CKA on no positions: allow at least one"))?;
        let grams = maps
            .iter()
            .map(|map| gram_of(&[map], RowRule::Positions, GridRule::EnlargeNearest, &[grid], overtaken))
            .collect::<Result<Vec<_>, _>>()?;
        let count = maps.len();
        let pairs = || (0..count).flat_map(|row| (0..count).map(move |column| (row, column)));
        let cosine = |(row, column): (usize, usize)| match maps[row].not_finite().or(maps[column].not_finite()) {
            Some(_) => Ok(f64::NAN),
            None => mean_cosine_between(&maps[row], &maps[column]),
        };
        let frame = |(pass, grid): (&PassId, &Grid)| {
            let colours = views.iter().find(|view| view.pass == *pass);
            StripFrame {
                grid: *grid,
                rgb: colours.map_or_else(|| vec![0; 3 * grid.positions()], |view| view.rgb.clone()),
            }
        };
        let view = Arc::new(StripView {
            query: query.clone(),
            frames: query.passes.iter().zip(&grids).map(frame).collect(),
            explained: first.explained.clone(),
            fitted_on: first.fitted_on,
            cosine: pairs().map(cosine).collect::<Result<_>>()?,
            cka: pairs()
                .map(|(row, column)| cell(&grams[row], &grams[column], query.form))
                .collect(),
            cka_grid: grid,
            not_finite,
        });
        let bytes = view.frames.iter().map(|frame| frame.rgb.len()).sum();
        self.strips.put(query.clone(), Arc::clone(&view), bytes);
        Ok(view)
    }

    /// Tells every row of a CKA matrix as soon as it is there.
    fn cka(&self, query: &CkaQuery, overtaken: &mut Overtaken<'_>) -> Result<CkaDone, Unseen> {
        let began = Instant::now();
        let rows = self.maps_of(&query.rows)?;
        let columns = query.columns.as_ref().map(|items| self.maps_of(items)).transpose()?;
        let all = || rows.iter().chain(columns.iter().flatten());
        let items = || query.rows.iter().chain(query.columns.iter().flatten());
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
        let grids: Vec<Grid> = match query.over {
            RowRule::Pictures => Vec::new(),
            RowRule::Positions => (0..pictures)
                .map(|picture| {
                    let grids: Vec<Grid> = all().map(|maps| maps[picture].grid()).collect();
                    common_grid(&grids, query.grids, query.most_rows / pictures)
                        .ok_or_else(|| Error::usage("CKA on no positions: allow at least one for each picture"))
                })
                .collect::<Result<_>>()?,
        };
        let compared = match query.over {
            RowRule::Pictures => pictures,
            RowRule::Positions => grids.iter().map(|grid| grid.positions()).sum(),
        };
        let kept = query.rows.len() + query.columns.as_ref().map_or(0, Vec::len);
        check_room(CentredGram::bytes_of(compared).saturating_mul(kept))?;
        let mut of = |maps: &Vec<Arc<FeatureMap>>| gram_of(maps, query.over, query.grids, &grids, overtaken);
        let columns = columns
            .map(|columns| columns.iter().map(&mut of).collect::<Result<Vec<_>, Unseen>>())
            .transpose()?;
        let mut before = Vec::with_capacity(rows.len());
        for (row, maps) in rows.iter().enumerate() {
            let gram = of(maps)?;
            let with = |others: &[Option<CentredGram>]| -> Vec<Option<f64>> {
                others.par_iter().map(|other| cell(&gram, other, query.form)).collect()
            };
            let values = match &columns {
                Some(columns) => with(columns),
                None => {
                    let mut values = with(&before);
                    values.push(cell(&gram, &gram, query.form));
                    before.push(gram);
                    values
                }
            };
            let number = query.number;
            let told = CkaRow { number, row, values };
            self.desk.tell(Event::Compared(Compared::CkaRow(told)));
        }
        Ok(CkaDone {
            number: query.number,
            grids,
            rows: compared,
            not_finite,
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    fn maps_of(&self, items: &[CkaItem]) -> Result<Vec<Vec<Arc<FeatureMap>>>, Unseen> {
        let of_item = |item: &CkaItem| {
            let passes = item.passes.iter();
            passes.map(|pass| self.desk.any_map(*pass, item.id)).collect()
        };
        items.iter().map(of_item).collect()
    }

    fn shift(&self, query: &ShiftQuery, overtaken: &mut Overtaken<'_>) -> Result<ShiftView, Unseen> {
        let map = |pass| self.desk.map(pass, query.id);
        let ruler = ShiftRuler::new(&*map(query.reference)?, &*map(query.anchor)?)?;
        let (mut shifts, mut not_finite) = (Vec::with_capacity(query.passes.len()), Vec::new());
        for pass in &query.passes {
            if overtaken() {
                return Err(Unseen::Overtaken);
            }
            shifts.push(match map(*pass) {
                Ok(map) => ruler.shift(&map)?,
                Err(Unseen::NotFinite(found)) => {
                    not_finite.push(found);
                    Shift {
                        diff: f64::NAN,
                        score: f64::NAN,
                    }
                }
                Err(other) => return Err(other),
            });
        }
        Ok(ShiftView {
            query: query.clone(),
            anchor_diff: ruler.anchor_diff(),
            left_out: ruler.left_out(),
            shifts,
            not_finite,
        })
    }
}

/// The Gram matrix of an activation; none where all its rows are equal, or its numbers are not finite, so that nothing
/// compares with it.
fn gram_of<M: AsRef<FeatureMap>>(
    maps: &[M],
    over: RowRule,
    rule: GridRule,
    grids: &[Grid],
    overtaken: &mut Overtaken<'_>,
) -> Result<Option<CentredGram>, Unseen> {
    if overtaken() {
        return Err(Unseen::Overtaken);
    }
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
fn cell(a: &Option<CentredGram>, b: &Option<CentredGram>, form: Form) -> Option<f64> {
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

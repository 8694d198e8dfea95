//! Film strips: one activation of several passes in the colours of one basis, and how alike the passes are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    cka::{cell, gram_of},
    pca::{PcaQuery, pca_views},
};
use crate::{
    activation::Id,
    analysis::{
        cka::{Form, GridRule},
        gram::{RowRule, common_grid},
        similarity::mean_cosine_between,
    },
    engine::{
        basis::{BasisChoice, PcaSettings},
        ids::{ComparisonKind, ImageSlot, PassId, TaskKind},
        map_store::{MapStore, NotFiniteMap, Unavailable},
        queries::{Answering, Lane, Memory, Query, Step},
    },
    error::{Error, Result},
    extract::lru::LruCache,
    geometry::Grid,
};

/// Bytes of finished strips remembered: going back to one answers at once.
const REMEMBERED_BYTES: usize = 32 << 20;

/// One activation of several passes of a picture, in the colours of one basis, and how alike they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StripQuery {
    /// The activation.
    pub id: Id,
    /// The passes, in the order of the strip.
    pub passes: Vec<PassId>,
    /// How the colours come about; the basis is fitted on all of them whatever is chosen here.
    pub settings: PcaSettings,
    /// The estimator of CKA.
    pub form: Form,
    /// Most positions that CKA is computed on.
    pub most_rows: usize,
}

/// A frame of a strip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StripFrame {
    /// Rows and columns.
    pub grid: Grid,
    /// (rows, columns, 3), row-major; black where the map is not finite.
    pub rgb: Vec<u8>,
}

/// A strip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StripView {
    /// What was asked.
    pub query: StripQuery,
    /// A picture for every pass.
    pub frames: Vec<StripFrame>,
    /// Explained-variance ratio of every component of the common basis.
    pub explained: Vec<f64>,
    /// Positions the basis was fitted on.
    pub fitted_on: usize,
    /// Mean over positions of the cosine of two frames' vectors, (n, n) row-major; NaN where one of them is not finite.
    pub cosine: Vec<f64>,
    /// Linear CKA of two frames, (n, n) row-major; none where it is not defined.
    pub cka: Vec<Option<f64>>,
    /// The grid that CKA was computed on.
    pub cka_grid: Grid,
    /// Frames that are not finite: they have neither colours nor figures.
    pub not_finite: Vec<NotFiniteMap>,
}

impl Query for StripQuery {
    type Answer = StripView;
    const LANE: Lane = Lane::Long;
    const TASK: TaskKind = TaskKind::Comparison(ComparisonKind::Strip);

    fn answer(&self, work: &mut Answering<'_, StripView>) -> Result<(), Unavailable> {
        let view = strip(work.maps, work.memory, work.step, self)?;
        work.emit((*view).clone());
        Ok(())
    }
}

/// Finished strips. They stay true when their maps are no longer kept.
pub struct Strips(LruCache<StripQuery, Arc<StripView>>);

impl Default for Strips {
    fn default() -> Self {
        Self(LruCache::new(REMEMBERED_BYTES))
    }
}

fn strip(
    maps: &MapStore,
    memory: &mut Memory,
    step: &mut Step<'_>,
    query: &StripQuery,
) -> Result<Arc<StripView>, Unavailable> {
    if let Some(known) = memory.strips.0.get(query) {
        return Ok(known);
    }
    let shown = query
        .passes
        .iter()
        .map(|pass| maps.any_map(*pass, query.id))
        .collect::<Result<Vec<_>, _>>()?;
    let not_finite: Vec<NotFiniteMap> = shown
        .iter()
        .zip(&query.passes)
        .filter_map(|(map, pass)| NotFiniteMap::of(map, *pass, query.id))
        .collect();
    let is_sound = |pass: &PassId| not_finite.iter().all(|found| found.pass != *pass);
    let sound: Vec<PassId> = query.passes.iter().copied().filter(is_sound).collect();
    if let (true, Some(found)) = (sound.is_empty(), not_finite.first()) {
        return Err(Unavailable::NotFinite(*found));
    }
    let colours = PcaQuery {
        id: query.id,
        passes: sound.iter().map(|pass| (ImageSlot::A, *pass)).collect(),
        settings: PcaSettings {
            basis: BasisChoice::Together,
            ..query.settings.clone()
        },
    };
    let views = pca_views(maps, memory, &colours, step, &mut |_| ())?;
    let Some(first) = views.first() else {
        return Err(Error::failed("a strip without frames").into());
    };
    let grids: Vec<Grid> = shown.iter().map(|map| map.grid()).collect();
    let grid = common_grid(&grids, GridRule::EnlargeNearest, query.most_rows)
        .ok_or_else(|| Error::usage("CKA on no positions: allow at least one"))?;
    let grams = shown
        .iter()
        .map(|map| gram_of(&[map], RowRule::Positions, GridRule::EnlargeNearest, &[grid], step))
        .collect::<Result<Vec<_>, _>>()?;
    let count = shown.len();
    let cosine = |row: usize, column: usize| match shown[row].not_finite().or(shown[column].not_finite()) {
        Some(_) => Ok(f64::NAN),
        None => mean_cosine_between(&shown[row], &shown[column]),
    };
    let cka = |row: usize, column: usize| Ok(cell(&grams[row], &grams[column], query.form));
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
        cosine: symmetric(count, f64::NAN, step, cosine)?,
        cka: symmetric(count, None, step, cka)?,
        cka_grid: grid,
        not_finite,
    });
    let bytes = view.frames.iter().map(|frame| frame.rgb.len()).sum();
    memory.strips.0.put(query.clone(), Arc::clone(&view), bytes);
    Ok(view)
}

/// A symmetric matrix (n, n), row-major: each pair is computed once. It begins with `empty`.
fn symmetric<T: Copy>(
    count: usize,
    empty: T,
    step: &mut Step<'_>,
    of_pair: impl Fn(usize, usize) -> Result<T>,
) -> Result<Vec<T>, Unavailable> {
    let mut matrix = vec![empty; count * count];
    for row in 0..count {
        for column in row..count {
            step()?;
            let value = of_pair(row, column)?;
            matrix[row * count + column] = value;
            matrix[column * count + row] = value;
        }
    }
    Ok(matrix)
}

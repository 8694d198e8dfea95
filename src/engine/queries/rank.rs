//! Rankings: how well every kept activation finds marked points again. All layers take longer than anybody wants to wait
//! for colours or a heat map.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{
    activation::Id,
    analysis::{
        pairs::PointPair,
        rank::{RankOptions, RankRow, Ranking},
    },
    components::schedule::Timestep,
    engine::{
        ids::{ImageSlot, PassId},
        map_store::{MapStore, NotFiniteMap, Unavailable},
        queries::{Answering, Lane, Query},
    },
    error::{Error, Result},
};

/// How long the table grows before it is emitted again.
const EMIT_EVERY: Duration = Duration::from_millis(150);

/// Pairs of points of two pictures, to be found again in every kept activation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankQuery {
    /// The pictures of the pairs, source and target.
    pub slots: [ImageSlot; 2],
    /// The passes of both, a timestep each.
    pub passes: Vec<RankPasses>,
    /// The pairs, in pixels of the originals.
    pub pairs: Vec<PointPair>,
    /// How points are found.
    pub options: RankOptions,
}

/// One timestep of a ranking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankPasses {
    /// The timestep that ran.
    pub t: Timestep,
    /// The pass of the source picture.
    pub source: PassId,
    /// The pass of the target picture.
    pub target: PassId,
    /// The activations that are kept of both, in the order of execution.
    pub ids: Vec<Id>,
}

/// The rows of a ranking so far; emitted again as it grows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankView {
    /// What was asked.
    pub query: RankQuery,
    /// A row per activation and timestep, in the order of the query.
    pub rows: Vec<RankRow>,
    /// Activations that are done with, scored or not.
    pub done: usize,
    /// Activations of the query.
    pub total: usize,
    /// Pairs that count, and pairs that the model does not see.
    pub pairs: [usize; 2],
    /// Longer side of the original target picture: what PCK's shares are of.
    pub longer_side_px: usize,
    /// Passes that are no longer kept.
    pub gone: Vec<PassId>,
    /// Activations that have no score, as they are not finite in one of the pictures.
    pub not_finite: Vec<NotFiniteMap>,
    /// Why there is nothing more, where something was wrong.
    pub problem: Option<String>,
}

impl Query for RankQuery {
    type Answer = RankView;
    const LANE: Lane = Lane::Ranking;

    fn answer(&self, work: &mut Answering<'_, RankView>) -> Result<(), Unavailable> {
        let mut view = RankView {
            query: self.clone(),
            rows: Vec::new(),
            done: 0,
            total: self.passes.iter().map(|passes| passes.ids.len()).sum(),
            pairs: [0; 2],
            longer_side_px: 0,
            gone: Vec::new(),
            not_finite: Vec::new(),
            problem: None,
        };
        let mut emitted = Instant::now();
        for passes in &self.passes {
            let mut ranking = match ranking(work.maps, self, passes) {
                Ok(ranking) => ranking,
                Err(Unavailable::Missing(_, pass)) => {
                    view.gone.push(pass);
                    view.done += passes.ids.len();
                    continue;
                }
                // What is wrong with the points is shown where they are ranked.
                Err(Unavailable::Failed(error)) => {
                    view.problem = Some(error.to_string());
                    break;
                }
                Err(other) => return Err(other),
            };
            view.pairs = [ranking.pairs(), ranking.unseen()];
            view.longer_side_px = ranking.longer_side();
            for &id in &passes.ids {
                work.step()?;
                view.done += 1;
                match row(work.maps, &mut ranking, passes, id) {
                    Ok(row) => view.rows.push(row),
                    // Room was made for others while this was computed.
                    Err(Unavailable::Missing(..)) => {}
                    // Of the others there is a score.
                    Err(Unavailable::NotFinite(found)) => view.not_finite.push(found),
                    Err(Unavailable::Failed(error)) => view.problem = Some(error.context(id).to_string()),
                    Err(Unavailable::Superseded) => return Err(Unavailable::Superseded),
                }
                if emitted.elapsed() >= EMIT_EVERY {
                    emitted = Instant::now();
                    work.emit(view.clone());
                }
            }
        }
        view.done = view.total;
        work.emit(view);
        Ok(())
    }
}

fn ranking(maps: &MapStore, query: &RankQuery, passes: &RankPasses) -> Result<Ranking, Unavailable> {
    let Some(&id) = passes.ids.first() else {
        return Err(Error::usage("no activation of both pictures is kept: run the model").into());
    };
    let framings = [
        maps.info(passes.source, id)?.framing,
        maps.info(passes.target, id)?.framing,
    ];
    Ok(Ranking::new(&query.pairs, framings, query.options)?)
}

fn row(maps: &MapStore, ranking: &mut Ranking, passes: &RankPasses, id: Id) -> Result<RankRow, Unavailable> {
    let (source, target) = (maps.map(passes.source, id)?, maps.map(passes.target, id)?);
    let score = ranking.score(&source, &target)?;
    Ok(RankRow { t: passes.t, id, score })
}

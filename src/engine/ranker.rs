//! The worker that scores every kept activation by marked points: all layers take longer than anybody wants to wait for
//! colours or a heat map.

use std::time::{Duration, Instant};

use super::{
    desk::{Desk, Overtaken, Unseen},
    message::Event,
    view::{RankPasses, RankQuery, RankView, ViewRequest},
};
use crate::{
    activation::Id,
    analysis::rank::{RankRow, Ranking},
    error::{Error, Result},
};

/// How long the table grows before the window is told again.
const TOLD_EVERY: Duration = Duration::from_millis(150);

/// Ranks activations; see the [module's words](super).
pub struct Ranker {
    desk: Desk,
}

impl Ranker {
    /// A ranker that has looked at nothing yet.
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk }
    }

    /// Tells the answer to a request, and what there is of it on the way.
    pub(super) fn answer(&self, request: &ViewRequest, overtaken: &mut Overtaken<'_>) -> Result<(), Unseen> {
        // Others have workers of their own.
        let ViewRequest::Rank(query) = request else {
            return Ok(());
        };
        let mut view = RankView {
            query: query.clone(),
            rows: Vec::new(),
            done: 0,
            total: query.passes.iter().map(|passes| passes.ids.len()).sum(),
            pairs: [0; 2],
            longer_side_px: 0,
            gone: Vec::new(),
            not_finite: Vec::new(),
            problem: None,
        };
        let mut told = Instant::now();
        for passes in &query.passes {
            let mut ranking = match self.ranking(query, passes) {
                Ok(ranking) => ranking,
                Err(Unseen::Missing(_, pass)) => {
                    view.gone.push(pass);
                    view.done += passes.ids.len();
                    continue;
                }
                // What is wrong with the points is told where they are ranked.
                Err(Unseen::Failed(error)) => {
                    view.problem = Some(error.to_string());
                    break;
                }
                Err(other) => return Err(other),
            };
            view.pairs = [ranking.pairs(), ranking.unseen()];
            view.longer_side_px = ranking.longer_side();
            for &id in &passes.ids {
                if overtaken() {
                    return Err(Unseen::Overtaken);
                }
                view.done += 1;
                match self.row(&mut ranking, passes, id) {
                    Ok(row) => view.rows.push(row),
                    // Room was made for others while this was computed.
                    Err(Unseen::Missing(..)) => {}
                    // Of the others there is a score.
                    Err(Unseen::NotFinite(found)) => view.not_finite.push(found),
                    Err(Unseen::Failed(error)) => view.problem = Some(error.context(id).to_string()),
                    Err(Unseen::Overtaken) => return Err(Unseen::Overtaken),
                }
                if told.elapsed() >= TOLD_EVERY {
                    told = Instant::now();
                    self.desk.tell(Event::Rank(Box::new(view.clone())));
                }
            }
        }
        view.done = view.total;
        self.desk.tell(Event::Rank(Box::new(view)));
        Ok(())
    }

    fn ranking(&self, query: &RankQuery, passes: &RankPasses) -> Result<Ranking, Unseen> {
        let Some(&id) = passes.ids.first() else {
            return Err(Error::usage("no activation of both pictures is kept: run the model").into());
        };
        let framings = [
            self.desk.info(passes.source, id)?.framing,
            self.desk.info(passes.target, id)?.framing,
        ];
        Ok(Ranking::new(&query.pairs, framings, query.options)?)
    }

    fn row(&self, ranking: &mut Ranking, passes: &RankPasses, id: Id) -> Result<RankRow, Unseen> {
        let (source, target) = (self.desk.map(passes.source, id)?, self.desk.map(passes.target, id)?);
        let score = ranking.score(&source, &target)?;
        Ok(RankRow { t: passes.t, id, score })
    }
}

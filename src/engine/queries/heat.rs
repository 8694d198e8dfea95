//! Heat maps: how similar every position is to a point or a region, or how much it attends to it.

use serde::{Deserialize, Serialize};

use crate::{
    activation::{FeatureMap, Id},
    analysis::{
        attention::{head_rows, mean_over_heads},
        similarity::{Peak, cosine_to_all, mean_unit_vector, top_k},
    },
    engine::{
        cells::{QueryAt, cells_at, positions_of, unseen},
        ids::{ImageSlot, PassId},
        map_store::{MapStore, Unavailable, no_head},
        queries::{Answering, Lane, Memory, Query},
    },
    error::{Error, Result},
    geometry::{Grid, framing::Framing},
};

/// Best matches in each target of a heat map.
const BEST_MATCHES: usize = 5;

/// A point or region of one picture, compared with other pictures or with its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeatQuery {
    /// The activation.
    pub id: Id,
    /// The pass of the picture the point is in.
    pub source: PassId,
    /// What is compared.
    pub at: QueryAt,
    /// The passes it is compared with, with the slot each is shown in.
    pub targets: Vec<(ImageSlot, PassId)>,
    /// Whether the massive channels of the source (see `analysis::massive`) are left out of source and targets.
    pub drop_massive: bool,
    /// Of an attention map the head, counted from 0; none: the mean over heads.
    #[serde(default)]
    pub head: Option<usize>,
}

/// What is similar to a point or a region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeatView {
    /// What was asked.
    pub query: HeatQuery,
    /// (row, column) of the cells that were compared: one under a point, all of a region.
    pub cells: Vec<(usize, usize)>,
    /// One heat map per target.
    pub targets: Vec<TargetHeat>,
    /// Whether the scores are attention weights (of the query's head, or the mean over heads) and not cosines.
    pub attention: bool,
    /// Of attention weights those of every head over the positions of the first target, for choosing one.
    pub heads: Vec<Vec<f32>>,
    /// Of an attention map to text, the weight of every token at the cells compared (their mean).
    pub words: Vec<f32>,
}

/// Similarities of one picture's positions to a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetHeat {
    /// Where it is shown.
    pub slot: ImageSlot,
    /// Rows and columns.
    pub grid: Grid,
    /// Row-major.
    pub scores: Vec<f32>,
    /// The most similar positions, best first.
    pub best: Vec<Match>,
}

/// A position of a picture and how similar it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// (row, column).
    pub cell: (usize, usize),
    /// The cell's centre in pixels of the picture.
    pub at: [f64; 2],
    /// Cosine, or attention weight.
    pub score: f32,
}

impl Query for HeatQuery {
    type Answer = HeatView;
    const LANE: Lane = Lane::Instant;
    const GOES_FIRST: bool = true;

    fn answer(&self, work: &mut Answering<'_, HeatView>) -> Result<(), Unavailable> {
        let view = heat(work.maps, work.memory, self)?;
        work.emit(view);
        Ok(())
    }
}

/// Similarities of the targets' positions to the cells of the query.
pub fn heat(maps: &MapStore, memory: &mut Memory, query: &HeatQuery) -> Result<HeatView, Unavailable> {
    if let (QueryAt::Word(token), true) = (&query.at, query.id.is_cross_map()) {
        return token_map(maps, query, *token);
    }
    if !query.id.has_vectors() {
        return attention_rows(maps, query);
    }
    // By one head, places are compared by the words they attend to. Massive channels stay, as in all attention.
    let head = query.head.filter(|_| query.id.is_cross_map());
    let masked = &mut memory.masks;
    let mut compared = |pass| match head {
        Some(head) => maps.head(pass, query.id, head),
        None => masked.map(maps, query.id, pass, query.source, query.drop_massive),
    };
    let source = compared(query.source)?;
    let framing = maps.info(query.source, query.id)?.framing;
    let cells = cells_at(&query.at, &framing, source.grid()).ok_or_else(|| unseen(&query.at))?;
    let vector = mean_unit_vector(&source, &positions_of(&cells, source.grid()))?;
    let mut targets = Vec::with_capacity(query.targets.len());
    for (slot, pass) in &query.targets {
        let map = compared(*pass)?;
        let framing = maps.info(*pass, query.id)?.framing;
        targets.push(target_heat(*slot, map.grid(), &framing, cosine_to_all(&vector, &map)?));
    }
    let words = match (query.id.is_cross_map(), head) {
        (true, Some(_)) => mean_vector(&source, &cells),
        (true, None) => mean_vector(&*maps.map(query.source, query.id)?, &cells),
        (false, _) => Vec::new(),
    };
    Ok(HeatView {
        query: query.clone(),
        cells,
        targets,
        attention: false,
        heads: Vec::new(),
        words,
    })
}

/// The attention to a token of the prompt: its weight at every position.
fn token_map(maps: &MapStore, query: &HeatQuery, token: usize) -> Result<HeatView, Unavailable> {
    let mut targets = Vec::with_capacity(query.targets.len());
    for (slot, pass) in &query.targets {
        let map = match query.head {
            Some(head) => maps.head(*pass, query.id, head)?,
            None => maps.map(*pass, query.id)?,
        };
        let framing = maps.info(*pass, query.id)?.framing;
        let weights = map.channel(token).ok_or_else(|| {
            Error::usage(format!(
                "the prompt has {} tokens, number {token} (from 0) was asked for",
                map.channels()
            ))
        })?;
        targets.push(target_heat(*slot, map.grid(), &framing, weights));
    }
    let mut heads = Vec::new();
    if let Some((_, first)) = query.targets.first()
        && let Some((all, tokens)) = maps.heads(*first, query.id)?
    {
        heads.extend(
            (token..all.channels())
                .step_by(tokens.max(1))
                .filter_map(|channel| all.channel(channel)),
        );
    }
    Ok(HeatView {
        query: query.clone(),
        cells: Vec::new(),
        targets,
        attention: true,
        heads,
        words: Vec::new(),
    })
}

/// The attention rows of the cells compared, of one head or their mean over heads: it sums to 1 as each of them does. Massive channels stay:
/// these are the weights the model itself uses.
fn attention_rows(maps: &MapStore, query: &HeatQuery) -> Result<HeatView, Unavailable> {
    let info = maps.info(query.source, query.id)?;
    let facts = info.layer(query.id).map(|layer| layer.facts);
    let Some(sources) = facts.and_then(|facts| facts.map_sources()) else {
        return Err(Error::usage(format!("the rows of {} cannot be made of what is kept", query.id)).into());
    };
    let heads = info.heads(query.id);
    // Running the attention map brings both of its sources.
    let missing = |why| match why {
        Unavailable::Missing(..) => Unavailable::Missing(query.id, query.source),
        other => other,
    };
    let [queries, keys] = sources.map(|source| maps.map(query.source, source).map_err(missing));
    let (queries, keys) = (queries?, keys?);
    let sums = facts.and_then(|facts| facts.row_sums);
    let sums = sums
        .map(|sums| maps.map(query.source, sums).map_err(missing))
        .transpose()?;
    let cells = cells_at(&query.at, &info.framing, queries.grid()).ok_or_else(|| unseen(&query.at))?;
    let rows = head_rows(
        [&queries, &keys],
        sums.as_deref(),
        heads,
        &positions_of(&cells, queries.grid()),
    )?;
    let scores = match query.head {
        Some(head) => rows.get(head).cloned().ok_or_else(|| no_head(query.id, heads, head))?,
        None => mean_over_heads(&rows.concat(), heads),
    };
    // Self-attention knows one picture: its own.
    let own = query.targets.iter().filter(|(_, pass)| *pass == query.source);
    let targets = own
        .map(|(slot, _)| target_heat(*slot, keys.grid(), &info.framing, scores.clone()))
        .collect();
    Ok(HeatView {
        query: query.clone(),
        cells,
        targets,
        attention: true,
        heads: rows,
        words: Vec::new(),
    })
}

/// The mean of the vectors of some cells.
fn mean_vector(map: &FeatureMap, cells: &[(usize, usize)]) -> Vec<f32> {
    let mut mean = vec![0.0; map.channels()];
    let share = 1.0 / cells.len().max(1) as f32;
    for position in positions_of(cells, map.grid()) {
        for (sum, number) in mean.iter_mut().zip(map.vector(position)) {
            *sum += share * number;
        }
    }
    mean
}

fn target_heat(slot: ImageSlot, grid: Grid, framing: &Framing, scores: Vec<f32>) -> TargetHeat {
    let best = top_k(&scores, BEST_MATCHES);
    TargetHeat {
        slot,
        grid,
        best: best.into_iter().map(|peak| match_at(peak, grid, framing)).collect(),
        scores,
    }
}

/// A peak of scores, in cells and in pixels of the picture.
pub fn match_at(peak: Peak, grid: Grid, framing: &Framing) -> Match {
    let cell = grid.row_column(peak.position);
    Match {
        cell,
        at: framing.original_from_cell(cell, grid),
        score: peak.score,
    }
}

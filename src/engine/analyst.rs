//! The worker that compares the maps that are kept: heat maps, matches, channels, files. It does only what is quick, so
//! that a heat map follows the pointer.

use std::path::Path;

use rayon::prelude::*;

use super::{
    desk::{Desk, Overtaken, Unseen, check_extension, no_head, saved},
    message::{Event, PassId, Slot},
    reduced::Reduced,
    region::{cells_at, positions_of, unseen},
    view::{
        ChannelQuery, ChannelView, ChannelsView, HeatView, Match, MatchesQuery, MatchesView, PinMatches, PinQuery,
        Query, QueryAt, RankedMatch, TargetHeat, TargetMatches, ViewRequest,
    },
};
use crate::{
    activation::{FeatureMap, Id},
    analysis::{
        attention::{head_rows, mean_over_heads},
        correspondence::way_back,
        massive::{channel_figures, massive_channels, mean_cosine},
        similarity::{Peak, cosine_to_all, mean_unit_vector, top_k},
    },
    error::{Error, Result},
    extract::{ram, request::StoreFormat},
    geometry::{Grid, framing::Framing},
    io::{
        array::Array,
        output::{replace_file, write_png},
        writers::{Features, map_writer_of},
    },
    paint::{ScoreMap, ScoreStyle, render_scores},
};

/// Most similar positions that are told with a heat map.
const TOLD_MATCHES: usize = 5;

/// Compares maps; see the [module's words](super).
pub struct Analyst {
    desk: Desk,
    reduced: Reduced,
}

impl Analyst {
    /// An analyst that has looked at nothing yet.
    pub(super) fn new(desk: Desk) -> Self {
        let reduced = Reduced::new(desk.clone());
        Self { desk, reduced }
    }

    /// Tells the answer to a request.
    pub(super) fn answer(&mut self, request: &ViewRequest, overtaken: &mut Overtaken<'_>) -> Result<(), Unseen> {
        let told = match request {
            ViewRequest::Query(query) => Event::Heat(self.heat(query)?),
            ViewRequest::Matches(query) => Event::Matches(self.matches(query, overtaken)?),
            ViewRequest::Channels { id, pass } => Event::Channels(self.channels(*id, *pass)?),
            ViewRequest::Channel(query) => Event::Channel(self.channel(query)?),
            ViewRequest::SaveMap { id, pass, path } => self.save_map(*id, *pass, path)?,
            ViewRequest::SaveHeat { query, style, path } => self.save_heat(query, style, path)?,
            // The others'.
            ViewRequest::Pca(_)
            | ViewRequest::SavePca { .. }
            | ViewRequest::SaveBasis { .. }
            | ViewRequest::Compare(_)
            | ViewRequest::Sides(_)
            | ViewRequest::Rank(_) => return Ok(()),
        };
        self.desk.tell(told);
        Ok(())
    }

    fn heat(&mut self, query: &Query) -> Result<HeatView, Unseen> {
        if let (QueryAt::Word(token), true) = (&query.at, query.id.is_cross_map()) {
            return self.word(query, *token);
        }
        if !query.id.has_vectors() {
            return self.attention(query);
        }
        if let (Some(head), true) = (query.head, query.id.is_cross_map()) {
            return self.words_of_head(query, head);
        }
        let source = self
            .reduced
            .map(query.id, query.source, query.source, query.drop_massive)?;
        let framing = self.desk.info(query.source, query.id)?.framing;
        let cells = cells_at(&query.at, &framing, source.grid()).ok_or_else(|| unseen(&query.at))?;
        let vector = mean_unit_vector(&source, &positions_of(&cells, source.grid()))?;
        let mut targets = Vec::with_capacity(query.targets.len());
        for (slot, pass) in &query.targets {
            let map = self.reduced.map(query.id, *pass, query.source, query.drop_massive)?;
            let framing = self.desk.info(*pass, query.id)?.framing;
            targets.push(target_heat(*slot, map.grid(), &framing, cosine_to_all(&vector, &map)?));
        }
        let words = match query.id.is_cross_map() {
            true => mean_vector(&*self.desk.map(query.source, query.id)?, &cells),
            false => Vec::new(),
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

    /// Places that attend to the same words as a point does, by one head. Massive channels stay, as in all attention.
    fn words_of_head(&self, query: &Query, head: usize) -> Result<HeatView, Unseen> {
        let source = self.desk.head(query.source, query.id, head)?;
        let framing = self.desk.info(query.source, query.id)?.framing;
        let cells = cells_at(&query.at, &framing, source.grid()).ok_or_else(|| unseen(&query.at))?;
        let vector = mean_unit_vector(&source, &positions_of(&cells, source.grid()))?;
        let mut targets = Vec::with_capacity(query.targets.len());
        for (slot, pass) in &query.targets {
            let map = self.desk.head(*pass, query.id, head)?;
            let framing = self.desk.info(*pass, query.id)?.framing;
            targets.push(target_heat(*slot, map.grid(), &framing, cosine_to_all(&vector, &map)?));
        }
        Ok(HeatView {
            query: query.clone(),
            words: mean_vector(&source, &cells),
            cells,
            targets,
            attention: false,
            heads: Vec::new(),
        })
    }

    /// Where pictures are looked at for a token of the prompt: its weight at every position.
    fn word(&self, query: &Query, token: usize) -> Result<HeatView, Unseen> {
        let mut targets = Vec::with_capacity(query.targets.len());
        for (slot, pass) in &query.targets {
            let map = match query.head {
                Some(head) => self.desk.head(*pass, query.id, head)?,
                None => self.desk.map(*pass, query.id)?,
            };
            let framing = self.desk.info(*pass, query.id)?.framing;
            if token >= map.channels() {
                return Err(Error::usage(format!(
                    "the prompt has {} tokens, number {token} (from 0) was asked for",
                    map.channels()
                ))
                .into());
            }
            targets.push(target_heat(*slot, map.grid(), &framing, weights_of(&map, token)));
        }
        let mut heads = Vec::new();
        if let Some((_, first)) = query.targets.first() {
            for head in 0..self.desk.head_count(*first, query.id)? {
                heads.push(weights_of(&*self.desk.head(*first, query.id, head)?, token));
            }
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
    fn attention(&self, query: &Query) -> Result<HeatView, Unseen> {
        let info = self.desk.info(query.source, query.id)?;
        let sources = info.layer(query.id).and_then(|layer| layer.facts.map_sources());
        let Some(sources) = sources else {
            return Err(Error::usage(format!("the rows of {} cannot be made of what is kept", query.id)).into());
        };
        let heads = info.heads(query.id);
        // Running the attention map brings both of its sources.
        let missing = |why| match why {
            Unseen::Missing(..) => Unseen::Missing(query.id, query.source),
            other => other,
        };
        let [queries, keys] = sources.map(|source| self.desk.map(query.source, source).map_err(missing));
        let (queries, keys) = (queries?, keys?);
        let cells = cells_at(&query.at, &info.framing, queries.grid()).ok_or_else(|| unseen(&query.at))?;
        let rows = head_rows(&queries, &keys, heads, &positions_of(&cells, queries.grid()))?;
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

    /// Attention maps have no matches: their weights stay within one picture.
    fn matches(&mut self, query: &MatchesQuery, overtaken: &mut Overtaken<'_>) -> Result<MatchesView, Unseen> {
        let mut pins = Vec::new();
        for pin in query.pins.iter().filter(|_| query.id.has_vectors()) {
            if overtaken() {
                return Err(Unseen::Overtaken);
            }
            pins.extend(self.pin_matches(query, pin)?);
        }
        Ok(MatchesView {
            query: query.clone(),
            pins,
        })
    }

    /// None where the model does not see the pin.
    fn pin_matches(&mut self, query: &MatchesQuery, pin: &PinQuery) -> Result<Option<PinMatches>, Unseen> {
        let source = self.reduced.map(query.id, pin.source, pin.source, query.drop_massive)?;
        let framing = self.desk.info(pin.source, query.id)?.framing;
        let Some(cells) = cells_at(&pin.at, &framing, source.grid()) else {
            return Ok(None);
        };
        let positions = positions_of(&cells, source.grid());
        let vector = mean_unit_vector(&source, &positions)?;
        let mut targets = Vec::with_capacity(query.targets.len());
        for (slot, pass) in &query.targets {
            let target = self.reduced.map(query.id, *pass, pin.source, query.drop_massive)?;
            let target_framing = self.desk.info(*pass, query.id)?.framing;
            let ranked = |peak: Peak| -> Result<Option<RankedMatch>> {
                let back = way_back(target.vector(peak.position), &source, &positions)?;
                Ok(back.map(|back| RankedMatch {
                    found: match_at(peak, target.grid(), &target_framing),
                    back: framing.original_from_cell(source.grid().row_column(back.position), source.grid()),
                    mutual: positions.contains(&back.position),
                    cycle_cells: back.cycle_error,
                }))
            };
            let peaks = top_k(&cosine_to_all(&vector, &target)?, query.top_k);
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
        }))
    }

    fn channels(&self, id: Id, pass: PassId) -> Result<ChannelsView, Unseen> {
        let map = self.desk.map(pass, id)?;
        let channels = channel_figures(&map);
        let massive = massive_channels(&channels);
        let whole = mean_cosine(&map);
        let without = if massive.is_empty() {
            whole
        } else {
            mean_cosine(&map.without_channels(&massive)?)
        };
        Ok(ChannelsView {
            id,
            pass,
            channels,
            massive,
            mean_cosine: [whole, without],
        })
    }

    fn channel(&self, query: &ChannelQuery) -> Result<ChannelView, Unseen> {
        let mut maps = Vec::with_capacity(query.passes.len());
        for (slot, pass) in &query.passes {
            let map = self.desk.map(*pass, query.id)?;
            maps.push((*slot, map.grid(), channel_values(&map, query)?));
        }
        Ok(ChannelView {
            query: query.clone(),
            maps,
        })
    }

    fn save_map(&self, id: Id, pass: PassId, path: &Path) -> Result<Event, Unseen> {
        let writer = map_writer_of(path)?;
        let (map, info) = (self.desk.map(pass, id)?, self.desk.info(pass, id)?);
        let grid = map.grid();
        let array = Array::new(vec![1, map.channels(), grid.height, grid.width], map.to_channels())?;
        let features = Features {
            arrays: vec![(id.to_string(), &array, StoreFormat::F32)],
            record: serde_json::json!({ "id": id, "ran": info.ran }),
        };
        writer.write(path, &features)?;
        Ok(saved(path))
    }

    /// The heat map of the first target, over the part of the picture that the model sees.
    fn save_heat(&mut self, query: &Query, style: &ScoreStyle, path: &Path) -> Result<Event, Unseen> {
        check_extension(path, &["png"])?;
        let view = self.heat(query)?;
        let shown = query.targets.iter().find_map(|(slot, pass)| {
            let target = view.targets.iter().find(|target| target.slot == *slot)?;
            Some((target, *pass))
        });
        let (target, pass) = shown.ok_or_else(|| Error::usage("there is no heat map to save"))?;
        let info = self.desk.info(pass, query.id)?;
        let size = info.picture.size();
        // The colours of the scores, and the picture under them.
        const BYTES_PER_PIXEL: usize = 4 + 3;
        ram::check(
            size.pixels().saturating_mul(BYTES_PER_PIXEL),
            "a heat map over this picture",
            "save one over a smaller picture",
        )?;
        let scores = ScoreMap::new(target.grid, target.scores.clone())?;
        // The map covers what the model sees; in shares of that part, the whole picture reaches beyond 0 to 1.
        let [left, top, right, bottom] = info.framing.visible();
        let share = |x: f64, from: f64, to: f64| ((x - from) / (to - from)) as f32;
        let corner = |x: f64, y: f64| egui::pos2(share(x, left, right), share(y, top, bottom));
        let whole = egui::Rect::from_min_max(
            corner(-0.5, -0.5),
            corner(size.width as f64 - 0.5, size.height as f64 - 0.5),
        );
        let heat = render_scores(&scores, style, whole, [size.width as u32, size.height as u32]);
        let blend = |under: u8, over: u8, alpha: u8| {
            let (under, over, alpha) = (u32::from(under), u32::from(over), u32::from(alpha));
            ((under * (255 - alpha) + over * alpha + 127) / 255) as u8
        };
        let rgb: Vec<u8> = info
            .picture
            .rgb()
            .chunks_exact(3)
            .zip(heat.as_raw().chunks_exact(4))
            .flat_map(|(under, over)| [0, 1, 2].map(|channel| blend(under[channel], over[channel], over[3])))
            .collect();
        replace_file(path, |temporary| write_png(temporary, [size.width, size.height], &rgb))?;
        Ok(saved(path))
    }
}

/// What every position gives to a token.
fn weights_of(map: &FeatureMap, token: usize) -> Vec<f32> {
    let vectors = map.vectors().chunks_exact(map.channels());
    vectors.map(|vector| vector[token]).collect()
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

fn target_heat(slot: Slot, grid: Grid, framing: &Framing, scores: Vec<f32>) -> TargetHeat {
    let best = top_k(&scores, TOLD_MATCHES);
    TargetHeat {
        slot,
        grid,
        best: best.into_iter().map(|peak| match_at(peak, grid, framing)).collect(),
        scores,
    }
}

fn match_at(peak: Peak, grid: Grid, framing: &Framing) -> Match {
    let cell = grid.row_column(peak.position);
    Match {
        cell,
        at: framing.original_from_cell(cell, grid),
        score: peak.score,
    }
}

fn channel_values(map: &FeatureMap, query: &ChannelQuery) -> Result<Vec<f32>> {
    if query.channel >= map.channels() {
        return Err(Error::usage(format!(
            "{} has {} channels, counted from 0: there is no channel {}",
            query.id,
            map.channels(),
            query.channel
        )));
    }
    let vectors = map.vectors().chunks_exact(map.channels());
    Ok(vectors.map(|vector| vector[query.channel]).collect())
}

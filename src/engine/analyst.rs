//! The worker that looks at the maps that are kept: colours, similarities, files.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, mpsc::Receiver},
};

use super::{
    Events,
    cache::{PassInfo, SharedCache},
    extractor::attention_sources,
    message::{Event, HeatView, Match, PassId, PcaView, Query, Slot, TargetHeat, ViewRequest, Work},
    recover::recovered,
};
use crate::{
    activation::{FeatureMap, Grid, Id},
    analysis::{
        attention::{attention_row, mean_over_heads},
        colour::{self, ColourRange, RangeRule},
        pca::{self, PcaBasis, PcaOptions, Scores},
        similarity::{cell_vector, cosine_to_all, top_k},
    },
    error::{Error, Result},
    extract::{
        array::Array,
        framing::Framing,
        output::{is_file_path, replace_file, write_npy, write_png, write_safetensors},
        request::StoreFormat,
    },
    paint::{ScoreMap, ScoreStyle, render_scores},
};

/// Most similar positions that are told.
const TOLD_MATCHES: usize = 5;
/// Width of a saved PCA picture, in pixels.
const SAVED_WIDTH: usize = 512;

/// Looks at maps; see the [module's words](super).
pub struct Analyst {
    inbox: Receiver<ViewRequest>,
    events: Events,
    cache: SharedCache,
    /// The basis last fitted and what it was fitted on: switching between pictures asks for it again and again.
    basis: Option<(BasisKey, Arc<PcaBasis>)>,
}

type BasisKey = (Id, Vec<PassId>);

/// Why a view was not made.
enum Unseen {
    /// The map is not kept (any more).
    Missing(Id, PassId),
    Failed(Error),
}

impl From<Error> for Unseen {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Requests of which only the latest counts.
#[derive(PartialEq, Eq, Hash)]
enum Kind {
    Pca,
    Query,
    /// Every save is done.
    Save(usize),
}

impl Analyst {
    /// An analyst that has looked at nothing yet.
    pub(super) fn new(inbox: Receiver<ViewRequest>, events: Events, cache: SharedCache) -> Self {
        Self {
            inbox,
            events,
            cache,
            basis: None,
        }
    }

    /// Works until the engine is dropped.
    pub(super) fn run(&mut self) {
        while let Ok(first) = self.inbox.recv() {
            let mut waiting = vec![first];
            waiting.extend(self.inbox.try_iter());
            for request in latest_of_each_kind(waiting) {
                if let Err(message) = recovered(|| self.handle(&request)) {
                    self.events.tell(Event::Recovered { message });
                }
            }
        }
    }

    fn handle(&mut self, request: &ViewRequest) {
        let work = match request {
            ViewRequest::Pca { .. } | ViewRequest::Query(_) => Work::View,
            _ => Work::Save,
        };
        match self.answer(request) {
            Ok(()) => {}
            Err(Unseen::Missing(id, pass)) => self.events.tell(Event::Missing { id, pass }),
            Err(Unseen::Failed(error)) => self.events.tell(Event::Failed { work, error }),
        }
    }

    fn answer(&mut self, request: &ViewRequest) -> Result<(), Unseen> {
        match request {
            ViewRequest::Pca { id, passes, joint } => self.pca(*id, passes, *joint),
            ViewRequest::Query(query) => {
                let heat = self.heat(query)?;
                self.events.tell(Event::Heat(heat));
                Ok(())
            }
            ViewRequest::SaveMap { id, pass, path } => self.save_map(*id, *pass, path),
            ViewRequest::SavePca { id, pass, basis, path } => self.save_pca(*id, *pass, basis, path),
            ViewRequest::SaveHeat { query, style, path } => self.save_heat(query, style, path),
        }
    }

    fn map(&self, pass: PassId, id: Id) -> Result<Arc<FeatureMap>, Unseen> {
        self.cache.lock().get(pass, id).ok_or(Unseen::Missing(id, pass))
    }

    fn info(&self, pass: PassId, id: Id) -> Result<PassInfo, Unseen> {
        self.cache.lock().info(pass).cloned().ok_or(Unseen::Missing(id, pass))
    }

    fn pca(&mut self, id: Id, passes: &[(Slot, PassId)], joint: bool) -> Result<(), Unseen> {
        if id.is_map() {
            return Err(Error::usage(format!("{id} is an attention map: it has no PCA, click for its rows")).into());
        }
        let all: Vec<PassId> = passes.iter().map(|(_, pass)| *pass).collect();
        let groups: Vec<Vec<PassId>> = if joint {
            vec![all]
        } else {
            all.into_iter().map(|pass| vec![pass]).collect()
        };
        for group in groups {
            let (basis, scores, range) = self.coloured(id, &group)?;
            for (pass, scores) in group.iter().zip(&scores) {
                let Some((slot, _)) = passes.iter().find(|(_, other)| other == pass) else {
                    continue;
                };
                let picture = colour::colour(scores, &range);
                self.events.tell(Event::Pca(PcaView {
                    slot: *slot,
                    id,
                    pass: *pass,
                    grid: Grid::new(picture.height, picture.width),
                    rgb: picture.rgb,
                    explained: basis.explained_variance_ratio.clone(),
                    joint,
                }));
            }
        }
        Ok(())
    }

    /// Basis, scores and common colour range of some passes.
    fn coloured(&mut self, id: Id, passes: &[PassId]) -> Result<(Arc<PcaBasis>, Vec<Scores>, ColourRange), Unseen> {
        let maps = passes
            .iter()
            .map(|pass| self.map(*pass, id))
            .collect::<Result<Vec<_>, _>>()?;
        let key = (id, passes.to_vec());
        let basis = match &self.basis {
            Some((known, basis)) if *known == key => Arc::clone(basis),
            _ => {
                let maps: Vec<&FeatureMap> = maps.iter().map(AsRef::as_ref).collect();
                let basis = Arc::new(pca::fit(&maps, &PcaOptions::default())?);
                self.basis = Some((key, Arc::clone(&basis)));
                basis
            }
        };
        let scores = maps.iter().map(|map| basis.project(map)).collect::<Result<Vec<_>>>()?;
        let range = ColourRange::of(&scores.iter().collect::<Vec<_>>(), RangeRule::MinMax)?;
        Ok((basis, scores, range))
    }

    fn heat(&self, query: &Query) -> Result<HeatView, Unseen> {
        let info = self.info(query.source, query.id)?;
        if let Some([queries, keys]) = attention_sources(query.id) {
            let heads = info.heads.get(&query.id).copied().unwrap_or(1);
            let (queries, keys) = (self.map(query.source, queries)?, self.map(query.source, keys)?);
            let cell = cell_under(&info.framing, query.at, queries.grid())?;
            let row = attention_row(&queries, &keys, heads, queries.grid().index(cell.0, cell.1))?;
            let scores = mean_over_heads(&row, heads);
            // Self-attention knows one picture: its own.
            let own = query.targets.iter().filter(|(_, pass)| *pass == query.source);
            let targets = own
                .map(|(slot, _)| target_heat(*slot, keys.grid(), &info.framing, scores.clone()))
                .collect();
            return Ok(HeatView {
                query: query.clone(),
                cell,
                targets,
                attention: true,
            });
        }
        let source = self.map(query.source, query.id)?;
        let cell = cell_under(&info.framing, query.at, source.grid())?;
        let vector = cell_vector(&source, cell.0, cell.1)?;
        let mut targets = Vec::with_capacity(query.targets.len());
        for (slot, pass) in &query.targets {
            let (map, info) = (self.map(*pass, query.id)?, self.info(*pass, query.id)?);
            targets.push(target_heat(
                *slot,
                map.grid(),
                &info.framing,
                cosine_to_all(vector, &map)?,
            ));
        }
        Ok(HeatView {
            query: query.clone(),
            cell,
            targets,
            attention: false,
        })
    }

    fn save_map(&self, id: Id, pass: PassId, path: &Path) -> Result<(), Unseen> {
        check_extension(path, &["npy", "safetensors"])?;
        let (map, info) = (self.map(pass, id)?, self.info(pass, id)?);
        let grid = map.grid();
        let array = Array::new(vec![1, map.channels(), grid.height, grid.width], map.to_channels())?;
        if is_file_path(path) {
            let record = serde_json::json!({ "id": id, "ran": info.ran });
            write_safetensors(path, &[(id.to_string(), &array, StoreFormat::F32)], &record)?;
        } else {
            replace_file(path, |temporary| write_npy(temporary, &array, StoreFormat::F32))?;
        }
        self.tell_saved(path);
        Ok(())
    }

    fn save_pca(&mut self, id: Id, pass: PassId, basis: &[PassId], path: &Path) -> Result<(), Unseen> {
        check_extension(path, &["png"])?;
        let (_, scores, range) = self.coloured(id, basis)?;
        let shown = basis.iter().zip(&scores).find(|(other, _)| **other == pass);
        let (_, scores) = shown.ok_or_else(|| Error::usage("there is no PCA to save"))?;
        let large = colour::colour(scores, &range).resized_nearest(SAVED_WIDTH);
        replace_file(path, |temporary| {
            write_png(temporary, [large.width, large.height], &large.rgb)
        })?;
        self.tell_saved(path);
        Ok(())
    }

    /// The heat map of the first target, over the part of the picture that the model sees.
    fn save_heat(&self, query: &Query, style: &ScoreStyle, path: &Path) -> Result<(), Unseen> {
        check_extension(path, &["png"])?;
        let view = self.heat(query)?;
        let shown = query.targets.iter().find_map(|(slot, pass)| {
            let target = view.targets.iter().find(|target| target.slot == *slot)?;
            Some((target, *pass))
        });
        let (target, pass) = shown.ok_or_else(|| Error::usage("there is no heat map to save"))?;
        let info = self.info(pass, query.id)?;
        let size = info.picture.size();
        let scores = ScoreMap::new(target.grid, target.scores.clone())?;
        // The map covers what the model sees; in shares of that part, the whole picture reaches beyond 0 to 1.
        let [left, top, right, bottom] = info.framing.seen();
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
        self.tell_saved(path);
        Ok(())
    }

    fn tell_saved(&self, path: &Path) {
        self.events.tell(Event::Saved { path: path.to_owned() });
    }
}

/// A file whose name promises another format than it holds helps nobody.
fn check_extension(path: &Path, known: &[&str]) -> Result<()> {
    let extension = path.extension().unwrap_or_default();
    if known.iter().any(|known| extension.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "cannot write {}: the name has to end in .{}",
        path.display(),
        known.join(" or .")
    )))
}

fn cell_under(framing: &Framing, at: [f64; 2], grid: Grid) -> Result<(usize, usize)> {
    framing
        .cell_from_original(at, grid)
        .ok_or_else(|| Error::usage("this part of the picture is not seen by the model: the square in the middle is"))
}

fn target_heat(slot: Slot, grid: Grid, framing: &Framing, scores: Vec<f32>) -> TargetHeat {
    let best = top_k(&scores, TOLD_MATCHES)
        .into_iter()
        .map(|peak| {
            let cell = grid.row_column(peak.position);
            Match {
                cell,
                at: framing.original_from_cell(cell, grid),
                score: peak.score,
            }
        })
        .collect();
    TargetHeat {
        slot,
        grid,
        scores,
        best,
    }
}

fn latest_of_each_kind(waiting: Vec<ViewRequest>) -> Vec<ViewRequest> {
    let mut latest: HashMap<Kind, usize> = HashMap::new();
    for (index, request) in waiting.iter().enumerate() {
        let kind = match request {
            ViewRequest::Pca { .. } => Kind::Pca,
            ViewRequest::Query(_) => Kind::Query,
            _ => Kind::Save(index),
        };
        latest.insert(kind, index);
    }
    let mut index = 0;
    let mut kept = waiting;
    kept.retain(|_| {
        index += 1;
        latest.values().any(|latest| *latest == index - 1)
    });
    kept
}

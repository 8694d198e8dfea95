//! One pass of one picture with the model that is loaded, and what is kept of it.

use std::{sync::Arc, time::Instant};

use super::{LoadedModel, OpenPicture};
use crate::{
    activation::{Catalogue, CatalogueEntry, FeatureMap, Id, Progress, Selection, Shape, Tap},
    engine::{
        cache::PassKey,
        host::{ExtractorHost, FinishedPass},
        ids::PassId,
        layer::Layer,
    },
    error::{Error, Result},
    extract::{
        averager::Averager,
        finite::NotFiniteTensor,
        inversion::Inversion,
        ram,
        request::{FramedPicture, Provenance},
        settings::{GivenNoise, LatentMode, PassSettings, RunSettings},
    },
    geometry::Grid,
    image::prepare::{FramingPlan, PreparedImage},
    io::array::Array,
    sources::FeatureSource,
};

/// A pass of one picture.
#[derive(Clone, Copy)]
pub struct PassOf<'a> {
    /// The picture.
    pub open: &'a OpenPicture,
    /// What it is run with.
    pub settings: &'a RunSettings,
    /// Whether the latent is the picture's alone, without noise.
    pub noiseless: bool,
}

/// A pass with everything that is known before it runs.
pub struct Planned<'a> {
    of: PassOf<'a>,
    plan: FramingPlan,
    /// Every activation at this working size.
    pub list: Catalogue,
    /// What has to be recorded for what is asked for.
    pub needed: Selection,
    /// Its number.
    pub pass: PassId,
}

impl<'a> PassOf<'a> {
    /// Finds out what the pass needs; `ids` is what is to be looked at.
    pub fn planned(self, loaded: &LoadedModel, host: &ExtractorHost, ids: &[Id]) -> Result<Planned<'a>> {
        let source = &loaded.model;
        let info = source.info();
        let size = source.working_size(self.settings)?;
        let plan = FramingPlan::new(self.open.picture.size(), &size, info.size_rule)?;
        let list = source.catalogue(plan.framing().working);
        let mut needed = Selection::default();
        for id in ids {
            needed_for(&list, *id)?.iter().for_each(|tap| needed.insert(tap));
        }
        let pass = host.pass(&PassKey {
            model: loaded.loading,
            picture: self.open.fingerprint,
            // A LoRA that is switched off leaves what was kept without it, and so does a setting that is not read.
            settings: info.reads.of(self.settings),
            noiseless: self.noiseless,
        });
        Ok(Planned {
            of: self,
            plan,
            list,
            needed,
            pass,
        })
    }
}

impl Planned<'_> {
    /// Whether everything that is needed is kept already.
    pub fn is_kept(&self, host: &ExtractorHost) -> bool {
        self.are_kept(host, &self.needed)
    }

    /// Whether all of these are kept already.
    pub fn are_kept(&self, host: &ExtractorHost, selection: &Selection) -> bool {
        let kept = |tap| self.list.entry(tap).is_some_and(|entry| host.has(self.pass, entry.id));
        selection.iter().all(kept)
    }

    /// The side lengths the model works with, for messages.
    pub fn working(&self) -> crate::geometry::Size {
        self.plan.framing().working
    }

    /// The picture as the model sees it.
    pub fn prepared(&self) -> Result<PreparedImage> {
        Ok(PreparedImage {
            picture: self.plan.apply(&self.of.open.picture)?,
            framing: *self.plan.framing(),
        })
    }

    /// Runs the pass and records `selection`.
    pub fn run(
        &self,
        loaded: &mut LoadedModel,
        selection: &Selection,
        watch: &mut Progress<'_>,
    ) -> Result<FinishedPass> {
        let PassOf {
            open,
            settings,
            noiseless,
        } = self.of;
        let started = Instant::now();
        let prepared = [self.prepared()?];
        // Without any noise all members would be equal.
        let members = match (noiseless, settings.latent) {
            (true, LatentMode::Mean) => 1,
            _ => settings.ensemble,
        };
        let run = RunSettings {
            ensemble: members,
            inversion: match noiseless {
                true => Inversion::None,
                false => settings.inversion,
            },
            ..settings.clone()
        };
        let mut pass_settings = loaded.model.settings(run)?;
        // A source without noise has no members.
        let members = pass_settings.run.ensemble;
        if noiseless {
            pass_settings.noise = Some(self.no_noise(loaded, members)?);
        }
        // Of attention to text the weights are kept, as vectors of a channel for every token of every head.
        let list = &self.list;
        let mut averager = Averager::new(1, members, |tap, array| match text_grid(list, tap) {
            Some(grid) => head_weights(&array, grid),
            None => Ok(array),
        });
        let source = &mut loaded.model;
        source.run(&prepared, &pass_settings, selection, &mut averager, watch)?;
        let seconds = started.elapsed().as_secs_f64();
        let (mut maps, mut heads) = (Vec::with_capacity(selection.len()), Vec::new());
        for (tap, array) in averager.finish() {
            let Some(entry) = list.entry(tap) else { continue };
            let map = array.feature_map(0)?;
            match entry.shape {
                Shape::Attention { heads: count, .. } => {
                    maps.push((entry.id, mean_weights(&map, count)?));
                    heads.push((entry.id, map));
                }
                Shape::Features { .. } => maps.push((entry.id, map)),
            }
        }
        let mut ran = provenance(&loaded.model, open, &prepared[0], &pass_settings, seconds);
        ran.not_finite = not_finite(list, &maps);
        if let Some(first) = ran.not_finite.first() {
            let cause = loaded.model.cause_of_non_finite(&pass_settings, None);
            let note = note_of(first, [ran.not_finite.len(), maps.len()], &cause);
            ran.notes.push(note);
        }
        Ok(FinishedPass {
            pass: self.pass,
            settings: loaded.model.info().reads.of(settings),
            picture: Arc::clone(&open.picture),
            framing: prepared[0].framing,
            layers: list.entries().iter().map(Layer::from).collect(),
            ran,
            maps,
            heads,
        })
    }

    /// Zeros in the place of noise.
    fn no_noise(&self, loaded: &LoadedModel, members: usize) -> Result<GivenNoise> {
        let [channels, height, width] = loaded.model.spec.noised_shape(self.working());
        let shape = vec![members, channels, height, width];
        let numbers = vec![0.0; shape.iter().product()];
        Ok(GivenNoise {
            noise: Array::new(shape, numbers)?,
            vae_noise: None,
        })
    }
}

/// The maps that are not finite, in execution order.
fn not_finite(list: &Catalogue, maps: &[(Id, FeatureMap)]) -> Vec<NotFiniteTensor> {
    let found = |entry: &CatalogueEntry| {
        let (id, map) = maps.iter().find(|(id, _)| *id == entry.id)?;
        Some(NotFiniteTensor {
            name: id.to_string(),
            numbers: map.not_finite()?,
        })
    };
    list.entries().iter().filter_map(found).collect()
}

/// What is said of them: which is the first, how many of the maps there are, and the likely cause.
fn note_of(first: &NotFiniteTensor, [found, recorded]: [usize; 2], cause: &str) -> String {
    let others = match found - 1 {
        0 => String::new(),
        others => format!(
            ", and {others} of the {} others that were recorded are neither",
            recorded - 1
        ),
    };
    format!("{} is not finite: {}{others}; {cause}", first.name, first.numbers)
}

/// Refuses maps of `passes` passes that cannot be kept at the same time; `list` has their shapes.
pub fn check_room(host: &ExtractorHost, list: &Catalogue, selection: &Selection, passes: usize) -> Result<()> {
    const MIB: usize = 1 << 20;
    let (limit, bytes) = (host.limit_bytes(), kept_bytes(list, selection).saturating_mul(passes));
    if bytes > limit {
        return Err(Error::failed(format!(
            "its maps of {passes} picture(s) take {} MiB, more than the {} MiB that are kept: choose a smaller size or \
             close pictures",
            bytes.div_ceil(MIB),
            limit / MIB
        )));
    }
    ram::check(bytes, "its maps", "choose a smaller size or close pictures")
}

/// What has to be recorded to look at an activation: itself, or the queries and keys that its attention rows come from.
fn needed_for(list: &Catalogue, id: Id) -> Result<Selection> {
    let layer = list.tap(id).and_then(|tap| list.entry(tap)).map(Layer::from);
    if layer.is_some_and(|layer| !layer.can_be_shown()) {
        return Err(Error::usage(format!(
            "the rows of {id} cannot be made of what is kept: it is written by `featscope extract` alone"
        )));
    }
    let ids = layer.map_or(vec![id], |layer| layer.shown_from());
    ids.into_iter()
        .map(|needed| {
            list.tap(needed)
                .ok_or_else(|| Error::usage(format!("this model has no activation \"{needed}\"")))
        })
        .collect()
}

/// The grid of positions of an attention map to text; none for other activations.
fn text_grid(list: &Catalogue, tap: Tap) -> Option<Grid> {
    let id = list.entry(tap)?.id;
    list.grid_of(id).filter(|_| id.is_cross_map())
}

/// (B, heads, positions, tokens) → (B, heads·tokens, h, w): a channel for every token of every head.
fn head_weights(map: &Array, grid: Grid) -> Result<Array> {
    let [batch, heads, positions, tokens] = *map.shape.as_slice() else {
        return Err(Error::failed(format!(
            "an attention map of the shape {:?} is not one of heads",
            map.shape
        )));
    };
    let mut weights = Vec::with_capacity(map.data.len());
    for of_head in map.data.chunks_exact((positions * tokens).max(1)) {
        for token in 0..tokens {
            weights.extend(of_head.iter().skip(token).step_by(tokens));
        }
    }
    Array::new(vec![batch, heads * tokens, grid.height, grid.width], weights)
}

/// The mean over heads of what [`head_weights`] gives: a channel for every token.
fn mean_weights(weights: &FeatureMap, heads: usize) -> Result<FeatureMap> {
    let tokens = weights.channels() / heads.max(1);
    let share = 1.0 / heads.max(1) as f32;
    let mut means = vec![0.0; tokens * weights.grid().positions()];
    let vectors = weights.vectors().chunks_exact(weights.channels());
    for (mean, vector) in means.chunks_exact_mut(tokens.max(1)).zip(vectors) {
        for of_head in vector.chunks_exact(tokens.max(1)) {
            for (sum, weight) in mean.iter_mut().zip(of_head) {
                *sum += share * weight;
            }
        }
    }
    FeatureMap::from_positions(tokens, weights.grid(), means)
}

/// Bytes that the selected activations of one picture take in the cache.
fn kept_bytes(list: &Catalogue, selection: &Selection) -> usize {
    let shapes = selection
        .iter()
        .filter_map(|tap| list.entry(tap))
        .map(|entry| entry.shape);
    shapes
        .map(|shape| match shape {
            Shape::Features { channels, grid } => FeatureMap::bytes_of(channels, grid),
            // Of attention to text the weights of every head, and their mean.
            Shape::Attention { heads, queries, keys } => {
                let numbers = queries.saturating_mul(keys).saturating_mul(heads.saturating_add(1));
                numbers.saturating_mul(size_of::<f32>())
            }
        })
        .fold(0, usize::saturating_add)
}

/// What ran, for one picture.
pub fn provenance(
    source: &dyn FeatureSource,
    open: &OpenPicture,
    prepared: &PreparedImage,
    settings: &PassSettings,
    seconds: f64,
) -> Provenance {
    let path = open.source.path();
    let pictures = vec![FramedPicture {
        path,
        framing: prepared.framing,
    }];
    source.provenance(settings, pictures, Vec::new(), seconds)
}

//! PCA colours: pictures that share a basis and a colour range. A fit takes longer than anybody wants to wait for a heat map.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    activation::Id,
    analysis::{
        colour::{self, ColourRange},
        massive::{channel_figures, massive_channels},
        pca::{self, COLOUR_COMPONENTS, PcaBasis, PcaOptions, Scores},
    },
    engine::{
        basis::{BasisChoice, PcaSettings, SavedBasis},
        ids::{ImageSlot, PassId},
        map_store::{MapStore, Unavailable},
        queries::{Answering, Lane, Memory, Query, Step},
    },
    error::{Error, Result},
    extract::{lru::LruCache, ram},
    geometry::Grid,
};

/// Bytes of finished views remembered, so that returning to an activation answers at once.
const REMEMBERED_BYTES: usize = 64 << 20;

/// Bytes of bases remembered: another clip, or other components, of the same pictures need no new fit.
const REMEMBERED_BASES_BYTES: usize = 16 << 20;

/// PCA colours of one activation of some pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PcaQuery {
    /// The activation.
    pub id: Id,
    /// The passes, with the slot each is shown in.
    pub passes: Vec<(ImageSlot, PassId)>,
    /// How the colours come about.
    pub settings: PcaSettings,
}

/// PCA colours of one picture's map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PcaView {
    /// What was asked.
    pub query: PcaQuery,
    /// Where it is shown.
    pub slot: ImageSlot,
    /// The pass.
    pub pass: PassId,
    /// Rows and columns.
    pub grid: Grid,
    /// (rows, columns, 3).
    pub rgb: Vec<u8>,
    /// Share of the variance of each component of the basis.
    pub explained: Vec<f64>,
    /// Components (counted from 0) without variance, shown black.
    pub dropped: Vec<usize>,
    /// Positions the basis was fitted on.
    pub fitted_on: usize,
    /// Scores of the first component, row-major: foreground and background are separated by them.
    pub first: Vec<f32>,
    /// Channels that were left out as massive.
    pub left_out: Vec<usize>,
}

impl Query for PcaQuery {
    type Answer = PcaView;
    const LANE: Lane = Lane::Colours;

    /// Emits the view of each picture as soon as it is there.
    fn answer(&self, work: &mut Answering<'_, PcaView>) -> Result<(), Unavailable> {
        let emit = &mut *work.emit;
        pca_views(work.maps, work.memory, self, work.step, &mut |view| emit(view.clone()))?;
        Ok(())
    }
}

/// Finished colours and bases of one lane.
pub struct PcaMemory {
    /// Finished views. They stay true when their maps are no longer kept.
    finished: LruCache<PcaQuery, Arc<[PcaView]>>,
    bases: LruCache<BasisKey, Arc<SavedBasis>>,
}

impl Default for PcaMemory {
    fn default() -> Self {
        Self {
            finished: LruCache::new(REMEMBERED_BYTES),
            bases: LruCache::new(REMEMBERED_BASES_BYTES),
        }
    }
}

/// What a basis depends on.
#[derive(PartialEq)]
struct BasisKey {
    id: Id,
    passes: Vec<PassId>,
    options: PcaOptions,
    drop_massive: bool,
}

/// Pictures that share a basis and a colour range.
pub struct Group {
    /// What the basis is fitted on; nothing where it is in a file.
    fitted_on: Vec<PassId>,
    shown: Vec<(ImageSlot, PassId)>,
}

/// The views of all pictures, each emitted as soon as it is there.
pub fn pca_views(
    maps: &MapStore,
    memory: &mut Memory,
    query: &PcaQuery,
    step: &mut Step<'_>,
    emit: &mut dyn FnMut(&PcaView),
) -> Result<Arc<[PcaView]>, Unavailable> {
    if let Some(known) = memory.pca.finished.get(query) {
        known.iter().for_each(emit);
        return Ok(known);
    }
    let mut views = Vec::with_capacity(query.passes.len());
    for group in groups(query)? {
        step()?;
        let basis = pca_basis(maps, memory, query, &group)?;
        let of_group = coloured(maps, query, &group, &basis)?;
        of_group.iter().for_each(&mut *emit);
        views.extend(of_group);
    }
    let views: Arc<[PcaView]> = views.into();
    // Another basis may be in the file the next time.
    if !matches!(query.settings.basis, BasisChoice::Saved(_)) {
        let bytes = views.iter().map(bytes_of_view).sum();
        let finished = &mut memory.pca.finished;
        finished.put(query.clone(), Arc::clone(&views), bytes);
    }
    Ok(views)
}

/// The basis of a group: fitted, or read from its file.
pub fn pca_basis(
    maps: &MapStore,
    memory: &mut Memory,
    query: &PcaQuery,
    group: &Group,
) -> Result<Arc<SavedBasis>, Unavailable> {
    let settings = &query.settings;
    if let BasisChoice::Saved(path) = &settings.basis {
        return Ok(Arc::new(SavedBasis::read(path)?));
    }
    let mut fitted_on = group
        .fitted_on
        .iter()
        .map(|pass| maps.map(*pass, query.id))
        .collect::<Result<Vec<_>, _>>()?;
    let Some(first) = fitted_on.first() else {
        return Err(Error::failed("a basis was to be fitted on no map").into());
    };
    let options = PcaOptions {
        components: components(query, first.channels()),
        ..settings.options.clone()
    };
    let key = BasisKey {
        id: query.id,
        passes: group.fitted_on.clone(),
        options: options.clone(),
        drop_massive: settings.drop_massive,
    };
    if let Some(known) = memory.pca.bases.get(&key) {
        return Ok(known);
    }
    ram::check(
        fitted_on.iter().map(|map| map.bytes()).fold(0, usize::saturating_add),
        "the principal components of these pictures",
        "fit the basis on one of them, or choose a smaller size",
    )?;
    let left_out = match settings.drop_massive {
        true => massive_channels(&channel_figures(first)),
        false => Vec::new(),
    };
    if !left_out.is_empty() {
        for map in &mut fitted_on {
            *map = Arc::new(map.without_channels(&left_out)?);
        }
    }
    let basis = SavedBasis {
        id: query.id,
        left_out,
        basis: pca::fit(&fitted_on.iter().map(AsRef::as_ref).collect::<Vec<_>>(), &options)?,
        settings: settings.clone(),
    };
    let basis = Arc::new(basis);
    let bases = &mut memory.pca.bases;
    bases.put(key, Arc::clone(&basis), bytes_of_basis(&basis.basis));
    Ok(basis)
}

/// The pictures of a group in the colours of their basis.
fn coloured(maps: &MapStore, query: &PcaQuery, group: &Group, basis: &SavedBasis) -> Result<Vec<PcaView>, Unavailable> {
    let scores = group
        .shown
        .iter()
        .map(|(_, pass)| Ok(basis.project(&*maps.map(*pass, query.id)?)?))
        .collect::<Result<Vec<Scores>, Unavailable>>()?;
    let shown: Vec<Scores> = scores
        .iter()
        .map(|scores| scores.of_components(&query.settings.shown))
        .collect();
    let range = ColourRange::of(&shown.iter().collect::<Vec<_>>(), query.settings.clip)?;
    let pictures = shown.iter().map(|shown| colour::colour(shown, &range));
    let views = group.shown.iter().zip(&scores).zip(pictures);
    Ok(views
        .map(|(((slot, pass), scores), picture)| PcaView {
            query: query.clone(),
            slot: *slot,
            pass: *pass,
            grid: scores.grid,
            rgb: picture.rgb,
            explained: basis.basis.explained_variance_ratio.clone(),
            dropped: dropped(&basis.basis, &query.settings.shown),
            fitted_on: basis.basis.positions,
            first: scores.component(0).collect(),
            left_out: basis.left_out.clone(),
        })
        .collect())
}

/// The pictures that share a basis, as the query says.
pub fn groups(query: &PcaQuery) -> Result<Vec<Group>> {
    if !query.id.has_vectors() {
        return Err(Error::usage(format!(
            "{} is an attention map: it has no PCA, click for its rows",
            query.id
        )));
    }
    if query.passes.is_empty() {
        return Err(Error::usage("principal components of no picture: open one"));
    }
    let shown = query.passes.clone();
    let fitted_on = match &query.settings.basis {
        BasisChoice::Each => {
            let alone = |(slot, pass)| Group {
                fitted_on: vec![pass],
                shown: vec![(slot, pass)],
            };
            return Ok(shown.into_iter().map(alone).collect());
        }
        BasisChoice::Together => {
            // A picture that is open twice counts once.
            let mut passes = Vec::with_capacity(shown.len());
            for (_, pass) in &shown {
                if !passes.contains(pass) {
                    passes.push(*pass);
                }
            }
            passes
        }
        BasisChoice::Of(slot) => {
            let pass = shown.iter().find(|(other, _)| other == slot).map(|(_, pass)| *pass);
            vec![pass.ok_or_else(|| {
                Error::usage(format!(
                    "the colours are to be fitted on picture {}, which is not open: choose another",
                    slot.name()
                ))
            })?]
        }
        BasisChoice::Saved(_) => Vec::new(),
    };
    Ok(vec![Group { fitted_on, shown }])
}

/// Components that are computed: those asked for, those shown, at least a colour's; never more than channels.
fn components(query: &PcaQuery, channels: usize) -> usize {
    let shown = query.settings.shown.iter().map(|index| index.saturating_add(1));
    shown
        .fold(query.settings.options.components, usize::max)
        .max(COLOUR_COMPONENTS)
        .min(channels)
}

/// Components without variance, and shown ones that do not exist, ascending.
fn dropped(basis: &PcaBasis, shown: &[usize]) -> Vec<usize> {
    let without_variance = basis.dropped.iter().enumerate().filter(|(_, dropped)| **dropped);
    let missing = shown.iter().copied().filter(|index| *index >= basis.dropped.len());
    let mut all: Vec<usize> = without_variance.map(|(index, _)| index).chain(missing).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Bytes a basis keeps in memory, its small parts aside.
fn bytes_of_basis(basis: &PcaBasis) -> usize {
    (basis.mean.len() + basis.components.len()) * size_of::<f32>()
}

/// Bytes a view keeps in memory, its small parts aside.
fn bytes_of_view(view: &PcaView) -> usize {
    size_of::<PcaView>() + view.rgb.len() + view.first.len() * size_of::<f32>()
}

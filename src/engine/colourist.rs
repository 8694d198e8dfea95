//! The worker that makes PCA colours: a fit takes longer than anybody wants to wait for a heat map.

use std::{path::Path, sync::Arc};

use super::{
    basis::SavedBasis,
    desk::{Desk, Overtaken, Unseen, check_extension, saved},
    message::{Event, PassId, Slot},
    sides::compare,
    view::{BasisChoice, PcaQuery, PcaView, ViewRequest},
};
use crate::{
    activation::Id,
    analysis::{
        colour::{self, ColourRange, RgbPicture},
        massive::{channel_figures, massive_channels},
        pca::{self, COLOUR_COMPONENTS, PcaBasis, PcaOptions, Scores},
    },
    error::{Error, Result},
    extract::{lru::LruCache, ram},
    io::output::{replace_file, write_png},
};

/// Width of a saved PCA picture, in pixels.
const SAVED_WIDTH: usize = 512;
/// Bytes of finished views remembered, so that returning to an activation answers at once.
const REMEMBERED_BYTES: usize = 64 << 20;
/// Bytes of bases remembered: another clip, or other components, of the same pictures need no new fit.
const REMEMBERED_BASES_BYTES: usize = 16 << 20;

/// Makes PCA colours; see the [module's words](super).
pub struct Colourist {
    desk: Desk,
    /// Finished views. They stay true when their maps are no longer kept.
    finished: LruCache<PcaQuery, Arc<[PcaView]>>,
    bases: LruCache<BasisKey, Arc<SavedBasis>>,
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
struct Group {
    /// What the basis is fitted on; nothing where it is in a file.
    fitted_on: Vec<PassId>,
    shown: Vec<(Slot, PassId)>,
}

impl Colourist {
    /// A colourist that has looked at nothing yet.
    pub(super) fn new(desk: Desk) -> Self {
        Self {
            desk,
            finished: LruCache::new(REMEMBERED_BYTES),
            bases: LruCache::new(REMEMBERED_BASES_BYTES),
        }
    }

    /// Tells the answer to a request.
    pub(super) fn answer(&mut self, request: &ViewRequest, overtaken: &mut Overtaken<'_>) -> Result<(), Unseen> {
        match request {
            ViewRequest::Pca(query) => {
                let desk = self.desk.clone();
                self.views(query, overtaken, &mut |view| desk.tell(Event::Pca(view.clone())))?;
            }
            ViewRequest::Sides(query) => {
                let view = compare(&self.desk, query)?;
                self.desk.tell(Event::Sides(Box::new(view)));
            }
            ViewRequest::SavePca { query, pass, path } => {
                self.save_picture(query, *pass, path)?;
                self.desk.tell(saved(path));
            }
            ViewRequest::SaveBasis { query, path } => {
                self.save_basis(query, path)?;
                self.desk.tell(saved(path));
            }
            // The others'.
            ViewRequest::Query(_)
            | ViewRequest::Compare(_)
            | ViewRequest::Rank(_)
            | ViewRequest::Matches(_)
            | ViewRequest::Channels { .. }
            | ViewRequest::Channel(_)
            | ViewRequest::SaveMap { .. }
            | ViewRequest::SaveHeat { .. } => {}
        }
        Ok(())
    }

    /// The views of all pictures, each told as soon as it is there.
    pub(super) fn views(
        &mut self,
        query: &PcaQuery,
        overtaken: &mut Overtaken<'_>,
        tell: &mut dyn FnMut(&PcaView),
    ) -> Result<Arc<[PcaView]>, Unseen> {
        if let Some(known) = self.finished.get(query) {
            known.iter().for_each(tell);
            return Ok(known);
        }
        let mut views = Vec::with_capacity(query.passes.len());
        for group in groups(query)? {
            if overtaken() {
                return Err(Unseen::Overtaken);
            }
            let basis = self.basis(query, &group)?;
            let of_group = self.coloured(query, &group, &basis)?;
            of_group.iter().for_each(&mut *tell);
            views.extend(of_group);
        }
        let views: Arc<[PcaView]> = views.into();
        // Another basis may be in the file the next time.
        if !matches!(query.settings.basis, BasisChoice::Saved(_)) {
            let bytes = views.iter().map(bytes_of_view).sum();
            self.finished.put(query.clone(), Arc::clone(&views), bytes);
        }
        Ok(views)
    }

    /// The basis of a group: fitted, or read from its file.
    fn basis(&mut self, query: &PcaQuery, group: &Group) -> Result<Arc<SavedBasis>, Unseen> {
        let settings = &query.settings;
        if let BasisChoice::Saved(path) = &settings.basis {
            return Ok(Arc::new(SavedBasis::read(path)?));
        }
        let mut maps = group
            .fitted_on
            .iter()
            .map(|pass| self.desk.map(*pass, query.id))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(first) = maps.first() else {
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
        if let Some(known) = self.bases.get(&key) {
            return Ok(known);
        }
        ram::check(
            maps.iter().map(|map| map.bytes()).fold(0, usize::saturating_add),
            "the principal components of these pictures",
            "fit the basis on one of them, or choose a smaller size",
        )?;
        let left_out = match settings.drop_massive {
            true => massive_channels(&channel_figures(first)),
            false => Vec::new(),
        };
        if !left_out.is_empty() {
            for map in &mut maps {
                *map = Arc::new(map.without_channels(&left_out)?);
            }
        }
        let basis = SavedBasis {
            id: query.id,
            left_out,
            basis: pca::fit(&maps.iter().map(AsRef::as_ref).collect::<Vec<_>>(), &options)?,
            settings: settings.clone(),
        };
        let basis = Arc::new(basis);
        self.bases.put(key, Arc::clone(&basis), bytes_of_basis(&basis.basis));
        Ok(basis)
    }

    /// The pictures of a group in the colours of their basis.
    fn coloured(&self, query: &PcaQuery, group: &Group, basis: &SavedBasis) -> Result<Vec<PcaView>, Unseen> {
        let scores = group
            .shown
            .iter()
            .map(|(_, pass)| Ok(basis.project(&*self.desk.map(*pass, query.id)?)?))
            .collect::<Result<Vec<Scores>, Unseen>>()?;
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

    fn save_picture(&mut self, query: &PcaQuery, pass: PassId, path: &Path) -> Result<(), Unseen> {
        check_extension(path, &["png"])?;
        let views = self.views(query, &mut || false, &mut |_| ())?;
        let shown = views.iter().find(|view| view.pass == pass);
        let view = shown.ok_or_else(|| Error::usage("there is no PCA to save"))?;
        let picture = RgbPicture {
            height: view.grid.height,
            width: view.grid.width,
            rgb: view.rgb.clone(),
        };
        // Of a grid that is narrow and high, the picture is high too; the PNG is made beside it.
        const BYTES_PER_PIXEL: usize = 2 * 3;
        let rows = (SAVED_WIDTH * view.grid.height).div_ceil(view.grid.width.max(1));
        ram::check(
            rows.saturating_mul(SAVED_WIDTH * BYTES_PER_PIXEL),
            "the picture of these colours",
            "choose a picture that is less narrow",
        )?;
        let large = picture.resized_nearest(SAVED_WIDTH);
        replace_file(path, |temporary| {
            write_png(temporary, [large.width, large.height], &large.rgb)
        })?;
        Ok(())
    }

    fn save_basis(&mut self, query: &PcaQuery, path: &Path) -> Result<(), Unseen> {
        check_extension(path, &["json"])?;
        let first = groups(query)?.into_iter().next();
        let group = first.ok_or_else(|| Error::usage("there is no PCA whose basis could be saved"))?;
        let basis = self.basis(query, &group)?;
        let basis = SavedBasis {
            settings: query.settings.clone(),
            ..(*basis).clone()
        };
        basis.write(path)?;
        Ok(())
    }
}

/// The pictures that share a basis, as the query says.
fn groups(query: &PcaQuery) -> Result<Vec<Group>> {
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

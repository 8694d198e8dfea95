//! A whole extraction: request → pictures → pass → arrays.

use std::{
    collections::HashSet,
    ops::Range,
    path::{Path, PathBuf},
    time::Instant,
};

use candle_core::Tensor;

use super::{
    attention::{ATTENTION_NAME, AttentionAverager, AttentionCategory, AttentionPlan},
    averager::Averager,
    extracted::{Extracted, Written},
    finite::{self, Lookout, NonFinite, NotFiniteTensor},
    intermediates::Intermediates,
    inversion::Inversion,
    model::Model,
    pass::{check_passes, check_settings, estimated_bytes, meets_control},
    ram,
    request::{ExtractRequest, FramedPicture, Record},
    self_check::Opened,
    settings::{GivenNoise, PassSettings},
};
use crate::{
    activation::{Id, Progress, Selection, Tap, pool::adaptive_average_pool},
    error::{Error, Result},
    geometry::{Grid, Size, framing::WorkingSize},
    image::{
        prepare::{PreparedImage, prepare},
        source::PictureSource,
    },
    io::{
        array::Array,
        output::{UnfinishedFolder, write_folder},
        writers,
    },
    model::{LoadExtent, adapters::ControlImage, spec::ModelSpec},
    sources::{FeatureSink, FeatureSource},
};

/// Share of the watched work that reading the weights is.
const LOADED: f32 = 0.2;

/// Told how far the work on several pictures is (0 to 1), and of how many pictures it is at which, counted from 1, where
/// there are several. An error ends the work.
pub type PicturesProgress<'a> = dyn FnMut(f32, Option<[usize; 2]>) -> Result<()> + 'a;

/// Everything about a request that can be known, and can be wrong, before weights are read.
pub struct Planned {
    /// The model by its configuration.
    pub spec: ModelSpec,
    /// What is recorded.
    pub selection: Selection,
    /// The pictures as the model will see them.
    pub pictures: Vec<(PathBuf, PreparedImage)>,
    /// What there is to say about the files of the pictures and control images.
    pub notes: Vec<String>,
    settings: PassSettings,
    attention: Vec<AttentionCategory>,
    pool: Option<usize>,
}

/// Checks a request to a model, of which everything is kept in memory until it is written, and prepares its pictures.
///
/// # Errors
///
/// Where something about it is wrong or cannot be read, or the activations take more memory than there is.
pub fn plan(spec: ModelSpec, request: &ExtractRequest) -> Result<Planned> {
    let planned = plan_streamed(spec, request)?;
    ram::check(
        planned.estimated_bytes(),
        "the activations asked for",
        "ask for fewer, for a smaller --size, or for --pool",
    )?;
    Ok(planned)
}

/// Checks a request to a model, of which nothing is kept, and prepares its pictures.
///
/// # Errors
///
/// Where something about it is wrong or cannot be read.
pub fn plan_streamed(spec: ModelSpec, request: &ExtractRequest) -> Result<Planned> {
    let run = &request.settings;
    let settings = PassSettings::new(&spec, run.clone())?;
    check_passes(request.pictures.len(), settings.run.ensemble)?;
    spec.check_adapters(&run.adapters)?;
    // Aggregated attention may be all that is asked for.
    let selection = match request.select.is_empty() && !request.attention.is_empty() {
        true => Selection::default(),
        false => {
            let native = Size::new(spec.native_side, spec.native_side);
            request.select.resolve(&spec.plain_catalogue(native))?
        }
    };
    let size = run.working_size(&spec)?;
    let mut notes = Vec::new();
    for control in &run.adapters.controls {
        // The pass reads it again: what is wrong with it is reported before weights are read.
        if let ControlImage::Picture(path) = &control.image {
            let picture = PictureSource::of(path).read();
            let picture = picture.map_err(|error| error.context("control image"))?;
            notes.extend(picture.note().map(str::to_owned));
        }
    }
    if let (true, WorkingSize::Exact { width, height }) = (spec.is_encoder(), size) {
        let multiple = spec.size_rule().multiple();
        let (asked, seen) = (
            Size::new(width, height),
            Size::new(width, height).map(|side| side - side % multiple),
        );
        if asked != seen {
            notes.push(format!(
                "the model sees {seen} pixels where {asked} are asked for: its patches have {multiple} a side"
            ));
        }
    }
    let pictures = request
        .pictures
        .iter()
        .map(|path| {
            let picture = PictureSource::of(path).read()?;
            notes.extend(picture.note().map(str::to_owned));
            Ok((path.clone(), prepare(&picture, &size, spec.size_rule())?))
        })
        .collect::<Result<Vec<_>>>()?;
    let settings = PassSettings {
        noise: match &request.noise_file {
            Some(file) if !spec.is_encoder() => Some(GivenNoise::read(file)?),
            _ => None,
        },
        non_finite: match request.output.allow_non_finite {
            true => NonFinite::Allowed,
            false => NonFinite::Refused,
        },
        ..settings
    };
    let working = |(_, picture): &(PathBuf, PreparedImage)| picture.framing.working;
    let settings = match pictures.first().map(working) {
        Some(working) => settings.at(&spec, working)?.into_owned(),
        None => settings,
    };
    let planned = Planned {
        spec,
        selection,
        pictures,
        notes,
        settings,
        attention: request.attention.clone(),
        pool: request.output.pool,
    };
    planned.check_settings()?;
    planned.check_pooling()?;
    planned.check_attention()?;
    Ok(planned)
}

impl Planned {
    /// What the pass is asked for.
    pub fn settings(&self) -> &PassSettings {
        &self.settings
    }

    /// The same plan, whose run goes on where numbers are not finite.
    pub fn allowing_non_finite(mut self) -> Self {
        self.settings.non_finite = NonFinite::Allowed;
        self
    }

    /// Finds out before the work whether `out` can be written, and can hold what these pictures give.
    ///
    /// # Errors
    ///
    /// Where it cannot.
    pub fn check_output(&self, request: &ExtractRequest, out: &Path) -> Result<()> {
        writers::check_output(out)?;
        let Some(writer) = writers::file_writer_of(out) else {
            return Ok(());
        };
        let arrays = self.selection.len() + usize::from(!self.attention.is_empty());
        if !writer.holds_several() && (arrays != 1 || request.output.intermediates) {
            return Err(Error::usage(format!(
                "{} holds one activation, more is asked for: name a folder, or a file that ends in {}",
                out.display(),
                writers::in_a_sentence(&writers::file_extensions())
            )));
        }
        if !self.has_one_size() {
            return Err(Error::usage(format!(
                "the pictures have different working sizes ({}): give one with --size, or a folder as --out",
                self.sizes()
            )));
        }
        Ok(())
    }

    /// Whether all pictures have one working size, which one pass needs.
    pub(crate) fn has_one_size(&self) -> bool {
        self.pictures
            .windows(2)
            .all(|pair| pair[0].1.framing.working == pair[1].1.framing.working)
    }

    fn check_settings(&self) -> Result<()> {
        let Some((_, first)) = self.pictures.first() else {
            return Err(Error::usage("no picture was given"));
        };
        if self.settings.noise.is_some() && !self.has_one_size() {
            return Err(Error::usage(format!(
                "--noise is for pictures of one working size, these have {}: give one with --size",
                self.sizes()
            )));
        }
        check_settings(&self.spec, first.framing.working, self.pictures.len(), &self.settings).map(|_| ())
    }

    /// Whether every activation asked for has the positions that the pooling needs.
    fn check_pooling(&self) -> Result<()> {
        let Some(factor) = self.pool else {
            return Ok(());
        };
        for (_, picture) in &self.pictures {
            let list = self.spec.plain_catalogue(picture.framing.working);
            for entry in self.selection.iter().filter_map(|tap| list.entry(tap)) {
                let [_, height, width] = entry.shape.dims();
                pooled_grid(Grid::new(height, width), factor).map_err(|error| error.context(entry.id))?;
            }
        }
        Ok(())
    }

    /// The attention that is aggregated for a picture.
    fn attention_plan(&self, picture: &PreparedImage) -> AttentionPlan {
        let working = picture.framing.working;
        let [_, height, width] = self.spec.noised_shape(working);
        let list = self.spec.plain_catalogue(working);
        AttentionPlan::new(&self.attention, &list, working, Grid::new(height, width))
    }

    /// Refuses a request for aggregated attention alone where there is none, and one that cannot be pooled.
    fn check_attention(&self) -> Result<()> {
        for (path, picture) in &self.pictures {
            let plan = self.attention_plan(picture);
            if self.selection.is_empty() && plan.is_empty() {
                return Err(Error::usage(format!(
                    "no attention layer of the categories asked for has a size that is aggregated, for {} at {} pixels: choose other categories, or activations as well",
                    path.display(),
                    picture.framing.working
                )));
            }
            if let Some(factor) = self.pool.filter(|_| !plan.is_empty()) {
                pooled_grid(plan.grid(), factor).map_err(|error| error.context(ATTENTION_NAME))?;
            }
        }
        Ok(())
    }

    /// The categories of aggregated attention that add nothing for some of the pictures.
    pub fn empty_attention(&self) -> Vec<AttentionCategory> {
        let mut empty: Vec<AttentionCategory> = Vec::new();
        for (_, picture) in &self.pictures {
            for category in self.attention_plan(picture).empty {
                if !empty.contains(&category) {
                    empty.push(category);
                }
            }
        }
        empty
    }

    /// Whether ControlNets were asked for, and nothing that is recorded can meet them.
    pub fn control_changes_nothing(&self) -> bool {
        let meets = |picture: &PreparedImage| {
            let list = self.spec.plain_catalogue(picture.framing.working);
            meets_control(&list, &self.met(&self.attention_plan(picture)))
        };
        // The predictions of an inversion meet them.
        let any =
            !self.settings.run.adapters.acting().controls.is_empty() && self.settings.run.inversion == Inversion::None;
        any && !self.pictures.iter().any(|(_, picture)| meets(picture))
    }

    /// Everything that a pass has to meet: what is recorded, and the maps that are aggregated.
    fn met(&self, attention: &AttentionPlan) -> Selection {
        self.selection.iter().chain(attention.taps()).collect()
    }

    /// The working sizes found, for a message.
    fn sizes(&self) -> String {
        let mut sizes: Vec<String> = self
            .pictures
            .iter()
            .map(|(_, picture)| picture.framing.working.to_string())
            .collect();
        sizes.sort();
        sizes.dedup();
        sizes.join(", ")
    }

    /// One plan per picture, in order: noise from a file is handed out row by row, noise from a seed is the same for
    /// each.
    pub fn split(self) -> Vec<Self> {
        let Self {
            spec,
            selection,
            pictures,
            notes: _,
            settings,
            attention,
            pool,
        } = self;
        let alone = |(index, picture)| Self {
            notes: Vec::new(),
            spec: spec.clone(),
            selection: selection.clone(),
            pictures: vec![picture],
            settings: settings.of_picture(index),
            attention: attention.clone(),
            pool,
        };
        pictures.into_iter().enumerate().map(alone).collect()
    }

    /// Bytes of what will be kept in memory, in f32: of all pictures where they run together, else of the largest.
    pub fn estimated_bytes(&self) -> usize {
        let factor = self.pool.unwrap_or(1);
        let each = self.pictures.iter().map(|(_, picture)| {
            let list = self.spec.plain_catalogue(picture.framing.working);
            let features = estimated_bytes(&list, &self.selection, 1);
            let attention = self.attention_plan(picture).estimated_bytes();
            features.saturating_add(attention) / factor.saturating_mul(factor)
        });
        if self.has_one_size() {
            each.fold(0, usize::saturating_add)
        } else {
            each.max().unwrap_or(0)
        }
    }

    /// Runs everything and writes it: pictures of one working size as a batch into a file or folder, pictures of
    /// different sizes one by one into a folder each.
    ///
    /// # Errors
    ///
    /// Where a pass fails or is cancelled, an activation is not finite, or the disk fails: then nothing is written.
    pub fn write(
        self,
        request: &ExtractRequest,
        source: &mut dyn FeatureSource,
        out: &Path,
        progress: &mut PicturesProgress<'_>,
    ) -> Result<Written> {
        self.check_output(request, out)?;
        if !self.has_one_size() {
            let mut written = Written::default();
            write_folder(out, |folder| {
                written = self.write_apart(request, source, folder, progress)?;
                Ok(())
            })?;
            return Ok(written);
        }
        let total = self.pictures.len();
        let prepared: Vec<PreparedImage> = self.pictures.iter().map(|(_, picture)| picture.clone()).collect();
        let shares = source.progress_shares(&prepared, &self.settings, &self.selection);
        let item = |done| (total > 1).then(|| [shares.picture_at(done, total) + 1, total]);
        let extracted = self.run(request, source, &mut |done| progress(done, item(done)))?;
        extracted.write(out, request.output.store)?;
        Ok(extracted.written(request.output.store))
    }

    /// One folder per picture.
    fn write_apart(
        self,
        request: &ExtractRequest,
        source: &mut dyn FeatureSource,
        out: &UnfinishedFolder,
        progress: &mut PicturesProgress<'_>,
    ) -> Result<Written> {
        let alone = self.split();
        let total = alone.len();
        let mut taken = HashSet::new();
        let mut written = Written::default();
        for (index, planned) in alone.iter().enumerate() {
            let pictures: Vec<PathBuf> = planned.pictures.iter().map(|(path, _)| path.clone()).collect();
            let name = folder_name(&pictures, &mut taken);
            out.folder(&name, |folder| {
                let request = ExtractRequest {
                    pictures,
                    ..request.clone()
                };
                let mut progress = |done| progress((index as f32 + done) / total as f32, Some([index + 1, total]));
                let extracted = planned.run(&request, source, &mut progress)?;
                extracted.write_into(folder, request.output.store)?;
                let found = extracted.written(request.output.store);
                let inside = |tensor: String| format!("{name}/{tensor}");
                let tensors = found.tensors.into_iter();
                written
                    .tensors
                    .extend(tensors.map(|(tensor, shape)| (inside(tensor), shape)));
                written.bytes += found.bytes;
                let marked = found.not_finite.into_iter();
                written.not_finite.extend(marked.map(|tensor| NotFiniteTensor {
                    name: inside(tensor.name),
                    ..tensor
                }));
                Ok(())
            })?;
        }
        Ok(written)
    }

    /// Reads the weights that the request needs and none behind them, onto a device that was opened for it; the first part of
    /// the progress.
    ///
    /// # Errors
    ///
    /// Where weights are not here or broken, or `progress` ends the work.
    pub fn load(&self, request: &ExtractRequest, opened: Opened, progress: &mut Progress<'_>) -> Result<Model> {
        load_part(&self.spec, opened, self.extent(request), progress)
    }

    /// How far the network has to be read.
    fn extent(&self, request: &ExtractRequest) -> LoadExtent {
        // An inversion runs to the end again and again, LoRAs say which layers they found, and attention is of several.
        let all = request.output.intermediates
            || request.settings.inversion != Inversion::None
            || !request.settings.adapters.is_empty()
            || !self.attention.is_empty();
        match self.selection.iter().last() {
            Some(last) if !all => LoadExtent::UpTo(last),
            _ => LoadExtent::Whole,
        }
    }

    /// Runs the pass. An activation that is not finite is an error that says where such numbers began and why, unless they are
    /// allowed: then the record says what holds them.
    ///
    /// # Errors
    ///
    /// Where `progress` ends the work, an activation is not finite, or the device fails.
    pub fn run(
        &self,
        request: &ExtractRequest,
        source: &mut dyn FeatureSource,
        progress: &mut Progress<'_>,
    ) -> Result<Extracted> {
        let started = Instant::now();
        let prepared: Vec<PreparedImage> = self.pictures.iter().map(|(_, picture)| picture.clone()).collect();
        let Some(first) = prepared.first() else {
            return Err(Error::usage("no picture was given"));
        };
        let list = source.catalogue(first.framing.working);
        let attention = self.attention_plan(first);
        let members = self.settings.run.ensemble;
        let allowed = self.settings.non_finite == NonFinite::Allowed;
        let mut collector = Collector {
            selection: &self.selection,
            averager: Averager::new(prepared.len(), members, |_, array| pooled(array, self.pool)),
            attention: AttentionAverager::new(&attention, prepared.len(), members),
            lookout: (!allowed).then(Lookout::default),
            intermediates: request.output.intermediates.then(Intermediates::new),
        };
        let ran = source.run(
            &prepared,
            &self.settings,
            &self.met(&attention),
            &mut collector,
            progress,
        );
        if let Some(met) = collector.lookout.as_ref().and_then(Lookout::met) {
            let names: Vec<String> = self
                .pictures
                .iter()
                .map(|(path, _)| path.display().to_string())
                .collect();
            let refusal = finite::refusal(&self.spec, source, &prepared, &names, &self.settings, met, progress);
            return Err(refusal);
        }
        ran?;
        let attention = match collector.attention.finish()? {
            Some(array) => Some(pooled(array, self.pool)?),
            None => None,
        };
        let activations: Vec<(Id, Array)> = collector
            .averager
            .finish()
            .into_iter()
            .filter_map(|(tap, array)| Some((list.entry(tap)?.id, array)))
            .collect();
        let pictures = self.pictures.iter().map(|(path, picture)| FramedPicture {
            path: path.clone(),
            framing: picture.framing,
        });
        let ids = activations.iter().map(|(id, _)| id.to_string()).collect();
        let seconds = started.elapsed().as_secs_f64();
        let ran = source.provenance(&self.settings, pictures.collect(), ids, seconds);
        let mut extracted = Extracted {
            activations,
            attention,
            intermediates: collector.intermediates.unwrap_or_default(),
            record: Record {
                request: request.clone(),
                ran,
            },
        };
        let marked = extracted.not_finite(request.output.store, allowed)?;
        extracted.record.ran.not_finite = marked;
        Ok(extracted)
    }
}

/// What an extraction keeps of a pass: means over the ensemble of what is selected, and aggregated attention.
struct Collector<'a> {
    selection: &'a Selection,
    averager: Averager<'a>,
    attention: AttentionAverager<'a>,
    /// None where numbers that are not finite are allowed.
    lookout: Option<Lookout>,
    /// None where they were not asked for.
    intermediates: Option<Intermediates>,
}

impl FeatureSink for Collector<'_> {
    fn record(&mut self, tap: Tap, rows: Range<usize>, tensor: &Tensor) -> Result<()> {
        if let Some(lookout) = &mut self.lookout {
            lookout.look(tap, &rows, tensor)?;
        }
        self.attention.add(tap, rows.clone(), tensor)?;
        match self.selection.contains(tap) {
            true => self.averager.record(tap, rows, tensor),
            false => Ok(()),
        }
    }

    fn intermediates(&mut self) -> Option<&mut Intermediates> {
        self.intermediates.as_mut()
    }
}

/// A folder named after a picture; pictures of the same name are counted.
fn folder_name(pictures: &[PathBuf], taken: &mut HashSet<String>) -> String {
    let stem = pictures
        .first()
        .and_then(|path| path.file_stem())
        .map(|stem| stem.to_string_lossy().into_owned());
    let stem = stem.unwrap_or_else(|| "picture".to_owned());
    let mut name = stem.clone();
    let mut count = 1;
    while !taken.insert(name.clone()) {
        count += 1;
        name = format!("{stem}-{count}");
    }
    name
}

/// Adaptive average pooling of the last two dimensions to (⌊h/R⌋, ⌊w/R⌋), for maps over (queries, keys).
fn pooled(array: Array, factor: Option<usize>) -> Result<Array> {
    let Some(factor) = factor.filter(|factor| *factor > 1) else {
        return Ok(array);
    };
    let [rows, planes, height, width] = array.shape[..] else {
        return Ok(array);
    };
    let from = Grid::new(height, width);
    let to = pooled_grid(from, factor)?;
    let data = adaptive_average_pool(&array.data, rows * planes, from, to)?;
    Array::new(vec![rows, planes, to.height, to.width], data)
}

fn pooled_grid(from: Grid, factor: usize) -> Result<Grid> {
    let Grid { height, width } = from;
    if factor == 0 || height.min(width) < factor {
        return Err(Error::usage(format!(
            "--pool {factor}: an activation of {height} x {width} positions can be pooled by 1 to {}",
            height.min(width)
        )));
    }
    Ok(Grid::new(height / factor, width / factor))
}

/// Reads all weights of a model onto a device that was opened; the first part of the progress.
///
/// # Errors
///
/// Where weights are not here or broken, or `progress` ends the work.
pub fn load(spec: &ModelSpec, opened: Opened, progress: &mut Progress<'_>) -> Result<Model> {
    load_part(spec, opened, LoadExtent::Whole, progress)
}

fn load_part(spec: &ModelSpec, opened: Opened, extent: LoadExtent, progress: &mut Progress<'_>) -> Result<Model> {
    let mut model = Model::load(spec, opened.place, extent, &mut |done| progress(LOADED * done))?;
    model.spec.notes.extend(opened.note);
    Ok(model)
}

/// The part of the watched work after the weights are read.
pub fn after_loading(done: f32) -> f32 {
    LOADED + (1.0 - LOADED) * done
}

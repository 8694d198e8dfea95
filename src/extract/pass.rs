//! One pass over pictures of one working size: encode, mix with noise, denoise, record.

use std::ops::Range;

use candle_core::{DType, Tensor};

use super::{
    encode::encode,
    finite::{NonFinite, check_control, check_input},
    intermediates::{keep_control, keep_intermediates},
    inversion::{self, Inversion},
    model::Model,
    noise::TorchGenerator,
    progress::ProgressShares,
    ram,
    settings::{LatentMode, PassSettings, Recording},
};
use crate::{
    activation::{Catalogue, Cost, Id, Probe, Progress, Selection, Stage, Tap},
    components::{schedule::Timestep, text::check_prompt, vae::VaeDecoder},
    error::{Error, Result},
    geometry::Size,
    image::{picture::Picture, prepare::PreparedImage},
    io::array::Array,
    model::{
        compat::Compat,
        control::{ControlInput, ControlSignal},
        denoiser::{Conditioning, LatentDistribution, Step},
        spec::ModelSpec,
    },
    sources::FeatureSink,
};

/// Positions of the denoiser's input that run as one batch: larger batches gain nothing on a CPU and cost memory.
const BATCH_POSITIONS: usize = 64 * 64;
/// Bytes of one selected tensor that a batch may make: attention maps of many rows are made in smaller batches.
const BATCH_TENSOR_BYTES: usize = 256 << 20;
/// The share of a batch's work that ControlNets are.
const CONTROL_SHARE: f32 = 0.35;
/// The most pictures x members of one request.
const MAX_ROWS: usize = 4096;

/// The input of a pass, ready to run.
pub(super) struct Input {
    /// What the noise is mixed with, (B·K, C, h, w).
    pub(super) clean: Tensor,
    pub(super) noise: Tensor,
    pub(super) vae_noise: Option<Array>,
    /// What each picture was encoded as.
    pub(super) encoded: Vec<LatentDistribution>,
    /// The latent at the timestep, (B·K, C, h, w).
    pub(super) noisy: Tensor,
    pub(super) prompt: Option<Conditioning>,
}

impl Input {
    fn rows_in(&self, range: &Range<usize>) -> Result<[Tensor; 2]> {
        let part = |tensor: &Tensor| tensor.narrow(0, range.start, range.len());
        Ok([part(&self.noisy)?, part(&self.clean)?])
    }
}

/// A model with all that its predictions depend on, but for the latent.
struct Denoiser<'a> {
    model: &'a Model,
    prompt: Option<&'a Conditioning>,
    /// Row of the class in the network's table.
    class: Option<u32>,
    control: &'a [ControlInput],
    /// Rows of a picture.
    members: usize,
    /// Activations of the network, and the cost up to each.
    length: usize,
    cost: Cost,
    settings: &'a PassSettings,
}

/// What one evaluation records, and whether it goes on to the end when everything is recorded.
struct Wanted<'a> {
    selection: &'a Selection,
    record: &'a mut dyn FnMut(Tap, &Tensor) -> Result<()>,
    to_the_end: bool,
}

impl Denoiser<'_> {
    /// The network's output for the rows `range`, unless it ended before, and the ControlNets' residuals. `latents` are those
    /// rows, noisy and clean.
    fn predict(
        &self,
        [noisy, clean]: [&Tensor; 2],
        range: &Range<usize>,
        t: Timestep,
        wanted: Wanted<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<(Option<Tensor>, Option<ControlSignal>)> {
        let mut before = 0.0;
        let mut control_signal = None;
        if !self.control.is_empty() {
            let pictures: Vec<u32> = range.clone().map(|row| (row / self.members) as u32).collect();
            let mut progress = |done: f32| progress(CONTROL_SHARE * done);
            // A network for inpainting takes more than the noisy latents, a ControlNet these alone.
            control_signal = self
                .model
                .control(noisy, t, self.prompt, self.control, &pictures, &mut progress)?;
            if let (NonFinite::Traced, Some(control_signal)) = (self.settings.non_finite, &control_signal) {
                check_control(control_signal)?;
            }
            before = CONTROL_SHARE;
        }
        let last = wanted.selection.last().filter(|_| !wanted.to_the_end);
        let mut progress = |met: f32| progress(before + (1.0 - before) * self.cost.share(met, last));
        let mut probe = Probe::new(wanted.selection, self.length, wanted.record, &mut progress);
        if wanted.to_the_end {
            probe = probe.to_the_end();
        }
        if self.settings.recording == Recording::Whole {
            probe = probe.with_means_of_heads();
        }
        let rows = self.model.denoiser_input(noisy, clean)?;
        let step = Step {
            input: &rows,
            t,
            conditioning: self.prompt,
            class: self.class,
            control: control_signal.as_ref(),
            guidance: self.settings.run.guidance,
            compat: self.settings.run.compat,
        };
        let output = self.model.denoise(&step, &mut probe)?;
        Ok((output, control_signal))
    }

    /// The latent of the rows `range` at `t` by DDIM inversion.
    fn invert(
        &self,
        clean: &Tensor,
        range: &Range<usize>,
        settings: &PassSettings,
        progress: &mut Progress<'_>,
    ) -> Result<Tensor> {
        let nothing = Selection::default();
        let channels = clean.dim(1)?;
        let (t, published) = (settings.t, settings.run.compat == Some(Compat::Gdf));
        let evaluations = match published {
            true => inversion::published_timesteps(t).len(),
            false => inversion::timesteps(t).len(),
        };
        let mut done = 0.0;
        let mut predict = |latent: &Tensor, t| {
            let wanted = Wanted {
                selection: &nothing,
                record: &mut |_, _| Ok(()),
                to_the_end: true,
            };
            let mut progress = |part: f32| progress((done + part) / evaluations as f32);
            let (output, _) = self.predict([latent, clean], range, t, wanted, &mut progress)?;
            done += 1.0;
            let output = output.ok_or_else(|| Error::failed("a pass that was to go to its end did not"))?;
            // Networks that also predict a variance (ADM) give it behind the noise.
            Ok(output.narrow(1, 0, channels)?.to_dtype(DType::F32)?)
        };
        let schedule = &self.model.spec.schedule;
        match published {
            true => {
                let published = self.model.published_latent(clean)?;
                inversion::invert_as_published(schedule, &published, t, &mut predict)
            }
            false => inversion::invert(schedule, clean, t, &mut predict),
        }
    }
}

/// Runs a pass, whose tensors go to `sink`.
///
/// # Errors
///
/// Where `sink` or `progress` end the work with one, the settings do not fit the pictures, or the device fails.
pub fn run_pass(
    model: &mut Model,
    pictures: &[PreparedImage],
    settings: &PassSettings,
    selection: &Selection,
    sink: &mut dyn FeatureSink,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let ran = match model.encoder() {
        Some(encoder) => encode(model, encoder, pictures, settings, selection, sink, progress),
        None => run(model, pictures, settings, selection, sink, progress),
    };
    ran.map_err(|error| match (error.is_out_of_memory(), pictures.first()) {
        (true, Some(first)) => {
            let Size { width, height } = first.framing.working;
            error.context(format!(
                "{} picture(s) of {width} x {height} pixels with an ensemble of {}, in {} on {}",
                pictures.len(),
                settings.run.ensemble,
                model.place.dtype_name(),
                model.place.device_name()
            ))
        }
        _ => error,
    })
}

fn run(
    model: &mut Model,
    pictures: &[PreparedImage],
    settings: &PassSettings,
    selection: &Selection,
    sink: &mut dyn FeatureSink,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let to_the_end = sink.intermediates().is_some();
    let Some(first) = pictures.first() else {
        return Err(Error::usage("no picture was given"));
    };
    let settings = &*settings.at(&model.spec, first.framing.working)?;
    let shares = ProgressShares::of(model, pictures, settings, selection);
    let mut input = prepare_input(model, pictures, settings, shares, progress)?;
    check_input(model, settings, &input)?;
    let list = match &input.prompt {
        Some(prompt) => model.spec.catalogue(pictures[0].framing.working, prompt.length()?),
        None => model.spec.plain_catalogue(pictures[0].framing.working),
    };
    let rows = input.noisy.dim(0)?;
    let batch = match settings.recording {
        Recording::InBatches => batch_rows(&list, selection, input.noisy.dims()),
        Recording::Whole => rows,
    };
    let batches = || (0..rows).step_by(batch).map(|start| start..(start + batch).min(rows));
    // ControlNets add to the skips and the middle: what lies before the up stage never meets them, predictions do.
    let inverts = settings.run.inversion == Inversion::Ddim;
    let control = if inverts || to_the_end || meets_control(&list, selection) {
        let working: Vec<&Picture> = pictures.iter().map(|picture| &picture.picture).collect();
        model.control_inputs(&working)?
    } else {
        Vec::new()
    };
    let model = &*model;
    let prompt = input.prompt.clone();
    let denoiser = Denoiser {
        model,
        prompt: prompt.as_ref(),
        class: settings.class.as_ref().map(|class| class.row),
        control: &control,
        members: settings.run.ensemble,
        length: list.len(),
        cost: Cost::of(&list),
        settings,
    };
    let mut begun = shares.prompt;
    if inverts {
        let evaluations = inversion::timesteps(settings.t).len() as f32;
        let share = (1.0 - begun) * evaluations / (evaluations + 1.0);
        let mut inverted = Vec::new();
        for range in batches() {
            let [_, clean] = input.rows_in(&range)?;
            let (from, part) = (range.start as f32 / rows as f32, range.len() as f32 / rows as f32);
            let mut progress = |done: f32| progress(shares.prompt + share * (from + part * done));
            inverted.push(denoiser.invert(&clean, &range, settings, &mut progress)?);
        }
        input.noisy = Tensor::cat(&inverted, 0)?;
        check_input(model, settings, &input)?;
        begun += share;
    }
    if let Some(kept) = sink.intermediates() {
        keep_intermediates(kept, model, pictures, &input, settings)?;
    }
    let decoded = list.tap(Id::VAE_OUT).filter(|tap| selection.contains(*tap));
    let decoder = match decoded {
        Some(tap) => Some((tap, model.open_decoder()?)),
        None => None,
    };
    let mut outputs = Vec::new();
    let mut residuals = Vec::new();
    for range in batches() {
        let [noisy, clean] = input.rows_in(&range)?;
        let mut record = |tap: Tap, tensor: &Tensor| sink.record(tap, range.clone(), tensor);
        let (from, share) = (range.start as f32 / rows as f32, range.len() as f32 / rows as f32);
        let mut progress = |done: f32| progress(begun + (1.0 - begun) * (from + share * done));
        let wanted = Wanted {
            selection,
            record: &mut record,
            to_the_end,
        };
        let (output, control_signal) = denoiser.predict([&noisy, &clean], &range, settings.t, wanted, &mut progress)?;
        if let (Some((tap, decoder)), Some(output)) = (&decoder, &output) {
            // Networks that also predict a variance give it behind the noise.
            let output = output.narrow(1, 0, noisy.dim(1)?)?.to_dtype(DType::F32)?;
            let earlier = model.spec.schedule.earlier(&noisy, &output, settings.t)?;
            record(*tap, &decode(decoder, &earlier, &mut progress)?)?;
        }
        if to_the_end {
            outputs.extend(output);
            residuals.extend(control_signal);
        }
    }
    if let Some(kept) = sink.intermediates() {
        keep_control(kept, &control, &residuals)?;
        let name = model.spec.network.output_name();
        let output = model.own_layout(&Tensor::cat(&outputs, 0)?)?;
        kept.insert(name.into(), Array::from_tensor(&output)?);
    }
    progress(1.0)
}

/// Latents (B, C, h, w) as pictures (B, 3, H, W), one by one: a decoder needs much more memory than a denoiser.
fn decode(decoder: &VaeDecoder, latents: &Tensor, progress: &mut Progress<'_>) -> Result<Tensor> {
    let rows = latents.dim(0)?;
    let pictures = (0..rows).map(|row| {
        // The pass itself is done: progress can only cancel.
        decoder.decode(&latents.narrow(0, row, 1)?, &mut |_| progress(1.0))
    });
    Ok(Tensor::cat(&pictures.collect::<Result<Vec<_>>>()?, 0)?)
}

/// How many rows run at a time, for an input of the shape (rows, C, h, w).
pub(super) fn batch_rows(list: &Catalogue, selection: &Selection, input: &[usize]) -> usize {
    let [rows, _, height, width] = *input else { return 1 };
    let entries = selection.iter().filter_map(|tap| list.entry(tap));
    let largest = entries.map(|entry| entry.shape.bytes()).max().unwrap_or(0);
    let of_positions = BATCH_POSITIONS / (height * width).max(1);
    let of_bytes = BATCH_TENSOR_BYTES / largest.max(1);
    of_positions.min(of_bytes).clamp(1, rows.max(1))
}

/// Whether what is asked for lies behind the places where ControlNets are added.
pub(super) fn meets_control(list: &Catalogue, selection: &Selection) -> bool {
    let last = selection.last().and_then(|tap| list.entry(tap));
    last.is_some_and(|entry| matches!(entry.facts.stage, Stage::Up | Stage::Output))
}

/// The working size that all pictures of a pass have.
///
/// # Errors
///
/// Where there is no picture, or they differ in it.
pub(super) fn working_size_of(pictures: &[PreparedImage]) -> Result<Size> {
    let Some(first) = pictures.first() else {
        return Err(Error::usage("no picture was given"));
    };
    let working = first.framing.working;
    match pictures.iter().all(|picture| picture.framing.working == working) {
        true => Ok(working),
        false => Err(Error::usage(
            "the pictures have different working sizes: one pass takes one size",
        )),
    }
}

fn prepare_input(
    model: &mut Model,
    pictures: &[PreparedImage],
    settings: &PassSettings,
    shares: ProgressShares,
    progress: &mut Progress<'_>,
) -> Result<Input> {
    let members = settings.run.ensemble;
    let working = working_size_of(pictures)?;
    let shapes = check_settings(&model.spec, working, pictures.len(), settings)?;
    let (noise, vae_noise) = draw(settings, shapes, settings.latent_mode(&model.spec))?;
    model.adapt(&settings.run.adapters)?;

    let mut encoded = Vec::with_capacity(pictures.len());
    for (index, picture) in pictures.iter().enumerate() {
        let mut part = |done: f32| progress(shares.pictures * (index as f32 + done) / pictures.len() as f32);
        encoded.push(model.encode_image(&picture.picture, &mut part)?);
    }
    let prompt = model.encode_prompt(&settings.run.prompt, settings.run.compat, &mut |done| {
        progress(shares.pictures + (shares.prompt - shares.pictures) * done)
    })?;

    let place = model.place.clone();
    let on_device = |array: &Array| array.to_tensor(DType::F32, &place.device);
    let repeated = |tensor: &Tensor| tensor.repeat((members, 1, 1, 1));
    let mut samples = Vec::with_capacity(pictures.len());
    for (index, encoded) in encoded.iter().enumerate() {
        samples.push(match (encoded, &vae_noise) {
            (LatentDistribution::Pixels(pixels), _) => repeated(pixels)?,
            (LatentDistribution::Posterior(posterior), None) => repeated(&posterior.mean)?,
            (LatentDistribution::Posterior(posterior), Some(noise)) => {
                let noise = on_device(noise)?.narrow(0, index * members, members)?;
                noise.broadcast_mul(&posterior.std)?.broadcast_add(&posterior.mean)?
            }
        });
    }
    let clean = model.scale(&Tensor::cat(&samples, 0)?)?;
    let noise = on_device(&noise)?;
    let noisy = ((&clean * settings.mixture.signal)? + (&noise * settings.mixture.noise)?)?;
    Ok(Input {
        clean,
        noise,
        vae_noise,
        encoded,
        noisy,
        prompt,
    })
}

/// Refuses more rows than a run takes; gives their number.
///
/// # Errors
///
/// Where there are none, or too many.
pub fn check_passes(pictures: usize, members: usize) -> Result<usize> {
    let rows = pictures.saturating_mul(members);
    if (1..=MAX_ROWS).contains(&rows) {
        return Ok(rows);
    }
    let advice = match rows {
        0 => "",
        _ if members <= MAX_ROWS => "; split the pictures into several runs",
        _ => "; ask for a smaller ensemble",
    };
    Err(Error::usage(format!(
        "{pictures} picture(s) with an ensemble of {members} need {rows} passes: from 1 to {MAX_ROWS} are made{advice}"
    )))
}

/// Shapes of a pass's noise, (B·K, C, h, w) each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoiseShapes {
    /// Of what is mixed with the latent.
    diffusion: [usize; 4],
    /// Of what a latent is sampled with.
    posterior: [usize; 4],
}

/// Refuses what cannot run, before weights are read; gives the shapes of the noise.
///
/// # Errors
///
/// Where something cannot run; the error says what to do.
pub fn check_settings(
    spec: &ModelSpec,
    working: Size,
    pictures: usize,
    settings: &PassSettings,
) -> Result<NoiseShapes> {
    check_prompt(&settings.run.prompt)?;
    let members = settings.run.ensemble;
    let rows = check_passes(pictures, members)?;
    let inverts = settings.run.inversion == Inversion::Ddim;
    if inverts && !spec.adds_noise {
        return Err(Error::usage(format!(
            "{} is given the picture without noise: there is nothing for a DDIM inversion to add; leave --inversion out",
            spec.name
        )));
    }
    if (inverts || !spec.adds_noise) && members > 1 && settings.latent_mode(spec) == LatentMode::Mean {
        let who = match inverts {
            true => "DDIM inversion",
            false => spec.name.as_str(),
        };
        let or_sample = match spec.reads_prompt() {
            true => ", or sample the latent with --vae sample",
            false => "",
        };
        return Err(Error::usage(format!(
            "{who} uses no random noise: an ensemble of {members} would average {members} equal passes; leave \
             --ensemble out{or_sample}"
        )));
    }
    let of_rows = |[channels, height, width]: [usize; 3]| [rows, channels, height, width];
    let shapes = NoiseShapes {
        diffusion: of_rows(spec.noised_shape(working)),
        posterior: of_rows(spec.posterior_shape(working)),
    };
    // Clean and noisy rows, the noise, and room for one more of them.
    const ARRAYS: usize = 4;
    let bytes = shapes
        .diffusion
        .iter()
        .fold(ARRAYS * size_of::<f32>(), |product, side| product.saturating_mul(*side));
    ram::check(
        bytes,
        &format!("an input of {rows} rows"),
        "ask for a smaller --ensemble or --size",
    )?;
    let given = settings.noise.as_ref();
    let used = [
        ("in.noise", given.map(|given| &given.noise), shapes.diffusion),
        (
            "in.vae_noise",
            given
                .and_then(|given| given.vae_noise.as_ref())
                .filter(|_| settings.latent_mode(spec) == LatentMode::Sample),
            shapes.posterior,
        ),
    ];
    for (name, array, shape) in used {
        if let Some(array) = array.filter(|array| array.shape != shape) {
            return Err(Error::usage(format!(
                "{name} of the noise file has the shape {:?}, this request needs {shape:?}: pictures x ensemble, \
                 channels, rows, columns",
                array.shape
            )));
        }
    }
    Ok(shapes)
}

/// The diffusion noise, and the autoencoder's where it is used.
pub(super) fn draw(settings: &PassSettings, shapes: NoiseShapes, latent: LatentMode) -> Result<(Array, Option<Array>)> {
    let mut generator = TorchGenerator::new(settings.run.seed);
    let mut next = |shape: [usize; 4]| Array::new(shape.to_vec(), generator.randn(shape.iter().product()));
    let (drawn, given) = (next(shapes.diffusion)?, settings.noise.as_ref());
    let first = given.map_or(drawn, |given| given.noise.clone());
    let second = match (latent, given.and_then(|given| given.vae_noise.as_ref())) {
        (LatentMode::Mean, _) => None,
        (LatentMode::Sample, Some(given)) => Some(given.clone()),
        (LatentMode::Sample, None) => Some(next(shapes.posterior)?),
    };
    Ok((first, second))
}

/// Bytes that the selected activations of one request will take in f32.
pub fn estimated_bytes(list: &Catalogue, selection: &Selection, pictures: usize) -> usize {
    let each: usize = selection
        .iter()
        .filter_map(|tap| list.entry(tap))
        .map(|entry| entry.shape.bytes())
        .sum();
    each.saturating_mul(pictures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        activation::{CatalogueEntry, Facts, Kind, Shape},
        geometry::Grid,
    };

    fn list() -> Catalogue {
        let features = Shape::Features {
            channels: 4,
            grid: Grid::new(2, 2),
        };
        let map = Shape::Attention {
            heads: 8,
            queries: 4096,
            keys: 4096,
        };
        let mut list = Catalogue::default();
        for (id, stage, shape) in [
            ("mid-repeat0-res-out", Stage::Mid, features),
            ("up-level0-repeat0-res-out", Stage::Up, features),
            ("up-level0-repeat0-vit-block0-self-map", Stage::Up, map),
            ("unet-out", Stage::Output, features),
        ] {
            list.push(CatalogueEntry {
                id: Id::of(id),
                shape,
                facts: Facts::new(Id::of(id), stage, Kind::BlockOutput),
            });
        }
        list
    }

    fn of(taps: &[u32]) -> Selection {
        taps.iter().map(|tap| Tap(*tap)).collect()
    }

    #[test]
    fn batches_are_bounded_by_positions_and_by_the_largest_tensor() {
        let rows = |taps: &[u32], side: usize, rows: usize| batch_rows(&list(), &of(taps), &[rows, 4, side, side]);
        assert_eq!(rows(&[0], 32, 100), 4);
        assert_eq!(rows(&[0], 32, 3), 3, "no more rows than there are");
        assert_eq!(rows(&[0], 64, 8), 1);
        assert_eq!(rows(&[0], 4096, 8), 1, "at least one");
        assert_eq!(rows(&[0, 2], 8, 8), 1, "maps of 512 MiB are made one by one");
    }

    #[test]
    fn controlnets_run_only_for_what_can_meet_them() {
        for (taps, meets) in [
            (&[0][..], false),
            (&[0, 1], true),
            (&[2], true),
            (&[3], true),
            (&[], false),
        ] {
            assert_eq!(meets_control(&list(), &of(taps)), meets, "{taps:?}");
        }
    }
}

//! What has to be known of a GPU with a full-size model: parity of every activation with the CPU, a warm pass, the time to
//! the first map, ten cancels in a row, and what happens when its memory is not enough. `run.sh` beside this file calls it.
//! It prints one line of JSON for each.
#![allow(
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark ends where something fails, and prints its figures"
)]

use featscope::{
    activation::{Id, Selection, Tap},
    device::{Compute, DeviceChoice, Precision},
    engine::{
        Answer, Engine, Event, ImageSlot, PcaQuery, PcaSettings, PictureSource, Request, TaskKind, ViewRequest,
        transport::{Launcher, supervise},
    },
    error::{Error, Result},
    extract::{
        model::Model,
        preset::PRESETS,
        settings::{PassSettings, RunSettings},
    },
    families::resolve,
    geometry::framing::WorkingSize,
    image::prepare::{PreparedImage, prepare},
    io::array::Array,
    model::{LoadExtent, spec::ModelSpec},
    sources::FeatureSource,
};
use std::{
    collections::HashMap,
    ops::Range,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use candle_core::Tensor;
use clap::{Parser, Subcommand};
use serde_json::{Value, json};

const PICTURE: &str = "photo-cat";
const PROMPT: &str = "a photo of a cat";
/// Maps that the engine keeps: all of a pass.
const KEPT_BYTES: usize = 16 << 30;
/// How long an answer of the engine may take.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// The folder of the model.
    #[arg(long, global = true, default_value = "demo")]
    model: String,
    #[arg(long, global = true, default_value = "cuda:0")]
    device: DeviceChoice,
    #[arg(long, global = true, default_value = "f32", value_parser = precision)]
    dtype: Precision,
    /// The side of the working picture; without it the model's own.
    #[arg(long, global = true)]
    side: Option<usize>,
    /// Cargo says so to every benchmark.
    #[arg(long, global = true)]
    bench: bool,
}

fn precision(name: &str) -> Result<Precision, String> {
    let found = Precision::ALL.into_iter().find(|precision| precision.name() == name);
    found.ok_or_else(|| "f32, f16 or bf16 is expected".to_owned())
}

#[derive(Subcommand)]
enum What {
    /// Every activation beside the CPU's in f32.
    Parity,
    /// Warm passes with the activations of the published preset of the model.
    Pass {
        #[arg(long, default_value_t = 10)]
        repeats: usize,
        /// The preset whose activations are recorded; without it the last activation alone.
        #[arg(long)]
        preset: Option<String>,
    },
    /// From asking for a run to its first map and its colours, with a model that is loaded, by way of the worker.
    FirstMap { worker: PathBuf },
    /// Ten runs that are cancelled, then one that is not, by way of the worker.
    Cancels { worker: PathBuf },
    /// A run that cannot fit into the GPU's memory, then one that can, by way of the worker.
    Memory { worker: PathBuf },
}

fn settings(spec: &ModelSpec) -> Result<PassSettings> {
    let settings = RunSettings {
        t: spec.default_t,
        prompt: PROMPT.to_owned(),
        ..RunSettings::default()
    };
    PassSettings::new(spec, settings)
}

/// A model at a place, and the picture as it sees it.
fn loaded(arguments: &Arguments, place: Compute) -> Result<(Model, PreparedImage)> {
    let spec = resolve(&arguments.model)?;
    let side = arguments.side.unwrap_or(spec.native_side);
    let picture = PictureSource::Sample(PICTURE.to_owned()).read()?;
    let size = WorkingSize::Exact {
        width: side,
        height: side,
    };
    let prepared = prepare(&picture, &size, spec.size_rule())?;
    let model = Model::load(&spec, place, LoadExtent::Whole, &mut |_| Ok(()))?;
    Ok((model, prepared))
}

fn pass(
    model: &mut Model,
    prepared: &PreparedImage,
    selection: &Selection,
    record: &mut dyn FnMut(Tap, &Tensor) -> Result<()>,
) -> Result<()> {
    let settings = settings(&model.spec)?;
    model.run(
        std::slice::from_ref(prepared),
        &settings,
        selection,
        &mut |tap: Tap, _: Range<usize>, tensor: &Tensor| record(tap, tensor),
        &mut |_| Ok(()),
    )
}

/// How a tensor differs from what it should be: the largest difference as a share of the standard deviation, and the cosine.
fn difference(found: &[f32], truth: &[f32]) -> [f64; 2] {
    let pairs = || found.iter().zip(truth).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let count = truth.len() as f64;
    let mean = pairs().map(|(_, b)| b).sum::<f64>() / count;
    let std = (pairs().map(|(_, b)| (b - mean).powi(2)).sum::<f64>() / count).sqrt();
    let largest = pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let [dot, aa, bb] = pairs().fold([0.0; 3], |[dot, aa, bb], (a, b)| [dot + a * b, aa + a * a, bb + b * b]);
    [largest / std, dot / (aa * bb).sqrt()]
}

fn parity(arguments: &Arguments) -> Result<Value> {
    let place = Compute::open(arguments.device, arguments.dtype)?;
    let (mut model, prepared) = loaded(arguments, place)?;
    let list = model.spec.plain_catalogue(prepared.framing.working);
    let selection = Selection::features(&list);
    let mut found: HashMap<Tap, Array> = HashMap::new();
    pass(&mut model, &prepared, &selection, &mut |tap, tensor| {
        found.insert(tap, Array::from_tensor(tensor)?);
        Ok(())
    })?;
    drop(model);
    let (mut model, prepared) = loaded(arguments, Compute::CPU)?;
    let mut rows: Vec<(Id, [f64; 2])> = Vec::new();
    pass(&mut model, &prepared, &selection, &mut |tap, tensor| {
        let truth = Array::from_tensor(tensor)?;
        if let (Some(entry), Some(found)) = (list.entry(tap), found.get(&tap)) {
            rows.push((entry.id, difference(&found.data, &truth.data)));
        }
        Ok(())
    })?;
    let holds = |[largest, cosine]: [f64; 2]| match arguments.dtype {
        Precision::F32 => largest <= 2e-3,
        Precision::F16 => cosine > 0.9995,
        Precision::Bf16 => cosine > 0.99,
    };
    let missed: Vec<String> = rows
        .iter()
        .filter(|(_, row)| !holds(*row))
        .map(|(id, _)| id.to_string())
        .collect();
    let largest = rows.iter().max_by(|a, b| a.1[0].total_cmp(&b.1[0]));
    let cosine = rows.iter().min_by(|a, b| a.1[1].total_cmp(&b.1[1]));
    Ok(json!({
        "activations": rows.len(),
        "missed": missed,
        "largest_difference_in_std": largest.map(|(id, row)| json!([id.to_string(), row[0]])),
        "least_cosine": cosine.map(|(id, row)| json!([id.to_string(), row[1]])),
    }))
}

fn passes(arguments: &Arguments, repeats: usize, preset: Option<&str>) -> Result<Value> {
    let place = Compute::open(arguments.device, arguments.dtype)?;
    let device = place.device.clone();
    let (mut model, prepared) = loaded(arguments, place)?;
    let list = model.spec.plain_catalogue(prepared.framing.working);
    let ids: Vec<Id> = match preset {
        None => list.entries().iter().rev().map(|entry| entry.id).take(1).collect(),
        Some(key) => PRESETS
            .iter()
            .filter(|preset| preset.key == key)
            .flat_map(|preset| preset.ids)
            .map(|id| id.parse())
            .collect::<Result<_>>()?,
    };
    if ids.is_empty() {
        return Err(Error::usage("no preset of that key; `featscope presets` lists them"));
    }
    let selection = ids
        .into_iter()
        .map(|id| list.expect(id))
        .collect::<Result<Selection>>()?;
    let mut seconds = Vec::with_capacity(repeats);
    for repeat in 0..=repeats {
        let began = Instant::now();
        pass(&mut model, &prepared, &selection, &mut |_, _| Ok(()))?;
        device.synchronize()?;
        // The first one encodes picture and prompt, and makes the kernels ready.
        if repeat > 0 {
            seconds.push(began.elapsed().as_secs_f64());
        }
    }
    Ok(json!({ "seconds": seconds }))
}

/// An engine whose extractor is the worker, with model and picture.
fn engine(arguments: &Arguments, worker: &std::path::Path) -> Result<(Engine, Id)> {
    let launch = Launcher {
        program: worker.to_owned(),
        required: true,
    };
    let engine = Engine::with_extractor(Arc::new(|| {}), KEPT_BYTES, |inbox, host| {
        supervise(launch, inbox, host)
    })?;
    engine.send(Request::LoadModel {
        name: arguments.model.clone(),
        device: arguments.device,
        dtype: arguments.dtype,
    });
    let layers = until(&engine, |event| match event {
        Event::ModelLoaded(info) => Some(info.layers),
        _ => None,
    })?;
    engine.send(Request::OpenPicture {
        slot: ImageSlot::A,
        source: PictureSource::Sample(PICTURE.to_owned()),
    });
    until(&engine, |event| {
        matches!(event, Event::PictureOpened { .. }).then_some(())
    })?;
    let wanted = "up-level1-repeat1-vit-block0-cross-q".parse::<Id>()?;
    let mut known = layers.iter().map(|layer| layer.id).filter(|id| !id.is_map());
    let id = known.clone().find(|id| *id == wanted).or_else(|| known.next_back());
    Ok((engine, id.ok_or_else(|| Error::failed("the model has no activations"))?))
}

/// Waits for an event; what was asked for and failed is an error.
fn until<T>(engine: &Engine, mut wanted: impl FnMut(Event) -> Option<T>) -> Result<T> {
    loop {
        let event = engine
            .wait(PATIENCE)
            .ok_or_else(|| Error::failed("the engine does not answer"))?;
        if let Event::ModelFailed { error, .. } = event {
            return Err(error);
        }
        if let Some(found) = wanted(event) {
            return Ok(found);
        }
    }
}

fn ask(engine: &Engine, id: Id, t: u32, ensemble: usize, side: usize) {
    engine.send(Request::Run {
        settings: RunSettings {
            prompt: PROMPT.to_owned(),
            t: t.into(),
            ensemble,
            size: Some(WorkingSize::Exact {
                width: side,
                height: side,
            }),
            ..RunSettings::default()
        },
        id,
    });
}

fn side(arguments: &Arguments) -> Result<usize> {
    let native = resolve(&arguments.model)?.native_side;
    Ok(arguments.side.unwrap_or(native))
}

fn first_map(arguments: &Arguments, worker: &std::path::Path) -> Result<Value> {
    const TURNS: u32 = 6;
    let (engine, id) = engine(arguments, worker)?;
    let (mut maps, mut colours, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let began = Instant::now();
        // Another t each time: a pass that ran is kept.
        ask(&engine, id, 100 + turn, 1, side(arguments)?);
        let pass = until(&engine, |event| match event {
            Event::Captured { capture, .. } => Some(capture.pass),
            _ => None,
        })?;
        let map = began.elapsed().as_secs_f64();
        engine.send(Request::View(ViewRequest::Pca(PcaQuery {
            id,
            passes: vec![(ImageSlot::A, pass)],
            settings: PcaSettings::default(),
        })));
        let (mut coloured, mut finished) = (None, None);
        until(&engine, |event| {
            match event {
                Event::Answer(Answer::Pca(_)) => coloured = Some(began.elapsed().as_secs_f64()),
                Event::RunFinished { .. } => finished = Some(began.elapsed().as_secs_f64()),
                _ => {}
            }
            (coloured.is_some() && finished.is_some()).then_some(())
        })?;
        // The first one encodes picture and prompt.
        if turn > 0 {
            maps.push(map);
            colours.extend(coloured);
            all.extend(finished);
        }
    }
    Ok(json!({ "activation": id.to_string(), "map": maps, "colours": colours, "all_activations": all }))
}

/// Ends the run under way and gives the seconds until that is told.
fn cancel(engine: &Engine) -> Result<f64> {
    let began = Instant::now();
    engine.send(Request::Cancel);
    until(engine, |event| match event {
        Event::Failed {
            work: TaskKind::Run,
            error,
        } => Some(error),
        _ => None,
    })?;
    Ok(began.elapsed().as_secs_f64())
}

fn map_of(engine: &Engine, arguments: &Arguments, id: Id, t: u32) -> Result<Option<u64>> {
    ask(engine, id, t, 1, side(arguments)?);
    let outcome = until(engine, |event| match event {
        Event::Captured { capture, .. } => Some(Some(capture.pass.0)),
        Event::Failed {
            work: TaskKind::Run, ..
        } => Some(None),
        _ => None,
    })?;
    if outcome.is_some() {
        until(engine, |event| matches!(event, Event::RunFinished { .. }).then_some(()))?;
    }
    Ok(outcome)
}

fn cancels(arguments: &Arguments, worker: &std::path::Path) -> Result<Value> {
    const TIMES: u32 = 10;
    const MANY: usize = 64;
    let (engine, id) = engine(arguments, worker)?;
    let mut seconds = Vec::new();
    for turn in 0..TIMES {
        ask(&engine, id, 200 + turn, MANY, side(arguments)?);
        until(&engine, |event| {
            matches!(
                event,
                Event::Progress {
                    work: TaskKind::Run,
                    ..
                }
            )
            .then_some(())
        })?;
        seconds.push(cancel(&engine)?);
    }
    let after = map_of(&engine, arguments, id, 100)?;
    Ok(json!({ "seconds": seconds, "a_run_after_them": after.is_some() }))
}

fn memory(arguments: &Arguments, worker: &std::path::Path) -> Result<Value> {
    // Activations of this size are too large for any GPU's memory, while one map of them fits into the engine's.
    const TOO_LARGE: usize = 12_288;
    let (engine, id) = engine(arguments, worker)?;
    ask(&engine, id, 100, 1, TOO_LARGE);
    let words = until(&engine, |event| match event {
        Event::Failed {
            work: TaskKind::Run,
            error,
        } => Some(error.to_string()),
        Event::RunFinished { .. } => Some("it fitted".to_owned()),
        _ => None,
    })?;
    let after = map_of(&engine, arguments, id, 100)?;
    Ok(json!({ "words": words, "a_run_after_it": after.is_some() }))
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (what, found) = match &arguments.what {
        What::Parity => ("parity", parity(&arguments)?),
        What::Pass { repeats, preset } => ("pass", passes(&arguments, *repeats, preset.as_deref())?),
        What::FirstMap { worker } => ("first map", first_map(&arguments, worker)?),
        What::Cancels { worker } => ("cancels", cancels(&arguments, worker)?),
        What::Memory { worker } => ("memory", memory(&arguments, worker)?),
    };
    let line = json!({
        "what": what,
        "model": arguments.model,
        "device": arguments.device,
        "dtype": arguments.dtype,
        "side": side(&arguments)?,
        "found": found,
    });
    println!("{line}");
    Ok(())
}

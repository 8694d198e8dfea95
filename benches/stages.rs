//! What one stage of an extraction costs: the denoiser with the activations that are practical to use or with one early
//! one, the autoencoder, the text encoder, the whole network, a survey of it. Prints one line of JSON as `peer/stages.py` does, which `peer/compare.py` sets
//! side by side.
#![allow(
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark ends where something fails, and prints its figures"
)]

use featscope::{
    activation::{Cost, Id, Selection, Tap},
    device::{Compute, DeviceChoice, Precision},
    error::{Error, Result},
    extract::{
        model::Model,
        preset::PRESETS,
        settings::{PassSettings, RunSettings},
    },
    families::resolve,
    geometry::framing::WorkingSize,
    image::{
        picture::Picture,
        prepare::{PreparedImage, prepare},
        source::PictureSource,
    },
    model::LoadExtent,
    sources::FeatureSource,
    survey::{SurveyInput, survey_pass},
};
use std::{
    fs,
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};

use candle_core::Tensor;
use clap::{Parser, ValueEnum};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

const PRACTICAL: &str = "sd15-practical";
const EARLY: &str = "mid-vit-out";
const PROMPT: &str = "a photo of a cat";

#[derive(Parser)]
struct Arguments {
    stage: Stage,
    /// The folder of the model.
    model: std::path::PathBuf,
    /// Side of the working picture, in pixels.
    #[arg(long)]
    side: Option<usize>,
    #[arg(long, default_value_t = 1)]
    repeats: usize,
    /// Noises that a survey compares.
    #[arg(long, default_value_t = 1)]
    noises: usize,
    /// Cargo says so to every benchmark.
    #[arg(long)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    Practical,
    Early,
    Vae,
    Text,
    /// The whole network; nothing but its output is kept.
    #[value(alias = "adm")]
    Whole,
    /// A survey of every activation: beside `whole`, what measuring them costs.
    Survey,
}

/// Seconds of one repeat: of the processor, all threads, and by the wall's clock.
#[derive(Serialize)]
struct Run {
    processor: f64,
    wall: f64,
}

#[derive(Serialize)]
struct Report {
    runs: Vec<Run>,
    peak_mib: f64,
    /// The program's own estimate of one repeat's work: its ratios are to be those of the times.
    work: f64,
}

fn timed(mut work: impl FnMut(usize) -> Result<()>, repeats: usize) -> Result<Vec<Run>> {
    work(0)?;
    (1..=repeats)
        .map(|repeat| {
            let (began, before) = (Instant::now(), processor_time());
            work(repeat)?;
            Ok(Run {
                processor: (processor_time() - before).as_secs_f64(),
                wall: began.elapsed().as_secs_f64(),
            })
        })
        .collect()
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The most memory that was resident, as the system counts it.
fn peak_mib() -> Result<f64> {
    const FILE: &str = "/proc/self/status";
    let status = fs::read_to_string(FILE).map_err(|error| Error::io("read", Path::new(FILE), &error))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    const KIB_PER_MIB: f64 = 1024.0;
    Ok(kib.ok_or_else(|| Error::failed("the system does not say how much memory was resident"))? / KIB_PER_MIB)
}

fn selection(model: &Model, prepared: &PreparedImage, stage: Stage) -> Result<Selection> {
    let list = model.spec.plain_catalogue(prepared.framing.working);
    let names: Vec<String> = match stage {
        Stage::Early => vec![EARLY.to_owned()],
        Stage::Practical => PRESETS
            .iter()
            .filter(|preset| preset.key == PRACTICAL)
            .flat_map(|preset| preset.ids)
            .map(|id| (*id).to_owned())
            .collect(),
        Stage::Survey => list.entries().iter().map(|entry| entry.id.to_string()).collect(),
        _ => list
            .entries()
            .last()
            .map(|entry| entry.id.to_string())
            .into_iter()
            .collect(),
    };
    let mut selection = Selection::default();
    for name in names {
        let id: Id = name.parse()?;
        selection.insert(list.expect(id)?);
    }
    Ok(selection)
}

fn run(arguments: &Arguments) -> Result<(Vec<Run>, f64)> {
    let Arguments { stage, repeats, .. } = *arguments;
    let spec = resolve(&arguments.model.to_string_lossy())?;
    let side = arguments.side.unwrap_or(spec.native_side);
    let place = Compute::open(DeviceChoice::Cpu, Precision::F32)?;
    let mut model = Model::load(&spec, place, LoadExtent::Whole, &mut |_| Ok(()))?;
    let picture = PictureSource::Sample("photo-cat".to_owned()).read()?;
    let size = WorkingSize::Exact {
        width: side,
        height: side,
    };
    let prepared = prepare(&picture, &size, spec.size_rule())?;
    match stage {
        Stage::Vae => {
            // A picture that is known is not encoded again.
            let mut encode = |repeat| {
                let mut rgb = prepared.picture.rgb().to_vec();
                rgb[0] = repeat as u8;
                let other = Picture::from_rgb(prepared.picture.size(), rgb)?;
                model.encode_image(&other, &mut |_| Ok(())).map(drop)
            };
            let work = spec.encode_cost(prepared.picture.size());
            Ok((timed(&mut encode, repeats)?, work))
        }
        Stage::Text => {
            // A prompt that is known is not encoded again.
            let mut encode = |repeat| {
                let prompt = format!("{PROMPT} {repeat}");
                model.encode_prompt(&prompt, None, &mut |_| Ok(())).map(drop)
            };
            Ok((timed(&mut encode, repeats)?, 0.0))
        }
        Stage::Practical | Stage::Early | Stage::Whole | Stage::Survey => {
            let selection = selection(&model, &prepared, stage)?;
            let settings = RunSettings {
                t: spec.default_t,
                prompt: PROMPT.to_owned(),
                ensemble: if stage == Stage::Survey { arguments.noises } else { 1 },
                ..RunSettings::default()
            };
            let settings = PassSettings::new(&spec, settings)?;
            let cost = Cost::of(&spec.plain_catalogue(prepared.framing.working));
            let pictures = [prepared];
            let work = selection.last().map_or(0.0, |last| cost.until(last));
            // The first run encodes picture and prompt: the others find them.
            if stage == Stage::Survey {
                let survey = |_| {
                    let what = SurveyInput {
                        picture: &pictures[0],
                        settings: &settings,
                        selection: &selection,
                        regions: None,
                    };
                    survey_pass(&mut model, &what, &mut |_| Ok(()), &mut |_| Ok(()))
                };
                return Ok((timed(survey, repeats)?, work));
            }
            let runs = timed(
                |_| {
                    let record = &mut |_: Tap, _: Range<usize>, _: &Tensor| Ok(());
                    model.run(&pictures, &settings, &selection, record, &mut |_| Ok(()))
                },
                repeats,
            )?;
            Ok((runs, work))
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (runs, work) = run(&arguments)?;
    let report = Report {
        runs,
        work,
        peak_mib: peak_mib()?,
    };
    println!(
        "{}",
        serde_json::to_string(&report).map_err(|error| Error::failed(error.to_string()))?
    );
    Ok(())
}

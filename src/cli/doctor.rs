//! `featscope doctor`: what this machine has to compute and draw with, and whether every device computes what the CPU
//! computes. What it prints is meant to be pasted into a report of a problem.

use std::{env, fmt::Write, path::Path, time::Duration};

use clap::Args;
use serde::Serialize;

use super::{terminal, worker};
use crate::{
    device::{Compute, Device, Precision, driver_files, gpus_by_smi},
    engine::transport::{Launcher, Probe},
    error::{Error, Result},
    families::{download_plan, known::known_checkpoints},
    sources::self_check,
    weights::hub::{Hub, MAIN, Variant, bytes, free_space},
};

/// `featscope doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Do not ask the hub whether it answers
    #[arg(long)]
    pub offline: bool,
}

/// Title of what the window is drawn with.
const WINDOW: &str = "What the window is drawn with";
/// How long the hub may take to answer.
const HUB_PATIENCE: Duration = Duration::from_secs(8);

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    sections: Vec<Section>,
    /// Whether nothing stands in the way of anything.
    healthy: bool,
    verdict: String,
}

/// Lines about one thing.
#[derive(Debug, Serialize)]
struct Section {
    title: &'static str,
    lines: Vec<String>,
    /// What is wrong, with what to do.
    problems: Vec<String>,
}

impl Section {
    fn new(title: &'static str) -> Self {
        Self {
            title,
            lines: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    fn problem(&mut self, words: impl Into<String>) {
        self.problems.push(words.into());
    }
}

/// Looks at everything, and prints what was found; an error if something that should work does not.
pub fn doctor(arguments: &DoctorArguments) -> Result<()> {
    let sections = vec![program(), gpus(), window(), folders(), hub(arguments.offline)];
    let problems: Vec<&String> = sections.iter().flat_map(|section| &section.problems).collect();
    let verdict = match problems.len() {
        0 => "everything works".to_owned(),
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    let report = Report {
        healthy: problems.is_empty(),
        verdict,
        sections,
    };
    match arguments.json {
        true => {
            let text = serde_json::to_string_pretty(&report)
                .map_err(|error| Error::failed(format!("the report cannot be written: {error}")))?;
            terminal::print_json(&(text + "\n"))?;
        }
        false => terminal::print(&describe(&report))?,
    }
    match report.healthy {
        true => Ok(()),
        false => Err(Error::failed(format!("{}: see above what to do", report.verdict))),
    }
}

fn describe(report: &Report) -> String {
    let mut text = String::new();
    for Section { title, lines, problems } in &report.sections {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{title}");
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
        for problem in problems {
            let _ = writeln!(text, "  PROBLEM: {problem}");
        }
    }
    let _ = writeln!(text, "Verdict: {}", report.verdict);
    text
}

/// Versions, and the processor with the check of the embedded model.
fn program() -> Section {
    let mut section = Section::new("Program and processor");
    section.say(format!(
        "featscope {} for {} {}, {} bit",
        env!("CARGO_PKG_VERSION"),
        env::consts::OS,
        env::consts::ARCH,
        usize::BITS
    ));
    section.say(format!(
        "{} threads; vector instructions: {}",
        rayon::current_num_threads(),
        vector_instructions()
    ));
    match self_check(&Compute::CPU, Precision::F32) {
        Ok(check) if check.passed() => section.say(check.describe()),
        Ok(check) => section.problem(check.describe()),
        Err(error) => section.problem(format!("the embedded model does not run: {error}")),
    }
    section
}

#[cfg(target_arch = "x86_64")]
fn vector_instructions() -> String {
    let found = [
        ("AVX2", is_x86_feature_detected!("avx2")),
        ("FMA", is_x86_feature_detected!("fma")),
        ("F16C", is_x86_feature_detected!("f16c")),
        ("AVX-512F", is_x86_feature_detected!("avx512f")),
    ];
    let names: Vec<&str> = found
        .iter()
        .filter(|(_, there)| *there)
        .map(|(name, _)| *name)
        .collect();
    match names.is_empty() {
        true => "none that are used".to_owned(),
        false => names.join(", "),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn vector_instructions() -> String {
    match cfg!(target_arch = "aarch64") {
        true => "NEON".to_owned(),
        false => "none that are used".to_owned(),
    }
}

/// GPUs and drivers, and the check of the embedded model on each.
fn gpus() -> Section {
    let mut section = Section::new("GPUs to compute on");
    for gpu in gpus_by_smi() {
        section.say(format!(
            "nvidia-smi: {}, {} of {} free, driver {}",
            gpu.name,
            bytes(gpu.free_bytes),
            bytes(gpu.total_bytes),
            gpu.driver
        ));
    }
    let driver = driver_files();
    for file in &driver {
        section.say(format!("a driver's trace: {}", file.display()));
    }
    // An executable that can use a GPU itself needs no other.
    if cfg!(feature = "cuda") || cfg!(feature = "metal") {
        take_probe(&mut section, &worker::probe(true));
        return section;
    }
    match Launcher::find() {
        None if driver.is_empty() => section.say("no NVIDIA driver, and no worker for GPUs: models compute on the CPU"),
        None => {
            section.problem("there is an NVIDIA driver but no worker beside this program: take the download for GPUs")
        }
        Some(launch) => {
            section.say(format!("worker: {}", launch.program.display()));
            match launch.probe(true) {
                Ok(probe) => take_probe(&mut section, &probe),
                Err(error) if launch.is_missed() => section.problem(error.to_string()),
                Err(error) => section.say(format!("models compute on the CPU: {error}")),
            }
        }
    }
    section
}

fn take_probe(section: &mut Section, probe: &Probe) {
    section.lines.extend(probe.devices.gpus().map(Device::describe));
    if let Some(trouble) = &probe.devices.trouble {
        section.problem(trouble.clone());
    }
    for check in &probe.checks {
        match check {
            Ok(check) if check.passed() => section.say(check.describe()),
            Ok(check) => section.problem(format!("{}; models compute on the CPU instead", check.describe())),
            Err(words) => section.problem(words.clone()),
        }
    }
}

/// What the window is drawn with.
#[cfg(feature = "window")]
fn window() -> Section {
    use crate::app::offscreen::Offscreen;

    const SIDE: f32 = 16.0;
    let mut section = Section::new(WINDOW);
    match Offscreen::new([SIDE; 2], 1.0) {
        Ok(screen) => {
            let info = screen.render_state().adapter.get_info();
            section.say(format!(
                "wgpu: {} ({:?} by {:?}) {} {}",
                info.name, info.device_type, info.backend, info.driver, info.driver_info
            ));
        }
        Err(error) => section.problem(error.to_string()),
    }
    section
}

#[cfg(not(feature = "window"))]
fn window() -> Section {
    let mut section = Section::new(WINDOW);
    section.say("this executable has no window");
    section
}

/// Where files are kept.
fn folders() -> Section {
    let mut section = Section::new("Folders");
    let in_words = |what: &str, folder: &Path| {
        let free = free_space(folder).map_or_else(|| "free space unknown".to_owned(), |free| bytes(free) + " free");
        format!("{what}: {}, {free}", folder.display())
    };
    match Hub::from_env() {
        Ok(hub) => section.say(in_words("models of the hub", &hub.settings().cache)),
        Err(error) => section.problem(error.to_string()),
    }
    #[cfg(feature = "window")]
    match crate::app::data_folder() {
        Some(folder) => section.say(in_words("what the window remembers", &folder)),
        None => section.say("what the window remembers: nowhere, this system names no folder for it"),
    }
    section
}

/// Whether models can be downloaded.
fn hub(offline: bool) -> Section {
    let mut section = Section::new("The hub of models");
    let settings = match Hub::from_env() {
        Ok(hub) => hub.settings().clone(),
        // It was told with the folders.
        Err(_) => return section,
    };
    if let Some(trouble) = &settings.trouble {
        section.problem(format!("nothing can be downloaded: {trouble}"));
        return section;
    }
    let endpoint = settings.endpoint.clone();
    if offline || settings.offline {
        section.say(format!("{endpoint} was not asked: offline"));
        return section;
    }
    let hub = Hub::new(crate::weights::hub::HubSettings {
        stall: HUB_PATIENCE,
        retries: 0,
        ..settings
    });
    let asked = known_checkpoints()
        .find(|known| known.is_on_the_hub())
        .map(|entry| download_plan::required_files(&hub, entry.key, MAIN, Variant::Full));
    let answer = match asked {
        Some(Ok(parts)) => match parts.first() {
            Some(part) => hub.plan(&part.repo, &part.wanted, &mut |_| Ok(())).map(drop),
            None => Ok(()),
        },
        Some(Err(error)) => Err(error),
        None => Ok(()),
    };
    match answer {
        Ok(()) => section.say(format!("{endpoint} answers")),
        Err(error) => section.say(format!("{endpoint} does not answer: {error} (only downloads need it)")),
    }
    section
}

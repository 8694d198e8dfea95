//! The extractor in a process of its own: the same numbers, and nothing is lost when that process ends, hangs or never
//! starts. The worker is the program itself, which computes on the CPU there; the one for GPUs differs by its operators.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use featscope::{
    device::{DeviceChoice, Precision},
    engine::{
        Capture, Engine, Event, ImageSlot, PictureSource, Request, RunSettings, SaveMap, SeriesMember, SeriesQuery,
        Study, StudyEvent, SurveyQuery, TaskKind, ViewRequest,
        transport::{Launcher, supervise},
    },
    error::Error,
    extract::{request::ExtractRequest, select::Select},
    geometry::framing::WorkingSize,
};
#[cfg(target_os = "linux")]
use rustix::process::{Pid, Signal, kill_process};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Nothing takes longer on a slow machine with other work to do.
const LIMIT: Duration = Duration::from_secs(120);
const LAYER: &str = "b11";

fn engine_with(program: impl Into<PathBuf>) -> Engine {
    let launch = Launcher {
        program: program.into(),
        required: true,
    };
    let started = Engine::with_extractor(Arc::new(|| {}), 1 << 30, |inbox, host| supervise(launch, inbox, host));
    started.expect("the threads start")
}

fn engine() -> Engine {
    engine_with(env!("CARGO_BIN_EXE_featscope"))
}

/// Waits for an event; the last ones that came before it tell what happened instead.
fn until<T>(engine: &Engine, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    let started = Instant::now();
    let mut came = Vec::new();
    while started.elapsed() < LIMIT {
        let Some(event) = engine.wait(Duration::from_secs(1)) else {
            continue;
        };
        if let Some(found) = wanted(&event) {
            return found;
        }
        came.push(format!("{event:?}").chars().take(160).collect::<String>());
    }
    panic!("the awaited event did not come; came: {came:#?}");
}

fn load(engine: &Engine, name: &str) {
    engine.send(Request::LoadModel {
        name: name.to_owned(),
        device: DeviceChoice::Cpu,
        dtype: Precision::F32,
    });
}

fn begin(engine: &Engine) {
    load(engine, "demo");
    until(engine, |event| matches!(event, Event::ModelLoaded(_)).then_some(()));
    engine.send(Request::OpenPicture {
        slot: ImageSlot::A,
        source: PictureSource::Sample("noto-cat-face".to_owned()),
    });
    until(engine, |event| {
        matches!(event, Event::PictureOpened { .. }).then_some(())
    });
}

fn settings(ensemble: usize) -> RunSettings {
    RunSettings {
        t: 100.into(),
        seed: 3,
        ensemble,
        size: Some(WorkingSize::ShortSide(64)),
        ..RunSettings::default()
    }
}

fn ask_to_run(engine: &Engine, ensemble: usize) {
    engine.send(Request::Run {
        settings: settings(ensemble),
        id: LAYER.parse().expect("an id of the vocabulary"),
    });
}

fn run(engine: &Engine) -> Capture {
    ask_to_run(engine, 2);
    let capture = until(engine, |event| match event {
        Event::Captured { capture, .. } => Some((**capture).clone()),
        _ => None,
    });
    until(engine, |event| matches!(event, Event::RunFinished { .. }).then_some(()));
    capture
}

/// A run that has begun and does not end soon.
fn begin_long_run(engine: &Engine) {
    ask_to_run(engine, 64);
    until(engine, |event| {
        matches!(
            event,
            Event::Progress {
                work: TaskKind::Run,
                ..
            }
        )
        .then_some(())
    });
}

fn failure_of_run(engine: &Engine) -> Error {
    until(engine, |event| match event {
        Event::Failed {
            work: TaskKind::Run,
            error,
        } => Some(error.clone()),
        _ => None,
    })
}

/// The map that is kept, as a file.
fn saved(engine: &Engine, capture: &Capture, path: &Path) -> Vec<u8> {
    engine.send(Request::View(ViewRequest::SaveMap(SaveMap {
        id: LAYER.parse().expect("an id of the vocabulary"),
        pass: capture.pass,
        path: path.to_owned(),
    })));
    until(engine, |event| matches!(event, Event::Saved { .. }).then_some(()));
    fs::read(path).expect("the file that was saved")
}

/// The process that this one has started as a worker and that is not about to be started again.
#[cfg(target_os = "linux")]
fn workers() -> Vec<Pid> {
    // The parent is the second word behind the name, which stands in brackets and may have any bytes.
    let parent = |pid: &str| -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        status.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let is_worker = |pid: &str| {
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.ends_with("\0worker\0")
    };
    let processes = fs::read_dir("/proc").expect("the processes of this machine").flatten();
    let names = processes.filter_map(|process| process.file_name().into_string().ok());
    let ours = names.filter(|pid| parent(pid) == Some(std::process::id()) && is_worker(pid));
    ours.filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

#[cfg(target_os = "linux")]
fn send(signal: Signal, pid: Pid) {
    kill_process(pid, signal).expect("a process of this one takes a signal");
}

/// The tests that look for their worker's process do so one after the other.
#[cfg(target_os = "linux")]
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn a_worker_computes_the_same_numbers_to_the_bit() -> Outcome {
    let _alone = alone();
    let folder = tempfile::tempdir()?;
    let here = Engine::with_extractor(Arc::new(|| {}), 1 << 30, |inbox, host| {
        // Where nothing can be started, the extractor of this process does it.
        supervise(
            Launcher {
                program: "/nowhere/featscope-cuda".into(),
                required: true,
            },
            inbox,
            host,
        );
    })?;
    let trouble = until(&here, |event| match event {
        Event::Devices(devices) => Some(devices.trouble.clone()),
        _ => None,
    });
    assert!(trouble.is_some_and(|words| words.contains("/nowhere/featscope-cuda")));
    let mut files = Vec::new();
    for (index, engine) in [here, engine()].iter().enumerate() {
        begin(engine);
        let capture = run(engine);
        assert_eq!(capture.ran.device, "cpu");
        assert!(capture.ids.len() > 50, "a pass keeps all its feature maps");
        files.push(saved(engine, &capture, &folder.path().join(format!("{index}.npy"))));
    }
    assert_eq!(files[0], files[1]);
    Ok(())
}

/// Held while a test has a worker: those that end one must not end another test's.
fn alone() -> impl Sized {
    #[cfg(target_os = "linux")]
    return ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
}

#[test]
fn extractions_and_failures_come_through() -> Outcome {
    let _alone = alone();
    let folder = tempfile::tempdir()?;
    let engine = engine();
    load(&engine, "/nowhere/a-model");
    let words = until(&engine, |event| match event {
        Event::ModelFailed { name, error } => Some(format!("{name}: {error}")),
        _ => None,
    });
    assert!(words.starts_with("/nowhere/a-model: "), "{words}");
    let out = folder.path().join("out.safetensors");
    engine.send(Request::Extract {
        job: 7,
        request: Box::new(extraction()),
        out: out.clone(),
    });
    let path = until(&engine, |event| match event {
        Event::Saved { work, path } => {
            assert_eq!(*work, TaskKind::Extract { job: 7 });
            Some(path.clone())
        }
        _ => None,
    });
    assert_eq!(path, out);
    assert!(out.is_file());
    Ok(())
}

#[test]
fn studies_come_through_to_the_last_digit() -> Outcome {
    let _alone = alone();
    let mut found = Vec::new();
    // The extractor of this process, and the worker.
    for engine in [Engine::start(Arc::new(|| {}), 1 << 30)?, engine()] {
        begin(&engine);
        engine.send(Request::Study {
            job: 1,
            study: Box::new(Study::Survey(SurveyQuery {
                slot: ImageSlot::A,
                settings: settings(1),
                noises: 2,
                maps: true,
                regions: Vec::new(),
            })),
        });
        let mut findings = Vec::new();
        until(&engine, |event| match event {
            Event::Study {
                event: StudyEvent::Found(finding),
                ..
            } => {
                findings.push((**finding).clone());
                None
            }
            Event::StudyFinished { job: 1 } => Some(()),
            _ => None,
        });
        // Without noise the pass is kept under another number than with it.
        engine.send(Request::Study {
            job: 2,
            study: Box::new(Study::Series(SeriesQuery {
                members: [false, true]
                    .map(|noiseless| SeriesMember {
                        slot: ImageSlot::A,
                        settings: settings(1),
                        noiseless,
                    })
                    .into(),
                ids: vec![LAYER.parse()?],
            })),
        });
        let mut passes = Vec::new();
        until(&engine, |event| match event {
            Event::Study {
                event: StudyEvent::Series(member),
                ..
            } => {
                passes.push((member.index, member.pass));
                None
            }
            Event::StudyFinished { job: 2 } => Some(()),
            _ => None,
        });
        assert_eq!(passes.len(), 2);
        assert_ne!(passes[0].1, passes[1].1);
        found.push(findings);
    }
    assert!(found[0].len() > 70, "{} activations were measured", found[0].len());
    assert_eq!(found[0], found[1]);
    Ok(())
}

fn extraction() -> ExtractRequest {
    ExtractRequest {
        model: "demo".to_owned(),
        pictures: vec!["sample:noto-cat-face".into()],
        settings: settings(1),
        select: Select::of(LAYER),
        device: DeviceChoice::Cpu,
        ..ExtractRequest::default()
    }
}

#[test]
fn a_run_is_cancelled_in_the_worker_which_goes_on() {
    let _alone = alone();
    let engine = engine();
    begin(&engine);
    begin_long_run(&engine);
    engine.send(Request::Cancel);
    assert_eq!(failure_of_run(&engine), Error::Cancelled);
    run(&engine);
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_that_is_killed_is_started_anew_with_model_and_pictures() -> Outcome {
    let _alone = alone();
    let folder = tempfile::tempdir()?;
    let engine = engine();
    begin(&engine);
    let before = run(&engine);
    let numbers = saved(&engine, &before, &folder.path().join("before.npy"));
    begin_long_run(&engine);
    let [worker] = workers()[..] else {
        panic!("one worker is expected, found {:?}", workers());
    };
    send(Signal::KILL, worker);
    let error = failure_of_run(&engine).to_string();
    assert!(error.contains("has ended"), "{error}");
    until(&engine, |event| matches!(event, Event::Recovered { .. }).then_some(()));
    // Maps that were kept are still there, and the next run needs no word of the user.
    assert_eq!(saved(&engine, &before, &folder.path().join("kept.npy")), numbers);
    let mut loaded = false;
    ask_to_run(&engine, 2);
    let again = until(&engine, |event| match event {
        Event::ModelLoaded(_) => {
            loaded = true;
            None
        }
        Event::PictureOpened { .. } => panic!("nobody opened a picture"),
        Event::Captured { capture, .. } => Some((**capture).clone()),
        _ => None,
    });
    assert!(loaded, "another process has to read the model");
    assert_ne!(again.pass, before.pass, "a pass of another loading is another pass");
    assert_eq!(saved(&engine, &again, &folder.path().join("again.npy")), numbers);
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_that_hangs_is_ended_when_it_is_told_to_stop() {
    let _alone = alone();
    let engine = engine();
    begin(&engine);
    begin_long_run(&engine);
    let hung = workers();
    hung.iter().for_each(|pid| send(Signal::STOP, *pid));
    engine.send(Request::Cancel);
    assert_eq!(failure_of_run(&engine), Error::Cancelled);
    assert!(workers().iter().all(|pid| !hung.contains(pid)), "it is still there");
    run(&engine);
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_ends_with_its_engine() {
    let _alone = alone();
    let engine = engine();
    begin(&engine);
    begin_long_run(&engine);
    assert_eq!(workers().len(), 1);
    drop(engine);
    let started = Instant::now();
    while !workers().is_empty() {
        assert!(started.elapsed() < LIMIT, "the worker is still there");
        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_worker_is_not_believed() {
    let _alone = alone();
    // One says back what it hears, one something else, one nothing.
    for program in ["/bin/cat", "/bin/echo", "/bin/true"] {
        let engine = engine_with(program);
        let trouble = until(&engine, |event| match event {
            Event::Devices(devices) => Some(devices.trouble.clone().unwrap_or_default()),
            _ => None,
        });
        assert!(trouble.contains(program), "{trouble}");
        begin(&engine);
        run(&engine);
    }
}

mod command_line {
    use std::process::Command;

    use super::*;

    fn featscope() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_featscope"));
        command.env("HF_HUB_CACHE", "/nonexistent/no-models-here");
        command
    }

    fn extract(worker: &str, device: &str, out: &Path) -> Result<(Option<i32>, String), std::io::Error> {
        let ran = featscope()
            .env("FEATSCOPE_WORKER", worker)
            .args([
                "extract",
                "--model",
                "demo",
                "--t",
                "100",
                "--size",
                "64",
                "--activations",
                LAYER,
            ])
            .args(["--image", "sample:noto-cat-face", "--device", device, "--out"])
            .arg(out)
            .output()?;
        Ok((ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned()))
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_where_it_was_asked_for_and_a_word_where_it_was_not() -> Outcome {
        let folder = tempfile::tempdir()?;
        let out = folder.path().join("out.safetensors");
        // A worker without a GPU, one that is not there, and none.
        for worker in [env!("CARGO_BIN_EXE_featscope"), "/nowhere/featscope-cuda", ""] {
            for device in ["cuda", "cuda:3"] {
                let (code, words) = extract(worker, device, &out)?;
                assert_eq!(code, Some(1), "{words}");
                assert!(words.contains("--device cpu") && words.lines().count() == 1, "{words}");
                assert!(!out.exists());
            }
            let (code, words) = extract(worker, "auto", &out)?;
            assert_eq!(code, Some(0), "{words}");
            assert_eq!(words.contains("computed on the CPU"), !worker.is_empty(), "{words}");
            fs::remove_file(&out)?;
        }
        let (code, words) = extract("", "gpu", &out)?;
        assert_eq!(code, Some(2));
        assert!(words.contains("cuda:N"), "{words}");
        Ok(())
    }

    #[test]
    fn the_doctor_says_what_there_is() -> Outcome {
        let ran = featscope()
            .env("FEATSCOPE_WORKER", "/nowhere/featscope-cuda")
            .env("XDG_RUNTIME_DIR", std::env::temp_dir())
            .args(["doctor", "--offline"])
            .output()?;
        let text = String::from_utf8(ran.stdout)?;
        assert_eq!(ran.status.code(), Some(1), "{text}");
        let problem = text.lines().find(|line| line.contains("PROBLEM"));
        assert!(
            problem.is_some_and(|line| line.contains("/nowhere/featscope-cuda")),
            "{text}"
        );
        assert!(text.contains("cpu in f32: right"), "{text}");
        assert!(text.contains("/nonexistent/no-models-here"), "{text}");
        assert!(
            text.trim_end()
                .lines()
                .last()
                .is_some_and(|line| line.starts_with("Verdict: "))
        );
        let ran = featscope()
            .env("FEATSCOPE_WORKER", "")
            .env("XDG_RUNTIME_DIR", std::env::temp_dir())
            .args(["doctor", "--offline", "--json"])
            .output()?;
        let report: serde_json::Value = serde_json::from_slice(&ran.stdout)?;
        assert!(
            report["sections"]
                .as_array()
                .is_some_and(|sections| sections.len() == 5)
        );
        Ok(())
    }

    #[test]
    fn a_worker_that_nobody_started_says_so() -> Outcome {
        let _alone = alone();
        let ran = featscope().arg("worker").stdin(std::process::Stdio::null()).output()?;
        assert_eq!(ran.status.code(), Some(2));
        assert!(String::from_utf8(ran.stderr)?.contains("what the program starts"));
        let ran = featscope().args(["worker", "--probe", "--self-check"]).output()?;
        let probe: serde_json::Value = serde_json::from_slice(&ran.stdout)?;
        assert_eq!(probe["version"], env!("CARGO_PKG_VERSION"));
        Ok(())
    }
}

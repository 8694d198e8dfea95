//! The workers as the window meets them: requests in, events out.
#![allow(clippy::expect_used)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Engine, Event, PcaQuery, PcaSettings, PictureSource, Query, QueryAt, Request, RunSettings, Slot, ViewRequest, Work,
};
use crate::{
    activation::Id,
    engine::Capture,
    error::Error,
    extract::{
        framing::WorkingSize,
        model::{DeviceChoice, Precision},
        pass::VaeMode,
        request::{ExtractRequest, StoreFormat},
    },
};

const PATIENCE: Duration = Duration::from_secs(120);

fn engine(cache_bytes: usize) -> Engine {
    Engine::start(Arc::new(|| {}), cache_bytes).expect("threads can be started")
}

/// Waits for the first event that `wanted` takes; everything before it is given to `seen`.
fn until_seen<T>(engine: &Engine, mut seen: impl FnMut(&Event), mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut last = Vec::new();
    while Instant::now() < deadline {
        let Some(event) = engine.wait(Duration::from_millis(100)) else {
            continue;
        };
        if let Some(found) = wanted(&event) {
            return found;
        }
        seen(&event);
        if !matches!(event, Event::Progress { .. }) {
            last.push(format!("{event:?}").chars().take(200).collect::<String>());
        }
    }
    panic!("the awaited event did not come; came: {last:#?}");
}

fn until<T>(engine: &Engine, wanted: impl FnMut(&Event) -> Option<T>) -> T {
    until_seen(engine, |_| {}, wanted)
}

fn demo(engine: &Engine) {
    let (device, dtype) = (DeviceChoice::Cpu, Precision::F32);
    engine.send(Request::LoadModel {
        name: "demo".into(),
        device,
        dtype,
    });
    until(engine, |event| matches!(event, Event::ModelLoaded(_)).then_some(()));
}

fn open(engine: &Engine, slot: Slot, sample: &str) {
    engine.send(Request::OpenPicture {
        slot,
        source: PictureSource::Sample(sample.into()),
    });
    until(engine, |event| {
        matches!(event, Event::PictureOpened { .. }).then_some(())
    });
}

fn settings(t: u32) -> RunSettings {
    RunSettings {
        prompt: String::new(),
        t,
        seed: 0,
        ensemble: 1,
        vae: VaeMode::Mean,
        size: WorkingSize::ShortSide(64),
    }
}

fn id(text: &str) -> Id {
    text.parse().expect("an id of the vocabulary")
}

fn captured(event: &Event) -> Option<Capture> {
    match event {
        Event::Captured { capture, .. } => Some((**capture).clone()),
        _ => None,
    }
}

fn run(engine: &Engine, settings: RunSettings, wanted: &str) -> Capture {
    engine.send(Request::Run {
        settings,
        id: id(wanted),
    });
    let capture = until(engine, captured);
    until(engine, |event| matches!(event, Event::RunFinished { .. }).then_some(()));
    capture
}

#[test]
fn one_pass_captures_everything_but_maps_and_the_next_layer_needs_none() {
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, Slot::A, "noto-cat-face");
    let capture = run(&engine, settings(100), "b11");
    let features = capture.layers.iter().filter(|layer| !layer.id.is_map()).count();
    assert_eq!(capture.ids.len(), features);
    assert_eq!(capture.ran.t_ran, 100);
    engine.send(Request::Run {
        settings: settings(100),
        id: id("b4-attn-map"),
    });
    let again = until(&engine, captured);
    assert_eq!(again.pass, capture.pass);
    let seconds = until(&engine, |event| match event {
        Event::RunFinished { seconds } => Some(*seconds),
        _ => None,
    });
    assert_eq!(seconds, None, "the queries and keys of the map were kept already");
}

#[test]
fn memory_is_bounded_and_then_only_what_is_looked_at_is_kept() {
    let bound = 400 << 10;
    let engine = engine(bound);
    demo(&engine);
    open(&engine, Slot::A, "noto-cat-face");
    let capture = run(&engine, settings(100), "b11");
    assert_eq!(capture.ids, [id("b11")]);
    assert!(capture.kept_bytes <= bound, "{}", capture.kept_bytes);
    for t in [120, 140, 160, 180] {
        assert!(run(&engine, settings(t), "b11").kept_bytes <= bound);
    }
    // The first pass had to make room: asking about it says so.
    let (pass, b11) = (capture.pass, id("b11"));
    let passes = vec![(Slot::A, pass)];
    engine.send(Request::View(ViewRequest::Pca(PcaQuery {
        id: b11,
        passes,
        settings: PcaSettings::default(),
    })));
    until(&engine, |event| {
        (*event == Event::Missing { id: b11, pass }).then_some(())
    });
}

#[test]
fn the_latest_run_wins() {
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, Slot::A, "noto-cat-face");
    for t in 0..40 {
        engine.send(Request::Run {
            settings: settings(t),
            id: id("b11"),
        });
    }
    let mut finished = 0;
    let last = until_seen(
        &engine,
        |event| finished += usize::from(matches!(event, Event::RunFinished { .. })),
        |event| captured(event).filter(|capture| capture.settings.t == 39),
    );
    assert_eq!(last.ran.t_ran, 39);
    assert!(finished < 20, "{finished} of 40 overtaken runs were finished");
}

#[test]
fn a_cancelled_run_ends_soon_and_the_next_one_works() {
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, Slot::A, "noto-cat-face");
    let long = RunSettings {
        ensemble: 2000,
        ..settings(100)
    };
    engine.send(Request::Run {
        settings: long,
        id: id("b11"),
    });
    until(&engine, |event| {
        matches!(event, Event::Progress { work: Work::Run, .. }).then_some(())
    });
    engine.send(Request::Cancel);
    until(&engine, |event| {
        (*event
            == Event::Failed {
                work: Work::Run,
                error: Error::Cancelled,
            })
        .then_some(())
    });
    assert_eq!(run(&engine, settings(90), "b11").ran.t_ran, 90);
}

#[test]
fn the_analyst_answers_while_the_model_runs() {
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, Slot::A, "noto-cat-face");
    let capture = run(&engine, settings(100), "b11");
    let long = RunSettings {
        ensemble: 2000,
        ..settings(101)
    };
    engine.send(Request::Run {
        settings: long,
        id: id("b11"),
    });
    until(&engine, |event| {
        matches!(event, Event::Progress { work: Work::Run, .. }).then_some(())
    });
    let query = Query {
        id: id("b11"),
        source: capture.pass,
        at: QueryAt::Point([80.0, 90.0]),
        targets: vec![(Slot::A, capture.pass)],
        drop_massive: false,
    };
    engine.send(Request::View(ViewRequest::Query(query)));
    let heat = until(&engine, |event| match event {
        Event::Heat(view) => Some(view.clone()),
        Event::RunFinished { .. } => panic!("the run is over: nothing is shown by this"),
        _ => None,
    });
    let best = heat.targets[0].best[0];
    assert_eq!([best.cell], heat.cells[..], "a position is most similar to itself");
    assert!((best.score - 1.0).abs() < 1e-5);
    engine.send(Request::Cancel);
}

#[test]
fn attention_rows_from_stored_queries_and_keys_sum_to_one() {
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, Slot::A, "noto-cat-face");
    let capture = run(&engine, settings(100), "b7-attn-map");
    let query = Query {
        id: id("b7-attn-map"),
        source: capture.pass,
        at: QueryAt::Point([80.0, 90.0]),
        targets: vec![(Slot::A, capture.pass)],
        drop_massive: false,
    };
    engine.send(Request::View(ViewRequest::Query(query)));
    let heat = until(&engine, |event| match event {
        Event::Heat(view) => Some(view.clone()),
        _ => None,
    });
    assert!(heat.attention);
    let sum: f32 = heat.targets[0].scores.iter().sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
}

fn extraction(t: u32, picture: &std::path::Path) -> Box<ExtractRequest> {
    Box::new(ExtractRequest {
        model: "demo".into(),
        pictures: vec![picture.to_owned()],
        prompt: String::new(),
        t,
        size: None,
        seed: 0,
        noise_file: None,
        vae: VaeMode::Mean,
        ensemble: 30,
        activations: "b11".into(),
        dtype: Precision::F32,
        device: DeviceChoice::Cpu,
        pool: None,
        store: StoreFormat::F32,
        intermediates: false,
    })
}

#[test]
fn extractions_wait_for_each_other_and_can_be_taken_out_of_the_queue() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let picture = folder.path().join("cat.png");
    std::fs::write(
        &picture,
        crate::weights::embedded::sample("noto-cat-face")
            .ok_or("no sample")?
            .bytes,
    )?;
    let engine = engine(1 << 30);
    let out = |job: u64| folder.path().join(format!("{job}.safetensors"));
    for job in 1..=3 {
        engine.send(Request::Extract {
            job,
            request: extraction(100, &picture),
            out: out(job),
        });
    }
    engine.send(Request::CancelExtract { job: 2 });
    let mut cancelled = false;
    for job in [1, 3] {
        until_seen(
            &engine,
            |event| {
                let work = Work::Extract { job: 2 };
                cancelled |= *event
                    == Event::Failed {
                        work,
                        error: Error::Cancelled,
                    };
            },
            |event| {
                let work = Work::Extract { job };
                (*event == Event::Saved { work, path: out(job) }).then_some(())
            },
        );
    }
    assert!(cancelled && out(1).is_file() && out(3).is_file() && !out(2).exists());
    Ok(())
}

#[test]
fn a_bug_becomes_a_message_and_the_worker_goes_on() {
    let engine = engine(1 << 30);
    demo(&engine);
    engine.send(Request::Panic);
    let message = until(&engine, |event| match event {
        Event::Recovered { message } => Some(message.clone()),
        _ => None,
    });
    assert_eq!(message, "on purpose");
    demo(&engine);
}

#[test]
fn a_model_that_cannot_be_read_leaves_the_one_before() {
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, Slot::A, "noto-cat-face");
    let (device, dtype) = (DeviceChoice::Cpu, Precision::F32);
    engine.send(Request::LoadModel {
        name: "/nowhere/to/be/found".into(),
        device,
        dtype,
    });
    let error = until(&engine, |event| match event {
        Event::Failed {
            work: Work::Model,
            error,
        } => Some(error.to_string()),
        _ => None,
    });
    assert!(error.contains("/nowhere/to/be/found"), "{error}");
    assert_eq!(run(&engine, settings(90), "b11").ran.t_ran, 90);
}

#[test]
fn requests_and_events_are_plain_data() -> Result<(), Box<dyn std::error::Error>> {
    let request = Request::Run {
        settings: settings(7),
        id: id("b7-attn-q"),
    };
    assert_eq!(
        serde_json::from_str::<Request>(&serde_json::to_string(&request)?)?,
        request
    );
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, Slot::A, "noto-cat-face");
    let capture = run(&engine, settings(100), "b11");
    let event = Event::Captured {
        slot: Slot::A,
        capture: Box::new(capture),
    };
    let copy: Event = serde_json::from_str(&serde_json::to_string(&event)?)?;
    assert_eq!(format!("{copy:?}"), format!("{event:?}"));
    Ok(())
}

#[test]
fn a_map_that_cannot_be_kept_is_refused_with_its_size() {
    let engine = engine(1 << 10);
    demo(&engine);
    open(&engine, Slot::A, "noto-cat-face");
    engine.send(Request::Run {
        settings: settings(100),
        id: id("b11"),
    });
    let error = until(&engine, |event| match event {
        Event::Failed { work: Work::Run, error } => Some(error.to_string()),
        _ => None,
    });
    assert!(error.contains("b11") && error.contains("smaller size"), "{error}");
}

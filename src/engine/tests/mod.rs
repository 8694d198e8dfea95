//! The workers as the window meets them: requests in, events out.

mod adapters;
mod colours;
mod comparisons;
mod encoders;
mod extractions;
mod hand;
mod heads;
mod host;
mod runs;
mod studies;
mod views;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    activation::{FeatureMap, Id},
    device::{DeviceChoice, Precision},
    error::Error,
    geometry::{
        Grid, Size,
        framing::{Framing, WorkingSize},
    },
    model::adapters::Adapters,
};
use hand::{Hand, hand, random_map};

type TestResult = Result<(), Box<dyn std::error::Error>>;

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

fn open(engine: &Engine, slot: ImageSlot, sample: &str) {
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
        t: t.into(),
        size: Some(WorkingSize::ShortSide(64)),
        ..RunSettings::default()
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

/// Asks for a view and waits for what comes of it.
fn ask(engine: &Engine, request: ViewRequest) -> Event {
    engine.send(Request::View(request));
    until(engine, |event| {
        let answer = !matches!(
            event,
            Event::Progress { .. } | Event::Captured { .. } | Event::RunFinished { .. }
        );
        answer.then(|| event.clone())
    })
}

/// The words of a refusal.
fn refusal(event: Event) -> String {
    match event {
        Event::Failed { error, .. } => error.to_string(),
        other => panic!("an error was expected, came {other:?}"),
    }
}

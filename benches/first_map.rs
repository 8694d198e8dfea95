//! From starting the program to a window with heat maps on all first pictures; from starting the workers to the first PCA
//! map of the embedded model, as a fresh window asks for it; and one pass of the embedded model.
#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark ends where something fails, and prints its figures"
)]

use std::{hint::black_box, path::Path, process::Command, sync::Arc, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use featscope::{
    activation::Id,
    device::{DeviceChoice, Precision},
    engine::{
        Answer, DEFAULT_CACHE_BYTES, Engine, Event, ImageSlot, PcaQuery, PcaSettings, PictureSource, Request,
        RunSettings, ViewRequest,
    },
    geometry::framing::WorkingSize,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn settings(t: u32) -> RunSettings {
    RunSettings {
        t: t.into(),
        size: Some(WorkingSize::ShortSide(64)),
        ..RunSettings::default()
    }
}

fn until<T>(engine: &Engine, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        let event = engine.wait(PATIENCE).expect("the worker answers");
        if let Some(found) = wanted(event) {
            return found;
        }
    }
}

fn started() -> Engine {
    let engine = Engine::start(Arc::new(|| {}), DEFAULT_CACHE_BYTES).expect("threads can be started");
    engine.send(Request::LoadModel {
        name: "demo".into(),
        device: DeviceChoice::Cpu,
        dtype: Precision::F32,
    });
    let source = PictureSource::Sample("noto-cat-face".into());
    engine.send(Request::OpenPicture {
        slot: ImageSlot::A,
        source,
    });
    engine
}

fn first_pca(engine: &Engine, id: Id, t: u32) {
    engine.send(Request::Run {
        settings: settings(t),
        id,
    });
    let pass = until(engine, |event| match event {
        Event::Captured { capture, .. } => Some(capture.pass),
        _ => None,
    });
    engine.send(Request::View(ViewRequest::Pca(PcaQuery {
        id,
        passes: vec![(ImageSlot::A, pass)],
        settings: PcaSettings::default(),
    })));
    black_box(until(engine, |event| match event {
        Event::Answer(Answer::Pca(view)) => Some(*view),
        _ => None,
    }));
}

/// The whole program, from its start to its end: a fresh window comes up, a point of its first picture is pinned, and what
/// is then seen is written as a PNG.
fn first_screen(out: &Path) {
    let ended = Command::new(env!("CARGO_BIN_EXE_featscope"))
        .args(["shot", "--size", "1280x800", "--do", "Pin at the middle", "--out"])
        .arg(out)
        .status()
        .expect("the program starts");
    assert!(ended.success(), "{ended}");
}

fn bench(criterion: &mut Criterion) {
    let id: Id = "b11".parse().expect("an id of the vocabulary");
    let mut group = criterion.benchmark_group("embedded model");
    group.sample_size(10);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("first.png");
    group.bench_function("start of the process to heat maps on all pictures", |bencher| {
        bencher.iter(|| first_screen(&out));
    });
    group.bench_function("start to first PCA map", |bencher| {
        bencher.iter(|| first_pca(&started(), id, 100));
    });
    let engine = started();
    let mut t = 0;
    group.bench_function("another timestep to its PCA map", |bencher| {
        bencher.iter(|| {
            // Another t each time: a pass that ran is kept.
            t = (t + 1) % 1000;
            first_pca(&engine, id, t);
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

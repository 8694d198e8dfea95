//! What it costs that the extractor is another process: maps of a pass from the worker's memory into the engine's, over a
//! pipe, beside a plain copy of the same numbers.
#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark ends where something fails, and prints its figures"
)]

use std::{hint::black_box, io::BufWriter, sync::Arc, thread};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use featscope::{
    activation::{FeatureMap, Id},
    components::schedule::Mixture,
    engine::{FinishedPass, PassId, RunSettings, transport::FromWorker},
    extract::request::{MixtureRan, Provenance},
    geometry::{
        Grid, Size,
        framing::{Framing, WorkingSize},
    },
    image::picture::Picture,
    model::adapters::AppliedAdapters,
};

/// The largest feature map of SD1.5 at 512 pixels: the inner of its first feed-forward networks.
const CHANNELS: usize = 1280;
const SIDE: usize = 64;
/// The picture's own side.
const PICTURE: usize = 512;

fn pass(maps: usize) -> FinishedPass {
    let size = Size::new(PICTURE, PICTURE);
    let numbers = |seed: usize| {
        (0..CHANNELS * SIDE * SIDE)
            .map(|index| (index * 7 + seed) as f32)
            .collect()
    };
    let map =
        |seed| FeatureMap::from_positions(CHANNELS, Grid::new(SIDE, SIDE), numbers(seed)).expect("as many as promised");
    let id: Id = "b11".parse().expect("an id of the vocabulary");
    FinishedPass {
        pass: PassId(1),
        settings: RunSettings {
            t: 100.into(),
            size: Some(WorkingSize::ShortSide(PICTURE)),
            ..RunSettings::default()
        },
        picture: Arc::new(Picture::from_rgb(size, vec![128; 3 * size.pixels()]).expect("three bytes a pixel")),
        framing: Framing {
            original: size,
            scaled: size,
            offset_x: 0,
            offset_y: 0,
            working: size,
        },
        layers: Vec::new(),
        ran: Provenance {
            not_finite: Vec::new(),
            featscope: String::new(),
            weights: String::new(),
            notes: Vec::new(),
            mixture: Some(MixtureRan::new(100.into(), Mixture::CLEAN)),
            device: "cuda:0".to_owned(),
            dtype: "f16".to_owned(),
            adapters: AppliedAdapters::default(),
            tokens: Vec::new(),
            class: None,
            guidance: None,
            pictures: Vec::new(),
            ids: Vec::new(),
            seconds: 0.1,
        },
        maps: (0..maps).map(|seed| (id, map(seed))).collect(),
        heads: Vec::new(),
    }
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("64x64x1280 to the engine");
    group.sample_size(20);
    for maps in [1, 16] {
        let finished = pass(maps);
        let bytes: usize = finished.maps.iter().map(|(_, map)| map.bytes()).sum();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("{maps} by a copy"), |bencher| {
            bencher.iter(|| black_box(finished.maps.clone()));
        });
        let message = FromWorker::Keep(None, Box::new(finished));
        group.bench_function(format!("{maps} by the worker's pipe"), |bencher| {
            bencher.iter(|| {
                let (mut from, to) = std::io::pipe().expect("a pipe");
                thread::scope(|scope| {
                    scope.spawn(|| message.write(&mut BufWriter::new(to)).expect("the reader is there"));
                    black_box(FromWorker::read(&mut from).expect("the message is whole"))
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

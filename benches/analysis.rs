//! What a hovering or clicking user waits for. `benches/README.md` says how to run it and what to put beside it.

#![allow(
    clippy::expect_used,
    reason = "a benchmark ends where something fails, and prints its figures"
)]
#![allow(missing_docs, reason = "criterion_group generates an undocumented function")]

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use featscope::{
    activation::FeatureMap,
    analysis::{
        correspondence::{DiftTarget, dift_heat, mutual_nearest},
        granularity::spectrum,
        locality::locality,
        pca::{PcaOptions, fit},
        similarity::cosine_to_all,
    },
    geometry::Grid,
};

/// Reproducible, nearly normal numbers of variance about 1: sums of six uniform ones.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32) / ((1_u32 << 23) as f32) - 1.0
    }

    fn normal(&mut self) -> f32 {
        const TERMS: usize = 6;
        let scale = (3.0 / TERMS as f32).sqrt();
        (0..TERMS).map(|_| self.uniform()).sum::<f32>() * scale
    }
}

/// `directions` directions whose strengths fade by `fade` each, and noise of the given strength beside them.
struct Spectrum {
    directions: usize,
    fade: f32,
    noise: f32,
}

/// Like features: a few strong directions, a long tail.
const FADING: Spectrum = Spectrum {
    directions: 40,
    fade: 0.9,
    noise: 0.05,
};

/// The tail fades so slowly that neighbouring components are hard to tell apart.
const SLOW: Spectrum = Spectrum {
    directions: 100,
    fade: 0.97,
    noise: 0.1,
};

/// Pure noise: the worst case of every iteration.
const FLAT: Spectrum = Spectrum {
    directions: 0,
    fade: 1.0,
    noise: 1.0,
};

fn map(height: usize, width: usize, channels: usize, spectrum: &Spectrum) -> FeatureMap {
    let mut noise = Noise(7);
    let positions = height * width;
    let mut numbers: Vec<f32> = (0..positions * channels)
        .map(|_| spectrum.noise * noise.normal())
        .collect();
    for rank in 0..spectrum.directions {
        let strength = spectrum.fade.powi(rank as i32);
        let along: Vec<f32> = (0..positions).map(|_| strength * noise.normal()).collect();
        let direction: Vec<f32> = (0..channels).map(|_| noise.normal()).collect();
        for (row, s) in numbers.chunks_exact_mut(channels).zip(along) {
            row.iter_mut().zip(&direction).for_each(|(x, d)| *x += s * d);
        }
    }
    FeatureMap::from_positions(channels, Grid::new(height, width), numbers).expect("as many numbers as promised")
}

fn hover(criterion: &mut Criterion) {
    let features = map(64, 64, 1280, &FADING);
    let query = features.vector(2080).to_vec();
    criterion.bench_function("hover/cosine 64x64x1280", |bencher| {
        bencher.iter(|| cosine_to_all(black_box(&query), &features));
    });
    criterion.bench_function("dift/heat 64x64x1280 to 768x768", |bencher| {
        bencher.iter(|| dift_heat(black_box(&query), &features, 768, 768));
    });
    let target = DiftTarget::new(&features);
    criterion.bench_function("dift/heat 64x64x1280 to 768x768, prepared", |bencher| {
        bencher.iter(|| target.heat(black_box(&query), 768, 768));
    });
}

fn components(criterion: &mut Criterion) {
    for (name, height, width, channels) in [("4096x1280", 64, 64, 1280), ("16384x640", 128, 128, 640)] {
        for (kind, spectrum) in [("fading", &FADING), ("slow", &SLOW), ("flat", &FLAT)] {
            let features = map(height, width, channels, spectrum);
            criterion.bench_function(&format!("pca/{name} {kind}"), |bencher| {
                bencher.iter(|| fit(&[black_box(&features)], &PcaOptions::default()));
            });
        }
    }
}

fn matches(criterion: &mut Criterion) {
    let (a, b) = (map(64, 64, 320, &FADING), map(64, 64, 320, &SLOW));
    criterion.bench_function("match/mutual 4096x4096x320", |bencher| {
        bencher.iter(|| mutual_nearest(black_box(&a), black_box(&b)));
    });
}

/// What a survey computes of every map.
fn figures(criterion: &mut Criterion) {
    for (height, width, channels) in [(64, 64, 320), (48, 64, 640)] {
        let features = map(height, width, channels, &FADING);
        let planes = features.to_channels();
        let name = format!("{height}x{width}x{channels}");
        criterion.bench_function(&format!("survey/locality {name}"), |bencher| {
            bencher.iter(|| locality(black_box(&features), &planes));
        });
        criterion.bench_function(&format!("survey/granularity {name}"), |bencher| {
            bencher.iter(|| spectrum(black_box(&planes), features.grid()));
        });
    }
}

criterion_group! {
    name = analysis;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    targets = hover, components, matches, figures
}
criterion_main!(analysis);

//! Each of our own operators beside candle's, at shapes of Stable Diffusion 1.5 at 512 pixels, on one thread.
#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark ends where something fails, and prints its figures"
)]

use std::hint::black_box;

use candle_core::{D, Device, Result, Tensor};
use candle_nn::{Conv2dConfig, Module, ops::softmax_last_dim};
use criterion::{Criterion, criterion_group, criterion_main};
use featscope::ops;

fn random(shape: &[usize]) -> Tensor {
    Tensor::randn(0.0_f32, 1.0, shape, &Device::Cpu).expect("a tensor")
}

/// Runs both on one thread: processor time and wall time are the same then.
fn beside(
    criterion: &mut Criterion,
    name: &str,
    own: impl Fn() -> Result<Tensor> + Sync,
    candle: impl Fn() -> Result<Tensor> + Sync,
) {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a thread");
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    group.bench_function("own", |bencher| {
        bencher.iter(|| pool.install(|| black_box(own().expect("a result"))));
    });
    group.bench_function("candle", |bencher| {
        bencher.iter(|| pool.install(|| black_box(candle().expect("a result"))));
    });
}

fn convolutions(criterion: &mut Criterion) {
    // Input channels, output channels, side, kernel, stride.
    for [inputs, outputs, side, kernel, stride] in [
        [320, 320, 64, 3, 1],
        [1920, 640, 32, 3, 1],
        [1280, 1280, 16, 3, 1],
        [1280, 1280, 8, 3, 1],
        [512, 512, 128, 3, 1],
        [128, 128, 512, 3, 1],
        [320, 320, 64, 3, 2],
        [320, 320, 64, 1, 1],
    ] {
        let config = Conv2dConfig {
            padding: kernel / 2,
            stride,
            ..Conv2dConfig::default()
        };
        let (x, weight, bias) = (
            random(&[1, inputs, side, side]),
            random(&[outputs, inputs, kernel, kernel]),
            random(&[outputs]),
        );
        let own = ops::CpuConv2d::new(&weight, Some(&bias), config.padding, stride).expect("a convolution");
        let plain = candle_nn::Conv2d::new(weight, Some(bias), config);
        let name = format!("conv/{inputs}-{outputs} {kernel}x{kernel} at {side}, stride {stride}");
        beside(criterion, &name, || own.forward(&x), || plain.forward(&x));
    }
}

fn attention(criterion: &mut Criterion) {
    for [heads, queries, keys, width] in [
        [8, 4096, 4096, 40],
        [8, 1024, 1024, 80],
        [8, 4096, 77, 40],
        [1, 4096, 4096, 512],
    ] {
        let q = random(&[1, heads, queries, width]);
        let [k, v] = [0, 1].map(|_| random(&[1, heads, keys, width]));
        let scale = (width as f64).sqrt().recip();
        let plain = || softmax_last_dim(&(&q * scale)?.matmul(&k.transpose(2, 3)?)?)?.matmul(&v);
        let name = format!("attention/{heads} heads, {queries} x {keys} x {width}");
        beside(criterion, &name, || ops::attend(&q, &k, &v, scale), plain);
    }
}

fn norms(criterion: &mut Criterion) {
    const GROUPS: usize = 32;
    const EPS: f64 = 1e-5;
    for [channels, side] in [[320, 64], [128, 512]] {
        let x = random(&[1, channels, side, side]);
        let [weight, bias] = [0, 1].map(|_| random(&[channels]));
        let own = ops::CpuGroupNorm::new(GROUPS, &weight, &bias, EPS).expect("a norm");
        let plain = candle_nn::GroupNorm::new(weight, bias, channels, GROUPS, EPS).expect("a norm");
        let name = format!("group norm and SiLU/{channels} at {side}");
        beside(criterion, &name, || own.forward_silu(&x), || plain.forward(&x)?.silu());
    }
    let x = random(&[1, 4096, 320]);
    let [weight, bias] = [0, 1].map(|_| random(&[320]));
    let own = ops::CpuLayerNorm::new(&weight, &bias, EPS).expect("a norm");
    let plain = candle_nn::LayerNorm::new(weight, bias, EPS);
    beside(
        criterion,
        "layer norm/4096 x 320",
        || own.forward(&x),
        || plain.forward(&x),
    );
}

fn nonlinearities(criterion: &mut Criterion) {
    let x = random(&[1, 4096, 2560]);
    let plain = || {
        let gate = x.narrow(D::Minus1, 1280, 1280)?.contiguous()?;
        x.narrow(D::Minus1, 0, 1280)? * gate.gelu_erf()?
    };
    beside(criterion, "GEGLU/4096 x 1280", || ops::geglu(&x), plain);
}

criterion_group!(benches, convolutions, attention, norms, nonlinearities);
criterion_main!(benches);

//! Group norms against a loop in f64.

use candle_core::{DType, Device};
use proptest::prelude::*;

use super::*;

const EPS: f64 = 1e-5;

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().and_then(|x| x.to_vec1()).expect("a tensor")
}

fn randn(mean: f32, std: f32, shape: impl Into<candle_core::Shape>) -> Tensor {
    Tensor::randn(mean, std, shape.into(), &Device::Cpu).expect("a tensor")
}

/// silu(norm(x + shift)·(1 + s) + t) in f64, the SiLU only if asked for.
fn naive(norm: &CpuGroupNorm, x: &Tensor, shift: Option<&Tensor>, after: Option<&Tensor>, silu: bool) -> Vec<f64> {
    let (batch, channels, height, width) = x.dims4().expect("four dimensions");
    let pixels = height * width;
    let mut x: Vec<f64> = values(x).iter().map(|x| *x as f64).collect();
    if let Some(shift) = shift.map(values) {
        for (pixels, shift) in x.chunks_mut(pixels).zip(shift) {
            pixels.iter_mut().for_each(|x| *x += shift as f64);
        }
    }
    for group in x.chunks_mut(channels / norm.groups * pixels) {
        let count = group.len() as f64;
        let mean = group.iter().sum::<f64>() / count;
        let variance = group.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        group
            .iter_mut()
            .for_each(|x| *x = (*x - mean) / (variance + norm.eps).sqrt());
    }
    let after = after.map(values);
    for (index, pixels) in x.chunks_mut(pixels).enumerate() {
        let (image, channel) = (index / channels, index % channels);
        let (s, t) = after.as_ref().map_or((0.0, 0.0), |after| {
            let after = &after[image * 2 * channels..];
            (after[channel] as f64, after[channels + channel] as f64)
        });
        for x in pixels {
            let y = (*x * norm.weight[channel] as f64 + norm.bias[channel] as f64) * (1.0 + s) + t;
            *x = if silu { y / (1.0 + (-y).exp()) } else { y };
        }
    }
    assert_eq!(x.len(), batch * channels * pixels);
    x
}

fn norm(groups: usize, channels: usize) -> CpuGroupNorm {
    CpuGroupNorm::new(groups, &randn(1.0, 0.3, channels), &randn(0.0, 0.3, channels), EPS).expect("a norm")
}

fn error(y: &Tensor, exact: &[f64]) -> f64 {
    let y = values(y);
    assert_eq!(y.len(), exact.len());
    y.iter()
        .zip(exact)
        .map(|(y, exact)| (*y as f64 - exact).abs())
        .fold(0.0, f64::max)
}

/// The largest error of all the ways.
fn largest_error(norm: &CpuGroupNorm, x: &Tensor) -> Result<f64> {
    let (batch, channels, height, width) = x.dims4()?;
    let (shift, after) = (
        randn(0.0, 2.0, (batch, channels)),
        randn(0.0, 0.5, (batch, 2 * channels)),
    );
    let plain = naive(norm, x, None, None, false);
    let tokens = norm.forward_tokens(x)?;
    assert_eq!(tokens.dims(), [batch, height * width, channels]);
    let errors = [
        error(&norm.forward(x)?, &plain),
        error(&tokens.transpose(1, 2)?, &plain),
        error(&norm.forward_silu(x)?, &naive(norm, x, None, None, true)),
        error(
            &norm.forward_shifted_silu(x, &shift)?,
            &naive(norm, x, Some(&shift), None, true),
        ),
        error(
            &norm.forward_scaled_silu(x, &after)?,
            &naive(norm, x, None, Some(&after), true),
        ),
    ];
    Ok(errors.into_iter().fold(0.0, f64::max))
}

#[test]
fn all_ways_agree_with_f64() -> Result<()> {
    for (batch, groups, channels, height, width) in [
        (1, 1, 1, 3, 5),
        (2, 4, 12, 7, 7),
        (3, 32, 320, 8, 8),
        (1, 32, 64, 65, 33),
        (2, 2, 4, 1, 1),
        (1, 32, 128, 64, 64),
    ] {
        let x = randn(0.3, 2.0, (batch, channels, height, width));
        let error = largest_error(&norm(groups, channels), &x)?;
        assert!(error < 5e-6, "{:?}: {error}", x.dims());
    }
    Ok(())
}

#[test]
fn a_mean_of_1000_deviations_costs_no_digits() -> Result<()> {
    let error = largest_error(&norm(4, 16), &randn(1000.0, 1.0, (2, 16, 40, 41)))?;
    assert!(error < 5e-6, "{error}");
    Ok(())
}

#[test]
fn parts_of_a_group_may_lie_far_apart() -> Result<()> {
    let x = (randn(0.0, 1.0, (1, 2, 100, 100))
        + Tensor::new(&[0_f32, 5000.0], &Device::Cpu)?
            .reshape((1, 2, 1, 1))?
            .broadcast_as((1, 2, 100, 100))?)?;
    let norm = norm(1, 2);
    let y = norm.forward(&x)?;
    assert!(error(&y, &naive(&norm, &x, None, None, false)) < 2e-6);
    Ok(())
}

#[test]
fn statistics_are_good_to_a_millionth() -> Result<()> {
    let x = randn(1000.0, 1.0, (1, 10, 64, 64));
    let norm = CpuGroupNorm::new(
        1,
        &Tensor::ones(10, DType::F32, &Device::Cpu)?,
        &Tensor::zeros(10, DType::F32, &Device::Cpu)?,
        0.0,
    )?;
    let input = values(&x);
    let lines = Arch::new().dispatch(Statistics(norm.group(0, &input, 4096, &Around::default())));
    let count = input.len() as f64;
    let mean = input.iter().map(|x| *x as f64).sum::<f64>() / count;
    let inverse = (input.iter().map(|x| (*x as f64 - mean).powi(2)).sum::<f64>() / count)
        .sqrt()
        .recip();
    let found = lines[0].centre as f64 - lines[0].shift as f64 / lines[0].scale as f64;
    assert!((found - mean).abs() < 1e-6, "mean {found} for {mean}");
    assert!((lines[0].scale as f64 / inverse - 1.0).abs() < 5e-7);
    Ok(())
}

#[test]
fn constant_groups_give_the_bias() -> Result<()> {
    let norm = norm(2, 6);
    let y = norm.forward(&Tensor::full(77.7_f32, (1, 6, 9, 9), &Device::Cpu)?)?;
    for (pixels, bias) in values(&y).chunks(81).zip(&norm.bias) {
        assert!(pixels.iter().all(|y| y == bias));
    }
    Ok(())
}

#[test]
fn a_view_is_read_in_its_own_order_and_threads_change_nothing() -> Result<()> {
    let x = randn(0.0, 1.0, (2, 33, 35, 66)).transpose(1, 3)?.narrow(1, 1, 64)?;
    let norm = norm(32, 64);
    let (expected, expected_tokens) = (
        norm.forward_silu(&x.contiguous()?)?,
        norm.forward_tokens(&x.contiguous()?)?,
    );
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(candle_core::Error::wrap)?;
        assert_eq!(values(&pool.install(|| norm.forward_silu(&x))?), values(&expected));
        assert_eq!(
            values(&pool.install(|| norm.forward_tokens(&x))?),
            values(&expected_tokens)
        );
    }
    Ok(())
}

#[test]
fn bands_of_rows_have_the_bits_of_the_whole() -> Result<()> {
    // Blocks of the statistics end within rows, bands and channels.
    let x = randn(3.0, 2.0, (2, 12, 50, 33));
    let norm = norm(4, 12);
    let whole = norm.forward_silu(&x)?;
    let starts = [0, 7, 8, 40, 50];
    let bands = starts.windows(2).map(|rows| x.narrow(2, rows[0], rows[1] - rows[0]));
    let bands = bands.collect::<Result<Vec<_>>>()?;
    let lines = norm.lines(&bands)?;
    let found = bands.iter().map(|band| norm.forward_silu_by(band, &lines));
    let found = Tensor::cat(&found.collect::<Result<Vec<_>>>()?, 2)?;
    assert_eq!(values(&found), values(&whole));
    Ok(())
}

#[test]
fn bands_of_other_maps_are_errors() -> Result<()> {
    let norm = norm(2, 4);
    let [one, two, wide] = [(1, 4, 3, 3), (2, 4, 3, 3), (1, 6, 3, 3)].map(|shape| randn(0.0, 1.0, shape));
    assert!(norm.lines(&[]).is_err());
    assert!(norm.lines(&[one.clone(), two.clone()]).is_err());
    assert!(norm.lines(&[one.clone(), wide]).is_err());
    assert!(norm.forward_silu_by(&two, &norm.lines(&[one])?).is_err());
    Ok(())
}

#[test]
fn wrong_shapes_are_errors() -> Result<()> {
    let norm = norm(2, 4);
    let x = randn(0.0, 1.0, (2, 4, 3, 3));
    assert!(CpuGroupNorm::new(3, &randn(0.0, 1.0, 4), &randn(0.0, 1.0, 4), EPS).is_err());
    assert!(CpuGroupNorm::new(2, &randn(0.0, 1.0, 4), &randn(0.0, 1.0, 5), EPS).is_err());
    assert!(norm.forward(&randn(0.0, 1.0, (2, 6, 3, 3))).is_err());
    assert!(norm.forward(&x.to_dtype(DType::F64)?).is_err());
    assert!(norm.forward(&x.narrow(2, 0, 0)?).is_err());
    assert!(norm.forward_shifted_silu(&x, &randn(0.0, 1.0, (1, 4))).is_err());
    assert!(norm.forward_scaled_silu(&x, &randn(0.0, 1.0, (2, 4))).is_err());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_size_agrees(groups in 1_usize..4, each in 1_usize..4, height in 3_usize..12, width in 3_usize..12) {
        let x = randn(1.0, 1.0, (2, groups * each, height, width));
        prop_assert!(largest_error(&norm(groups, groups * each), &x)? < 1e-5);
    }
}

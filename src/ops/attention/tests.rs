//! Attention against a loop in f64.

use candle_core::{DType, Device};
use proptest::prelude::*;

use super::*;

/// As a U-Net's views: a (B, N, heads·d) projection with the heads taken apart and moved to the front.
fn view(batch: usize, heads: usize, rows: usize, depth: usize, std: f32) -> Tensor {
    let projection = Tensor::randn(0_f32, std, (batch, rows, heads * depth), &Device::Cpu).expect("a tensor");
    projection
        .reshape((batch, rows, heads, depth))
        .and_then(|x| x.transpose(1, 2))
        .expect("a tensor")
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().and_then(|x| x.to_vec1()).expect("a tensor")
}

/// A row of the map in f64.
fn map_row(query: &[f32], keys: &[f32], scale: f64) -> Vec<f64> {
    let dot = |key: &[f32]| query.iter().zip(key).map(|(q, k)| *q as f64 * *k as f64).sum::<f64>() * scale;
    let scores: Vec<f64> = keys.chunks(query.len()).map(dot).collect();
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|exponential| exponential / sum).collect()
}

/// The joined output and the mean map in f64.
fn naive(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> (Vec<f64>, Vec<f64>) {
    let (batch, heads, queries, depth) = q.dims4().expect("four dimensions");
    let keys = k.dims()[2];
    let (q, k, v) = (values(q), values(k), values(v));
    let mut output = vec![0.0; batch * queries * heads * depth];
    let mut mean = vec![0.0; batch * queries * keys];
    for (index, query) in q.chunks(depth).enumerate() {
        let (head, row) = (index / queries, index % queries);
        let (image, number) = (head / heads, head % heads);
        let of_head = head * keys * depth..(head + 1) * keys * depth;
        let map = map_row(query, &k[of_head.clone()], scale);
        let joined = &mut output[((image * queries + row) * heads + number) * depth..][..depth];
        for (value, weight) in v[of_head].chunks(depth).zip(&map) {
            joined
                .iter_mut()
                .zip(value)
                .for_each(|(sum, value)| *sum += weight * *value as f64);
        }
        let mean = &mut mean[(image * queries + row) * keys..][..keys];
        mean.iter_mut()
            .zip(&map)
            .for_each(|(mean, weight)| *mean += weight / heads as f64);
    }
    (output, mean)
}

/// The root of the mean squared error over that of the exact values.
fn error(y: &Tensor, exact: &[f64]) -> f64 {
    let y = values(y);
    assert_eq!(y.len(), exact.len());
    assert!(y.iter().all(|y| y.is_finite()));
    let errors: f64 = y.iter().zip(exact).map(|(y, exact)| (*y as f64 - exact).powi(2)).sum();
    (errors / exact.iter().map(|x| x * x).sum::<f64>()).sqrt()
}

fn larger_error(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<f64> {
    let (batch, heads, queries, depth) = q.dims4()?;
    let scale = 1.0 / (depth as f64).sqrt();
    let (output, mean) = naive(q, k, v, scale);
    let (y, map) = (attend(q, k, v, scale)?, mean_map(q, k, scale)?);
    assert_eq!(y.dims(), [batch, queries, heads * depth]);
    assert_eq!(map.dims(), [batch, 1, queries, k.dims()[2]]);
    assert!(y.is_contiguous() && map.is_contiguous());
    Ok(error(&y, &output).max(error(&map, &mean)))
}

#[test]
fn all_shapes_agree_with_f64() -> Result<()> {
    for (batch, heads, queries, keys, depth) in [
        (1, 1, 1, 1, 1),
        (2, 3, 1, 77, 40),
        (3, 2, 33, 1, 8),
        (1, 8, 100, 77, 40),
        (2, 4, 65, 77, 33),
        (1, 2, 64, 64, 160),
        (1, 3, 130, 450, 80),
        (2, 1, 70, 300, 64),
        (1, 1, 50, 130, 512),
        (1, 1, 17, 5, 200),
    ] {
        let (q, k) = (
            view(batch, heads, queries, depth, 1.5),
            view(batch, heads, keys, depth, 1.5),
        );
        let error = larger_error(&q, &k, &view(batch, heads, keys, depth, 1.0))?;
        assert!(error < 1.5e-6, "{batch} {heads} {queries} {keys} {depth}: {error}");
    }
    Ok(())
}

#[test]
fn typical_error_is_a_few_rounding_errors() -> Result<()> {
    let (q, k, v) = (
        view(1, 2, 64, 40, 1.0),
        view(1, 2, 4096, 40, 1.0),
        view(1, 2, 4096, 40, 1.0),
    );
    let error = larger_error(&q, &k, &v)?;
    assert!(error < 1e-6, "{error}");
    Ok(())
}

#[test]
fn any_strides_are_read() -> Result<()> {
    let (q, k, v) = (
        view(2, 3, 20, 16, 1.0),
        view(2, 3, 30, 16, 1.0),
        view(2, 3, 30, 16, 1.0),
    );
    let expected = values(&attend(&q, &k, &v, 0.25)?);
    let contiguous = attend(&q.contiguous()?, &k.contiguous()?, &v.contiguous()?, 0.25)?;
    assert_eq!(values(&contiguous), expected);
    // Depth before keys, as a convolution's channels lie, and a part of one long projection.
    let across = k.transpose(2, 3)?.contiguous()?.transpose(2, 3)?;
    let wide = Tensor::cat(&[&v, &v, &v], 3)?.narrow(3, 16, 16)?;
    assert_eq!(values(&attend(&q, &across, &wide, 0.25)?), expected);
    let one = k.narrow(1, 0, 1)?.broadcast_as(k.shape())?;
    assert_eq!(
        values(&attend(&q, &one, &v, 0.25)?),
        values(&attend(&q, &one.contiguous()?, &v, 0.25)?)
    );
    Ok(())
}

#[test]
fn extreme_scores_stay_finite() -> Result<()> {
    for sign in [1.0, -1.0] {
        let q = (Tensor::ones((1, 1, 5, 4), DType::F32, &Device::Cpu)? * (sign * 2500.0))?;
        let k = Tensor::randn(0_f32, 1.0, (1, 1, 300, 4), &Device::Cpu)?;
        let v = view(1, 1, 300, 4, 1.0);
        let (output, mean) = naive(&q, &k, &v, 1.0);
        assert!(error(&attend(&q, &k, &v, 1.0)?, &output) < 1e-2);
        assert!(error(&mean_map(&q, &k, 1.0)?, &mean) < 1e-2);
    }
    // Scores of ±10⁴ that rise from block to block, and that fall.
    for order in [1.0_f32, -1.0] {
        let ramp: Vec<f32> = (0..400).map(|key| order * (key as f32 - 200.0) * 50.0).collect();
        let k = Tensor::from_vec(ramp, (1, 1, 400, 1), &Device::Cpu)?;
        let (q, v) = (
            Tensor::ones((1, 1, 3, 1), DType::F32, &Device::Cpu)?,
            view(1, 1, 400, 1, 1.0),
        );
        assert!(error(&attend(&q, &k, &v, 1.0)?, &naive(&q, &k, &v, 1.0).0) < 1e-5);
    }
    Ok(())
}

#[test]
fn threads_change_no_bit() -> Result<()> {
    let (q, k, v) = (
        view(2, 3, 200, 40, 1.0),
        view(2, 3, 333, 40, 1.0),
        view(2, 3, 333, 40, 1.0),
    );
    let run = |threads| -> Result<_> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(candle_core::Error::wrap)?;
        pool.install(|| Ok((values(&attend(&q, &k, &v, 0.2)?), values(&mean_map(&q, &k, 0.2)?))))
    };
    assert!(run(1)? == run(3)?);
    Ok(())
}

#[test]
fn wrong_inputs_are_errors() -> Result<()> {
    let (q, k) = (view(1, 2, 3, 4, 1.0), view(1, 2, 5, 4, 1.0));
    assert!(attend(&q, &k, &view(1, 2, 6, 4, 1.0), 1.0).is_err());
    assert!(attend(&q, &view(1, 2, 5, 3, 1.0), &k, 1.0).is_err());
    assert!(attend(&q, &view(2, 2, 5, 4, 1.0), &k, 1.0).is_err());
    assert!(attend(&q.to_dtype(DType::F64)?, &k, &k, 1.0).is_err());
    assert!(attend(&q.squeeze(0)?, &k, &k, 1.0).is_err());
    assert!(mean_map(&q, &k.narrow(2, 0, 0)?, 1.0).is_err());
    assert!(mean_map(&q.narrow(2, 0, 0)?, &k, 1.0).is_err());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn any_size_agrees(
        batch in 1_usize..3, heads in 1_usize..4, queries in 1_usize..70, keys in 1_usize..260, depth in 1_usize..50,
    ) {
        let (q, k) = (view(batch, heads, queries, depth, 1.0), view(batch, heads, keys, depth, 1.0));
        prop_assert!(larger_error(&q, &k, &view(batch, heads, keys, depth, 1.0))? < 2e-6);
    }
}

#[test]
fn plain_code_agrees_with_the_vector_code() -> Result<()> {
    let (queries, keys, depth) = (19, 77, 20);
    let (q, k, v) = (
        view(1, 1, queries, depth, 1.0),
        view(1, 1, keys, depth, 1.0),
        view(1, 1, keys, depth, 1.0),
    );
    let expected = values(&attend(&q, &k, &v, 0.3)?);
    let ((q_storage, q_layout), (k_storage, k_layout), (v_storage, v_layout)) =
        (q.storage_and_layout(), k.storage_and_layout(), v.storage_and_layout());
    let q_rows = Rows::new(floats(&q_storage)?, q_layout);
    let (k_rows, v_rows) = (
        Rows::new(floats(&k_storage)?, k_layout),
        Rows::new(floats(&v_storage)?, v_layout),
    );
    let packed = Packed::new(&Sizes::new(&q, &k)?, &k_rows, Some(&v_rows), 0.3);
    let mut output = vec![0.0; queries * depth];
    let task = Task {
        head: 0,
        queries: (0..queries).map(|query| q_rows.row(0, 0, query)).collect(),
        output: output.chunks_mut(depth).collect(),
    };
    pulp::WithSimd::with_simd(
        Attend {
            keys: packed.head(0),
            task,
        },
        pulp::Scalar::new(),
    );
    for (y, expected) in output.iter().zip(expected) {
        assert!((y - expected).abs() < 1e-5);
    }
    Ok(())
}

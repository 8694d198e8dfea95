//! Bands against the whole, for a small autoencoder with weights that look random.

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use serde_json::json;

use super::{VaeConfig, VaeDecoder, VaeEncoder, bands::Banding};
use crate::{
    activation::no_progress,
    error::{Error, Result},
};

const WHOLE: Banding = Banding {
    latent_rows: 4,
    most_whole: usize::MAX,
};

/// Latent rows and columns, pictures, rows in a band: 5 bands of which the last is half as high, a band that covers all, 3
/// bands of several pictures, 2 of which the last has one row.
const CASES: [(usize, usize, usize, usize); 4] = [(18, 10, 1, 4), (4, 7, 1, 8), (12, 16, 2, 4), (9, 5, 1, 8)];

/// The same numbers in (-1, 1) for the same name.
fn noise(name: &str, shape: &Shape, dtype: DType) -> candle_core::Result<Tensor> {
    let mut state = name
        .bytes()
        .fold(1_u32, |hash, byte| hash.wrapping_mul(31) ^ u32::from(byte));
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..shape.elem_count()).map(|_| next()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)
}

/// Weights that keep what goes through them at its size.
struct Weights;

impl SimpleBackend for Weights {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, _: &Device) -> candle_core::Result<Tensor> {
        let noise = noise(name, &shape, dtype)?;
        match shape.dims() {
            [_] if name.contains("norm") && name.ends_with("weight") => (noise * 0.5)? + 1.0,
            [_] => noise * 0.2,
            [_, inputs @ ..] => noise * (3.0 / inputs.iter().product::<usize>() as f64).sqrt(),
            [] => Ok(noise),
        }
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} was asked for without a shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        !["query", "key", "value", "proj_attn"]
            .iter()
            .any(|old| name.contains(old))
    }
}

fn config() -> VaeConfig {
    let json = json!({"block_out_channels": [16, 32, 32], "layers_per_block": 1, "norm_num_groups": 4});
    VaeConfig::from_json(&json).expect("a configuration of the tests")
}

fn weights(dtype: DType) -> VarBuilder<'static> {
    VarBuilder::from_backend(Box::new(Weights), dtype, Device::Cpu)
}

fn encoder(dtype: DType) -> Result<VaeEncoder> {
    VaeEncoder::new(config(), weights(dtype))
}

/// The largest difference, as a share of the standard deviation of what is expected.
fn difference(expected: &Tensor, found: &Tensor) -> Result<f64> {
    assert_eq!(expected.dims(), found.dims());
    let [x, y] = [expected, found].map(|tensor| tensor.to_dtype(DType::F64)?.flatten_all());
    let (x, y) = (x?, y?);
    let mean = x.mean(0)?;
    let deviation = x.broadcast_sub(&mean)?.sqr()?.mean(0)?.sqrt()?;
    let largest = (y - x)?.abs()?.max(0)?;
    Ok(largest.to_scalar::<f64>()? / deviation.to_scalar::<f64>()?)
}

/// The largest difference of all cases, of the encoder and of the decoder: where every level is in bands, and where only the
/// larger ones are.
fn largest_difference(dtype: DType) -> Result<f64> {
    let (encoder, decoder) = (encoder(dtype)?, VaeDecoder::new(config(), weights(dtype))?);
    let stride = config().stride();
    let mut largest = 0.0_f64;
    for (height, width, batch, latent_rows) in CASES {
        let pictures = noise("pictures", &(batch, 3, stride * height, stride * width).into(), dtype)?;
        let latents = noise("latents", &(batch, 4, height, width).into(), dtype)?;
        let posterior = encoder.encode_by(WHOLE, &pictures, &mut no_progress)?;
        let decoded = decoder.decode_by(WHOLE, &latents, &mut no_progress)?;
        for most_whole in [0, 4 * height * width] {
            let banding = Banding {
                latent_rows,
                most_whole,
            };
            let in_bands = encoder.encode_by(banding, &pictures, &mut no_progress)?;
            let decoded_in_bands = decoder.decode_by(banding, &latents, &mut no_progress)?;
            for (expected, found) in [
                (&posterior.mean, &in_bands.mean),
                (&posterior.std, &in_bands.std),
                (&decoded, &decoded_in_bands),
            ] {
                largest = largest.max(difference(expected, found)?);
            }
        }
    }
    Ok(largest)
}

#[test]
fn bands_give_the_bits_of_the_whole() -> Result<()> {
    assert_eq!(largest_difference(DType::F32)?, 0.0);
    Ok(())
}

/// Where candle's own operators run, as on other devices.
#[test]
fn bands_of_other_formats_differ_by_rounding() -> Result<()> {
    let difference = largest_difference(DType::F64)?;
    assert!(difference < 1e-12, "{difference}");
    Ok(())
}

#[test]
fn bands_beside_the_tiles_of_the_convolution_differ_by_rounding() -> Result<()> {
    let encoder = encoder(DType::F32)?;
    let pictures = noise("pictures", &(1, 3, 44, 32).into(), DType::F32)?;
    let whole = encoder.encode_by(WHOLE, &pictures, &mut no_progress)?;
    for latent_rows in [1, 3] {
        let banding = Banding {
            latent_rows,
            most_whole: 0,
        };
        let in_bands = encoder.encode_by(banding, &pictures, &mut no_progress)?;
        let difference = difference(&whole.mean, &in_bands.mean)?;
        assert!(difference < 1e-5, "{latent_rows}: {difference}");
    }
    Ok(())
}

#[test]
fn pictures_up_to_1024_pixels_stay_whole() {
    assert!(Banding::of(1024 * 1024).keeps_whole(1024 * 1024));
    assert!(!Banding::of(1024 * 1032).keeps_whole(1024 * 1024));
}

#[test]
fn every_band_is_told_and_may_be_the_last() -> Result<()> {
    let encoder = encoder(DType::F32)?;
    let pictures = noise("pictures", &(1, 3, 72, 40).into(), DType::F32)?;
    let told = |banding: Banding| -> Result<Vec<f32>> {
        let mut told = Vec::new();
        encoder.encode_by(banding, &pictures, &mut |done| {
            told.push(done);
            Ok(())
        })?;
        assert!(told.is_sorted_by(|before, now| before < now), "{told:?}");
        assert!(told.last().is_some_and(|last| (last - 1.0).abs() < 1e-6), "{told:?}");
        Ok(told)
    };
    let banding = Banding {
        latent_rows: 4,
        most_whole: 0,
    };
    let (whole, in_bands) = (told(WHOLE)?, told(banding)?);
    // The convolution before all, three resnets with a convolution on either side, two samplers: five bands each.
    assert_eq!(in_bands.len(), whole.len() - 6 + 5 * (1 + 2 * 3 + 2));
    for last in 1..in_bands.len() {
        let mut count = 0;
        let ended = encoder.encode_by(banding, &pictures, &mut |_| {
            count += 1;
            if count == last { Err(Error::Cancelled) } else { Ok(()) }
        });
        assert!(matches!(ended, Err(Error::Cancelled)));
        assert_eq!(count, last);
    }
    Ok(())
}

//! Numbers as files hold them → tensors that can be computed with. Every type is read to the last bit, or refused.

use candle_core::{DType, Device, Result, Tensor, bail};
use half::f16;
use safetensors::Dtype;

/// More dimensions than any tensor has.
pub(super) const MAX_DIMENSIONS: usize = 8;

/// A tensor of these bytes. Floats of 8 bits become f16, which has all their values; signed bytes and 16 bits without sign
/// become the next wider type that candle has.
pub(super) fn tensor(dtype: Dtype, bytes: &[u8], shape: &[usize]) -> Result<Tensor> {
    let plain = |dtype| Tensor::from_raw_buffer(bytes, dtype, shape, &Device::Cpu);
    match dtype {
        Dtype::F64 => plain(DType::F64),
        Dtype::F32 => plain(DType::F32),
        Dtype::F16 => plain(DType::F16),
        Dtype::BF16 => plain(DType::BF16),
        Dtype::I64 => plain(DType::I64),
        Dtype::I32 => plain(DType::I32),
        Dtype::I16 => plain(DType::I16),
        Dtype::U32 => plain(DType::U32),
        Dtype::U8 | Dtype::BOOL => plain(DType::U8),
        Dtype::I8 => {
            let wide: Vec<i16> = bytes.iter().map(|byte| i16::from(byte.cast_signed())).collect();
            Tensor::from_vec(wide, shape, &Device::Cpu)
        }
        Dtype::U16 => {
            let pairs = bytes.as_chunks::<2>().0.iter();
            let wide: Vec<u32> = pairs.map(|pair| u16::from_le_bytes(*pair).into()).collect();
            Tensor::from_vec(wide, shape, &Device::Cpu)
        }
        Dtype::F8_E4M3 => widened(bytes, shape, of_e4m3),
        Dtype::F8_E5M2 => widened(bytes, shape, of_e5m2),
        other => bail!("numbers of type {other:?} are not read"),
    }
}

/// Whether the numbers are integers, which weights are not.
pub(super) fn is_integer(dtype: Dtype) -> bool {
    use Dtype::{BOOL, I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(dtype, BOOL | U8 | I8 | I16 | U16 | I32 | U32 | I64 | U64)
}

/// Whether the numbers are floats of 8 bits.
pub(super) fn is_f8(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F8_E4M3 | Dtype::F8_E5M2)
}

fn widened(bytes: &[u8], shape: &[usize], widen: fn(u8) -> f16) -> Result<Tensor> {
    let values: [f16; 256] = std::array::from_fn(|byte| widen(byte as u8));
    let wide: Vec<f16> = bytes.iter().map(|byte| values[usize::from(*byte)]).collect();
    Tensor::from_vec(wide, shape, &Device::Cpu)
}

/// The upper byte of an f16.
fn of_e5m2(byte: u8) -> f16 {
    f16::from_bits(u16::from(byte) << 8)
}

/// Four bits of exponent with a bias of 7, three of fraction; no infinity, and one NaN of each sign.
fn of_e4m3(byte: u8) -> f16 {
    const MAGNITUDE: u8 = 0x7f;
    /// f16's bias less this one's.
    const BIAS: u16 = 15 - 7;
    /// The step of the numbers below 2^-6.
    const STEP: f32 = 1.0 / 512.0;
    let sign = u16::from(byte & !MAGNITUDE) << 8;
    let magnitude = byte & MAGNITUDE;
    let (exponent, fraction) = (u16::from(magnitude >> 3), u16::from(magnitude & 7));
    let value = match (exponent, magnitude) {
        (_, MAGNITUDE) => f16::NAN.to_bits(),
        (0, _) => f16::from_f32(f32::from(fraction) * STEP).to_bits(),
        _ => (exponent + BIAS) << 10 | fraction << 7,
    };
    f16::from_bits(value | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    fn read(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f64>> {
        let count = bytes.len() * 8 / dtype.bitsize();
        tensor(dtype, bytes, &[count])?.to_dtype(DType::F64)?.to_vec1()
    }

    /// As the definitions of the formats say it: sign, exponent with its bias, fraction.
    fn by_definition(byte: u8, exponent_bits: u32, bias: i32) -> f64 {
        let fraction_bits = 7 - exponent_bits;
        let sign = if byte & 0x80 == 0 { 1.0 } else { -1.0 };
        let exponent = i32::from((byte & 0x7f) >> fraction_bits);
        let fraction = f64::from(byte & ((1 << fraction_bits) - 1)) / f64::from(1 << fraction_bits);
        let magnitude = match exponent {
            0 => fraction * 2_f64.powi(1 - bias),
            _ => (1.0 + fraction) * 2_f64.powi(exponent - bias),
        };
        sign * magnitude
    }

    #[test]
    fn floats_of_eight_bits_have_the_values_of_their_definition() -> TestResult {
        let bytes: Vec<u8> = (0..=255).collect();
        let of_four = read(Dtype::F8_E4M3, &bytes)?;
        let of_five = read(Dtype::F8_E5M2, &bytes)?;
        for byte in bytes {
            let (four, five) = (of_four[usize::from(byte)], of_five[usize::from(byte)]);
            match byte & 0x7f {
                0x7f => assert!(four.is_nan()),
                _ => assert_eq!(four, by_definition(byte, 4, 7), "{byte:#04x}"),
            }
            match byte & 0x7f {
                0x7c => assert!(five.is_infinite() && (five < 0.0) == (byte & 0x80 != 0)),
                0x7d..=0x7f => assert!(five.is_nan()),
                _ => assert_eq!(five, by_definition(byte, 5, 15), "{byte:#04x}"),
            }
        }
        assert_eq!(of_four[0x7e], 448.0);
        assert_eq!(of_five[0x7b], 57344.0);
        Ok(())
    }

    #[test]
    fn other_types_are_read_to_the_last_bit_or_refused() -> TestResult {
        let nearly_one = 1.0 - f64::EPSILON;
        assert_eq!(read(Dtype::F64, &nearly_one.to_le_bytes())?, [nearly_one]);
        assert_eq!(read(Dtype::I64, &(-5_i64).to_le_bytes())?, [-5.0]);
        assert_eq!(read(Dtype::U32, &u32::MAX.to_le_bytes())?, [f64::from(u32::MAX)]);
        assert_eq!(read(Dtype::I32, &i32::MIN.to_le_bytes())?, [f64::from(i32::MIN)]);
        assert_eq!(read(Dtype::U16, &u16::MAX.to_le_bytes())?, [65535.0]);
        assert_eq!(read(Dtype::I16, &i16::MIN.to_le_bytes())?, [-32768.0]);
        assert_eq!(read(Dtype::I8, &[0x80, 0x7f])?, [-128.0, 127.0]);
        assert_eq!(read(Dtype::U8, &[0xff])?, [255.0]);
        for refused in [
            Dtype::F4,
            Dtype::F6_E2M3,
            Dtype::F6_E3M2,
            Dtype::F8_E8M0,
            Dtype::F8_E4M3FNUZ,
            Dtype::F8_E5M2FNUZ,
            Dtype::C64,
            Dtype::U64,
        ] {
            let error = tensor(refused, &[0; 24], &[1]).expect_err("not read").to_string();
            assert!(error.contains(&format!("{refused:?}")), "{error}");
        }
        Ok(())
    }
}

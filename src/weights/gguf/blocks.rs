//! Blocks of quantised numbers → f32, as GGML defines them (ggml-quants.c): 32 numbers with one factor, or 256 with a factor and
//! smaller ones for each 16 or 32 of them.

use half::f16;

/// Numbers of a small block, and of a large one ("K").
const SMALL: usize = 32;
const LARGE: usize = 256;

/// A format of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockType {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

impl BlockType {
    /// The format of a number in a file.
    pub(super) fn of(number: u32) -> Option<Self> {
        Some(match number {
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            _ => return None,
        })
    }

    /// Numbers of a block.
    pub(super) const fn numbers(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => SMALL,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K => LARGE,
        }
    }

    /// Bytes of a block.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Appends the numbers of one block of [`Self::bytes`] bytes.
    pub(super) fn multiply_out(self, block: &[u8], into: &mut Vec<f32>) {
        match self {
            Self::Q4_0 => small(block, Fifth::None, Offset::Middle(8), into),
            Self::Q4_1 => small(block, Fifth::None, Offset::Stored, into),
            Self::Q5_0 => small(block, Fifth::Stored, Offset::Middle(16), into),
            Self::Q5_1 => small(block, Fifth::Stored, Offset::Stored, into),
            Self::Q8_0 => {
                let factor = half_at(block, 0);
                into.extend(block[2..].iter().map(|byte| factor * f32::from(byte.cast_signed())));
            }
            Self::Q2K => q2_k(block, into),
            Self::Q3K => q3_k(block, into),
            Self::Q4K => q4_k(block, into),
            Self::Q5K => q5_k(block, into),
            Self::Q6K => q6_k(block, into),
        }
    }
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Where the fifth bit of a number is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fifth {
    None,
    Stored,
}

/// What is added to a number: the middle of its range is taken away before it is multiplied, or a number of the block is added
/// after.
#[derive(Clone, Copy)]
enum Offset {
    Middle(i16),
    Stored,
}

/// 32 numbers of 4 or 5 bits: the lower halves of 16 bytes first, then the upper ones.
fn small(block: &[u8], fifth: Fifth, offset: Offset, into: &mut Vec<f32>) {
    let factor = half_at(block, 0);
    let (middle, least, rest) = match offset {
        Offset::Middle(middle) => (middle, 0.0, &block[2..]),
        Offset::Stored => (0, half_at(block, 2), &block[4..]),
    };
    let (high, halves) = match fifth {
        Fifth::None => (0, rest),
        Fifth::Stored => (u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]), &rest[4..]),
    };
    let number = |index: usize, nibble: u8| {
        let bit = (high >> index & 1) as i16;
        let whole = (i16::from(nibble) | bit << 4) - middle;
        f32::from(whole) * factor + least
    };
    into.extend(
        halves
            .iter()
            .enumerate()
            .map(|(index, byte)| number(index, byte & 0x0f)),
    );
    into.extend(
        halves
            .iter()
            .enumerate()
            .map(|(index, byte)| number(index + 16, byte >> 4)),
    );
}

/// Factor and least number of 32 numbers, of 6 bits each, of which 8 pairs lie in 12 bytes.
fn factor_and_least(packed: &[u8], index: usize) -> [f32; 2] {
    let [factor, least] = match index {
        0..4 => [packed[index] & 63, packed[index + 4] & 63],
        _ => [
            packed[index + 4] & 0x0f | packed[index - 4] >> 6 << 4,
            packed[index + 4] >> 4 | packed[index] >> 6 << 4,
        ],
    };
    [f32::from(factor), f32::from(least)]
}

/// 16 groups of 16 numbers of 2 bits, each with a factor and a least number of 4 bits.
fn q2_k(block: &[u8], into: &mut Vec<f32>) {
    let (scales, quants) = (&block[..16], &block[16..80]);
    let (factor, least) = (half_at(block, 80), half_at(block, 82));
    for (group, scale) in scales.iter().enumerate() {
        let (factor, least) = (factor * f32::from(scale & 0x0f), least * f32::from(scale >> 4));
        // 128 numbers lie in 32 bytes, two bits of each byte at a time.
        let (half, shift, side) = (group / 8, group % 8 / 2 * 2, group % 2);
        let bytes = &quants[32 * half + 16 * side..][..16];
        into.extend(bytes.iter().map(|byte| factor * f32::from(byte >> shift & 3) - least));
    }
}

/// 16 groups of 16 numbers of 3 bits, the third of which lies apart, each with a factor of 6 bits.
fn q3_k(block: &[u8], into: &mut Vec<f32>) {
    let (high, quants, packed) = (&block[..32], &block[32..96], &block[96..108]);
    let factor = half_at(block, 108);
    for group in 0..16 {
        let low = match group {
            0..8 => packed[group] & 0x0f,
            _ => packed[group - 8] >> 4,
        };
        let upper = packed[8 + group % 4] >> (group / 4 * 2) & 3;
        let factor = factor * f32::from(i16::from(low | upper << 4) - 32);
        let (half, pair, side) = (group / 8, group % 8 / 2, group % 2);
        let bytes = &quants[32 * half + 16 * side..][..16];
        let bits = &high[16 * side..][..16];
        into.extend(bytes.iter().zip(bits).map(|(byte, bits)| {
            let third = bits >> (4 * half + pair) & 1;
            let whole = i16::from(byte >> (2 * pair) & 3) - if third == 0 { 4 } else { 0 };
            factor * f32::from(whole)
        }));
    }
}

/// 8 groups of 32 numbers of 4 bits.
fn q4_k(block: &[u8], into: &mut Vec<f32>) {
    let (packed, quants) = (&block[4..16], &block[16..]);
    large(block, packed, into, |group, index| {
        let byte = quants[group / 2 * 32 + index];
        if group % 2 == 0 { byte & 0x0f } else { byte >> 4 }
    });
}

/// 8 groups of 32 numbers of 5 bits, the fifth of which lies apart.
fn q5_k(block: &[u8], into: &mut Vec<f32>) {
    let (packed, high, quants) = (&block[4..16], &block[16..48], &block[48..]);
    large(block, packed, into, |group, index| {
        let byte = quants[group / 2 * 32 + index];
        let low = if group % 2 == 0 { byte & 0x0f } else { byte >> 4 };
        low | (high[index] >> group & 1) << 4
    });
}

/// 8 groups of 32 numbers, each with a factor and a least number.
fn large(block: &[u8], packed: &[u8], into: &mut Vec<f32>, number: impl Fn(usize, usize) -> u8) {
    let (factor, least) = (half_at(block, 0), half_at(block, 2));
    for group in 0..8 {
        let [scale, start] = factor_and_least(packed, group);
        let (scale, start) = (factor * scale, least * start);
        into.extend((0..SMALL).map(|index| scale * f32::from(number(group, index)) - start));
    }
}

/// 16 groups of 16 numbers of 6 bits, the upper two of which lie apart, each with a signed factor.
fn q6_k(block: &[u8], into: &mut Vec<f32>) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let factor = half_at(block, 208);
    for place in 0..LARGE {
        // 128 numbers lie in 64 bytes of lower and 32 bytes of upper bits, in four runs of 32.
        let (half, run, index) = (place / 128, place % 128 / 32, place % 32);
        let byte = low[64 * half + 32 * (run % 2) + index];
        let nibble = if run < 2 { byte & 0x0f } else { byte >> 4 };
        let upper = high[32 * half + index] >> (2 * run) & 3;
        let whole = i16::from(nibble | upper << 4) - 32;
        let scale = f32::from(scales[place / 16].cast_signed());
        into.push(factor * scale * f32::from(whole));
    }
}

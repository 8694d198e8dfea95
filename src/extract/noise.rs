//! The numbers of `torch.randn(shape, generator=torch.Generator().manual_seed(N))` on the CPU, so that a notebook can
//! make the same noise. In: a seed. Out: normal numbers, the same on every device.

use std::{f32, f64};

/// Words of the Mersenne Twister MT19937's state.
const STATE_WORDS: usize = 624;
/// Distance between the words that are mixed.
const SHIFT_WORDS: usize = 397;
const MATRIX: u32 = 0x9908_B0DF;
const UPPER_BIT: u32 = 0x8000_0000;

/// From this many numbers on torch fills a tensor in blocks of this size; below it draws one by one.
const BLOCK: usize = 16;

/// A stream of normal numbers; successive draws continue it.
#[derive(Clone)]
pub struct TorchGenerator {
    state: [u32; STATE_WORDS],
    /// Words of the state already given out.
    used: usize,
    /// The second number of the last pair drawn one by one.
    spare: Option<f64>,
}

impl TorchGenerator {
    /// `torch.Generator().manual_seed(seed)`: the lower 32 bits count.
    pub fn new(seed: u64) -> Self {
        const MULTIPLIER: u32 = 1_812_433_253;
        let mut state = [0; STATE_WORDS];
        let mut previous = seed as u32;
        for (index, word) in (0_u32..).zip(state.iter_mut()) {
            if index > 0 {
                previous = (previous ^ (previous >> 30))
                    .wrapping_mul(MULTIPLIER)
                    .wrapping_add(index);
            }
            *word = previous;
        }
        Self {
            state,
            used: STATE_WORDS,
            spare: None,
        }
    }

    /// The next `count` numbers, as `torch.randn` of a tensor with so many elements gives them.
    pub fn randn(&mut self, count: usize) -> Vec<f32> {
        if count < BLOCK {
            return (0..count).map(|_| self.normal() as f32).collect();
        }
        let mut numbers: Vec<f32> = (0..count).map(|_| self.uniform_f32()).collect();
        let (blocks, rest) = numbers.as_chunks_mut::<BLOCK>();
        blocks.iter_mut().for_each(normal_block);
        // A remainder makes torch draw the last 16 again, those already finished among them included.
        if !rest.is_empty()
            && let Some(last) = numbers.last_chunk_mut::<BLOCK>()
        {
            last.fill_with(|| self.uniform_f32());
            normal_block(last);
        }
        numbers
    }

    /// One number of `at::normal_distribution<double>`, which makes them in pairs.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let turn = self.uniform_f64();
        let radius = (-2.0 * (-self.uniform_f64()).ln_1p()).sqrt();
        let (sin, cos) = (f64::consts::TAU * turn).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// In [0, 1), 24 bits.
    fn uniform_f32(&mut self) -> f32 {
        const BITS: u32 = 24;
        const STEP: f32 = 1.0 / (1_u32 << BITS) as f32;
        (self.next_word() & ((1 << BITS) - 1)) as f32 * STEP
    }

    /// In [0, 1), 53 bits of two words, the high one first.
    fn uniform_f64(&mut self) -> f64 {
        const BITS: u32 = 53;
        const STEP: f64 = 1.0 / (1_u64 << BITS) as f64;
        let high = u64::from(self.next_word());
        let long = high << u32::BITS | u64::from(self.next_word());
        (long & ((1 << BITS) - 1)) as f64 * STEP
    }

    /// The next 32 bits of MT19937.
    fn next_word(&mut self) -> u32 {
        if self.used == STATE_WORDS {
            self.renew();
        }
        let mut word = self.state[self.used];
        self.used += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9D2C_5680;
        word ^= (word << 15) & 0xEFC6_0000;
        word ^ (word >> 18)
    }

    fn renew(&mut self) {
        for index in 0..STATE_WORDS {
            let upper = self.state[index] & UPPER_BIT;
            let mixed = upper | (self.state[(index + 1) % STATE_WORDS] & !UPPER_BIT);
            let twist = if mixed & 1 == 0 { 0 } else { MATRIX };
            self.state[index] = self.state[(index + SHIFT_WORDS) % STATE_WORDS] ^ (mixed >> 1) ^ twist;
        }
        self.used = 0;
    }
}

/// Box and Muller's transform of 16 uniform numbers: the first eight give the radius, the others the angle.
fn normal_block(block: &mut [f32; BLOCK]) {
    let (radii, angles) = block.split_at_mut(BLOCK / 2);
    for (first, second) in radii.iter_mut().zip(angles) {
        let radius = (-2.0 * (1.0 - *first).ln()).sqrt();
        // In f32 as torch's vector code does it: its scalar code, in f64, differs by up to 2e-6.
        let angle = f32::consts::TAU * *second;
        *first = radius * angle.cos();
        *second = radius * angle.sin();
    }
}

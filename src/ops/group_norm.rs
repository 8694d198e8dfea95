//! Group normalisation, with what surrounds it in a network in the same pass: the timestep's shift before, the
//! timestep's scale and shift after, SiLU, and the transposition to tokens.
//!
//! In: f32 on the CPU, (B, C, h, w); a non-contiguous input is copied first. Out: (B, C, h, w) or (B, h·w, C),
//! contiguous. A group's statistics are one pass over memory, in blocks around a running mean whose sums are joined in
//! f64, and the result is the second, over what is still in a cache; all that follows the normalisation is folded into
//! one multiplication and addition per channel. Of a map that lies in bands of rows the two passes can be made one by one:
//! the first sees the floats in the order of the whole map, so that the result is the same to the last bit.

#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::vector::{Fresh, deviations, filled, filled_by_image, map, parameter, read, read_all, swish, transpose};

/// Floats in a block of the statistics, whose lanes' f32 sums stay exact to a few digits.
const BLOCK: usize = 4096;

/// Floats of a piece of the output, which stays in the first cache between its zeros and its values.
const PIECE: usize = 2048;

/// Tokens in a task of the transposition: two cache lines of each channel.
const TOKENS: usize = 32;

/// Group normalisation with its parameters.
#[derive(Debug, Clone)]
pub struct CpuGroupNorm {
    groups: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f64,
}

/// Operations fused with the normalisation.
#[derive(Default)]
struct Around {
    /// (B, C), added before.
    shift: Option<Vec<f32>>,
    /// (B, 2C): s and t of · (1 + s) + t after.
    scale_shift: Option<Vec<f32>>,
    silu: bool,
}

impl CpuGroupNorm {
    /// With a weight and a bias of shape (C), which `groups` divides.
    ///
    /// # Errors
    ///
    /// Where `groups` does not divide C or one of them is 0, where the bias has another length, and where a tensor is
    /// not f32 on the CPU.
    pub fn new(groups: usize, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Self> {
        let channels = weight.dims1()?;
        if groups == 0 || channels == 0 || channels % groups != 0 {
            bail!("{channels} channels do not make {groups} groups");
        }
        Ok(Self {
            groups,
            weight: parameter(weight, channels, "a norm's weight")?,
            bias: parameter(bias, channels, "a norm's bias")?,
            eps,
        })
    }

    /// norm(x), (B, C, h, w) -> (B, C, h, w).
    ///
    /// # Errors
    ///
    /// Where `x` has other channels than the norm, and where it is not f32 on the CPU.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.run(x, &Around::default())
    }

    /// silu(norm(x)), (B, C, h, w) -> (B, C, h, w).
    ///
    /// # Errors
    ///
    /// Where `x` has other channels than the norm, and where it is not f32 on the CPU.
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        self.run(
            x,
            &Around {
                silu: true,
                ..Around::default()
            },
        )
    }

    /// Scale and shift of each channel by the norm of x (B, C, h, w), where x lies in bands (B, C, rows, w) from top to bottom.
    ///
    /// # Errors
    ///
    /// Where there are no bands, where they differ in B, where one has other channels than the norm, and where one is
    /// not f32 on the CPU.
    pub fn lines(&self, bands: &[Tensor]) -> Result<Lines> {
        let sizes = bands.iter().map(|band| self.sizes(band)).collect::<Result<Vec<_>>>()?;
        let Some((batch, _)) = sizes.first().copied() else {
            bail!("a group norm of no bands");
        };
        if sizes.iter().any(|(other, _)| *other != batch) {
            bail!("bands of maps of {batch} images and of others");
        }
        let channels = self.weight.len();
        let around = Around::default();
        let lines = read_all(bands, |bands| {
            let lines: Vec<Vec<Line>> = (0..batch * self.groups)
                .into_par_iter()
                .map(|index| {
                    let group = self.group(index, &[], 0, &around);
                    let planes = group.channels().flat_map(|channel| {
                        let plane = group.image * channels + channel;
                        (bands.iter().zip(&sizes)).map(move |(band, (_, pixels))| &band[plane * pixels..][..*pixels])
                    });
                    let moments = Arch::new().dispatch(InPieces(planes));
                    group.lines_of(&moments)
                })
                .collect();
            Ok(lines.concat())
        })?;
        Ok(Lines(lines))
    }

    /// silu(norm(x)), (B, C, rows, w) -> (B, C, rows, w), for rows of the map that `lines` is of.
    pub(crate) fn forward_silu_by(&self, x: &Tensor, lines: &Lines) -> Result<Tensor> {
        let (batch, pixels) = self.sizes(x)?;
        if lines.0.len() != batch * self.weight.len() {
            bail!("{} lines for {:?}", lines.0.len(), x.dims());
        }
        let output = read(x, |input| {
            Ok(filled(input.len(), pixels, |index, fresh| {
                Arch::new().dispatch(Normal {
                    input: &input[index * pixels..][..pixels],
                    lines: &lines.0[index..=index],
                    silu: true,
                    fresh,
                });
            }))
        })?;
        Tensor::from_vec(output, x.shape(), x.device())
    }

    /// silu(norm(x)·(1 + s) + t), (B, C, h, w) -> (B, C, h, w), with s and then t along `scale_shift` (B, 2C).
    pub(crate) fn forward_scaled_silu(&self, x: &Tensor, scale_shift: &Tensor) -> Result<Tensor> {
        let scale_shift = Some(self.per_image(x, scale_shift, 2)?);
        self.run(
            x,
            &Around {
                scale_shift,
                silu: true,
                ..Around::default()
            },
        )
    }

    /// silu(norm(x + shift)), (B, C, h, w) -> (B, C, h, w), with a shift (B, C).
    pub(crate) fn forward_shifted_silu(&self, x: &Tensor, shift: &Tensor) -> Result<Tensor> {
        let shift = Some(self.per_image(x, shift, 1)?);
        self.run(
            x,
            &Around {
                shift,
                silu: true,
                ..Around::default()
            },
        )
    }

    /// norm(x) as a transformer's tokens, (B, C, h, w) -> (B, h·w, C).
    pub(crate) fn forward_tokens(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, pixels) = self.sizes(x)?;
        let channels = self.weight.len();
        let (image, group) = (channels * pixels, channels / self.groups);
        let around = Around::default();
        let output = read(x, |input| {
            let lines: Vec<Vec<Line>> = (input.par_chunks(group * pixels).enumerate())
                .map(|(index, input)| {
                    let task = self.group(index, input, pixels, &around);
                    Arch::new().dispatch(Statistics(task))
                })
                .collect();
            let lines = lines.concat();
            let centres: Vec<f32> = lines.iter().map(|line| line.centre).collect();
            let scales: Vec<f32> = lines.iter().map(|line| line.scale).collect();
            let shifts: Vec<f32> = lines.iter().map(|line| line.shift).collect();
            Ok(filled_by_image(
                input.len(),
                image,
                TOKENS * channels,
                |number, index, fresh| {
                    let tokens = index * TOKENS..pixels.min((index + 1) * TOKENS);
                    let input = &input[number * image..][..image];
                    let of_image = number * channels..(number + 1) * channels;
                    Arch::new().dispatch(Tokens {
                        output: fresh.next(tokens.len() * channels),
                        pixels: input
                            .chunks_exact(pixels)
                            .map(|pixels| &pixels[tokens.clone()])
                            .collect(),
                        centres: &centres[of_image.clone()],
                        scales: &scales[of_image.clone()],
                        shifts: &shifts[of_image],
                    });
                },
            ))
        })?;
        Tensor::from_vec(output, (batch, pixels, channels), x.device())
    }

    /// The batch and the pixels of an input that this norm takes.
    fn sizes(&self, x: &Tensor) -> Result<(usize, usize)> {
        let (batch, channels, height, width) = x.dims4()?;
        if channels != self.weight.len() || x.elem_count() == 0 {
            bail!(
                "a group norm of {} channels cannot take {:?}",
                self.weight.len(),
                x.dims()
            );
        }
        Ok((batch, height * width))
    }

    /// The values of a (B, `each`·C) tensor.
    fn per_image(&self, x: &Tensor, values: &Tensor, each: usize) -> Result<Vec<f32>> {
        let (batch, _) = self.sizes(x)?;
        let expected = (batch, each * self.weight.len());
        if values.dims2()? != expected {
            bail!(
                "{:?} does not hold {expected:?} values of images and channels",
                values.dims()
            );
        }
        read(values, |values| Ok(values.to_vec()))
    }

    fn run(&self, x: &Tensor, around: &Around) -> Result<Tensor> {
        let (_, pixels) = self.sizes(x)?;
        let group = self.weight.len() / self.groups * pixels;
        let output = read(x, |input| {
            Ok(filled(input.len(), group, |index, fresh| {
                let input = &input[index * group..][..group];
                let task = self.group(index, input, pixels, around);
                Arch::new().dispatch(Normal {
                    input,
                    lines: &Arch::new().dispatch(Statistics(task)),
                    silu: around.silu,
                    fresh,
                });
            }))
        })?;
        Tensor::from_vec(output, x.shape(), x.device())
    }

    fn group<'a>(&'a self, index: usize, input: &'a [f32], pixels: usize, around: &'a Around) -> Group<'a> {
        Group {
            norm: self,
            image: index / self.groups,
            group: index % self.groups,
            input,
            pixels,
            around,
        }
    }
}

/// One group of one image.
struct Group<'a> {
    norm: &'a CpuGroupNorm,
    image: usize,
    group: usize,
    input: &'a [f32],
    pixels: usize,
    around: &'a Around,
}

/// Scale and shift by a norm of each channel of each image of one map.
pub struct Lines(Vec<Line>);

/// A channel's normalisation: (x - centre)·scale + shift. The centre is taken off first, so that a mean far from zero
/// costs no digits.
#[derive(Clone, Copy)]
struct Line {
    centre: f32,
    scale: f32,
    shift: f32,
}

/// Count, mean and sum of squared deviations so far.
#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Adds a block, whose floats are less by `shift` than what is meant.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, block: &[f32], shift: f64) {
        let count = block.len() as f64;
        // Around the mean so far, what the block's own mean differs by is no larger than the deviation that it brings.
        let centre = match self.count {
            0.0 => block[0] as f64 + deviations(simd, block, block[0]).0 / count,
            _ => self.mean - shift,
        } as f32;
        let (sum, squares) = deviations(simd, block, centre);
        let difference = centre as f64 + sum / count + shift - self.mean;
        let both = self.count + count;
        self.squares += (squares - sum * sum / count).max(0.0) + difference * difference * self.count * count / both;
        self.mean += difference * count / both;
        self.count = both;
    }
}

impl Group<'_> {
    /// The group's channels.
    fn channels(&self) -> std::ops::Range<usize> {
        let channels = self.norm.weight.len() / self.norm.groups;
        self.group * channels..(self.group + 1) * channels
    }

    /// Shift of a channel before the norm.
    fn shift(&self, channel: usize) -> f64 {
        let channels = self.norm.weight.len();
        self.around
            .shift
            .as_ref()
            .map_or(0.0, |shift| shift[self.image * channels + channel] as f64)
    }

    /// The statistics of the group's input.
    #[inline(always)]
    fn moments<S: Simd>(&self, simd: S) -> Moments {
        let mut moments = Moments::default();
        // Without shifts the group is one run of floats, however small its channels are.
        let span = if self.around.shift.is_some() {
            self.pixels
        } else {
            self.input.len()
        };
        for (span, channel) in self.input.chunks_exact(span).zip(self.channels()) {
            for block in span.chunks(BLOCK) {
                moments.add(simd, block, self.shift(channel));
            }
        }
        moments
    }

    /// The lines of the group's channels.
    fn lines_of(&self, moments: &Moments) -> Vec<Line> {
        let inverse = 1.0 / (moments.squares / moments.count + self.norm.eps).sqrt();
        let channels = self.norm.weight.len();
        let line = |channel: usize| {
            let (mut scale, mut shift) = (self.norm.weight[channel] as f64, self.norm.bias[channel] as f64);
            if let Some(after) = &self.around.scale_shift {
                let after = &after[self.image * 2 * channels..];
                let factor = 1.0 + after[channel] as f64;
                (scale, shift) = (scale * factor, shift * factor + after[channels + channel] as f64);
            }
            let mean = moments.mean - self.shift(channel);
            let centre = mean as f32;
            let scale = scale * inverse;
            Line {
                centre,
                scale: scale as f32,
                shift: (shift - (mean - centre as f64) * scale) as f32,
            }
        };
        self.channels().map(line).collect()
    }
}

/// Finds the lines of a group's channels.
struct Statistics<'a>(Group<'a>);

impl WithSimd for Statistics<'_> {
    type Output = Vec<Line>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<Line> {
        self.0.lines_of(&self.0.moments(simd))
    }
}

/// Finds the statistics of a group whose input comes in pieces, with the numbers that it would give in one.
struct InPieces<I>(I);

impl<'a, I: Iterator<Item = &'a [f32]>> WithSimd for InPieces<I> {
    type Output = Moments;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Moments {
        let mut moments = Moments::default();
        let mut block = Vec::with_capacity(BLOCK);
        for mut piece in self.0 {
            while !piece.is_empty() {
                let (head, rest) = piece.split_at(piece.len().min(BLOCK - block.len()));
                block.extend_from_slice(head);
                if block.len() == BLOCK {
                    moments.add(simd, &block, 0.0);
                    block.clear();
                }
                piece = rest;
            }
        }
        if !block.is_empty() {
            moments.add(simd, &block, 0.0);
        }
        moments
    }
}

/// Normalises channels.
struct Normal<'a, 'b> {
    input: &'a [f32],
    /// One for each channel.
    lines: &'a [Line],
    silu: bool,
    fresh: &'a mut Fresh<'b>,
}

impl WithSimd for Normal<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let pixels = self.input.len() / self.lines.len();
        for (channel, line) in self.input.chunks_exact(pixels).zip(self.lines) {
            let (centre, scale) = (simd.splat_f32s(line.centre), simd.splat_f32s(line.scale));
            let shift = simd.splat_f32s(line.shift);
            let normal = |x| simd.mul_add_e_f32s(simd.sub_f32s(x, centre), scale, shift);
            for piece in channel.chunks(PIECE) {
                let out = self.fresh.next(piece.len());
                if self.silu {
                    map(
                        simd,
                        piece,
                        out,
                        #[inline(always)]
                        |x| swish(simd, normal(x), 1.0),
                    );
                } else {
                    map(simd, piece, out, normal);
                }
            }
        }
    }
}

/// Transposes and normalises a few tokens of all channels.
struct Tokens<'a> {
    pixels: Vec<&'a [f32]>,
    centres: &'a [f32],
    scales: &'a [f32],
    shifts: &'a [f32],
    output: &'a mut [f32],
}

impl WithSimd for Tokens<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.pixels.len();
        transpose(&self.pixels, self.output, channels);
        let (centres, centre_tail) = S::as_simd_f32s(self.centres);
        let (scales, scale_tail) = S::as_simd_f32s(self.scales);
        let (shifts, shift_tail) = S::as_simd_f32s(self.shifts);
        for token in self.output.chunks_exact_mut(channels) {
            let (head, tail) = S::as_mut_simd_f32s(token);
            for (((x, centre), scale), shift) in head.iter_mut().zip(centres).zip(scales).zip(shifts) {
                *x = simd.mul_add_e_f32s(simd.sub_f32s(*x, *centre), *scale, *shift);
            }
            for (((x, centre), scale), shift) in tail.iter_mut().zip(centre_tail).zip(scale_tail).zip(shift_tail) {
                *x = (*x - centre) * scale + shift;
            }
        }
    }
}

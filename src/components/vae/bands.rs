//! Activations in bands of rows, so that a layer of a large picture makes a new band and lets an old one go instead of
//! making whole tensors beside whole tensors.
//!
//! Nothing is approximated: norms see the whole map ([`GroupNorm::silu_of_rows`]), and convolutions see one row of the bands
//! above and below. On the CPU in f32 results even equal those of the whole to the last bit, as long as a band's height is a
//! multiple of 4: then the tiles of our convolution ([`crate::ops`]) fall on the same positions.

use std::{iter::Peekable, vec};

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::Module;

use super::progress::VaeProgress;
use crate::{
    error::Result,
    nn::{layers::Conv2d, norms::GroupNorm, resnet::Resnet},
};

/// The dimension of the rows in (B, C, h, w).
const ROWS: usize = 2;
/// The dimension of the columns.
const COLUMNS: usize = 3;

/// Rows of the latent's grid in a band.
const LATENT_ROWS: usize = 8;
/// Pixels of the largest picture of which nothing is cut.
const WHOLE_PIXELS: usize = 1024 * 1024;
/// Positions of the largest grid that is not cut, of larger pictures.
const WHOLE_POSITIONS: usize = 512 * 512;

/// How large activations are held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Banding {
    /// Rows of the latent's grid that a band covers, on any grid.
    pub(super) latent_rows: usize,
    /// Positions of the largest grid that is not cut.
    pub(super) most_whole: usize,
}

impl Banding {
    /// For a picture of so many pixels. Up to 1024 x 1024 the whole tensors, which cost no copies, are small enough; of a larger
    /// picture those of 512 x 512 positions and fewer are.
    pub(super) fn of(pixels: usize) -> Self {
        Self {
            latent_rows: LATENT_ROWS,
            most_whole: if pixels <= WHOLE_PIXELS {
                pixels
            } else {
                WHOLE_POSITIONS
            },
        }
    }

    /// Whether a grid of so many positions is not cut.
    pub(super) fn keeps_whole(&self, positions: usize) -> bool {
        positions <= self.most_whole
    }
}

/// An activation as bands (B, C, rows, w) from top to bottom. A single one is the whole, and goes the way of the whole.
pub(super) struct Bands(Vec<Tensor>);

impl Bands {
    /// A whole activation (B, C, h, w).
    pub(super) fn whole(x: Tensor) -> Self {
        Self(vec![x])
    }

    pub(super) fn positions(&self) -> CandleResult<usize> {
        self.0.iter().map(|x| Ok(x.dim(ROWS)? * x.dim(COLUMNS)?)).sum()
    }

    /// A whole in bands of `rows` rows, the last of which may have fewer; what is cut already stays as it is.
    pub(super) fn cut(self, rows: usize) -> CandleResult<Self> {
        let [x] = &self.0[..] else { return Ok(self) };
        let height = x.dim(ROWS)?;
        let cut = |start| rows_of(x, start, rows.min(height - start));
        Ok(Self((0..height).step_by(rows).map(cut).collect::<CandleResult<_>>()?))
    }

    /// The whole, (B, C, h, w).
    pub(super) fn joined(self) -> CandleResult<Tensor> {
        Tensor::cat(&self.0, ROWS)
    }

    /// `conv` is a 3x3 convolution that keeps the grid.
    pub(super) fn convolve(self, conv: &Conv2d, progress: &mut VaeProgress<'_, '_>) -> Result<Self> {
        if let [x] = &self.0[..] {
            let y = conv.forward(x)?;
            progress.step()?;
            return Ok(Self::whole(y));
        }
        self.each_between(1, Ok, progress, |slab| conv.forward_unpadded(&slab))
    }

    /// conv(SiLU(norm(x))), for a 3x3 convolution that keeps the grid.
    pub(super) fn activate_and_convolve(
        self,
        norm: &GroupNorm,
        conv: &Conv2d,
        progress: &mut VaeProgress<'_, '_>,
    ) -> Result<Self> {
        if let [x] = &self.0[..] {
            let y = conv.forward(&norm.forward_silu(x)?)?;
            progress.step()?;
            return Ok(Self::whole(y));
        }
        let activate = norm.silu_of_rows(&self.0)?;
        self.each_between(1, |x| activate(&x), progress, |slab| conv.forward_unpadded(&slab))
    }

    /// The encoder's sampler: a 3x3 convolution of stride 2 without padding of its own. Stable Diffusion's encoder pads right
    /// and bottom only.
    pub(super) fn downsample(self, conv: &Conv2d, progress: &mut VaeProgress<'_, '_>) -> Result<Self> {
        if let [x] = &self.0[..] {
            let padded = x.pad_with_zeros(COLUMNS, 0, 1)?.pad_with_zeros(ROWS, 0, 1)?;
            let y = conv.forward(&padded)?;
            progress.step()?;
            return Ok(Self::whole(y));
        }
        self.each_between(0, Ok, progress, |slab| conv.forward(&slab))
    }

    /// The decoder's sampler: twice the rows and columns, then a 3x3 convolution that keeps the grid.
    pub(super) fn upsample(self, conv: &Conv2d, progress: &mut VaeProgress<'_, '_>) -> Result<Self> {
        let enlarge = |x: &Tensor| x.upsample_nearest2d(2 * x.dim(ROWS)?, 2 * x.dim(COLUMNS)?);
        if let [x] = &self.0[..] {
            let enlarged = enlarge(x)?;
            drop(self);
            let y = conv.forward(&enlarged)?;
            progress.step()?;
            return Ok(Self::whole(y));
        }
        self.each_between(1, Ok, progress, |slab| {
            // Of what is beside the band, enlarged as well, half is enough.
            let enlarged = enlarge(&slab)?;
            drop(slab);
            let [rows, columns] = [ROWS, COLUMNS].map(|side| enlarged.dim(side));
            let middle = enlarged.narrow(ROWS, 1, rows? - 2)?.narrow(COLUMNS, 1, columns? - 2)?;
            conv.forward_unpadded(&middle.contiguous()?)
        })
    }

    /// A residual block without a timestep. Beside the two tensors that it must have whole, its input (or the shortcut of it)
    /// and what is between its convolutions, there are a few bands; its output takes their place band by band.
    pub(super) fn resnet(self, resnet: &Resnet, progress: &mut VaeProgress<'_, '_>) -> Result<Self> {
        if let [x] = &self.0[..] {
            let y = resnet.forward(x, None)?;
            progress.step()?;
            return Ok(Self::whole(y));
        }
        let count = self.0.len();
        let mut h = Vec::with_capacity(count);
        let mut shortcuts = Vec::with_capacity(count);
        let activate = resnet.norm1.silu_of_rows(&self.0)?;
        for (index, slab) in self.between(1, |x| activate(&x)).enumerate() {
            let Slab { band, around } = slab?;
            h.push(resnet.conv1.forward_unpadded(&around)?);
            drop(around);
            shortcuts.push(match &resnet.conv_shortcut {
                Some(conv) => conv.forward(&band)?,
                None => band,
            });
            progress.part(index + 1, 2 * count)?;
        }
        let mut y = Vec::with_capacity(count);
        let activate = resnet.norm2.silu_of_rows(&h)?;
        let slabs = Self(h).between(1, |x| activate(&x));
        for (index, (slab, shortcut)) in slabs.zip(shortcuts).enumerate() {
            let around = slab?.around;
            let increment = resnet.conv2.forward_unpadded(&around)?;
            drop(around);
            y.push((shortcut + increment)?);
            progress.part(count + index + 1, 2 * count)?;
        }
        Ok(Self(y))
    }

    /// `make` of every band with what is around it; see [`Slabs`].
    fn each_between(
        self,
        before: usize,
        activate: impl Fn(Tensor) -> CandleResult<Tensor>,
        progress: &mut VaeProgress<'_, '_>,
        make: impl Fn(Tensor) -> CandleResult<Tensor>,
    ) -> Result<Self> {
        let count = self.0.len();
        let mut made = Vec::with_capacity(count);
        for (index, slab) in self.between(before, activate).enumerate() {
            made.push(make(slab?.around)?);
            progress.part(index + 1, count)?;
        }
        Ok(Self(made))
    }

    fn between<F: Fn(Tensor) -> CandleResult<Tensor>>(self, before: usize, activate: F) -> Slabs<F> {
        Slabs {
            rest: self.0.into_iter().peekable(),
            above: None,
            before,
            activate,
        }
    }
}

/// So many rows of a map, from `start` on, in memory of their own.
fn rows_of(x: &Tensor, start: usize, rows: usize) -> CandleResult<Tensor> {
    x.narrow(ROWS, start, rows)?.force_contiguous()
}

/// Gives every band with what a 3x3 convolution needs around it, and lets it go.
struct Slabs<F> {
    rest: Peekable<vec::IntoIter<Tensor>>,
    /// The last row of the band before.
    above: Option<Tensor>,
    /// Rows above and columns on the left that the convolution needs, 0 or 1; below and on the right it needs one.
    before: usize,
    /// Operation on the rows of the map, but not on the zeros beyond its edge.
    activate: F,
}

/// A band and its surroundings.
struct Slab {
    /// (B, C, rows, w).
    band: Tensor,
    /// The same, activated, between one row of its neighbours and one column, zeros at the map's edge:
    /// (B, C, before + rows + 1, before + w + 1).
    around: Tensor,
}

impl<F: Fn(Tensor) -> CandleResult<Tensor>> Slabs<F> {
    fn slab(&mut self, band: Tensor) -> CandleResult<Slab> {
        let below = self.rest.peek().map(|next| rows_of(next, 0, 1)).transpose()?;
        let rows: Vec<&Tensor> = self.above.iter().chain([&band]).chain(&below).collect();
        let active = (self.activate)(Tensor::cat(&rows, ROWS)?)?;
        let zeros_above = if self.above.is_some() { 0 } else { self.before };
        let around = active
            .pad_with_zeros(ROWS, zeros_above, usize::from(below.is_none()))?
            .pad_with_zeros(COLUMNS, self.before, 1)?;
        if self.before > 0 {
            self.above = Some(rows_of(&band, band.dim(ROWS)? - 1, 1)?);
        }
        Ok(Slab { band, around })
    }
}

impl<F: Fn(Tensor) -> CandleResult<Tensor>> Iterator for Slabs<F> {
    type Item = CandleResult<Slab>;

    fn next(&mut self) -> Option<Self::Item> {
        let band = self.rest.next()?;
        Some(self.slab(band))
    }
}

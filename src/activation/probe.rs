//! The one way a forward pass meets an activation.

use candle_core::Tensor;

use super::{Selection, Tap};
use crate::{
    error::{Error, Result},
    geometry::Grid,
};

/// Callback with the progress of the work, between 0 and 1; an error from it ends the work ([`Error::Cancelled`] where the user
/// asked for that).
pub type Progress<'a> = dyn FnMut(f32) -> Result<()> + 'a;

/// Receives the tensors of activations.
type Record<'a> = dyn FnMut(Tap, &Tensor) -> Result<()> + 'a;

/// A [`Progress`] callback that ignores its argument and never cancels.
///
/// # Errors
///
/// Never: [`Progress`] has this signature.
pub fn no_progress(_fraction: f32) -> Result<()> {
    Ok(())
}

/// Why a forward pass ended before its output.
#[derive(Debug)]
pub enum Stop {
    /// The last activation selected has been recorded: the rest of the network cannot matter.
    Done,
    /// Something failed, or the user cancelled.
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<candle_core::Error> for Stop {
    fn from(error: candle_core::Error) -> Self {
        Self::Error(error.into())
    }
}

/// Carried through a forward pass: records the selected activations, reports progress, honours cancellation, and ends the
/// pass after the last of them.
pub struct Probe<'a> {
    selection: &'a Selection,
    /// Number of activations of the model: the pass's length.
    length: usize,
    /// Whether the pass goes on to the network's output after the last activation selected.
    to_the_end: bool,
    /// Whether attention maps are recorded as the mean over their heads.
    means_of_heads: bool,
    record: &'a mut Record<'a>,
    /// Receives the tokens without a position of what is recorded.
    record_special: Option<&'a mut Record<'a>>,
    progress: &'a mut Progress<'a>,
}

impl<'a> Probe<'a> {
    /// A probe for a model with `length` activations; `record` gets each selected tensor, (B, C, h, w) or
    /// (B, heads, queries, keys).
    pub fn new(
        selection: &'a Selection,
        length: usize,
        record: &'a mut dyn FnMut(Tap, &Tensor) -> Result<()>,
        progress: &'a mut Progress<'a>,
    ) -> Self {
        Self {
            selection,
            length,
            to_the_end: false,
            means_of_heads: false,
            record,
            record_special: None,
            progress,
        }
    }

    /// Lets the pass go on to the network's output after the last activation selected.
    pub fn to_the_end(mut self) -> Self {
        self.to_the_end = true;
        self
    }

    /// The same probe, for which attention maps are made as the mean over their heads, (B, 1, queries, keys).
    pub(crate) fn with_means_of_heads(mut self) -> Self {
        self.means_of_heads = true;
        self
    }

    /// The same probe, which gives the tokens without a position of every selected activation to `record`, (B, C, count).
    pub(crate) fn with_special(mut self, record: &'a mut Record<'a>) -> Self {
        self.record_special = Some(record);
        self
    }

    /// Whether attention maps are recorded as the mean over their heads.
    pub(crate) fn wants_means_of_heads(&self) -> bool {
        self.means_of_heads
    }

    /// Whether the activation is selected: attention maps are computed only if they are.
    pub fn wants(&self, tap: Tap) -> bool {
        self.selection.contains(tap)
    }

    /// Meets an activation (B, C, h, w), and gives what the network goes on with: the same tensor.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] after the last activation selected; [`Stop::Error`] where recording fails or the progress callback ends
    /// the pass.
    pub fn visit(&mut self, tap: Tap, tensor: Tensor) -> Result<Tensor, Stop> {
        if self.wants(tap) {
            (self.record)(tap, &tensor)?;
        }
        self.passed(tap)?;
        Ok(tensor)
    }

    /// Records an attention map (B, heads, queries, keys) that was computed only to be recorded.
    pub(crate) fn visit_map(&mut self, tap: Tap, map: &Tensor) -> Result<(), Stop> {
        (self.record)(tap, map)?;
        self.passed(tap)
    }

    /// Meets an activation of tokens (B, h·w, C), which is recorded as (B, C, h, w): a view, whose numbers stay where they are.
    /// Gives what the network goes on with: the same tokens.
    ///
    /// # Errors
    ///
    /// As [`Self::visit`], and where there are not h·w tokens.
    pub fn visit_tokens(&mut self, tap: Tap, tokens: Tensor, grid: Grid) -> Result<Tensor, Stop> {
        self.visit_tokens_behind(tap, tokens, 0, grid)
    }

    /// Meets an activation of tokens (B, special + h·w, C), of which the first lie at no position: they are kept apart from those
    /// that do, which are recorded as [`Self::visit_tokens`] does. Gives what the network goes on with: the same tokens.
    ///
    /// # Errors
    ///
    /// As [`Self::visit_tokens`].
    pub fn visit_tokens_behind(
        &mut self,
        tap: Tap,
        tokens: Tensor,
        special: usize,
        grid: Grid,
    ) -> Result<Tensor, Stop> {
        if self.wants(tap) {
            let (batch, _, channels) = tokens.dims3()?;
            if let Some(record) = self.record_special.as_mut().filter(|_| special > 0) {
                record(tap, &tokens.narrow(1, 0, special)?.transpose(1, 2)?)?;
            }
            let planes = tokens
                .narrow(1, special, tokens.dim(1)?.saturating_sub(special))?
                .reshape((batch, grid.height, grid.width, channels))?
                .permute((0, 3, 1, 2))?;
            (self.record)(tap, &planes)?;
        }
        self.passed(tap)?;
        Ok(tokens)
    }

    /// Looks for a cancellation inside a long operation, where no activation is met.
    ///
    /// # Errors
    ///
    /// [`Stop::Error`] where the progress callback ends the pass.
    pub fn check(&mut self, tap: Tap) -> Result<(), Stop> {
        Ok((self.progress)(tap.0 as f32 / self.length.max(1) as f32)?)
    }

    /// Progress, cancellation and the end of the pass, at an activation that was met.
    ///
    /// # Errors
    ///
    /// [`Stop::Done`] after the last activation selected; [`Stop::Error`] where the progress callback ends the pass.
    pub fn passed(&mut self, tap: Tap) -> Result<(), Stop> {
        (self.progress)((tap.0 + 1) as f32 / self.length.max(1) as f32)?;
        if self.selection.last() == Some(tap) && !self.to_the_end {
            return Err(Stop::Done);
        }
        Ok(())
    }
}

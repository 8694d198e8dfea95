//! Whether a file holds the tensors of a network and no others, found out without reading a number.

use candle_core::{DType, Device};
use candle_nn::VarBuilder;

use super::Store;
use crate::error::{Error, Result};

/// A message names at most this many tensors.
const MOST_NAMED: usize = 3;

/// Builds a network without its numbers, in a format that no operator prepares weights for, and refuses a file that lacks one of
/// its tensors, has one of another shape, or one that the network never asks for.
pub(crate) fn check_tensors<N>(store: &Store, build: impl FnOnce(VarBuilder<'static>) -> Result<N>) -> Result<()> {
    let outline = store.without_values();
    build(outline.var_builder(DType::F16, &Device::Cpu))?;
    refuse_left_over(store, &outline.unread())
}

/// Refuses tensors that no layer reads.
pub(crate) fn refuse_left_over(store: &Store, left: &[&str]) -> Result<()> {
    if left.is_empty() {
        return Ok(());
    }
    let more = match left.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Error::failed(format!(
        "{} holds tensors that no layer of this network reads: {}{more}; it is another network than its configuration says, or one \
         that this program does not compute",
        store.label(),
        left[..left.len().min(MOST_NAMED)].join(", ")
    )))
}

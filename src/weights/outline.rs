//! Whether a file holds the tensors of a network and no others, found out without reading a number.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};

use super::Store;
use crate::error::{Error, Result};

/// A message names at most this many tensors.
const MOST_NAMED: usize = 3;

/// Notes which tensors a network asks for.
struct Noting {
    store: Store,
    asked: Arc<Mutex<HashSet<String>>>,
}

impl Noting {
    fn note(&self, name: &str) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(name.to_owned());
    }
}

impl SimpleBackend for Noting {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        self.note(name);
        SimpleBackend::get(&self.store, shape, name, init, dtype, device)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        self.note(name);
        self.store.get_unchecked(name, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.store.contains_tensor(name)
    }
}

/// Builds a network without its numbers, in a format that no operator prepares weights for, and refuses a file that lacks one of
/// its tensors, has one of another shape, or one that the network never asks for.
pub(crate) fn check_tensors<N>(store: &Store, build: impl FnOnce(VarBuilder<'static>) -> Result<N>) -> Result<()> {
    let asked = Arc::new(Mutex::new(HashSet::new()));
    let noting = Noting {
        store: store.without_values(),
        asked: Arc::clone(&asked),
    };
    build(VarBuilder::from_backend(Box::new(noting), DType::F16, Device::Cpu))?;
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    let mut left: Vec<&str> = store.names().filter(|name| !asked.contains(*name)).collect();
    left.sort_unstable();
    refuse_left_over(store, &left)
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

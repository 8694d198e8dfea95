//! What an extraction yields, and how it becomes files.

use std::path::Path;

use serde_json::Value;

use super::{
    attention::ATTENTION_NAME,
    finite::{self, NotFiniteTensor},
    intermediates::Intermediates,
    request::{Record, StoreFormat},
};
use crate::{
    activation::Id,
    error::{Error, Result},
    io::{
        array::Array,
        output::{UnfinishedFolder, is_file_path, write_npy_folder, write_safetensors},
    },
};

/// What an extraction yields.
pub struct Extracted {
    /// (B, C, h, w) or (B, heads, queries, keys) per id, in execution order.
    pub activations: Vec<(Id, Array)>,
    /// Aggregated attention maps, (B, C, h, w), if they were asked for and there are any.
    pub attention: Option<Array>,
    /// `mid.*`, if they were asked for.
    pub intermediates: Intermediates,
    /// What was asked and what ran.
    pub record: Record,
}

impl Extracted {
    /// Writes everything into one safetensors file or a folder of .npy files, as the path says.
    pub fn write(&self, out: &Path, store: StoreFormat) -> Result<()> {
        let (arrays, record) = (self.arrays(store), self.record_json()?);
        if is_file_path(out) {
            write_safetensors(out, &arrays, &record)
        } else {
            write_npy_folder(out, &arrays, record)
        }
    }

    /// Writes everything into a folder that is being filled.
    pub(super) fn write_into(&self, folder: &UnfinishedFolder, store: StoreFormat) -> Result<()> {
        folder.arrays(&self.arrays(store), self.record_json()?)
    }

    fn arrays(&self, store: StoreFormat) -> Vec<(String, &Array, StoreFormat)> {
        let activations = self
            .activations
            .iter()
            .map(|(id, array)| (id.to_string(), array, store));
        // The inner tensors are for comparing with a reference: they keep their digits.
        let intermediates = self
            .intermediates
            .iter()
            .map(|(name, array)| (name.clone(), array, StoreFormat::F32));
        let attention = self
            .attention
            .iter()
            .map(|array| (ATTENTION_NAME.to_owned(), array, store));
        activations.chain(attention).chain(intermediates).collect()
    }

    /// What will be written with numbers that are not finite; an error where that is not allowed.
    pub(super) fn not_finite(&self, store: StoreFormat, allowed: bool) -> Result<Vec<NotFiniteTensor>> {
        let mut marked = Vec::new();
        for (name, array, format) in self.arrays(store) {
            if !allowed {
                finite::check_file(array, &name, format)?;
            } else if let Some(numbers) = finite::in_file(array, format) {
                marked.push(NotFiniteTensor { name, numbers });
            }
        }
        Ok(marked)
    }

    fn record_json(&self) -> Result<Value> {
        serde_json::to_value(&self.record)
            .map_err(|error| Error::failed(format!("the request cannot be written down: {error}")))
    }
}

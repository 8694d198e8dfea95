//! What an extraction yields, and how it becomes files.

use std::path::Path;

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
        output::UnfinishedFolder,
        writers::{Features, write_features},
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
    /// Writes everything into one file or a folder of .npy files, as the path says.
    ///
    /// # Errors
    ///
    /// Where the disk fails, or something stands in the way.
    pub fn write(&self, out: &Path, store: StoreFormat) -> Result<()> {
        write_features(out, &self.features(store)?)
    }

    /// Writes everything into a folder that is being filled.
    pub(super) fn write_into(&self, folder: &UnfinishedFolder, store: StoreFormat) -> Result<()> {
        folder.arrays(&self.features(store)?)
    }

    fn features(&self, store: StoreFormat) -> Result<Features<'_>> {
        let record = serde_json::to_value(&self.record)
            .map_err(|error| Error::failed(format!("the request cannot be written down: {error}")))?;
        Ok(Features {
            arrays: self.arrays(store),
            record,
        })
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
}

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
        output::{UnfinishedFolder, element_bytes},
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

/// What an extraction has written.
#[derive(Debug, Default)]
pub struct Written {
    /// Name and shape of each tensor, in the order of execution; of pictures in folders of their own with their folder.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// What the numbers take in the files.
    pub bytes: u64,
    /// What was written with numbers that are not finite.
    pub not_finite: Vec<NotFiniteTensor>,
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

    /// What [`Self::write`] has written.
    pub(super) fn written(self, store: StoreFormat) -> Written {
        let arrays = self.arrays(store);
        let bytes = arrays
            .iter()
            .map(|(_, array, format)| (array.data.len() * element_bytes(*format)) as u64);
        Written {
            bytes: bytes.sum(),
            tensors: arrays
                .into_iter()
                .map(|(name, array, _)| (name, array.shape.clone()))
                .collect(),
            not_finite: self.record.ran.not_finite,
        }
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

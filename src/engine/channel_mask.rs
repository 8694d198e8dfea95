//! Maps without their massive channels, remembered so that hovering stays fast.

use std::sync::Arc;

use super::{
    ids::PassId,
    map_store::{MapStore, Unavailable},
};
use crate::{
    activation::{FeatureMap, Id},
    analysis::massive::{channel_figures, massive_channels},
    extract::lru::LruCache,
};

/// Bytes of reduced maps remembered, beside the cache: six of the largest of an SD1.5 at 512.
const REDUCED_BYTES: usize = 128 << 20;
/// Maps whose massive channels are remembered.
const KNOWN_MAPS: usize = 256;

/// Finds maps as they are compared: whole, or without the massive channels of the map they are compared with.
pub struct ChannelMask {
    /// The massive channels of a map.
    massive: LruCache<(PassId, Id), Arc<[usize]>>,
    maps: LruCache<Key, Arc<FeatureMap>>,
}

/// The map of `pass` without the massive channels of the map of `source`.
#[derive(PartialEq)]
struct Key {
    id: Id,
    source: PassId,
    pass: PassId,
}

impl Default for ChannelMask {
    fn default() -> Self {
        Self {
            massive: LruCache::new(KNOWN_MAPS),
            maps: LruCache::new(REDUCED_BYTES),
        }
    }
}

impl ChannelMask {
    /// The map of a pass as it is compared with that of `source`: without the massive channels of the latter where
    /// `drop_massive` says so.
    pub fn map(
        &mut self,
        store: &MapStore,
        id: Id,
        pass: PassId,
        source: PassId,
        drop_massive: bool,
    ) -> Result<Arc<FeatureMap>, Unavailable> {
        let whole = store.map(pass, id)?;
        if !drop_massive {
            return Ok(whole);
        }
        let left_out = self.massive(store, id, source)?;
        if left_out.is_empty() {
            return Ok(whole);
        }
        let key = Key { id, source, pass };
        if let Some(known) = self.maps.get(&key) {
            return Ok(known);
        }
        let reduced = Arc::new(whole.without_channels(&left_out)?);
        self.maps.put(key, Arc::clone(&reduced), reduced.bytes());
        Ok(reduced)
    }

    fn massive(&mut self, store: &MapStore, id: Id, pass: PassId) -> Result<Arc<[usize]>, Unavailable> {
        if let Some(known) = self.massive.get(&(pass, id)) {
            return Ok(known);
        }
        let found: Arc<[usize]> = massive_channels(&channel_figures(&*store.map(pass, id)?)).into();
        self.massive.put((pass, id), Arc::clone(&found), 1);
        Ok(found)
    }
}

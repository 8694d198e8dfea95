//! The feature maps that are kept, under a bound on their memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{ids::PassId, layer::Layer};
use crate::{
    activation::{FeatureMap, Id, NotFinite, Shape},
    extract::{request::Provenance, settings::RunSettings},
    geometry::framing::Framing,
    image::picture::Picture,
};

/// Everything a pass depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PassKey {
    /// Which loading of which model: another model, device or format is another number.
    pub model: u64,
    /// Fingerprint of the picture.
    pub picture: u64,
    /// The rest.
    pub settings: RunSettings,
    /// Whether the latent was the picture's alone, without noise.
    pub noiseless: bool,
}

/// What is known of a pass besides its maps.
#[derive(Debug, Clone)]
pub struct PassInfo {
    /// The settings it ran with.
    pub settings: RunSettings,
    /// The picture itself.
    pub picture: Arc<Picture>,
    /// The picture's place in the working picture.
    pub framing: Framing,
    /// Every activation of the model with its shape at this working size.
    pub layers: Vec<Layer>,
    /// What ran.
    pub ran: Provenance,
}

impl PassInfo {
    /// An activation of the model.
    pub fn layer(&self, id: Id) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.id == id)
    }

    /// Heads of the attention whose map this is, 1 where it is none.
    pub fn heads(&self, map: Id) -> usize {
        match self.layer(map).map(|layer| layer.shape) {
            Some(Shape::Attention { heads, .. }) => heads,
            _ => 1,
        }
    }
}

/// Maps by pass and id; the ones not looked at for longest go first.
#[derive(Default)]
pub struct Cache {
    limit_bytes: usize,
    bytes: usize,
    clock: u64,
    maps: HashMap<(PassId, Id), Kept>,
    ids: HashMap<PassKey, PassId>,
    infos: HashMap<PassId, Arc<PassInfo>>,
}

struct Kept {
    map: Arc<FeatureMap>,
    /// Of an attention map to text, the weights of every head: heads · tokens channels, head by head.
    heads: Option<Arc<FeatureMap>>,
    used: u64,
}

/// The cache as all workers hold it.
#[derive(Clone, Default)]
pub struct SharedCache(Arc<Mutex<Cache>>);

impl SharedCache {
    /// An empty cache that keeps at most `limit_bytes` of maps.
    pub fn new(limit_bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(Cache {
            limit_bytes,
            ..Cache::default()
        })))
    }

    /// The cache itself. A panic of another worker leaves it usable: every change of it is one call.
    pub fn lock(&self) -> MutexGuard<'_, Cache> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// The number of a pass, a new one if it never ran.
    pub fn pass(&mut self, key: &PassKey) -> PassId {
        let next = PassId(self.ids.len() as u64 + 1);
        *self.ids.entry(key.clone()).or_insert(next)
    }

    /// Most bytes of maps that are kept.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Bytes of maps that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is known of a pass.
    pub fn info(&self, pass: PassId) -> Option<Arc<PassInfo>> {
        self.infos.get(&pass).cloned()
    }

    /// Keeps the maps of a pass and what is known of it, in place of those kept before; maps not looked at for longest
    /// make room. A map larger than the bound is not kept, and nothing of a pass without maps is.
    ///
    /// `heads` are the weights of every head of attention maps that are among the maps; they come and go with these.
    pub fn put(&mut self, pass: PassId, info: PassInfo, maps: Vec<(Id, FeatureMap)>, heads: Vec<(Id, FeatureMap)>) {
        let mut heads: HashMap<Id, FeatureMap> = heads.into_iter().collect();
        for (id, map) in maps {
            let heads = heads.remove(&id);
            self.put_map(pass, id, map, heads);
        }
        if self.maps.keys().any(|(kept, _)| *kept == pass) {
            self.infos.insert(pass, Arc::new(info));
        }
    }

    fn put_map(&mut self, pass: PassId, id: Id, map: FeatureMap, heads: Option<FeatureMap>) {
        let bytes = map.bytes() + heads.as_ref().map_or(0, FeatureMap::bytes);
        if bytes > self.limit_bytes {
            return;
        }
        self.remove((pass, id));
        while self.bytes + bytes > self.limit_bytes {
            let Some(oldest) = self.maps.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key) else {
                break;
            };
            self.remove(oldest);
        }
        self.clock += 1;
        self.bytes += bytes;
        self.maps.insert(
            (pass, id),
            Kept {
                map: Arc::new(map),
                heads: heads.map(Arc::new),
                used: self.clock,
            },
        );
    }

    fn remove(&mut self, key: (PassId, Id)) {
        let Some(kept) = self.maps.remove(&key) else { return };
        self.bytes -= kept.map.bytes() + kept.heads.map_or(0, |heads| heads.bytes());
        if !self.maps.keys().any(|(pass, _)| *pass == key.0) {
            self.infos.remove(&key.0);
        }
    }

    /// A map, if it is kept; it counts as looked at.
    pub fn get(&mut self, pass: PassId, id: Id) -> Option<Arc<FeatureMap>> {
        self.clock += 1;
        let kept = self.maps.get_mut(&(pass, id))?;
        kept.used = self.clock;
        Some(Arc::clone(&kept.map))
    }

    /// The weights of every head of an attention map to text, if they are kept.
    pub fn heads(&self, pass: PassId, id: Id) -> Option<Arc<FeatureMap>> {
        self.maps.get(&(pass, id))?.heads.clone()
    }

    /// Counts all maps of a pass as looked at, so that what runs beside it does not drive them out.
    pub fn touch(&mut self, pass: PassId) {
        self.clock += 1;
        for (_, kept) in self.maps.iter_mut().filter(|((of, _), _)| *of == pass) {
            kept.used = self.clock;
        }
    }

    /// Whether a map is kept.
    pub fn has(&self, pass: PassId, id: Id) -> bool {
        self.maps.contains_key(&(pass, id))
    }

    /// Those of a pass's maps that are not finite, in execution order.
    pub fn not_finite(&self, pass: PassId) -> Vec<(Id, NotFinite)> {
        let Some(info) = self.infos.get(&pass) else {
            return Vec::new();
        };
        let found = |layer: &Layer| Some((layer.id, self.maps.get(&(pass, layer.id))?.map.not_finite()?));
        info.layers.iter().filter_map(found).collect()
    }

    /// The ids kept of a pass, in the order of the vocabulary.
    pub fn ids(&self, pass: PassId) -> Vec<Id> {
        let mut ids: Vec<Id> = self
            .maps
            .keys()
            .filter(|(kept, _)| *kept == pass)
            .map(|(_, id)| *id)
            .collect();
        ids.sort();
        ids
    }
}

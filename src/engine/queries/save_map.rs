//! Writes one map into a file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Lane, Memory, Save};
use crate::{
    activation::Id,
    engine::{
        ids::PassId,
        map_store::{MapStore, Unavailable},
    },
    extract::request::StoreFormat,
    io::{
        array::Array,
        writers::{Features, map_writer_of},
    },
};

/// Writes one map into a file of one of the formats of [`WRITERS`](crate::io::writers::WRITERS).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SaveMap {
    /// The activation.
    pub id: Id,
    /// The pass.
    pub pass: PassId,
    /// The file; its extension says the format.
    #[serde(with = "crate::files::names")]
    pub path: PathBuf,
}

impl Save for SaveMap {
    const LANE: Lane = Lane::Instant;

    fn path(&self) -> &Path {
        &self.path
    }

    fn save(&self, maps: &MapStore, _memory: &mut Memory) -> Result<(), Unavailable> {
        let (id, path) = (self.id, self.path.as_path());
        let writer = map_writer_of(path)?;
        let (map, info) = (maps.map(self.pass, id)?, maps.info(self.pass, id)?);
        let grid = map.grid();
        let array = Array::new(vec![1, map.channels(), grid.height, grid.width], map.to_channels())?;
        let features = Features {
            arrays: vec![(id.to_string(), &array, StoreFormat::F32)],
            record: serde_json::json!({ "id": id, "settings": info.settings, "ran": info.ran }),
        };
        writer.write(path, &features)?;
        Ok(())
    }
}

//! Writes the basis of PCA colours into a file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    Lane, Memory, Save,
    pca::{PcaQuery, groups, pca_basis},
};
use crate::{
    engine::{
        basis::SavedBasis,
        map_store::{MapStore, Unavailable},
    },
    error::Error,
    io::writers::format_of,
};

/// Writes the basis of PCA colours, so that other maps can be shown in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SaveBasis {
    /// As they are shown; fitted on each map alone, the first one's basis is written.
    pub query: PcaQuery,
    /// A .json file.
    #[serde(with = "crate::files::names")]
    pub path: PathBuf,
}

impl Save for SaveBasis {
    const LANE: Lane = Lane::Colours;

    fn path(&self) -> &Path {
        &self.path
    }

    fn save(&self, maps: &MapStore, memory: &mut Memory) -> Result<(), Unavailable> {
        let (query, path) = (&self.query, self.path.as_path());
        format_of(path, &["json"])?;
        let first = groups(query)?.into_iter().next();
        let group = first.ok_or_else(|| Error::usage("there is no PCA whose basis could be saved"))?;
        let basis = pca_basis(maps, memory, query, &group)?;
        let basis = SavedBasis {
            settings: query.settings.clone(),
            ..(*basis).clone()
        };
        basis.write(path)?;
        Ok(())
    }
}

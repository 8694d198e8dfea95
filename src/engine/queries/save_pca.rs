//! Writes PCA colours into a file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    Lane, Memory, Save,
    pca::{PcaQuery, pca_views},
};
use crate::{
    engine::{
        ids::PassId,
        map_store::{MapStore, Unavailable},
    },
    error::Error,
    io::{
        output::{replace_file, write_error},
        writers::format_of,
    },
    render::{Figure, FigurePlan},
};

/// Writes PCA colours as a PNG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavePca {
    /// As they are shown.
    pub query: PcaQuery,
    /// The pass that is written, one of the query's.
    pub pass: PassId,
    /// How large it is, and what stands around it.
    pub figure: Box<FigurePlan>,
    /// The file.
    #[serde(with = "crate::files::names")]
    pub path: PathBuf,
}

impl Save for SavePca {
    const LANE: Lane = Lane::Colours;

    fn path(&self) -> &Path {
        &self.path
    }

    fn save(&self, maps: &MapStore, memory: &mut Memory) -> Result<(), Unavailable> {
        let (query, path) = (&self.query, self.path.as_path());
        format_of(path, &["png"])?;
        let views = pca_views(maps, memory, query, &mut || Ok(()), &mut |_| ())?;
        let shown = views.iter().find(|view| view.pass == self.pass);
        let view = shown.ok_or_else(|| Error::usage("there is no PCA to save"))?;
        let info = maps.info(self.pass, query.id)?;
        let figure = Figure {
            size: info.picture.size(),
            picture: None,
            framing: Some(info.framing),
            colours: Some((view.grid, &view.rgb)),
            scores: None,
            marks: &[],
        };
        let png = figure.png(&self.figure)?;
        replace_file(path, |file| file.write_all(&png).map_err(write_error))?;
        Ok(())
    }
}

//! Writes PCA colours into a file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    Lane, Memory, Save,
    pca::{PcaQuery, pca_views},
};
use crate::{
    analysis::colour::RgbPicture,
    engine::{
        ids::PassId,
        map_store::{MapStore, Unavailable},
    },
    error::Error,
    extract::ram,
    io::writers::format_of,
};

/// Width of a saved PCA picture, in pixels.
const SAVED_WIDTH: usize = 512;

/// Writes PCA colours as a PNG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavePca {
    /// As they are shown.
    pub query: PcaQuery,
    /// The pass that is written, one of the query's.
    pub pass: PassId,
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
        let picture = RgbPicture {
            height: view.grid.height,
            width: view.grid.width,
            rgb: view.rgb.clone(),
        };
        // Of a grid that is narrow and high, the picture is high too; the PNG is made beside it.
        const BYTES_PER_PIXEL: usize = 2 * 3;
        let rows = (SAVED_WIDTH * view.grid.height).div_ceil(view.grid.width.max(1));
        ram::check(
            rows.saturating_mul(SAVED_WIDTH * BYTES_PER_PIXEL),
            "the picture of these colours",
            "choose a picture that is less narrow",
        )?;
        picture.resized_nearest(SAVED_WIDTH).save(path)?;
        Ok(())
    }
}

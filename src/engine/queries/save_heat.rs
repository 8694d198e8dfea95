//! Writes a heat map over its picture into a file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    Lane, Memory, Save,
    heat::{HeatQuery, heat},
};
use crate::{
    engine::map_store::{MapStore, Unavailable},
    error::Error,
    io::{
        output::{replace_file, write_error},
        writers::format_of,
    },
    render::{Figure, FigurePlan, ScoreMap, ScoreStyle},
};

/// Writes the heat map of the query's first target as a PNG, over its picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SaveHeat {
    /// The heat map.
    pub query: HeatQuery,
    /// How scores become colours.
    pub style: ScoreStyle,
    /// How large it is, and what stands around it.
    pub figure: Box<FigurePlan>,
    /// The file.
    #[serde(with = "crate::files::names")]
    pub path: PathBuf,
}

impl Save for SaveHeat {
    const LANE: Lane = Lane::Instant;

    fn path(&self) -> &Path {
        &self.path
    }

    fn save(&self, maps: &MapStore, memory: &mut Memory) -> Result<(), Unavailable> {
        let (query, path) = (&self.query, self.path.as_path());
        format_of(path, &["png"])?;
        let view = heat(maps, memory, query)?;
        let shown = query.targets.iter().find_map(|(slot, pass)| {
            let target = view.targets.iter().find(|target| target.slot == *slot)?;
            Some((target, *pass))
        });
        let (target, pass) = shown.ok_or_else(|| Error::usage("there is no heat map to save"))?;
        let info = maps.info(pass, query.id)?;
        let scores = ScoreMap::new(target.grid, target.scores.clone())?;
        let figure = Figure {
            size: info.picture.size(),
            picture: Some(&info.picture),
            framing: Some(info.framing),
            colours: None,
            scores: Some((&scores, self.style)),
            marks: &[],
        };
        let png = figure.png(&self.figure)?;
        replace_file(path, |file| file.write_all(&png).map_err(write_error))?;
        Ok(())
    }
}

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
    extract::ram,
    io::{
        output::{replace_file, write_png},
        writers::format_of,
    },
    render::{MapPart, ScoreMap, ScoreStyle, render_scores},
};

/// Writes the heat map of the query's first target as a PNG, over the part of the picture that the model sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SaveHeat {
    /// The heat map.
    pub query: HeatQuery,
    /// How scores become colours.
    pub style: ScoreStyle,
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
        let size = info.picture.size();
        // The colours of the scores, and the picture under them.
        const BYTES_PER_PIXEL: usize = 4 + 3;
        ram::check(
            size.pixels().saturating_mul(BYTES_PER_PIXEL),
            "a heat map over this picture",
            "save one over a smaller picture",
        )?;
        let scores = ScoreMap::new(target.grid, target.scores.clone())?;
        // The map covers what the model sees; in shares of that part, the whole picture reaches beyond 0 to 1.
        let [left, top, right, bottom] = info.framing.visible();
        let share = |x: f64, from: f64, to: f64| ((x - from) / (to - from)) as f32;
        let corner = |x: f64, y: f64| [share(x, left, right), share(y, top, bottom)];
        let whole = MapPart {
            min: corner(-0.5, -0.5),
            max: corner(size.width as f64 - 0.5, size.height as f64 - 0.5),
        };
        let heat = render_scores(&scores, &self.style, whole, [size.width as u32, size.height as u32]);
        let blend = |under: u8, over: u8, alpha: u8| {
            let (under, over, alpha) = (u32::from(under), u32::from(over), u32::from(alpha));
            ((under * (255 - alpha) + over * alpha + 127) / 255) as u8
        };
        let rgb: Vec<u8> = info
            .picture
            .rgb()
            .chunks_exact(3)
            .zip(heat.as_raw().chunks_exact(4))
            .flat_map(|(under, over)| [0, 1, 2].map(|channel| blend(under[channel], over[channel], over[3])))
            .collect();
        replace_file(path, |temporary| write_png(temporary, [size.width, size.height], &rgb))?;
        Ok(())
    }
}

//! Panes as files with what made each: figures that are drawn anew, and what else the window shows cut out of a picture of it.

use std::path::Path;

use egui::{ColorImage, Rect};
use serde_json::{Value, json};

use super::{captions::provenance_caption, figure::FigureParts, record::record};
use crate::{
    app::{
        document::{
            figure::FigureSettings,
            pane::{Pane, PaneKind},
        },
        state::root::State,
    },
    error::{Error, Result},
    files::PANES_FILE,
    io::output::{UnfinishedFolder, write_error, write_folder, write_png},
};

/// A pane that is written: its name, where it comes from, and what made it.
pub struct PaneToWrite {
    /// The name of its file.
    pub name: String,
    /// Where its pixels come from.
    pub pixels: PanePixels,
    /// What made it.
    pub record: Value,
}

/// Where the pixels of a pane come from.
pub enum PanePixels {
    /// Its place in the window, in points.
    Shown(Rect),
    /// They are drawn anew.
    Figure(Box<FigureParts>),
}

/// What the record says of a pane.
pub fn pane_record(state: &State, pane: &Pane) -> Value {
    let several = state.open_slots().count() > 1;
    let pca = state
        .slot(pane.slot)
        .pca
        .as_ref()
        .filter(|_| pane.kind == PaneKind::Pca);
    json!({
        "pane": pane.title(),
        "view": if state.document.linked { state.document.view } else { pane.view },
        "colours": pca.map(|view| provenance_caption(view, several)),
        "explained_variance_ratio": pca.map(|view| &view.explained),
    })
}

/// Writes panes with what made them; those that are cut out of it need a picture of the window.
pub fn write_panes(
    state: &State,
    panes: Vec<PaneToWrite>,
    settings: &FigureSettings,
    pixels_per_point: f32,
    out: &Path,
) -> impl FnOnce(&ColorImage) -> Result<()> + Send + 'static {
    let record = record(state);
    let settings = json!(settings);
    let out = out.to_owned();
    move |image| {
        if panes.is_empty() {
            return Err(Error::usage("no pane is open: there is nothing to export"));
        }
        let listed: Vec<Value> = panes
            .iter()
            .map(|pane| {
                let drawn = match &pane.pixels {
                    PanePixels::Shown(_) => json!({ "as_shown": true }),
                    PanePixels::Figure(parts) => json!({
                        "as_shown": false,
                        "size": parts.plan.size,
                        "frame": parts.plan.frame,
                    }),
                };
                json!({ "file": pane.name, "shown": pane.record, "drawn": drawn })
            })
            .collect();
        let fill = |folder: &UnfinishedFolder| {
            let whole = json!({ "panes": listed, "figures": settings, "made_by": record });
            folder.record(PANES_FILE, "export", whole);
            panes.iter().try_for_each(|pane| match &pane.pixels {
                PanePixels::Shown(rect) => {
                    let (size, rgb) = cut(image, *rect, pixels_per_point);
                    folder.file(&pane.name, |file| write_png(file, size, &rgb))
                }
                PanePixels::Figure(parts) => {
                    let png = parts.png().map_err(|error| error.context(&pane.name))?;
                    folder.file(&pane.name, |file| file.write_all(&png).map_err(write_error))
                }
            })
        };
        write_folder(&out, fill)
    }
}

/// The pixels of a place on the screen.
pub fn cut(image: &ColorImage, rect: Rect, pixels_per_point: f32) -> ([usize; 2], Vec<u8>) {
    let [width, height] = image.size;
    let edge = |points: f32, most: usize| ((points * pixels_per_point).round().max(0.0) as usize).min(most);
    let (left, right) = (edge(rect.left(), width), edge(rect.right(), width));
    let (top, bottom) = (edge(rect.top(), height), edge(rect.bottom(), height));
    let rows = image.pixels.chunks_exact(width.max(1)).take(bottom).skip(top);
    let rgb = rows
        .flat_map(|row| row.iter().take(right).skip(left))
        .flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()])
        .collect();
    ([right - left, bottom - top], rgb)
}

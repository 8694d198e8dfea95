//! Panes cut out of a picture of the window, with what made each.

use std::path::Path;

use egui::{ColorImage, Rect};
use serde_json::{Value, json};

use super::{captions::provenance_caption, record::record};
use crate::{
    app::{
        document::{layout::panes, pane::PaneKind},
        state::{canvas_rects::CanvasRects, root::State},
    },
    error::{Error, Result},
    files::PANES_FILE,
    io::output::{UnfinishedFolder, write_folder, write_png},
};

/// A pane that is written: its name, its place in points, and what made it.
struct PaneToWrite {
    name: String,
    rect: Rect,
    record: Value,
}

fn panes_to_write(state: &State, canvases: &CanvasRects) -> Vec<PaneToWrite> {
    let shown = panes(&state.document.layout);
    let placed = shown
        .into_iter()
        .filter_map(|(tile, pane)| Some((pane, canvases.rect(tile)?)));
    placed
        .enumerate()
        .map(|(index, (pane, rect))| {
            let kind = pane.kind.facts().file;
            let several = state.open_slots().count() > 1;
            let pca = state
                .slot(pane.slot)
                .pca
                .as_ref()
                .filter(|_| pane.kind == PaneKind::Pca);
            PaneToWrite {
                name: format!("{:02}-{kind}-{}.png", index + 1, pane.slot.name()),
                rect,
                record: json!({
                    "pane": pane.title(),
                    "view": if state.document.linked { state.document.view } else { pane.view },
                    "colours": pca.map(|view| provenance_caption(view, several)),
                    "explained_variance_ratio": pca.map(|view| &view.explained),
                }),
            }
        })
        .collect()
}

/// Cuts every pane out of a picture of the window and writes them with what made them.
pub fn write_panes(
    state: &State,
    canvases: &CanvasRects,
    pixels_per_point: f32,
    out: &Path,
) -> impl FnOnce(&ColorImage) -> Result<()> + Send + 'static {
    let panes = panes_to_write(state, canvases);
    let record = record(state);
    let out = out.to_owned();
    move |image| {
        let listed: Vec<Value> = panes
            .iter()
            .map(|pane| json!({ "file": pane.name, "shown": pane.record }))
            .collect();
        if panes.is_empty() {
            return Err(Error::usage("no pane is open: there is nothing to export"));
        }
        let fill = |folder: &UnfinishedFolder| {
            folder.record(PANES_FILE, "export", json!({ "panes": listed, "made_by": record }));
            panes.iter().try_for_each(|pane| {
                let (size, rgb) = cut(image, pane.rect, pixels_per_point);
                folder.file(&pane.name, |file| write_png(file, size, &rgb))
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

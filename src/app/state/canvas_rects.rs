//! Where each pane's canvas was painted last, and what is being dragged there.

use std::collections::HashMap;

use egui::{Pos2, Rect};
use egui_tiles::TileId;

use crate::{
    app::document::{
        layout::panes,
        pane::{Layout, PaneKind},
        root::Pin,
    },
    engine::ImageSlot,
    geometry::Size,
};

/// Geometry and drags of all panes.
#[derive(Default)]
pub struct CanvasRects {
    painted: HashMap<TileId, Painted>,
    /// The room for all panes.
    pub room: Option<Rect>,
    /// What is being dragged, from press to release.
    pub drag: Option<Drag>,
    /// The pins before the last click, and the selected one: a second click that follows takes back what the first did.
    pub before_click: Option<(Vec<Pin>, Option<u32>)>,
}

/// A canvas as it was painted.
#[derive(Debug, Clone, Copy)]
pub struct Painted {
    /// Its place, in points.
    pub rect: Rect,
    /// The picture it shows.
    pub slot: ImageSlot,
    /// The size of that picture; none where there is none.
    pub size: Option<Size>,
}

/// What a drag over a canvas does.
#[derive(Debug, Clone, PartialEq)]
pub enum Drag {
    /// Moves the picture.
    Pan,
    /// Moves the pin of a number.
    Pin(u32),
    /// Paints the region of the pin of a number.
    Brush(u32),
}

impl CanvasRects {
    /// Width of the room for panes where its height is 1.
    pub fn room_aspect(&self) -> Option<f32> {
        let size = self.room.filter(Rect::is_positive)?.size();
        Some(size.x / size.y)
    }

    /// Notes where a canvas is.
    pub fn set(&mut self, tile: TileId, painted: Painted) {
        self.painted.insert(tile, painted);
    }

    /// Forgets canvases of panes that are gone or hidden.
    pub fn keep(&mut self, tiles: &[TileId]) {
        self.painted.retain(|tile, _| tiles.contains(tile));
    }

    /// The zoom at which a pixel of a pane's picture is a pixel of the screen.
    pub fn one_to_one(&self, tile: TileId, pixels_per_point: f32) -> Option<f32> {
        let painted = self.painted.get(&tile)?;
        let size = painted.size?;
        let fit = fitting_scale(painted.rect, size);
        (fit > 0.0).then(|| 1.0 / (fit * pixels_per_point))
    }

    /// The picture of the canvas at a place on the screen.
    pub fn slot_at(&self, pos: Pos2) -> Option<ImageSlot> {
        let under = |painted: &&Painted| painted.rect.contains(pos);
        self.painted.values().find(under).map(|painted| painted.slot)
    }

    /// Where a pane of a kind and picture is.
    pub fn rect_of(&self, layout: &Layout, kind: PaneKind, slot: ImageSlot) -> Option<Rect> {
        panes(layout)
            .into_iter()
            .filter(|(_, pane)| pane.kind == kind && pane.slot == slot)
            .find_map(|(tile, _)| Some(self.painted.get(&tile)?.rect))
    }

    /// The canvas of a pane.
    pub fn rect(&self, tile: TileId) -> Option<Rect> {
        self.painted.get(&tile).map(|painted| painted.rect)
    }
}

/// Points per pixel at which all of a picture just fits.
pub fn fitting_scale(area: Rect, size: Size) -> f32 {
    let (width, height) = (size.width as f32, size.height as f32);
    (area.width() / width).min(area.height() / height).max(0.0)
}

//! Where each pane's canvas was painted last, and what is being dragged there.

use std::collections::HashMap;

use egui::{Modifiers, PointerButton, Pos2, Rect, vec2};
use egui_tiles::TileId;

use crate::{
    app::document::{
        layout::panes,
        pane::{Layout, PaneKind},
        root::{Mark, Pin, Spot},
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
    /// The button that went down over a picture, until it is up.
    pub press: Option<Press>,
    /// The last click of which another one at the same place makes a double click.
    pub last_click: Option<LastClick>,
    /// What is being dragged, from press to release.
    pub drag: Option<Drag>,
    /// The marks before the last click: a second click that follows takes back what the first did.
    pub before_click: Option<Marks>,
    /// The pane whose picture's menu is open, and the point of it that this is about; none outside of the picture.
    pub menu: Option<(TileId, Option<[f64; 2]>)>,
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
    /// Whether the button that is down, or that was clicked last, is down on it and on nothing over it.
    pub pressed: bool,
}

/// A button that went down over a picture.
#[derive(Debug, Clone, Copy)]
pub struct Press {
    /// The pane.
    pub tile: TileId,
    /// The button.
    pub button: PointerButton,
    /// Where it went down.
    pub at: Pos2,
    /// The keys that were down with it at that moment.
    pub modifiers: Modifiers,
    /// The time of the frame that heard of it, in seconds.
    pub secs: f64,
    /// Whether the pointer has moved too far for a click.
    pub dragging: bool,
}

/// A click that was carried out.
#[derive(Debug, Clone, Copy)]
pub struct LastClick {
    /// Where.
    pub at: Pos2,
    /// The time of the frame that heard of it, in seconds.
    pub secs: f64,
}

/// All marks of pictures, and which is selected.
#[derive(Debug, Clone, PartialEq)]
pub struct Marks {
    /// The pins.
    pub pins: Vec<Pin>,
    /// The selected mark.
    pub selected: Option<Mark>,
    /// The first point of a pair that is being made.
    pub first: Option<Spot>,
}

/// What a drag over a canvas does.
#[derive(Debug, Clone, PartialEq)]
pub enum Drag {
    /// Moves the picture, from where the pointer was last.
    Pan(Pos2),
    /// Moves a mark.
    Mark(Mark),
    /// Paints the region of a pin.
    Brush(u32),
}

impl CanvasRects {
    /// The room for all panes, in points.
    pub fn room_size(&self) -> Option<egui::Vec2> {
        Some(self.room.filter(Rect::is_positive)?.size())
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

    /// A pane of a kind and picture as it was painted.
    fn painted_of(&self, layout: &Layout, kind: PaneKind, slot: ImageSlot) -> Option<&Painted> {
        panes(layout)
            .into_iter()
            .filter(|(_, pane)| pane.kind == kind && pane.slot == slot)
            .find_map(|(tile, _)| self.painted.get(&tile))
    }

    /// Where a pane of a kind and picture is.
    pub fn rect_of(&self, layout: &Layout, kind: PaneKind, slot: ImageSlot) -> Option<Rect> {
        self.painted_of(layout, kind, slot).map(|painted| painted.rect)
    }

    /// What a pane of a kind and picture shows: the picture without what is empty around it, or all of the pane.
    pub fn shown_rect_of(&self, layout: &Layout, kind: PaneKind, slot: ImageSlot) -> Option<Rect> {
        let &Painted { rect, size, .. } = self.painted_of(layout, kind, slot)?;
        let fitted = |size: Size| {
            let scale = fitting_scale(rect, size);
            Rect::from_center_size(rect.center(), scale * vec2(size.width as f32, size.height as f32))
        };
        Some(size.map_or(rect, fitted))
    }

    /// The canvases of panes, in no order.
    pub fn all(&self) -> impl Iterator<Item = (TileId, &Painted)> {
        self.painted.iter().map(|(tile, painted)| (*tile, painted))
    }

    /// A pane's canvas as it was painted.
    pub fn painted(&self, tile: TileId) -> Option<&Painted> {
        self.painted.get(&tile)
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

//! What is done with the pointer over pictures, as plain data.

use egui::Pos2;
use egui_tiles::TileId;

/// What is done over the picture of a pane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pointing {
    /// The pane.
    pub tile: TileId,
    /// What is done.
    pub gesture: Gesture,
}

/// What is done with pointer and button; places are on the screen, in points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gesture {
    /// A click, and whether it is to fix one more point.
    Click(Pos2, bool),
    /// A second click at the place of the last one.
    DoubleClick,
    /// The beginning of a drag.
    DragFrom {
        /// Where the button went down.
        at: Pos2,
        /// Whether the button is one that takes hold of marks; any other moves the picture.
        holds: bool,
        /// Whether it marks a region where no mark is.
        brush: bool,
    },
    /// A drag that goes on.
    DragTo(Pos2),
    /// The end of a drag.
    DragEnd,
}

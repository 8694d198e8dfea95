//! What panes show, one file for each kind. In: the state. Out: what is painted, and the user's commands.

pub mod canvas;
pub mod canvas_input;
pub mod cka;
pub mod compare;
pub mod contact_sheet;
pub mod content_shift;
pub mod controls;
pub mod filmstrip;
pub mod matrix;
pub mod panes;
pub mod placed;
pub mod plot;
pub mod ranking;
pub mod sheet_layout;
pub mod study;

//! What panes show, one file for each kind. In: the state. Out: what is painted, and the user's commands.

pub mod canvas;
pub mod canvas_input;
pub mod channel;
pub mod cka;
pub mod compare;
pub mod contact_sheet;
pub mod content_shift;
pub mod controls;
pub mod filmstrip;
pub mod heat_map;
pub mod matrix;
pub mod panes;
pub mod pca;
pub mod picture;
pub mod placed;
pub mod plot;
pub mod ranking;
pub mod recommend;
pub mod sheet_layout;

use super::{document::kinds::pane_kinds, update::view::Views};

/// Makes the list of views of the table.
macro_rules! list {
    ($($(#[$doc:meta])* $kind:ident $module:ident::$view:ident $facts:expr;)+) => {
        /// The view of every kind of pane.
        pub static VIEWS: Views = Views::new(&[$(&$module::$view),+]);
    };
}

pane_kinds!(list);

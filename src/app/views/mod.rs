//! What panes show, one file for each kind. In: the state. Out: what is painted, and the user's commands.

pub mod canvas;
pub mod canvas_input;
pub mod canvas_menu;
pub mod channel;
pub mod cka;
pub mod cka_settings;
pub mod compare;
pub mod compare_settings;
pub mod contact_sheet;
pub mod content_shift;
pub mod controls;
pub mod curves;
pub mod filmstrip;
pub mod heat_map;
pub mod marks;
pub mod matrix;
pub mod pair_lines;
pub mod panes;
pub mod pca;
pub mod picture;
pub mod plot;
pub mod plot_marks;
pub mod ranking;
pub mod recommend;
pub mod sheet_figures;
pub mod sheet_layout;
pub mod sheet_settings;
pub mod sheet_table;

use super::{document::kinds::pane_kinds, update::view::Views};

/// Makes the list of views of the table.
macro_rules! list {
    ($($(#[$doc:meta])* $kind:ident $module:ident::$view:ident $facts:expr;)+) => {
        /// The view of every kind of pane.
        pub static VIEWS: Views = Views::new(&[$(&$module::$view),+]);
    };
}

pane_kinds!(list);

//! Parts of panels that egui does not have. In: numbers and what is chosen. Out: what the user changed. They hold no
//! state of the program and take their colours from [`theme`](super::theme).

mod actions;
mod badge;
mod cells;
mod colour_bar;
mod combo;
mod contrast;
mod glyph;
mod histogram;
mod loupe;
mod notices;
mod parts;
mod variance;

pub(in crate::app) use actions::{action_button_ui, action_ui, type_path};
pub(in crate::app) use badge::{badge, currency_ui};
pub use cells::{Cells, cell_grid, cell_numbers, cell_outline};
pub use colour_bar::{colour_bar, colour_bar_ui};
pub(in crate::app) use combo::name_combo;
pub use contrast::{contrast, luminance, readable_on};
pub use glyph::{Glyph, glyph_button_ui, glyph_toggle_ui, paint_glyph};
pub use histogram::{Histogram, HistogramChange, bins, histogram_ui};
pub use loupe::{Loupe, LoupeScores};
pub(in crate::app) use notices::{dismiss_button_ui, error_ui, work_errors_ui};
pub use parts::{advanced_ui, empty_ui, fold_ui, key_cap_ui, number_ui, row_ui, section_ui, swatch_ui};
pub use variance::variance_bars_ui;

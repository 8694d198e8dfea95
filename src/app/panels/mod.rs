//! What lies around and over the panes: menus, settings, layers, inspector, windows. In: the state. Out: what is painted,
//! and the user's commands.

pub mod about;
pub mod adapters;
pub mod attention_heads;
pub mod browser;
pub mod channels;
pub mod dense_screen;
pub mod devices;
pub mod export;
pub mod frame_times;
pub mod inspector;
pub mod jobs;
pub mod key_sheet;
pub mod layers;
pub mod matches;
pub mod menus;
mod model_orders;
mod model_row;
pub mod models;
pub mod network_map;
pub mod overlays;
pub mod pages;
pub mod palette;
pub mod palette_choices;
pub mod pca_settings;
pub mod presets;
pub mod prompt_tokens;
pub mod recoveries;
pub mod settings;
pub mod status_bar;
pub mod tour;
pub mod welcome;

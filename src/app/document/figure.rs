//! How figures are written.

use serde::{Deserialize, Serialize};

use crate::render::FigureSize;

/// Longer titles are cut, in characters.
pub const MOST_TITLE: usize = 300;

/// How panes and single pictures are written as figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FigureSettings {
    /// Whether panes are written as the window shows them, zoom and all, in place of figures of their own.
    pub as_shown: bool,
    /// How large figures are.
    pub size: FigureSize,
    /// What stands above each; nothing where it is empty.
    pub title: String,
    /// Whether the colours of scores stand below.
    pub colour_bar: bool,
    /// Whether what made them stands below.
    pub caption: bool,
}

impl Default for FigureSettings {
    fn default() -> Self {
        Self {
            as_shown: false,
            size: FigureSize::default(),
            title: String::new(),
            colour_bar: true,
            caption: true,
        }
    }
}

impl FigureSettings {
    /// Whether figures can be written so.
    pub fn is_sound(&self) -> bool {
        self.size.is_sound() && self.title.chars().count() <= MOST_TITLE
    }
}

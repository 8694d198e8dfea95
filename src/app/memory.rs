//! What is remembered from one start to the next: recent files, the theme, and how the window was arranged.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use egui::ThemePreference;
use serde::{Deserialize, Serialize};

use super::{
    apply::INTERFACE_RANGE,
    document::{Display, Document, Layout},
    soundness::{check_display, check_pca, sound_layout},
};
use crate::{
    device::{DeviceChoice, Precision},
    engine::PcaSettings,
};

/// Recent files of a kind that are remembered.
const MOST_RECENT: usize = 12;

/// What is remembered from one start to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Pictures opened from files, the last one first.
    #[serde(with = "crate::files::names")]
    pub pictures: Vec<PathBuf>,
    /// Models, the last one first.
    #[serde(with = "crate::files::names")]
    pub models: Vec<String>,
    /// Workspaces opened or saved, the last one first.
    #[serde(with = "crate::files::names")]
    pub workspaces: Vec<PathBuf>,
    /// Dark, light, or as the system.
    pub theme: ThemePreference,
    /// Whether the left side is shown.
    pub settings_shown: bool,
    /// Whether the right side is shown.
    pub inspector_shown: bool,
    /// How things were drawn last.
    pub display: Display,
    /// How PCA colours were made last.
    pub pca: PcaSettings,
    /// Where the panes were.
    pub layout: Option<Layout>,
    /// Whether panes moved together.
    pub linked: bool,
    /// How much larger than standard the interface was.
    pub zoom: f32,
    /// Seconds per unit of work of each model and device, as it was last.
    pub rates: BTreeMap<String, f64>,
    /// Where models computed last.
    pub device: DeviceChoice,
    /// What a GPU computed in last.
    pub precision: Precision,
    /// Whether the guided tour was begun once: then nothing points to it any more.
    pub tour_seen: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            pictures: Vec::new(),
            models: Vec::new(),
            workspaces: Vec::new(),
            theme: ThemePreference::System,
            settings_shown: true,
            inspector_shown: true,
            display: Display::default(),
            pca: PcaSettings::default(),
            layout: None,
            linked: true,
            zoom: 1.0,
            rates: BTreeMap::new(),
            device: DeviceChoice::Auto,
            precision: Precision::F32,
            tour_seen: false,
        }
    }
}

impl Memory {
    /// What is remembered, but as in a fresh window where nothing could be shown with it: the file may have been damaged.
    pub fn sound(mut self) -> Self {
        let fresh = Self::default();
        let [least, most] = INTERFACE_RANGE;
        if !(least..=most).contains(&self.zoom) {
            self.zoom = fresh.zoom;
        }
        self.rates.retain(|_, rate| rate.is_finite() && *rate > 0.0);
        if check_display(&self.display).is_err() {
            self.display = fresh.display;
        }
        if check_pca(&self.pca).is_err() {
            self.pca = fresh.pca;
        }
        self.layout = self.layout.and_then(|layout| sound_layout(layout).ok());
        self
    }

    /// A fresh document, arranged as the last one was.
    pub fn furnish(&self, document: &mut Document) {
        document.display = self.display.clone();
        document.pca = self.pca.clone();
        document.linked = self.linked;
        if let Some(layout) = self.layout.as_ref().filter(|layout| !layout.is_empty()) {
            document.layout = layout.clone();
        }
    }

    /// Remembers how a document is arranged.
    pub fn take_arrangement(&mut self, document: &Document) {
        self.display = document.display.clone();
        self.pca = document.pca.clone();
        self.linked = document.linked;
        self.layout = Some(document.layout.clone());
    }

    /// Remembers a picture.
    pub fn add_picture(&mut self, path: &Path) {
        put_first(&mut self.pictures, path.to_owned());
    }

    /// Remembers a model.
    pub fn add_model(&mut self, name: &str) {
        put_first(&mut self.models, name.to_owned());
    }

    /// Remembers a workspace.
    pub fn add_workspace(&mut self, path: &Path) {
        put_first(&mut self.workspaces, path.to_owned());
    }
}

fn put_first<T: PartialEq>(recent: &mut Vec<T>, item: T) {
    recent.retain(|other| *other != item);
    recent.insert(0, item);
    recent.truncate(MOST_RECENT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_first_and_none_is_there_twice() {
        let mut memory = Memory::default();
        for name in ["a", "b", "a"] {
            memory.add_model(name);
        }
        assert_eq!(memory.models, ["a", "b"]);
        for number in 0..2 * MOST_RECENT {
            memory.add_picture(Path::new(&number.to_string()));
        }
        assert_eq!(memory.pictures.len(), MOST_RECENT);
    }

    #[test]
    fn what_nothing_can_be_shown_with_is_forgotten() {
        let mut memory = Memory::default();
        memory.add_model("demo");
        memory.take_arrangement(&Document::default());
        assert_eq!(memory.clone().sound(), memory);
        let mut damaged = memory.clone();
        damaged.zoom = f32::NAN;
        damaged.display.gamma = -1.0;
        damaged.pca.shown = [usize::MAX; 3];
        if let Some(layout) = &mut damaged.layout {
            layout.root = Some(egui_tiles::TileId(99));
        }
        memory.layout = None;
        assert_eq!(damaged.sound(), memory);
    }

    #[test]
    fn what_is_remembered_survives_being_written_down() -> serde_json::Result<()> {
        let mut memory = Memory::default();
        memory.take_arrangement(&Document::default());
        let written = serde_json::to_string(&memory)?;
        assert_eq!(serde_json::from_str::<Memory>(&written)?, memory);
        // A program of another age wrote less, or more.
        assert_eq!(
            serde_json::from_str::<Memory>("{\"of tomorrow\": 1}")?,
            Memory::default()
        );
        Ok(())
    }
}

//! What is remembered from one start to the next: recent files, the theme, and how the window was arranged.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use egui::ThemePreference;
use serde::{Deserialize, Serialize};

use crate::{
    app::document::{
        display::Display,
        figure::FigureSettings,
        limits::INTERFACE_RANGE,
        page::Page,
        pane::Layout,
        root::Document,
        validate::{check_display, check_pca, validate_layout},
    },
    device::{DeviceChoice, Precision},
    engine::PcaSettings,
};

/// Recent files of a kind that are remembered.
const MOST_RECENT: usize = 12;

/// What is remembered from one start to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// Pictures opened from files, the last one first.
    #[serde(with = "crate::files::names")]
    pub pictures: Vec<PathBuf>,
    /// Models, the last one first.
    #[serde(with = "crate::files::names")]
    pub models: Vec<String>,
    /// Workspaces opened or saved, the last one first.
    #[serde(with = "crate::files::names")]
    pub workspaces: Vec<PathBuf>,
    /// What was chosen in the palette, by its key there, the last one first.
    pub choices: Vec<String>,
    /// Dark, light, or as the system.
    pub theme: ThemePreference,
    /// Whether the left side is shown.
    pub settings_shown: bool,
    /// Whether the right side is shown.
    pub inspector_shown: bool,
    /// How things were drawn last.
    pub display: Display,
    /// How figures were written last.
    pub figure: FigureSettings,
    /// How PCA colours were made last.
    pub pca: PcaSettings,
    /// Where the panes of the first page were.
    pub layout: Option<Layout>,
    /// Where those of the other pages were.
    pub arrangements: BTreeMap<Page, Layout>,
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
    /// Whether the guided tour was begun once.
    pub tour_seen: bool,
    /// Whether what a fresh window says was taken away: then it is not said any more.
    pub welcomed: bool,
    /// Whether a larger interface was offered for a dense screen.
    pub dense_screen_asked: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            pictures: Vec::new(),
            models: Vec::new(),
            workspaces: Vec::new(),
            choices: Vec::new(),
            theme: ThemePreference::System,
            settings_shown: true,
            inspector_shown: true,
            display: Display::default(),
            figure: FigureSettings::default(),
            pca: PcaSettings::default(),
            layout: None,
            arrangements: BTreeMap::new(),
            linked: true,
            zoom: 1.0,
            rates: BTreeMap::new(),
            device: DeviceChoice::Auto,
            precision: Precision::F32,
            tour_seen: false,
            welcomed: false,
            dense_screen_asked: false,
        }
    }
}

impl Preferences {
    /// What is remembered, but as in a fresh window where nothing could be shown with it: the file may have been damaged.
    /// Gives what that was too, in words.
    pub fn sound(mut self) -> (Self, Vec<&'static str>) {
        let fresh = Self::default();
        let mut forgotten = Vec::new();
        let [least, most] = INTERFACE_RANGE;
        if !(least..=most).contains(&self.zoom) {
            self.zoom = fresh.zoom;
            forgotten.push("the interface's size");
        }
        let rates = self.rates.len();
        self.rates.retain(|_, rate| rate.is_finite() && *rate > 0.0);
        if self.rates.len() < rates {
            forgotten.push("how long runs take");
        }
        self.choices.truncate(MOST_RECENT);
        if check_display(&self.display).is_err() {
            self.display = fresh.display;
            forgotten.push("how heat maps are drawn");
        }
        if check_pca(&self.pca).is_err() {
            self.pca = fresh.pca;
            forgotten.push("how PCA colours are made");
        }
        if !self.figure.is_sound() {
            self.figure = fresh.figure;
            forgotten.push("how figures are written");
        }
        if let Some(layout) = self.layout.take() {
            self.layout = validate_layout(layout).ok();
            if self.layout.is_none() {
                forgotten.push("the arrangement of panes");
            }
        }
        let pages = self.arrangements.len();
        let arrangements = std::mem::take(&mut self.arrangements).into_iter();
        self.arrangements = arrangements
            .filter_map(|(page, layout)| Some((page, validate_layout(layout).ok()?)))
            .collect();
        if self.arrangements.len() < pages {
            forgotten.push("the arrangement of a page");
        }
        (self, forgotten)
    }

    /// What is remembered after two windows: of each setting the one that changed in this window since it remembered
    /// `before`, else the one that another window wrote; of recent files those of both.
    pub fn merged(&self, before: &Self, theirs: &Self) -> Self {
        Self {
            pictures: recent_of_both(&self.pictures, &before.pictures, &theirs.pictures),
            models: recent_of_both(&self.models, &before.models, &theirs.models),
            workspaces: recent_of_both(&self.workspaces, &before.workspaces, &theirs.workspaces),
            choices: recent_of_both(&self.choices, &before.choices, &theirs.choices),
            theme: *latest(&self.theme, &before.theme, &theirs.theme),
            settings_shown: *latest(&self.settings_shown, &before.settings_shown, &theirs.settings_shown),
            inspector_shown: *latest(&self.inspector_shown, &before.inspector_shown, &theirs.inspector_shown),
            display: latest(&self.display, &before.display, &theirs.display).clone(),
            figure: latest(&self.figure, &before.figure, &theirs.figure).clone(),
            pca: latest(&self.pca, &before.pca, &theirs.pca).clone(),
            layout: latest(&self.layout, &before.layout, &theirs.layout).clone(),
            arrangements: latest(&self.arrangements, &before.arrangements, &theirs.arrangements).clone(),
            linked: *latest(&self.linked, &before.linked, &theirs.linked),
            zoom: *latest(&self.zoom, &before.zoom, &theirs.zoom),
            rates: {
                let changed = |(name, rate): &(&String, &f64)| before.rates.get(*name) != Some(*rate);
                let here = self.rates.iter().filter(changed);
                let mut rates = theirs.rates.clone();
                rates.extend(here.map(|(name, rate)| (name.clone(), *rate)));
                rates
            },
            device: *latest(&self.device, &before.device, &theirs.device),
            precision: *latest(&self.precision, &before.precision, &theirs.precision),
            welcomed: *latest(&self.welcomed, &before.welcomed, &theirs.welcomed),
            tour_seen: *latest(&self.tour_seen, &before.tour_seen, &theirs.tour_seen),
            dense_screen_asked: *latest(
                &self.dense_screen_asked,
                &before.dense_screen_asked,
                &theirs.dense_screen_asked,
            ),
        }
    }

    /// A fresh document, arranged as the last one was.
    pub fn furnish(&self, document: &mut Document) {
        document.display = self.display.clone();
        document.pca = self.pca.clone();
        document.linked = self.linked;
        if let Some(layout) = self.layout.as_ref().filter(|layout| !layout.is_empty()) {
            document.layout = layout.clone();
        }
        document.arrangements = self.arrangements.clone();
        document.arrangements.remove(&document.page);
    }

    /// Remembers how a document is arranged.
    pub fn set_arrangement(&mut self, document: &Document) {
        self.display = document.display.clone();
        self.pca = document.pca.clone();
        self.linked = document.linked;
        // A window begins with the first page, whichever was shown last.
        self.arrangements = document.arrangements.clone();
        self.arrangements.insert(document.page, document.layout.clone());
        self.layout = self.arrangements.remove(&Page::default());
    }

    /// Remembers a picture.
    pub fn add_picture(&mut self, path: &Path) {
        put_first(&mut self.pictures, path.to_owned());
    }

    /// Remembers a model.
    pub fn add_model(&mut self, name: &str) {
        put_first(&mut self.models, name.to_owned());
    }

    /// Remembers what was chosen in the palette.
    pub fn add_choice(&mut self, key: String) {
        put_first(&mut self.choices, key);
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

/// What changed here, else what another window wrote.
fn latest<'a, T: PartialEq>(here: &'a T, before: &T, theirs: &'a T) -> &'a T {
    if here == before { theirs } else { here }
}

/// What was opened here since `before` stands first; then comes what another window wrote.
fn recent_of_both<T: Clone + PartialEq>(here: &[T], before: &[T], theirs: &[T]) -> Vec<T> {
    // What is opened goes to the front, and what follows keeps its order.
    let was_before = |rest: &[T]| {
        let mut before = before.iter();
        rest.iter().all(|item| before.any(|other| other == item))
    };
    let opened = (0..here.len()).find(|from| was_before(&here[*from..]));
    let mut recent = here[..opened.unwrap_or(here.len())].to_vec();
    for item in theirs {
        if !recent.contains(item) {
            recent.push(item.clone());
        }
    }
    recent.truncate(MOST_RECENT);
    recent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::FigureSize;

    #[test]
    fn recent_files_of_two_windows_are_those_of_both() {
        let merged = |here: &[u8], before: &[u8], theirs: &[u8]| recent_of_both(here, before, theirs);
        assert_eq!(merged(&[3, 1, 2], &[1, 2], &[4, 1, 2]), [3, 4, 1, 2]);
        // What was opened again counts as opened.
        assert_eq!(merged(&[2, 1], &[1, 2], &[4, 1, 2]), [2, 4, 1]);
        assert_eq!(merged(&[1, 2], &[1, 2], &[4, 2, 1]), [4, 2, 1]);
        assert_eq!(merged(&[1], &[], &[]), [1]);
        assert_eq!(merged(&[], &[1], &[1]), [1]);
    }

    #[test]
    fn the_last_one_is_first_and_none_is_there_twice() {
        let mut memory = Preferences::default();
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
        let mut memory = Preferences::default();
        memory.add_model("demo");
        memory.set_arrangement(&Document::default());
        assert_eq!(memory.clone().sound(), (memory.clone(), Vec::new()));
        let mut damaged = memory.clone();
        damaged.zoom = f32::NAN;
        damaged.display.gamma = -1.0;
        damaged.pca.shown = [usize::MAX; 3];
        damaged.figure.size = FigureSize::Picture { times: 0 };
        if let Some(layout) = &mut damaged.layout {
            layout.root = Some(egui_tiles::TileId(99));
        }
        memory.layout = None;
        let (sound, forgotten) = damaged.sound();
        assert_eq!(sound, memory);
        assert_eq!(forgotten.len(), 5, "{forgotten:?}");
    }

    #[test]
    fn what_is_remembered_survives_being_written_down() -> serde_json::Result<()> {
        let mut memory = Preferences::default();
        memory.set_arrangement(&Document::default());
        let written = serde_json::to_string(&memory)?;
        assert_eq!(serde_json::from_str::<Preferences>(&written)?, memory);
        // A program of another age wrote less, or more.
        assert_eq!(
            serde_json::from_str::<Preferences>("{\"of tomorrow\": 1}")?,
            Preferences::default()
        );
        Ok(())
    }
}

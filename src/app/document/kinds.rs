//! The one table of what panes can show. Others make of it what they need: `pane.rs` the enumeration, `update/` menus and file
//! dialogs, `views/` the list of what paints.

use super::page::Page;
use crate::io::writers::in_a_sentence;

/// The least width and height of a pane with one picture, and of one with a study, in points.
pub(super) const PICTURE_LEAST: [f32; 2] = [180.0, 150.0];
pub(super) const STUDY_LEAST: [f32; 2] = [420.0, 260.0];
/// The same of a recommendation: a card with its figures and two small pictures.
pub(super) const RECOMMEND_LEAST: [f32; 2] = [480.0, 320.0];

/// A place in the menus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MenuPlace {
    /// In the file menu.
    File,
    /// In the view menu: panes that show one picture.
    View,
    /// In the study menu: panes that show many activations, timesteps or models.
    Study,
    /// Behind the other panes of the study menu.
    StudyEnd,
}

/// What the layers below the views know of a kind of pane.
#[derive(Debug, Clone, Copy)]
pub struct PaneFacts {
    /// What it is called in menus and titles.
    pub name: &'static str,
    /// What its picture is called among exported panes.
    pub file: &'static str,
    /// Whether it shows one picture, or something laid over it: such panes zoom and move together.
    pub shows_picture: bool,
    /// The menu that opens one.
    pub menu: MenuPlace,
    /// The action that opens one.
    pub add: &'static str,
    /// What that does, in one sentence.
    pub about: &'static str,
    /// What is seen in one, and what can be done there.
    pub help: &'static str,
    /// The page that it has its place on; none: a pane of pictures, which may be on any.
    pub home: Option<Page>,
    /// The least width and height at which it can be read, in points.
    pub least: [f32; 2],
    /// What can be written of it.
    pub save: Option<SaveFacts>,
}

/// A file that a kind of pane writes.
#[derive(Debug, Clone, Copy)]
pub struct SaveFacts {
    /// The menu that writes it.
    pub menu: MenuPlace,
    /// The action that writes it.
    pub name: &'static str,
    /// What that does, in one sentence.
    pub about: &'static str,
    /// What a file dialog calls such files.
    pub filter: &'static str,
    /// Formats, by extension; the first is that of `file`.
    pub extensions: &'static [&'static str],
    /// The name that is proposed.
    pub file: &'static str,
}

impl SaveFacts {
    /// What the box for its path is called: `Save strip as .png, .csv or .json`.
    pub fn title(&self) -> String {
        format!(
            "{} as {}",
            self.name.trim_end_matches('…'),
            in_a_sentence(self.extensions)
        )
    }
}

/// Calls a macro with the table. A line is a kind, the view in `views/` that paints it, and its facts.
macro_rules! pane_kinds {
    ($call:ident) => {
        $call! {
            /// The picture, with the heat map over it.
            Picture picture::PicturePane PaneFacts {
                name: "Picture",
                file: "picture",
                shows_picture: true,
                menu: MenuPlace::View,
                add: "New picture pane",
                about: "Open a pane with the picture worked with.",
                help: "A picture, with the heat map of what is similar to the point or region chosen. Move over it to see what is similar, click to fix the point, drag a point to move it. The wheel zooms, dragging moves the picture.",
                home: None,
                least: PICTURE_LEAST,
                save: None,
            };
            /// PCA colours.
            Pca pca::PcaPane PaneFacts {
                name: "PCA",
                file: "pca",
                shows_picture: true,
                menu: MenuPlace::View,
                add: "New PCA pane",
                about: "Open a pane with the PCA colours of the picture worked with.",
                help: "The first three principal components of the layer's vectors as red, green and blue: places of like colour have like features. The basis is fitted on one picture or on all of them, as the inspector says.",
                home: None,
                least: PICTURE_LEAST,
                save: None,
            };
            /// The heat map alone.
            Heat heat_map::HeatPane PaneFacts {
                name: "Heat map",
                file: "heat",
                shows_picture: true,
                menu: MenuPlace::View,
                add: "New heat map pane",
                about: "Open a pane with the heat map alone of the picture worked with.",
                help: "The similarity of every cell to the point or region chosen, without the picture under it.",
                home: None,
                least: PICTURE_LEAST,
                save: None,
            };
            /// One channel.
            Channel channel::ChannelPane PaneFacts {
                name: "Channel",
                file: "channel",
                shows_picture: true,
                menu: MenuPlace::View,
                add: "New channel pane",
                about: "Open a pane with a single channel of the picture worked with.",
                help: "One channel of the layer, as it is. The inspector lists channels by variance.",
                home: None,
                least: PICTURE_LEAST,
                save: None,
            };
            /// Every activation on one sheet, measured.
            Sheet contact_sheet::SheetPane PaneFacts {
                name: "Layers (survey)",
                file: "sheet",
                shows_picture: false,
                menu: MenuPlace::Study,
                add: "New layers (survey)",
                about: "Open a pane with a picture and the figures of every activation.",
                help: "Every activation of the network with its picture and its figures: noise, locality, granularity. Point at one to see it in the other panes, click to look at it, filter and sort to find those worth keeping.",
                home: Some(Page::Layers),
                least: STUDY_LEAST,
                save: None,
            };
            /// Figures of every activation as a plot.
            Plot plot::PlotPane PaneFacts {
                name: "Plot",
                file: "plot",
                shows_picture: false,
                menu: MenuPlace::StudyEnd,
                add: "New plot",
                about: "Open a pane that plots the figures of every activation.",
                help: "A figure of every activation against its place in the network or against another figure. Click a point to look at that layer.",
                home: Some(Page::Layers),
                least: STUDY_LEAST,
                save: None,
            };
            /// One activation at several timesteps or seeds.
            Strip filmstrip::StripPane PaneFacts {
                name: "Film strip",
                file: "strip",
                shows_picture: false,
                menu: MenuPlace::Study,
                add: "New film strip",
                about: "Open a pane with the layer at several timesteps or seeds, in common colours, and how alike they are.",
                help: "The layer at several timesteps or seeds, in common colours, and how alike they are. Click a frame to look at it.",
                home: Some(Page::Timesteps),
                least: STUDY_LEAST,
                save: Some(SaveFacts {
                    menu: MenuPlace::Study,
                    name: "Save strip…",
                    about: "Write the film strip as .png, or its figures and what made them as .csv or .json.",
                    filter: "Strips",
                    extensions: &["png", "csv", "json"],
                    file: "strip.png",
                }),
            };
            /// Activations, timesteps or models compared with each other.
            Cka cka::CkaPane PaneFacts {
                name: "CKA matrix",
                file: "cka",
                shows_picture: false,
                menu: MenuPlace::Study,
                add: "New CKA matrix",
                about: "Open a pane that compares activations, timesteps or models by linear CKA.",
                help: "Linear CKA: how alike two sets of features are, from 0 to 1, whatever their rotation and scale. Point at a cell for the pair and its value, click to look at it.",
                home: Some(Page::Cka),
                least: STUDY_LEAST,
                save: Some(SaveFacts {
                    menu: MenuPlace::Study,
                    name: "Save CKA matrix…",
                    about: "Write the CKA matrix and what made it as .csv, .json or .png.",
                    filter: "Matrices",
                    extensions: &["csv", "json", "png"],
                    file: "cka.csv",
                }),
            };
            /// How far an activation moves away from the picture.
            Shift content_shift::ShiftPane PaneFacts {
                name: "Content shift",
                file: "shift",
                shows_picture: false,
                menu: MenuPlace::Study,
                add: "New content-shift meter",
                about: "Open a pane that says how far the layer moves away from the picture with t.",
                help: "How far the layer moves away from the picture as t grows, with the prompt, LoRAs and ControlNets that are set and without them.",
                home: Some(Page::Timesteps),
                least: STUDY_LEAST,
                save: Some(SaveFacts {
                    menu: MenuPlace::Study,
                    name: "Save content shift…",
                    about: "Write the content shifts and what made them as .csv or .json.",
                    filter: "Tables",
                    extensions: &["csv", "json"],
                    file: "content-shift.csv",
                }),
            };
            /// Every activation by how well it finds marked points again.
            Rank ranking::RankPane PaneFacts {
                name: "Ranking",
                file: "ranking",
                shows_picture: false,
                menu: MenuPlace::Study,
                add: "New ranking",
                about: "Open a pane that says which activation finds the marked points again best.",
                help: "Which activation finds marked points again best: points of one picture are looked for in the other, and the distance to where they should be is measured.",
                home: Some(Page::Rank),
                least: STUDY_LEAST,
                save: Some(SaveFacts {
                    menu: MenuPlace::File,
                    name: "Save ranking…",
                    about: "Write the listed rows of the ranking and what made them as .csv or .json.",
                    filter: "Tables",
                    extensions: &["csv", "json"],
                    file: "ranking.csv",
                }),
            };
            /// Which activation at which timestep to take.
            Recommend recommend::RecommendPane PaneFacts {
                name: "Recommendation",
                file: "recommendation",
                shows_picture: false,
                menu: MenuPlace::Study,
                add: "New recommendation",
                about: "Open a pane that says which layer and which t to take for the open pictures, and why.",
                help: "Every activation is compared at a few timesteps; the best are cards with PCA, figures and what speaks against \
                       them. Look at it shows one in all panes. Pairs of pins decide where there are any; else all figures are a proxy.",
                home: Some(Page::Recommend),
                least: RECOMMEND_LEAST,
                save: Some(SaveFacts {
                    menu: MenuPlace::File,
                    name: "Save recommendation…",
                    about: "Write the recommendation as a page that stands alone (.html), or with what made it as .json.",
                    filter: "Recommendations",
                    extensions: &["html", "json"],
                    file: "recommendation.html",
                }),
            };
            /// Two of layers, timesteps, seeds, models or pictures as A and B.
            Compare compare::ComparePane PaneFacts {
                name: "Comparison",
                file: "comparison",
                shows_picture: false,
                menu: MenuPlace::Study,
                add: "New comparison",
                about: "Open a pane that compares two layers, timesteps, seeds, models or pictures.",
                help: "Two of layers, timesteps, seeds, models or pictures as A and B, and where they differ.",
                home: Some(Page::Compare),
                least: STUDY_LEAST,
                save: Some(SaveFacts {
                    menu: MenuPlace::File,
                    name: "Save comparison…",
                    about: "Write A, B and their difference as .png, which holds what made them, or their figures and what made them as .json.",
                    filter: "Comparisons",
                    extensions: &["png", "json"],
                    file: "comparison.png",
                }),
            };
        }
    };
}
pub(in crate::app) use pane_kinds;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::app::document::pane::PaneKind;

    #[test]
    fn names_and_files_tell_kinds_apart() {
        let facts = PaneKind::ALL.map(PaneKind::facts);
        let names: BTreeSet<_> = facts.iter().map(|facts| facts.name).collect();
        let files: BTreeSet<_> = facts.iter().map(|facts| facts.file).collect();
        assert_eq!([names.len(), files.len()], [PaneKind::ALL.len(); 2]);
    }

    #[test]
    fn a_kind_is_written_by_its_name_and_its_file_has_the_first_format() -> serde_json::Result<()> {
        assert_eq!(serde_json::to_string(&PaneKind::Shift)?, "\"shift\"");
        let titles: Vec<String> = PaneKind::ALL
            .iter()
            .filter_map(|kind| kind.facts().save)
            .map(|save| {
                assert!(
                    save.file.ends_with(&format!(".{}", save.extensions[0])),
                    "{}",
                    save.file
                );
                save.title()
            })
            .collect();
        assert_eq!(titles[0], "Save strip as .png, .csv or .json");
        assert!(titles.contains(&"Save content shift as .csv or .json".to_owned()));
        Ok(())
    }
}

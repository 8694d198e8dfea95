//! The steps of the guided tour, each a document. What they say of the embedded model was measured on its sample
//! pictures; what they say of SDXL is what its paper reports.

use egui_tiles::{Container, Linear, LinearDir, Tile, Tiles, Tree};

use crate::{
    activation::Id,
    app::document::{
        compare::{CompareChoice, CompareSide, PassChoice},
        display::Display,
        pane::{Layout, Pane, PaneKind},
        root::{Document, FIRST_MODEL, PictureRef, Pin},
        sheet::{PlotKind, SheetSettings},
    },
    components::schedule::Timestep,
    engine::{ImageSlot, PcaSettings, PictureSource, QueryAt, RunSettings},
    geometry::framing::WorkingSize,
    survey::Column,
};

/// The sample pictures that the figures of the embedded model were measured on.
const SAMPLES: [&str; 2] = ["noto-cat-face", "fluent-dog-face"];
/// The timestep and the working size that the figures of the embedded model were measured at.
const DEMO_T: Timestep = Timestep::of(100);
const NOISY_T: Timestep = Timestep::of(400);
const DEMO_SIDE: usize = 128;
/// The left eye of the sample that comes first, in its pixels.
const EYE: [f64; 2] = [85.0, 132.0];

/// A tour under way.
#[derive(Debug)]
pub struct TourState {
    /// The step, counted from 0.
    pub step: usize,
    /// The steps.
    pub steps: &'static [Step],
    /// What the user had: undo brings it back.
    pub before: Box<Document>,
    /// Whether a survey is to begin when the step's model and pictures are there.
    pub survey_awaited: bool,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    pub(in crate::app) title: &'static str,
    pub(in crate::app) words: &'static str,
    /// The layer, and the other side where two are compared.
    pub(in crate::app) layers: &'static [&'static str],
    pub(in crate::app) t: Option<Timestep>,
    pub(in crate::app) pinned: bool,
    pub(in crate::app) shows: Shows,
}

/// What panes a step shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// The picture with its heat map, and the heat map alone.
    Heat,
    /// The picture and its colours.
    Colours,
    /// The noise of every layer over depth, and their thumbnails.
    Survey,
    /// Both layers as a wipe.
    Comparison,
    /// The picture, and a ranking.
    Ranking,
}

/// Steps on the embedded model and its samples.
pub const DEMO: &[Step] = &[
    Step {
        title: "Locality 1 of 2: keys of self-attention",
        words: "The pin is at an eye. Keys are reported to be similar to whatever lies near, and so it is here, in b9-attn-k: \
                cells 12 to 24 pixels away, of nose and cheek, have a mean cosine of 0.84 with it. The other eye stands out \
                all the same.",
        layers: &["b9-attn-k"],
        t: Some(DEMO_T),
        pinned: true,
        shows: Shows::Heat,
    },
    Step {
        title: "Locality 2 of 2: what goes on to the next layer",
        words: "The same pin in b10-attn-out, one block on: at the same distance the mean cosine is -0.12, and what lights \
                up is what looks alike wherever it lies: the other eye, the nose, the mouth. Hold H to see the keys again.",
        layers: &["b10-attn-out"],
        t: Some(DEMO_T),
        pinned: true,
        shows: Shows::Heat,
    },
    Step {
        title: "Noise 1 of 2: the same picture, early and deep",
        words: "At t 400 the colours of b2, near the input, are grainy: noise has 0.20 of the energy of what the picture makes. Press \
                Next for the depth at which that is least.",
        layers: &["b2"],
        t: Some(NOISY_T),
        pinned: false,
        shows: Shows::Colours,
    },
    Step {
        title: "Noise 2 of 2: every layer, measured",
        words: "Each point is a layer from input to output, its height how much different noises change it. SD is reported \
                to have its least noise in the first half of the up stage, and so it is here: b2 has 0.015, b9 0.0006, and towards the \
                end there is more again (b12: 0.007).",
        layers: &["b9"],
        t: Some(DEMO_T),
        pinned: false,
        shows: Shows::Survey,
    },
    Step {
        title: "Granularity: blocks of one level",
        words: "A is b11 and B is b12, both on 64 x 64 cells: drag the line. B has finer structures (their mean frequency is \
                8.4 cycles per image, A's 4.7); that is no rule without exception, for b13 after it has 7.2.",
        layers: &["b11", "b12"],
        t: Some(DEMO_T),
        pinned: false,
        shows: Shows::Comparison,
    },
    Step {
        title: "Which layer is right for your pictures?",
        words: "Pin a place in A and the same place in B, then another (Shift click): the table says which layer finds your \
                points again. End keeps what is shown; undo brings back what you had before the tour.",
        layers: &["b8"],
        t: Some(DEMO_T),
        pinned: false,
        shows: Shows::Ranking,
    },
];

/// Steps on SDXL and the user's pictures.
pub const SDXL: &[Step] = &[
    Step {
        title: "Locality 1 of 2: keys of self-attention",
        words: "Click a part of your picture: the keys of self-attention are reported to be similar to what lies near, \
                whatever it shows, most of all in the blocks of the up stage that come first. If nothing runs by itself, \
                press Run.",
        layers: &["up-level1-repeat0-vit-block0-self-k"],
        t: None,
        pinned: false,
        shows: Shows::Heat,
    },
    Step {
        title: "Locality 2 of 2: queries of attention to text",
        words: "The same block's queries of attention to text are reported to follow meaning: parts of the same kind \
                light up wherever they are. Hold H to see the keys again.",
        layers: &["up-level1-repeat0-vit-block0-cross-q"],
        t: None,
        pinned: false,
        shows: Shows::Heat,
    },
    Step {
        title: "Noise 1 of 2: the down stage",
        words: "Activations of the down stage are reported to carry most of the noise: look for grain in the colours.",
        layers: &["down-level1-repeat0-vit-block0-out"],
        t: None,
        pinned: false,
        shows: Shows::Colours,
    },
    Step {
        title: "Noise 2 of 2: the first half of the up stage",
        words: "Here noise is reported to be least; after it, it rises again. Study, Survey every layer measures it on your \
                picture.",
        layers: &["up-level0-repeat1-vit-block0-out"],
        t: None,
        pinned: false,
        shows: Shows::Colours,
    },
    Step {
        title: "Granularity: blocks of one level",
        words: "A is the first block of a level and B the last: drag the line. Within a level, later blocks are reported \
                to have finer structures; the plots of a survey say how fine they are on your picture.",
        layers: &["up-level0-repeat1-vit-block0-out", "up-level0-repeat1-vit-block9-out"],
        t: None,
        pinned: false,
        shows: Shows::Comparison,
    },
    Step {
        title: "Which layer is right for your pictures?",
        words: "Pin a place in A and the same place in B, then another (Shift click): the table says which layer finds your \
                points again. End keeps what is shown; undo brings back what you had before the tour.",
        layers: &["up-level1-repeat0-vit-block0-cross-q"],
        t: None,
        pinned: false,
        shows: Shows::Ranking,
    },
];

/// What a step shows, made of what the user had.
pub fn document_of(step: &Step, before: &Document, on_demo: bool) -> Document {
    let ids: Vec<Id> = step.layers.iter().filter_map(|name| name.parse().ok()).collect();
    let mut document = Document {
        layer: ids.first().copied(),
        layout: layout_of(step.shows),
        display: Display {
            on_source: true,
            ..Display::default()
        },
        pca: PcaSettings::default(),
        selected_pin: None,
        selected_mate: false,
        ..before.clone()
    };
    document.mask.on = false;
    if on_demo {
        document.model = Some(FIRST_MODEL.to_owned());
        let samples = ImageSlot::all().zip(SAMPLES);
        document.pictures = samples
            .map(|(slot, sample)| {
                let source = PictureSource::Sample(sample.to_owned());
                let fingerprint = None;
                (slot, PictureRef { source, fingerprint })
            })
            .collect();
        document.settings = RunSettings {
            t: step.t.unwrap_or(DEMO_T),
            size: Some(WorkingSize::ShortSide(DEMO_SIDE)),
            ..RunSettings::default()
        };
        document.pins.clear();
    }
    if step.pinned {
        document.pins = vec![Pin::single(1, ImageSlot::A, QueryAt::Point(EYE))];
        document.selected_pin = Some(1);
    }
    let side = |layer: Option<&Id>| CompareSide {
        pass: PassChoice::Shown(ImageSlot::A),
        layer: layer.copied(),
    };
    document.compare = CompareChoice {
        sides: [side(ids.first()), side(ids.get(1))],
        ..CompareChoice::default()
    };
    if step.shows == Shows::Survey {
        document.sheet = SheetSettings {
            plot: PlotKind::Figures {
                x: Column::Depth,
                y: Column::Nsr,
            },
            maps: false,
            ..SheetSettings::default()
        };
    }
    document
}

impl Shows {
    /// Its panes from left to right, all of the first picture; a ranking needs both.
    pub const fn panes(self) -> &'static [(PaneKind, ImageSlot)] {
        match self {
            Self::Heat => &[(PaneKind::Picture, ImageSlot::A), (PaneKind::Heat, ImageSlot::A)],
            Self::Colours => &[(PaneKind::Picture, ImageSlot::A), (PaneKind::Pca, ImageSlot::A)],
            Self::Survey => &[(PaneKind::Sheet, ImageSlot::A), (PaneKind::Plot, ImageSlot::A)],
            Self::Comparison => &[(PaneKind::Picture, ImageSlot::A), (PaneKind::Compare, ImageSlot::A)],
            Self::Ranking => &[
                (PaneKind::Picture, ImageSlot::A),
                (PaneKind::Picture, ImageSlot::B),
                (PaneKind::Rank, ImageSlot::A),
            ],
        }
    }

    /// Whether its words speak of what a kind of pane shows.
    pub const fn speaks_of(self, kind: PaneKind) -> bool {
        match self {
            Self::Heat | Self::Ranking => true,
            Self::Colours => matches!(kind, PaneKind::Pca),
            Self::Survey => matches!(kind, PaneKind::Plot),
            Self::Comparison => matches!(kind, PaneKind::Compare),
        }
    }
}

/// Panes in one row.
fn layout_of(shows: Shows) -> Layout {
    let mut tiles = Tiles::default();
    let mut row = Vec::new();
    for (kind, slot) in shows.panes() {
        let pane = tiles.insert_pane(Pane::new(*kind, *slot));
        row.push(tiles.insert_tab_tile(vec![pane]));
    }
    let root = tiles.insert_new(Tile::Container(Container::Linear(Linear::new(
        LinearDir::Horizontal,
        row,
    ))));
    Tree::new(egui::Id::unique("panes"), root, tiles)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_step_names_layers_that_are_there_and_says_it_in_few_sentences() {
        for steps in [DEMO, SDXL] {
            assert!(steps.len() >= 5);
            let titles: HashSet<_> = steps.iter().map(|step| step.title).collect();
            assert_eq!(titles.len(), steps.len());
            for step in steps {
                assert!(
                    step.layers.iter().all(|name| name.parse::<Id>().is_ok()),
                    "{}",
                    step.title
                );
                assert!(step.words.matches(". ").count() <= 2, "{}", step.title);
                let compares = step.shows == Shows::Comparison;
                assert_eq!(step.layers.len(), if compares { 2 } else { 1 }, "{}", step.title);
            }
        }
    }
}

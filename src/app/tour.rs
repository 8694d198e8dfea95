//! The guided tour: three properties of diffusion features, each on a state of the window that shows it. What the steps
//! say of the embedded model was measured on its sample pictures; what they say of SDXL is what its paper reports.

use egui::{Align2, LayerId, RichText, Ui, Window, vec2};
use egui_tiles::{Container, Linear, LinearDir, Tile, Tiles, Tree};

use super::{
    Action, App, Command, FIRST_MODEL, State,
    document::{Display, Document, Layout, Pane, PaneKind, PictureRef, Pin},
    menus::action_button_ui,
    studies::{
        PlotKind, SheetSettings,
        sides::{CompareChoice, PassChoice, Side},
    },
    theme,
};
use crate::{
    activation::Id,
    components::schedule::Timestep,
    engine::{PcaSettings, PictureSource, QueryAt, RunSettings, Slot},
    extract::{inversion::Inversion, pass::VaeMode},
    geometry::framing::WorkingSize,
    model::adapters::Adapters,
    survey::Column,
};

/// What the tour is called.
const TITLE: &str = "Three properties in three minutes";
/// Width of its window, and its distance from the lower edge of the window, in points.
const WIDTH: f32 = 560.0;
const ABOVE_EDGE: f32 = 124.0;
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
    title: &'static str,
    words: &'static str,
    /// The layer, and the other side where two are compared.
    layers: &'static [&'static str],
    t: Option<Timestep>,
    pinned: bool,
    shows: Shows,
}

/// What panes a step shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
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
const DEMO: &[Step] = &[
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
const SDXL: &[Step] = &[
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

/// The window of the tour; gives what ends it and where it is, if it stays.
pub fn tour_ui(ui: &Ui, state: &State, tour: &TourState, commands: &mut Vec<Command>) -> Option<(Action, LayerId)> {
    let step = tour.steps.get(tour.step)?;
    let mut stays = true;
    let shown = Window::new(TITLE)
        .open(&mut stays)
        .collapsible(false)
        .resizable(false)
        .default_width(WIDTH)
        .pivot(Align2::CENTER_BOTTOM)
        .default_pos(ui.ctx().content_rect().center_bottom() - vec2(0.0, ABOVE_EDGE))
        .constrain(true)
        .show(ui.ctx(), |ui| {
            ui.set_width(WIDTH);
            ui.horizontal(|ui| {
                ui.strong(step.title);
                ui.weak(format!("{} of {}", tour.step + 1, tour.steps.len()));
            });
            ui.label(RichText::new(step.words).size(theme::FONT_BODY));
            if tour.survey_awaited || state.surveys_now() && step.shows == Shows::Survey {
                ui.weak("measuring …");
            }
            ui.horizontal(|ui| {
                for action in [Action::TourBack, Action::TourNext] {
                    action_button_ui(ui, state, action, commands);
                }
                if ui.button("End").on_hover_text("Keep what is shown (Esc)").clicked() {
                    commands.push(Command::Act(Action::Tour));
                }
            });
        });
    if !stays {
        commands.push(Command::Act(Action::Tour));
    }
    shown
        .filter(|_| stays)
        .map(|shown| (Action::Tour, shown.response.layer_id))
}

impl App {
    /// Begins the tour, or ends it.
    pub(super) fn toggle_tour(&mut self) {
        self.state.memory.tour_seen = true;
        if self.state.overlays.tour.take().is_some() {
            return;
        }
        let known = |name: &&'static str| {
            let info = self.state.model.info.as_ref();
            info.is_some_and(|info| info.layers.iter().any(|layer| layer.id.to_string() == **name))
        };
        let sdxl = SDXL.iter().flat_map(|step| step.layers).all(known);
        self.state.overlays.tour = Some(TourState {
            step: 0,
            steps: if sdxl { SDXL } else { DEMO },
            before: Box::new(self.state.document.clone()),
            survey_awaited: false,
        });
        self.show_step(0);
    }

    /// Goes to another step of the tour, if there is one.
    pub(super) fn step_tour(&mut self, forward: bool) {
        let Some(tour) = &self.state.overlays.tour else { return };
        let next = if forward {
            tour.step + 1
        } else {
            tour.step.saturating_sub(1)
        };
        if next < tour.steps.len() {
            self.show_step(next);
        }
    }

    /// Ends the tour and shows what was there before it; whether there was one.
    pub(super) fn undo_tour(&mut self) -> bool {
        let Some(tour) = self.state.overlays.tour.take() else {
            return false;
        };
        self.restore(*tour.before);
        true
    }

    fn show_step(&mut self, number: usize) {
        let Some(tour) = &mut self.state.overlays.tour else {
            return;
        };
        let Some(step) = tour.steps.get(number) else { return };
        tour.step = number;
        tour.survey_awaited = step.shows == Shows::Survey;
        let document = document_of(step, &tour.before, std::ptr::eq(tour.steps, DEMO));
        let layer = self.state.document.layer;
        if document.layer != layer {
            self.state.layer_before = layer;
        }
        self.state.focused = None;
        self.restore(document);
    }

    /// Begins the survey of a step when its model and picture are there.
    pub(super) fn follow_tour(&mut self) {
        let state = &self.state;
        let Some(tour) = &state.overlays.tour else { return };
        let model_is_there = state.model.loading.is_none()
            && state.model.info.as_ref().map(|info| &info.name) == state.document.model.as_ref();
        let picture_is_there = state.slot(Slot::A).picture.as_ref().map(|picture| &picture.source)
            == state.document.pictures.get(&Slot::A).map(|picture| &picture.source);
        if !(tour.survey_awaited && model_is_there && picture_is_there && state.wanted_survey().is_some()) {
            return;
        }
        let measured = state
            .survey
            .as_ref()
            .is_some_and(|survey| state.survey_is_of_something_else(survey).is_none());
        if !measured {
            self.begin_survey();
        }
        if let Some(tour) = &mut self.state.overlays.tour {
            tour.survey_awaited = false;
        }
    }
}

/// What a step shows, made of what the user had.
fn document_of(step: &Step, before: &Document, on_demo: bool) -> Document {
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
        ..before.clone()
    };
    document.mask.on = false;
    if on_demo {
        document.model = Some(FIRST_MODEL.to_owned());
        let samples = Slot::all().zip(SAMPLES);
        document.pictures = samples
            .map(|(slot, sample)| {
                let source = PictureSource::Sample(sample.to_owned());
                let fingerprint = None;
                (slot, PictureRef { source, fingerprint })
            })
            .collect();
        document.settings = RunSettings {
            prompt: String::new(),
            t: step.t.unwrap_or(DEMO_T),
            seed: 0,
            ensemble: 1,
            vae: VaeMode::Mean,
            size: WorkingSize::ShortSide(DEMO_SIDE),
            inversion: Inversion::None,
            adapters: Adapters::default(),
        };
        document.pins.clear();
    }
    if step.pinned {
        document.pins = vec![Pin {
            number: 1,
            slot: Slot::A,
            at: QueryAt::Point(EYE),
        }];
        document.selected_pin = Some(1);
    }
    let side = |layer: Option<&Id>| Side {
        pass: PassChoice::Shown(Slot::A),
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

/// Panes in one row, all of the first picture; a ranking needs both.
fn layout_of(shows: Shows) -> Layout {
    let kinds: &[(PaneKind, Slot)] = match shows {
        Shows::Heat => &[(PaneKind::Picture, Slot::A), (PaneKind::Heat, Slot::A)],
        Shows::Colours => &[(PaneKind::Picture, Slot::A), (PaneKind::Pca, Slot::A)],
        Shows::Survey => &[(PaneKind::Sheet, Slot::A), (PaneKind::Plot, Slot::A)],
        Shows::Comparison => &[(PaneKind::Picture, Slot::A), (PaneKind::Compare, Slot::A)],
        Shows::Ranking => &[
            (PaneKind::Picture, Slot::A),
            (PaneKind::Picture, Slot::B),
            (PaneKind::Rank, Slot::A),
        ],
    };
    let mut tiles = Tiles::default();
    let mut row = Vec::new();
    for (kind, slot) in kinds {
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

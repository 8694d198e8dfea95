//! Everything the window shows, as plain data. Widgets read it; only [`super::command`] and [`super::news`] change it.

use crate::{
    activation::{Grid, Id, Shape},
    engine::{
        Capture, HeatView, Layer, ModelInfo, PassId, PictureSource, Query, RunSettings, Slot, TargetHeat,
        attention_sources,
    },
    extract::{framing::WorkingSize, image::Size, pass::VaeMode, spec::Family},
    paint::{Interpolation, ScoreStyle},
};

/// Passes that are expected to take less than this begin by themselves.
const CHEAP_SECS: f64 = 3.0;
/// Bytes of activations below which a pass is taken for cheap as long as none has been timed on this model.
const CHEAP_BYTES: f64 = (64 << 20) as f64;
/// A working size of the embedded model that shows more than its own, and is still quick.
const DEMO_SIDE: usize = 128;
/// Opacity of the heat map over its picture at the start.
const HEAT_OPACITY: f32 = 0.7;

/// Everything the window shows.
#[derive(Debug)]
pub struct State {
    /// The model.
    pub model: ModelState,
    /// The pictures, by slot.
    pub slots: [SlotState; Slot::ALL.len()],
    /// How many pictures have been opened.
    pub pictures_opened: u64,
    /// What a pass is run with.
    pub settings: RunSettings,
    /// The activation looked at.
    pub id: Option<Id>,
    /// Words in the layer search.
    pub search: String,
    /// The point that was clicked.
    pub pin: Option<PointAt>,
    /// The point under the pointer.
    pub hover: Option<PointAt>,
    /// The last similarities that came.
    pub heat: Option<HeatView>,
    /// How things are drawn.
    pub display: Display,
    /// The pass under way.
    pub run: RunState,
    /// The last thing that was written, or could not be.
    pub save: Option<Result<String, String>>,
    /// A bug that a worker met.
    pub recovered: Option<String>,
    /// What is typed into the box for paths.
    pub path_box: PathBox,
}

/// The model, being read or there.
#[derive(Debug, Default)]
pub struct ModelState {
    /// What was asked for last.
    pub wanted: String,
    /// The model that is there.
    pub info: Option<ModelInfo>,
    /// How far reading it is.
    pub loading: Option<f32>,
    /// Why it could not be read.
    pub error: Option<String>,
    /// How many have been loaded: another model is another number.
    pub generation: u64,
}

/// One picture and what is known of it.
#[derive(Debug, Default)]
pub struct SlotState {
    /// The picture, if one is open.
    pub picture: Option<(PictureSource, Size)>,
    /// Why the one asked for last is not.
    pub error: Option<String>,
    /// What is kept of its activations.
    pub capture: Option<Capture>,
    /// What its PCA pane shows.
    pub pca: Option<PcaShown>,
    /// Number of the picture: another one has another number.
    pub number: u64,
}

/// What a PCA pane shows.
#[derive(Debug, Clone, PartialEq)]
pub struct PcaShown {
    /// The activation.
    pub id: Id,
    /// Share of the variance of each component.
    pub explained: Vec<f64>,
    /// Whether the basis is common to all pictures.
    pub joint: bool,
    /// (C, h, w) of the map.
    pub shape: Option<Shape>,
}

/// A point of a picture, in its own pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointAt {
    /// Which picture.
    pub slot: Slot,
    /// (x, y).
    pub at: [f64; 2],
}

/// How things are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Display {
    /// Colours of the heat map; its range is what `range` says.
    pub style: ScoreStyle,
    /// A fixed range of scores; none: from the lowest to the highest of each map.
    pub fixed_range: Option<[f32; 2]>,
    /// One PCA basis for both pictures.
    pub joint: bool,
    /// The heat map also over the picture that the point is in.
    pub on_source: bool,
}

/// The pass under way, or the last one.
#[derive(Debug, Default)]
pub struct RunState {
    /// How far it is.
    pub running: Option<f32>,
    /// Why the last one failed.
    pub error: Option<String>,
    /// Seconds that the model's fastest pass took per estimated byte of its activations.
    pub secs_per_byte: Option<f64>,
    /// Whether the user asked for the run that is wanted now.
    pub asked: bool,
}

/// What is typed into the box for paths, and what for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathBox {
    /// What the path is for; closed without.
    pub purpose: Option<PathPurpose>,
    /// The text.
    pub text: String,
}

/// What a path is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathPurpose {
    /// A picture for a slot.
    Picture(Slot),
    /// A folder or file with a model.
    Model,
    /// A PNG of PCA colours.
    SavePca(Slot),
    /// A PNG of the heat map over a picture.
    SaveHeat(Slot),
    /// A map as .npy or .safetensors.
    SaveMap(Slot),
}

impl PathPurpose {
    /// What the box is called.
    pub fn title(self) -> String {
        match self {
            Self::Picture(slot) => format!("Open picture {}", slot.name()),
            Self::Model => "Open model".to_owned(),
            Self::SavePca(slot) => format!("Save PCA of {} as PNG", slot.name()),
            Self::SaveHeat(slot) => format!("Save heat map on {} as PNG", slot.name()),
            Self::SaveMap(slot) => format!("Save map of {} as .npy or .safetensors", slot.name()),
        }
    }
}

impl Default for State {
    /// What a fresh window shows.
    fn default() -> Self {
        Self {
            model: ModelState::default(),
            slots: [SlotState::default(), SlotState::default()],
            pictures_opened: 0,
            settings: RunSettings {
                prompt: String::new(),
                t: 0,
                seed: 0,
                ensemble: 1,
                vae: VaeMode::Mean,
                size: WorkingSize::ShortSide(0),
            },
            id: None,
            search: String::new(),
            pin: None,
            hover: None,
            heat: None,
            display: Display {
                style: ScoreStyle {
                    opacity: HEAT_OPACITY,
                    interpolation: Interpolation::Bilinear,
                    ..ScoreStyle::default()
                },
                fixed_range: None,
                joint: true,
                on_source: false,
            },
            run: RunState::default(),
            save: None,
            recovered: None,
            path_box: PathBox::default(),
        }
    }
}

impl State {
    /// One picture's state.
    pub fn slot(&self, slot: Slot) -> &SlotState {
        &self.slots[slot.index()]
    }

    /// One picture's state, to change it.
    pub fn slot_mut(&mut self, slot: Slot) -> &mut SlotState {
        &mut self.slots[slot.index()]
    }

    /// The slots that hold a picture.
    pub fn open_slots(&self) -> impl Iterator<Item = Slot> + '_ {
        Slot::ALL.into_iter().filter(|slot| self.slot(*slot).picture.is_some())
    }

    /// Every activation of the model, with shapes at the working size where a pass has run, else at the model's own.
    pub fn layers(&self) -> &[Layer] {
        let captured = self.slots.iter().find_map(|slot| slot.capture.as_ref());
        match (captured, &self.model.info) {
            (Some(capture), _) => &capture.layers,
            (None, Some(info)) => &info.layers,
            (None, None) => &[],
        }
    }

    /// The activation that a fresh look at a model begins with, and the settings it is run with.
    pub fn begin_with(&mut self, info: &ModelInfo) {
        let wanted = match info.family {
            // Where ears, eyes and outlines have colours of their own in the embedded model.
            Family::Adm => ["b11", "b24", "b12"].as_slice(),
            Family::StableDiffusion => ["up-level1-repeat1-vit-block0-cross-q"].as_slice(),
        };
        let known = |id: &Id| info.layers.iter().any(|layer| layer.id == *id);
        let last_features = || info.layers.iter().rev().map(|layer| layer.id).find(|id| !id.is_map());
        self.id = self
            .id
            .filter(known)
            .or_else(|| wanted.iter().filter_map(|name| name.parse().ok()).find(known))
            .or_else(last_features);
        if self.model.info.as_ref().is_some_and(|before| before.name == info.name) {
            return;
        }
        self.settings.t = info.default_t;
        let side = if info.native_side < DEMO_SIDE {
            DEMO_SIDE
        } else {
            info.native_side
        };
        self.settings.size = WorkingSize::ShortSide(side);
    }

    /// The side the working size is made from.
    pub fn working_side(&self) -> usize {
        match self.settings.size {
            WorkingSize::ShortSide(side) => side,
            WorkingSize::Exact { width, height } => width.min(height),
        }
    }

    /// Estimated bytes of the activations that a run would compute: what its work is measured by.
    pub fn run_bytes(&self) -> f64 {
        let Some(info) = &self.model.info else { return 0.0 };
        let area = |size: Size| match self.settings.size {
            WorkingSize::Exact { width, height } => (width * height) as f64,
            WorkingSize::ShortSide(side) => {
                let (short, long) = (size.width.min(size.height), size.width.max(size.height));
                (side * side) as f64 * long as f64 / short as f64
            }
        };
        let missing = self.open_slots().filter(|slot| !self.is_captured(*slot));
        let pictures = missing.filter_map(|slot| self.slot(slot).picture.as_ref());
        let total_area: f64 = pictures.map(|(_, size)| area(*size)).sum();
        let native_area = (info.native_side * info.native_side) as f64;
        feature_bytes(&info.layers) * total_area / native_area * self.settings.ensemble as f64
    }

    /// Seconds that a run will take, if one has been timed on this model.
    pub fn expected_secs(&self) -> Option<f64> {
        self.run.secs_per_byte.map(|rate| rate * self.run_bytes())
    }

    /// Whether a run may begin by itself.
    pub fn run_is_cheap(&self) -> bool {
        match self.expected_secs() {
            Some(seconds) => seconds < CHEAP_SECS,
            None => self.run_bytes() < CHEAP_BYTES,
        }
    }

    /// Another run is wanted now than the one that was asked for or failed.
    pub fn want_another_run(&mut self) {
        self.run.asked = false;
        self.run.error = None;
    }

    /// Whether a picture's kept activations answer what is looked at.
    pub fn is_captured(&self, slot: Slot) -> bool {
        let (Some(capture), Some(id)) = (&self.slot(slot).capture, self.id) else {
            return false;
        };
        capture.settings == self.settings && has(capture, id)
    }

    /// Whether something has to be run for what is looked at.
    pub fn needs_run(&self) -> bool {
        self.model.info.is_some() && self.id.is_some() && self.open_slots().any(|slot| !self.is_captured(slot))
    }

    /// The passes that what is looked at can be shown from, also while newer ones are on their way.
    pub fn shown_passes(&self) -> Vec<(Slot, PassId)> {
        let Some(id) = self.id else { return Vec::new() };
        let captured = self
            .open_slots()
            .filter_map(|slot| Some((slot, self.slot(slot).capture.as_ref()?)));
        captured
            .filter(|(_, capture)| has(capture, id))
            .map(|(slot, capture)| (slot, capture.pass))
            .collect()
    }

    /// The point that similarities are shown to: the pinned one, else the one under the pointer.
    pub fn query_point(&self) -> Option<PointAt> {
        self.pin.or(self.hover)
    }

    /// The grid of a picture on which the selected activation is looked at: an attention map's is that of its queries.
    pub fn shown_grid(&self, slot: Slot) -> Option<Grid> {
        let id = self.id?;
        let id = attention_sources(id).map_or(id, |[queries, _]| queries);
        match self.slot(slot).layer(id)?.shape {
            Shape::Features { grid, .. } => Some(grid),
            Shape::Attention { .. } => None,
        }
    }

    /// (row, column) of the cell under a point; none where the model does not see the picture.
    pub fn cell_at(&self, point: PointAt) -> Option<(usize, usize)> {
        let framing = self.slot(point.slot).capture.as_ref()?.framing;
        framing.cell_from_original(point.at, self.shown_grid(point.slot)?)
    }

    /// What the analyst is asked about the query point.
    pub fn wanted_query(&self) -> Option<Query> {
        let point = self.query_point()?;
        self.cell_at(point)?;
        let targets = self.shown_passes();
        let (_, source) = *targets.iter().find(|(slot, _)| *slot == point.slot)?;
        Some(Query {
            id: self.id?,
            source,
            at: point.at,
            targets,
        })
    }

    /// The last similarities, if they are those of the activation and the picture that are pointed at.
    pub fn current_heat(&self) -> Option<&HeatView> {
        let point = self.query_point()?;
        self.cell_at(point)?;
        self.heat
            .as_ref()
            .filter(|heat| Some(heat.query.id) == self.id && Some(heat.query.source) == self.pass(point.slot))
    }

    /// Scores of a picture's positions, if they are those of the pass that is shown.
    pub fn scores_of(&self, slot: Slot) -> Option<&TargetHeat> {
        let (heat, pass) = (self.current_heat()?, self.pass(slot)?);
        let asked = heat.query.targets.contains(&(slot, pass));
        asked
            .then(|| heat.targets.iter().find(|target| target.slot == slot))
            .flatten()
    }

    /// The heat map over a picture, where there is to be one.
    pub fn heat_on(&self, slot: Slot) -> Option<&TargetHeat> {
        let (heat, point) = (self.current_heat()?, self.query_point()?);
        let alone = self.open_slots().count() < 2;
        let wanted = slot != point.slot || self.display.on_source || heat.attention || alone;
        self.scores_of(slot).filter(|_| wanted)
    }

    fn pass(&self, slot: Slot) -> Option<PassId> {
        self.slot(slot).capture.as_ref().map(|capture| capture.pass)
    }
}

impl SlotState {
    /// An activation as this picture's pass has it.
    pub fn layer(&self, id: Id) -> Option<&Layer> {
        self.capture.as_ref()?.layers.iter().find(|layer| layer.id == id)
    }
}

/// Bytes of all activations but attention maps, which are never kept whole.
pub fn feature_bytes(layers: &[Layer]) -> f64 {
    let features = layers.iter().filter(|layer| !layer.id.is_map());
    features.map(|layer| layer.shape.bytes() as f64).sum()
}

/// Whether a capture holds what an activation is shown from.
fn has(capture: &Capture, id: Id) -> bool {
    match attention_sources(id) {
        Some(sources) => sources.iter().all(|source| capture.ids.contains(source)),
        None => capture.ids.contains(&id),
    }
}

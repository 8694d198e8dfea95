//! Everything the window shows, as plain data. Views and panels read it; only `update` changes it.

use std::{collections::VecDeque, path::PathBuf};

use egui_tiles::{Tile, TileId};

use super::{
    answers::Answers,
    browser::Browser,
    compare::CompareState,
    comparing::Comparing,
    downloads::Downloads,
    messages::Messages,
    overlays::{Overlays, TemporaryView},
    pairing::Pairing,
    pass_index::PassIndex,
    path_box::PathBox,
    preferences::Preferences,
    ranking::RankState,
    recommend::RecommendState,
    recovery::Recovery,
    slots::{PointAt, SlotState, has, not_finite},
    survey::SurveyState,
    token_weights::TokenWeights,
    work::{Job, ModelState, RunState},
};
use crate::{
    activation::{Id, NotFinite, Shape},
    app::document::{
        layout::panes,
        pane::Pane,
        places::representative,
        root::{Document, PictureRef},
    },
    device::Devices,
    engine::{
        ChannelsView, HeatView, ImageSlot, Layer, MatchesView, ModelInfo, PassId, QueryAt, RunSettings, TargetHeat,
    },
    families::family,
    geometry::{Grid, framing::WorkingSize},
};

/// Sets what depends on the model as a fresh window has it.
fn set_first(settings: &mut RunSettings, info: &ModelInfo) {
    settings.t = info.default_t;
    // A larger picture has more cells, but the model knows less what they are: of the first pictures, the embedded one
    // takes the cat's eye for something else in three of six at 128 pixels, and in one at its own 64.
    settings.size = Some(WorkingSize::ShortSide(info.native_side));
}

/// Everything the window shows.
#[derive(Debug)]
pub struct State {
    /// What is looked at, and how: what undo goes back to.
    pub document: Document,
    /// The model.
    pub model: ModelState,
    /// The pictures, by slot.
    slots: Vec<SlotState>,
    /// How many pictures have been opened.
    pub pictures_opened: u64,
    /// Words in the layer search.
    pub search: String,
    /// The point under the pointer.
    pub hover: Option<PointAt>,
    /// The token of the prompt that is pointed at.
    pub hover_word: Option<usize>,
    /// The pane worked in.
    pub focused: Option<TileId>,
    /// Whether dragging over a picture marks a region.
    pub brush: bool,
    /// Whether the sentence of a fresh window is shown.
    pub welcomes: bool,
    /// Whether the window is as for a projector: large letters, no side panels.
    pub presentation: bool,
    /// The pair of points that is being made.
    pub pairing: Pairing,
    /// What a held key shows instead.
    pub hold: Option<TemporaryView>,
    /// The activation that is pointed at in a study: panes show it where it is kept.
    pub peek: Option<Id>,
    /// The survey that is under way or was done last.
    pub survey: Option<SurveyState>,
    /// The recommendation that is under way or was made last.
    pub recommend: Option<RecommendState>,
    /// The layer looked at before this one.
    pub layer_before: Option<Id>,
    /// The layer that the opened workspace chose, until its model is there.
    pub opened_layer: Option<Id>,
    /// The last similarities that came.
    pub heat: Option<HeatView>,
    /// Weights of the prompt's tokens at the last point that was asked about.
    pub token_weights: Option<TokenWeights>,
    /// The last matches that came.
    pub matches: Option<MatchesView>,
    /// Figures of the channels that came last.
    pub channels: Option<ChannelsView>,
    /// Answers to the questions of views.
    pub answers: Answers,
    /// Passes whose maps may still be kept.
    pub passes: PassIndex,
    /// How well activations find marked points again.
    pub rank: RankState,
    /// What came of a comparison.
    pub compare: CompareState,
    /// Why colours or similarities could not be computed.
    pub view_error: Option<String>,
    /// Where models can compute, once that is known.
    pub devices: Option<Devices>,
    /// The pass under way.
    pub run: RunState,
    /// Extractions and other work that writes files.
    pub jobs: VecDeque<Job>,
    /// Pages that are being written.
    pub pages: Vec<PathBuf>,
    /// Strips, CKA matrices and content shifts.
    pub comparing: Comparing,
    /// Studies that are under way or wait.
    pub studies: VecDeque<Job>,
    /// How many jobs there have been.
    pub jobs_begun: u64,
    /// A bug that a worker met.
    pub recovered: Option<String>,
    /// What is typed into the box for paths.
    pub path_box: PathBox,
    /// Folders that are looked through for it.
    pub browser: Browser,
    /// Toasts and the log.
    pub messages: Messages,
    /// Which windows over the window are open.
    pub overlays: Overlays,
    /// Models that are here or could be downloaded.
    pub downloads: Downloads,
    /// What is remembered from one start to the next.
    pub preferences: Preferences,
    /// The workspace file that was opened or saved last.
    pub workspace_path: Option<PathBuf>,
    /// Pictures of a workspace that are not where it says: asked for.
    pub missing: Vec<(ImageSlot, PictureRef)>,
    /// Work of windows that did not come to their end: offered.
    pub recoveries: Vec<Recovery>,
    /// Whether how long a run took is left out: then the same document gives the same picture of the window.
    pub timeless: bool,
}

impl State {
    /// What a fresh window shows, with what is remembered.
    pub fn new(preferences: Preferences) -> Self {
        let mut document = Document::default();
        preferences.furnish(&mut document);
        Self {
            document,
            model: ModelState::default(),
            slots: ImageSlot::all().map(|_| SlotState::default()).collect(),
            pictures_opened: 0,
            search: String::new(),
            hover: None,
            hover_word: None,
            focused: None,
            brush: false,
            welcomes: false,
            presentation: false,
            pairing: Pairing::default(),
            hold: None,
            peek: None,
            survey: None,
            recommend: None,
            layer_before: None,
            opened_layer: None,
            heat: None,
            token_weights: None,
            matches: None,
            channels: None,
            answers: Answers::default(),
            passes: PassIndex::default(),
            rank: RankState::default(),
            compare: CompareState::default(),
            view_error: None,
            devices: None,
            run: RunState::default(),
            jobs: VecDeque::new(),
            pages: Vec::new(),
            comparing: Comparing::default(),
            studies: VecDeque::new(),
            jobs_begun: 0,
            recovered: None,
            path_box: PathBox::default(),
            browser: Browser::default(),
            messages: Messages::default(),
            overlays: Overlays::default(),
            downloads: Downloads::default(),
            preferences,
            workspace_path: None,
            missing: Vec::new(),
            recoveries: Vec::new(),
            timeless: false,
        }
    }

    /// One picture's state.
    pub fn slot(&self, slot: ImageSlot) -> &SlotState {
        &self.slots[slot.index()]
    }

    /// One picture's state, to change it.
    pub fn slot_mut(&mut self, slot: ImageSlot) -> &mut SlotState {
        &mut self.slots[slot.index()]
    }

    /// All slots' states, to change them.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = &mut SlotState> {
        self.slots.iter_mut()
    }

    /// Lets two slots change what they hold.
    pub fn swap_slots(&mut self, a: ImageSlot, b: ImageSlot) {
        self.slots.swap(a.index(), b.index());
    }

    /// The slots that hold a picture.
    pub fn open_slots(&self) -> impl Iterator<Item = ImageSlot> + '_ {
        ImageSlot::all().filter(|slot| self.slot(*slot).picture.is_some())
    }

    /// The numbers of all pictures, by slot.
    pub fn numbers(&self) -> Vec<u64> {
        self.slots.iter().map(|slot| slot.number).collect()
    }

    /// The activation that is shown: a held key shows the one before.
    pub fn layer(&self) -> Option<Id> {
        match self.hold {
            Some(TemporaryView::Layer) => self.layer_before.or(self.document.layer),
            _ => self.peek.filter(|id| self.is_kept(*id)).or(self.document.layer),
        }
    }

    /// Whether the maps of an activation are kept for every picture that is shown.
    fn is_kept(&self, id: Id) -> bool {
        let mut captures = self.open_slots().map(|slot| self.slot(slot).capture.as_ref());
        id.has_vectors() && captures.all(|capture| capture.is_some_and(|capture| capture.ids.contains(&id)))
    }

    /// The picture that a pane of a slot shows: a held key shows the next one.
    pub fn shown_slot(&self, slot: ImageSlot) -> ImageSlot {
        if self.hold != Some(TemporaryView::Slot) {
            return slot;
        }
        self.slot_after(slot).unwrap_or(slot)
    }

    /// The next slot that holds a picture, around the end.
    pub fn slot_after(&self, slot: ImageSlot) -> Option<ImageSlot> {
        let mut later = self.open_slots().filter(|other| *other > slot);
        later.next().or_else(|| self.open_slots().find(|other| *other != slot))
    }

    /// The pane worked in.
    pub fn focused_pane(&self) -> Option<&Pane> {
        match self.document.layout.tiles.get(self.focused?)? {
            Tile::Pane(pane) => Some(pane),
            Tile::Container(_) => None,
        }
    }

    /// The pane that the inspector is of: the one worked in, else the first.
    pub fn inspected_pane(&self) -> Option<&Pane> {
        let first = || panes(&self.document.layout).first().map(|(_, pane)| *pane);
        self.focused_pane().or_else(first)
    }

    /// The picture worked with: that of the pane worked in, else the first.
    pub fn focused_slot(&self) -> ImageSlot {
        let first = || self.open_slots().next();
        self.focused_pane()
            .map(|pane| pane.slot)
            .or_else(first)
            .unwrap_or(ImageSlot::A)
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
        let wanted = family(&info.family).map_or(&[][..], |family| family.first_activations());
        let known = |id: &Id| info.layers.iter().any(|layer| layer.id == *id);
        let last_features = || info.layers.iter().rev().map(|layer| layer.id).find(|id| !id.is_map());
        let document = &mut self.document;
        document.layer = document
            .layer
            .filter(known)
            .or_else(|| wanted.iter().filter_map(|name| name.parse().ok()).find(known))
            .or_else(last_features);
        self.layer_before = self.layer_before.filter(known);
        if document.model.as_ref() == Some(&info.name) {
            return;
        }
        document.model = Some(info.name.clone());
        set_first(&mut document.settings, info);
    }

    /// What a fresh window runs the loaded model with.
    pub fn fresh_settings(&self) -> RunSettings {
        let mut settings = RunSettings::default();
        if let Some(info) = &self.model.info {
            set_first(&mut settings, info);
        }
        settings
    }

    /// The activation that the opened workspace chose for a model, and that the model does not have.
    pub fn layer_lost_with(&mut self, info: &ModelInfo) -> Option<Id> {
        let is_of_model = self.document.model.as_ref() == Some(&info.name);
        let known = |id: &Id| info.layers.iter().any(|layer| layer.id == *id);
        self.opened_layer.take().filter(|id| is_of_model && !known(id))
    }

    /// The side the working size is made from.
    pub fn working_side(&self) -> usize {
        match self.document.settings.size {
            None => self.model.info.as_ref().map_or(0, |info| info.native_side),
            Some(WorkingSize::ShortSide(side)) => side,
            Some(WorkingSize::Exact { width, height }) => width.min(height),
        }
    }

    /// Another run is wanted now than the one that was asked for or failed.
    pub fn want_another_run(&mut self) {
        self.run.asked = false;
        self.run.error = None;
    }

    /// What is set, with what the loaded model does not read as it is by default.
    pub fn settings_read(&self) -> RunSettings {
        let settings = &self.document.settings;
        self.model
            .info
            .as_ref()
            .map_or_else(|| settings.clone(), |info| info.read(settings))
    }

    /// Whether the loaded model runs at a timestep and with noise.
    pub fn has_denoiser(&self) -> bool {
        self.model.info.as_ref().is_some_and(ModelInfo::is_denoiser)
    }

    /// Whether a picture's kept activations answer what is looked at.
    pub fn is_captured(&self, slot: ImageSlot) -> bool {
        let (Some(capture), Some(id)) = (&self.slot(slot).capture, self.layer()) else {
            return false;
        };
        capture.settings.same_pass(&self.settings_read()) && has(capture, id)
    }

    /// Whether something has to be run for what is looked at.
    pub fn needs_run(&self) -> bool {
        self.model.info.is_some() && self.layer().is_some() && self.open_slots().any(|slot| !self.is_captured(slot))
    }

    /// What of the activation looked at is not finite in a picture's pass: nothing of it can be shown.
    pub fn not_finite(&self, slot: ImageSlot) -> Option<NotFinite> {
        not_finite(self.slot(slot).capture.as_ref()?, self.layer()?)
    }

    /// What is not finite of any picture's pass that is kept with what is set; the layers are marked.
    pub fn not_finite_of(&self, id: Id) -> Option<(ImageSlot, NotFinite)> {
        self.open_slots().find_map(|slot| {
            let capture = self.slot(slot).capture.as_ref()?;
            let found = not_finite(capture, id)?;
            let current = capture.settings.same_pass(&self.settings_read());
            current.then_some((slot, found))
        })
    }

    /// The passes that what is looked at can be shown from, also while newer ones are on their way.
    pub fn shown_passes(&self) -> Vec<(ImageSlot, PassId)> {
        let Some(id) = self.layer() else { return Vec::new() };
        let captured = self
            .open_slots()
            .filter_map(|slot| Some((slot, self.slot(slot).capture.as_ref()?)));
        captured
            .filter(|(_, capture)| has(capture, id) && not_finite(capture, id).is_none())
            .map(|(slot, capture)| (slot, capture.pass))
            .collect()
    }

    /// Heads of the attention that is looked at; none where no attention is.
    pub fn head_count(&self) -> Option<usize> {
        let id = self.layer().filter(|id| id.is_map())?;
        match self.layers().iter().find(|layer| layer.id == id)?.shape {
            Shape::Attention { heads, .. } => Some(heads),
            Shape::Features { .. } => None,
        }
    }

    /// The head that attention is shown of, where it has as many; none: the mean over heads.
    pub fn head(&self) -> Option<usize> {
        let count = self.head_count()?;
        self.document.head.filter(|head| *head < count)
    }

    /// The head in words, where attention is looked at.
    pub fn head_text(&self) -> Option<String> {
        let count = self.head_count()?;
        Some(match self.head() {
            Some(head) => format!("head {} of {count}", head + 1),
            None => format!("mean over {count} heads"),
        })
    }

    /// The grid of a picture on which the selected activation is looked at: an attention map's is that of its queries.
    pub fn shown_grid(&self, slot: ImageSlot) -> Option<Grid> {
        let id = self.layer()?;
        let slot = self.slot(slot);
        let queries = slot
            .layer(id)
            .and_then(|layer| layer.facts.map_of)
            .map(|map| map.queries);
        match slot.layer(queries.unwrap_or(id))?.shape {
            Shape::Features { grid, .. } => Some(grid),
            Shape::Attention { .. } => None,
        }
    }

    /// (row, column) of the cell under a point; none where the model does not see the picture.
    pub fn cell_at(&self, point: PointAt) -> Option<(usize, usize)> {
        let framing = self.slot(point.slot).capture.as_ref()?.framing;
        framing.cell_from_original(point.at, self.shown_grid(point.slot)?)
    }

    /// What similarities are shown to: of attention to text the word chosen, else the first point of the pair that is being
    /// made, else the selected mark, else the point under the pointer.
    pub fn query_at(&self) -> Option<(ImageSlot, QueryAt)> {
        let shows_words = self.layer().is_some_and(Id::is_cross_map);
        if let Some(word) = self.hover_word.or(self.document.word).filter(|_| shows_words) {
            let (slot, _) = *self.shown_passes().first()?;
            return Some((slot, QueryAt::Word(word)));
        }
        if let Some(first) = &self.pairing.first {
            return Some((first.slot, first.at.clone()));
        }
        match self.document.active_mark() {
            Some((_, slot, at)) => Some((slot, at.clone())),
            None => self.hover.map(|point| (point.slot, QueryAt::Point(point.at))),
        }
    }

    /// The last similarities, if they are of the picture that is pointed at. Those of another layer stand for the new
    /// ones until these come.
    pub fn current_heat(&self) -> Option<&HeatView> {
        let (slot, at) = self.query_at()?;
        (self.sees(slot, &at) && self.not_finite(slot).is_none()).then_some(())?;
        self.heat
            .as_ref()
            .filter(|heat| Some(heat.query.source) == self.pass(slot))
    }

    /// Whether the model sees what is asked about.
    pub fn sees(&self, slot: ImageSlot, at: &QueryAt) -> bool {
        match representative(at) {
            Some(at) => self.cell_at(PointAt { slot, at }).is_some(),
            None => matches!(at, QueryAt::Word(_)),
        }
    }

    /// Whether the similarities that are shown are those of another layer than the one looked at, or of another pass than the
    /// one that is set.
    pub fn heat_is_stale(&self) -> bool {
        let layer = self.layer();
        self.heat.as_ref().is_some_and(|heat| {
            let asked = heat.query.targets.iter().map(|(slot, _)| *slot);
            Some(heat.query.id) != layer || asked.into_iter().any(|slot| !self.is_captured(slot))
        })
    }

    /// Scores of a picture's positions, if they are those of the pass that is shown.
    pub fn scores_of(&self, slot: ImageSlot) -> Option<&TargetHeat> {
        let (heat, pass) = (self.current_heat()?, self.pass(slot)?);
        let asked = heat.query.targets.contains(&(slot, pass)) && self.not_finite(slot).is_none();
        asked
            .then(|| heat.targets.iter().find(|target| target.slot == slot))
            .flatten()
    }

    /// The heat map over a picture, where there is to be one.
    pub fn heat_on(&self, slot: ImageSlot) -> Option<&TargetHeat> {
        let (heat, (source, _)) = (self.current_heat()?, self.query_at()?);
        let alone = self.open_slots().count() < 2;
        let wanted = slot != source || self.document.display.on_source || heat.attention || alone;
        self.scores_of(slot).filter(|_| wanted)
    }

    /// The pass that a picture is shown from.
    pub fn pass(&self, slot: ImageSlot) -> Option<PassId> {
        self.slot(slot).capture.as_ref().map(|capture| capture.pass)
    }
}

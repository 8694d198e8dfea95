//! What is compared as A and B: two of any layers, timesteps, seeds, models and pictures whose maps are kept.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    activation::Id,
    analysis::colour::Picture,
    app::{
        document::PaneKind, estimate::feature_bytes, export::record, kept::KeptPass, menus::shown_source, state::State,
    },
    components::schedule::Timestep,
    engine::{
        CompareQuery, CompareView, MemberKept, PassId, PictureSource, RunSettings, SeriesMember, SeriesQuery, Slot,
    },
    error::{Error, Result},
    extract::{inversion::Inversion, memory},
    files::names,
    paint::{ColourMap, ScoreMap, ScoreStyle, render_scores},
};

/// Width of each of the pictures that are written, in pixels.
const SAVED_WIDTH: usize = 512;
/// Bytes of activations up to which a pass for a comparison keeps all of them, and not only the one compared.
const KEEP_ALL_BYTES: f64 = (512 << 20) as f64;

/// What is compared and how it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CompareChoice {
    /// A and B.
    pub sides: [Side; 2],
    /// What is shown of them.
    pub mode: CompareMode,
    /// Where A ends and B begins, as a share of the width.
    pub divider: f32,
}

impl Default for CompareChoice {
    fn default() -> Self {
        let shown = |slot| Side {
            pass: PassChoice::Shown(slot),
            layer: None,
        };
        Self {
            sides: [shown(Slot::A), shown(Slot::B)],
            mode: CompareMode::default(),
            divider: 0.5,
        }
    }
}

/// What is shown of two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompareMode {
    /// The colours of A left of the divider, those of B right of it.
    #[default]
    Wipe,
    /// How much they differ at each position.
    Difference,
}

/// One side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The pass.
    pub pass: PassChoice,
    /// The activation; none: the one looked at.
    #[serde(default)]
    pub layer: Option<Id>,
}

/// The pass of a side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PassChoice {
    /// The one that a picture is shown from: it follows model and settings.
    Shown(Slot),
    /// One that was kept.
    Kept(Box<PassRef>),
}

/// What a pass was of: enough to find it again, or to run it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassRef {
    /// The model, as the user named it.
    pub model: String,
    /// The slot the picture was in.
    pub slot: Slot,
    /// The picture.
    pub source: PictureSource,
    /// Tells pictures of other pixels apart.
    pub fingerprint: u64,
    /// What it ran with.
    pub settings: RunSettings,
}

impl PassRef {
    /// What a kept pass was of.
    pub fn of(kept: &KeptPass) -> Self {
        Self {
            model: kept.model.clone(),
            slot: kept.slot,
            source: kept.source.clone(),
            fingerprint: kept.fingerprint,
            settings: kept.settings.clone(),
        }
    }

    fn is(&self, kept: &KeptPass) -> bool {
        self.model == kept.model && self.fingerprint == kept.fingerprint && self.settings.same_pass(&kept.settings)
    }
}

/// What came of a comparison, and what is being asked for it.
#[derive(Debug, Default)]
pub struct CompareState {
    /// What the colourist has told.
    pub view: Option<CompareView>,
    /// Timestep and seed that are typed, to be run as B; none: those that are set.
    pub typed: Option<(Timestep, u64)>,
    /// A pass that becomes B when it is there.
    pub asked: Option<(u64, SeriesQuery)>,
}

/// Why a side cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// In words.
    Words(String),
    /// Its maps are not kept: it can be run again in this slot.
    CanRun(Slot),
}

/// The activation of a side.
pub fn layer_of(state: &State, side: &Side) -> Option<Id> {
    side.layer.or(state.layer())
}

/// The kept pass of a side.
pub fn kept_of<'a>(state: &'a State, side: &Side) -> Option<&'a KeptPass> {
    match &side.pass {
        PassChoice::Shown(slot) => state.kept.get(state.pass(*slot)?),
        PassChoice::Kept(wanted) => state.kept.iter().rev().find(|kept| wanted.is(kept)),
    }
}

/// Pass and activation of a side, or why there are none.
pub fn found(state: &State, side: &Side) -> Result<(PassId, Id), Absent> {
    let words = |text: String| Absent::Words(text);
    let id = layer_of(state, side).ok_or_else(|| words("no activation is looked at".to_owned()))?;
    if id.is_map() {
        return Err(words(format!("{id} is an attention map: choose a feature map")));
    }
    let not_finite = kept_of(state, side).and_then(|kept| kept.not_finite.iter().find(|(other, _)| *other == id));
    if let Some((_, numbers)) = not_finite {
        return Err(words(format!("{id} is not finite: {numbers}")));
    }
    match &side.pass {
        PassChoice::Shown(slot) => {
            let name = slot.name();
            if state.slot(*slot).picture.is_none() {
                return Err(words(format!("no picture is open as {name}")));
            }
            let kept = kept_of(state, side).filter(|kept| kept.features.contains(&id));
            let kept = kept.ok_or_else(|| match side.layer {
                // What is looked at is run by itself.
                None => words(format!("{id} of {name} has not been run yet")),
                Some(_) => Absent::CanRun(*slot),
            })?;
            Ok((kept.pass, id))
        }
        PassChoice::Kept(wanted) => match kept_of(state, side) {
            Some(kept) if kept.features.contains(&id) => Ok((kept.pass, id)),
            _ => {
                let there = state.model.info.as_ref().is_some_and(|info| info.name == wanted.model);
                let has = |slot: &Slot| {
                    let picture = state.slot(*slot).picture.as_ref();
                    picture.is_some_and(|picture| picture.fingerprint == wanted.fingerprint)
                };
                match state.open_slots().find(has) {
                    Some(slot) if there => Err(Absent::CanRun(slot)),
                    _ => Err(words(format!(
                        "its maps are no longer kept: load {} and open {} to run it again",
                        wanted.model,
                        shown_source(&wanted.source)
                    ))),
                }
            }
        },
    }
}

/// What the colourist is asked.
pub fn wanted_compare(state: &State) -> Option<CompareQuery> {
    let [a, b] = &state.document.compare.sides;
    Some(CompareQuery {
        sides: [found(state, a).ok()?, found(state, b).ok()?],
        settings: state.document.pca.clone(),
    })
}

/// Whether the picture shows another comparison than the one that is set.
pub fn is_stale(state: &State) -> bool {
    let view = state.compare.view.as_ref();
    view.is_none_or(|view| Some(&view.query) != wanted_compare(state).as_ref())
}

/// What a pass is called in lists: what tells it from what is set comes with it.
pub fn pass_text(state: &State, kept: &KeptPass) -> String {
    let settings = &kept.settings;
    let mut text = format!(
        "{} {}  t {}  seed {}",
        kept.slot.name(),
        shown_source(&kept.source),
        settings.t,
        settings.seed
    );
    let set = &state.document.settings;
    if settings.ensemble != set.ensemble {
        text += &format!("  mean of {}", settings.ensemble);
    }
    if settings.prompt != set.prompt {
        text += &format!("  \"{}\"", settings.prompt);
    }
    if settings.size != set.size {
        text += &format!("  {} x {} px", kept.framing.working.width, kept.framing.working.height);
    }
    if settings.inversion != set.inversion {
        text += match settings.inversion {
            Inversion::None => "  no inversion",
            Inversion::Ddim => "  DDIM inversion",
        };
    }
    if settings.adapters.acting() != set.adapters.acting() {
        text += "  other LoRAs or ControlNets";
    }
    if state.model.info.as_ref().is_none_or(|info| info.name != kept.model) {
        text += &format!("  {}", kept.model);
    }
    text
}

/// What a side is called under the picture.
pub fn side_text(state: &State, side: &Side) -> String {
    let layer = layer_of(state, side).map_or(String::new(), |id| id.to_string());
    match kept_of(state, side) {
        Some(kept) => format!("{layer} of {}", pass_text(state, kept)),
        None => layer,
    }
}

/// What is shown of the picture worked with now, so that it can be compared with what is looked at later.
pub fn side_of_now(state: &State) -> Option<Side> {
    let slot = state.focused_slot();
    let kept = state.kept.get(state.pass(slot)?)?;
    let id = state.layer().filter(|id| kept.features.contains(id))?;
    Some(Side {
        pass: PassChoice::Kept(Box::new(PassRef::of(kept))),
        layer: Some(id),
    })
}

/// The picture that passes for a comparison are run of: A's.
pub fn slot_of(state: &State, side: &Side) -> Slot {
    match &side.pass {
        PassChoice::Shown(slot) => *slot,
        PassChoice::Kept(wanted) => {
            let has = |slot: &Slot| {
                let picture = state.slot(*slot).picture.as_ref();
                picture.is_some_and(|picture| picture.fingerprint == wanted.fingerprint)
            };
            state.open_slots().find(has).unwrap_or(wanted.slot)
        }
    }
}

/// One pass for a comparison: with all activations where they take little memory.
pub fn series_of(state: &State, slot: Slot, settings: RunSettings, id: Id) -> SeriesQuery {
    let layers = state.layers();
    let ids = if feature_bytes(layers) <= KEEP_ALL_BYTES {
        let features = layers.iter().map(|layer| layer.id).filter(|id| !id.is_map());
        features.collect()
    } else {
        vec![id]
    };
    SeriesQuery {
        members: vec![SeriesMember {
            slot,
            settings,
            noiseless: false,
        }],
        ids,
    }
}

impl State {
    /// A pass that was run for a comparison is there.
    pub fn take_compared(&mut self, job: u64, kept: &MemberKept) {
        let Some((_, query)) = self.compare.asked.take_if(|(asked, _)| *asked == job) else {
            return;
        };
        let Some(member) = query.members.get(kept.index) else {
            return;
        };
        self.remember_member(member, kept, &query.ids);
        if let Some(known) = self.kept.get(kept.pass) {
            let pass = PassChoice::Kept(Box::new(PassRef::of(known)));
            // Where a side that was gone is run again, it is the same side.
            if self.document.compare.sides.iter().all(|side| side.pass != pass) {
                self.document.compare.sides[1].pass = pass;
            }
        }
    }

    /// Whether a pane compares.
    pub fn compares(&self) -> bool {
        let panes = super::super::arrange::panes(&self.document.layout);
        panes.iter().any(|(_, pane)| pane.kind == PaneKind::Compare)
    }
}

/// How the differences are drawn: from none to the largest.
pub fn difference_style(view: &CompareView) -> ScoreStyle {
    let most = view.difference.values.iter().copied().fold(0.0, f32::max);
    ScoreStyle {
        map: ColourMap::Viridis,
        range: [0.0, most.max(f32::EPSILON)],
        opacity: 1.0,
        ..ScoreStyle::default()
    }
}

/// A, B and their difference beside each other: size and pixels.
pub fn compared_picture(view: &CompareView) -> Result<([usize; 2], Vec<u8>)> {
    // Of a grid that is narrow and high, the picture is high too.
    let grids = view.sides.iter().map(|side| side.grid).chain([view.difference.grid]);
    let rows = grids.map(|grid| (SAVED_WIDTH * grid.height).div_ceil(grid.width.max(1)));
    // All three as colours, the difference with opacity too, and the whole.
    const BYTES_PER_ROW: usize = SAVED_WIDTH * (3 * 3 + 4 + 3 * 3);
    memory::check(
        rows.max().unwrap_or(0).saturating_mul(BYTES_PER_ROW),
        "the picture of this comparison",
        "save it as .json",
    )?;
    let mut parts: Vec<Picture> = view
        .sides
        .iter()
        .map(|side| {
            Picture {
                height: side.grid.height,
                width: side.grid.width,
                rgb: side.rgb.clone(),
            }
            .resized_nearest(SAVED_WIDTH)
        })
        .collect();
    let grid = view.difference.grid;
    let height = (SAVED_WIDTH * grid.height).div_ceil(grid.width.max(1)).max(1);
    let scores = ScoreMap::new(grid, view.difference.values.clone())?;
    let whole = egui::Rect::from_min_max(egui::pos2(0.0, 0.0), egui::pos2(1.0, 1.0));
    let drawn = render_scores(
        &scores,
        &difference_style(view),
        whole,
        [SAVED_WIDTH as u32, height as u32],
    );
    parts.push(Picture {
        height,
        width: SAVED_WIDTH,
        rgb: drawn
            .pixels()
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect(),
    });
    let height = parts.iter().map(|part| part.height).max().unwrap_or(0);
    let row_bytes = 3 * SAVED_WIDTH;
    let mut rgb = Vec::with_capacity(parts.len() * row_bytes * height);
    for row in 0..height {
        for part in &parts {
            match part.rgb.get(row * row_bytes..(row + 1) * row_bytes) {
                Some(line) => rgb.extend_from_slice(line),
                None => rgb.extend(std::iter::repeat_n(0, row_bytes)),
            }
        }
    }
    Ok(([parts.len() * SAVED_WIDTH, height], rgb))
}

/// What the comparison is of and what it found, with what made it.
pub fn compared_json(state: &State, view: &CompareView) -> Result<Value> {
    let sides: Vec<Value> = view
        .query
        .sides
        .iter()
        .zip(&view.sides)
        .map(|((pass, id), side)| {
            let kept = state.kept.get(*pass);
            json!({
                "activation": id,
                "model": kept.map(|kept| names::text_json(&kept.model)),
                "picture": kept.map(|kept| names::json(kept.source.path())),
                "settings": kept.map(|kept| &kept.settings),
                "framing": kept.map(|kept| &kept.framing),
                "dtype": kept.map(|kept| &kept.dtype),
                "grid": side.grid,
                "explained_variance_ratio": side.explained,
                "channels_left_out": side.left_out,
            })
        })
        .collect();
    let extent = difference_style(view).range;
    Ok(json!({
        "sides": sides,
        "colours": view.agreement.words(),
        "pca": view.query.settings,
        "difference": {
            "measure": view.difference.measure,
            "words": view.difference.measure.words(),
            "grid": view.difference.grid,
            "mean": view.difference.mean,
            "colours_from_to": extent,
            "values": view.difference.values,
        },
        "made_by": record(state),
    }))
}

/// Why a comparison cannot be written.
pub fn nothing_compared() -> Error {
    Error::usage("there is no comparison to save: open a comparison and choose two sides whose maps are kept")
}

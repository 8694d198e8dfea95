//! Figures of panes and of single pictures: what is drawn, what stands around it and what made it, gathered where it is known
//! and drawn on another thread.

use serde_json::{Value, json};

use super::{captions::provenance_caption, record::record};
use crate::{
    activation::Id,
    app::{
        document::{
            figure::FigureSettings,
            pane::{Pane, PaneKind},
            places::representative,
        },
        state::{readout::place_text, root::State},
        theme,
    },
    engine::{ChannelQuery, ImageSlot, PassId, PictureSource, QueryAt},
    error::{Error, Result},
    extract::{facts::facts, model::fingerprint},
    geometry::{Grid, Size, framing::Framing},
    render::{Bar, Figure, FigurePlan, Frame, Mark, ScoreMap, ScoreStyle, score_text},
};

/// Between the facts of a caption.
const BETWEEN: &str = " · ";

/// What a figure is drawn from, without anything that a window holds.
pub struct FigureParts {
    /// The picture itself with what tells its pixels from others, where it is seen.
    pub picture: Option<(PictureSource, u64)>,
    /// Its size.
    pub size: Size,
    /// The place of the working picture in it.
    pub framing: Option<Framing>,
    /// Colours over it.
    pub colours: Option<(Grid, Vec<u8>)>,
    /// Scores over it.
    pub scores: Option<(ScoreMap, ScoreStyle)>,
    /// What is marked.
    pub marks: Vec<Mark>,
    /// How it is drawn.
    pub plan: FigurePlan,
}

impl FigureParts {
    /// The figure as a PNG; the picture is read again, as the window keeps none.
    ///
    /// # Errors
    ///
    /// Where the picture is no longer the one that was open, or the figure cannot be drawn.
    pub fn png(&self) -> Result<Vec<u8>> {
        let picture = match &self.picture {
            None => None,
            Some((source, expected)) => {
                let picture = source.read()?;
                if fingerprint(&picture) != *expected {
                    return Err(Error::failed(format!(
                        "{} has changed since it was opened: open it again",
                        source.name()
                    )));
                }
                Some(picture)
            }
        };
        let figure = Figure {
            size: self.size,
            picture: picture.as_ref(),
            framing: self.framing,
            colours: self.colours.as_ref().map(|(grid, rgb)| (*grid, rgb.as_slice())),
            scores: self.scores.as_ref().map(|(scores, style)| (scores, *style)),
            marks: &self.marks,
        };
        figure.png(&self.plan)
    }
}

/// Of which activation and pass a figure is: what is shown may be older than what is set.
#[derive(Debug, Clone, Copy)]
pub struct FigureOf {
    /// The activation.
    pub id: Option<Id>,
    /// The pass.
    pub pass: Option<PassId>,
}

impl FigureOf {
    /// What a pane of pictures shows.
    pub fn pane(state: &State, pane: &Pane) -> Self {
        let now = Self::now(state, pane.slot);
        match pane.kind {
            PaneKind::Pca => state.slot(pane.slot).pca.as_ref().map_or(now, |view| Self {
                id: Some(view.query.id),
                pass: Some(view.pass),
            }),
            PaneKind::Channel => Self {
                id: state.answers.of::<ChannelQuery>().map(|view| view.query.id).or(now.id),
                ..now
            },
            _ => Self {
                id: state.current_heat().map(|heat| heat.query.id).or(now.id),
                ..now
            },
        }
    }

    /// What is looked at now.
    pub fn now(state: &State, slot: ImageSlot) -> Self {
        Self {
            id: state.layer(),
            pass: state.pass(slot),
        }
    }
}

/// How a figure of a picture is drawn, and what goes with it.
pub fn figure_plan(
    state: &State,
    settings: &FigureSettings,
    pane: &Pane,
    of: FigureOf,
    style: Option<&ScoreStyle>,
    shown: Value,
) -> FigurePlan {
    let bar = style.filter(|_| settings.colour_bar).map(|style| Bar {
        map: style.map,
        range: style.range,
        gamma: style.gamma,
        label: scores_text(state, pane.kind),
    });
    let mut words = vec![made_by_text(state, pane.slot, of)];
    words.extend(colours_text(state, pane, of, style));
    FigurePlan {
        size: settings.size,
        frame: Frame {
            title: settings.title.trim().to_owned(),
            bar,
            caption: if settings.caption { words } else { Vec::new() },
        },
        record: json!({ "shown": shown, "made_by": record(state) }),
    }
}

/// What made a map, as one paragraph: the picture, the layer, and everything that its pass depends on.
fn made_by_text(state: &State, slot: ImageSlot, of: FigureOf) -> String {
    let open = state.slot(slot);
    let name = open.picture.as_ref().map(|picture| picture.source.name());
    let mut words: Vec<String> = name.into_iter().collect();
    if let (Some(kept), Some(id)) = (of.pass.and_then(|pass| state.passes.get(pass)), of.id) {
        words.push(format!("layer {id}"));
        words.extend(state.head_text().filter(|_| id.is_map()));
        // Where the weights lie and what computed is in the file and in the record: a caption has no room for it.
        let facts = facts(&kept.model, &kept.settings, &kept.ran);
        let told = facts
            .into_iter()
            .filter(|(caption, _)| !matches!(*caption, "weights" | "device"));
        words.extend(told.map(|(caption, value)| format!("{caption} {value}")));
    }
    crate::words::visible(&words.join(BETWEEN)).into_owned()
}

/// How the colours of a pane came about.
fn colours_text(state: &State, pane: &Pane, of: FigureOf, style: Option<&ScoreStyle>) -> Option<String> {
    if pane.kind == PaneKind::Pca {
        let view = state.slot(pane.slot).pca.as_ref();
        let view = view.filter(|view| Some(view.query.id) == of.id && Some(view.pass) == of.pass)?;
        return Some(format!(
            "PCA {}",
            provenance_caption(view, state.open_slots().count() > 1)
        ));
    }
    let style = style?;
    let [low, high] = style.range.map(score_text);
    let gamma = match style.gamma {
        1.0 => String::new(),
        gamma => format!(", gamma {gamma}"),
    };
    Some(format!(
        "{}, {} from {low} to {high}{gamma}",
        scores_text(state, pane.kind),
        style.map.name()
    ))
}

/// What the scores of a pane are.
fn scores_text(state: &State, kind: PaneKind) -> String {
    if kind == PaneKind::Channel {
        let view = state.answers.of::<ChannelQuery>();
        return view.map_or_else(String::new, |view| format!("channel {}", view.query.channel));
    }
    let Some(heat) = &state.heat else { return String::new() };
    let slot = state
        .query_at()
        .map_or_else(String::new, |(slot, _)| format!(" of {}", slot.name()));
    let at = match &heat.query.at {
        QueryAt::Word(token) => state
            .open_slots()
            .find_map(|slot| state.slot(slot).capture.as_ref()?.ran.tokens.get(*token))
            .map_or_else(
                || place_text(&heat.query.at),
                |token| format!("token \"{}\"", token.piece),
            ),
        other => format!("{}{slot}", place_text(other)),
    };
    let what = if heat.attention { "attention weight" } else { "cosine" };
    format!("{what} to {at}")
}

/// The pins of a picture, and the best match of each pin of another.
pub fn marks(state: &State, slot: ImageSlot) -> Vec<Mark> {
    // As on the dark canvas: marks have a dark edge.
    let tokens = theme::Tokens::of(egui::Theme::Dark);
    let colour = |number: u32| {
        let [red, green, blue, _] = tokens.pin(number).to_array();
        [red, green, blue]
    };
    let pins = state.document.pins.iter().filter(|pin| pin.slot == slot);
    let mut marks: Vec<Mark> = pins
        .filter_map(|pin| {
            Some(Mark {
                at: representative(&pin.at)?,
                is_cross: true,
                colour: colour(pin.number),
                label: pin.number.to_string(),
            })
        })
        .collect();
    for pin in state.matches.iter().flat_map(|matches| &matches.pins) {
        let source = state.document.pin(pin.pin).map(|pin| pin.slot);
        let found = pin.targets.iter().filter(|target| target.slot == slot);
        let best = found.filter_map(|target| target.best.first());
        marks.extend(best.filter(|_| source != Some(slot)).map(|best| Mark {
            at: best.found.at,
            is_cross: false,
            colour: colour(pin.pin),
            label: pin.pin.to_string(),
        }));
    }
    marks
}

//! What a kind of pane does, as a trait. `views/` has an implementation for every kind, and the window is handed the list
//! of them: nothing below that folder knows one by name.

use std::path::Path;

use egui::{Color32, Ui};
use egui_tiles::TileId;

use super::{command::Command, questions::Questions};
use crate::{
    activation::Id,
    app::{
        document::pane::{Pane, PaneKind},
        export::content::{Content, nothing_to_save},
        gpu::{picture::PictureTexture, textures::Textures},
        state::{canvas_rects::CanvasRects, root::State},
    },
    engine::{Answer, ImageSlot},
    error::Result,
    render::{ScoreMap, ScoreStyle},
};

/// What panes are painted from.
pub struct ViewContext<'a> {
    /// What is shown.
    pub state: &'a State,
    /// What is on the graphics card.
    pub textures: &'a Textures,
    /// Where canvases are and what is dragged.
    pub canvases: &'a mut CanvasRects,
    /// What the user does.
    pub commands: &'a mut Vec<Command>,
    /// The activation that is pointed at in a study.
    pub peek: Option<Id>,
}

/// What is drawn of a picture, from the bottom to the top.
#[derive(Default)]
pub struct Layers<'a> {
    /// Whether the picture itself is drawn.
    pub picture: bool,
    /// Whether the loupe shows the picture where there are no colours, though the pane does not.
    pub picture_in_loupe: bool,
    /// Colours over the part that the model sees, and what they are multiplied by.
    pub colours: Option<(&'a PictureTexture, Color32)>,
    /// Scores over that part.
    pub scores: Option<(&'a ScoreMap, ScoreStyle)>,
}

/// A kind of pane. One that shows a picture ([`PaneFacts::shows_picture`]) gives the [`Self::layers`] of it; any other
/// paints the whole of its pane in [`Self::ui`].
///
/// [`PaneFacts::shows_picture`]: crate::app::document::kinds::PaneFacts::shows_picture
pub trait PaneView: Sync {
    /// Wants the questions whose answers are shown. Called once a frame as long as there is such a pane.
    fn wants(&self, _state: &State, _questions: &mut Questions) {}

    /// Makes an answer that has come ready to be drawn. The answer itself is in [`State::answers`].
    fn on_answer(&self, _answer: &Answer, _textures: &mut Textures) {}

    /// What stands in the title beside the kind, such as the name of an activation.
    fn subject(&self, _state: &State, _slot: ImageSlot) -> Option<String> {
        None
    }

    /// What is drawn of a picture.
    fn layers<'a>(&self, _slot: ImageSlot, _state: &State, _textures: &'a Textures) -> Layers<'a> {
        Layers::default()
    }

    /// The words below a picture without scores, where `width` points are left for them.
    fn footer(&self, _state: &State, _slot: ImageSlot, _width: f32) -> String {
        String::new()
    }

    /// Paints a pane that shows no picture.
    fn ui(&self, _ui: &mut Ui, _tile: TileId, _pane: &Pane, _context: &mut ViewContext<'_>) {}

    /// What can be chosen for a pane that shows no picture: the inspector has it while the pane is worked in.
    fn inspector(
        &self,
        _ui: &mut Ui,
        _pane: &Pane,
        _state: &State,
        _textures: &Textures,
        _commands: &mut Vec<Command>,
    ) {
    }

    /// What is written into a file, in the format that its name says.
    ///
    /// # Errors
    /// Where there is nothing to write yet, or in no such format.
    fn content(&self, _state: &State, _path: &Path) -> Result<Content> {
        Err(nothing_to_save())
    }
}

/// The view of every kind of pane, in the order of [`PaneKind::ALL`].
#[derive(Clone, Copy)]
pub struct Views(&'static [&'static dyn PaneView; PaneKind::ALL.len()]);

impl Views {
    /// The views of all kinds, in their order.
    pub const fn new(views: &'static [&'static dyn PaneView; PaneKind::ALL.len()]) -> Self {
        Self(views)
    }

    /// The view of a kind.
    pub fn of(self, kind: PaneKind) -> &'static dyn PaneView {
        self.0[kind as usize]
    }

    /// Every kind with its view.
    pub fn all(self) -> impl Iterator<Item = (PaneKind, &'static dyn PaneView)> {
        PaneKind::ALL.into_iter().zip(self.0.iter().copied())
    }
}

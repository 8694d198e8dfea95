//! Making pairs of points: the mode, and the half of a pair that is there.

use crate::{app::document::root::Spot, engine::ImageSlot};

/// What is known of the pair that is being made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pairing {
    /// Whether clicks make pairs: the first click of each in one picture, the second in another.
    pub on: bool,
    /// The first point of the pair that is being made.
    pub first: Option<Spot>,
    /// The picture in which the best match was accepted as the second point before it had come.
    pub accepted: Option<ImageSlot>,
}

impl Pairing {
    /// Whether a click in a picture makes a pair or the half of one.
    pub fn takes_clicks(&self) -> bool {
        self.on || self.first.is_some()
    }

    /// Lets go of the half of a pair; whether there was one.
    pub fn let_go(&mut self) -> bool {
        self.accepted = None;
        self.first.take().is_some()
    }
}

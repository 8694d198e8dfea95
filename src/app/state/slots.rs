//! Pictures that are open, and what a pass has kept of each.

use std::sync::Arc;

use crate::{
    activation::{Id, NotFinite},
    engine::{Capture, ImageSlot, Layer, PcaView, PictureSource},
    geometry::Size,
};

/// One picture and what is known of it.
#[derive(Debug, Default)]
pub struct SlotState {
    /// The picture, if one is open.
    pub picture: Option<OpenPicture>,
    /// Why the one asked for last is not.
    pub error: Option<String>,
    /// What is kept of its activations.
    pub capture: Option<Capture>,
    /// What its PCA panes show.
    pub pca: Option<Arc<PcaView>>,
    /// Number of the picture: another one has another number.
    pub number: u64,
}

/// A picture that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPicture {
    /// Where it came from.
    pub source: PictureSource,
    /// Its own size.
    pub size: Size,
    /// Tells pictures of other pixels apart.
    pub fingerprint: u64,
}

/// A point of a picture, in its own pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointAt {
    /// Which picture.
    pub slot: ImageSlot,
    /// (x, y).
    pub at: [f64; 2],
}

impl SlotState {
    /// An activation as this picture's pass has it.
    pub fn layer(&self, id: Id) -> Option<&Layer> {
        self.capture.as_ref()?.layers.iter().find(|layer| layer.id == id)
    }
}

/// What of a capture an activation is shown from.
fn shown_from(capture: &Capture, id: Id) -> Vec<Id> {
    let layer = capture.layers.iter().find(|layer| layer.id == id);
    layer.map_or(vec![id], Layer::shown_from)
}

/// Whether a capture holds what an activation is shown from.
pub fn has(capture: &Capture, id: Id) -> bool {
    shown_from(capture, id)
        .iter()
        .all(|source| capture.ids.contains(source))
}

/// What is not finite of what an activation is shown from.
pub fn not_finite(capture: &Capture, id: Id) -> Option<NotFinite> {
    let of = |wanted: Id| {
        let found = capture.not_finite.iter().find(|(other, _)| *other == wanted);
        found.map(|(_, numbers)| *numbers)
    };
    shown_from(capture, id).into_iter().find_map(of)
}

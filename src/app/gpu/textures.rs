//! What is on the graphics card: pictures, PCA maps, and the scores of heat maps and channels.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
};

use egui::Context;

use super::{
    atlas::Atlas,
    picture::{DisplayPicture, PictureTexture},
    scores::ScorePainter,
    thumbnails::{MarkedKey, RecommendKey, SheetKey},
};
use crate::{
    app::document::{display::Mask, pane::PaneKind},
    engine::{CompareView, HeatView, ImageSlot, OpenedPicture, PcaView, StripFrame, StripView, TargetHeat, recovered},
    error::{Error, Result},
    geometry::Grid,
    render::ScoreMap,
};

/// Everything that is drawn of all pictures.
pub struct Textures {
    slots: Vec<SlotTextures>,
    /// The frames of the film strip.
    strip: Vec<PictureTexture>,
    /// The weights of every head at the point that is asked about.
    pub heads: Vec<ScoreMap>,
    /// What a comparison draws.
    pub compared: ComparedTextures,
    /// Thumbnails of a survey.
    pub sheet: Atlas<SheetKey>,
    /// Those that are marked.
    pub marked: Atlas<MarkedKey>,
    /// Small pictures of a recommendation.
    pub recommended: Atlas<RecommendKey>,
    /// Draws scores.
    pub painter: ScorePainter,
    context: Context,
    finished: Receiver<Ready>,
    finish: Sender<Ready>,
}

/// What is drawn of a comparison.
pub struct ComparedTextures {
    /// The colours of A and B.
    pub sides: [PictureTexture; 2],
    /// How much they differ.
    pub difference: Option<ScoreMap>,
}

/// What is drawn of one picture.
pub struct SlotTextures {
    /// The picture.
    pub picture: PictureTexture,
    /// Its PCA map.
    pub pca: PictureTexture,
    /// The scores over it.
    pub heat: Option<ScoreMap>,
    /// The scores that kinds of panes show of it, besides heat maps.
    scores: BTreeMap<PaneKind, ScoreMap>,
}

/// A picture made ready for display.
struct Ready {
    number: u64,
    picture: Result<DisplayPicture>,
}

impl Textures {
    /// Nothing on the card yet.
    pub fn new(context: &Context, painter: ScorePainter) -> Self {
        let (finish, finished) = channel();
        let empty = |slot: ImageSlot| SlotTextures {
            picture: PictureTexture::of_picture(format!("picture {}", slot.name())),
            pca: PictureTexture::of_map(format!("pca {}", slot.name())),
            heat: None,
            scores: BTreeMap::new(),
        };
        Self {
            slots: ImageSlot::all().map(empty).collect(),
            strip: Vec::new(),
            heads: Vec::new(),
            compared: ComparedTextures {
                sides: ["compared a", "compared b"].map(PictureTexture::of_map),
                difference: None,
            },
            sheet: Atlas::new("sheet"),
            marked: Atlas::new("marked"),
            recommended: Atlas::new("recommended"),
            painter,
            context: context.clone(),
            finished,
            finish,
        }
    }

    /// What is drawn of a picture.
    pub fn slot(&self, slot: ImageSlot) -> &SlotTextures {
        &self.slots[slot.index()]
    }

    /// A frame of the film strip.
    pub fn strip_frame(&self, index: usize) -> Option<&PictureTexture> {
        self.strip.get(index)
    }

    /// Puts the frames of a film strip on the card.
    pub fn prepare_strip(&mut self, view: &StripView) {
        let max_side_px = self.max_side_px();
        let texture = |(index, frame): (usize, &StripFrame)| {
            let mut texture = PictureTexture::of_map(format!("strip {index}"));
            if let Ok(map) = DisplayPicture::map(&frame.rgb, frame.grid, max_side_px) {
                texture.set(&self.context, map);
            }
            texture
        };
        self.strip = view.frames.iter().enumerate().map(texture).collect();
    }

    /// The interface they belong to.
    pub fn context(&self) -> &Context {
        &self.context
    }

    fn max_side_px(&self) -> usize {
        self.context.input(|input| input.max_texture_side)
    }

    /// Makes a picture ready on another thread: a large one takes longer than a frame.
    pub fn prepare_picture(&self, number: u64, opened: OpenedPicture) {
        let (finish, context, max_side_px) = (self.finish.clone(), self.context.clone(), self.max_side_px());
        rayon::spawn(move || {
            let size = Grid::new(opened.size.height, opened.size.width);
            // A panic on the pool would end the program.
            let picture = recovered(|| DisplayPicture::picture(&opened.rgb, size, max_side_px))
                .unwrap_or_else(|bug| Err(Error::failed(format!("it cannot be made ready for display: {bug}"))));
            // A window that is gone needs no picture.
            let _ = finish.send(Ready { number, picture });
            context.request_repaint();
        });
    }

    /// Puts finished pictures on the card, where they are still open; gives the slots whose picture could not be made.
    pub fn take_finished(&mut self, numbers: &[u64]) -> Vec<(ImageSlot, String)> {
        let mut failed = Vec::new();
        for ready in self.finished.try_iter() {
            let place = numbers.iter().position(|number| *number == ready.number);
            let Some(slot) = place.and_then(ImageSlot::nth) else {
                continue;
            };
            match ready.picture {
                Ok(picture) => self.slots[slot.index()].picture.set(&self.context, picture),
                Err(error) => failed.push((slot, error.to_string())),
            }
        }
        failed
    }

    /// Whether the picture of a slot is on the card.
    pub fn has_picture(&self, slot: ImageSlot) -> bool {
        self.slot(slot).picture.size().is_some()
    }

    /// Puts a PCA map on the card: as many pixels as it has positions. Background becomes black.
    pub fn prepare_pca(&mut self, view: &PcaView, mask: Mask) {
        const CHANNELS: usize = 3;
        let max_side_px = self.max_side_px();
        let foreground = view.first.iter().map(|first| mask.keeps(*first));
        let rgb: Vec<u8> = view
            .rgb
            .chunks_exact(CHANNELS)
            .zip(foreground)
            .flat_map(|(pixel, keeps)| pixel.iter().map(move |level| if keeps { *level } else { 0 }))
            .collect();
        let texture = &mut self.slots[view.slot.index()].pca;
        match DisplayPicture::map(&rgb, view.grid, max_side_px) {
            Ok(map) => texture.set(&self.context, map),
            Err(_) => texture.clear(),
        }
    }

    /// Puts a comparison on the card: as many pixels as the maps have positions.
    pub fn prepare_compared(&mut self, view: &CompareView) {
        let max_side_px = self.max_side_px();
        for (texture, side) in self.compared.sides.iter_mut().zip(&view.sides) {
            match DisplayPicture::map(&side.rgb, side.grid, max_side_px) {
                Ok(map) => texture.set(&self.context, map),
                Err(_) => texture.clear(),
            }
        }
        let difference = &view.difference;
        self.compared.difference = ScoreMap::new(difference.grid, difference.values.clone()).ok();
    }

    /// Takes the heat maps away.
    pub fn clear_heat(&mut self) {
        for slot in &mut self.slots {
            slot.heat = None;
        }
        self.heads.clear();
    }

    /// The scores that a kind of pane shows of a picture.
    pub fn scores(&self, kind: PaneKind, slot: ImageSlot) -> Option<&ScoreMap> {
        self.slot(slot).scores.get(&kind)
    }

    /// Takes the scores of all kinds of panes away, but heat maps.
    pub fn clear_scores(&mut self) {
        for slot in &mut self.slots {
            slot.scores.clear();
        }
    }

    /// Empties a slot.
    pub fn clear_slot(&mut self, slot: ImageSlot) {
        let textures = &mut self.slots[slot.index()];
        textures.picture.clear();
        textures.pca.clear();
        textures.heat = None;
        textures.scores.clear();
    }

    /// Lets two slots change what they hold.
    pub fn swap(&mut self, a: ImageSlot, b: ImageSlot) {
        self.slots.swap(a.index(), b.index());
    }

    /// Keeps the weights of every head for choosing one.
    pub fn prepare_heads(&mut self, view: &HeatView) {
        let Some(first) = view.targets.first() else { return };
        let map = |weights: &Vec<f32>| ScoreMap::new(first.grid, weights.clone()).ok();
        self.heads = view.heads.iter().filter_map(map).collect();
    }

    /// Puts scores over a picture.
    pub fn prepare_heat(&mut self, target: &TargetHeat) {
        self.slots[target.slot.index()].heat = ScoreMap::new(target.grid, target.scores.clone()).ok();
    }

    /// Puts the scores of a kind of pane in the place of those before: picture, grid and row-major values.
    pub fn set_scores<'a>(&mut self, kind: PaneKind, maps: impl IntoIterator<Item = &'a (ImageSlot, Grid, Vec<f32>)>) {
        for slot in &mut self.slots {
            slot.scores.remove(&kind);
        }
        for (slot, grid, values) in maps {
            if let Ok(scores) = ScoreMap::new(*grid, values.clone()) {
                self.slots[slot.index()].scores.insert(kind, scores);
            }
        }
    }

    /// The lowest and the highest score of all heat maps.
    pub fn common_extent(&self) -> Option<[f32; 2]> {
        let extents = self.slots.iter().filter_map(|slot| slot.heat.as_ref()?.extent());
        extents.reduce(|[low, high], [other_low, other_high]| [low.min(other_low), high.max(other_high)])
    }
}

/// Wakes the window from a worker.
pub fn waker(context: &Context) -> Arc<dyn Fn() + Send + Sync> {
    let context = context.clone();
    Arc::new(move || context.request_repaint())
}

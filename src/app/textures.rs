//! What is on the graphics card: pictures, PCA maps, and the scores of heat maps.

use std::sync::{
    Arc,
    mpsc::{Receiver, Sender, channel},
};

use egui::Context;

use crate::{
    activation::Grid,
    engine::{OpenedPicture, Slot},
    error::Result,
    paint::{DisplayPicture, PictureTexture, ScoreMap, ScorePainter},
};

/// Pictures, PCA maps and heat maps of both slots.
pub struct Textures {
    /// The pictures.
    pub pictures: [PictureTexture; Slot::ALL.len()],
    /// Their PCA maps.
    pub pcas: [PictureTexture; Slot::ALL.len()],
    /// The scores over them.
    pub heat: [Option<ScoreMap>; Slot::ALL.len()],
    /// Draws scores.
    pub painter: ScorePainter,
    context: Context,
    max_side_px: usize,
    finished: Receiver<Ready>,
    finish: Sender<Ready>,
}

/// A picture made ready for display.
struct Ready {
    slot: Slot,
    generation: u64,
    picture: Result<DisplayPicture>,
}

impl Textures {
    /// Nothing on the card yet.
    pub fn new(context: &Context, painter: ScorePainter) -> Self {
        let (finish, finished) = channel();
        let max_side_px = context.input(|input| input.max_texture_side);
        Self {
            pictures: Slot::ALL.map(|slot| PictureTexture::of_picture(format!("picture {}", slot.name()))),
            pcas: Slot::ALL.map(|slot| PictureTexture::of_map(format!("pca {}", slot.name()))),
            heat: Slot::ALL.map(|_| None),
            painter,
            context: context.clone(),
            max_side_px,
            finished,
            finish,
        }
    }

    /// Makes a picture ready on another thread: a large one takes longer than a frame.
    pub fn prepare_picture(&self, slot: Slot, generation: u64, opened: OpenedPicture) {
        let (finish, context, max_side_px) = (self.finish.clone(), self.context.clone(), self.max_side_px);
        rayon::spawn(move || {
            let size = Grid::new(opened.size.height, opened.size.width);
            let picture = DisplayPicture::picture(&opened.rgb, size, max_side_px);
            // A window that is gone needs no picture.
            let _ = finish.send(Ready {
                slot,
                generation,
                picture,
            });
            context.request_repaint();
        });
    }

    /// Puts finished pictures on the card; gives the slots whose picture could not be made.
    pub fn take_finished(&mut self, generation: impl Fn(Slot) -> u64) -> Vec<(Slot, String)> {
        let mut failed = Vec::new();
        for ready in self.finished.try_iter() {
            if generation(ready.slot) != ready.generation {
                continue;
            }
            match ready.picture {
                Ok(picture) => self.pictures[ready.slot.index()].set(&self.context, picture),
                Err(error) => failed.push((ready.slot, error.to_string())),
            }
        }
        failed
    }

    /// Puts a PCA map on the card: as many pixels as it has positions.
    pub fn prepare_pca(&mut self, slot: Slot, grid: Grid, rgb: &[u8]) {
        let texture = &mut self.pcas[slot.index()];
        match DisplayPicture::map(rgb, grid, self.max_side_px) {
            Ok(map) => texture.set(&self.context, map),
            Err(_) => texture.clear(),
        }
    }

    /// Takes everything that was made from a model off the card.
    pub fn clear_maps(&mut self) {
        for texture in &mut self.pcas {
            texture.clear();
        }
        self.clear_heat();
    }

    /// Takes the heat maps away.
    pub fn clear_heat(&mut self) {
        self.heat = Slot::ALL.map(|_| None);
    }

    /// Empties a slot.
    pub fn clear_slot(&mut self, slot: Slot) {
        self.pictures[slot.index()].clear();
        self.pcas[slot.index()].clear();
        self.heat[slot.index()] = None;
    }

    /// The scores of a slot, shared.
    pub fn scores(&self, slot: Slot) -> Option<&ScoreMap> {
        self.heat[slot.index()].as_ref()
    }
}

/// Wakes the window from a worker.
pub fn waker(context: &Context) -> Arc<dyn Fn() + Send + Sync> {
    let context = context.clone();
    Arc::new(move || context.request_repaint())
}

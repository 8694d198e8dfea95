//! What is on the graphics card: pictures, PCA maps, and the scores of heat maps.

use std::sync::{
    Arc,
    mpsc::{Receiver, Sender, channel},
};

use egui::Context;

use crate::{
    activation::Grid,
    engine::{OpenedPicture, Slot, TargetHeat},
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
    heat: [Option<ScoreMap>; Slot::ALL.len()],
    /// Draws scores.
    pub painter: ScorePainter,
    context: Context,
    finished: Receiver<Ready>,
    finish: Sender<Ready>,
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
        Self {
            pictures: Slot::ALL.map(|slot| PictureTexture::of_picture(format!("picture {}", slot.name()))),
            pcas: Slot::ALL.map(|slot| PictureTexture::of_map(format!("pca {}", slot.name()))),
            heat: Slot::ALL.map(|_| None),
            painter,
            context: context.clone(),
            finished,
            finish,
        }
    }

    fn max_side_px(&self) -> usize {
        self.context.input(|input| input.max_texture_side)
    }

    /// Makes a picture ready on another thread: a large one takes longer than a frame.
    pub fn prepare_picture(&self, number: u64, opened: OpenedPicture) {
        let (finish, context, max_side_px) = (self.finish.clone(), self.context.clone(), self.max_side_px());
        rayon::spawn(move || {
            let size = Grid::new(opened.size.height, opened.size.width);
            let picture = DisplayPicture::picture(&opened.rgb, size, max_side_px);
            // A window that is gone needs no picture.
            let _ = finish.send(Ready { number, picture });
            context.request_repaint();
        });
    }

    /// Puts finished pictures on the card, where they are still open; gives the slots whose picture could not be made.
    pub fn take_finished(&mut self, numbers: [u64; Slot::ALL.len()]) -> Vec<(Slot, String)> {
        let mut failed = Vec::new();
        for ready in self.finished.try_iter() {
            let Some(slot) = Slot::ALL.into_iter().find(|slot| numbers[slot.index()] == ready.number) else {
                continue;
            };
            match ready.picture {
                Ok(picture) => self.pictures[slot.index()].set(&self.context, picture),
                Err(error) => failed.push((slot, error.to_string())),
            }
        }
        failed
    }

    /// Puts a PCA map on the card: as many pixels as it has positions.
    pub fn prepare_pca(&mut self, slot: Slot, grid: Grid, rgb: &[u8]) {
        let max_side_px = self.max_side_px();
        let texture = &mut self.pcas[slot.index()];
        match DisplayPicture::map(rgb, grid, max_side_px) {
            Ok(map) => texture.set(&self.context, map),
            Err(_) => texture.clear(),
        }
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

    /// Lets the slots change what they hold.
    pub fn swap(&mut self) {
        self.pictures.reverse();
        self.pcas.reverse();
        self.heat.reverse();
    }

    /// Puts scores over a picture.
    pub fn prepare_heat(&mut self, target: &TargetHeat) {
        self.heat[target.slot.index()] = ScoreMap::new(target.grid, target.scores.clone()).ok();
    }

    /// The scores over a picture.
    pub fn scores(&self, slot: Slot) -> Option<&ScoreMap> {
        self.heat[slot.index()].as_ref()
    }
}

/// Wakes the window from a worker.
pub fn waker(context: &Context) -> Arc<dyn Fn() + Send + Sync> {
    let context = context.clone();
    Arc::new(move || context.request_repaint())
}

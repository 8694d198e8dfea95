//! What a run will take, from what the last ones took: one that is quick begins by itself, of another one the time is said before.

use super::root::State;
use crate::{
    activation::Cost,
    engine::{Capture, ImageSlot, Layer, ModelInfo},
    geometry::{Size, framing::WorkingSize},
};

/// Passes that are expected to take less than this begin by themselves.
const CHEAP_SECS: f64 = 3.0;
/// Bytes of activations below which a pass is taken for cheap as long as none has been timed on this model.
const CHEAP_BYTES: f64 = (192 << 20) as f64;

impl State {
    /// The pictures that a run would have to compute.
    fn slots_to_run(&self) -> Vec<ImageSlot> {
        self.open_slots().filter(|slot| !self.is_captured(*slot)).collect()
    }

    /// Estimated bytes of the activations of one pass of each of some pictures.
    fn bytes_of(&self, slots: &[ImageSlot]) -> f64 {
        let Some(info) = &self.model.info else { return 0.0 };
        let ensemble = self.settings_read().ensemble as f64;
        let areas = slots.iter().filter_map(|slot| self.area_of(*slot));
        feature_bytes(&info.layers) * areas.sum::<f64>() * ensemble
    }

    /// Estimated work of one pass of each of some pictures, and of encoding those that are new.
    fn work_of(&self, slots: &[ImageSlot]) -> f64 {
        let Some(info) = &self.model.info else { return 0.0 };
        let settings = &self.settings_read();
        let of_one = |slot: &ImageSlot| {
            let area = self.area_of(*slot)?;
            let layers = info.layers.iter().map(|layer| (layer.shape, layer.facts));
            let pass = Cost::of_activations(layers, area).total() * settings.ensemble as f64;
            let key = (self.slot(*slot).picture.as_ref()?.fingerprint, settings.size);
            Some(pass + self.encoding_of(key, info, area))
        };
        slots.iter().filter_map(of_one).sum()
    }

    /// Estimated work of encoding a picture, of so many times the area that the model is made for, at a size: none once it was
    /// encoded.
    fn encoding_of(&self, picture: (u64, Option<WorkingSize>), info: &ModelInfo, area: f64) -> f64 {
        match self.run.encoded.contains(&picture) {
            true => 0.0,
            false => info.encode_cost * area,
        }
    }

    /// Takes what a pass took into what the next is expected to take.
    pub fn on_time(&mut self, slot: ImageSlot, capture: &Capture) {
        let (Some(info), Some(picture)) = (&self.model.info, &self.slot(slot).picture) else {
            return;
        };
        // A pass ends behind the last activation that is kept of it.
        let last = capture.layers.iter().rposition(|layer| capture.ids.contains(&layer.id));
        let ran = last.map_or(&capture.layers[..], |last| &capture.layers[..=last]);
        let layers = ran.iter().map(|layer| (layer.shape, layer.facts));
        let work = Cost::of_activations(layers, 1.0).total() * capture.settings.ensemble as f64;
        let key = (picture.fingerprint, capture.settings.size);
        let encoding = self.encoding_of(key, info, self.area_of(slot).unwrap_or_default());
        let rate = capture.ran.seconds / (1.0 + work + encoding);
        // The first pass also warms caches: the fastest one says what the next will take.
        let known = self.run.secs_per_work.filter(|_| self.run.timed);
        let rate = known.map_or(rate, |known| known.min(rate));
        let rate_key = info.rate_key();
        self.run.encoded.insert(key);
        self.run.secs_per_work = Some(rate);
        self.run.timed = true;
        self.preferences.rates.insert(rate_key, rate);
    }

    /// The area of a picture as the model will see it, in units of the size that the model is made for.
    fn area_of(&self, slot: ImageSlot) -> Option<f64> {
        let info = self.model.info.as_ref()?;
        let settings = &self.document.settings;
        let native = WorkingSize::ShortSide(info.native_side);
        let area = |size: Size| match settings.size.unwrap_or(native) {
            WorkingSize::Exact { width, height } => (width * height) as f64,
            WorkingSize::ShortSide(side) => {
                let (short, long) = (size.width.min(size.height), size.width.max(size.height));
                (side * side) as f64 * long as f64 / short as f64
            }
        };
        let picture = self.slot(slot).picture.as_ref()?;
        Some(area(picture.size) / (info.native_side * info.native_side) as f64)
    }

    /// Seconds that a run will take, if one has been timed on this model.
    pub fn expected_secs(&self) -> Option<f64> {
        self.run
            .secs_per_work
            .map(|rate| rate * self.work_of(&self.slots_to_run()))
    }

    /// Whether a run may begin by itself.
    pub fn run_is_cheap(&self) -> bool {
        self.is_cheap(&self.slots_to_run())
    }

    /// Whether one pass of each picture is so quick that several may begin by themselves.
    pub fn pass_is_cheap(&self) -> bool {
        self.is_cheap(&self.open_slots().collect::<Vec<_>>())
    }

    fn is_cheap(&self, slots: &[ImageSlot]) -> bool {
        match self.run.secs_per_work {
            Some(rate) => rate * self.work_of(slots) < CHEAP_SECS,
            None => self.bytes_of(slots) < CHEAP_BYTES,
        }
    }
}

/// Bytes of all activations but attention maps, which are never kept whole.
pub fn feature_bytes(layers: &[Layer]) -> f64 {
    let features = layers.iter().filter(|layer| !layer.id.is_map());
    features.map(|layer| layer.shape.bytes() as f64).sum()
}

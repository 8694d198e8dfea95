//! The LoRAs and ControlNets that are on a loaded model.

use std::path::{Path, PathBuf};

use super::{
    adapters::{Adapters, Applied, AppliedLora, ControlUse, LoraUse},
    control,
    model::Place,
};
use crate::{
    error::Result,
    model::{
        controlnet::ControlNet,
        lora::{Layer, LoraFile, Part, layers_of, set_branches},
        text::ClipTextModel,
        unet::Unet,
    },
    weights::open_weights,
};

/// The folders of the text encoders, and the stem of their weights.
const TEXT_ENCODERS: [&str; 2] = ["text_encoder", "text_encoder_2"];
const TEXT_STEM: &str = "model";

/// What is on a model. Putting something else on it reads neither the U-Net nor what stays.
#[derive(Default)]
pub struct Adapted {
    loras: Vec<(LoraUse, LoraFile)>,
    nets: Vec<(PathBuf, ControlNet)>,
    applied: Applied,
}

impl Adapted {
    /// What acts now.
    pub fn applied(&self) -> &Applied {
        &self.applied
    }

    /// The LoRAs that act: what a prompt's states depend on beside the prompt.
    pub fn loras(&self) -> Vec<LoraUse> {
        self.loras.iter().map(|(used, _)| used.clone()).collect()
    }

    /// The ControlNets that act, with their uses, in order.
    pub fn nets(&self) -> impl Iterator<Item = (&ControlUse, &ControlNet)> {
        let net = |used: &ControlUse| self.nets.iter().find(|(folder, _)| *folder == used.net);
        self.applied
            .controls
            .iter()
            .filter_map(move |used| Some((used, &net(used)?.1)))
    }

    /// Puts what acts of `adapters` on a U-Net whose model lies in `folder`. On an error everything is as it was.
    pub fn put(&mut self, adapters: &Adapters, folder: &Path, unet: &mut Unet, place: &Place) -> Result<()> {
        let wanted = adapters.acting();
        let mut opened = Vec::new();
        for used in &wanted.controls {
            let known = |nets: &[(PathBuf, ControlNet)]| nets.iter().any(|(folder, _)| *folder == used.net);
            if !known(&self.nets) && !known(&opened) {
                let net = control::open_net(&used.net, unet.config(), place.dtype, &place.device)?;
                opened.push((used.net.clone(), net));
            }
        }
        if wanted.loras != self.loras() {
            self.put_loras(&wanted.loras, folder, unet, place)?;
        }
        self.nets.append(&mut opened);
        // A net that is only switched off stays read: switching it on again takes no time.
        self.nets
            .retain(|(folder, _)| adapters.controls.iter().any(|used| used.net == *folder));
        self.applied.controls = wanted.controls;
        Ok(())
    }

    fn put_loras(&mut self, wanted: &[LoraUse], folder: &Path, unet: &mut Unet, place: &Place) -> Result<()> {
        let mut loras = Vec::with_capacity(wanted.len());
        let mut applied = Vec::with_capacity(wanted.len());
        let layers_per_block = unet.config().layers_per_block;
        let mut parts = vec![(Part::Unet, layers_of(unet))];
        if !wanted.is_empty() {
            parts.extend(text_layers(folder)?);
        }
        for used in wanted {
            let lora = LoraFile::open(&used.file)?;
            let fit = lora.fit(&parts, layers_per_block)?;
            applied.push(AppliedLora {
                file: used.file.clone(),
                scale: used.scale,
                layers: fit.layers,
                unused: fit.unused_in_words(),
            });
            loras.push((used.clone(), lora));
        }
        let to = (place.dtype, place.device.clone());
        set_branches(&scaled(&loras), Part::Unet, layers_per_block, unet, &to)?;
        self.loras = loras;
        self.applied.loras = applied;
        Ok(())
    }

    /// Puts the LoRAs on the text encoder `index` (counted from 0), which was just read.
    pub fn put_on_text(&self, index: usize, encoder: &mut ClipTextModel, place: &Place) -> Result<()> {
        let part = Part::Text(index);
        if self.loras.iter().all(|(_, lora)| !lora.has(part)) {
            return Ok(());
        }
        // Text encoders compute in f32 everywhere; only U-Nets number their layers by blocks.
        let to = (candle_core::DType::F32, place.device.clone());
        set_branches(&scaled(&self.loras), part, 0, encoder, &to)
    }
}

fn scaled(loras: &[(LoraUse, LoraFile)]) -> Vec<(&LoraFile, f64)> {
    loras.iter().map(|(used, lora)| (lora, used.scale.into())).collect()
}

/// The layers of a model's text encoders, from the headers of their files.
fn text_layers(folder: &Path) -> Result<Vec<(Part, Vec<Layer>)>> {
    let mut parts = Vec::new();
    for (index, name) in TEXT_ENCODERS.into_iter().enumerate() {
        let folder = folder.join(name);
        if !folder.is_dir() {
            continue;
        }
        let store = open_weights(&folder, TEXT_STEM)?;
        let layers = store.names().filter_map(|name| {
            let layer = name.strip_suffix(".weight")?;
            let shape = store.shape(name).filter(|shape| shape.len() == 2)?;
            let is_layer = layer.contains("encoder.layers.") || layer == "text_projection";
            is_layer.then(|| Layer {
                name: layer.to_owned(),
                shape: shape.to_vec(),
            })
        });
        parts.push((Part::Text(index), layers.collect()));
    }
    Ok(parts)
}

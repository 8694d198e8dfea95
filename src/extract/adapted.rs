//! The LoRAs and ControlNets that are on a loaded model.

use std::path::PathBuf;

use super::{
    adapters::{Adapters, Applied, AppliedLora, ControlUse, LoraUse},
    control,
    parts::Parts,
};
use crate::{
    device::Place,
    error::Result,
    model::{
        controlnet::ControlNet,
        lora::{LoraFile, Part, layers_of, set_branches},
        text::{ClipTextModel, TextPart},
        unet::Unet,
    },
};

/// The parts of a model that a prompt goes through.
const TEXT_PARTS: [Part; 2] = [Part::Text(0), Part::Text(1)];

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

    /// The LoRAs that change a text encoder: what a prompt's states depend on beside the prompt.
    pub fn text_loras(&self) -> Vec<LoraUse> {
        let of_text = self
            .loras
            .iter()
            .filter(|(_, lora)| TEXT_PARTS.iter().any(|part| lora.has(*part)));
        of_text.map(|(used, _)| used.clone()).collect()
    }

    /// The ControlNets that act, with their uses, in order.
    pub fn nets(&self) -> impl Iterator<Item = (&ControlUse, &ControlNet)> {
        let net = |used: &ControlUse| self.nets.iter().find(|(folder, _)| *folder == used.net);
        self.applied
            .controls
            .iter()
            .filter_map(move |used| Some((used, &net(used)?.1)))
    }

    /// Puts what acts of `adapters` on the U-Net of a model. On an error everything is as it was.
    pub(super) fn put(&mut self, adapters: &Adapters, model: &Parts, unet: &mut Unet, place: &Place) -> Result<()> {
        let wanted = adapters.acting();
        let mut opened = Vec::new();
        for used in &wanted.controls {
            let known = |nets: &[(PathBuf, ControlNet)]| nets.iter().any(|(folder, _)| *folder == used.net);
            if !known(&self.nets) && !known(&opened) {
                let net = control::open_net(&used.net, unet.config(), place.dtype, &place.device)?;
                opened.push((used.net.clone(), net));
            }
        }
        if wanted.loras.iter().ne(self.loras.iter().map(|(used, _)| used)) {
            self.put_loras(&wanted.loras, model, unet, place)?;
        }
        self.nets.append(&mut opened);
        // A net that is only switched off stays read: switching it on again takes no time.
        self.nets
            .retain(|(folder, _)| adapters.controls.iter().any(|used| used.net == *folder));
        self.applied.controls = wanted.controls;
        Ok(())
    }

    fn put_loras(&mut self, wanted: &[LoraUse], model: &Parts, unet: &mut Unet, place: &Place) -> Result<()> {
        let mut loras = Vec::with_capacity(wanted.len());
        let mut applied = Vec::with_capacity(wanted.len());
        let layers_per_block = unet.config().layers_per_block();
        let mut parts = vec![(Part::Unet, layers_of(unet))];
        if !wanted.is_empty() {
            parts.extend(model.text_layers(unet.config())?);
        }
        for used in wanted {
            let lora = LoraFile::open(&used.file)?;
            let fit = lora.fit(&parts, &layers_per_block)?;
            applied.push(AppliedLora {
                file: used.file.clone(),
                scale: used.scale,
                layers: fit.layers,
                unused: fit.unused_in_words(),
            });
            loras.push((used.clone(), lora));
        }
        let to = (place.dtype, place.device.clone());
        set_branches(&scaled(&loras), Part::Unet, &layers_per_block, unet, &to)?;
        self.loras = loras;
        self.applied.loras = applied;
        Ok(())
    }

    /// Puts the LoRAs on a text encoder that was just read.
    pub fn put_on_text(&self, part: TextPart, encoder: &mut ClipTextModel, place: &Place) -> Result<()> {
        let part = Part::of_text(part);
        if self.loras.iter().all(|(_, lora)| !lora.has(part)) {
            return Ok(());
        }
        // Text encoders compute in f32 everywhere; only U-Nets number their layers by blocks.
        let to = (candle_core::DType::F32, place.device.clone());
        set_branches(&scaled(&self.loras), part, &[], encoder, &to)
    }
}

fn scaled(loras: &[(LoraUse, LoraFile)]) -> Vec<(&LoraFile, f64)> {
    loras.iter().map(|(used, lora)| (lora, used.scale.into())).collect()
}

//! The LoRAs, ControlNets and embeddings that are on a loaded model.

use std::path::PathBuf;

use candle_core::Tensor;

use super::{components::ComponentFiles, control_image};
use crate::{
    components::text::{ClipTextModel, TextPart, TextualInversion, Tokenizer},
    device::Compute,
    error::Result,
    families::stable_diffusion::{
        controlnet::ControlNet,
        lora::{Fit, LoraFile, Part, layers_of, put},
        unet::{Unet, UnetConfig},
    },
    model::adapters::{Adapters, AppliedAdapters, AppliedEmbedding, AppliedLora, ControlUse, EmbeddingUse, LoraUse},
};

/// The parts of a model that a prompt goes through.
const TEXT_PARTS: [Part; 2] = [Part::Text(0), Part::Text(1)];

/// Adapters on a model. A change of them reads neither the U-Net nor those that stay.
#[derive(Default)]
pub struct Adapted {
    loras: Vec<(LoraUse, LoraFile)>,
    nets: Vec<(PathBuf, ControlNet)>,
    embeddings: Vec<(EmbeddingUse, TextualInversion)>,
    applied: AppliedAdapters,
}

impl Adapted {
    /// The adapters that act.
    pub fn applied(&self) -> &AppliedAdapters {
        &self.applied
    }

    /// The LoRAs that change a text encoder: what a prompt's states depend on beside the prompt.
    pub(crate) fn text_loras(&self) -> Vec<LoraUse> {
        let of_text = self
            .loras
            .iter()
            .filter(|(_, lora)| TEXT_PARTS.iter().any(|part| lora.has(*part)));
        of_text.map(|(used, _)| used.clone()).collect()
    }

    /// The embeddings that a prompt can name.
    pub fn embeddings(&self) -> Vec<EmbeddingUse> {
        self.embeddings.iter().map(|(used, _)| used.clone()).collect()
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
    pub(super) fn put(
        &mut self,
        adapters: &Adapters,
        model: &ComponentFiles,
        unet: &mut Unet,
        compute: &Compute,
    ) -> Result<()> {
        let wanted = adapters.acting();
        let mut opened = Vec::new();
        for used in &wanted.controls {
            let known = |nets: &[(PathBuf, ControlNet)]| nets.iter().any(|(folder, _)| *folder == used.net);
            if !known(&self.nets) && !known(&opened) {
                let net = control_image::open_net(&used.net, unet.config(), compute.dtype, &compute.device)?;
                opened.push((used.net.clone(), net));
            }
        }
        let embeddings = match wanted.embeddings == self.embeddings() {
            true => None,
            false => Some(open_embeddings(&wanted.embeddings, unet.config())?),
        };
        if wanted.loras.iter().ne(self.loras.iter().map(|(used, _)| used)) {
            self.put_loras(&wanted.loras, model, unet, compute)?;
        }
        if let Some(embeddings) = embeddings {
            self.applied.embeddings = embeddings.iter().map(applied_embedding).collect();
            self.embeddings = embeddings;
        }
        self.nets.append(&mut opened);
        // A net that is only switched off stays read: switching it on again takes no time.
        self.nets
            .retain(|(folder, _)| adapters.controls.iter().any(|used| used.net == *folder));
        self.applied.controls = wanted.controls;
        Ok(())
    }

    fn put_loras(
        &mut self,
        wanted: &[LoraUse],
        model: &ComponentFiles,
        unet: &mut Unet,
        compute: &Compute,
    ) -> Result<()> {
        let mut loras = Vec::with_capacity(wanted.len());
        let mut applied = Vec::with_capacity(wanted.len());
        let layers_per_block = unet.config().layers_per_block();
        let mut parts = vec![(Part::Unet, layers_of(unet))];
        if !wanted.is_empty() {
            parts.extend(model.text_layers(unet.config())?);
        }
        for used in wanted {
            let lora = LoraFile::open(&used.file)?;
            applied.push(applied_lora(used, lora.fit(&parts, &layers_per_block)?));
            loras.push((used.clone(), lora));
        }
        let to = (compute.dtype, compute.device.clone());
        put(&scaled(&loras), Part::Unet, &layers_per_block, unet, &to)?;
        self.loras = loras;
        self.applied.loras = applied;
        Ok(())
    }

    /// Makes the embeddings known to a tokenizer, and gives what the encoder reads for them, by the first of their ids.
    pub(super) fn put_on_tokenizer(&self, part: TextPart, tokenizer: &mut Tokenizer) -> Result<Vec<(u32, Tensor)>> {
        let embeddings = self.embeddings.iter().map(|(_, embedding)| embedding);
        add_to_tokenizer(embeddings, part, tokenizer)
    }

    /// Puts the LoRAs on a text encoder that was just read.
    pub(crate) fn put_on_text(&self, part: TextPart, encoder: &mut ClipTextModel, compute: &Compute) -> Result<()> {
        let part = Part::of_text(part);
        if self.loras.iter().all(|(_, lora)| !lora.has(part)) {
            return Ok(());
        }
        // Text encoders compute in f32 everywhere; only U-Nets number their layers by blocks.
        let to = (candle_core::DType::F32, compute.device.clone());
        put(&scaled(&self.loras), part, &[], encoder, &to)
    }
}

fn applied_embedding((used, embedding): &(EmbeddingUse, TextualInversion)) -> AppliedEmbedding {
    AppliedEmbedding {
        file: used.file.clone(),
        token: embedding.token().to_owned(),
        vectors: embedding.length(),
        in_prompt: false,
    }
}

/// Reads embeddings, and checks that they are for the text that a U-Net attends to.
pub(super) fn open_embeddings(
    wanted: &[EmbeddingUse],
    unet: &UnetConfig,
) -> Result<Vec<(EmbeddingUse, TextualInversion)>> {
    let encoders = if unet.text_time.is_some() { 2 } else { 1 };
    let open = |used: &EmbeddingUse| {
        let embedding = TextualInversion::open(&used.file, used.token.as_deref())?;
        let fits = embedding.check_fits(unet.cross_attention_dim, encoders);
        fits.map_err(|error| error.context(used.file.display()))?;
        Ok((used.clone(), embedding))
    };
    wanted.iter().map(open).collect()
}

/// Adds the tokens of embeddings to a tokenizer.
pub(super) fn add_to_tokenizer<'e>(
    embeddings: impl Iterator<Item = &'e TextualInversion>,
    part: TextPart,
    tokenizer: &mut Tokenizer,
) -> Result<Vec<(u32, Tensor)>> {
    let mut added = Vec::new();
    for embedding in embeddings {
        if let Some(vectors) = embedding.vectors(part) {
            let first = tokenizer.add(embedding.token(), vectors.dims()[0])?;
            added.push((first, vectors.clone()));
        }
    }
    Ok(added)
}

fn scaled(loras: &[(LoraUse, LoraFile)]) -> Vec<(&LoraFile, f64)> {
    loras.iter().map(|(used, lora)| (lora, used.scale.into())).collect()
}

fn applied_lora(used: &LoraUse, fit: Fit) -> AppliedLora {
    AppliedLora {
        file: used.file.clone(),
        scale: used.scale,
        layers: fit.layers,
        kinds: fit.kinds.into_iter().map(str::to_owned).collect(),
        factors: fit.factors.as_ref().map(|factors| factors.range),
        factors_from: fit.factors.map(|factors| factors.source),
    }
}

//! Where the networks of a Stable Diffusion are read from.

use std::path::PathBuf;

use candle_core::{DType, Tensor};

use super::adapter_host::Adapted;
use crate::{
    activation::Progress,
    components::{
        text::{CONTEXT_LENGTH, ClipTextModel, TEXT_WEIGHTS_STEM, TextPart, Tokenizer},
        vae::VaeConfig,
    },
    device::Compute,
    error::{Error, Result},
    families::stable_diffusion::{
        lora::{Part, layers_of},
        single_file::{SingleFile, TextNetwork},
        unet::UnetConfig,
    },
    model::{
        compat::{Compat, LONG_PROMPT_PIECES},
        denoiser::Conditioning,
        tokens::tokens_of,
    },
    nn::adaptable::LayerInfo,
    weights::{DIFFUSERS_STEM, Store, find_weights, open_weights},
};

/// The files of a model, and what its autoencoder is.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) vae: VaeConfig,
    pub(super) parts: ComponentFiles,
}

/// Where each network lies.
#[derive(Clone)]
pub(super) struct ComponentFiles {
    pub(super) source: Source,
    /// Networks in the place of the source's own, under the names of the hub's folders.
    pub(super) given: Given,
}

/// Networks that were given beside a model.
#[derive(Clone, Default)]
pub(super) struct Given {
    pub(super) unet: Option<Store>,
    pub(super) vae: Option<Store>,
    /// In the order of their states.
    pub(super) text: [Option<TextNetwork>; 2],
}

impl Given {
    /// The text encoder in a place.
    pub(super) fn text(&self, part: TextPart) -> Option<&TextNetwork> {
        let [first, second] = &self.text;
        match part {
            TextPart::First => first.as_ref(),
            TextPart::Second => second.as_ref(),
        }
    }
}

/// Where all networks of one model lie.
#[derive(Clone)]
pub(super) enum Source {
    /// A folder of the hub's layout.
    Folder(PathBuf),
    /// One file.
    SingleFile(Box<SingleFile>),
}

impl ComponentFiles {
    /// The U-Net's tensors under diffusers' names.
    pub(super) fn unet(&self) -> Result<Store> {
        match (&self.given.unet, &self.source) {
            (Some(store), _) => Ok(store.clone()),
            (None, Source::Folder(folder)) => open_weights(&folder.join("unet"), DIFFUSERS_STEM),
            (None, Source::SingleFile(file)) => Ok(file.unet_store()),
        }
    }

    /// The autoencoder's tensors under diffusers' names.
    pub(super) fn vae(&self) -> Result<Store> {
        match (&self.given.vae, &self.source) {
            (Some(store), _) => Ok(store.clone()),
            (None, Source::Folder(folder)) => open_weights(&folder.join("vae"), DIFFUSERS_STEM),
            (None, Source::SingleFile(file)) => file.vae_store(),
        }
    }

    /// Whether there are weights for every network that goes with a U-Net of this kind.
    pub(super) fn are_here(&self, unet: &UnetConfig) -> bool {
        let Source::Folder(folder) = &self.source else {
            return true;
        };
        let weights = |name: &str, stem| find_weights(&folder.join(name), stem).is_ok();
        let given = &self.given;
        let text = |part: TextPart| given.text(part).is_some() || weights(part.encoder_folder(), TEXT_WEIGHTS_STEM);
        (given.unet.is_some() || weights("unet", DIFFUSERS_STEM))
            && (given.vae.is_some() || weights("vae", DIFFUSERS_STEM))
            && text(TextPart::First)
            && (unet.text_time.is_none() || text(TextPart::Second))
    }

    pub(super) fn tokenizer(&self, part: TextPart) -> Result<Tokenizer> {
        match (self.given.text(part), &self.source) {
            (Some(given), Source::Folder(folder)) => {
                let folder = folder.join(part.tokenizer_folder());
                given.tokenizer(folder.is_dir().then_some(folder.as_path()))
            }
            (Some(given), Source::SingleFile(file)) => given.tokenizer(file.tokenizer_folder(part).as_deref()),
            (None, Source::Folder(folder)) => Tokenizer::from_folder(&folder.join(part.tokenizer_folder())),
            (None, Source::SingleFile(file)) => file.tokenizer(part),
        }
    }

    /// The text encoder with the LoRAs and embeddings that act.
    fn text_model(
        &self,
        part: TextPart,
        adapted: &Adapted,
        added: &[(u32, Tensor)],
        compute: &Compute,
    ) -> Result<ClipTextModel> {
        let mut model = match (self.given.text(part), &self.source) {
            (Some(given), _) => given.model(&compute.device)?,
            (None, Source::Folder(folder)) => {
                ClipTextModel::from_folder(&folder.join(part.encoder_folder()), &compute.device, DType::F32)?
            }
            (None, Source::SingleFile(file)) => file.text_model(part, &compute.device)?,
        };
        adapted.put_on_text(part, &mut model, compute)?;
        for (first, vectors) in added {
            model.add_tokens(*first, vectors)?;
        }
        Ok(model)
    }

    /// The layers of the text encoders that go with a U-Net. Of their files nothing but headers is read.
    pub(super) fn text_layers(&self, unet: &UnetConfig) -> Result<Vec<(Part, Vec<LayerInfo>)>> {
        let second = unet.text_time.map(|_| TextPart::Second);
        let layers = |part: TextPart| {
            let mut model = match (self.given.text(part), &self.source) {
                (Some(given), _) => given.without_weights()?,
                (None, Source::Folder(folder)) => {
                    ClipTextModel::open_without_weights(&folder.join(part.encoder_folder()))?
                }
                (None, Source::SingleFile(file)) => file.text_without_weights(part)?,
            };
            Ok((Part::of_text(part), layers_of(&mut model)))
        };
        [Some(TextPart::First), second]
            .into_iter()
            .flatten()
            .map(layers)
            .collect()
    }

    /// The states of a prompt for `unet`. Text encoders are large: each is read, used and let go before the next.
    pub(super) fn encode_prompt(
        &self,
        unet: &UnetConfig,
        (prompt, compat): (&str, Option<Compat>),
        adapted: &Adapted,
        compute: &Compute,
        progress: &mut Progress<'_>,
    ) -> Result<Conditioning> {
        let Some(pooling) = unet.text_time else {
            let mut tokenizer = self.tokenizer(TextPart::First)?;
            let added = adapted.put_on_tokenizer(TextPart::First, &mut tokenizer)?;
            let model = self.text_model(TextPart::First, adapted, &added, compute)?;
            let long = prompt.split(' ').count() > LONG_PROMPT_PIECES;
            let runs = match compat {
                None => tokenizer.chunks(prompt)?,
                Some(Compat::Gdf) if long => {
                    // One start and one end for all; every run of ids is encoded from position 0, the last is short.
                    let ids = tokenizer.encode_whole(prompt)?;
                    ids.chunks(CONTEXT_LENGTH).map(<[u32]>::to_vec).collect()
                }
                Some(Compat::Gdf) => cut(tokenizer.chunks(prompt)?),
            };
            let even = runs.windows(2).all(|pair| pair[0].len() == pair[1].len());
            let states = if even {
                model.encode_chunks(&runs, progress)?.last
            } else {
                let each = runs
                    .iter()
                    .map(|run| Ok(model.encode_chunks(std::slice::from_ref(run), progress)?.last));
                Tensor::cat(&each.collect::<Result<Vec<_>>>()?, 1)?
            };
            return Ok(Conditioning {
                mask: None,
                states,
                pooled: None,
                second: None,
                tokens: tokens_of(&tokenizer, &runs).into(),
            });
        };
        // SDXL: the states of both before their last layer, side by side, and the pooled state of the second.
        let mut tokenizers = [self.tokenizer(TextPart::First)?, self.tokenizer(TextPart::Second)?];
        let of_first = adapted.put_on_tokenizer(TextPart::First, &mut tokenizers[0])?;
        let of_second = adapted.put_on_tokenizer(TextPart::Second, &mut tokenizers[1])?;
        let [mut first, mut second] = chunks_of_equal_number(&tokenizers, prompt)?;
        if compat == Some(Compat::Gdf) {
            [first, second] = [cut(first), cut(second)];
        }
        let left = self
            .text_model(TextPart::First, adapted, &of_first, compute)?
            .encode_chunks(&first, &mut |done| progress(done / 2.0))?
            .penultimate;
        let right = self
            .text_model(TextPart::Second, adapted, &of_second, compute)?
            .encode_chunks(&second, &mut |done| progress((1.0 + done) / 2.0))?;
        let (_, pooled) = right.pooled.dims2()?;
        if pooled != pooling.pooled {
            return Err(Error::failed(format!(
                "the U-Net reads a pooled text of width {}, the second text encoder gives {pooled}: they are not of the same model, \
                 or the encoder's file lacks its text_projection.weight",
                pooling.pooled
            )));
        }
        Ok(Conditioning {
            mask: None,
            states: Tensor::cat(&[&left, &right.penultimate], 2)?,
            pooled: Some(right.pooled),
            second: None,
            tokens: tokens_of(&tokenizers[0], &first).into(),
        })
    }
}

/// The chunks of a prompt for both encoders. Their tokenizers have other special tokens, so one of them may need
/// more chunks for a long prompt: the other gets empty ones, and the states fit side by side.
fn chunks_of_equal_number(tokenizers: &[Tokenizer; 2], prompt: &str) -> Result<[Vec<Vec<u32>>; 2]> {
    let mut chunks = [tokenizers[0].chunks(prompt)?, tokenizers[1].chunks(prompt)?];
    let most = chunks.iter().map(Vec::len).max().unwrap_or(0);
    for (chunks, tokenizer) in chunks.iter_mut().zip(tokenizers) {
        let empty = tokenizer.chunks("")?;
        chunks.extend(empty.into_iter().cycle().take(most - chunks.len()));
    }
    Ok(chunks)
}

/// The first chunk: what diffusers leaves of a prompt.
fn cut(mut chunks: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    chunks.truncate(1);
    chunks
}

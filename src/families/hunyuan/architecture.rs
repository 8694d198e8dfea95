//! A configured HunyuanDiT without weights, and with them.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::{Hunyuan, HunyuanConditions, HunyuanConfig, PATCH, catalogue, conditions};
use crate::{
    activation::{Catalogue, Probe, Progress, Stop},
    components::{
        networks::text_dtype,
        text::{
            TEXT_WEIGHTS_STEM, bert::BertEncoder, t5::T5Encoder, t5_tokenizer::T5Tokenizer,
            wordpiece::WordPieceTokenizer,
        },
        vae::{VaeConfig, VaeDecoder, VaeEncoder},
    },
    device::Compute,
    error::{Error, Result},
    geometry::{Grid, Size, framing::SizeRule},
    model::{
        LoadExtent,
        compat::Compat,
        denoiser::{Conditioning, Denoiser, SecondText, Step},
        spec::{Architecture, Network},
        tokens::{bert_tokens, t5_tokens},
    },
    weights::{DIFFUSERS_STEM, Store, find_weights, open_weights},
};

/// Pixels per position of the latent, along a side.
pub(super) const LATENT_STRIDE: usize = 8;

/// The transformer's configuration, and where all networks are.
#[derive(Clone)]
pub(super) struct Configured {
    pub config: HunyuanConfig,
    /// The folder of the hub's layout; none where the model is not on this machine.
    pub files: Option<Files>,
}

/// A folder of the hub's layout, and its autoencoder.
#[derive(Clone)]
pub(super) struct Files {
    pub folder: PathBuf,
    pub vae: VaeConfig,
}

impl Architecture for Configured {
    fn size_rule(&self) -> SizeRule {
        SizeRule::Patches {
            multiple: LATENT_STRIDE * PATCH,
        }
    }

    fn latent_shape(&self, working: Size) -> [usize; 3] {
        let Size { width, height } = working.map(|side| side / LATENT_STRIDE);
        [self.config.in_channels, height, width]
    }

    fn catalogue(&self, working: Size, tokens: usize) -> Catalogue {
        let [_, height, width] = self.latent_shape(working);
        let mut list = catalogue(&self.config, Grid::new(height, width), tokens);
        list.push_decoded(working);
        list
    }

    fn prompt_tokens(&self) -> Option<usize> {
        Some(self.config.tokens())
    }

    fn encode_cost(&self, picture: Size) -> f64 {
        let files = self.files.as_ref();
        files.map_or(0.0, |files| files.vae.encode_cost(picture.pixels()))
    }

    fn is_here(&self) -> bool {
        self.files.as_ref().is_some_and(|files| {
            [
                ("transformer", DIFFUSERS_STEM),
                ("vae", DIFFUSERS_STEM),
                ("text_encoder", TEXT_WEIGHTS_STEM),
                ("text_encoder_2", TEXT_WEIGHTS_STEM),
            ]
            .iter()
            .all(|(name, stem)| find_weights(&files.folder.join(name), stem).is_ok())
        })
    }

    fn load(&self, compute: &Compute, extent: LoadExtent, progress: &mut Progress<'_>) -> Result<Network> {
        const AFTER_VAE: f32 = 0.1;
        let files = self
            .files
            .clone()
            .ok_or_else(|| Error::failed("the model is not on this machine"))?;
        let store = open_weights(&files.folder.join("vae"), DIFFUSERS_STEM)?;
        let vae = VaeEncoder::new(files.vae.clone(), store.var_builder(DType::F32, &compute.device))?;
        progress(AFTER_VAE)?;
        let store = open_weights(&files.folder.join("transformer"), DIFFUSERS_STEM)?;
        check_outline(&store, &self.config)?;
        let network = Hunyuan::new(
            self.config.clone(),
            extent,
            store.var_builder(compute.dtype, &compute.device),
        )?;
        Ok(Network::Denoiser(Box::new(HunyuanDenoiser {
            network,
            vae,
            files,
            compute: compute.clone(),
        })))
    }
}

/// Refuses files whose names and shapes are not those of the whole network, or that hold more than it, before anything is read.
fn check_outline(store: &Store, config: &HunyuanConfig) -> Result<()> {
    let outline = store.without_values();
    // In a format that no operator prepares weights for.
    Hunyuan::new(
        config.clone(),
        LoadExtent::Whole,
        outline.var_builder(DType::F16, &Device::Cpu),
    )?;
    match outline.unread().first() {
        Some(name) => Err(Error::failed(format!(
            "{} holds the tensor {name}, which a HunyuanDiT of this configuration does not have: another version, or a \
             configuration of another network",
            store.label()
        ))),
        None => Ok(()),
    }
}

/// A HunyuanDiT with its weights; the text encoders are read when they are needed.
struct HunyuanDenoiser {
    network: Hunyuan,
    vae: VaeEncoder,
    files: Files,
    compute: Compute,
}

/// Text states in the format of the network.
struct Texts {
    bert: Tensor,
    t5: Tensor,
}

impl HunyuanDenoiser {
    /// The text of a step.
    fn texts(&self, step: &Step<'_>) -> Result<Texts> {
        let (conditioning, second) = text_of(step)?;
        Ok(Texts {
            bert: conditioning.states.to_dtype(self.compute.dtype)?,
            t5: second.states.to_dtype(self.compute.dtype)?,
        })
    }
}

/// Text of both encoders.
fn text_of<'a>(step: &Step<'a>) -> Result<(&'a Conditioning, &'a SecondText)> {
    step.conditioning
        .and_then(|conditioning| Some((conditioning, conditioning.second.as_ref()?)))
        .ok_or_else(|| Error::failed("a transformer that attends to two texts was run without them"))
}

/// What a step is given beside the latent.
fn conditions_of<'a>(step: &Step<'a>, texts: &'a Texts) -> Result<HunyuanConditions<'a>> {
    let (conditioning, second) = text_of(step)?;
    let (_, _, height, width) = step.input.dims4()?;
    Ok(HunyuanConditions {
        bert: &texts.bert,
        bert_mask: conditioning.mask.as_deref().unwrap_or_default(),
        t5: &texts.t5,
        t5_mask: &second.mask,
        size: Size::new(width, height).map(|side| side * LATENT_STRIDE),
    })
}

impl Denoiser for HunyuanDenoiser {
    fn autoencoder(&self) -> Option<&VaeEncoder> {
        Some(&self.vae)
    }

    fn encode_prompt(
        &mut self,
        prompt: &str,
        _: Option<Compat>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Conditioning>> {
        /// The share of the work that is BERT's.
        const BERT_SHARE: f32 = 0.1;
        let (config, device) = (self.network.config(), &self.compute.device);
        let folder = |name: &str| -> PathBuf { Path::new(&self.files.folder).join(name) };
        let words = WordPieceTokenizer::from_folder(&folder("tokenizer"))?.encode(prompt, config.text_len)?;
        let pieces = T5Tokenizer::from_folder(&folder("tokenizer_2"))?.encode(prompt, config.text_len_t5)?;
        let (mask, second_mask) = (words.mask(), pieces.mask());
        let encoder = BertEncoder::from_folder(&folder("text_encoder"), device, DType::F32)?;
        let states = encoder.forward(&words.ids, &mask, &mut |done| progress(BERT_SHARE * done))?;
        drop(encoder);
        let encoder = T5Encoder::from_folder(&folder("text_encoder_2"), device, text_dtype(self.compute.dtype))?;
        let second = encoder.forward(
            std::slice::from_ref(&pieces.ids),
            Some(std::slice::from_ref(&second_mask)),
            &mut |done| progress(BERT_SHARE + (1.0 - BERT_SHARE) * done),
        )?;
        let tokens = [bert_tokens(&words), t5_tokens(&pieces)].concat();
        Ok(Some(Conditioning {
            states,
            mask: Some(mask.into()),
            pooled: None,
            second: Some(SecondText {
                states: second.to_dtype(DType::F32)?,
                mask: second_mask.into(),
            }),
            tokens: tokens.into(),
        }))
    }

    fn predict(&self, step: &Step<'_>, probe: &mut Probe<'_>) -> Result<Tensor, Stop> {
        let texts = self.texts(step)?;
        let timesteps = vec![step.t.value() as f32; step.input.dim(0)?];
        let x = step.input.to_dtype(self.compute.dtype)?;
        self.network
            .forward(&x, &timesteps, &conditions_of(step, &texts)?, probe)
    }

    fn open_decoder(&self) -> Result<VaeDecoder> {
        let store = open_weights(&self.files.folder.join("vae"), DIFFUSERS_STEM)?;
        VaeDecoder::new(
            self.files.vae.clone(),
            store.var_builder(DType::F32, &self.compute.device),
        )
    }

    fn given_beside(&self, step: &Step<'_>) -> Result<Vec<(&'static str, Tensor)>> {
        let texts = self.texts(step)?;
        let conditions = conditions_of(step, &texts)?;
        let (rows, _, height, width) = step.input.dims4()?;
        let mut named = conditions::named(self.network.config(), &conditions, rows)?;
        let time = self.network.time(&vec![step.t.value() as f32; rows], &conditions)?;
        named.push(("mid.temb", time.to_dtype(DType::F32)?));
        let grid = self.network.config().token_grid(Grid::new(height, width));
        let rotation = self.network.rotation(grid, step.input)?;
        // Every turn is of two neighbours, and both are named.
        let of_both = |turns: &Tensor| -> Result<Tensor> {
            let (tokens, pairs) = turns.dims2()?;
            let twice = turns.unsqueeze(2)?.repeat((1, 1, 2))?;
            Ok(twice.reshape((tokens, 2 * pairs))?)
        };
        named.push(("mid.rope_cos", of_both(&rotation.cos)?));
        named.push(("mid.rope_sin", of_both(&rotation.sin)?));
        Ok(named)
    }
}

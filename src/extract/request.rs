//! What the user asks of an extraction, as plain data: it is read from the command line, sent to the worker, and
//! written into every file made from it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{attention::AttentionCategory, finite::NotFiniteTensor, inversion::Inversion, model::Model, pass::VaeMode};
use crate::{
    components::schedule::Timestep,
    device::{DeviceChoice, Precision},
    error::Result,
    geometry::framing::{Framing, WorkingSize},
    model::{
        adapters::{Adapters, AppliedAdapters},
        compat::Compat,
        tokens::PromptToken,
    },
};

/// Format of the numbers in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StoreFormat {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the size, about three digits.
    F16,
}

/// A whole extraction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExtractRequest {
    /// Zoo key, folder or file.
    #[serde(with = "crate::files::names")]
    pub model: String,
    /// The published settings it began with.
    #[serde(default)]
    pub preset: Option<String>,
    /// The pictures.
    #[serde(with = "crate::files::names")]
    pub pictures: Vec<PathBuf>,
    /// One prompt for all pictures.
    pub prompt: String,
    /// The timestep that runs.
    pub t: Timestep,
    /// The working size; none: the short side the model was made for.
    pub size: Option<WorkingSize>,
    /// Seed of the noise.
    pub seed: u64,
    /// File whose `in.noise` (and `in.vae_noise`) replace the seed's numbers.
    #[serde(default, with = "crate::files::names")]
    pub noise_file: Option<PathBuf>,
    /// Which latent is used.
    pub vae: VaeMode,
    /// Noises per picture whose features are averaged.
    pub ensemble: usize,
    /// Where the latent that is looked at comes from.
    #[serde(default)]
    pub inversion: Inversion,
    /// A program whose numbers are wanted; then `t` is the one that is asked of that program.
    #[serde(default)]
    pub compat: Option<Compat>,
    /// LoRAs and ControlNets.
    #[serde(default)]
    pub adapters: Adapters,
    /// `all`, `all-maps`, or ids separated by commas.
    #[serde(with = "crate::files::names")]
    pub activations: String,
    /// Categories of attention maps that are aggregated into `attn`, in this order.
    #[serde(default)]
    pub attention: Vec<AttentionCategory>,
    /// Format computed in.
    pub dtype: Precision,
    /// Device computed on.
    pub device: DeviceChoice,
    /// Adaptive average pooling by this factor.
    pub pool: Option<usize>,
    /// Format of the numbers in the output.
    pub store: StoreFormat,
    /// Whether the inner tensors that are no activations (`mid.*`) are written as well.
    pub intermediates: bool,
    /// Whether tensors with numbers that are not finite are written, and marked in the record.
    #[serde(default)]
    pub allow_non_finite: bool,
}

/// What ran: written beside the request into every output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of this program.
    pub featscope: String,
    /// The folder or file the weights came from.
    #[serde(with = "crate::files::names")]
    pub weights: String,
    /// What is special about the model and is in neither its weights nor the request; files of older versions have none.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The timestep that ran.
    pub t_ran: Timestep,
    /// √ā at that timestep: the picture's share of the mixture.
    pub signal: f64,
    /// √(1−ā): the noise's share.
    pub noise: f64,
    /// √(1−ā)/(√ā+√(1−ā)).
    pub noise_fraction: f64,
    /// Device computed on.
    pub device: String,
    /// Format computed in.
    pub dtype: String,
    /// The LoRAs and ControlNets that acted.
    #[serde(default)]
    pub adapters: AppliedAdapters,
    /// What the text encoder read; files of older versions have none.
    #[serde(default)]
    pub tokens: Vec<PromptToken>,
    /// The pictures with their sizes and how they were framed.
    pub pictures: Vec<FramedPicture>,
    /// The ids recorded, in execution order.
    pub ids: Vec<String>,
    /// What was written, or kept, with numbers that are not finite, in the order of the tensors; files of older versions have
    /// none.
    #[serde(default)]
    pub not_finite: Vec<NotFiniteTensor>,
    /// Seconds from the loaded model to the last activation.
    pub seconds: f64,
}

impl Provenance {
    /// What is known after a pass of `model` at timestep `t` over `pictures`.
    pub fn of(
        model: &Model,
        t: Timestep,
        pictures: Vec<FramedPicture>,
        ids: Vec<String>,
        seconds: f64,
    ) -> Result<Self> {
        let mixture = model.spec.mixture(t)?;
        Ok(Self {
            featscope: env!("CARGO_PKG_VERSION").to_owned(),
            weights: model.spec.weights_label(),
            notes: model.spec.notes.clone(),
            t_ran: t,
            signal: mixture.signal,
            noise: mixture.noise,
            noise_fraction: mixture.noise_fraction(),
            device: model.place.device_name(),
            dtype: model.place.dtype_name().to_owned(),
            adapters: model.applied(),
            tokens: model.tokens().to_vec(),
            pictures,
            ids,
            not_finite: Vec::new(),
            seconds,
        })
    }
}

/// A picture and its place in the working picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FramedPicture {
    /// The file.
    #[serde(with = "crate::files::names")]
    pub path: PathBuf,
    /// Original size, working size and the transform between them.
    pub framing: Framing,
}

/// Request and provenance together: the JSON under the key `featscope` of an output file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What was asked.
    pub request: ExtractRequest,
    /// What ran.
    pub ran: Provenance,
}

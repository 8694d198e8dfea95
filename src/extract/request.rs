//! What the user asks of an extraction, as plain data: it is read from the command line, sent to the worker, and
//! written into every file made from it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer, ser};
use serde_json::Value;

use super::{
    attention::AttentionCategory,
    finite::NotFiniteTensor,
    model::Model,
    select::Select,
    settings::{PassSettings, RunSettings},
};
use crate::{
    components::schedule::{Mixture, Timestep},
    device::{DeviceChoice, Precision},
    error::Result,
    geometry::framing::Framing,
    model::{adapters::AppliedAdapters, classes::ClassTold, compat::Compat, guidance::Guidance, tokens::PromptToken},
};

/// Format of the numbers in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreFormat {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the size, about three digits.
    F16,
}

/// What becomes of the activations of an extraction on their way into a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutputOptions {
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

/// A whole extraction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ExtractRequest {
    /// Short name, folder or file.
    #[serde(with = "crate::files::names")]
    pub model: String,
    /// The published settings it began with.
    #[serde(default)]
    pub preset: Option<String>,
    /// The pictures.
    #[serde(with = "crate::files::names")]
    pub pictures: Vec<PathBuf>,
    /// What the pass is run with.
    #[serde(flatten, serialize_with = "with_unset")]
    pub settings: RunSettings,
    /// File whose `in.noise` (and `in.vae_noise`) replace the seed's numbers.
    #[serde(default, with = "crate::files::names")]
    pub noise_file: Option<PathBuf>,
    /// Which activations are recorded.
    #[serde(rename = "activations")]
    pub select: Select,
    /// Categories of attention maps that are aggregated into `attn`, in this order.
    #[serde(default)]
    pub attention: Vec<AttentionCategory>,
    /// Format computed in.
    pub dtype: Precision,
    /// Device computed on.
    pub device: DeviceChoice,
    /// What becomes of the activations.
    #[serde(flatten)]
    pub output: OutputOptions,
}

impl ExtractRequest {
    /// The request as JSON for the record of what ran: of an image encoder without the settings of a denoiser.
    ///
    /// # Errors
    ///
    /// Where it cannot be written as JSON.
    pub fn read_in(&self, ran: &Provenance) -> serde_json::Result<Value> {
        /// Of the settings, what an encoder reads; beside them, what it does not.
        const SIZE: &str = "size";
        const NOISE_FILE: &str = "noise_file";
        let mut request = serde_json::to_value(self)?;
        let settings = serde_json::to_value(RunSettings {
            compat: Some(Compat::Gdf),
            ..self.settings.clone()
        })?;
        if let (None, Value::Object(request), Value::Object(settings)) = (ran.mixture, &mut request, settings) {
            request.retain(|key, _| key == SIZE || key != NOISE_FILE && !settings.contains_key(key));
        }
        Ok(request)
    }
}

/// Writes settings as they stand in the records of outputs: these name `compat` where none is set, too.
fn with_unset<S: Serializer>(settings: &RunSettings, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct WithUnset<'a> {
        #[serde(flatten)]
        settings: &'a RunSettings,
        /// A unit is written as null.
        #[serde(skip_serializing_if = "Option::is_none")]
        compat: Option<()>,
    }
    let compat = settings.compat.is_none().then_some(());
    WithUnset { settings, compat }.serialize(serializer)
}

/// What ran of a denoiser.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MixtureRan {
    /// The timestep that ran.
    pub t_ran: Timestep,
    /// √ā at that timestep: the picture's share of the mixture.
    pub signal: f64,
    /// √(1−ā): the noise's share.
    pub noise: f64,
    /// √(1−ā)/(√ā+√(1−ā)).
    pub noise_fraction: f64,
}

impl MixtureRan {
    /// Of shares of picture and noise at a timestep.
    pub fn new(t_ran: Timestep, mixture: Mixture) -> Self {
        Self {
            t_ran,
            signal: mixture.signal,
            noise: mixture.noise,
            noise_fraction: mixture.noise_fraction(),
        }
    }
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
    /// What ran of a denoiser; an image encoder has neither timestep nor noise.
    #[serde(flatten)]
    pub mixture: Option<MixtureRan>,
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
    /// The guidance scale that the network was told; none where it reads none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<Guidance>,
    /// The class that the network was told; none where it reads none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ClassTold>,
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
    /// What is known after a pass of `model` over `pictures`.
    pub fn of(
        model: &Model,
        settings: &PassSettings,
        pictures: Vec<FramedPicture>,
        ids: Vec<String>,
        seconds: f64,
    ) -> Self {
        let working = pictures.first().map(|picture| picture.framing.working);
        let ran = working.and_then(|working| settings.at(&model.spec, working).ok());
        let settings = ran.as_deref().unwrap_or(settings);
        Self {
            featscope: env!("CARGO_PKG_VERSION").to_owned(),
            weights: model.spec.weights_label(),
            notes: model.spec.notes.clone(),
            mixture: (!model.spec.is_encoder()).then(|| MixtureRan::new(settings.t, settings.mixture)),
            device: model.place.device_name(),
            dtype: model.place.dtype_name().to_owned(),
            adapters: model.applied(),
            tokens: model.tokens().to_vec(),
            guidance: model.spec.reads_guidance().then_some(settings.run.guidance),
            class: settings.class.clone(),
            pictures,
            ids,
            not_finite: Vec::new(),
            seconds,
        }
    }

    /// The timestep that ran; none of an image encoder.
    pub fn t_ran(&self) -> Option<Timestep> {
        self.mixture.map(|mixture| mixture.t_ran)
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Record {
    /// What was asked. What an image encoder does not read of it is not written.
    pub request: ExtractRequest,
    /// What ran.
    pub ran: Provenance,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            request: Value,
            ran: &'a Provenance,
        }
        let request = self.request.read_in(&self.ran).map_err(ser::Error::custom)?;
        Written {
            request,
            ran: &self.ran,
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        extract::{inversion::Inversion, settings::LatentMode},
        geometry::framing::WorkingSize,
    };

    /// A request as every version since the first has written it into outputs.
    fn written() -> Value {
        json!({
            "model": "sd15",
            "preset": null,
            "pictures": ["cat.png"],
            "prompt": "a cat",
            "t": 51,
            "size": null,
            "seed": u64::MAX,
            "noise_file": null,
            "vae": "sample",
            "ensemble": 2,
            "inversion": "ddim",
            "compat": null,
            "adapters": { "loras": [], "controls": [], "embeddings": [] },
            "activations": "b1, b2",
            "attention": [],
            "dtype": "f16",
            "device": "cuda:1",
            "pool": 4,
            "store": "f16",
            "intermediates": true,
            "allow_non_finite": false,
        })
    }

    fn request() -> ExtractRequest {
        ExtractRequest {
            model: "sd15".to_owned(),
            pictures: vec![PathBuf::from("cat.png")],
            settings: RunSettings {
                prompt: "a cat".to_owned(),
                t: 51.into(),
                seed: u64::MAX,
                ensemble: 2,
                latent: LatentMode::Sample,
                inversion: Inversion::Ddim,
                ..RunSettings::default()
            },
            select: Select::of("b1, b2"),
            dtype: Precision::F16,
            device: DeviceChoice::Cuda(1),
            output: OutputOptions {
                pool: Some(4),
                store: StoreFormat::F16,
                intermediates: true,
                allow_non_finite: false,
            },
            ..ExtractRequest::default()
        }
    }

    #[test]
    fn the_json_of_requests_stays_what_it_was() -> Result<(), serde_json::Error> {
        assert_eq!(serde_json::to_value(request())?, written());
        assert_eq!(serde_json::from_value::<ExtractRequest>(written())?, request());
        let mut first = written();
        if let Value::Object(fields) = &mut first {
            // Keys that the first version did not know.
            for key in ["preset", "noise_file", "compat", "attention", "allow_non_finite"] {
                fields.remove(key);
            }
        }
        assert_eq!(serde_json::from_value::<ExtractRequest>(first)?, request());
        Ok(())
    }

    #[test]
    fn settings_alone_name_no_program_where_none_is_set() -> Result<(), serde_json::Error> {
        let mut settings = request().settings;
        assert_eq!(serde_json::to_value(&settings)?.get("compat"), None);
        settings.compat = Some(Compat::Gdf);
        assert_eq!(serde_json::to_value(&settings)?["compat"], "gdf");
        let request = ExtractRequest { settings, ..request() };
        assert_eq!(serde_json::to_value(request)?["compat"], "gdf");
        Ok(())
    }

    #[test]
    fn requests_arrive_at_a_worker_as_they_were_sent() -> Result<(), Box<dyn std::error::Error>> {
        let mut with_all = request();
        with_all.settings.compat = Some(Compat::Gdf);
        with_all.settings.size = Some(WorkingSize::Exact {
            width: 512,
            height: 768,
        });
        with_all.settings.t = "195.5".parse()?;
        with_all.select = Select::LayerFile("layers.json".into());
        with_all.attention = vec![AttentionCategory::UpCross];
        for request in [request(), with_all] {
            let message = rmp_serde::to_vec_named(&request)?;
            assert_eq!(rmp_serde::from_slice::<ExtractRequest>(&message)?, request);
        }
        Ok(())
    }
}

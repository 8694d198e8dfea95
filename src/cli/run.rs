//! What the commands that run a model share: which model, and how a pass is run.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::Args;

use super::{
    adapters::{ControlArgument, EmbeddingArgument, LoraArgument, parser},
    choices::choice,
    values::{ClassAsked, ExactSize, MemorySize, Timesteps, text_or_path, whole},
};
use crate::{
    components::schedule::Timestep,
    device::{DeviceChoice, Precision},
    error::{Error, Result},
    extract::{
        inversion::Inversion,
        preset::Preset,
        request::ExtractRequest,
        select::Select,
        settings::{LatentMode, RunSettings},
    },
    families::{name::with_files, resolve},
    geometry::framing::WorkingSize,
    io::writers::file_writer_of,
    model::{adapters::Adapters, compat::Compat, guidance::Guidance},
};

/// Networks in the place of a model's own.
#[derive(Debug, Clone, Default, Args)]
pub struct NetworkArguments {
    /// Take this autoencoder: for a model file that has none, or in the place of the model's own; a file or a folder
    #[arg(long, value_name = "FILE")]
    pub vae_file: Option<PathBuf>,
    /// Take this text encoder: for a model file that has none, or in the place of the model's own; a file or a folder, for
    /// SDXL given twice
    #[arg(long, value_name = "FILE")]
    pub text_encoder: Vec<PathBuf>,
}

impl NetworkArguments {
    /// The name of `model` with these networks.
    pub fn on(&self, model: &str) -> Result<String> {
        with_files(model, self.vae_file.as_deref(), &self.text_encoder)
    }
}

/// What `extract`, `match`, `rank` and `survey` share.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Model: a zoo key, a folder, a file, or OWNER/NAME in the hub's cache; MODEL+FILE takes the U-Net of another file or folder
    #[arg(long, short, value_name = "M", value_parser = text_or_path(), required_unless_present = "preset")]
    pub model: Option<String>,
    /// Networks in the place of its own.
    #[command(flatten)]
    pub networks: NetworkArguments,
    /// Published settings (`featscope presets` lists them): model, size, t, ensemble, prompt and activations, each unless
    /// it is given
    #[arg(long, value_name = "KEY")]
    pub preset: Option<String>,
    /// One prompt for all pictures
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// The class that a class-conditional model (DiT, SiT, REPA) is told: its number, or null [default: null]
    #[arg(long, value_name = "N|null", value_parser = <ClassAsked as FromStr>::from_str, allow_hyphen_values = true)]
    pub class: Option<ClassAsked>,
    /// The timestep that RUNS (with --compat: the one asked of that program). Of several, separated by commas or given one by
    /// one, each is a pass: `rank` makes one table of them, the others write each beside or in --out, as `-t50` or `t50`.
    /// Image encoders have none [default: the model's own]
    #[arg(
        long,
        short,
        visible_alias = "timestep",
        value_name = "N",
        value_parser = <Timesteps as FromStr>::from_str,
        allow_hyphen_values = true
    )]
    pub t: Vec<Timesteps>,
    /// The timestep before the shift of the model's own schedule, from 0 to 1000, in place of --t (flow models: Flux, SD3)
    #[arg(
        long,
        value_name = "N",
        value_parser = <Timestep as FromStr>::from_str,
        allow_hyphen_values = true,
        conflicts_with_all = ["t", "compat"]
    )]
    pub nominal_t: Option<Timestep>,
    /// The guidance scale that a distilled model (Flux.1 dev) is told [default: 1]
    #[arg(long, value_name = "X", value_parser = <Guidance as FromStr>::from_str, allow_hyphen_values = true)]
    pub guidance: Option<Guidance>,
    /// Resize to exactly this, W x H or one number for both (the papers' way: the aspect ratio is lost)
    #[arg(
        long,
        value_name = "WxH|S",
        conflicts_with = "short_side",
        allow_hyphen_values = true
    )]
    pub size: Option<ExactSize>,
    /// Keep the aspect ratio: this many pixels on the short side; without --size and --short-side the model's own
    #[arg(long, value_name = "S", value_parser = whole::<usize>, allow_hyphen_values = true)]
    pub short_side: Option<usize>,
    /// Seed of the noise: the numbers of PyTorch's CPU generator
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u64>, allow_hyphen_values = true)]
    pub seed: u64,
    /// A safetensors file whose in.noise (and in.vae_noise) are used instead of the seed's numbers
    #[arg(long, value_name = "FILE")]
    pub noise: Option<PathBuf>,
    /// Latent: the posterior's mean, or a sample of it [default: mean]
    #[arg(long, value_name = "KIND", value_parser = choice::<LatentMode>())]
    pub vae: Option<LatentMode>,
    /// Average the features of this many noises [default: 1]
    #[arg(long, value_name = "K", value_parser = whole::<usize>, allow_hyphen_values = true)]
    pub ensemble: Option<usize>,
    /// Where the latent comes from: the picture mixed with noise, or DDIM inversion
    #[arg(long, value_name = "KIND", default_value = "none", value_parser = choice::<Inversion>())]
    pub inversion: Inversion,
    /// Make the numbers of another program where this one differs on purpose
    #[arg(long, value_name = "PROGRAM", value_parser = choice::<Compat>())]
    pub compat: Option<Compat>,
    /// Put a LoRA on the model: a file, a folder or OWNER/NAME in the hub's cache, with `:scale` behind it if it is not 1; may
    /// be given several times
    #[arg(long, value_name = "FILE[:SCALE]", value_parser = parser(LoraArgument::of))]
    pub lora: Vec<LoraArgument>,
    /// Put a ControlNet beside the model: its folder, its file or OWNER/NAME in the hub's cache, and `canny` (edges of the
    /// picture) or a picture it looks at; may be given several times
    #[arg(long, value_name = "NET=canny|IMAGE[:SCALE]", value_parser = parser(ControlArgument::of))]
    pub control: Vec<ControlArgument>,
    /// Let the prompt name a textual-inversion embedding: a file, with the token that stands for it behind `=` if it is not the
    /// file's own; may be given several times
    #[arg(long, value_name = "FILE[=TOKEN]", value_parser = parser(EmbeddingArgument::of))]
    pub embedding: Vec<EmbeddingArgument>,
    /// Format computed in; a CPU computes in f32 whatever is asked
    #[arg(long, value_name = "FORMAT", default_value = "f32", value_parser = choice::<Precision>())]
    pub dtype: Precision,
    /// Device computed on: auto (the first GPU that passes its check, else the CPU), cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = <DeviceChoice as FromStr>::from_str)]
    pub device: DeviceChoice,
    /// How much memory the weights of a network may take at a time, such as 6GiB: a larger network is read block by block in
    /// every pass [default: three fourths of the main memory that is free; on a GPU as much as they are]
    #[arg(long, value_name = "SIZE", value_parser = <MemorySize as FromStr>::from_str)]
    pub weights_memory: Option<MemorySize>,
}

impl RunArguments {
    /// The published settings named, if any.
    pub fn preset(&self) -> Result<Option<&'static Preset>> {
        self.preset.as_deref().map(Preset::find).transpose()
    }

    /// The requests these arguments are, for some pictures and activations: one for each timestep, in the order given, each
    /// timestep once. No activations are those of the preset.
    pub fn requests(&self, pictures: &[PathBuf], activations: &str) -> Result<Vec<ExtractRequest>> {
        let mut steps: Vec<Option<Timestep>> = Vec::new();
        for t in self.t.iter().flat_map(|steps| &steps.0) {
            if !steps.contains(&Some(*t)) {
                steps.push(Some(*t));
            }
        }
        if steps.is_empty() {
            steps.push(None);
        }
        let requests = steps
            .into_iter()
            .map(|t| self.request_at(t, pictures.to_vec(), activations));
        let mut requests = requests.collect::<Result<Vec<_>>>()?;
        if let [first, _, ..] = requests.as_slice()
            && resolve(&first.model)?.is_encoder()
        {
            // Timesteps that it does not read are no other passes.
            requests.truncate(1);
        }
        Ok(requests)
    }

    /// The same of commands that write: each request with the place of its output, which is `out` unless there are several.
    pub fn outputs(
        &self,
        pictures: &[PathBuf],
        activations: &str,
        out: &Path,
    ) -> Result<Vec<(ExtractRequest, PathBuf)>> {
        let requests = self.requests(pictures, activations)?;
        let several = requests.len() > 1;
        let place = |t| if several { place_at(out, t) } else { out.to_owned() };
        let placed = requests.into_iter().map(|request| {
            let out = place(request.settings.t);
            (request, out)
        });
        Ok(placed.collect())
    }

    fn request_at(&self, t: Option<Timestep>, pictures: Vec<PathBuf>, activations: &str) -> Result<ExtractRequest> {
        let preset = self.preset()?;
        let model = self.model.as_deref().or(preset.map(|preset| preset.model));
        let model = self.networks.on(model.ok_or_else(no_model)?)?;
        let settings = self.settings(t, preset, &model)?;
        Ok(ExtractRequest {
            model,
            preset: preset.map(|preset| preset.key.to_owned()),
            pictures,
            settings,
            noise_file: self.noise.clone(),
            select: match preset {
                Some(preset) if activations.is_empty() => preset.select(),
                _ => Select::of(activations),
            },
            dtype: self.dtype,
            device: self.device,
            ..ExtractRequest::default()
        })
    }

    /// What a pass is run with: what is given, else what the preset says.
    fn settings(&self, t: Option<Timestep>, preset: Option<&Preset>, model: &str) -> Result<RunSettings> {
        let published = preset.map(|preset| preset.settings(self.compat));
        let default_t = published.as_ref().map(|published| published.t);
        let RunSettings {
            prompt, size, ensemble, ..
        } = published.unwrap_or_default();
        if let (None, Some(words)) = (&self.prompt, Preset::open_words(&prompt)) {
            return Err(Error::usage(format!(
                "the prompt of this preset is \"{prompt}\": give it as --prompt, with a word in place of {words}"
            )));
        }
        let exact = self.size.map(WorkingSize::from);
        let given_size = exact.or(self.short_side.map(WorkingSize::ShortSide));
        Ok(RunSettings {
            prompt: self.prompt.clone().unwrap_or(prompt),
            class: self.class.and_then(|class| class.0),
            t: match self.nominal_t.or(t).or(default_t) {
                Some(t) => t,
                None => resolve(model)?.default_t,
            },
            nominal_t: self.nominal_t.is_some(),
            guidance: self.guidance.unwrap_or_default(),
            seed: self.seed,
            ensemble: self.ensemble.unwrap_or(ensemble),
            latent: self.vae.unwrap_or_default(),
            size: given_size.or(size),
            inversion: self.inversion,
            compat: self.compat,
            adapters: Adapters {
                loras: self.lora.iter().map(|lora| lora.0.clone()).collect(),
                controls: self.control.iter().map(|control| control.0.clone()).collect(),
                embeddings: self.embedding.iter().map(|embedding| embedding.0.clone()).collect(),
            },
        })
    }
}

fn no_model() -> Error {
    Error::usage("neither --model nor --preset is given (--help lists the arguments)")
}

/// Where one of several timesteps is written: a file beside the one that is named, or a folder in it.
fn place_at(out: &Path, t: Timestep) -> PathBuf {
    if file_writer_of(out).is_none() {
        return out.join(format!("t{t}"));
    }
    file_at(out, t)
}

/// Where one of several timesteps is written whose output is a file whatever its ending is.
pub fn file_at(out: &Path, t: Timestep) -> PathBuf {
    let mut name = out.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-t{t}"));
    if let Some(ending) = out.extension() {
        name.push(".");
        name.push(ending);
    }
    out.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_several_timesteps_has_its_place() {
        for (out, t, place) in [
            ("a/maps.safetensors", "50", "a/maps-t50.safetensors"),
            ("maps.NPZ", "195.5", "maps-t195.5.NPZ"),
            ("maps", "0", "maps/t0"),
            ("run.1", "7", "run.1/t7"),
        ] {
            let t = t.parse().expect("a timestep");
            assert_eq!(place_at(Path::new(out), t), Path::new(place));
        }
    }
}

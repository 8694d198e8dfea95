//! The arguments of the command line.

use std::{path::PathBuf, str::FromStr};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{OsStringValueParser, PathBufValueParser, TypedValueParser},
};

use super::{
    adapters::{ControlArgument, EmbeddingArgument, LoraArgument, parser},
    ranking::RankArguments,
    survey::SurveyArguments,
};
use crate::{
    analysis::correspondence::Method,
    app::LaunchOptions,
    components::schedule::Timestep,
    device::{DeviceChoice, Precision},
    error::{Error, Result},
    extract::{
        attention::AttentionCategory,
        inversion::Inversion,
        pass::LatentMode,
        preset::Preset,
        request::{ExtractRequest, StoreFormat},
    },
    families::name::with_files,
    files::names,
    geometry::framing::WorkingSize,
    model::{adapters::Adapters, compat::Compat},
    weights::hub::{MAIN, Variant},
};

/// Shows what a diffusion model sees: any inner activation, live, on your own picture.
#[derive(Debug, Parser)]
#[command(name = "featscope", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// Without a command the window opens.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What the window opens with.
    #[command(flatten)]
    pub window: WindowArguments,
}

/// What the window opens with.
#[derive(Debug, Clone, Default, Args)]
pub struct WindowArguments {
    /// Pictures to open, the first as A, the next as B and so on; or a workspace (.featscope.json)
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Model: a zoo key, a folder, a file, or OWNER/NAME in the hub's cache; MODEL+FILE takes the U-Net of another file or folder
    #[arg(long, value_name = "M", value_parser = text_or_path())]
    pub model: Option<String>,
}

impl From<&WindowArguments> for LaunchOptions {
    fn from(arguments: &WindowArguments) -> Self {
        Self {
            files: arguments.files.clone(),
            model: arguments.model.clone(),
        }
    }
}

/// The commands that need no window.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List a model's activations: ids, shapes, bytes, in execution order
    Layers(LayersArguments),
    /// Write activations of pictures into a file or a folder
    Extract(ExtractArguments),
    /// Make PCA pictures of extracted activations
    Pca(PcaArguments),
    /// Find in target pictures what corresponds to points of a source picture
    Match(MatchArguments),
    /// Score activations by how well they find marked points again: pairs of a source and a target picture
    Rank(RankArguments),
    /// Measure every activation of pictures: noise, locality, granularity; thumbnails, a table and a page
    Survey(SurveyArguments),
    /// Draw the window without a display, as a PNG
    Shot(ShotArguments),
    /// Write every pane of a workspace as it is shown, and what made it, into a folder
    Export(ExportArguments),
    /// List published settings: what `--preset` takes
    Presets(PresetsArguments),
    /// Say which models there are, and download them
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Say what this machine has to compute and draw with, and check that every device computes what the CPU computes
    Doctor(DoctorArguments),
    /// What the program starts as its worker.
    #[command(hide = true)]
    Worker(WorkerArguments),
}

/// `featscope doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Do not ask the hub whether it answers
    #[arg(long)]
    pub offline: bool,
}

/// `featscope worker`.
#[derive(Debug, Args)]
pub struct WorkerArguments {
    /// Print what devices it has, as JSON, and end
    #[arg(long)]
    pub probe: bool,
    /// With --probe: check every GPU in every format
    #[arg(long, requires = "probe")]
    pub self_check: bool,
}

/// `featscope presets`.
#[derive(Debug, Args)]
pub struct PresetsArguments {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `featscope models …`.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// A line per model, its key first
    List,
    /// Download a model into the cache that Python's huggingface_hub uses, and print its folder
    Get(GetArguments),
}

/// `featscope models get`.
#[derive(Debug, Args)]
pub struct GetArguments {
    /// Model: a zoo key, or the name of a repository of the hub, as OWNER/NAME
    #[arg(value_name = "M")]
    pub model: String,
    /// Which weights: full, or fp16 of half the size; where only one of them exists, that one
    #[arg(long, default_value = "full", value_parser = <Variant as FromStr>::from_str)]
    pub variant: Variant,
    /// Branch, tag or commit
    #[arg(long, value_name = "R", default_value = MAIN)]
    pub revision: String,
    /// This file of the repository alone, instead of a model
    #[arg(long, value_name = "PATH", conflicts_with = "variant")]
    pub file: Option<String>,
}

/// `featscope layers`.
#[derive(Debug, Args)]
pub struct LayersArguments {
    /// Model: a zoo key, a folder, a file, or OWNER/NAME in the hub's cache; MODEL+FILE takes the U-Net of another file or folder
    #[arg(long, value_name = "M", value_parser = text_or_path())]
    pub model: String,
    /// Networks in the place of its own.
    #[command(flatten)]
    pub networks: NetworkArguments,
    /// Working size, W x H or one number for both; without it the size the model was made for
    #[arg(long, value_name = "WxH|S", allow_hyphen_values = true)]
    pub size: Option<ExactSize>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

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

/// What `extract` and `match` share.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Model: a zoo key, a folder, a file, or OWNER/NAME in the hub's cache; MODEL+FILE takes the U-Net of another file or folder
    #[arg(long, value_name = "M", value_parser = text_or_path(), required_unless_present = "preset")]
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
    /// The timestep that RUNS (with --compat: the one asked of that program); `rank` takes several, separated by commas
    #[arg(
        long,
        value_name = "N",
        value_parser = <Timesteps as FromStr>::from_str,
        allow_hyphen_values = true,
        required_unless_present = "preset"
    )]
    pub t: Option<Timesteps>,
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
    #[arg(long, value_name = "KIND")]
    pub vae: Option<LatentMode>,
    /// Average the features of this many noises [default: 1]
    #[arg(long, value_name = "K", value_parser = whole::<usize>, allow_hyphen_values = true)]
    pub ensemble: Option<usize>,
    /// Where the latent comes from: the picture mixed with noise, or DDIM inversion
    #[arg(long, value_name = "KIND", default_value = "none")]
    pub inversion: Inversion,
    /// Make the numbers of another program where this one differs on purpose
    #[arg(long, value_name = "PROGRAM")]
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
    #[arg(long, value_name = "FORMAT", default_value = "f32")]
    pub dtype: Precision,
    /// Device computed on: auto (the first GPU that passes its check, else the CPU), cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = <DeviceChoice as FromStr>::from_str)]
    pub device: DeviceChoice,
}

/// Where something is to be written.
pub(super) fn place() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.as_os_str() == "-" {
        true => {
            Err("nothing is written to standard output: name a file or a folder (./- for one that is called \"-\")")
        }
        false => Ok(path),
    })
}

/// One timestep, or several separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timesteps(Vec<Timestep>);

impl FromStr for Timesteps {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// `featscope extract`.
#[derive(Debug, Args)]
pub struct ExtractArguments {
    /// What runs.
    #[command(flatten)]
    pub run: RunArguments,
    /// The pictures
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub image: Vec<PathBuf>,
    /// `all` (every id but attention maps), `all-maps` (every id), a layer file (.json), or ids separated by commas
    #[arg(
        long,
        value_name = "IDS",
        num_args = 1..,
        value_parser = text_or_path(),
        required_unless_present_any = ["attention", "preset"]
    )]
    pub activations: Vec<String>,
    /// Also write `attn`: attention maps averaged over heads and layers, for these categories in this order
    #[arg(long, value_name = "CATEGORIES", value_delimiter = ',')]
    pub attention: Vec<AttentionCategory>,
    /// Adaptive average pooling to (h/R, w/R)
    #[arg(long, value_name = "R", value_parser = whole::<usize>, allow_hyphen_values = true)]
    pub pool: Option<usize>,
    /// Format of the numbers in the output
    #[arg(long, value_name = "FORMAT", default_value = "f32")]
    pub store: StoreFormat,
    /// Also write the inner tensors that are no activations (mid.*)
    #[arg(long)]
    pub intermediates: bool,
    /// Write activations with NaN or infinite numbers too, and say in the output which they are
    #[arg(long)]
    pub allow_non_finite: bool,
    /// A path that ends in .safetensors is one file, anything else a folder of .npy files
    #[arg(long, value_name = "FILE.safetensors|DIR", value_parser = place())]
    pub out: PathBuf,
}

/// `featscope pca`.
#[derive(Debug, Args)]
pub struct PcaArguments {
    /// Outputs of `extract`: safetensors files, folders of .npy files, or .npy files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Which activations
    #[arg(long, value_name = "ID", num_args = 1.., required = true)]
    pub id: Vec<String>,
    /// Which picture of each file, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<usize>, allow_hyphen_values = true)]
    pub image_index: usize,
    /// Fit one basis over all ids and files given, so that colours mean the same in all of them
    #[arg(long, conflicts_with = "reference")]
    pub joint: bool,
    /// Exactly generic-diffusion-feature's picture: exact solver, minimum to maximum per component, 255·x cut off
    #[arg(long)]
    pub reference: bool,
    /// A path that ends in .png is one picture, anything else a folder
    #[arg(long, value_name = "PNG|DIR", value_parser = place())]
    pub out: PathBuf,
}

/// How correspondences are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MatchMethod {
    /// The cell under the point against all cells
    Grid,
    /// Features enlarged to the pictures' own sizes, then compared, as DIFT does
    Dift,
}

/// `featscope match`.
#[derive(Debug, Args)]
pub struct MatchArguments {
    /// What runs.
    #[command(flatten)]
    pub run: RunArguments,
    /// The picture the points are in
    #[arg(long, value_name = "FILE")]
    pub source: PathBuf,
    /// The pictures searched
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub target: Vec<PathBuf>,
    /// A point of the source, in its own pixels; may be given several times
    #[arg(long, value_name = "X,Y", required = true, allow_hyphen_values = true)]
    pub at: Vec<Point>,
    /// The activation compared
    #[arg(long, value_name = "ID", value_parser = text_or_path())]
    pub activations: String,
    /// How
    #[arg(long, value_name = "METHOD", default_value = "grid")]
    pub method: MatchMethod,
    /// Folder for matches.json and a heat map per target and point
    #[arg(long, value_name = "DIR", value_parser = place())]
    pub out: PathBuf,
}

impl From<MatchMethod> for Method {
    fn from(method: MatchMethod) -> Self {
        match method {
            MatchMethod::Grid => Self::Grid,
            MatchMethod::Dift => Self::Dift,
        }
    }
}

/// What `shot` and `export` share.
#[derive(Debug, Args)]
pub struct DrawArguments {
    /// A workspace (.featscope.json); without it the pictures given, or what a fresh window shows
    #[arg(long, value_name = "FILE")]
    pub workspace: Option<PathBuf>,
    /// Pictures, where no workspace is given: the first becomes A, the next B and so on
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "workspace")]
    pub image: Vec<PathBuf>,
    /// Model, where the workspace does not name one
    #[arg(long, value_name = "M", value_parser = text_or_path())]
    pub model: Option<String>,
    /// Size of the window, W x H points
    #[arg(long, value_name = "WxH", default_value = "1400x900", allow_hyphen_values = true)]
    pub size: ExactSize,
    /// Pixels per point
    #[arg(long, value_name = "S", default_value_t = 1.0, allow_hyphen_values = true)]
    pub scale: f32,
    /// Dark or light
    #[arg(long, value_name = "THEME", default_value = "dark")]
    pub theme: ThemeChoice,
    /// Do something by its name in the menus first, such as "Keys"; may be given several times
    #[arg(long = "do", value_name = "NAME")]
    pub actions: Vec<String>,
}

/// Dark or light.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThemeChoice {
    /// For dark rooms.
    Dark,
    /// For bright rooms.
    Light,
}

/// `featscope shot`.
#[derive(Debug, Args)]
pub struct ShotArguments {
    /// What is drawn.
    #[command(flatten)]
    pub draw: DrawArguments,
    /// The picture
    #[arg(long, value_name = "PNG", value_parser = place())]
    pub out: PathBuf,
}

/// `featscope export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// What is drawn.
    #[command(flatten)]
    pub draw: DrawArguments,
    /// Folder for a PNG per pane and panes.json
    #[arg(long, value_name = "DIR", value_parser = place())]
    pub out: PathBuf,
}

/// Text that may be a path, as [`names::text`] writes it, whatever the path's bytes.
pub(super) fn text_or_path() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(names::text)
}

/// A whole number that is not negative.
pub(super) fn whole<N: TryFrom<u128>>(text: &str) -> std::result::Result<N, String> {
    let number = text
        .trim()
        .parse::<u128>()
        .ok()
        .and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| {
        let bits = 8 * size_of::<N>();
        format!("a whole number from 0 on, of up to {bits} bits, is expected")
    })
}

/// A working size: `WxH`, or one number for both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactSize {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl From<ExactSize> for WorkingSize {
    fn from(size: ExactSize) -> Self {
        Self::Exact {
            width: size.width,
            height: size.height,
        }
    }
}

impl FromStr for ExactSize {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (width, height) = text.split_once(['x', 'X']).unwrap_or((text, text));
        let side = |text: &str| {
            let side: Option<usize> = text.trim().parse().ok().filter(|side| *side > 0);
            side.ok_or_else(|| "a size is WIDTHxHEIGHT or one number for both, in pixels".to_owned())
        };
        Ok(Self {
            width: side(width)?,
            height: side(height)?,
        })
    }
}

/// A point of a picture, in its own pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Column.
    pub x: f64,
    /// Row.
    pub y: f64,
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number = |text: &str| text.trim().parse().ok().filter(|x: &f64| x.is_finite());
        text.split_once(',')
            .and_then(|(x, y)| {
                Some(Self {
                    x: number(x)?,
                    y: number(y)?,
                })
            })
            .ok_or_else(|| "a point is X,Y in pixels".to_owned())
    }
}

impl RunArguments {
    /// The published settings named, if any.
    pub fn preset(&self) -> Result<Option<&'static Preset>> {
        self.preset.as_deref().map(Preset::find).transpose()
    }

    /// The request these arguments are, for some pictures and activations; no activations are those of the preset.
    pub fn request(&self, pictures: Vec<PathBuf>, activations: String) -> Result<ExtractRequest> {
        match self.t.as_ref().map_or(&[][..], |steps| &steps.0) {
            [] => self.request_at(None, pictures, activations),
            [t] => self.request_at(Some(*t), pictures, activations),
            several => Err(Error::usage(format!(
                "--t: one timestep runs here, {} are given: ask for one after the other",
                several.len()
            ))),
        }
    }

    /// The same of commands that run several timesteps: a request for each, in the order given, each timestep once.
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
            .map(|t| self.request_at(t, pictures.to_vec(), activations.to_owned()));
        requests.collect()
    }

    fn request_at(&self, t: Option<Timestep>, pictures: Vec<PathBuf>, activations: String) -> Result<ExtractRequest> {
        let preset = self.preset()?;
        let missing = |what: &str| Error::usage(format!("neither {what} nor --preset is given"));
        let size = self.size.map(WorkingSize::from);
        let size = size.or(self.short_side.map(WorkingSize::ShortSide));
        let prompt = self.prompt.as_deref().or(preset.map(|preset| preset.prompt));
        let prompt = prompt.unwrap_or_default();
        if let (None, Some(words)) = (&self.prompt, Preset::open_words(prompt)) {
            return Err(Error::usage(format!(
                "the prompt of this preset is \"{prompt}\": give it as --prompt, with a word in place of {words}"
            )));
        }
        let nominal = self.compat.is_some();
        let preset_t = preset.map(|preset| if nominal { preset.nominal_t } else { preset.t });
        let preset_model = preset.map(|preset| preset.model.to_owned());
        Ok(ExtractRequest {
            model: self
                .networks
                .on(&self.model.clone().or(preset_model).ok_or_else(|| missing("--model"))?)?,
            preset: preset.map(|preset| preset.key.to_owned()),
            pictures,
            prompt: prompt.to_owned(),
            t: t.or(preset_t).ok_or_else(|| missing("--t"))?,
            size: size.or(preset.map(Preset::size)),
            seed: self.seed,
            noise_file: self.noise.clone(),
            vae: self.vae.unwrap_or_default(),
            ensemble: self.ensemble.or(preset.map(|preset| preset.ensemble)).unwrap_or(1),
            inversion: self.inversion,
            compat: self.compat,
            adapters: Adapters {
                loras: self.lora.iter().map(|lora| lora.0.clone()).collect(),
                controls: self.control.iter().map(|control| control.0.clone()).collect(),
                embeddings: self.embedding.iter().map(|embedding| embedding.0.clone()).collect(),
            },
            activations: match preset {
                Some(preset) if activations.is_empty() => preset.activations(),
                _ => activations,
            },
            attention: Vec::new(),
            dtype: self.dtype,
            device: self.device,
            pool: None,
            store: StoreFormat::default(),
            intermediates: false,
            allow_non_finite: false,
        })
    }
}

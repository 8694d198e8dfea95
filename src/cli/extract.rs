//! `featscope extract`.

use std::{collections::BTreeSet, path::PathBuf, time::Instant};

use clap::Args;

use super::{
    choices::choice,
    pictures::pictures,
    run::RunArguments,
    terminal,
    told::{self, PictureLog},
    values::{place, text_or_path, whole},
};
use crate::{
    components::text::MAX_PROMPT_TOKENS,
    device::Precision,
    error::{Error, Result},
    extract::{
        attention::AttentionCategory,
        finite::NotFiniteTensor,
        inversion::Inversion,
        job::{self, Planned},
        model::Model,
        request::{ExtractRequest, OutputOptions, StoreFormat},
        settings::PassSettings,
    },
    families::resolve,
    io::writers::{check_output, in_a_sentence, map_extensions},
    model::{spec::ModelSpec, tokens::TokenRole},
    sources::{FeatureSource, open_device},
};

/// What `--out` takes.
fn help_of_out() -> String {
    format!(
        "A path that ends in {} is one file (.npy holds one activation, without what made it), anything else a folder of .npy \
         files",
        in_a_sentence(&map_extensions())
    )
}

/// Kept activations above this are announced before the work begins.
const ANNOUNCED_BYTES: usize = 4 << 30;

/// `featscope extract`.
#[derive(Debug, Args)]
pub struct ExtractArguments {
    /// What runs.
    #[command(flatten)]
    pub run: RunArguments,
    /// The pictures: files, folders of them, patterns such as 'photos/*.jpg', samples such as sample:photo-cat
    #[arg(long, short, visible_alias = "images", value_name = "FILE|DIR", num_args = 1.., required = true)]
    pub image: Vec<PathBuf>,
    /// `all` (every id but attention maps), `all-maps` (every id), a layer file (.json), or ids separated by commas, patterns
    /// such as 'up-*-cross-q' among them
    #[arg(
        long,
        short = 'l',
        visible_aliases = ["layers", "layer"],
        value_name = "IDS",
        num_args = 1..,
        value_parser = text_or_path(),
        required_unless_present_any = ["attention", "preset"]
    )]
    pub activations: Vec<String>,
    /// Also write `attn`: attention maps averaged over heads and layers, for these categories in this order
    #[arg(long, value_name = "CATEGORIES", value_delimiter = ',', value_parser = choice::<AttentionCategory>())]
    pub attention: Vec<AttentionCategory>,
    /// Adaptive average pooling to (h/R, w/R)
    #[arg(long, value_name = "R", value_parser = whole::<usize>, allow_hyphen_values = true)]
    pub pool: Option<usize>,
    /// Format of the numbers in the output
    #[arg(long, value_name = "FORMAT", default_value = "f32", value_parser = choice::<StoreFormat>())]
    pub store: StoreFormat,
    /// Also write the inner tensors that are no activations (mid.*)
    #[arg(long)]
    pub intermediates: bool,
    /// Write activations with NaN or infinite numbers too, and say in the output which they are
    #[arg(long)]
    pub allow_non_finite: bool,
    #[arg(long, short, value_name = "FILE.safetensors|DIR", value_parser = place(), help = help_of_out())]
    pub out: PathBuf,
}

/// Extracts activations into a file or a folder.
pub fn extract(arguments: &ExtractArguments) -> Result<()> {
    check_output(&arguments.out)?;
    let pictures = pictures(&arguments.image)?;
    let asked = arguments
        .run
        .outputs(&pictures, &arguments.activations.join(","), &arguments.out)?;
    let mut passes = Vec::new();
    for (asked, out) in asked {
        let request = ExtractRequest {
            attention: arguments.attention.clone(),
            output: OutputOptions {
                pool: arguments.pool,
                store: arguments.store,
                intermediates: arguments.intermediates,
                allow_non_finite: arguments.allow_non_finite,
            },
            ..asked
        };
        passes.push((job::plan(resolve(&request.model)?, &request)?, request, out));
    }
    let Some((planned, request, _)) = passes.first() else {
        return Err(Error::usage("no timestep was given"));
    };
    say_of_pictures([planned]);
    if let Some(preset) = arguments.run.preset()? {
        terminal::note(&format!("{}: {}", preset.key, preset.describe()));
    }
    say_of_settings(&arguments.run, &planned.spec);
    passes
        .iter()
        .for_each(|(planned, ..)| say_which_t_runs(planned.settings()));
    if planned.control_changes_nothing() {
        terminal::note(
            "--control changes nothing here: ControlNets add to what the up stage takes in, and no activation asked for lies \
             behind that",
        );
    }
    for category in planned.empty_attention() {
        terminal::note(&format!(
            "--attention {category} adds nothing: none of its layers has from (S/32)² to (S/16)² positions, S the longer side"
        ));
    }
    let bytes = planned.estimated_bytes();
    if bytes > ANNOUNCED_BYTES {
        terminal::note(&format!(
            "keeping {:.1} GiB in memory until everything is written",
            bytes as f64 / (1 << 30) as f64
        ));
    }
    for (planned, request, out) in &passes {
        planned.check_output(request, out)?;
    }
    let bar = terminal::progress("extracting");
    let mut watch = terminal::watch(&bar);
    let mut model = planned.load(request, open_device(request.device, request.dtype)?, &mut watch)?;
    bar.suspend(|| say_what_computes(&model, request));
    model.adapt(&request.settings.adapters)?;
    bar.suspend(|| say_how_loras_act(&model));
    let count = passes.len() as f32;
    for (index, (planned, request, out)) in passes.into_iter().enumerate() {
        let started = Instant::now();
        let settings = planned.settings().clone();
        let mut log = PictureLog::new("extracting", &planned);
        let written = planned.write(&request, &mut model, &out, &mut |done, item| {
            log.picture(item.map_or(1, |[number, _]| number));
            watch(job::after_loading((index as f32 + done) / count))
        })?;
        bar.suspend(|| {
            say_what_is_not_finite(&written.not_finite, &model.cause_of_non_finite(&settings, None));
            terminal::wrote(&out, &told::tensors(&written), started);
        });
    }
    bar.suspend(|| say_what_is_special(&model));
    Ok(())
}

/// One line if tensors were written with numbers that are not finite.
fn say_what_is_not_finite(marked: &[NotFiniteTensor], cause: &str) {
    const SHOWN: usize = 5;
    let Some(first) = marked.first() else { return };
    let names: Vec<&str> = marked.iter().take(SHOWN).map(|tensor| tensor.name.as_str()).collect();
    let more = match marked.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    terminal::note(&format!(
        "written with numbers that are not finite, as the output's record says: {}{more}; in the first, {}; {cause}",
        names.join(", "),
        first.numbers
    ));
}

/// One line for each LoRA: what it is, and at which scale it acts.
pub fn say_how_loras_act(model: &Model) {
    for lora in model.applied().loras {
        terminal::note(&format!("{}: {}", lora.file.display(), lora.describe()));
    }
}

/// One line for each thing that there is to say about the files of pictures.
pub fn say_of_pictures<'a>(planned: impl IntoIterator<Item = &'a Planned>) {
    let notes: BTreeSet<&String> = planned.into_iter().flat_map(|planned| &planned.notes).collect();
    notes.into_iter().for_each(|note| terminal::note(note));
}

/// One line where another timestep runs than the one that was asked for.
fn say_which_t_runs(settings: &PassSettings) {
    let (t, asked) = (settings.t, settings.run.t);
    if settings.run.compat.is_some() {
        terminal::note(&format!(
            "t {t} runs where generic-diffusion-feature is asked for {asked}"
        ));
    } else if settings.run.nominal_t {
        terminal::note(&format!(
            "t {t} runs for the nominal {asked}, through the shift of the model's schedule"
        ));
    }
}

/// One line where the model's own timestep runs, and one for each option that the model does not use.
pub fn say_of_settings(run: &RunArguments, spec: &ModelSpec) {
    let is_own = run.t.is_empty() && run.nominal_t.is_none() && run.preset.is_none() && !spec.is_encoder();
    if is_own {
        terminal::note(&format!(
            "t {} is taken, the model's own, as no --t is given",
            spec.default_t
        ));
    }
    say_what_is_not_used(run, spec);
}

/// One line for each option that the model does not use.
fn say_what_is_not_used(run: &RunArguments, spec: &ModelSpec) {
    if spec.is_encoder() {
        say_what_an_encoder_does_not_use(run, spec);
        return;
    }
    for (option, given, is_read, what) in [
        ("--prompt", run.prompt.is_some(), spec.reads_prompt(), "text"),
        (
            "--guidance",
            run.guidance.is_some(),
            spec.reads_guidance(),
            "guidance scale",
        ),
        ("--class", run.class.is_some(), spec.classes().is_some(), "classes"),
        ("--vae", run.vae.is_some(), spec.has_autoencoder(), "autoencoder"),
    ] {
        if given && !is_read {
            terminal::note(&format!("{option} is not used: {} has no {what}", spec.name));
        }
    }
}

/// One line if there are options of denoisers.
fn say_what_an_encoder_does_not_use(run: &RunArguments, spec: &ModelSpec) {
    let options = [
        ("--t", !run.t.is_empty()),
        ("--prompt", run.prompt.is_some()),
        ("--nominal-t", run.nominal_t.is_some()),
        ("--guidance", run.guidance.is_some()),
        ("--class", run.class.is_some()),
        ("--noise", run.noise.is_some()),
        ("--seed", run.seed != 0),
        ("--vae", run.vae.is_some()),
        ("--ensemble", run.ensemble.is_some()),
        ("--inversion", run.inversion != Inversion::None),
    ];
    let given: Vec<&str> = options
        .iter()
        .filter(|(_, given)| *given)
        .map(|(option, _)| *option)
        .collect();
    if !given.is_empty() {
        let are = if given.len() == 1 { "is" } else { "are" };
        terminal::note(&format!(
            "{} {are} not used: {} is an image encoder, which has no noise, no timestep, no prompt and no latent",
            given.join(", "),
            spec.name
        ));
    }
}

/// One line for each thing that is special about the model that ran, and about how it read the prompt.
pub fn say_what_is_special(model: &Model) {
    let count = |role| model.tokens().iter().filter(|token| token.role == role).count();
    let (words, runs) = (count(TokenRole::Word), count(TokenRole::Start));
    if runs > 1 {
        terminal::note(&format!(
            "the prompt has {words} tokens: it was read as {runs} runs of up to {MAX_PROMPT_TOKENS}, each with its own start and end"
        ));
    }
    for embedding in model
        .applied()
        .embeddings
        .iter()
        .filter(|embedding| !embedding.in_prompt)
    {
        terminal::note(&format!(
            "{} changes nothing: the prompt does not name \"{}\"",
            embedding.file.display(),
            embedding.token
        ));
    }
    for note in &model.spec.notes {
        terminal::note(note);
    }
}

/// One line if the model computes in another format than asked for.
pub fn say_what_computes(model: &Model, request: &ExtractRequest) {
    if request.dtype != Precision::F32 && model.place.dtype_name() == "f32" {
        terminal::note("a CPU computes in f32: --dtype changes nothing here");
    }
}

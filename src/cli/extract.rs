//! `featscope extract`.

use std::collections::BTreeSet;

use super::{
    args::{ExtractArguments, RunArguments},
    terminal,
};
use crate::{
    components::text::MAX_PROMPT_TOKENS,
    device::Precision,
    error::Result,
    extract::{
        finite::{NotFiniteTensor, likely_cause},
        job::{self, Planned},
        model::Model,
        request::ExtractRequest,
    },
    families::resolve,
    io::output::check_writable,
    model::{spec::ModelSpec, tokens::TokenRole},
};

/// Kept activations above this are announced before the work begins.
const ANNOUNCED_BYTES: usize = 4 << 30;

/// Extracts activations into a file or a folder.
pub fn extract(arguments: &ExtractArguments) -> Result<()> {
    check_writable(&arguments.out)?;
    let asked = arguments
        .run
        .request(arguments.image.clone(), arguments.activations.join(","))?;
    let request = ExtractRequest {
        pool: arguments.pool,
        store: arguments.store,
        intermediates: arguments.intermediates,
        allow_non_finite: arguments.allow_non_finite,
        attention: arguments.attention.clone(),
        ..asked
    };
    let planned = job::plan(resolve(&request.model)?, &request)?;
    say_of_pictures([&planned]);
    if let Some(preset) = arguments.run.preset()? {
        terminal::note(&format!("{}: {}", preset.key, preset.in_words()));
    }
    if let Some(compat) = request.compat {
        let runs = compat.t(&planned.spec, request.t)?;
        terminal::note(&format!(
            "t {runs} runs where generic-diffusion-feature is asked for {}",
            request.t
        ));
    }
    say_what_is_not_used(&arguments.run, &planned.spec);
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
    planned.check_output(&arguments.out)?;
    let bar = terminal::progress("extracting");
    let mut watch = terminal::watch(&bar);
    let mut model = planned.load(&request, &mut watch)?;
    bar.suspend(|| say_what_computes(&model, &request));
    model.adapt(&request.adapters)?;
    bar.suspend(|| say_how_loras_act(&model));
    let settings = planned.settings().clone();
    let marked = planned.write(&request, &mut model, &arguments.out, &mut |done, _| {
        watch(job::after_loading(done))
    })?;
    bar.suspend(|| {
        say_what_is_not_finite(&marked, &likely_cause(&model, &settings, None));
        say_what_is_special(&model);
    });
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

/// One line for each option that the model does not use.
pub fn say_what_is_not_used(run: &RunArguments, spec: &ModelSpec) {
    if spec.reads_prompt() {
        return;
    }
    for (option, given) in [("--prompt", run.prompt.is_some()), ("--vae", run.vae.is_some())] {
        if given {
            terminal::note(&format!(
                "{option} is not used: {} has neither text nor autoencoder",
                spec.name
            ));
        }
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

//! `featscope extract`.

use std::{collections::HashSet, path::PathBuf};

use super::{
    args::{ExtractArguments, RunArguments},
    terminal,
};
use crate::{
    error::{Error, Result},
    extract::{
        job::{self, Planned},
        model::{Model, Precision},
        output::{UnfinishedFolder, check_writable, is_file_path, write_folder},
        request::ExtractRequest,
        spec::ModelSpec,
    },
};

/// Kept activations above this are announced before the work begins.
const ANNOUNCED_BYTES: usize = 4 << 30;

/// Extracts activations into a file or a folder.
pub fn extract(arguments: &ExtractArguments) -> Result<()> {
    arguments.run.check()?;
    check_writable(&arguments.out)?;
    let request = ExtractRequest {
        pool: arguments.pool,
        store: arguments.store,
        intermediates: arguments.intermediates,
        ..arguments
            .run
            .request(arguments.image.clone(), arguments.activations.join(","))
    };
    let planned = job::plan(&request)?;
    say_what_is_not_used(&arguments.run, &planned.spec);
    let bytes = planned.estimated_bytes();
    if bytes > ANNOUNCED_BYTES {
        terminal::note(&format!(
            "keeping {:.1} GiB in memory until everything is written",
            bytes as f64 / (1 << 30) as f64
        ));
    }
    let one_file = is_file_path(&arguments.out);
    if !planned.has_one_size() && one_file {
        return Err(Error::usage(format!(
            "the pictures have different working sizes ({}): give one with --size, or a folder as --out",
            planned.sizes()
        )));
    }
    let bar = terminal::progress("extracting");
    let mut watch = terminal::watch(&bar);
    let mut model = job::load(&planned.spec, &request, &mut watch)?;
    bar.suspend(|| say_what_computes(&model, &request));
    let mut watch = |done| watch(job::after_loading(done));
    if planned.has_one_size() {
        let extracted = planned.run(&request, &mut model, &mut watch)?;
        extracted.write(&arguments.out, arguments.store)
    } else {
        write_folder(&arguments.out, |folder| {
            extract_apart(planned, &request, &mut model, folder, &mut watch)
        })
    }
}

/// Pictures of different working sizes: one folder each.
fn extract_apart(
    planned: Planned,
    request: &ExtractRequest,
    model: &mut Model,
    out: &UnfinishedFolder,
    watch: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<()> {
    let alone = planned.split();
    let total = alone.len() as f32;
    let mut taken = HashSet::new();
    for (index, planned) in alone.iter().enumerate() {
        let pictures: Vec<PathBuf> = planned.pictures.iter().map(|(path, _)| path.clone()).collect();
        let folder = out.folder(&folder_name(&pictures, &mut taken))?;
        let request = ExtractRequest {
            pictures,
            ..request.clone()
        };
        let extracted = planned.run(&request, model, &mut |done| watch((index as f32 + done) / total))?;
        extracted.write_into(&folder, request.store)?;
    }
    Ok(())
}

/// A folder named after a picture; pictures of the same name are counted.
fn folder_name(pictures: &[PathBuf], taken: &mut HashSet<String>) -> String {
    let stem = pictures
        .first()
        .and_then(|path| path.file_stem())
        .map(|stem| stem.to_string_lossy().into_owned());
    let stem = stem.unwrap_or_else(|| "picture".to_owned());
    let mut name = stem.clone();
    let mut count = 1;
    while !taken.insert(name.clone()) {
        count += 1;
        name = format!("{stem}-{count}");
    }
    name
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

/// One line if the model computes in another format than asked for.
pub fn say_what_computes(model: &Model, request: &ExtractRequest) {
    if request.dtype != Precision::F32 && model.place.dtype_name() == "f32" {
        terminal::note("a CPU computes in f32: --dtype changes nothing here");
    }
}

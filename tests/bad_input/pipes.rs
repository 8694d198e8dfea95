//! Named pipes in the place of files: refused before they are opened, as nothing may ever be written to them.
#![cfg(unix)]

use std::{fs, path::Path};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::Request;
use crate::common::{
    TestResult, model,
    program::{Place, run},
};

fn pipe(path: &Path) -> TestResult {
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}

#[test]
fn weights_and_adapters() -> TestResult {
    let place = Place::new();
    for name in ["p.pt", "p.safetensors"] {
        pipe(&place.path(name))?;
    }
    let model = model("tiny-sd15").display().to_string();
    for option in ["--lora", "--noise"] {
        for name in ["p.pt", "p.safetensors"] {
            let mut request = Request::of_sd15(&place);
            request
                .with(option, &place.text(name))
                .refused(&place, 1, &[name, "a named pipe"]);
        }
    }
    for named in [place.text("p.pt"), format!("{model}+{}", place.text("p.pt"))] {
        let ran = run(["layers", "--model", named.as_str()]);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    }
    Ok(())
}

#[test]
fn files_of_a_folder() -> TestResult {
    for file in [
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "scheduler/scheduler_config.json",
    ] {
        let place = Place::new();
        let folder = place.copy(&model("tiny-sd15"), "model");
        let path = place.path("model").join(file);
        fs::remove_file(&path)?;
        pipe(&path)?;
        let mut request = Request::of_sd15(&place);
        request.with("--model", &folder);
        request.run().refused(1, &[]);
    }
    Ok(())
}

#[test]
fn saved_outputs() -> TestResult {
    let place = Place::new();
    for name in ["p.npy", "p.safetensors"] {
        pipe(&place.path(name))?;
        let file = place.text(name);
        // What a .npy file holds has the file's own name.
        run(["pca", &file, "--id", "p", "--out", &place.text("o.png")]).refused(1, &[name, "a named pipe"]);
    }
    Ok(())
}

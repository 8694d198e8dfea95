//! The command line that extracts what is recommended.

use std::path::PathBuf;

use serde_json::Value;

use crate::{
    activation::Id,
    extract::inversion::Inversion,
    extract::settings::{LatentMode, RunSettings},
    files::names,
    geometry::framing::WorkingSize,
    model::adapters::{ControlImage, Scale},
};

/// The file that it writes.
const OUT: &str = "features.safetensors";

/// `featscope extract …` for an activation of a model with these settings, as a POSIX shell takes it.
pub fn extract_command(model: &str, settings: &RunSettings, pictures: &[PathBuf], id: Id, is_encoder: bool) -> String {
    let mut words: Vec<String> = ["featscope", "extract", "-m"].map(str::to_owned).to_vec();
    words.push(quoted(&names::shown(model)));
    words.push("-i".to_owned());
    words.extend(pictures.iter().map(|path| quoted(&path.to_string_lossy())));
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), quoted(&value)]);
    if !is_encoder {
        let name = if settings.nominal_t { "--nominal-t" } else { "--t" };
        option(name, settings.t.to_string());
        if settings.seed != 0 {
            option("--seed", settings.seed.to_string());
        }
        if !settings.prompt.is_empty() {
            option("--prompt", settings.prompt.clone());
        }
        if let Some(class) = settings.class {
            option("--class", class.to_string());
        }
        if !settings.guidance.is_default() {
            option("--guidance", f64::from(settings.guidance).to_string());
        }
        if settings.latent != LatentMode::default() {
            option("--vae", word_of(&settings.latent));
        }
        if settings.inversion != Inversion::None {
            option("--inversion", word_of(&settings.inversion));
        }
        if let Some(compat) = &settings.compat {
            option("--compat", word_of(compat));
        }
        let scaled = |text: String, scale: Scale| match scale == Scale::ONE {
            true => text,
            false => format!("{text}:{}", f64::from(scale)),
        };
        for lora in settings.adapters.loras.iter().filter(|lora| lora.on) {
            option("--lora", scaled(lora.file.to_string_lossy().into_owned(), lora.scale));
        }
        for control in settings.adapters.controls.iter().filter(|control| control.on) {
            let image = match &control.image {
                ControlImage::Canny => "canny".to_owned(),
                ControlImage::Picture(path) => path.to_string_lossy().into_owned(),
            };
            option(
                "--control",
                scaled(format!("{}={image}", control.net.to_string_lossy()), control.scale),
            );
        }
        for embedding in settings.adapters.embeddings.iter().filter(|embedding| embedding.on) {
            let file = embedding.file.to_string_lossy();
            option(
                "--embedding",
                match &embedding.token {
                    Some(token) => format!("{file}={token}"),
                    None => file.into_owned(),
                },
            );
        }
    }
    match settings.size {
        Some(WorkingSize::Exact { width, height }) => option("--size", format!("{width}x{height}")),
        Some(WorkingSize::ShortSide(side)) => option("--short-side", side.to_string()),
        None => {}
    }
    option("-l", id.to_string());
    option("-o", OUT.to_owned());
    words.join(" ")
}

/// What an option takes for a setting: its word in records.
fn word_of(setting: &impl serde::Serialize) -> String {
    match serde_json::to_value(setting) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

/// A word as a shell takes it.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-:=,+@%".contains(letter);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_that_is_not_usual_is_on_the_line() {
        let pictures = [PathBuf::from("a cat's.png"), PathBuf::from("sample:noto-fox")];
        let settings = RunSettings {
            t: 50.into(),
            seed: 3,
            prompt: "a cat".to_owned(),
            size: Some(WorkingSize::Exact {
                width: 512,
                height: 256,
            }),
            ..RunSettings::default()
        };
        assert_eq!(
            extract_command("demo", &settings, &pictures, Id::of("b11"), false),
            "featscope extract -m demo -i 'a cat'\\''s.png' sample:noto-fox --t 50 --seed 3 --prompt 'a cat' --size 512x256 \
             -l b11 -o features.safetensors"
        );
        let settings = RunSettings {
            inversion: Inversion::Ddim,
            latent: LatentMode::Sample,
            ..RunSettings::default()
        };
        let line = extract_command("demo", &settings, &pictures[1..], Id::of("b11"), false);
        assert!(line.contains("--t 0 --vae sample --inversion ddim -l"), "{line}");
        let line = extract_command("dinov2", &settings, &pictures[1..], Id::of("out"), true);
        assert_eq!(
            line,
            "featscope extract -m dinov2 -i sample:noto-fox -l out -o features.safetensors"
        );
    }
}

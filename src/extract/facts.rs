//! What made a map, in words: for captions of figures and for pages.

use std::path::Path;

use super::{
    inversion::Inversion,
    request::Provenance,
    settings::{LatentMode, RunSettings},
};
use crate::files::names;

/// Caption and value of everything that a map depends on beside its picture, the most asked for first. What a model does not
/// read is left out: an image encoder has neither timestep nor noise.
pub fn facts(model: &str, settings: &RunSettings, ran: &Provenance) -> Vec<(&'static str, String)> {
    let mut facts = vec![("model", names::shown(model).into_owned())];
    if let Some(mixture) = ran.mixture {
        let t = match mixture.t_ran == settings.t {
            true => mixture.t_ran.to_string(),
            false => format!("{} (asked for {})", mixture.t_ran, settings.t),
        };
        facts.push(("t", t));
        facts.push(("noise", noise(settings, mixture.noise_fraction)));
        facts.push(("seed", settings.seed.to_string()));
        facts.push(("ensemble", settings.ensemble.to_string()));
    }
    if let Some(picture) = ran.pictures.first() {
        let working = picture.framing.working;
        facts.push(("size", format!("{} x {}", working.width, working.height)));
    }
    facts.push(("dtype", ran.dtype.clone()));
    facts.push(("device", ran.device.clone()));
    if !ran.tokens.is_empty() {
        facts.push(("prompt", format!("\"{}\"", settings.prompt)));
    }
    if let Some(class) = &ran.class {
        let name = class.name.clone().unwrap_or_else(|| "none".to_owned());
        facts.push(("class", format!("{} ({name})", class.row)));
    }
    facts.extend(ran.guidance.map(|guidance| ("guidance", guidance.to_string())));
    let adapters = adapters(ran);
    if !adapters.is_empty() {
        facts.push(("adapters", adapters.join(", ")));
    }
    facts.push(("weights", names::shown(&ran.weights).into_owned()));
    facts.push(("program", format!("featscope {}", ran.featscope)));
    facts
}

/// Where the latent at the timestep is from.
fn noise(settings: &RunSettings, fraction: f64) -> String {
    let from = match settings.inversion {
        Inversion::None => format!("{:.1} % of the mixture", 100.0 * fraction),
        Inversion::Ddim => "DDIM inversion".to_owned(),
    };
    match settings.latent {
        LatentMode::Mean => from,
        LatentMode::Sample => format!("{from}, latent sampled"),
    }
}

/// The files of what acted beside the model.
fn adapters(ran: &Provenance) -> Vec<String> {
    let adapters = &ran.adapters;
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned()
    };
    let loras = adapters.loras.iter().map(|lora| name(&lora.file));
    let controls = adapters.controls.iter().map(|control| name(&control.net));
    let embeddings = adapters.embeddings.iter().map(|embedding| name(&embedding.file));
    loras.chain(controls).chain(embeddings).collect()
}

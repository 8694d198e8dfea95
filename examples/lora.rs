//! How much a LoRA changes every activation of a picture: the cosine between the features with it and without.
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

use std::path::{Path, PathBuf};

use featscope::{
    analysis::similarity::mean_cosine_between,
    model::adapters::{Adapters, LoraUse, Scale},
    prelude::*,
};

/// The ids with the mean cosine over the cells, in execution order.
pub(crate) fn run(model: &str, picture: &Path, lora: PathBuf, ids: &[&str]) -> Result<Vec<(Id, f64)>> {
    let mut model = Model::open(model)?;
    let without = model.extract(picture).at(100).select(ids).run()?;
    let mut settings = model.settings();
    settings.adapters = Adapters {
        loras: vec![LoraUse {
            file: lora,
            scale: Scale::ONE,
            on: true,
        }],
        ..Adapters::default()
    };
    let with = model.extract(picture).settings(settings).at(100).select(ids).run()?;
    let ids = without.ids();
    ids.map(|id| {
        Ok((
            id,
            mean_cosine_between(without.map(id.as_str())?, with.map(id.as_str())?)?,
        ))
    })
    .collect()
}

#[allow(dead_code, reason = "the test of the examples calls `run` itself")]
fn main() -> Result<()> {
    let lora = PathBuf::from("style.safetensors");
    for (id, cosine) in run("sd-1.5", Path::new("picture.png"), lora, &["up-level1-repeat1-res-out"])? {
        println!("{id} {cosine:.4}");
    }
    Ok(())
}

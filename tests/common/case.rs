//! A case of the reference through the library, as `featscope extract --intermediates` runs it.

use std::{collections::HashMap, error::Error};

use candle_core::{DType, Device, Tensor};
use featscope::{
    activation::{Catalogue, no_progress},
    device::Compute,
    extract::{job::plan, model::Model, request::ExtractRequest},
    families::resolve,
    model::LoadExtent,
};
use serde_json::{Value, json};

use super::{ATOL_REL, case_file, case_json, compare, expected, model, numbers};

pub type Tensors = HashMap<String, Tensor>;

/// What the reference keeps for itself.
const NOT_OURS: [&str; 4] = [
    "mid.negative_prompt_embeds",
    "mid.negative_pooled_prompt_embeds",
    "mid.all_timesteps",
    "mid.first_unet_in",
];
/// Cosines that the short formats have to reach in every activation.
const SHORT_FORMATS: [(DType, f64); 2] = [(DType::F16, 0.9995), (DType::BF16, 0.99)];

/// The request of a case: every activation and map, and the inner tensors.
pub fn request(case: &str) -> Value {
    let json = case_json(case);
    let images = json["images"].as_array().expect("a case has pictures").iter();
    let images: Vec<_> = images
        .map(|name| case_file(case, name.as_str().expect("a file name")))
        .collect();
    let name = json["model"].as_str().expect("a case has a model");
    json!({
        "model": model(name.trim_start_matches("models/")),
        "pictures": images,
        "prompt": json["prompt"].as_str().unwrap_or_default(),
        "class": json["class"],
        "t": json["t_ran"],
        "size": {"Exact": {"width": json["width"], "height": json["height"]}},
        "seed": 0,
        "noise_file": case_file(case, "expected.safetensors"),
        "vae": if json["vae"] == "sample" { "sample" } else { "mean" },
        "ensemble": 1,
        "activations": "all-maps",
        "dtype": "f32",
        "device": "cpu",
        "pool": null,
        "store": "f32",
        "intermediates": true,
    })
}

/// What a request gives in a format, by id and by name of an inner tensor.
pub fn extract(request: Value, dtype: DType) -> Result<Tensors, Box<dyn Error>> {
    let request: ExtractRequest = serde_json::from_value(request)?;
    let planned = plan(resolve(&request.model)?, &request)?;
    // For a user a CPU computes in f32.
    let place = Compute {
        device: Device::Cpu,
        dtype,
    };
    let mut model = Model::load(&planned.spec, place, LoadExtent::Whole, &mut no_progress)?;
    let extracted = planned.run(&request, &mut model, &mut no_progress)?;
    let activations = extracted
        .activations
        .into_iter()
        .map(|(id, array)| (id.to_string(), array));
    activations
        .chain(extracted.intermediates)
        .map(|(name, array)| Ok((name, array.to_tensor(DType::F32, &Device::Cpu)?)))
        .collect()
}

/// The worst error of a case in units of each tensor's standard deviation: of every activation that the reference has, and of every
/// inner tensor, all of them made from pictures, noise, prompt and class.
pub fn parity(case: &str) -> Result<f64, Box<dyn Error>> {
    extras(case)?;
    worst(case, &extract(request(case), DType::F32)?)
}

/// Compares what is offered beside the list of activations, which is selected by its name alone.
fn extras(case: &str) -> Result<(), Box<dyn Error>> {
    let reference = expected(case);
    let ids: Vec<&str> = reference.keys().filter_map(|key| key.strip_prefix("extra.")).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let mut request = request(case);
    request["activations"] = json!(ids.join(","));
    request["intermediates"] = json!(false);
    let found = extract(request, DType::F32)?;
    assert_eq!(found.len(), ids.len(), "{case}");
    for id in ids {
        compare(id, &reference[&format!("extra.{id}")], &found[id]).map_err(|error| format!("{case}: {error}"))?;
    }
    Ok(())
}

/// The same of what was found otherwise.
pub fn worst(case: &str, found: &Tensors) -> Result<f64, Box<dyn Error>> {
    let reference = expected(case);
    let mut worst = (0.0_f64, String::new());
    let (mut features, mut inner) = (0, 0);
    for (key, wanted) in &reference {
        let name = match key.strip_prefix("feat.") {
            Some(id) => {
                features += 1;
                id
            }
            None if key.starts_with("mid.") && !NOT_OURS.contains(&key.as_str()) => {
                inner += 1;
                key
            }
            None => continue,
        };
        let found = found.get(name).ok_or_else(|| format!("{case}: {name} was not found"))?;
        let error = compare(key, wanted, found).map_err(|error| format!("{case}: {error}"))?;
        if error > worst.0 {
            worst = (error, key.clone());
        }
    }
    assert!(
        features > 0 && inner > 0,
        "{case}: {features} activations, {inner} inner tensors"
    );
    println!(
        "{case}: {:.1e} of {} ({features} activations, {inner} inner tensors)",
        worst.0, worst.1
    );
    if worst.0 > ATOL_REL {
        return Err(format!("{case}: {} is {} standard deviations off", worst.1, worst.0).into());
    }
    Ok(worst.0)
}

/// In f64 the code of GPUs gives the reference's numbers, in f16 and bf16 every activation points the same way.
pub fn formats_agree(case: &str) -> Result<(), Box<dyn Error>> {
    worst(case, &extract(request(case), DType::F64)?)?;
    let wanted = extract(request(case), DType::F32)?;
    for (dtype, least) in SHORT_FORMATS {
        let found = extract(request(case), dtype)?;
        assert_eq!(found.len(), wanted.len(), "{case} in {dtype:?}");
        for (name, tensor) in &wanted {
            let cosine = cosine(tensor, &found[name]);
            assert!(cosine > least, "{case}: {name} in {dtype:?}: {cosine}");
        }
    }
    Ok(())
}

fn cosine(expected: &Tensor, found: &Tensor) -> f64 {
    assert_eq!(expected.dims(), found.dims());
    let (x, y) = (numbers(expected), numbers(found));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norms = (product(&x, &x) * product(&y, &y)).sqrt();
    // What is zero everywhere is the same if it is so again.
    if norms == 0.0 && x == y {
        1.0
    } else {
        product(&x, &y) / norms
    }
}

/// The ids of a model's list, without what is offered beside it.
pub fn listed(list: &Catalogue) -> Vec<String> {
    let entries = list.entries().iter().filter(|entry| !entry.facts.is_extra);
    entries.map(|entry| entry.id.to_string()).collect()
}

/// The rows of a block's self-attention map are the softmax of the products of the query and key that it is said to be made of, in the
/// first head at the first position of the first picture.
pub fn rows_are_of_products(case: &str, block: &str) -> Result<(), Box<dyn Error>> {
    let names = ["self-map", "map-q", "map-k"].map(|part| format!("{block}-{part}"));
    let mut request = request(case);
    request["activations"] = json!(names.join(","));
    request["intermediates"] = json!(false);
    let found = extract(request, DType::F32)?;
    let [map, queries, keys] = names.each_ref().map(|name| &found[name]);
    let (_, heads, positions, _) = map.dims4()?;
    let width = queries.dim(1)? / heads;
    let channels = |tensor: &Tensor| -> candle_core::Result<Vec<Vec<f32>>> {
        tensor
            .get(0)?
            .narrow(0, 0, width)?
            .reshape((width, positions))?
            .to_vec2()
    };
    let (q, k) = (channels(queries)?, channels(keys)?);
    let score = |key: usize| {
        (0..width)
            .map(|c| f64::from(q[c][0]) * f64::from(k[c][key]))
            .sum::<f64>()
    };
    let weights: Vec<f64> = (0..positions)
        .map(|key| (score(key) / (width as f64).sqrt()).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    let row: Vec<f32> = weights.iter().map(|weight| (weight / sum) as f32).collect();
    let row = Tensor::from_vec(row, positions, &Device::Cpu)?;
    compare(&names[0], &row, &map.get(0)?.get(0)?.get(0)?)?;
    Ok(())
}

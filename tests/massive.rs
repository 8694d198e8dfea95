//! Massive activations in the transformers: what the attention reads of an input whose massive channels are 0, against the rule
//! worked out of what the block before gave and of the norm with all channels.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{
    TestResult,
    case::{Tensors, extract, request},
    compare, model, numbers,
    program::{Place, run},
    program_case::load,
};
use featscope::{
    activation::FeatureMap,
    analysis::massive::{channel_figures, massive_channels},
    geometry::Grid,
};
use serde_json::json;

/// A case of every family, the layer that patches go through first, and a block of the network, not its first.
const CASES: [(&str, &str, usize); 7] = [
    ("flux-dev-64x48", "x_embedder", 1),
    ("flux-dev-64x48", "x_embedder", 2),
    ("sd3-64x96", "pos_embed.proj", 1),
    ("sd35-medium-64x80", "pos_embed.proj", 1),
    ("pixart-alpha-64x96", "pos_embed.proj", 1),
    ("dit-64", "pos_embed.proj", 2),
    ("hunyuan11-64x80", "pos_embed.proj", 1),
];
/// The same of Z-Image, whose norm subtracts no mean.
const WITHOUT_MEAN: (&str, &str, usize) = ("zimage-64x96", "all_x_embedder.2-1", 1);
/// The channel made massive, and by what factor.
const CHANNEL: usize = 3;
const FACTOR: f64 = 3000.0;
const NORM_EPS: f64 = 1e-6;
const WEIGHTS: &str = "transformer/diffusion_pytorch_model.safetensors";

/// The model of a case with one channel of its stream that dwarfs the others.
fn with_massive_channel(case: &str, first_layer: &str, place: &Place) -> Result<String, Box<dyn std::error::Error>> {
    let json = common::case_json(case);
    let name = json["model"].as_str().ok_or("a model")?.trim_start_matches("models/");
    let folder = place.copy(&model(name), "model");
    let file = place.path("model").join(WEIGHTS);
    let mut tensors = candle_core::safetensors::load(&file, &Device::Cpu)?;
    for part in ["weight", "bias"] {
        let name = format!("{first_layer}.{part}");
        let tensor = tensors.get(&name).ok_or("the first layer")?;
        let rows = tensor.dim(0)?;
        let factors = (0..rows).map(|row| if row == CHANNEL { FACTOR as f32 } else { 1.0 });
        let mut shape = vec![1; tensor.rank()];
        shape[0] = rows;
        let factors = Tensor::from_iter(factors, &Device::Cpu)?.reshape(shape)?;
        let scaled = tensor.to_dtype(DType::F32)?.broadcast_mul(&factors)?;
        tensors.insert(name, scaled);
    }
    candle_core::safetensors::save(&tensors, &file)?;
    Ok(folder)
}

fn of_case(case: &str, model: Option<&str>, ids: &[String]) -> Result<Tensors, Box<dyn std::error::Error>> {
    let mut request = request(case);
    request["activations"] = json!(ids.join(","));
    request["intermediates"] = json!(false);
    if let Some(model) = model {
        request["model"] = json!(model);
    }
    extract(request, DType::F32)
}

/// The input of a block, and what its norm makes of it with all channels and without the massive ones.
fn ids_of(block: usize) -> [String; 3] {
    [
        format!("vit-block{}-out", block - 1),
        format!("vit-block{block}-norm1-out"),
        format!("vit-block{block}-norm1-drop-massive"),
    ]
}

/// Vectors by position of a tensor (1, C, h, w).
fn vectors(tensor: &Tensor) -> Result<Vec<Vec<f64>>, Box<dyn std::error::Error>> {
    let (_, channels, height, width) = tensor.dims4()?;
    let planes = numbers(tensor);
    let positions = height * width;
    Ok((0..positions)
        .map(|position| {
            (0..channels)
                .map(|channel| planes[channel * positions + position])
                .collect()
        })
        .collect())
}

fn massive_of(input: &Tensor) -> Result<Vec<usize>, Box<dyn std::error::Error>> {
    let (_, channels, height, width) = input.dims4()?;
    let numbers = vectors(input)?
        .concat()
        .into_iter()
        .map(|number| number as f32)
        .collect();
    let map = FeatureMap::from_positions(channels, Grid::new(height, width), numbers)?;
    Ok(massive_channels(&channel_figures(&map)))
}

/// x with the massive channel at 0, and (x − mean)/√(variance + eps).
fn dropped(x: &[f64]) -> Vec<f64> {
    let mut x = x.to_vec();
    x[CHANNEL] = 0.0;
    x
}

fn normed(x: &[f64]) -> Vec<f64> {
    let count = x.len() as f64;
    let mean = x.iter().sum::<f64>() / count;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    x.iter().map(|x| (x - mean) / (variance + NORM_EPS).sqrt()).collect()
}

/// Scale and shift that lead from `x` to `y`, by least squares.
fn line(x: &[f64], y: &[f64]) -> [f64; 2] {
    let count = x.len() as f64;
    let [mean_x, mean_y] = [x, y].map(|values| values.iter().sum::<f64>() / count);
    let both: f64 = x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let own: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
    let scale = both / own;
    [scale, mean_y - scale * mean_x]
}

/// Rows by position as a tensor (1, C, h, w) like another.
fn planes(rows: &[Vec<f64>], like: &Tensor) -> candle_core::Result<Tensor> {
    let (_, channels, height, width) = like.dims4()?;
    let tensor = Tensor::from_vec(rows.concat(), (height * width, channels), &Device::Cpu)?;
    tensor.t()?.reshape((1, channels, height, width))
}

/// Zeros, then the norm over all channels, then the block's own scale and shift: in this order.
#[test]
fn the_massive_channels_are_0_before_the_norm_and_the_modulation() -> TestResult {
    for (case, first_layer, block) in CASES {
        let place = Place::new();
        let folder = with_massive_channel(case, first_layer, &place)?;
        let ids = ids_of(block);
        let found = of_case(case, Some(&folder), &ids)?;
        let [input, whole, without] = ids.each_ref().map(|id| &found[id]);
        assert_eq!(massive_of(input)?, [CHANNEL], "{case}");
        let inputs = vectors(input)?;
        let norms: Vec<Vec<f64>> = inputs.iter().map(|x| normed(x)).collect();
        let behind: Vec<Vec<f64>> = inputs.iter().map(|x| normed(&dropped(x))).collect();
        let shown = vectors(whole)?;
        let mut wanted = behind.clone();
        for channel in 0..norms[0].len() {
            let column = |rows: &[Vec<f64>]| rows.iter().map(|row| row[channel]).collect::<Vec<_>>();
            let [scale, shift] = line(&column(&norms), &column(&shown));
            wanted
                .iter_mut()
                .for_each(|row| row[channel] = row[channel] * scale + shift);
        }
        compare(&format!("{case} {}", ids[2]), &planes(&wanted, input)?, without)?;
        assert!(compare("", whole, without).is_err(), "{case}: nothing was dropped");
    }
    Ok(())
}

/// The norm of Z-Image divides by the root of the mean square: what is left is larger by what that loses.
#[test]
fn without_a_mean_the_order_is_the_same() -> TestResult {
    let (case, first_layer, block) = WITHOUT_MEAN;
    let place = Place::new();
    let folder = with_massive_channel(case, first_layer, &place)?;
    let ids = ids_of(block);
    let found = of_case(case, Some(&folder), &ids)?;
    let [input, whole, without] = ids.each_ref().map(|id| &found[id]);
    assert_eq!(massive_of(input)?, [CHANNEL]);
    let root = |x: &[f64]| (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt();
    let wanted: Vec<Vec<f64>> = vectors(input)?
        .iter()
        .zip(vectors(whole)?)
        .map(|(x, shown)| {
            let ratio = root(x) / root(&dropped(x));
            dropped(&shown).into_iter().map(|number| number * ratio).collect()
        })
        .collect();
    compare(&ids[2], &planes(&wanted, input)?, without)?;
    Ok(())
}

/// Where no channel is massive the two are the same, bit for bit; and neither is among all activations.
#[test]
fn without_massive_channels_nothing_changes() -> TestResult {
    for (case, _, block) in CASES.into_iter().chain([WITHOUT_MEAN]) {
        let ids = ids_of(block);
        let found = of_case(case, None, &ids)?;
        assert!(massive_of(&found[&ids[0]])?.is_empty(), "{case}");
        assert_eq!(numbers(&found[&ids[1]]), numbers(&found[&ids[2]]), "{case}");
    }
    Ok(())
}

/// Through the program: extracted by its name, offered by the list, left out of `all`, and coloured.
#[test]
fn the_program_offers_it_by_name() -> TestResult {
    let place = Place::new();
    let folder = with_massive_channel("dit-64", "pos_embed.proj", &place)?;
    let id = "vit-block1-norm1-drop-massive";
    let image = common::case_file("dit-64", "image0.png").display().to_string();
    let extract = |ids: &str| {
        let out = place.text("out.safetensors");
        let arguments = [
            "extract", "--model", &folder, "--t", "50", "--size", "64", "--image", &image,
        ];
        run(arguments.into_iter().chain(["--activations", ids, "--out", &out])).good();
        load(&place.path("out.safetensors"))
    };
    assert!(!extract("all").contains_key(id));
    assert_eq!(extract(id).len(), 1);
    let listed = run(["layers", "--model", &folder, "--extra"]).good();
    assert!(listed.stdout.contains(id), "{}", listed.stdout);
    let picture = place.text("out.png");
    run(["pca", &place.text("out.safetensors"), "--id", id, "--out", &picture]).good();
    assert!(place.path("out.png").is_file());
    Ok(())
}

/// The raw map without them: `pca` and `match` say which channels these are, and the cosines are those of the rest.
#[test]
fn the_program_leaves_massive_channels_of_a_raw_map_out_and_names_them() -> TestResult {
    let place = Place::new();
    let folder = with_massive_channel("dit-64", "pos_embed.proj", &place)?;
    let image = common::case_file("dit-64", "image0.png").display().to_string();
    let id = "vit-block0-out";
    let out = place.text("out.safetensors");
    let model = ["--model", &folder, "--t", "50", "--size", "64", "--activations", id];
    run(["extract", "--image", &image, "--out", &out].into_iter().chain(model)).good();
    let said = format!("massive channels left out: {CHANNEL}");
    let coloured = |name: &str, more: &[&str]| -> Result<(String, Vec<u8>), Box<dyn std::error::Error>> {
        let picture = place.text(name);
        let arguments = ["pca", &out, "--id", id, "--out", &picture];
        let ran = run(arguments.into_iter().chain(more.iter().copied())).good();
        Ok((ran.stderr, std::fs::read(&picture)?))
    };
    let (silent, whole) = coloured("whole.png", &[])?;
    let (named, reduced) = coloured("reduced.png", &["--drop-massive"])?;
    assert!(!silent.contains("massive") && named.contains(&said), "{silent} {named}");
    assert_ne!(whole, reduced);

    let matched = |name: &str, more: &[&str]| -> Result<(f64, serde_json::Value), Box<dyn std::error::Error>> {
        let to = place.text(name);
        let arguments = [
            "match", "--source", &image, "--target", &image, "--at", "8,8", "--out", &to,
        ];
        let ran = run(arguments.into_iter().chain(model).chain(more.iter().copied())).good();
        assert_eq!(ran.stderr.contains(&said), !more.is_empty(), "{}", ran.stderr);
        let read = |file: &str| -> Result<serde_json::Value, Box<dyn std::error::Error>> {
            Ok(serde_json::from_slice(&std::fs::read(place.path(name).join(file))?)?)
        };
        let cosine = read("matches.json")?[0]["cosine"].as_f64().ok_or("a cosine")?;
        Ok((cosine, read("request.json")?["massive_left_out"].clone()))
    };
    let (same, none) = matched("whole", &[])?;
    let (again, left_out) = matched("reduced", &["--drop-massive"])?;
    // A picture compared with itself.
    assert!((same - 1.0).abs() < 1e-5 && (again - 1.0).abs() < 1e-5);
    assert_eq!((none, left_out), (json!([]), json!([CHANNEL])));
    Ok(())
}

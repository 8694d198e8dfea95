//! Flux.2 [klein] against the reference, through the command line and the library from picture and prompt to the network's output,
//! and by itself.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test says what it expects")]

#[path = "../common/mod.rs"]
mod common;
mod files;

use std::{collections::HashMap, fs, path::Path};

use candle_core::{DType, Device, Tensor};
use common::{
    ATOL_REL, TestResult,
    case::{extract, listed, parity, request},
    compare, expected, model, numbers,
    program::Place,
    program_case::{Case, Pass, Tensors, cosine, everything, pass, worst_error},
};
use featscope::{
    activation::{Catalogue, FeatureMap, Selection, Tap, no_progress},
    analysis::attention::attention_row,
    components::vae::{VaeConfig, VaeDecoder, VaeEncoder},
    device::Compute,
    extract::model::Model,
    families::{
        flux2::{Flux2, Flux2Config, catalogue, pack},
        resolve,
    },
    geometry::{Grid, Size},
    model::{LoadExtent, tokens::TokenRole},
    nn::adaptable::Adaptable,
    weights::{DIFFUSERS_STEM, Store, open_weights, read_json},
};
use serde_json::{Value, json};

const CASES: [&str; 2] = ["flux2-klein-64x48", "flux2-klein-batch2-80x112"];
const NAME: &str = "tiny-flux2-klein";

#[test]
fn every_case_through_the_command_line() -> TestResult {
    for case in CASES {
        Case::new(case).passes().map_err(|error| format!("{case}: {error}"))?;
    }
    Ok(())
}

#[test]
fn every_case_through_the_library() -> TestResult {
    for case in CASES {
        parity(case)?;
    }
    Ok(())
}

fn config() -> featscope::Result<Flux2Config> {
    Flux2Config::from_json(&read_json(&model(NAME).join("transformer/config.json"))?)
}

fn weights(network: &str) -> featscope::Result<Store> {
    open_weights(&model(NAME).join(network), DIFFUSERS_STEM)
}

fn open_as(extent: LoadExtent, dtype: DType) -> featscope::Result<Flux2> {
    let weights = weights("transformer")?;
    Flux2::new(config()?, extent, weights.var_builder(dtype, &Device::Cpu))
}

/// A case's network, its latents (B, C, h, w), text and share of the noise.
struct Given {
    network: Flux2,
    reference: Tensors,
    latents: Tensor,
    text: Tensor,
    sigma: f32,
}

impl Given {
    fn of(case: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let reference = expected(case);
        Ok(Self {
            network: open_as(LoadExtent::Whole, DType::F32)?,
            latents: reference["mid.latents_noisy"].clone(),
            text: reference["mid.encoder_hidden_states"].narrow(0, 0, 1)?,
            sigma: reference["mid.unet_timestep"].to_vec1::<f32>()?[0],
            reference,
        })
    }

    fn list(&self) -> featscope::Result<Catalogue> {
        let (_, _, height, width) = self.latents.dims4()?;
        Ok(catalogue(
            self.network.config(),
            Grid::new(height, width),
            self.text.dim(1)?,
        ))
    }

    fn run(&self, network: &Flux2, selection: &Selection, to_the_end: bool) -> featscope::Result<Pass> {
        let sigma = vec![self.sigma; self.latents.dim(0)?];
        pass(&self.list()?, selection, to_the_end, |probe| {
            network.forward(&self.latents, &sigma, &self.text, probe)
        })
    }
}

#[test]
fn the_network_alone_gives_every_activation_and_its_output() -> TestResult {
    for case in CASES {
        let given = Given::of(case)?;
        let found = given.run(&given.network, &everything(&given.list()?), true)?;
        let worst = worst_error(&given.reference, &found.taps)?;
        println!("{case}: {worst:.1e}");
        assert!(worst < ATOL_REL, "{case}: {worst}");
        let output = pack(&found.output.ok_or("an output")?)?;
        compare("the output", &given.reference["mid.unet_out"], &output)?;
    }
    Ok(())
}

/// Rows over the picture's positions are made of what is kept, in blocks of two streams and of one.
#[test]
fn rows_of_attention_come_from_what_is_kept() -> TestResult {
    const POSITION: usize = 7;
    let given = Given::of(CASES[0])?;
    let list = given.list()?;
    let found = given.run(&given.network, &everything(&list), false)?;
    let map = |name: &str| -> featscope::Result<FeatureMap> {
        let tensor = &found.taps[name];
        let (_, channels, height, width) = tensor.dims4()?;
        let positions: Vec<f32> = tensor.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1()?;
        FeatureMap::from_positions(channels, Grid::new(height, width), positions)
    };
    for id in ["vit-block0-self-map", "vit-block3-self-map"] {
        let facts = list.entry(list.find(id)?).ok_or("an entry")?.facts;
        let [queries, keys] = facts.map_sources().ok_or("sources")?;
        let sums = map(facts.row_sums.ok_or("sums")?.as_str())?;
        let whole = &found.taps[id];
        let heads = whole.dim(1)?;
        let sources = [&map(queries.as_str())?, &map(keys.as_str())?];
        let row = attention_row(sources, Some(&sums), heads, POSITION)?;
        let wanted = numbers(&whole.narrow(2, POSITION, 1)?);
        assert_eq!(row.len(), wanted.len());
        for (found, wanted) in row.iter().zip(wanted) {
            assert!((f64::from(*found) - wanted).abs() < 1e-5, "{id}: {found}, not {wanted}");
        }
    }
    Ok(())
}

#[test]
fn reading_and_running_in_part_changes_nothing_and_a_batch_equals_its_rows() -> TestResult {
    let given = Given::of(CASES[1])?;
    let list = given.list()?;
    let whole = given.run(&given.network, &everything(&list), false)?;
    for name in [
        "vit-block0-q",
        "vit-block1-out",
        "vit-block2-cross-map",
        "vit-block2-ffn-inner",
        "vit-block3-out",
    ] {
        let tap = list.find(name)?;
        let selection: Selection = [tap].into_iter().collect();
        let part = open_as(LoadExtent::UpTo(tap), DType::F32)?;
        for network in [&given.network, &part] {
            let found = given.run(network, &selection, false)?;
            assert_eq!(found.taps.len(), 1);
            assert_eq!(numbers(&found.taps[name]), numbers(&whole.taps[name]), "{name}");
        }
        let refused = given.run(&part, &Selection::default(), true);
        let error = refused.err().ok_or("the output was not read")?.to_string();
        assert!(error.contains("only as far as"), "{error}");
    }
    let behind = open_as(LoadExtent::UpTo(Tap(list.len() as u32)), DType::F32)?;
    assert!(given.run(&behind, &Selection::default(), true)?.output.is_some());
    for row in 0..2 {
        let alone = pass(&list, &everything(&list), false, |probe| {
            let latents = given.latents.narrow(0, row, 1)?;
            given.network.forward(&latents, &[given.sigma], &given.text, probe)
        })?;
        for (name, tensor) in &whole.taps {
            compare(name, &alone.taps[name], &tensor.narrow(0, row, 1)?)?;
        }
    }
    Ok(())
}

/// The formats of GPUs go through code of their own.
#[test]
fn every_format_computes_the_same_network() -> TestResult {
    let given = Given::of(CASES[0])?;
    let selection = everything(&given.list()?);
    for (dtype, least) in [(DType::F64, 0.999_999), (DType::F16, 0.9995), (DType::BF16, 0.99)] {
        let network = open_as(LoadExtent::Whole, dtype)?;
        let (x, text) = (given.latents.to_dtype(dtype)?, given.text.to_dtype(dtype)?);
        let found = pass(&given.list()?, &selection, true, |probe| {
            network.forward(&x, &[given.sigma], &text, probe)
        })?;
        for (name, wanted) in &given.reference {
            let Some(id) = name.strip_prefix("feat.") else { continue };
            let cosine = cosine(wanted, &found.taps[id]);
            assert!(cosine > least, "{dtype:?} {id}: {cosine}");
        }
        let output = pack(&found.output.ok_or("an output")?)?;
        assert!(cosine(&given.reference["mid.unet_out"], &output) > least);
    }
    Ok(())
}

#[test]
fn every_layer_is_known() -> TestResult {
    let mut layers = Vec::new();
    let mut network = open_as(LoadExtent::Whole, DType::F32)?;
    network.each_layer(&mut |layer| layers.push(layer.info().name.clone()));
    layers.sort_unstable();
    let weights = weights("transformer")?;
    let own = weights.names().filter_map(|name| name.strip_suffix(".weight"));
    let mut wanted: Vec<&str> = own.filter(|name| !name.contains(".norm_")).collect();
    wanted.sort_unstable();
    assert_eq!(layers, wanted);
    Ok(())
}

/// Five blocks of two streams and twenty of one, in the words and the order of Flux.1; of these each shows its feed-forward part too.
#[test]
fn the_full_size_has_its_list_from_its_configuration_alone() -> TestResult {
    let spec = resolve("flux.2-klein-4b")?;
    assert!(!spec.is_encoder() && spec.reads_prompt() && !spec.reads_guidance());
    let list = spec.plain_catalogue(Size::new(1024, 768));
    let of_two = "q k v cross-map self-map attn-out norm-out ffn-inner out";
    let of_one = "q k v cross-map self-map attn-out ffn-inner out";
    let mut wanted: Vec<String> = Vec::new();
    for block in 0..25 {
        let words = if block < 5 { of_two } else { of_one };
        wanted.extend(words.split(' ').map(|word| format!("vit-block{block}-{word}")));
    }
    assert_eq!(listed(&list), wanted);
    let shape = |id: &str| -> featscope::Result<Vec<usize>> {
        let entry = list.entry(list.find(id)?).expect("an entry");
        Ok(entry.shape.dims().to_vec())
    };
    assert_eq!(shape("vit-block4-q")?, [3072, 48, 64]);
    assert_eq!(shape("vit-block5-ffn-inner")?, [9216, 48, 64]);
    assert_eq!(shape("vit-block24-cross-map")?, [24, 3072, 512]);
    assert_eq!(shape("vit-block24-self-map")?, [24, 3072, 3072]);
    assert_eq!(shape("vae-out")?, [3, 768, 1024]);
    Ok(())
}

/// A latent is sampled where the autoencoder's posterior is, before its patches become channels.
#[test]
fn a_sampled_latent_has_noise_of_the_posterior_s_shape() -> TestResult {
    let place = Place::new();
    let reference = expected(CASES[0]);
    let sampled = |name: &str, vae_noise: Tensor| -> Result<Tensors, Box<dyn std::error::Error>> {
        let given = HashMap::from([
            ("in.noise".to_owned(), reference["in.noise"].clone()),
            ("in.vae_noise".to_owned(), vae_noise),
        ]);
        candle_core::safetensors::save(&given, place.path(name))?;
        let mut request = request(CASES[0]);
        request["noise_file"] = json!(place.path(name));
        request["vae"] = json!("sample");
        request["activations"] = json!("vit-block0-q");
        extract(request, DType::F32)
    };
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let none = sampled("none.safetensors", zeros(&[1, 32, 8, 6])?)?;
    compare(
        "without noise",
        &reference["mid.latents_clean"],
        &none["mid.latents_clean"],
    )?;
    let one = sampled("one.safetensors", zeros(&[1, 32, 8, 6])?.ones_like()?)?;
    // A channel of the latent is one of the four positions in a patch of the posterior's, divided by its deviation.
    let variance = weights("vae")?
        .var_builder(DType::F32, &Device::Cpu)
        .get(128, "bn.running_var")?;
    let deviation = (variance + 1e-4)?.sqrt()?.to_vec1::<f32>()?;
    let std = &reference["mid.vae_std"];
    let moved = (&one["mid.latents_clean"] - &none["mid.latents_clean"])?;
    for (channel, row, column) in [(0, 1, 2), (1, 0, 0), (2, 3, 1), (127, 2, 2)] {
        let at = |x: &Tensor, c: usize, y: usize, x_: usize| -> featscope::Result<f32> {
            Ok(x.get(0)?.get(c)?.get(y)?.get(x_)?.to_scalar()?)
        };
        let (from, patch) = (channel / 4, channel % 4);
        let wanted = at(std, from, 2 * row + patch / 2, 2 * column + patch % 2)? / deviation[channel];
        let found = at(&moved, channel, row, column)?;
        assert!(
            (found - wanted).abs() < 1e-4 * wanted.abs().max(1.0),
            "{found}, not {wanted}"
        );
    }
    let refused = sampled("wrong.safetensors", zeros(&[1, 128, 4, 3])?);
    let error = refused.err().ok_or("the shape is another")?.to_string();
    assert!(error.contains("[1, 32, 8, 6]"), "{error}");
    Ok(())
}

/// The decoder takes patches, scale and shift back: what one Euler step leaves is decoded as the posterior's own latent would be.
#[test]
fn the_latent_is_decoded_from_where_it_was_encoded() -> TestResult {
    let vae = VaeConfig::from_json(&read_json(&model(NAME).join("vae/config.json"))?)?;
    let tensors = weights("vae")?;
    let open = || tensors.var_builder(DType::F32, &Device::Cpu);
    let (encoder, decoder) = (VaeEncoder::new(vae.clone(), open())?, VaeDecoder::new(vae, open())?);
    let reference = expected(CASES[0]);
    let mean = &reference["mid.vae_mean"];
    compare("scaled", &reference["mid.latents_clean"], &encoder.scale(mean)?)?;
    // The same decoder behind a plain scaling of 1 is given the posterior's mean itself.
    let mut plain = read_json(&model(NAME).join("vae/config.json"))?;
    plain["_class_name"] = json!("AutoencoderKL");
    plain["scaling_factor"] = json!(1.0);
    let plain = VaeDecoder::new(VaeConfig::from_json(&plain)?, open())?;
    let wanted = plain.decode(mean, &mut no_progress)?;
    compare(
        "decoded",
        &wanted,
        &decoder.decode(&encoder.scale(mean)?, &mut no_progress)?,
    )?;
    let mut request = request(CASES[0]);
    request["activations"] = json!("vae-out");
    let found = extract(request, DType::F32)?;
    let unpacked = |name: &str| -> candle_core::Result<Tensor> {
        let packed = &found[name];
        packed.transpose(1, 2)?.reshape((1, 128, 4, 3))
    };
    // One step of t earlier, along the line: a thousandth of the prediction.
    let step = (unpacked("mid.unet_in")? - (unpacked("mid.unet_out")? * 1e-3)?)?;
    compare("vae-out", &decoder.decode(&step, &mut no_progress)?, &found["vae-out"])?;
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_in_words() -> TestResult {
    let given = Given::of(CASES[0])?;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let refusal = |latents: &Tensor, text: &Tensor| {
        let list = given.list().expect("a list");
        pass(&list, &Selection::default(), true, |probe| {
            given.network.forward(latents, &[0.3], text, probe)
        })
        .err()
        .map_or_else(String::new, |error| error.to_string())
    };
    assert_eq!(refusal(&given.latents, &given.text), "");
    assert!(refusal(&zeros(&[1, 32, 8, 6])?, &given.text).contains("latents of 128 channels"));
    assert!(refusal(&given.latents, &zeros(&[1, 512, 20])?).contains("text states of width 60"));
    assert!(refusal(&given.latents, &zeros(&[2, 512, 60])?).contains("for one or all of 1 rows"));

    let place = Place::new();
    let folder = place.copy(&model(NAME), "model");
    let case = Case {
        model: folder.clone(),
        ..Case::new(CASES[0])
    };
    let change = |file: &str, key: &str, value: Value, words: &[&str]| -> TestResult {
        let path = Path::new(&folder).join(file);
        let before = fs::read_to_string(&path)?;
        let mut json: Value = serde_json::from_str(&before)?;
        json[key] = value;
        fs::write(&path, json.to_string())?;
        case.run("vit-block0-q", &Place::new()).refused(1, words);
        fs::write(&path, before)?;
        Ok(())
    };
    let transformer = "transformer/config.json";
    change(
        transformer,
        "num_layers",
        json!(1),
        &["transformer_blocks.1", "no layer"],
    )?;
    change(
        transformer,
        "num_single_layers",
        json!(3),
        &["single_transformer_blocks.2"],
    )?;
    change(
        transformer,
        "guidance_embeds",
        json!(true),
        &["guidance_embeds", "[dev]"],
    )?;
    change(
        transformer,
        "in_channels",
        json!(64),
        &["128 channels at 1/16", "denoises 64"],
    )?;
    change("vae/config.json", "patch_size", json!([4, 4]), &["patch_size"])?;
    change(
        "vae/config.json",
        "latent_channels",
        json!(16),
        &["64 channels at 1/16"],
    )?;
    change(
        "vae/config.json",
        "_class_name",
        json!("AutoencoderKL"),
        &["32 channels at 1/8"],
    )?;
    change("vae/config.json", "batch_norm_eps", json!(-1), &["batch_norm_eps"])?;
    change(
        "text_encoder/config.json",
        "hidden_size",
        json!(48),
        &["144 numbers", "takes 60"],
    )?;
    change(
        "text_encoder/config.json",
        "model_type",
        json!("mistral3"),
        &["model_type"],
    )?;
    change(
        "text_encoder/config.json",
        "num_hidden_layers",
        json!(26),
        &["layer 27", "26 layers"],
    )?;
    change(
        "scheduler/scheduler_config.json",
        "_class_name",
        json!("DDIMScheduler"),
        &["_class_name"],
    )?;
    change(
        "tokenizer/tokenizer.json",
        "added_tokens",
        json!([]),
        &["<|endoftext|>"],
    )?;
    case.run("vit-block0-q", &Place::new()).good();
    let nominal = Case {
        t: vec!["--nominal-t".to_owned(), "300".to_owned()],
        ..case
    };
    nominal
        .run("vit-block0-q", &Place::new())
        .refused(2, &["--nominal-t", "--t 300"]);
    Ok(())
}

/// A prompt stands in a chat whose answer does not think, and is filled up to 512 tokens.
#[test]
fn a_prompt_is_the_columns_of_its_maps() -> TestResult {
    let place = Compute {
        device: Device::Cpu,
        dtype: DType::F32,
    };
    let spec = resolve(&model(NAME).display().to_string())?;
    let mut model = Model::load(&spec, place, LoadExtent::Whole, &mut no_progress)?;
    model.encode_prompt("a red cat", None, &mut no_progress)?;
    let tokens = model.tokens();
    assert_eq!(tokens.len(), 512);
    let text_of = |role: TokenRole| -> String {
        let of_role = tokens.iter().filter(|token| token.role == role);
        of_role.map(|token| token.piece.as_str()).collect()
    };
    assert_eq!(text_of(TokenRole::Word), "a▁red▁cat");
    assert_eq!(text_of(TokenRole::Start), "<|im_start|>");
    assert!(text_of(TokenRole::End).ends_with("assistant\n<think>\n\n</think>\n\n"));
    assert_eq!(
        text_of(TokenRole::Padding).replace("<|endoftext|>", ""),
        "",
        "padding is the model's own"
    );
    assert!(text_of(TokenRole::Padding).starts_with("<|endoftext|>"));
    assert_eq!(tokens.last().map(|token| token.role), Some(TokenRole::Padding));
    // A prompt that is longer than all is cut, and nothing is padded.
    model.encode_prompt(&"cat ".repeat(600), None, &mut no_progress)?;
    let roles = model.tokens().iter().map(|token| token.role);
    assert_eq!(roles.filter(|role| *role == TokenRole::Padding).count(), 0);
    assert_eq!(model.tokens().len(), 512);
    Ok(())
}

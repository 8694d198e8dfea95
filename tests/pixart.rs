//! PixArt against the reference, from the picture and the prompt to the network's output: latents, text states, every activation
//! and every attention map.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::collections::{HashMap, HashSet};

use candle_core::{DType, Device, Tensor};
use common::{ATOL_REL, TestResult, case::listed, case_json, compare, data, expected, model, numbers};
use featscope::{
    Error,
    activation::{Catalogue, Probe, Selection, Shape, Stop, Tap, no_progress},
    components::{
        schedule::DiscreteSchedule,
        text::{
            t5::T5Encoder,
            t5_tokenizer::{T5Tokenizer, T5Tokens},
        },
        vae::{VaeConfig, VaeEncoder},
    },
    families::pixart::{
        PixArt, PixArtConditions, PixArtConfig, Version, catalogue, has_size_conditions, prepare_prompt, prompt_tokens,
    },
    geometry::{Grid, Size},
    model::{LoadExtent, tokens::TokenRole},
    nn::adaptable::Adaptable,
    weights::{DIFFUSERS_STEM, Store, open_weights, read_json},
};
use serde_json::json;

const CASES: [&str; 6] = [
    "pixart-alpha-64x96",
    "pixart-alpha-batch2-112x80",
    "pixart-alpha512-batch2-80x112",
    "pixart-sigma-80x112",
    "pixart-sigma-all-64",
    "pixart-sigma-batch2-96x64",
];
const MODELS: [(&str, Version, bool); 3] = [
    ("tiny-pixart-alpha", Version::Alpha, true),
    ("tiny-pixart-alpha-512", Version::Alpha, false),
    ("tiny-pixart-sigma", Version::Sigma, false),
];

fn config_of(name: &str) -> featscope::Result<PixArtConfig> {
    PixArtConfig::from_json(&read_json(&model(name).join("transformer/config.json"))?)
}

fn weights_of(name: &str) -> featscope::Result<Store> {
    open_weights(&model(name).join("transformer"), DIFFUSERS_STEM)
}

fn open_as(name: &str, extent: LoadExtent, dtype: DType) -> featscope::Result<PixArt> {
    let weights = weights_of(name)?;
    PixArt::new(config_of(name)?, extent, weights.var_builder(dtype, &Device::Cpu))
}

fn open(name: &str) -> featscope::Result<PixArt> {
    open_as(name, LoadExtent::Whole, DType::F32)
}

fn model_of(case: &str) -> String {
    let name = case_json(case)["model"].as_str().expect("a model").to_owned();
    name.trim_start_matches("models/").to_owned()
}

fn version_of(name: &str) -> featscope::Result<Version> {
    let index = read_json(&model(name).join("model_index.json"))?;
    let class = index["_class_name"].as_str().expect("a class");
    Ok(Version::of_pipeline(class).expect("a pipeline of PixArt"))
}

fn tokens_of(name: &str, prompt: &str) -> featscope::Result<T5Tokens> {
    let tokenizer = T5Tokenizer::from_folder(&model(name).join("tokenizer"))?;
    tokenizer.encode(&prepare_prompt(prompt), version_of(name)?.tokens())
}

fn states_of(name: &str, tokens: &T5Tokens) -> featscope::Result<Tensor> {
    let encoder = T5Encoder::from_folder(&model(name).join("text_encoder"), &Device::Cpu, DType::F32)?;
    encoder.forward(
        std::slice::from_ref(&tokens.ids),
        Some(&[tokens.mask()]),
        &mut no_progress,
    )
}

struct Pass {
    taps: HashMap<String, Tensor>,
    output: Option<Tensor>,
}

fn everything(list: &Catalogue) -> Selection {
    (0..list.len() as u32).map(Tap).collect()
}

/// The activations that a pass meets of those that `select` selects; to its output if `to_the_end`.
fn pass(
    network: &PixArt,
    x: &Tensor,
    t: f32,
    conditions: &PixArtConditions<'_>,
    select: impl Fn(&Catalogue) -> Selection,
    to_the_end: bool,
) -> featscope::Result<Pass> {
    let (rows, _, height, width) = x.dims4()?;
    let list = catalogue(network.config(), Grid::new(height, width), conditions.text.dim(1)?);
    let selection = select(&list);
    let mut taps = HashMap::new();
    let mut last = None;
    let mut record = |tap: Tap, tensor: &Tensor| {
        let entry = list.entry(tap).expect("only taps of the catalogue are met");
        assert_eq!(&tensor.dims()[1..], entry.shape.dims(), "{}", entry.id);
        assert!(last < Some(tap), "{} is met out of order", entry.id);
        last = Some(tap);
        taps.insert(entry.id.to_string(), tensor.clone());
        Ok(())
    };
    let mut watch = no_progress;
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    if to_the_end {
        probe = probe.to_the_end();
    }
    let output = match network.forward(x, &vec![t; rows], conditions, &mut probe) {
        Ok(output) => Some(output),
        Err(Stop::Done) => None,
        Err(Stop::Error(error)) => return Err(error),
    };
    Ok(Pass { taps, output })
}

fn size_of(x: &Tensor) -> Size {
    let (_, _, height, width) = x.dims4().expect("a latent");
    Size::new(8 * width, 8 * height)
}

/// The worst error of a case in units of each tensor's standard deviation, all of them made from picture, noise and prompt.
fn parity(case: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let (reference, name, json) = (expected(case), model_of(case), case_json(case));
    let mut worst = 0.0_f64;
    let mut check = |key: &str, found: &Tensor| -> TestResult {
        let Some(wanted) = reference.get(key) else {
            return Err(format!("the reference lacks {key}").into());
        };
        let error = compare(key, wanted, found)?;
        if error > ATOL_REL {
            return Err(format!("{case}: {key} is {error} standard deviations off").into());
        }
        worst = worst.max(error);
        Ok(())
    };

    let vae = model(&name).join("vae");
    let vae_config = VaeConfig::from_json(&read_json(&vae.join("config.json"))?)?;
    let vae_weights = open_weights(&vae, DIFFUSERS_STEM)?;
    let encoder = VaeEncoder::new(vae_config, vae_weights.var_builder(DType::F32, &Device::Cpu))?;
    let posterior = encoder.encode(&reference["mid.image"], &mut no_progress)?;
    check("mid.vae_mean", &posterior.mean)?;
    let clean = encoder.scale(&posterior.mean)?;
    check("mid.latents_clean", &clean)?;
    let t = reference["mid.unet_timestep"].to_vec1::<f32>()?[0];
    let mixture = DiscreteSchedule::linear(1000).mixture((t as u32).into())?;
    let noisy = ((clean * mixture.signal)? + (&reference["in.noise"] * mixture.noise)?)?;
    check("mid.latents_noisy", &noisy)?;
    check("mid.unet_in", &noisy)?;

    let rows = noisy.dim(0)?;
    let tokens = tokens_of(&name, json["prompt"].as_str().ok_or("a prompt")?)?;
    let mask: Vec<f64> = tokens.mask().repeat(rows).into_iter().map(f64::from).collect();
    assert_eq!(numbers(&reference["mid.encoder_attention_mask"]), mask, "{case}");
    let text = states_of(&name, &tokens)?;
    check("mid.encoder_hidden_states", &text.repeat((rows, 1, 1))?)?;
    if reference.contains_key("mid.prompt_embeds") {
        check("mid.prompt_embeds", &text)?;
    }

    let mask = tokens.mask();
    let conditions = PixArtConditions {
        text: &text,
        mask: Some(&mask),
        size: size_of(&noisy),
    };
    let network = open(&name)?;
    let found = pass(&network, &noisy, t, &conditions, everything, true)?;
    let mut compared = 0;
    for key in reference.keys() {
        let Some(id) = key.strip_prefix("feat.").or(key.strip_prefix("extra.")) else {
            continue;
        };
        check(key, found.taps.get(id).ok_or_else(|| format!("{id} was not met"))?)?;
        compared += 1;
    }
    assert!(compared >= 16, "{case}: {compared}");
    check("mid.unet_out", found.output.as_ref().ok_or("an output")?)?;
    Ok(worst)
}

#[test]
fn every_case_from_picture_and_prompt_to_the_output() -> TestResult {
    for case in CASES {
        assert!(parity(case)? < ATOL_REL, "{case}");
    }
    Ok(())
}

/// A case's network, its tensors, its text states (1, T, C) and their mask.
type Given = (PixArt, HashMap<String, Tensor>, Tensor, Vec<u8>);

fn given(case: &str) -> Result<Given, Box<dyn std::error::Error>> {
    let reference = expected(case);
    let text = reference["mid.encoder_hidden_states"].narrow(0, 0, 1)?;
    let mask = numbers(&reference["mid.encoder_attention_mask"].narrow(0, 0, 1)?);
    let mask = mask.into_iter().map(|number| number as u8).collect();
    Ok((open(&model_of(case))?, reference, text, mask))
}

#[test]
fn columns_of_padding_are_zero_and_rows_sum_to_one() -> TestResult {
    let (network, reference, text, mask) = given("pixart-sigma-all-64")?;
    let x = &reference["mid.unet_in"];
    let conditions = PixArtConditions {
        text: &text,
        mask: Some(&mask),
        size: size_of(x),
    };
    let found = pass(&network, x, 50.0, &conditions, everything, false)?;
    let map = &found.taps["vit-block1-cross-map"];
    let (_, heads, queries, keys) = map.dims4()?;
    for row in numbers(map).chunks(keys) {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        let hidden = row.iter().zip(&mask).filter(|(_, mask)| **mask == 0);
        assert!(hidden.into_iter().all(|(weight, _)| *weight == 0.0));
    }
    assert_eq!((heads, queries, keys), (4, 16, 300));
    Ok(())
}

/// A mask may leave out any tokens: what is left is as if the others were not there.
#[test]
fn tokens_that_are_left_out_do_not_count() -> TestResult {
    let (network, reference, text, _) = given("pixart-alpha512-batch2-80x112")?;
    let x = &reference["mid.unet_in"];
    let short = text.narrow(1, 0, 4)?;
    let condition = |text, mask| PixArtConditions {
        text,
        mask,
        size: size_of(x),
    };
    let holes = pass(
        &network,
        x,
        600.0,
        &condition(&short, Some(&[0, 1, 0, 1])),
        everything,
        true,
    )?;
    let left = Tensor::cat(&[short.narrow(1, 1, 1)?, short.narrow(1, 3, 1)?], 1)?;
    let whole = pass(&network, x, 600.0, &condition(&left, None), everything, true)?;
    let output = |pass: &Pass| pass.output.clone().expect("an output");
    compare("the output", &output(&whole), &output(&holes))?;
    let (map, of_left) = (&holes.taps["vit-block0-cross-map"], &whole.taps["vit-block0-cross-map"]);
    for (column, of) in [(1, 0), (3, 1)] {
        assert_eq!(numbers(&map.narrow(3, column, 1)?), numbers(&of_left.narrow(3, of, 1)?));
    }
    for column in [0, 2] {
        assert!(numbers(&map.narrow(3, column, 1)?).iter().all(|weight| *weight == 0.0));
    }
    // With every token left out, all get the same: as if none were.
    let none = pass(&network, x, 600.0, &condition(&short, Some(&[0; 4])), everything, true)?;
    let all = pass(&network, x, 600.0, &condition(&short, Some(&[1; 4])), everything, true)?;
    assert_eq!(numbers(&output(&none)), numbers(&output(&all)));
    Ok(())
}

#[test]
fn stopping_early_changes_nothing_and_a_batch_equals_its_rows() -> TestResult {
    let (network, reference, text, mask) = given("pixart-alpha-batch2-112x80")?;
    let x = &reference["mid.unet_in"];
    let conditions = PixArtConditions {
        text: &text,
        mask: Some(&mask),
        size: size_of(x),
    };
    let whole = pass(&network, x, 261.0, &conditions, everything, false)?;
    assert!(whole.output.is_none());
    let id = "vit-block1-cross-q";
    let one = |list: &Catalogue| Selection::parse(id, list).expect("a known id");
    let early = pass(&network, x, 261.0, &conditions, one, false)?;
    assert_eq!(early.taps.len(), 1);
    assert_eq!(numbers(&early.taps[id]), numbers(&whole.taps[id]));
    for row in 0..2 {
        let alone = pass(&network, &x.narrow(0, row, 1)?, 261.0, &conditions, everything, false)?;
        for (name, tensor) in &whole.taps {
            compare(name, &alone.taps[name], &tensor.narrow(0, row, 1)?)?;
        }
    }
    // Rows may have texts and timesteps of their own.
    let texts = Tensor::cat(&[&text, &(&text * 0.5)?], 0)?;
    let conditions = PixArtConditions {
        text: &texts,
        ..conditions
    };
    let mut record = |_: Tap, _: &Tensor| Ok(());
    let mut watch = no_progress;
    let nothing = Selection::default();
    let mut probe = Probe::new(&nothing, 24, &mut record, &mut watch);
    let Ok(both) = network.forward(x, &[261.0, 50.0], &conditions, &mut probe) else {
        panic!("the pass ended early");
    };
    let half = (&text * 0.5)?;
    let second = PixArtConditions {
        text: &half,
        ..conditions
    };
    let alone = pass(&network, &x.narrow(0, 1, 1)?, 50.0, &second, everything, true)?;
    compare("row 1", &alone.output.expect("an output"), &both.narrow(0, 1, 1)?)?;
    Ok(())
}

#[test]
fn a_network_that_is_read_only_in_part_gives_the_same_as_far_as_it_goes() -> TestResult {
    let (whole, reference, text, mask) = given("pixart-sigma-all-64")?;
    let x = &reference["mid.unet_in"];
    let conditions = PixArtConditions {
        text: &text,
        mask: Some(&mask),
        size: size_of(x),
    };
    let list = catalogue(whole.config(), Grid::new(8, 8), 300);
    for name in ["vit-block0-self-q", "vit-block1-self-map", "vit-block2-out"] {
        let tap = list.find(name)?;
        let part = open_as("tiny-pixart-sigma", LoadExtent::UpTo(tap), DType::F32)?;
        let select = |_: &Catalogue| [tap].into_iter().collect();
        let found = pass(&part, x, 50.0, &conditions, select, false)?;
        let wanted = pass(&whole, x, 50.0, &conditions, select, false)?;
        assert_eq!(numbers(&found.taps[name]), numbers(&wanted.taps[name]), "{name}");
        let refused = pass(&part, x, 50.0, &conditions, |_| Selection::default(), true);
        let error = refused.err().ok_or("the output was not read")?.to_string();
        assert!(error.contains("only as far as"), "{error}");
    }
    let behind = LoadExtent::UpTo(Tap(list.len() as u32));
    let read = open_as("tiny-pixart-sigma", behind, DType::F32)?;
    assert!(pass(&read, x, 50.0, &conditions, everything, true)?.output.is_some());
    Ok(())
}

#[test]
fn a_cancelled_pass_ends_at_the_next_activation() -> TestResult {
    let (network, reference, text, mask) = given("pixart-sigma-all-64")?;
    let x = &reference["mid.unet_in"];
    let list = catalogue(network.config(), Grid::new(8, 8), 300);
    let selection = everything(&list);
    let (mut met, mut calls) = (0, 0);
    let mut record = |_: Tap, _: &Tensor| {
        met += 1;
        Ok(())
    };
    let mut watch = |_: f32| {
        calls += 1;
        if calls == 10 { Err(Error::Cancelled) } else { Ok(()) }
    };
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    let conditions = PixArtConditions {
        text: &text,
        mask: Some(&mask),
        size: size_of(x),
    };
    let ended = network.forward(x, &[50.0], &conditions, &mut probe);
    assert!(matches!(ended, Err(Stop::Error(Error::Cancelled))));
    assert_eq!(met, 10);
    Ok(())
}

/// The formats of GPUs go through code of their own.
#[test]
fn every_format_computes_the_same_network() -> TestResult {
    for case in ["pixart-alpha-64x96", "pixart-sigma-batch2-96x64"] {
        let (network, reference, text, mask) = given(case)?;
        let name = model_of(case);
        let (x, t) = (
            &reference["mid.unet_in"],
            case_json(case)["t_ran"].as_f64().ok_or("t")? as f32,
        );
        let rounded = |dtype: DType| -> featscope::Result<Pass> {
            let network = open_as(&name, LoadExtent::Whole, dtype)?;
            let (x, text) = (x.to_dtype(dtype)?, text.to_dtype(dtype)?);
            let conditions = PixArtConditions {
                text: &text,
                mask: Some(&mask),
                size: size_of(&x),
            };
            pass(&network, &x, t, &conditions, everything, true)
        };
        let exact = rounded(DType::F64)?;
        for (key, wanted) in &reference {
            if let Some(id) = key.strip_prefix("feat.") {
                assert!(compare(key, wanted, &exact.taps[id])? < ATOL_REL);
            }
        }
        // Eight of the list, and the norm beside it, with and without massive channels.
        let all = 10 * network.config().num_layers;
        for (dtype, least) in [(DType::F16, 0.9995), (DType::BF16, 0.99)] {
            let found = rounded(dtype)?;
            assert_eq!(found.taps.len(), all);
            let output = |pass: &Pass| ("the output".to_owned(), pass.output.clone().expect("an output"));
            let pairs = found.taps.iter().map(|(id, tensor)| (id.clone(), tensor.clone()));
            for (id, tensor) in pairs.chain([output(&found)]) {
                let wanted = exact.taps.get(&id).cloned().unwrap_or_else(|| output(&exact).1);
                let (x, y) = (numbers(&wanted), numbers(&tensor));
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let cosine = dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt();
                assert!(cosine > least, "{case} {id} in {dtype:?}: {cosine}");
            }
        }
    }
    Ok(())
}

#[test]
fn what_a_file_holds_decides_about_size_conditions() -> TestResult {
    for (name, version, has_sizes) in MODELS {
        assert_eq!(version_of(name)?, version);
        assert_eq!(has_size_conditions(&weights_of(name)?), has_sizes, "{name}");
        assert_eq!(open(name)?.has_size_conditions(), has_sizes, "{name}");
        assert_eq!(config_of(name)?.use_additional_conditions, has_sizes, "{name}");
    }
    // A configuration that says otherwise changes nothing.
    let mut json = read_json(&model("tiny-pixart-alpha").join("transformer/config.json"))?;
    json["use_additional_conditions"] = json!(false);
    let weights = weights_of("tiny-pixart-alpha")?;
    let config = PixArtConfig::from_json(&json)?;
    let network = PixArt::new(config, LoadExtent::Whole, weights.var_builder(DType::F32, &Device::Cpu))?;
    assert!(network.has_size_conditions());
    Ok(())
}

/// Adapters find every layer by the name of its weight, and nothing in the file is left unread.
#[test]
fn layers_bear_the_names_of_the_file() -> TestResult {
    for (name, ..) in MODELS {
        let weights = weights_of(name)?;
        let mut network = open(name)?;
        let mut layers = HashSet::new();
        network.each_layer(&mut |layer| {
            layers.insert(layer.info().name.clone());
        });
        let wanted: HashSet<String> = weights
            .names()
            .filter_map(|name| name.strip_suffix(".weight").map(str::to_owned))
            .collect();
        assert_eq!(layers, wanted, "{name}");
    }
    Ok(())
}

#[test]
fn parts_that_do_not_belong_together_are_refused() -> TestResult {
    let (network, reference, text, mask) = given("pixart-sigma-all-64")?;
    let x = &reference["mid.unet_in"];
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let refusal = |x: &Tensor, text: &Tensor, mask: &[u8]| {
        let conditions = PixArtConditions {
            text,
            mask: Some(mask),
            size: Size::new(64, 64),
        };
        pass(&network, x, 50.0, &conditions, |_| Selection::default(), true)
            .err()
            .map_or_else(String::new, |error| error.to_string())
    };
    assert_eq!(refusal(x, &text, &mask), "");
    assert!(refusal(&zeros(&[1, 16, 8, 8])?, &text, &mask).contains("latents of 4 channels"));
    assert!(refusal(&zeros(&[1, 4, 8, 7])?, &text, &mask).contains("multiples of 2"));
    assert!(refusal(x, &zeros(&[1, 300, 32])?, &mask).contains("text states of width 24"));
    assert!(refusal(x, &zeros(&[2, 300, 24])?, &mask).contains("text states of width 24"));
    assert!(refusal(x, &text, &mask[1..]).contains("a mask of as many numbers"));
    Ok(())
}

#[test]
fn a_tensor_that_does_not_fit_is_named() -> TestResult {
    let weights = weights_of("tiny-pixart-alpha-512")?;
    let config = config_of("tiny-pixart-alpha")?;
    let opened = PixArt::new(config, LoadExtent::Whole, weights.var_builder(DType::F32, &Device::Cpu));
    let error = opened.expect_err("another network").to_string();
    assert!(error.contains("transformer_blocks.2.scale_shift_table"), "{error}");
    // A width that cannot be is refused where the tensor is read, whatever memory it would take.
    let mut json = read_json(&model("tiny-pixart-alpha-512").join("transformer/config.json"))?;
    json["attention_head_dim"] = json!(16_384);
    json["cross_attention_dim"] = json!(49_152);
    let huge = PixArtConfig::from_json(&json)?;
    let opened = PixArt::new(huge, LoadExtent::Whole, weights.var_builder(DType::F32, &Device::Cpu));
    let error = opened.expect_err("wider than the file").to_string();
    assert!(error.contains("the configuration expects"), "{error}");
    Ok(())
}

#[test]
fn catalogues_equal_the_published_lists() -> TestResult {
    for (name, tokens) in [
        ("pixart_sigma_1024", Version::Sigma.tokens()),
        ("pixart_alpha_512", Version::Alpha.tokens()),
    ] {
        let config = PixArtConfig::from_json(&json!({"caption_channels": 4096}))?;
        let table = std::fs::read_to_string(data(&format!("ids/{name}.shapes.tsv")))?;
        let mut lines = table.lines();
        let header: Vec<&str> = lines.next().ok_or("an empty table")?.split('\t').collect();
        let sides: Vec<usize> = header[2..]
            .iter()
            .map(|column| column.trim_start_matches("shape@").parse())
            .collect::<Result<_, _>>()?;
        let lists = sides
            .iter()
            .map(|side| catalogue(&config, Grid::new(side / 8, side / 8), tokens));
        let lists: Vec<Catalogue> = lists.collect();
        let mut ids = Vec::new();
        for line in lines {
            let cells: Vec<&str> = line.split('\t').collect();
            ids.push(cells[0].to_owned());
            for (list, cell) in lists.iter().zip(&cells[2..]) {
                let shape: Vec<usize> = cell.split(',').map(str::parse).collect::<Result<_, _>>()?;
                let entry = list.entry(list.find(cells[0])?).ok_or("no entry")?;
                assert_eq!(entry.shape.dims().as_slice(), shape, "{name} {}", entry.id);
                assert_eq!(matches!(entry.shape, Shape::Attention { .. }), entry.id.is_map());
            }
        }
        let published: Vec<String> =
            serde_json::from_str(&std::fs::read_to_string(data(&format!("ids/{name}.json")))?)?;
        let found: Vec<String> = listed(&lists[0]);
        assert_eq!(found, published, "{name}");
        assert_eq!(ids, published, "{name}");
    }
    Ok(())
}

#[test]
fn every_token_of_a_prompt_is_named() -> TestResult {
    let tokens = tokens_of("tiny-pixart-sigma", "A photo of a cat")?;
    let named = prompt_tokens(&tokens);
    assert_eq!(named.len(), 300);
    let words = named.iter().take_while(|token| token.role == TokenRole::Word);
    let text: String = words.map(|token| token.piece.as_str()).collect();
    assert_eq!(text, "▁a▁photo▁of▁a▁cat");
    assert_eq!((tokens.dropped, named[tokens.kept].role), (0, TokenRole::End));
    assert!(
        named[tokens.kept + 1..]
            .iter()
            .all(|token| token.role == TokenRole::Padding)
    );
    Ok(())
}

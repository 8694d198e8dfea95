//! Z-Image against the reference, through the command line from picture and prompt to the network's output, and by itself.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test says what it expects")]

mod common;

use std::{collections::HashMap, fs, path::Path};

use candle_core::{DType, Device, Tensor, quantized::GgmlDType};
use common::{
    ATOL_REL, TestResult, compare, expected, gguf, model, numbers,
    program::Place,
    program_case::{Case, Pass, Tensors, cosine, everything, load, pass, worst_error},
};
use featscope::{
    activation::{Catalogue, FeatureMap, Selection, Tap},
    analysis::attention::attention_row,
    components::text::qwen_tokenizer::QwenTokenizer,
    families::{
        resolve,
        zimage::{ZImage, ZImageConditions, ZImageConfig, catalogue},
    },
    geometry::{Grid, Size},
    model::LoadExtent,
    nn::adaptable::Adaptable,
    weights::{DIFFUSERS_STEM, Store, open_weights, read_json},
};
use serde_json::{Value, json};

const CASES: [&str; 2] = ["zimage-64x96", "zimage-batch2-112x80"];
const NAME: &str = "tiny-zimage";

#[test]
fn every_case_through_the_command_line() -> TestResult {
    for case in CASES {
        Case::new(case).passes().map_err(|error| format!("{case}: {error}"))?;
    }
    Ok(())
}

#[test]
fn nominal_timesteps_go_through_the_schedule_s_shift() -> TestResult {
    let case = "zimage-batch2-112x80";
    let found = Case::new(case).asked("--nominal-t").extract("vit-block0-k");
    let reference = expected(case);
    for name in ["mid.unet_timestep", "mid.latents_noisy", "mid.sigma"] {
        compare(name, &reference[name], &found[name])?;
    }
    Ok(())
}

fn config() -> featscope::Result<ZImageConfig> {
    ZImageConfig::from_json(&read_json(&model(NAME).join("transformer/config.json"))?)
}

fn weights() -> featscope::Result<Store> {
    open_weights(&model(NAME).join("transformer"), DIFFUSERS_STEM)
}

fn open_as(extent: LoadExtent, dtype: DType) -> featscope::Result<ZImage> {
    ZImage::new(config()?, extent, weights()?.var_builder(dtype, &Device::Cpu))
}

/// A case's network, its latents (B, C, h, w), text and share of the picture.
struct Given {
    network: ZImage,
    reference: Tensors,
    latents: Tensor,
    text: Tensor,
    share: f32,
}

impl Given {
    fn of(case: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let reference = expected(case);
        Ok(Self {
            network: open_as(LoadExtent::Whole, DType::F32)?,
            latents: reference["mid.unet_in"].clone(),
            text: reference["mid.encoder_hidden_states"].narrow(0, 0, 1)?,
            share: reference["mid.unet_timestep"].to_vec1::<f32>()?[0],
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

    fn run(&self, network: &ZImage, selection: &Selection, to_the_end: bool) -> featscope::Result<Pass> {
        let shares = vec![self.share; self.latents.dim(0)?];
        let conditions = ZImageConditions { text: &self.text };
        pass(&self.list()?, selection, to_the_end, |probe| {
            network.forward(&self.latents, &shares, &conditions, probe)
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
        compare(
            "the output",
            &given.reference["mid.unet_out"],
            &found.output.ok_or("an output")?,
        )?;
    }
    Ok(())
}

/// Rows over the picture's positions are made of what is kept; padding takes part in the attention.
#[test]
fn rows_of_attention_come_from_what_is_kept() -> TestResult {
    let given = Given::of("zimage-64x96")?;
    let list = given.list()?;
    let found = given.run(&given.network, &everything(&list), false)?;
    let map = |name: &str| -> featscope::Result<FeatureMap> {
        let tensor = &found.taps[name];
        let (_, channels, height, width) = tensor.dims4()?;
        let positions: Vec<f32> = tensor.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1()?;
        FeatureMap::from_positions(channels, Grid::new(height, width), positions)
    };
    for id in ["vit-block0-self-map", "vit-block4-self-map"] {
        let facts = list.entry(list.find(id)?).ok_or("an entry")?.facts;
        let [queries, keys] = facts.map_sources().ok_or("sources")?;
        let sums = map(facts.row_sums.ok_or("sums")?.as_str())?;
        let whole = &found.taps[id];
        let heads = whole.dim(1)?;
        let row = attention_row([&map(queries.as_str())?, &map(keys.as_str())?], Some(&sums), heads, 7)?;
        for (found, wanted) in row.iter().zip(numbers(&whole.narrow(2, 7, 1)?)) {
            assert!((f64::from(*found) - wanted).abs() < 1e-5, "{id}: {found}, not {wanted}");
        }
        assert!(
            row.iter().sum::<f32>() < heads as f32 - 0.01,
            "{id}: padding has its share"
        );
    }
    assert!(list.find("vit-block1-cross-map").is_err());
    Ok(())
}

#[test]
fn reading_and_running_in_part_changes_nothing_and_a_batch_equals_its_rows() -> TestResult {
    let given = Given::of("zimage-batch2-112x80")?;
    let list = given.list()?;
    let whole = given.run(&given.network, &everything(&list), false)?;
    for name in [
        "vit-block0-q",
        "vit-block1-out",
        "vit-block2-cross-map",
        "vit-block4-out",
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
    let conditions = ZImageConditions { text: &given.text };
    for row in 0..2 {
        let alone = pass(&list, &everything(&list), false, |probe| {
            let latents = given.latents.narrow(0, row, 1)?;
            given.network.forward(&latents, &[given.share], &conditions, probe)
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
    let given = Given::of("zimage-64x96")?;
    let selection = everything(&given.list()?);
    for (dtype, least) in [(DType::F64, 0.999_999), (DType::F16, 0.9995), (DType::BF16, 0.99)] {
        let network = open_as(LoadExtent::Whole, dtype)?;
        let (x, text) = (given.latents.to_dtype(dtype)?, given.text.to_dtype(dtype)?);
        let conditions = ZImageConditions { text: &text };
        let found = pass(&given.list()?, &selection, true, |probe| {
            network.forward(&x, &[given.share], &conditions, probe)
        })?;
        for (name, wanted) in &given.reference {
            let Some(id) = name.strip_prefix("feat.") else { continue };
            let cosine = cosine(wanted, &found.taps[id]);
            assert!(cosine > least, "{dtype:?} {id}: {cosine}");
        }
        let output = found.output.ok_or("an output")?;
        assert!(cosine(&given.reference["mid.unet_out"], &output) > least);
    }
    Ok(())
}

#[test]
fn every_layer_is_known_and_the_full_size_has_its_list() -> TestResult {
    let mut layers = Vec::new();
    let mut network = open_as(LoadExtent::Whole, DType::F32)?;
    network.each_layer(&mut |layer| layers.push(layer.info().name.clone()));
    layers.sort_unstable();
    let weights = weights()?;
    let own = weights.names().filter_map(|name| name.strip_suffix(".weight"));
    let mut wanted: Vec<&str> = own
        .filter(|name| !name.contains("norm") && *name != "cap_embedder.0")
        .collect();
    wanted.sort_unstable();
    assert_eq!(layers, wanted);
    let spec = resolve("z-image-turbo")?;
    let list = spec.plain_catalogue(Size::new(1024, 1024));
    // Two refiners without a map to the text, thirty blocks with one.
    assert_eq!(Selection::parse("all-maps", &list)?.len(), 2 * 8 + 30 * 9);
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_in_words() -> TestResult {
    let given = Given::of("zimage-64x96")?;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let refusal = |latents: &Tensor, text: &Tensor| {
        let list = given.list().expect("a list");
        pass(&list, &Selection::default(), true, |probe| {
            given
                .network
                .forward(latents, &[0.7], &ZImageConditions { text }, probe)
        })
        .err()
        .map_or_else(String::new, |error| error.to_string())
    };
    assert_eq!(refusal(&given.latents, &given.text), "");
    assert!(refusal(&zeros(&[1, 4, 8, 8])?, &given.text).contains("latents of 16 channels"));
    assert!(refusal(&zeros(&[1, 16, 8, 7])?, &given.text).contains("multiples of 2"));
    assert!(refusal(&given.latents, &zeros(&[1, 34, 32])?).contains("text states of width 40"));
    assert!(refusal(&given.latents, &zeros(&[1, 1530, 40])?).contains("1536 of a text"));

    let place = Place::new();
    let folder = place.copy(&model(NAME), "model");
    let case = Case {
        model: folder.clone(),
        ..Case::new("zimage-64x96")
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
    change(
        "transformer/config.json",
        "n_layers",
        json!(2),
        &["layers.2", "no layer"],
    )?;
    change("transformer/config.json", "n_layers", json!(4), &["layers.3"])?;
    change(
        "text_encoder/config.json",
        "hidden_size",
        json!(48),
        &["input_layernorm"],
    )?;
    change(
        "text_encoder/config.json",
        "model_type",
        json!("llama"),
        &["model_type"],
    )?;
    change(
        "tokenizer/tokenizer.json",
        "model",
        json!({"type": "Unigram", "vocab": {}, "merges": []}),
        &["BPE"],
    )?;
    Ok(())
}

/// The transformer's tensors under the names of ComfyUI's files.
fn as_one_file(prefix: &str) -> Result<Tensors, Box<dyn std::error::Error>> {
    let folder = model(NAME).join("transformer");
    let own = load(&folder.join("diffusion_pytorch_model.safetensors"));
    let mut file = HashMap::new();
    for (name, tensor) in &own {
        if name.contains(".attention.to_k.") || name.contains(".attention.to_v.") {
            continue;
        }
        let part = |projection: &str| &own[&name.replace("to_q", projection)];
        let tensor = match name.contains(".attention.to_q.") {
            true => Tensor::cat(&[tensor, part("to_k"), part("to_v")], 0)?,
            false => tensor.clone(),
        };
        let theirs = [
            ("all_x_embedder.2-1.", "x_embedder."),
            ("all_final_layer.2-1.", "final_layer."),
            (".attention.to_q.", ".attention.qkv."),
            (".attention.to_out.0.", ".attention.out."),
            (".attention.norm_q.", ".attention.q_norm."),
            (".attention.norm_k.", ".attention.k_norm."),
        ]
        .into_iter()
        .fold(name.clone(), |name, (ours, theirs)| name.replace(ours, theirs));
        file.insert(format!("{prefix}{theirs}"), tensor);
    }
    Ok(file)
}

/// Files as ComfyUI keeps them, put into the model: with and without a prefix, and as GGUF of Lumina's name or of none.
#[test]
fn a_transformer_s_own_file_gives_the_same_numbers() -> TestResult {
    let place = Place::new();
    let case = |file: &str| {
        let new = Case::new("zimage-64x96");
        Case {
            model: format!("{}+{}", new.model, place.text(file)),
            ..new
        }
    };
    for (prefix, file) in [
        ("", "plain.safetensors"),
        ("model.diffusion_model.", "prefix.safetensors"),
    ] {
        candle_core::safetensors::save(&as_one_file(prefix)?, place.path(file))?;
        case(file).passes().map_err(|error| format!("{file}: {error}"))?;
    }
    for (architecture, file) in [(Some("lumina2"), "lumina.gguf"), (None, "unnamed.gguf")] {
        let tensors = as_one_file("")?;
        let named = tensors.iter().map(|(name, tensor)| (name.clone(), tensor));
        gguf::write(&place.path(file), architecture, named, GgmlDType::F32)?;
        case(file).passes().map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(())
}

/// A file in a folder of the hub's layout takes from it what it lacks; what is no Z-Image, or more than one, is refused by name.
#[test]
fn files_that_are_not_whole_or_of_another_network_are_refused_in_words() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model(NAME), "model");
    let file = Path::new(&folder).join("z_image.safetensors");
    let run = |model: &str, status: i32, words: &[&str]| {
        let case = Case {
            model: model.to_owned(),
            ..Case::new("zimage-64x96")
        };
        let ran = case.run("vit-block0-q", &Place::new());
        match words {
            [] => drop(ran.good()),
            words => drop(ran.refused(status, words)),
        }
    };
    let whole = as_one_file("")?;
    candle_core::safetensors::save(&whole, &file)?;
    let beside = file.display().to_string();
    run(&beside, 0, &[]);
    let alone = place.text("alone.safetensors");
    fs::copy(&file, &alone)?;
    run(&alone, 1, &["z-image-turbo+", "alone.safetensors"]);
    let mut more = whole.clone();
    more.insert(
        "layers.0.attention.other.weight".to_owned(),
        whole["x_pad_token"].clone(),
    );
    candle_core::safetensors::save(&more, &file)?;
    run(&beside, 1, &["layers.0.attention.other.weight"]);
    // Lumina 2 has no padding of the text.
    let mut other = whole.clone();
    other.remove("cap_pad_token");
    candle_core::safetensors::save(&other, &file)?;
    run(
        &format!("{folder}+{beside}"),
        1,
        &["no transformer of Z-Image", "cap_pad_token"],
    );
    Ok(())
}

/// A Qwen3 by itself stands in the place of the model's own: under the names of transformers, and as GGUF under those of llama.cpp.
#[test]
fn a_text_encoder_of_a_file_gives_the_same_states() -> TestResult {
    let place = Place::new();
    let own = load(&model(NAME).join("text_encoder/model.safetensors"));
    candle_core::safetensors::save(&own, place.path("qwen.safetensors"))?;
    let whole = own
        .iter()
        .map(|(name, tensor)| (format!("model.{name}"), tensor.clone()));
    candle_core::safetensors::save(&whole.collect(), place.path("causal.safetensors"))?;
    let theirs = own.iter().map(|(name, tensor)| {
        let name = [
            ("layers.", "blk."),
            ("embed_tokens", "token_embd"),
            ("input_layernorm", "attn_norm"),
            ("post_attention_layernorm", "ffn_norm"),
            ("self_attn.q_proj", "attn_q"),
            ("self_attn.k_proj", "attn_k"),
            ("self_attn.v_proj", "attn_v"),
            ("self_attn.o_proj", "attn_output"),
            ("self_attn.q_norm", "attn_q_norm"),
            ("self_attn.k_norm", "attn_k_norm"),
            ("mlp.gate_proj", "ffn_gate"),
            ("mlp.up_proj", "ffn_up"),
            ("mlp.down_proj", "ffn_down"),
        ]
        .into_iter()
        .fold(name.clone(), |name, (ours, theirs)| name.replace(ours, theirs));
        (name, tensor)
    });
    gguf::write(&place.path("qwen.gguf"), Some("qwen3"), theirs, GgmlDType::F32)?;
    // The model's own is not read where another stands in its place.
    let folder = place.copy(&model(NAME), "model");
    fs::remove_file(Path::new(&folder).join("text_encoder/model.safetensors"))?;
    for file in ["qwen.safetensors", "causal.safetensors", "qwen.gguf"] {
        let case = Case {
            model: folder.clone(),
            ..Case::new("zimage-64x96")
        };
        case.with(&["--text-encoder", &place.text(file)])
            .passes()
            .map_err(|error| format!("{file}: {error}"))?;
    }
    let case = Case {
        model: folder.clone(),
        ..Case::new("zimage-64x96")
    };
    let t5 = model("tiny-flux-dev").join("text_encoder_2").display().to_string();
    case.with(&["--text-encoder", &t5])
        .run("vit-block0-q", &Place::new())
        .refused(2, &["a T5", "reads with a Qwen3"]);
    Ok(())
}

/// Pieces of a text as Qwen's own tokenizer has them, special tokens apart.
#[test]
fn texts_become_the_pieces_of_qwen() -> TestResult {
    let tokenizer = QwenTokenizer::from_folder(&model(NAME).join("tokenizer"))?;
    let pieces = |text: &str| -> featscope::Result<String> {
        let tokens = tokenizer.encode(text)?;
        Ok(tokens.iter().map(|token| token.piece.as_str()).collect())
    };
    assert_eq!(pieces("a photo of  2 cats")?, "a▁photo▁of▁▁2▁cats");
    assert_eq!(pieces("<|im_start|>user\na")?, "<|im_start|>user\na");
    assert_eq!(tokenizer.encode("<|im_start|>")?.len(), 1);
    // The composed form of a letter and its accent, both in bytes.
    assert_eq!(tokenizer.encode("e\u{301}")?, tokenizer.encode("\u{e9}")?);
    assert_eq!(tokenizer.encode("")?, []);
    Ok(())
}

//! The text encoders against the reference's states, and against broken files.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use common::{case_json, compare, data, expected};
use featscope::{
    Error, Result,
    activation::{Progress, no_progress},
    components::text::{Activation, CONTEXT_LENGTH, ClipConfig, ClipTextModel, TextStates, Tokenizer},
    weights::open_weights,
};
use serde_json::{Value, json};

/// Ids of a long prompt that the reference encodes at once.
const REFERENCE_RUN: usize = 77;

struct Case {
    name: &'static str,
    model: PathBuf,
    prompt: String,
    expected: HashMap<String, Tensor>,
}

impl Case {
    fn open(name: &'static str) -> Self {
        let json = case_json(name);
        Self {
            name,
            model: data(json["model"].as_str().expect("a model's folder")),
            prompt: json["prompt"].as_str().expect("a prompt").to_owned(),
            expected: expected(name),
        }
    }

    fn encode(&self, suffix: &str) -> Result<TextStates> {
        open(&self.model, suffix)?.encode(&self.prompt, &mut no_progress)
    }

    fn assert_close(&self, key: &str, found: &Tensor) {
        if let Err(difference) = compare(key, &self.expected[key], found) {
            panic!("{}: {difference}", self.name);
        }
    }
}

/// A text encoder with its tokenizer.
struct TextEncoder {
    tokenizer: Tokenizer,
    model: ClipTextModel,
}

impl TextEncoder {
    fn encode(&self, prompt: &str, watch: &mut Progress<'_>) -> Result<TextStates> {
        self.model.encode_chunks(&self.tokenizer.chunks(prompt)?, watch)
    }
}

fn open(model: &Path, suffix: &str) -> Result<TextEncoder> {
    let folder = model.join(format!("text_encoder{suffix}"));
    Ok(TextEncoder {
        tokenizer: Tokenizer::from_folder(&model.join(format!("tokenizer{suffix}")))?,
        model: ClipTextModel::from_folder(&folder, &Device::Cpu, DType::F32)?,
    })
}

#[test]
fn last_states_equal_the_reference() -> Result<()> {
    for name in [
        "sd15-all-64",
        "sd15-nonsquare-64x96",
        "sd15-batch2-resize2",
        "sd21-all-64",
        "dift-sd21",
    ] {
        let case = Case::open(name);
        case.assert_close("mid.prompt_embeds", &case.encode("")?.last);
    }
    Ok(())
}

#[test]
fn penultimate_and_pooled_states_equal_the_reference() -> Result<()> {
    let case = Case::open("sdxl-all-64");
    let (first, second) = (case.encode("")?, case.encode("_2")?);
    let joined = Tensor::cat(&[&first.penultimate, &second.penultimate], 2)?;
    case.assert_close("mid.prompt_embeds", &joined);
    case.assert_close("mid.pooled_prompt_embeds", &second.pooled);
    Ok(())
}

#[test]
fn short_sequences_equal_the_reference() -> Result<()> {
    let case = Case::open("sd15-long-prompt");
    let encoder = open(&case.model, "")?;
    let runs = encoder
        .tokenizer
        .encode_whole(&case.prompt)?
        .chunks(REFERENCE_RUN)
        .map(|run| Ok(encoder.model.forward(&[run.to_vec()], &mut no_progress)?.last))
        .collect::<Result<Vec<_>>>()?;
    case.assert_close("mid.prompt_embeds", &Tensor::cat(&runs, 1)?);
    Ok(())
}

#[test]
fn a_batch_equals_its_rows() -> Result<()> {
    for (model, suffix) in [("tiny-sd15", ""), ("tiny-sdxl", "_2")] {
        let encoder = open(&data("models").join(model), suffix)?;
        let rows = ["a cat", "", "a photo of a dog, running"]
            .iter()
            .map(|prompt| Ok(encoder.tokenizer.encode(prompt)?.ids))
            .collect::<Result<Vec<_>>>()?;
        let batch = encoder.model.forward(&rows, &mut no_progress)?;
        for (index, row) in rows.into_iter().enumerate() {
            let single = encoder.model.forward(&[row], &mut no_progress)?;
            for (batch, single) in [
                (&batch.last, &single.last),
                (&batch.penultimate, &single.penultimate),
                (&batch.pooled, &single.pooled),
            ] {
                let difference = (batch.narrow(0, index, 1)? - single)?.abs()?.max_all()?;
                assert!(difference.to_scalar::<f32>()? < 1e-5);
            }
        }
    }
    Ok(())
}

#[test]
fn long_prompts_give_all_their_chunks() -> Result<()> {
    let encoder = open(&data("models/tiny-sd15"), "")?;
    let long = "a photo of a red cat ".repeat(20);
    let chunks = encoder.tokenizer.chunks(&long)?;
    assert!(chunks.len() > 1);
    let states = encoder.encode(&long, &mut no_progress)?;
    let width = encoder.model.config().hidden_size;
    assert_eq!(states.last.dims(), [1, chunks.len() * CONTEXT_LENGTH, width]);
    assert_eq!(states.pooled.dims(), [1, width]);
    let second = encoder.model.forward(&chunks[1..2], &mut no_progress)?.last;
    let difference = (states.last.narrow(1, CONTEXT_LENGTH, CONTEXT_LENGTH)? - second)?;
    assert!(difference.abs()?.max_all()?.to_scalar::<f32>()? < 1e-5);
    Ok(())
}

#[test]
fn the_watch_hears_every_layer_and_can_stop() -> Result<()> {
    let encoder = open(&data("models/tiny-sd15"), "")?;
    let mut heard = Vec::new();
    encoder.encode("a cat", &mut |fraction| {
        heard.push(fraction);
        Ok(())
    })?;
    assert_eq!(heard.len(), encoder.model.config().num_hidden_layers + 1);
    assert!(heard.is_sorted() && heard.last() == Some(&1.0));

    let mut calls = 0;
    let stopped = encoder.encode("a cat", &mut |_| {
        calls += 1;
        if calls == 2 { Err(Error::Cancelled) } else { Ok(()) }
    });
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert_eq!(calls, 2);
    Ok(())
}

#[test]
fn ids_outside_the_vocabulary_are_an_error() -> Result<()> {
    let encoder = open(&data("models/tiny-sd15"), "")?;
    let size = encoder.model.config().vocab_size as u32;
    let error = |ids: &[Vec<u32>]| match encoder.model.forward(ids, &mut no_progress) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{ids:?} was encoded"),
    };
    assert!(error(&[vec![0, size]]).contains("outside the text encoder's vocabulary"));
    for ids in [
        vec![],
        vec![vec![]],
        vec![vec![1], vec![1, 2]],
        vec![vec![1; CONTEXT_LENGTH + 1]],
    ] {
        assert!(error(&ids).contains("sequences of one length"));
    }
    Ok(())
}

/// A copy of a model's tokenizer and text encoder, to be broken.
fn copied(model: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    for sub in ["text_encoder", "tokenizer"] {
        fs::create_dir(copy.path().join(sub)).expect("a folder");
        for entry in fs::read_dir(data("models").join(model).join(sub)).expect("a folder") {
            let entry = entry.expect("an entry");
            fs::copy(entry.path(), copy.path().join(sub).join(entry.file_name())).expect("a copy");
        }
    }
    copy
}

fn weights_of(copy: &tempfile::TempDir) -> PathBuf {
    copy.path().join("text_encoder/model.safetensors")
}

fn tensors_of(copy: &tempfile::TempDir) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(weights_of(copy), &Device::Cpu).expect("weights")
}

fn save(tensors: &HashMap<String, Tensor>, file: &Path) {
    candle_core::safetensors::save(tensors, file).expect("saved weights");
}

fn problem(model: &Path) -> String {
    match open(model, "") {
        Err(Error::Failed(message) | Error::File { message, .. } | Error::Compute { message, .. }) => message,
        Err(other) => panic!("another kind of error: {other}"),
        Ok(_) => panic!("the text encoder was opened"),
    }
}

fn assert_mentions(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

const FINAL_BIAS: &str = "text_model.final_layer_norm.bias";

#[test]
fn names_without_prefix_are_read() -> Result<()> {
    let case = Case::open("sd15-all-64");
    let copy = copied("tiny-sd15");
    let bare = tensors_of(&copy)
        .into_iter()
        .map(|(name, tensor)| (name.trim_start_matches("text_model.").to_owned(), tensor))
        .collect();
    save(&bare, &weights_of(&copy));
    let states = open(copy.path(), "")?.encode(&case.prompt, &mut no_progress)?;
    case.assert_close("mid.prompt_embeds", &states.last);
    Ok(())
}

#[test]
fn shards_are_read_together() -> Result<()> {
    let case = Case::open("sd15-all-64");
    let copy = copied("tiny-sd15");
    let folder = copy.path().join("text_encoder");
    let (first, second): (HashMap<_, _>, HashMap<_, _>) = tensors_of(&copy)
        .into_iter()
        .partition(|(name, _)| name.contains("layers.0"));
    let mut map = serde_json::Map::new();
    for (file, tensors) in [
        ("model-00001-of-00002.safetensors", &first),
        ("model-00002-of-00002.safetensors", &second),
    ] {
        save(tensors, &folder.join(file));
        map.extend(tensors.keys().map(|name| (name.clone(), json!(file))));
    }
    fs::remove_file(weights_of(&copy)).expect("removed");
    let index = json!({"metadata": {}, "weight_map": map});
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).expect("written");
    let states = open(copy.path(), "")?.encode(&case.prompt, &mut no_progress)?;
    case.assert_close("mid.prompt_embeds", &states.last);
    Ok(())
}

#[test]
fn integer_tensors_are_read_as_they_are() -> Result<()> {
    let store = open_weights(&data("models/tiny-sd15/text_encoder"), "model")?;
    let name = "text_model.embeddings.position_ids";
    assert_eq!(store.shape(name), Some([1, CONTEXT_LENGTH].as_slice()));
    let positions = store
        .var_builder(DType::I64, &Device::Cpu)
        .get_unchecked(name)?
        .flatten_all()?
        .to_vec1::<i64>()?;
    assert!(positions.into_iter().eq(0..CONTEXT_LENGTH as i64));
    Ok(())
}

#[test]
fn large_but_finite_weights_are_read() -> Result<()> {
    let copy = copied("tiny-sd15");
    let mut tensors = tensors_of(&copy);
    // Their sum is beyond f32.
    let large = (tensors[FINAL_BIAS].ones_like()? * f64::from(f32::MAX / 2.0))?;
    tensors.insert(FINAL_BIAS.to_owned(), large);
    save(&tensors, &weights_of(&copy));
    open(copy.path(), "").map(|_| ())
}

#[test]
fn weights_that_are_not_numbers_are_named() -> Result<()> {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let copy = copied("tiny-sd15");
        let mut tensors = tensors_of(&copy);
        let mut bias = tensors[FINAL_BIAS].to_vec1::<f32>()?;
        bias[3] = value as f32;
        tensors.insert(FINAL_BIAS.to_owned(), Tensor::new(bias, &Device::Cpu)?);
        save(&tensors, &weights_of(&copy));
        assert_mentions(
            &problem(copy.path()),
            &["model.safetensors", FINAL_BIAS, "NaN or infinite"],
        );
    }
    Ok(())
}

#[test]
fn tensors_that_lack_or_do_not_fit_are_named() -> Result<()> {
    let copy = copied("tiny-sd15");
    let name = "text_model.encoder.layers.1.mlp.fc1.weight";
    let mut tensors = tensors_of(&copy);
    let weight = tensors[name].clone();
    tensors.insert(name.to_owned(), weight.t()?.contiguous()?);
    save(&tensors, &weights_of(&copy));
    assert_mentions(
        &problem(copy.path()),
        &["model.safetensors", name, "[32, 64]", "[64, 32]"],
    );

    tensors.remove(name);
    save(&tensors, &weights_of(&copy));
    assert_mentions(&problem(copy.path()), &["model.safetensors", "lacks", name, "[64, 32]"]);

    save(&HashMap::from([("other".to_owned(), weight)]), &weights_of(&copy));
    assert_mentions(&problem(copy.path()), &["lacks", "text_model."]);
    Ok(())
}

#[test]
fn broken_weight_files_are_named() {
    let copy = copied("tiny-sd15");
    let file = weights_of(&copy);
    let whole = fs::read(&file).expect("weights");
    fs::write(&file, "").expect("written");
    assert_mentions(&problem(copy.path()), &["model.safetensors", "empty"]);
    for kept in [1, 8, 9, 1000, whole.len() / 2, whole.len() - 1] {
        fs::write(&file, &whole[..kept]).expect("written");
        assert_mentions(&problem(copy.path()), &["model.safetensors", "cut off"]);
    }
    for (text, expected) in [
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            "git lfs pull",
        ),
        ("<!DOCTYPE html><html>not found</html>", "web page"),
    ] {
        fs::write(&file, text).expect("written");
        assert_mentions(&problem(copy.path()), &["model.safetensors", expected]);
    }
    fs::remove_file(&file).expect("removed");
    assert_mentions(
        &problem(copy.path()),
        &["text_encoder", "model.safetensors", "pytorch_model.bin", "config.json"],
    );
    fs::write(copy.path().join("text_encoder/pytorch_model.bin"), "no pickle").expect("written");
    assert_mentions(&problem(copy.path()), &["pytorch_model.bin", "PyTorch"]);
}

#[test]
fn absurd_configurations_are_named() {
    for (key, value, expected) in [
        ("num_attention_heads", json!(0), "\"num_attention_heads\" is 0"),
        ("num_attention_heads", json!(5), "a divisor of hidden_size 32"),
        ("hidden_size", json!(0), "\"hidden_size\" is 0"),
        ("hidden_size", json!(1_u64 << 40), "\"hidden_size\" is 1099511627776"),
        ("intermediate_size", json!(1_u64 << 62), "\"intermediate_size\" is"),
        ("num_hidden_layers", json!(0), "\"num_hidden_layers\" is 0"),
        (
            "num_hidden_layers",
            json!(1_000_000),
            "\"num_hidden_layers\" is 1000000",
        ),
        ("max_position_embeddings", json!(0), "\"max_position_embeddings\" is 0"),
        ("vocab_size", json!(-1), "\"vocab_size\" is -1"),
        ("vocab_size", json!(u64::MAX), "\"vocab_size\" is"),
        ("eos_token_id", json!("end"), "\"eos_token_id\" is"),
        ("layer_norm_eps", json!(-1e-5), "\"layer_norm_eps\" is"),
        ("hidden_act", json!("swish"), "quick_gelu"),
        ("hidden_size", json!(48), "the configuration expects [48]"),
    ] {
        let copy = copied("tiny-sd15");
        let file = copy.path().join("text_encoder/config.json");
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&file).expect("a file")).expect("JSON");
        config[key] = value;
        fs::write(&file, config.to_string()).expect("written");
        assert_mentions(&problem(copy.path()), &[expected]);
    }
    let copy = copied("tiny-sd15");
    fs::write(copy.path().join("text_encoder/config.json"), "[]").expect("written");
    assert_mentions(&problem(copy.path()), &["config.json"]);
}

#[test]
fn a_configuration_without_keys_has_the_defaults() -> Result<()> {
    let config = ClipConfig::from_json(&json!({"hidden_size": 1024, "num_attention_heads": 16, "hidden_act": "gelu"}))?;
    assert_eq!((config.vocab_size, config.num_hidden_layers), (49408, 12));
    assert_eq!((config.hidden_act, config.eos_token_id), (Activation::Gelu, 49407));
    Ok(())
}

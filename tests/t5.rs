//! T5's tokenizer and encoder: the reference's ids of twenty nasty prompts, files as people have them, and broken ones.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::{collections::HashMap, fs, path::Path};

use candle_core::{DType, Device, Tensor};
use common::{TestResult, case_file, model, numbers};
use featscope::{
    activation::no_progress,
    components::text::{
        sentencepiece::SentencePiece,
        t5::{T5Config, T5Encoder},
        t5_tokenizer::T5Tokenizer,
    },
    families::pixart::prepare_prompt,
    weights::read_json,
};
use serde_json::{Value, json};

const SIGMA: &str = "tiny-pixart-sigma";

/// Prompts, and the ids of each.
type Prompts = (Vec<String>, Vec<Vec<u32>>);

fn reference() -> Result<Prompts, Box<dyn std::error::Error>> {
    let json: Value = serde_json::from_str(&fs::read_to_string(case_file("tokens", "tokens.json"))?)?;
    let prompts = serde_json::from_value(json["prompts"].clone())?;
    let ids = serde_json::from_value(json["models/tiny-pixart-sigma/tokenizer"]["ids"].clone())?;
    Ok((prompts, ids))
}

/// A folder with some of the files of a tokenizer.
fn folder_of(name: &str, files: &[&str]) -> std::io::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for file in files {
        fs::copy(model(name).join("tokenizer").join(file), folder.path().join(file))?;
    }
    Ok(folder)
}

fn refusal(folder: &Path) -> String {
    T5Tokenizer::from_folder(folder).map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn ids_equal_the_reference_from_either_file() -> TestResult {
    let (prompts, all) = reference()?;
    assert_eq!((prompts.len(), all.len()), (20, 20));
    for file in ["spiece.model", "tokenizer.json"] {
        let folder = folder_of(SIGMA, &[file])?;
        let tokenizer = T5Tokenizer::from_folder(folder.path())?;
        for (prompt, ids) in prompts.iter().zip(&all) {
            let tokens = tokenizer.encode(&prepare_prompt(prompt), 300)?;
            let kept = tokens.kept + 1;
            assert_eq!(tokens.ids[..kept], ids[..], "{file}: {prompt:?}");
            assert!(tokens.ids[kept..].iter().all(|id| *id == 0));
            assert_eq!((tokens.ids.len(), tokens.pieces.len()), (300, 300));
            assert!(tokens.dropped == 0 || kept == 300);
        }
    }
    Ok(())
}

/// Files that other programs made say that no blank is put before the text; T5 was trained with one.
#[test]
fn a_blank_is_put_before_the_text_whatever_the_file_says() -> TestResult {
    let folder = folder_of(SIGMA, &["tokenizer.json"])?;
    let path = folder.path().join("tokenizer.json");
    let wanted = T5Tokenizer::from_folder(folder.path())?.encode("a cat", 8)?;
    let mut json: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    json["pre_tokenizer"]["prepend_scheme"] = json!("never");
    fs::write(&path, json.to_string())?;
    assert_eq!(T5Tokenizer::from_folder(folder.path())?.encode("a cat", 8)?, wanted);
    assert_eq!(wanted.pieces[..2], ["▁a", "▁cat"]);
    Ok(())
}

#[test]
fn prompts_are_cut_and_filled_up() -> TestResult {
    let tokenizer = T5Tokenizer::from_folder(&model(SIGMA).join("tokenizer"))?;
    let whole = tokenizer.encode("a photo of a cat", 20)?;
    let cut = tokenizer.encode("a photo of a cat", 3)?;
    assert_eq!(cut.ids, [whole.ids[0], whole.ids[1], 1]);
    assert_eq!((cut.kept, cut.dropped, cut.mask()), (2, whole.kept - 2, vec![1; 3]));
    let empty = tokenizer.encode("", 3)?;
    assert_eq!(
        (empty.ids.as_slice(), empty.mask().as_slice()),
        (&[1, 0, 0][..], &[1, 0, 0][..])
    );
    assert_eq!(empty.pieces, ["</s>", "<pad>", "<pad>"]);
    for length in [0, 5000] {
        assert!(tokenizer.encode("a", length).is_err());
    }
    assert!(tokenizer.encode(&"a ".repeat(40_000), 300).is_err());
    Ok(())
}

/// As `T5Tokenizer` has it: split off before anything else, the text on both sides each with a blank before it.
#[test]
fn special_tokens_inside_a_prompt() -> TestResult {
    for files in [
        &["spiece.model", "added_tokens.json"][..],
        &["spiece.model", "tokenizer_config.json"],
        &["tokenizer.json"],
    ] {
        let folder = folder_of(SIGMA, files)?;
        let tokenizer = T5Tokenizer::from_folder(folder.path())?;
        let tokens = tokenizer.encode("a<extra_id_1>a</s> <extra_id_12>", 8)?;
        let a = tokenizer.encode("a", 2)?.ids[0];
        assert_eq!(tokens.ids, [a, 226, a, 1, 215, 1, 0, 0], "{files:?}");
        assert_eq!(tokens.pieces[1], "<extra_id_1>");
    }
    Ok(())
}

#[test]
fn a_model_that_is_cut_off_is_refused() -> TestResult {
    let bytes = fs::read(model("tiny-pixart-alpha-512").join("tokenizer/spiece.model"))?;
    for length in 0..bytes.len() {
        if let Ok(model) = SentencePiece::from_bytes(&bytes[..length], "the test") {
            model.encode("a photo of a cat")?;
        }
    }
    let bytes = fs::read(model(SIGMA).join("tokenizer/spiece.model"))?;
    for length in (0..bytes.len()).step_by(3001) {
        let read = SentencePiece::from_bytes(&bytes[..length], "the test");
        let ends_between_fields = length < 4000;
        assert!(read.is_err() || ends_between_fields, "{length}");
    }
    Ok(())
}

/// Bits of the file turned one after the other, in all of the vocabulary and in the normaliser's trie: an error or a
/// tokenizer, never a panic.
#[test]
fn a_model_with_wrong_bits_is_read_or_refused() -> TestResult {
    let bytes = fs::read(model(SIGMA).join("tokenizer/spiece.model"))?;
    let (prompts, _) = reference()?;
    let prompts: Vec<&str> = prompts
        .iter()
        .map(String::as_str)
        .filter(|prompt| prompt.len() < 100)
        .collect();
    let mut read = 0;
    for step in 0..3000_usize {
        // The first bytes are the vocabulary; of the rest a place far from the one before.
        let place = if step < 2200 { step } else { step * 7919 % bytes.len() };
        let mut wrong = bytes.clone();
        wrong[place] ^= 1 << (step % 8);
        if let Ok(model) = SentencePiece::from_bytes(&wrong, "the test") {
            read += 1;
            for prompt in &prompts {
                // The rules may lead outside of the file now.
                drop(model.encode(prompt));
            }
        }
    }
    assert!(read > 100, "{read}");
    Ok(())
}

/// One field of a message.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(bytes);
    field
}

/// A piece with its score and its kind.
fn piece(text: &[u8], score: f32, kind: u8) -> Vec<u8> {
    let mut message = field(1, text);
    message.push(2 << 3 | 5);
    message.extend(score.to_le_bytes());
    message.extend([3 << 3, kind]);
    field(1, &message)
}

#[test]
fn models_of_another_kind_are_refused_by_name() -> TestResult {
    let sound = [piece(b"?", 0.0, 2), piece(b"a", -1.0, 1), piece(b"</s>", 0.0, 3)].concat();
    let with = |more: Vec<u8>| [sound.clone(), more].concat();
    let enormous = (0..262_145).flat_map(|id: u32| piece(id.to_string().as_bytes(), 0.0, 1));
    for (bytes, wanted) in [
        (with(field(2, &[3 << 3, 2])), "model_type is bpe"),
        (with(field(2, &[3 << 3, 77])), "no kind that is known"),
        (with(field(2, &[0xc0, 2, 0])), ""),
        (with(field(2, &[0xc0, 1, 1])), "treat_whitespace_as_suffix"),
        (with(field(2, &[0x98, 2, 1])), "byte_fallback"),
        (with(piece(b"<0x41>", 0.0, 6)), "byte_fallback"),
        (with(piece(b"b", f32::INFINITY, 1)), "score of its piece 3"),
        (with(piece(b"a", -2.0, 1)), "1 and 3 are both"),
        (with(piece(&[0xff], -2.0, 1)), "piece 3 is no text"),
        (with(piece(&[b'x'; 4096], -2.0, 1)), "piece 3 has 4096 bytes"),
        (with(piece(b"b", -2.0, 9)), "piece 3 is of no kind"),
        (with(field(3, &field(2, &[1, 2, 3]))), "precompiled_charsmap"),
        (
            with(field(3, &field(2, &[0xff, 0xff, 0xff, 0xff, 0]))),
            "precompiled_charsmap",
        ),
        (piece(b"a", 0.0, 1), "0 pieces for what is unknown"),
        (b"not a model at all".to_vec(), "no SentencePiece model"),
        (enormous.collect(), "more than 262144 pieces"),
        (vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f], "no SentencePiece model"),
    ] {
        let error = SentencePiece::from_bytes(&bytes, "spiece.model");
        let error = error.map_or_else(|error| error.to_string(), |_| String::new());
        match wanted {
            "" => assert_eq!(error, "", "a field that is not known is passed over"),
            wanted => assert!(
                error.contains(wanted) && error.contains("spiece.model"),
                "{wanted}: {error}"
            ),
        }
    }
    let folder = tempfile::tempdir()?;
    fs::write(
        folder.path().join("spiece.model"),
        [piece(b"?", 0.0, 2), piece(b"a", -1.0, 1)].concat(),
    )?;
    assert!(refusal(folder.path()).contains("lacks the token \"</s>\""));
    Ok(())
}

#[test]
fn folders_without_a_tokenizer_of_t5_are_refused_by_name() -> TestResult {
    let folder = tempfile::tempdir()?;
    assert!(refusal(folder.path()).contains("spiece.model"));
    let path = folder.path().join("tokenizer.json");
    for (json, wanted) in [
        ("{", "tokenizer.json"),
        (r#"{"model": {"type": "BPE", "vocab": {"a": 1}}}"#, "tokenizer.json"),
        (
            r#"{"model": {"type": "BPE", "vocab": []}}"#,
            "\"BPE\"; only \"Unigram\"",
        ),
        (
            r#"{"model": {"type": "Unigram", "vocab": [], "byte_fallback": true}}"#,
            "byte_fallback",
        ),
        (
            r#"{"model": {"type": "Unigram", "vocab": [], "unk_id": 7}}"#,
            "what is unknown",
        ),
        (
            r#"{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["?", 0], ["a", -1]]},
                "normalizer": {"type": "Precompiled", "precompiled_charsmap": "!"}}"#,
            "base64",
        ),
        (
            r#"{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["?", 0], ["a", 1e99]]}}"#,
            "piece 1 is inf",
        ),
    ] {
        fs::write(&path, json)?;
        let error = refusal(folder.path());
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    fs::write(folder.path().join("spiece.model"), vec![0; (16 << 20) + 1])?;
    assert!(
        refusal(folder.path()).contains("SentencePiece model of more than"),
        "{}",
        refusal(folder.path())
    );
    Ok(())
}

fn states(folder: &Path) -> featscope::Result<Tensor> {
    let encoder = T5Encoder::from_folder(folder, &Device::Cpu, DType::F32)?;
    encoder.forward(&[vec![10, 42, 7, 1, 0]], Some(&[vec![1, 1, 1, 1, 0]]), &mut no_progress)
}

#[test]
fn an_encoder_in_shards_and_one_with_its_table_inside_give_the_same() -> TestResult {
    let source = model(SIGMA).join("text_encoder");
    let wanted = numbers(&states(&source)?);
    let tensors = candle_core::safetensors::load(source.join("model.safetensors"), &Device::Cpu)?;

    let folder = tempfile::tempdir()?;
    fs::copy(source.join("config.json"), folder.path().join("config.json"))?;
    let mut shards = [HashMap::new(), HashMap::new()];
    let mut names: Vec<&String> = tensors.keys().collect();
    names.sort();
    let mut map = serde_json::Map::new();
    for (index, name) in names.into_iter().enumerate() {
        map.insert(
            name.clone(),
            json!(format!("model-0000{}-of-00002.safetensors", index % 2 + 1)),
        );
        shards[index % 2].insert(name.clone(), tensors[name].clone());
    }
    for (index, shard) in shards.iter().enumerate() {
        let file = format!("model-0000{}-of-00002.safetensors", index + 1);
        candle_core::safetensors::save(shard, folder.path().join(file))?;
    }
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    fs::write(folder.path().join("model.safetensors.index.json"), index.to_string())?;
    assert_eq!(numbers(&states(folder.path())?), wanted);

    let folder = tempfile::tempdir()?;
    fs::copy(source.join("config.json"), folder.path().join("config.json"))?;
    let mut renamed = tensors;
    let table = renamed.remove("shared.weight").ok_or("a table")?;
    renamed.insert("encoder.embed_tokens.weight".to_owned(), table);
    candle_core::safetensors::save(&renamed, folder.path().join("model.safetensors"))?;
    assert_eq!(numbers(&states(folder.path())?), wanted);
    renamed.remove("encoder.block.1.layer.1.DenseReluDense.wi_1.weight");
    candle_core::safetensors::save(&renamed, folder.path().join("model.safetensors"))?;
    let error = states(folder.path()).expect_err("a tensor is missing").to_string();
    assert!(
        error.contains("encoder.block.1.layer.1.DenseReluDense.wi_1.weight"),
        "{error}"
    );
    Ok(())
}

#[test]
fn padding_and_other_sequences_change_no_state() -> TestResult {
    let encoder = T5Encoder::from_folder(&model(SIGMA).join("text_encoder"), &Device::Cpu, DType::F32)?;
    let run = |ids: &[Vec<u32>], masks: Option<&[Vec<u8>]>| encoder.forward(ids, masks, &mut no_progress);
    let short = run(&[vec![10, 42, 1]], None)?;
    let ids = [vec![10, 42, 1, 0, 0], vec![10, 42, 7, 5, 1]];
    let both = run(&ids, Some(&[vec![1, 1, 1, 0, 0], vec![1; 5]]))?;
    common::compare("the states", &short, &both.narrow(0, 0, 1)?.narrow(1, 0, 3)?)?;
    let unmasked = run(&ids[..1], None)?.narrow(1, 0, 3)?;
    assert!(common::compare("the states", &short, &unmasked).is_err());
    Ok(())
}

#[test]
fn ids_and_masks_that_cannot_be_are_refused() -> TestResult {
    let encoder = T5Encoder::from_folder(&model(SIGMA).join("text_encoder"), &Device::Cpu, DType::F32)?;
    let refused = |ids: &[Vec<u32>], masks: Option<&[Vec<u8>]>| {
        let error = encoder.forward(ids, masks, &mut no_progress).expect_err("refused");
        error.to_string()
    };
    assert!(refused(&[vec![1, 512]], None).contains("vocabulary of 512"));
    for ids in [&[][..], &[vec![]], &[vec![1], vec![1, 2]], &[vec![1; 1025]]] {
        assert!(refused(ids, None).contains("sequences of one length"));
    }
    for masks in [&[][..], &[vec![1]], &[vec![1, 2]], &[vec![1, 1], vec![1, 1]]] {
        assert!(refused(&[vec![1, 2]], Some(masks)).contains("mask of zeros and ones"));
    }
    let mut cancelled = |_: f32| Err(featscope::Error::Cancelled);
    let ended = encoder.forward(&[vec![1]], None, &mut cancelled);
    assert!(matches!(ended, Err(featscope::Error::Cancelled)));
    Ok(())
}

/// A configuration of absurd widths is refused before anything of them is made: by its own bound, or by the file's shapes.
#[test]
fn an_encoder_wider_than_its_file_is_refused() -> TestResult {
    let source = model(SIGMA).join("text_encoder");
    for (key, value, wanted) in [
        ("d_model", json!(1_u64 << 50), "\"d_model\" is 1125899906842624"),
        (
            "d_model",
            json!(65_536),
            "has shape [24], the configuration expects [65536]",
        ),
        ("d_ff", json!(65_536), "DenseReluDense.wi_0.weight has shape"),
        ("vocab_size", json!(1 << 20), "shared.weight has shape"),
        ("num_layers", json!(64), "encoder.block.3."),
        ("relative_attention_num_buckets", json!(64), "relative_attention_bias"),
    ] {
        let folder = tempfile::tempdir()?;
        fs::copy(
            source.join("model.safetensors"),
            folder.path().join("model.safetensors"),
        )?;
        let mut config = read_json(&source.join("config.json"))?;
        config[key] = value;
        fs::write(folder.path().join("config.json"), config.to_string())?;
        let opened = T5Encoder::from_folder(folder.path(), &Device::Cpu, DType::F32);
        let error = opened.err().map_or_else(String::new, |error| error.to_string());
        assert!(error.contains(wanted), "{key}: {error}");
    }
    let mt5 = json!({"model_type": "mt5", "feed_forward_proj": "gated-gelu", "d_model": 2048, "num_heads": 32});
    assert_eq!(T5Config::from_json(&mt5)?.inner_width(), 2048);
    Ok(())
}

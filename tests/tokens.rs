//! The tokenizer against the reference's ids of twenty nasty prompts, and against broken files.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::{fs, path::Path};

use common::{case_file, data};
use featscope::{
    Error,
    components::text::{CONTEXT_LENGTH, MAX_PROMPT_TOKENS, Tokenizer},
};
use serde_json::{Value, json};

const FOLDERS: [&str; 2] = ["models/tiny-sd15/tokenizer", "models/tiny-sd21/tokenizer"];

fn reference() -> Value {
    let text = fs::read_to_string(case_file("tokens", "tokens.json")).expect("the reference's ids");
    serde_json::from_str(&text).expect("JSON")
}

fn prompts(reference: &Value) -> Vec<String> {
    serde_json::from_value(reference["prompts"].clone()).expect("a list of prompts")
}

fn ids(reference: &Value, folder: &str, key: &str) -> Vec<Vec<u32>> {
    serde_json::from_value(reference[folder][key].clone()).expect("a list of ids per prompt")
}

fn copied(folder: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(data(folder)).expect("a tokenizer's folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
    }
    copy
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON")
}

fn write_json(path: &Path, value: &Value) {
    fs::write(path, value.to_string()).expect("a written file");
}

fn problem(folder: &Path) -> String {
    match Tokenizer::from_folder(folder) {
        Err(Error::Failed(message) | Error::File { message, .. } | Error::Compute { message, .. }) => message,
        Err(other) => panic!("another kind of error: {other}"),
        Ok(_) => panic!("the tokenizer was read"),
    }
}

#[test]
fn ids_equal_the_reference() -> Result<(), Error> {
    let reference = reference();
    let prompts = prompts(&reference);
    assert_eq!(prompts.len(), 20);
    for folder in FOLDERS {
        let tokenizer = Tokenizer::from_folder(&data(folder))?;
        let padded = ids(&reference, folder, "padded77");
        let whole = ids(&reference, folder, "raw_no_truncation");
        assert_eq!((padded.len(), whole.len()), (prompts.len(), prompts.len()));
        for ((prompt, padded), whole) in prompts.iter().zip(padded).zip(whole) {
            let encoded = tokenizer.encode(prompt)?;
            assert_eq!(encoded.ids, padded, "{folder}: {prompt:?}");
            assert_eq!(encoded.pieces.len(), encoded.ids.len());
            assert_eq!(encoded.kept + encoded.dropped + 2, whole.len(), "{prompt:?}");
            assert_eq!(tokenizer.encode_whole(prompt)?, whole, "{folder}: {prompt:?}");
        }
    }
    Ok(())
}

#[test]
fn long_prompts_become_well_formed_chunks() -> Result<(), Error> {
    let reference = reference();
    for folder in FOLDERS {
        let tokenizer = Tokenizer::from_folder(&data(folder))?;
        let whole = ids(&reference, folder, "raw_no_truncation");
        let padded = ids(&reference, folder, "padded77");
        let mut several = 0;
        for ((prompt, whole), padded) in prompts(&reference).iter().zip(&whole).zip(&padded) {
            let chunks = tokenizer.chunks(prompt)?;
            let (bos, eos) = (whole[0], whole[whole.len() - 1]);
            let tokens = &whole[1..whole.len() - 1];
            assert_eq!(chunks.len(), tokens.len().div_ceil(MAX_PROMPT_TOKENS).max(1));
            assert_eq!(&chunks[0], padded, "a prompt's first chunk is the truncated prompt");
            let mut joined = Vec::new();
            for (index, chunk) in chunks.iter().enumerate() {
                let held = (tokens.len() - index * MAX_PROMPT_TOKENS).min(MAX_PROMPT_TOKENS);
                assert_eq!(chunk.len(), CONTEXT_LENGTH);
                assert_eq!((chunk[0], chunk[held + 1]), (bos, eos));
                joined.extend_from_slice(&chunk[1..=held]);
            }
            assert_eq!(joined, tokens);
            several += usize::from(chunks.len() > 1);
        }
        assert!(several > 0, "no prompt is long");
    }
    Ok(())
}

#[test]
fn pieces_are_the_vocabularys() -> Result<(), Error> {
    let tokenizer = Tokenizer::from_folder(&data("models/tiny-sd21/tokenizer"))?;
    let encoded = tokenizer.encode("a photo!")?;
    assert_eq!(
        encoded.pieces[..6],
        ["<|startoftext|>", "a</w>", "photo</w>", "!", "<|endoftext|>", "!"]
    );
    assert_eq!(tokenizer.piece(u32::MAX), "");
    Ok(())
}

#[test]
fn special_tokens_in_other_case_are_the_same_tokens() -> Result<(), Error> {
    let tokenizer = Tokenizer::from_folder(&data("models/tiny-sd15/tokenizer"))?;
    assert_eq!(
        tokenizer.encode_whole("cat <|EndOfText|> cat")?,
        tokenizer.encode_whole("cat <|endoftext|> cat")?
    );
    Ok(())
}

#[test]
fn prompts_and_vocabularies_beyond_any_are_refused() -> Result<(), Error> {
    let folder = copied(FOLDERS[0]);
    let tokenizer = Tokenizer::from_folder(folder.path())?;
    let refused = |prompt: &str| tokenizer.chunks(prompt).expect_err("too long").to_string();
    let long = refused(&"a".repeat((32 << 10) + 1));
    assert!(long.contains("32769 bytes"), "{long}");
    let many = refused(&"a ".repeat(64 * 75 + 1));
    assert!(many.contains("4801 tokens: at most 4800"), "{many}");
    assert_eq!(tokenizer.chunks(&"a ".repeat(64 * 75))?.len(), 64);
    let added: serde_json::Map<String, Value> = (0..5000)
        .map(|id| (id.to_string(), json!({"content": format!("<{id}>")})))
        .collect();
    write_json(
        &folder.path().join("tokenizer_config.json"),
        &json!({"added_tokens_decoder": added}),
    );
    let error = Tokenizer::from_folder(folder.path())
        .err()
        .expect("too many")
        .to_string();
    assert!(error.contains("5000 added tokens"), "{error}");
    Ok(())
}

#[test]
fn tokenizer_json_alone_gives_the_same_ids() -> Result<(), Error> {
    let reference = reference();
    for folder in FOLDERS {
        for pairs in [false, true] {
            let copy = copied(folder);
            let vocab = read_json(&copy.path().join("vocab.json"));
            let merges = fs::read_to_string(copy.path().join("merges.txt")).expect("merges");
            let merges: Vec<Value> = merges
                .lines()
                .skip(1)
                .map(|line| match line.split_once(' ') {
                    Some((left, right)) if pairs => json!([left, right]),
                    _ => json!(line),
                })
                .collect();
            let fast = json!({"model": {"type": "BPE", "vocab": vocab, "merges": merges}, "added_tokens": []});
            write_json(&copy.path().join("tokenizer.json"), &fast);
            fs::remove_file(copy.path().join("vocab.json")).expect("removed");
            fs::remove_file(copy.path().join("merges.txt")).expect("removed");
            let tokenizer = Tokenizer::from_folder(copy.path())?;
            for (prompt, padded) in prompts(&reference).iter().zip(ids(&reference, folder, "padded77")) {
                assert_eq!(tokenizer.encode(prompt)?.ids, padded, "{prompt:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_padding_token_is_found_wherever_it_is_written() -> Result<(), Error> {
    const FILL: u32 = 0;
    let (config_name, map_name) = ("tokenizer_config.json", "special_tokens_map.json");
    let last = |folder: &Path| -> Result<u32, Error> {
        let encoded = Tokenizer::from_folder(folder)?.encode("a cat")?;
        Ok(encoded.ids[CONTEXT_LENGTH - 1])
    };

    let object = copied("models/tiny-sd21/tokenizer");
    let mut config = read_json(&object.path().join(config_name));
    config["pad_token"] = json!({"content": "!", "lstrip": false});
    write_json(&object.path().join(config_name), &config);
    assert_eq!(last(object.path())?, FILL);

    // The configuration lacks it: the map has it.
    config.as_object_mut().expect("an object").remove("pad_token");
    write_json(&object.path().join(config_name), &config);
    assert_eq!(last(object.path())?, FILL);

    // An older configuration, without a table of added tokens, is overridden by the map.
    let legacy = json!({"pad_token": "<|endoftext|>", "model_max_length": 77});
    write_json(&object.path().join(config_name), &legacy);
    assert_eq!(last(object.path())?, FILL);

    // Neither file: the end token.
    fs::remove_file(object.path().join(config_name)).expect("removed");
    fs::remove_file(object.path().join(map_name)).expect("removed");
    let eos = Tokenizer::from_folder(object.path())?.encode("")?.ids[1];
    assert_eq!(last(object.path())?, eos);
    Ok(())
}

#[test]
fn broken_files_are_named() {
    type Break = fn(&Path);
    let breaks: [(&str, &str, Break); 9] = [
        ("vocab.json", "not a vocabulary", |file| {
            fs::write(file, "{\"a\": 1, garbage").expect("written");
        }),
        ("vocab.json", "not a vocabulary", |file| {
            fs::write(file, "{\"a\": -1}").expect("written");
        }),
        ("vocab.json", "not a vocabulary", |file| {
            fs::write(file, "[1, 2]").expect("written")
        }),
        ("vocab.json", "not text in UTF-8", |file| {
            fs::write(file, [0xFF, 0xFE, 0x80]).expect("written");
        }),
        ("vocab.json", "do not fit", |file| {
            fs::write(file, r#"{"<|startoftext|>": 0, "<|endoftext|>": 1}"#).expect("written");
        }),
        ("merges.txt", "line 2 is not a merge", |file| {
            fs::write(file, "#version: 0.2\na b c\n").expect("written");
        }),
        ("merges.txt", "do not fit", |file| {
            fs::write(file, "#version: 0.2\nzzz qqq\n").expect("written");
        }),
        ("tokenizer_config.json", "not valid JSON", |file| {
            fs::write(file, "{").expect("written");
        }),
        ("tokenizer_config.json", "added_tokens_decoder", |file| {
            fs::write(file, r#"{"added_tokens_decoder": {"x": {"content": "a"}}}"#).expect("written");
        }),
    ];
    for (name, expected, change) in breaks {
        let copy = copied("models/tiny-sd15/tokenizer");
        change(&copy.path().join(name));
        let message = problem(copy.path());
        assert!(
            message.contains(expected) && message.contains(name),
            "{name}: {message}"
        );
    }
}

#[test]
fn missing_tokens_and_files_are_named() {
    let copy = copied("models/tiny-sd15/tokenizer");
    let mut config = read_json(&copy.path().join("tokenizer_config.json"));
    config["pad_token"] = json!("<pad>");
    write_json(&copy.path().join("tokenizer_config.json"), &config);
    let message = problem(copy.path());
    assert!(message.contains("<pad>") && message.contains("vocab.json"), "{message}");

    let empty = tempfile::tempdir().expect("a temporary folder");
    assert!(problem(empty.path()).contains("tokenizer.json"));
    write_json(
        &empty.path().join("tokenizer.json"),
        &json!({"model": {"type": "Unigram", "vocab": []}}),
    );
    assert!(problem(empty.path()).contains("not a byte-pair tokenizer"));
    write_json(
        &empty.path().join("tokenizer.json"),
        &json!({"model": {"vocab": {"<|startoftext|>": 0, "<|endoftext|>": 1}, "merges": ["a"]}}),
    );
    assert!(problem(empty.path()).contains("not a merge of two tokens"));
}

#[test]
fn any_text_is_encoded_without_panic() -> Result<(), Error> {
    let tokenizer = Tokenizer::from_folder(&data("models/tiny-sd21/tokenizer"))?;
    let all_planes: String = (0..=u32::from(char::MAX))
        .step_by(7)
        .filter_map(char::from_u32)
        .collect();
    // Within the longest prompt that is read, and with few enough tokens.
    let characters: Vec<char> = all_planes.chars().collect();
    let pieces: Vec<String> = characters.chunks(1000).map(|piece| piece.iter().collect()).collect();
    for prompt in pieces
        .iter()
        .map(String::as_str)
        .chain(["\0", "!!!<|endoftext|>!", "<|endoftext|", "ΑΣ ΟΔΟΣ", "'ſ"])
    {
        assert_eq!(tokenizer.encode(prompt)?.ids.len(), CONTEXT_LENGTH);
        assert!(!tokenizer.chunks(prompt)?.is_empty());
    }
    Ok(())
}

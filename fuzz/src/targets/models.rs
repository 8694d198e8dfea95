//! Configurations of networks, vocabularies, LoRA files.

use featscope::{
    activation::{Catalogue, Grid},
    model::{
        adm::{self, AdmConfig},
        controlnet::ControlNetConfig,
        lora::{Layer, LoraFile, Part},
        schedule::Schedule,
        text::{CONTEXT_LENGTH, ClipConfig, Tokenizer},
        unet::{self, UnetConfig},
        vae::VaeConfig,
    },
};
use serde_json::Value;

use super::{
    parts, read,
    scratch::{with_file, with_only},
};

/// One configuration, read as that of every network.
pub fn configs(bytes: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let unet = read(UnetConfig::from_json(&json));
    if let Some(config) = &unet {
        let side = config.sample_size;
        check(&unet::catalogue(config, Grid::new(side, side), CONTEXT_LENGTH));
        read(config.check_runnable());
    }
    if let Some(config) = read(ControlNetConfig::from_json(&json))
        && let Some(unet) = &unet
    {
        read(config.check_fits(unet));
    }
    if let Some(config) = read(AdmConfig::from_json(&json)) {
        let picture = Grid::new(config.image_size, config.image_size);
        if read(config.check_size(picture)).is_some() {
            check(&adm::catalogue(&config, picture));
        }
        check_schedule(&config.schedule());
    }
    if let Some(schedule) = read(Schedule::from_json(&json)) {
        check_schedule(&schedule);
    }
    if let Some(config) = read(VaeConfig::from_json(&json)) {
        assert!(config.stride() > 0);
    }
    read(ClipConfig::from_json(&json));
}

/// Every activation is found by its name.
fn check(catalogue: &Catalogue) {
    assert!(!catalogue.is_empty());
    for entry in [catalogue.entries().first(), catalogue.entries().last()]
        .into_iter()
        .flatten()
    {
        let found = read(catalogue.find(&entry.id.to_string())).and_then(|tap| catalogue.entry(tap));
        assert_eq!(found.map(|found| found.id), Some(entry.id));
    }
}

/// Its shares are numbers.
fn check_schedule(schedule: &Schedule) {
    assert!(schedule.alphas_cumprod().iter().all(|share| share.is_finite()));
    for t in [0, schedule.steps() as u32 / 2, schedule.steps() as u32] {
        read(schedule.at(t));
    }
}

/// A vocabulary's files and a prompt, in parts: `vocab.json`, `merges.txt`, `tokenizer_config.json`, `special_tokens_map.json`,
/// the prompt. An empty first part means that the second is `tokenizer.json`.
pub fn vocabulary(bytes: &[u8]) {
    const FILES: [&str; 5] = [
        "vocab.json",
        "merges.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ];
    let [vocab, merges, config, special, prompt] = parts(bytes);
    let mut files = vec![("tokenizer_config.json", config), ("special_tokens_map.json", special)];
    if vocab.is_empty() {
        files.push(("tokenizer.json", merges));
    } else {
        files.extend([("vocab.json", vocab), ("merges.txt", merges)]);
    }
    files.retain(|(name, bytes)| !bytes.is_empty() || !name.ends_with(".json"));
    let Some(tokenizer) = with_only(&files, &FILES, |folder| read(Tokenizer::from_folder(folder))) else {
        return;
    };
    let prompt = String::from_utf8_lossy(prompt);
    if let Some(encoded) = read(tokenizer.encode(&prompt)) {
        assert_eq!(
            (encoded.ids.len(), encoded.pieces.len()),
            (CONTEXT_LENGTH, CONTEXT_LENGTH)
        );
    }
    if let (Some(chunks), Some(whole)) = (read(tokenizer.chunks(&prompt)), read(tokenizer.encode_whole(&prompt))) {
        assert!(!chunks.is_empty() && chunks.iter().all(|chunk| chunk.len() == CONTEXT_LENGTH));
        assert!(whole.len() >= 2);
    }
}

/// A LoRA file, and whether it fits a model.
pub fn lora(bytes: &[u8]) {
    const LAYERS: [(&str, &[usize]); 4] = [
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", &[32, 32]),
        ("down_blocks.0.resnets.0.conv1", &[32, 32, 3, 3]),
        ("mid_block.attentions.0.proj_in", &[64, 64, 1, 1]),
        ("up_blocks.0.upsamplers.0.conv", &[64, 64, 3, 3]),
    ];
    let layer = |(name, shape): &(&str, &[usize])| Layer {
        name: (*name).to_owned(),
        shape: shape.to_vec(),
    };
    let text = Layer {
        name: "text_model.encoder.layers.0.self_attn.q_proj".to_owned(),
        shape: vec![32, 32],
    };
    if let Some(file) = with_file("lora.safetensors", bytes, |path| read(LoraFile::open(path))) {
        let model = [
            (Part::Unet, LAYERS.iter().map(layer).collect()),
            (Part::Text(0), vec![text]),
        ];
        read(file.fit(&model, 1));
    }
}

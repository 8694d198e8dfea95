//! Configurations of networks, vocabularies, adapters.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Conv2dConfig, VarBuilder};
use featscope::{
    activation::Catalogue,
    components::{
        schedule::DiscreteSchedule,
        text::{
            CONTEXT_LENGTH, ClipConfig, TextualInversion, Tokenizer, bert::BertConfig, t5_tokenizer::T5Tokenizer,
            wordpiece::WordPieceTokenizer,
        },
        vae::VaeConfig,
    },
    families::{
        adm::{self, AdmConfig},
        deepfloyd::{self, IfConfig},
        dit::{self, DitConfig},
        hunyuan::{self, HunyuanConfig},
        stable_diffusion::{
            controlnet::ControlNetConfig,
            lora::{LoraFile, Part, layers_of, put},
            unet::{self, UnetConfig},
        },
    },
    geometry::Grid,
    nn::{
        adaptable::{Adaptable, Visit},
        layers::{Conv2d, Linear, conv2d, linear_no_bias},
        norms::{GroupNorm, group_norm},
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
    if let Some(schedule) = read(DiscreteSchedule::from_json(&json)) {
        check_schedule(&schedule);
    }
    if let Some(config) = read(VaeConfig::from_json(&json)) {
        assert!(config.stride() > 0);
    }
    read(ClipConfig::from_json(&json));
    read(BertConfig::from_json(&json));
    let dits = [DitConfig::from_json(&json), DitConfig::from_original_json(&json)];
    for config in dits.into_iter().filter_map(read) {
        let side = config.sample_size;
        check(&dit::catalogue(&config, Grid::new(side, side)));
    }
    if let Some(config) = read(HunyuanConfig::from_json(&json)) {
        let side = config.sample_size;
        check(&hunyuan::catalogue(&config, Grid::new(side, side), config.tokens()));
    }
    if let Some(config) = read(IfConfig::from_json(&json)) {
        let side = config.sample_size;
        check(&deepfloyd::catalogue(&config, Grid::new(side, side)));
    }
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
fn check_schedule(schedule: &DiscreteSchedule) {
    assert!(schedule.alphas_cumprod().iter().all(|share| share.is_finite()));
    for t in [0, schedule.steps() as u32 / 2, schedule.steps() as u32] {
        read(schedule.mixture(t.into()));
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

/// A SentencePiece model, or the `tokenizer.json` of one, which then reads a prompt of every kind of letters.
pub fn sentencepiece(bytes: &[u8]) {
    const LENGTH: usize = 16;
    const PROMPT: &str = "A red fox  on ½ é\u{301} ﬁ 三 <extra_id_0> </s>";
    let name = match bytes.first() {
        Some(b'{') => "tokenizer.json",
        _ => "spiece.model",
    };
    let opened = with_only(&[(name, bytes)], &["spiece.model", "tokenizer.json"], |folder| {
        read(T5Tokenizer::from_folder(folder))
    });
    let Some(tokenizer) = opened else { return };
    if let Some(tokens) = read(tokenizer.encode(PROMPT, LENGTH)) {
        assert_eq!((tokens.ids.len(), tokens.pieces.len()), (LENGTH, LENGTH));
        assert!(tokens.kept < LENGTH);
    }
}

/// The vocabulary of a BERT and a prompt, in parts: `vocab.txt`, `tokenizer_config.json`, the prompt.
pub fn wordpiece(bytes: &[u8]) {
    const LENGTH: usize = 16;
    const FILES: [&str; 2] = ["vocab.txt", "tokenizer_config.json"];
    let [vocab, config, prompt] = parts(bytes);
    let mut files = vec![("vocab.txt", vocab), ("tokenizer_config.json", config)];
    files.retain(|(name, bytes)| !bytes.is_empty() || !name.ends_with(".json"));
    let opened = with_only(&files, &FILES, |folder| read(WordPieceTokenizer::from_folder(folder)));
    let Some(tokenizer) = opened else { return };
    if let Some(tokens) = read(tokenizer.encode(&String::from_utf8_lossy(prompt), LENGTH)) {
        assert_eq!((tokens.ids.len(), tokens.pieces.len()), (LENGTH, LENGTH));
        assert!(tokens.kept + 2 <= LENGTH);
    }
}

/// Layers of every kind that adapters change, with the names that they have in a Stable Diffusion.
struct Network {
    attention: Linear,
    convolution: Conv2d,
    norm: GroupNorm,
}

impl Network {
    /// Side of every weight.
    const WIDTH: usize = 4;
    const KERNEL: usize = 3;

    fn new() -> candle_core::Result<Self> {
        let numbers = |shape: &[usize]| {
            let count: usize = shape.iter().product();
            let numbers: Vec<f32> = (0..count).map(|index| (index % 7) as f32 - 2.5).collect();
            Tensor::from_vec(numbers, shape, &Device::Cpu)
        };
        let (attention, resnet) = (
            "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
            "down_blocks.0.resnets.0",
        );
        let (width, kernel) = (Self::WIDTH, Self::KERNEL);
        let tensors = HashMap::from([
            (format!("{attention}.weight"), numbers(&[width, width])?),
            (
                format!("{resnet}.conv1.weight"),
                numbers(&[width, width, kernel, kernel])?,
            ),
            (format!("{resnet}.conv1.bias"), numbers(&[width])?),
            (format!("{resnet}.norm1.weight"), numbers(&[width])?),
            (format!("{resnet}.norm1.bias"), numbers(&[width])?),
        ]);
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let padded = Conv2dConfig {
            padding: 1,
            ..Conv2dConfig::default()
        };
        Ok(Self {
            attention: linear_no_bias(width, width, vb.pp(attention))?,
            convolution: conv2d(width, width, kernel, padded, vb.pp(format!("{resnet}.conv1")))?,
            norm: group_norm(2, width, 1e-5, vb.pp(format!("{resnet}.norm1")))?,
        })
    }
}

impl Adaptable for Network {
    fn each_layer(&mut self, visit: &mut Visit<'_>) {
        self.attention.each_layer(visit);
        self.convolution.each_layer(visit);
        self.norm.each_layer(visit);
    }
}

/// An adapter, which is put on a network if it fits; or a textual inversion.
pub fn lora(bytes: &[u8]) {
    with_file("adapter.safetensors", bytes, |path| {
        read(TextualInversion::open(path, None));
        let Some(file) = read(LoraFile::open(path)) else { return };
        let mut network = Network::new().expect("a network");
        let model = [(Part::Unet, layers_of(&mut network))];
        let fits = read(file.fit(&model, &[1]));
        let cpu = (DType::F32, Device::Cpu);
        let put = read(put(&[(&file, 0.5)], Part::Unet, &[1], &mut network, &cpu));
        if let (Some(fit), Some(())) = (fits, put) {
            assert!(fit.layers > 0, "what fits changes something");
        }
    });
}

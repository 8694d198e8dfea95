use std::{collections::HashMap, fs, path::PathBuf};

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::Request;
use crate::common::{TestResult, model, program::Place};

/// A copy of a tiny model that a test breaks.
struct Broken {
    place: Place,
    name: &'static str,
}

impl Broken {
    fn new(name: &'static str) -> Self {
        let place = Place::new();
        place.copy(&model(name), "model");
        Self { place, name }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.place.path("model").join(file)
    }

    /// Changes one key of a JSON file.
    fn set(&self, file: &str, key: &str, value: Value) {
        let text = fs::read(self.path(file)).expect("a configuration");
        let mut json: Value = serde_json::from_slice(&text).expect("JSON");
        json[key] = value;
        fs::write(self.path(file), json.to_string()).expect("a configuration");
    }

    /// Changes the tensors of a file.
    fn change(&self, file: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) -> candle_core::Result<()> {
        let mut tensors = candle_core::safetensors::load(self.path(file), &Device::Cpu)?;
        change(&mut tensors);
        candle_core::safetensors::save(&tensors, self.path(file))
    }

    #[track_caller]
    fn refused(&self, words: &[&str]) {
        let mut request = match self.name {
            "tiny-adm" => Request::of_adm(&self.place),
            _ => Request::of_sd15(&self.place),
        };
        request
            .with("--model", &self.place.text("model"))
            .refused(&self.place, 1, words);
    }
}

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

const VAE: &str = "vae/diffusion_pytorch_model.safetensors";

const TEXT: &str = "text_encoder/model.safetensors";

/// (model, file, a tensor of it).
const WEIGHTS: [(&str, &str, &str); 4] = [
    ("tiny-sd15", UNET, "conv_in.weight"),
    ("tiny-sd15", VAE, "encoder.conv_in.weight"),
    ("tiny-sd15", TEXT, "text_model.embeddings.token_embedding.weight"),
    ("tiny-adm", "model.safetensors", "input_blocks.0.0.weight"),
];

#[test]
fn folders_that_lack_a_file() -> TestResult {
    for (file, word) in [
        ("unet/config.json", "unet/config.json"),
        (UNET, "diffusion_pytorch_model.safetensors"),
        ("vae/config.json", "vae/config.json"),
        (VAE, "diffusion_pytorch_model.safetensors"),
        ("text_encoder/config.json", "text_encoder/config.json"),
        (TEXT, "model.safetensors"),
        ("tokenizer/vocab.json", "vocab.json"),
        ("scheduler/scheduler_config.json", "scheduler_config.json"),
    ] {
        let broken = Broken::new("tiny-sd15");
        fs::remove_file(broken.path(file))?;
        broken.refused(&[word]);
    }
    let broken = Broken::new("tiny-adm");
    fs::remove_file(broken.path("model.safetensors"))?;
    fs::remove_file(broken.path("model.pt"))?;
    broken.refused(&["model.safetensors", "model.pt"]);
    fs::remove_file(broken.path("config.json"))?;
    broken.refused(&["unet/config.json", "config.json"]);
    Ok(())
}

#[test]
fn weights_that_are_cut_off_or_something_else() -> TestResult {
    for (name, file, _) in WEIGHTS {
        let broken = Broken::new(name);
        let whole = fs::read(broken.path(file))?;
        let header = 8 + u64::from_le_bytes(whole[..8].try_into()?) as usize;
        let mut bad_json = whole.clone();
        bad_json[20..60].fill(0);
        let mut overlapping = whole.clone();
        let digits = overlapping[..header]
            .windows(2)
            .position(|pair| pair == b",1")
            .ok_or("an offset")?;
        overlapping[digits + 1] = b'9';
        let mut endless = whole.clone();
        endless[..8].fill(0xFF);
        let half = &whole[..whole.len() / 2];
        let contents: [(&[u8], &str); 9] = [
            (b"", "it is empty"),
            (&whole[..5], "no file of weights"),
            (&whole[..header - 1], "cannot be read as safetensors"),
            (half, "cannot be read as safetensors"),
            (&whole[..whole.len() - 1], "cannot be read as safetensors"),
            (&bad_json, "cannot be read as safetensors"),
            (&overlapping, "cannot be read as safetensors"),
            (&endless, "cannot be read as safetensors"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
                "git lfs pull",
            ),
        ];
        for (bytes, says) in contents {
            fs::write(broken.path(file), bytes)?;
            broken.refused(&[file, says]);
        }
    }
    Ok(())
}

#[test]
fn checkpoints_that_are_cut_off_or_something_else() -> TestResult {
    let broken = Broken::new("tiny-adm");
    fs::remove_file(broken.path("model.safetensors"))?;
    let whole = fs::read(broken.path("model.pt"))?;
    let mut scrambled = whole.clone();
    for byte in scrambled.iter_mut().skip(100).step_by(211) {
        *byte ^= 0xA5;
    }
    let contents: [&[u8]; 6] = [
        b"",
        b"PK",
        &whole[..whole.len() / 2],
        &whole[..whole.len() - 30],
        &scrambled,
        b"text",
    ];
    for bytes in contents {
        fs::write(broken.path("model.pt"), bytes)?;
        broken.refused(&["model.pt"]);
    }
    Ok(())
}

#[test]
fn tensors_of_a_wrong_shape_missing_or_not_finite() -> TestResult {
    for (name, file, tensor) in WEIGHTS {
        let broken = Broken::new(name);
        let whole = fs::read(broken.path(file))?;
        let restore = || fs::write(broken.path(file), &whole);

        broken.change(file, |tensors| {
            let flat = tensors[tensor].flatten_all().expect("a tensor");
            tensors.insert(tensor.into(), flat);
        })?;
        broken.refused(&[file, tensor, "shape"]);

        restore()?;
        broken.change(file, |tensors| {
            tensors.remove(tensor);
        })?;
        broken.refused(&[file, tensor, "lacks"]);

        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            restore()?;
            broken.change(file, |tensors| {
                let shape = tensors[tensor].shape().clone();
                let mut numbers: Vec<f32> = tensors[tensor]
                    .flatten_all()
                    .and_then(|flat| flat.to_vec1())
                    .expect("numbers");
                let last = numbers.len() - 1;
                numbers[last] = wrong;
                let with_one = Tensor::from_vec(numbers, shape, &Device::Cpu).expect("a tensor");
                tensors.insert(tensor.into(), with_one);
            })?;
            broken.refused(&[file, tensor, "NaN or infinite"]);
        }
    }
    Ok(())
}

#[test]
fn configurations_that_no_network_can_have() {
    let huge = json!(1_000_000_000_000_u64);
    let wrong = [
        (
            "tiny-sd15",
            "unet/config.json",
            "block_out_channels",
            json!([0, 0, 0, 0]),
        ),
        (
            "tiny-sd15",
            "unet/config.json",
            "block_out_channels",
            json!([16, 32, 32, -32]),
        ),
        (
            "tiny-sd15",
            "unet/config.json",
            "block_out_channels",
            json!([1e12, 1e12, 1e12, 1e12]),
        ),
        ("tiny-sd15", "unet/config.json", "block_out_channels", json!([])),
        ("tiny-sd15", "unet/config.json", "block_out_channels", json!("many")),
        (
            "tiny-sd15",
            "unet/config.json",
            "block_out_channels",
            json!(vec![16; 5000]),
        ),
        (
            "tiny-sd15",
            "unet/config.json",
            "down_block_types",
            json!(["X", "X", "X", "X"]),
        ),
        ("tiny-sd15", "unet/config.json", "layers_per_block", json!(0)),
        ("tiny-sd15", "unet/config.json", "layers_per_block", huge.clone()),
        (
            "tiny-sd15",
            "unet/config.json",
            "transformer_layers_per_block",
            huge.clone(),
        ),
        ("tiny-sd15", "unet/config.json", "attention_head_dim", json!(0)),
        ("tiny-sd15", "unet/config.json", "attention_head_dim", json!(7)),
        ("tiny-sd15", "unet/config.json", "norm_num_groups", json!(0)),
        ("tiny-sd15", "unet/config.json", "norm_num_groups", json!(1.5)),
        ("tiny-sd15", "unet/config.json", "norm_eps", json!(0)),
        ("tiny-sd15", "unet/config.json", "norm_eps", json!(1e300)),
        ("tiny-sd15", "unet/config.json", "freq_shift", json!(1e9)),
        ("tiny-sd15", "unet/config.json", "cross_attention_dim", huge.clone()),
        ("tiny-sd15", "unet/config.json", "sample_size", json!(0)),
        ("tiny-sd15", "unet/config.json", "sample_size", huge.clone()),
        ("tiny-sd15", "vae/config.json", "block_out_channels", json!([])),
        (
            "tiny-sd15",
            "vae/config.json",
            "block_out_channels",
            json!([8, 8, 16, 15]),
        ),
        ("tiny-sd15", "vae/config.json", "norm_num_groups", json!(0)),
        ("tiny-sd15", "vae/config.json", "latent_channels", huge.clone()),
        ("tiny-sd15", "vae/config.json", "scaling_factor", json!(0)),
        ("tiny-sd15", "vae/config.json", "scaling_factor", json!(1e300)),
        ("tiny-sd15", "vae/config.json", "shift_factor", json!(-1e300)),
        (
            "tiny-sd15",
            "scheduler/scheduler_config.json",
            "num_train_timesteps",
            json!(0),
        ),
        (
            "tiny-sd15",
            "scheduler/scheduler_config.json",
            "num_train_timesteps",
            huge.clone(),
        ),
        (
            "tiny-sd15",
            "scheduler/scheduler_config.json",
            "beta_start",
            json!(-0.5),
        ),
        ("tiny-sd15", "scheduler/scheduler_config.json", "beta_end", json!(2)),
        (
            "tiny-sd15",
            "scheduler/scheduler_config.json",
            "beta_schedule",
            json!("wild"),
        ),
        (
            "tiny-sd15",
            "scheduler/scheduler_config.json",
            "prediction_type",
            json!(7),
        ),
        ("tiny-sd15", "text_encoder/config.json", "hidden_size", json!(0)),
        ("tiny-sd15", "text_encoder/config.json", "num_attention_heads", json!(7)),
        (
            "tiny-sd15",
            "text_encoder/config.json",
            "num_hidden_layers",
            huge.clone(),
        ),
        ("tiny-sd15", "text_encoder/config.json", "vocab_size", huge.clone()),
        ("tiny-sd15", "text_encoder/config.json", "hidden_act", json!("wild")),
        ("tiny-adm", "config.json", "image_size", json!(0)),
        ("tiny-adm", "config.json", "image_size", huge.clone()),
        ("tiny-adm", "config.json", "patch_size", json!(0)),
        ("tiny-adm", "config.json", "num_channels", json!(0)),
        ("tiny-adm", "config.json", "num_channels", json!(33)),
        ("tiny-adm", "config.json", "num_channels", huge.clone()),
        ("tiny-adm", "config.json", "num_res_blocks", json!(0)),
        ("tiny-adm", "config.json", "num_res_blocks", huge.clone()),
        ("tiny-adm", "config.json", "channel_mult", json!("1,0,1")),
        ("tiny-adm", "config.json", "channel_mult", json!("1,1e9,1")),
        ("tiny-adm", "config.json", "channel_mult", json!("1,x,1")),
        ("tiny-adm", "config.json", "channel_mult", json!(vec![1; 5000])),
        ("tiny-adm", "config.json", "num_head_channels", json!(0)),
        ("tiny-adm", "config.json", "num_head_channels", json!(7)),
        ("tiny-adm", "config.json", "attention_resolutions", json!("x")),
        ("tiny-adm", "config.json", "diffusion_steps", json!(0)),
        ("tiny-adm", "config.json", "diffusion_steps", huge),
        ("tiny-adm", "config.json", "noise_schedule", json!("wild")),
        ("tiny-adm", "config.json", "class_cond", json!(true)),
    ];
    for (name, file, key, value) in wrong {
        let broken = Broken::new(name);
        broken.set(file, key, value);
        broken.refused(&[key]);
    }
}

/// Sound in itself, but not what the weights are.
#[test]
fn configurations_of_another_network() {
    for (name, file, key, value) in [
        (
            "tiny-sd15",
            "unet/config.json",
            "block_out_channels",
            json!([16, 32, 32, 65536]),
        ),
        ("tiny-sd15", "unet/config.json", "layers_per_block", json!(64)),
        ("tiny-sd15", "unet/config.json", "cross_attention_dim", json!(48)),
        ("tiny-sd15", "vae/config.json", "layers_per_block", json!(3)),
        ("tiny-sd15", "text_encoder/config.json", "vocab_size", json!(5)),
        (
            "tiny-sd15",
            "text_encoder/config.json",
            "max_position_embeddings",
            json!(10),
        ),
        ("tiny-adm", "config.json", "num_channels", json!(64)),
        ("tiny-adm", "config.json", "num_res_blocks", json!(64)),
    ] {
        let broken = Broken::new(name);
        broken.set(file, key, value);
        broken.refused(&[]);
    }
    // The networks do not fit each other.
    for (key, value, words) in [
        ("latent_channels", json!(8), ["8 channels", "4"]),
        ("block_out_channels", json!([8, 8, 16]), ["down_block_types", "allowed"]),
    ] {
        let broken = Broken::new("tiny-sd15");
        broken.set("vae/config.json", key, value);
        broken.refused(&words);
    }
}

#[test]
fn json_that_is_none() -> TestResult {
    for (name, file) in [
        ("tiny-sd15", "unet/config.json"),
        ("tiny-sd15", "vae/config.json"),
        ("tiny-sd15", "scheduler/scheduler_config.json"),
        ("tiny-sd15", "text_encoder/config.json"),
        ("tiny-sd15", "tokenizer/vocab.json"),
        ("tiny-adm", "config.json"),
    ] {
        let broken = Broken::new(name);
        let deep = "[".repeat(100_000);
        for text in ["", "{", "[]", "null", "\u{FEFF}{}", &deep] {
            fs::write(broken.path(file), text)?;
            broken.refused(
                &["config", "vocab"]
                    .iter()
                    .copied()
                    .filter(|word| file.contains(word))
                    .collect::<Vec<_>>(),
            );
        }
        fs::write(broken.path(file), b"{\"a\": \"\xFF\xFE\"}")?;
        broken.refused(&[]);
    }
    Ok(())
}

#[test]
fn models_that_are_none() -> TestResult {
    let place = Place::new();
    let text = place.write("model.txt", "hello, this is text");
    let safetensors = place.write("text.safetensors", "hello, this is text");
    let pickle = place.write("text.pt", "hello, this is text");
    let folder = place.path("empty");
    fs::create_dir(&folder)?;
    let output = place.text("extracted.safetensors");
    Request::of_adm(&place).with("--out", &output).run().good();
    for (name, words) in [
        ("sd16", vec!["no model \"sd16\"", "sd15", "did you mean"]),
        ("", vec!["no model"]),
        (text.as_str(), vec!["no file of weights", "it is text"]),
        (
            &safetensors,
            vec!["text.safetensors", "no file of weights", "it is text"],
        ),
        (&pickle, vec!["text.pt", "no file of weights", "it is text"]),
        (
            &folder.display().to_string(),
            vec!["unet/config.json", "model.safetensors"],
        ),
        (&output, vec!["guided-diffusion", "missing"]),
        ("sd15", vec!["not on this machine"]),
        ("adm256", vec!["not on this machine"]),
    ] {
        let mut request = Request::of_adm(&place);
        request
            .with("--model", name)
            .without("--size")
            .with("--activations", "all");
        request.refused(&place, 1, &words);
    }
    Ok(())
}

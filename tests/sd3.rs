//! Stable Diffusion 3 and 3.5 against the reference, through the command line from picture and prompt to the network's output, and by
//! itself.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test says what it expects")]

mod common;

use std::{fs, path::Path};

use candle_core::{DType, Device, Tensor};
use common::{
    ATOL_REL, TestResult, case_file, compare, compare_all, data, expected, model, numbers,
    program::{Place, run},
    program_case::{Case, Pass, Tensors, cosine, equals_published, everything, load, pass, worst_error},
};
use featscope::{
    activation::{Catalogue, FeatureMap, Selection, Tap},
    analysis::attention::attention_row,
    components::schedule::Timestep,
    families::{
        resolve,
        sd3::{Sd3, Sd3Conditions, Sd3Config, Sd3File, catalogue},
    },
    geometry::{Grid, Size},
    model::{LoadExtent, tokens::TokenRole},
    nn::adaptable::Adaptable,
    weights::{DIFFUSERS_STEM, Store, open_weights, read_json},
};
use serde_json::{Value, json};

const CASES: [&str; 7] = [
    "sd3-64x96",
    "sd3-batch2-112x80",
    "sd3-single-file-80x64",
    "sd35-medium-64x80",
    "sd35-medium-batch2-80x112",
    "sd35-medium-file-80x64",
    "sd35-no-t5-80x96",
];

#[test]
fn every_case_through_the_command_line() -> TestResult {
    for case in CASES {
        Case::new(case).passes().map_err(|error| format!("{case}: {error}"))?;
    }
    Ok(())
}

#[test]
fn nominal_timesteps_go_through_the_schedule_s_shift() -> TestResult {
    let case = "sd35-medium-batch2-80x112";
    let found = Case::new(case).asked("--nominal-t").extract("vit-block0-k");
    let reference = expected(case);
    for name in ["mid.unet_timestep", "mid.latents_noisy"] {
        compare(name, &reference[name], &found[name])?;
    }
    let table: Value = serde_json::from_str(&fs::read_to_string(data("cases/sigmas/sigmas.json"))?)?;
    let spec = resolve(&model("tiny-sd3").display().to_string())?;
    let rows = table["sd3"]["plain"].as_array().ok_or("rows")?;
    assert!(rows.len() > 10);
    for row in rows {
        let t = Timestep::of(row["t"].as_u64().ok_or("t")? as u32);
        let sigma = spec.shifted(t, Size::new(64, 64))?.value() / 1000.0;
        let wanted = row["sigma"].as_f64().ok_or("sigma")?;
        assert!((sigma - wanted).abs() < 1e-9, "{t}: {sigma}, not {wanted}");
    }
    let image = case_file(case, "image0.png").display().to_string();
    let gdf = [
        "--compat",
        "gdf",
        "--t",
        "100",
        "--size",
        "64",
        "--activations",
        "all",
        "--image",
        &image,
    ];
    let place = Place::new();
    run(["extract", "--model", &model("tiny-sd3").display().to_string()]
        .iter()
        .chain(&gdf)
        .chain(&["--out", &place.text("out.safetensors")]))
    .refused(2, &["--compat gdf", "does not run"]);
    Ok(())
}

fn config_of(name: &str) -> featscope::Result<Sd3Config> {
    Sd3Config::from_json(&read_json(&model(name).join("transformer/config.json"))?)
}

fn weights_of(name: &str) -> featscope::Result<Store> {
    open_weights(&model(name).join("transformer"), DIFFUSERS_STEM)
}

fn open_as(name: &str, extent: LoadExtent, dtype: DType) -> featscope::Result<Sd3> {
    Sd3::new(
        config_of(name)?,
        extent,
        weights_of(name)?.var_builder(dtype, &Device::Cpu),
    )
}

/// A case's network, its latents (B, C, h, w), texts and timestep.
struct Given {
    name: &'static str,
    network: Sd3,
    reference: Tensors,
    latents: Tensor,
    text: Tensor,
    pooled: Tensor,
    t: f32,
}

impl Given {
    fn of(case: &str, name: &'static str) -> Result<Self, Box<dyn std::error::Error>> {
        let reference = expected(case);
        Ok(Self {
            name,
            network: open_as(name, LoadExtent::Whole, DType::F32)?,
            latents: reference["mid.unet_in"].clone(),
            text: reference["mid.encoder_hidden_states"].narrow(0, 0, 1)?,
            pooled: reference["mid.pooled_projections"].narrow(0, 0, 1)?,
            t: reference["mid.unet_timestep"].to_vec1::<f32>()?[0],
            reference,
        })
    }

    fn list(&self) -> featscope::Result<Catalogue> {
        let (_, _, height, width) = self.latents.dims4()?;
        Ok(catalogue(
            self.network.config(),
            Grid::new(height, width),
            self.text.dim(1)?,
        ))
    }

    fn conditions(&self) -> Sd3Conditions<'_> {
        Sd3Conditions {
            text: &self.text,
            pooled: &self.pooled,
        }
    }

    fn run(&self, network: &Sd3, selection: &Selection, to_the_end: bool) -> featscope::Result<Pass> {
        let t = vec![self.t; self.latents.dim(0)?];
        pass(&self.list()?, selection, to_the_end, |probe| {
            network.forward(&self.latents, &t, &self.conditions(), probe)
        })
    }
}

fn medium() -> Result<Given, Box<dyn std::error::Error>> {
    Given::of("sd35-medium-64x80", "tiny-sd35-medium")
}

#[test]
fn the_network_alone_gives_every_activation_and_its_output() -> TestResult {
    for (case, name) in [
        ("sd3-64x96", "tiny-sd3"),
        ("sd3-batch2-112x80", "tiny-sd3"),
        ("sd35-medium-64x80", "tiny-sd35-medium"),
        ("sd35-medium-batch2-80x112", "tiny-sd35-medium"),
        ("sd35-no-t5-80x96", "tiny-sd35-large-no-t5"),
    ] {
        let given = Given::of(case, name)?;
        let found = given.run(&given.network, &everything(&given.list()?), true)?;
        let worst = worst_error(&given.reference, &found.taps)?;
        println!("{case}: {worst:.1e}");
        assert!(worst < ATOL_REL, "{case}: {worst}");
        compare(
            "the output",
            &given.reference["mid.unet_out"],
            &found.output.ok_or("an output")?,
        )?;
        let rows = given.latents.dim(0)?;
        let modulation = given.network.modulation(&vec![given.t; rows], &given.conditions())?;
        compare("the modulation", &given.reference["mid.temb"], &modulation)?;
    }
    Ok(())
}

/// Rows of the joint map and of the second attention's are made of what is kept.
#[test]
fn rows_of_attention_come_from_what_is_kept() -> TestResult {
    for given in [medium()?, Given::of("sd3-64x96", "tiny-sd3")?] {
        let list = given.list()?;
        let found = given.run(&given.network, &everything(&list), false)?;
        let map = |name: &str| -> featscope::Result<FeatureMap> {
            let tensor = &found.taps[name];
            let (_, channels, height, width) = tensor.dims4()?;
            let positions: Vec<f32> = tensor.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1()?;
            FeatureMap::from_positions(channels, Grid::new(height, width), positions)
        };
        for id in ["vit-block1-self-map", "vit-block0-attn2-map"] {
            let Ok(tap) = list.find(id) else {
                assert!(given.name == "tiny-sd3" && id.contains("attn2"));
                continue;
            };
            let facts = list.entry(tap).ok_or("an entry")?.facts;
            let [queries, keys] = facts.map_sources().ok_or("sources")?;
            let (queries, keys) = (map(queries.as_str())?, map(keys.as_str())?);
            let sums = facts.row_sums.map(|sums| map(sums.as_str())).transpose()?;
            assert_eq!(sums.is_some(), id.contains("self"));
            let whole = &found.taps[id];
            let heads = whole.dim(1)?;
            let row = attention_row([&queries, &keys], sums.as_ref(), heads, 3)?;
            for (found, wanted) in row.iter().zip(numbers(&whole.narrow(2, 3, 1)?)) {
                assert!((f64::from(*found) - wanted).abs() < 1e-5, "{id}: {found}, not {wanted}");
            }
        }
    }
    Ok(())
}

#[test]
fn stopping_early_changes_nothing_and_a_batch_equals_its_rows() -> TestResult {
    let given = Given::of("sd35-medium-batch2-80x112", "tiny-sd35-medium")?;
    let list = given.list()?;
    let whole = given.run(&given.network, &everything(&list), false)?;
    assert!(whole.output.is_none());
    for name in ["vit-block1-attn2-q", "vit-block0-cross-map", "vit-block2-norm-out"] {
        let early = given.run(&given.network, &Selection::parse(name, &list)?, false)?;
        assert_eq!(early.taps.len(), 1);
        assert_eq!(numbers(&early.taps[name]), numbers(&whole.taps[name]), "{name}");
    }
    for row in 0..2 {
        let alone = pass(&list, &everything(&list), false, |probe| {
            let latents = given.latents.narrow(0, row, 1)?;
            given.network.forward(&latents, &[given.t], &given.conditions(), probe)
        })?;
        for (name, tensor) in &whole.taps {
            compare(name, &alone.taps[name], &tensor.narrow(0, row, 1)?)?;
        }
    }
    Ok(())
}

#[test]
fn a_network_that_is_read_only_in_part_gives_the_same_as_far_as_it_goes() -> TestResult {
    let given = medium()?;
    let list = given.list()?;
    for name in ["vit-block0-attn2-out", "vit-block2-out"] {
        let tap = list.find(name)?;
        let part = open_as(given.name, LoadExtent::UpTo(tap), DType::F32)?;
        let selection: Selection = [tap].into_iter().collect();
        let found = given.run(&part, &selection, false)?;
        let wanted = given.run(&given.network, &selection, false)?;
        assert_eq!(numbers(&found.taps[name]), numbers(&wanted.taps[name]), "{name}");
        let refused = given.run(&part, &Selection::default(), true);
        let error = refused.err().ok_or("the output was not read")?.to_string();
        assert!(error.contains("only as far as"), "{error}");
    }
    let behind = LoadExtent::UpTo(Tap(list.len() as u32));
    let read = open_as(given.name, behind, DType::F32)?;
    assert!(given.run(&read, &Selection::default(), true)?.output.is_some());
    Ok(())
}

/// The formats of GPUs go through code of their own.
#[test]
fn every_format_computes_the_same_network() -> TestResult {
    for (case, name) in [
        ("sd3-64x96", "tiny-sd3"),
        ("sd35-medium-batch2-80x112", "tiny-sd35-medium"),
    ] {
        let given = Given::of(case, name)?;
        let selection = everything(&given.list()?);
        let t = vec![given.t; given.latents.dim(0)?];
        for (dtype, least) in [(DType::F64, 0.999_999), (DType::F16, 0.9995), (DType::BF16, 0.99)] {
            let network = open_as(name, LoadExtent::Whole, dtype)?;
            let [x, text, pooled] = [&given.latents, &given.text, &given.pooled].map(|tensor| tensor.to_dtype(dtype));
            let (x, text, pooled) = (x?, text?, pooled?);
            let conditions = Sd3Conditions {
                text: &text,
                pooled: &pooled,
            };
            let found = pass(&given.list()?, &selection, true, |probe| {
                network.forward(&x, &t, &conditions, probe)
            })?;
            for (name, wanted) in &given.reference {
                let Some(id) = name.strip_prefix("feat.") else { continue };
                let cosine = cosine(wanted, &found.taps[id]);
                assert!(cosine > least, "{case} {dtype:?} {id}: {cosine}");
            }
            let output = found.output.ok_or("an output")?;
            assert_eq!(output.dtype(), dtype);
            assert!(cosine(&given.reference["mid.unet_out"], &output) > least);
        }
    }
    Ok(())
}

#[test]
fn every_layer_is_known() -> TestResult {
    for name in ["tiny-sd3", "tiny-sd35-medium"] {
        let mut layers = Vec::new();
        let mut network = open_as(name, LoadExtent::Whole, DType::F32)?;
        network.each_layer(&mut |layer| layers.push(layer.info().name.clone()));
        layers.sort_unstable();
        let weights = weights_of(name)?;
        let own = weights.names().filter_map(|name| name.strip_suffix(".weight"));
        let mut wanted: Vec<&str> = own.filter(|name| !name.contains(".norm_")).collect();
        wanted.sort_unstable();
        assert_eq!(layers, wanted, "{name}");
    }
    Ok(())
}

#[test]
fn catalogues_equal_the_published_lists() -> TestResult {
    for (name, key, count) in [
        ("sd3_medium", "sd3-medium", 216),
        ("sd35_medium", "sd3.5-medium", 281),
        ("sd35_large", "sd3.5-large", 342),
    ] {
        let spec = resolve(key)?;
        equals_published(name, |side| spec.plain_catalogue(Size::new(side, side)))?;
        let list = spec.plain_catalogue(Size::new(1024, 1024));
        assert_eq!(Selection::parse("all-maps", &list)?.len(), count);
        assert!(!spec.reads_guidance() && spec.reads_prompt());
    }
    Ok(())
}

#[test]
fn what_does_not_fit_the_network_is_refused_in_words() -> TestResult {
    let given = medium()?;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let refusal = |latents: &Tensor, text: &Tensor, pooled: &Tensor, t: &[f32]| {
        let conditions = Sd3Conditions { text, pooled };
        let list = given.list().expect("a list");
        pass(&list, &Selection::default(), true, |probe| {
            given.network.forward(latents, t, &conditions, probe)
        })
        .err()
        .map_or_else(String::new, |error| error.to_string())
    };
    let (x, text, pooled) = (&given.latents, &given.text, &given.pooled);
    assert_eq!(refusal(x, text, pooled, &[100.0]), "");
    assert!(refusal(&zeros(&[1, 4, 8, 8])?, text, pooled, &[100.0]).contains("latents of 16 channels"));
    assert!(refusal(&zeros(&[1, 16, 8, 7])?, text, pooled, &[100.0]).contains("multiples of 2"));
    assert!(refusal(&zeros(&[1, 16, 8, 50])?, text, pooled, &[100.0]).contains("24 x 24 tokens"));
    assert!(refusal(x, text, pooled, &[1.0, 2.0]).contains("2 timesteps"));
    assert!(refusal(x, &zeros(&[1, 333, 32])?, pooled, &[100.0]).contains("text states of width 72"));
    assert!(refusal(x, text, &zeros(&[1, 32])?, &[100.0]).contains("pooled texts of width 52"));
    Ok(())
}

/// The names of both kinds of files lead to one network, whose halves and thirds are where they belong.
#[test]
fn files_of_its_authors_hold_the_same_network() -> TestResult {
    for (name, file) in [
        ("tiny-sd3", "tiny-sd3-single.safetensors"),
        ("tiny-sd35-medium", "tiny-sd35-medium/sd3.5_medium.safetensors"),
    ] {
        let own = config_of(name)?;
        let file = Sd3File::find(&Store::open(&model(file))?).ok_or("a transformer")?;
        let config = Sd3Config {
            sample_size: own.sample_size,
            ..file.config(Some(&own))?
        };
        assert_eq!(config, own);
        let (store, wanted) = (file.store(&config)?, weights_of(name)?);
        let mut names: Vec<&str> = wanted.names().collect();
        names.sort_unstable();
        let mut found: Vec<&str> = store.names().collect();
        found.sort_unstable();
        assert_eq!(found, names);
        for name in names {
            let load = |store: &Store| store.var_builder(DType::F32, &Device::Cpu).get_unchecked(name);
            assert_eq!(numbers(&load(&store)?), numbers(&load(&wanted)?), "{name}");
        }
    }
    Ok(())
}

/// Without its T5 a model reads zeros in its place, and says so.
#[test]
fn a_model_without_t5_says_so_and_a_folder_may_lack_it() -> TestResult {
    let place = Place::new();
    let said = Case::new("sd35-no-t5-80x96").run("vit-block0-q", &place).good().stderr;
    assert_eq!(said.matches("no T5").count(), 1, "{said}");
    let folder = place.copy(&model("tiny-sd3"), "without");
    for part in ["text_encoder_3", "tokenizer_3"] {
        fs::remove_dir_all(Path::new(&folder).join(part))?;
    }
    let without = Case {
        model: folder.clone(),
        ..Case::new("sd3-64x96")
    };
    let found = without.extract("vit-block0-cross-map");
    assert_eq!(found["vit-block0-cross-map"].dims(), [1, 4, 24, 154]);
    let zeros = found["mid.encoder_hidden_states"].narrow(1, 77, 77)?;
    assert!(numbers(&zeros).iter().all(|number| *number == 0.0));
    Ok(())
}

#[test]
fn every_token_of_all_encoders_is_named() -> TestResult {
    let place = Place::new();
    Case::new("sd3-64x96").run("vit-block0-cross-map", &place).good();
    let bytes = fs::read(place.path("out.safetensors"))?;
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)?;
    let record = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get("featscope"))
        .ok_or("a record")?;
    let record: Value = serde_json::from_str(record)?;
    let tokens = record["ran"]["tokens"].as_array().ok_or("tokens")?;
    assert_eq!(tokens.len(), 333);
    let role = |token: &Value| serde_json::from_value::<TokenRole>(token["role"].clone());
    assert_eq!(role(&tokens[0])?, TokenRole::Start);
    assert_eq!(role(&tokens[77])?, TokenRole::Word);
    assert_eq!(role(&tokens[332])?, TokenRole::Padding);
    Ok(())
}

fn write_with(from: &Path, to: &Path, change: impl Fn(&mut Tensors)) -> TestResult {
    let mut tensors = load(from);
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, to)?;
    Ok(())
}

/// One file of a whole model runs by the configurations beside it; what is missing is named.
#[test]
fn whole_models_in_one_file() -> TestResult {
    let place = Place::new();
    let case = Case::new("sd3-single-file-80x64");
    let file = place.path("moved.safetensors");
    fs::copy(model("tiny-sd3-single.safetensors"), &file)?;
    let lost = ["layers", "--model", &file.display().to_string()].map(str::to_owned);
    run(&lost).refused(1, &["configurations", "sd3-medium+"]);
    place.copy(&model("tiny-sd3-single"), "moved");
    let moved = Case {
        model: file.display().to_string(),
        ..Case::new(&case.name)
    };
    compare_all(&expected(&case.name), "feat.", &moved.extract("all"))?;

    let put_in = Case {
        model: format!("{}+{}", model("tiny-sd3").display(), file.display()),
        ..Case::new(&case.name)
    };
    compare_all(&expected(&case.name), "feat.", &put_in.extract("all"))?;

    write_with(&model("tiny-sd3-single.safetensors"), &file, |tensors| {
        tensors.retain(|name, _| !name.starts_with("text_encoders.t5xxl"));
    })?;
    let without = moved.run("vit-block0-cross-map", &place).good();
    assert!(without.stderr.contains("no T5"), "{}", without.stderr);

    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).expect("a tensor");
    let broken = |change: &dyn Fn(&mut Tensors), words: &[&str]| -> TestResult {
        write_with(&model("tiny-sd3-single.safetensors"), &file, change)?;
        moved.run("vit-block0-q", &Place::new()).refused(1, words);
        Ok(())
    };
    let prefix = "model.diffusion_model";
    broken(
        &|tensors| drop(tensors.remove(&format!("{prefix}.joint_blocks.1.x_block.mlp.fc1.bias"))),
        &["joint_blocks.1.x_block.mlp.fc1"],
    )?;
    broken(
        &|tensors| drop(tensors.insert(format!("{prefix}.joint_blocks.1.extra.weight"), zeros(&[4]))),
        &["joint_blocks.1.extra.weight", "no layer"],
    )?;
    broken(
        &|tensors| drop(tensors.insert(format!("{prefix}.pos_embed"), zeros(&[1, 577, 64]))),
        &["577 positions"],
    )?;
    broken(
        &|tensors| tensors.retain(|name, _| !name.starts_with("text_encoders.clip_g")),
        &["text_encoder_2"],
    )?;
    Ok(())
}

#[test]
fn broken_folders_are_refused_by_name() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model("tiny-sd35-medium"), "model");
    let change = |file: &str, key: &str, value: Value, words: &[&str]| -> TestResult {
        let path = Path::new(&folder).join(file);
        let before = fs::read_to_string(&path)?;
        let mut json: Value = serde_json::from_str(&before)?;
        json[key] = value;
        fs::write(&path, json.to_string())?;
        let case = Case {
            model: folder.clone(),
            ..Case::new("sd35-medium-64x80")
        };
        case.run("vit-block0-q", &Place::new()).refused(1, words);
        fs::write(&path, before)?;
        Ok(())
    };
    change(
        "transformer/config.json",
        "dual_attention_layers",
        json!([0]),
        &["transformer_blocks.1"],
    )?;
    change(
        "transformer/config.json",
        "qk_norm",
        json!(null),
        &["norm_", "no layer"],
    )?;
    change(
        "transformer/config.json",
        "num_layers",
        json!(4),
        &["transformer_blocks.2"],
    )?;
    change(
        "transformer/config.json",
        "pos_embed_max_size",
        json!(30),
        &["pos_embed.pos_embed", "576"],
    )?;
    change(
        "transformer/config.json",
        "joint_attention_dim",
        json!(32),
        &["context_embedder.weight"],
    )?;
    change(
        "scheduler/scheduler_config.json",
        "_class_name",
        json!("DDIMScheduler"),
        &["DDIMScheduler"],
    )?;
    change("vae/config.json", "latent_channels", json!(4), &["4 channels", "16"])?;
    Ok(())
}

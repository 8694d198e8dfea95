//! Flux.1 against the reference, through the command line from picture and prompt to the network's output, and by itself.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test says what it expects")]

mod common;

use std::{fs, path::Path};

use candle_core::{DType, Device, Tensor};
use common::{
    ATOL_REL, TestResult, case_file, case_json, compare, compare_all, data, expected, model, numbers,
    program::{Place, run},
    program_case::{Case, Pass, Tensors, cosine, equals_published, everything, load, model_of, pass, worst_error},
};
use featscope::{
    activation::{Catalogue, FeatureMap, Selection, Tap},
    analysis::attention::attention_row,
    components::schedule::{FlowShift, Timestep},
    families::{
        flux::{Flux, FluxConditions, FluxConfig, FluxFile, catalogue, pack},
        resolve,
    },
    geometry::{Grid, Size},
    model::LoadExtent,
    nn::adaptable::Adaptable,
    weights::{DIFFUSERS_STEM, Store, open_weights, read_json},
};
use serde_json::{Value, json};

const CASES: [&str; 8] = [
    "flux-64x80",
    "flux-dev-64x48",
    "flux-dev-batch2-80x112",
    "flux-dev-bfl-64x48",
    "flux-dev-gdf-rule-96x64",
    "flux-dev-plain-rule-96x64",
    "flux-schnell-64x96",
    "flux-schnell-bfl-batch2-112x80",
];

#[test]
fn every_case_through_the_command_line() -> TestResult {
    for case in CASES {
        Case::new(case).passes().map_err(|error| format!("{case}: {error}"))?;
    }
    Ok(())
}

/// That program shows the norm before the feed-forward part as the output of blocks with two streams.
#[test]
fn every_id_as_generic_diffusion_feature_has_it() -> TestResult {
    let case = Case::new("flux-all-64").asked("--t").with(&["--compat", "gdf"]);
    case.passes()?;
    let t = expected("flux-all-64")["mid.unet_timestep"].to_vec1::<f32>()?[0] * 1000.0;
    let own = Case {
        t: vec!["--t".to_owned(), t.to_string()],
        ..Case::new("flux-all-64")
    };
    let found = own.extract("vit-block0-norm-out,vit-block0-out,vit-block4-out");
    let reference = expected("flux-all-64");
    compare(
        "the last block",
        &reference["feat.vit-block4-out"],
        &found["vit-block4-out"],
    )?;
    compare(
        "the norm",
        &reference["feat.vit-block0-out"],
        &found["vit-block0-norm-out"],
    )?;
    assert!(compare("the slip", &reference["feat.vit-block0-out"], &found["vit-block0-out"]).is_err());
    Ok(())
}

/// Which share of noise a nominal t stands for depends on the size that runs.
#[test]
fn nominal_timesteps_go_through_the_schedule_s_shift() -> TestResult {
    let case = "flux-dev-plain-rule-96x64";
    let place = Place::new();
    let ran = Case::new(case).asked("--nominal-t").run("vit-block0-k", &place).good();
    assert!(ran.stderr.contains("runs for the nominal 261"), "{}", ran.stderr);
    let found = load(&place.path("out.safetensors"));
    let reference = expected(case);
    for name in ["mid.unet_timestep", "mid.latents_noisy"] {
        compare(name, &reference[name], &found[name])?;
    }
    compare("k", &reference["feat.vit-block0-k"], &found["vit-block0-k"])?;

    let gdf = Case::new("flux-dev-gdf-rule-96x64")
        .asked("--t")
        .with(&["--compat", "gdf"]);
    let found = gdf.extract("vit-block0-k");
    let reference = expected("flux-dev-gdf-rule-96x64");
    compare("sigma", &reference["mid.unet_timestep"], &found["mid.unet_timestep"])?;

    let image = case_file(case, "image0.png").display().to_string();
    let demo = [
        "extract",
        "--model",
        "demo",
        "--nominal-t",
        "261",
        "--activations",
        "all",
        "--image",
        &image,
    ];
    run(demo.iter().chain(&["--out", &place.text("demo.safetensors")])).refused(2, &["--nominal-t", "no shift"]);
    Ok(())
}

#[test]
fn sigmas_of_both_rules_at_many_sizes() -> TestResult {
    let table: Value = serde_json::from_str(&fs::read_to_string(data("cases/sigmas/sigmas.json"))?)?;
    let mut compared = 0;
    for rows in table["flux"].as_array().ok_or("a table")? {
        let kind = rows["kind"].as_str().ok_or("a kind")?;
        let spec = resolve(&model(&format!("tiny-flux-{kind}")).display().to_string())?;
        let side = |name: &str| rows[name].as_u64().map(|side| side as usize).ok_or("a side");
        let working = Size::new(side("width")?, side("height")?);
        for row in rows["rows"].as_array().ok_or("rows")? {
            let t = Timestep::of(row["t"].as_u64().ok_or("t")? as u32);
            let plain = spec.shifted(t, working)?.value() / 1000.0;
            let wanted = row["plain"].as_f64().ok_or("plain")?;
            assert!(
                (plain - wanted).abs() < 1e-6,
                "{kind} {working} {t}: {plain}, not {wanted}"
            );
            let gdf = featscope::model::compat::Compat::Gdf.t(&spec, t, working);
            match (row["gdf"].as_f64(), gdf) {
                (Some(wanted), Ok(gdf)) => {
                    let gdf = gdf.value() / 1000.0;
                    assert!((gdf - wanted).abs() < 1e-6, "{kind} {working} {t}: {gdf}, not {wanted}");
                    compared += 1;
                }
                (None, Err(_)) => {}
                // That program takes whole numbers from 1 to 999.
                (wanted, gdf) => assert!(t == Timestep::of(1000), "{kind} {t}: {wanted:?} {gdf:?}"),
            }
        }
    }
    assert!(compared > 50, "{compared}");
    Ok(())
}

fn config_of(name: &str) -> featscope::Result<FluxConfig> {
    FluxConfig::from_json(&read_json(&model(name).join("transformer/config.json"))?)
}

fn weights_of(name: &str) -> featscope::Result<Store> {
    open_weights(&model(name).join("transformer"), DIFFUSERS_STEM)
}

fn open_as(name: &str, extent: LoadExtent, dtype: DType) -> featscope::Result<Flux> {
    Flux::new(
        config_of(name)?,
        extent,
        weights_of(name)?.var_builder(dtype, &Device::Cpu),
    )
}

/// A case's network, its latents (B, C, h, w), texts and share of noise.
struct Given {
    name: &'static str,
    network: Flux,
    reference: Tensors,
    latents: Tensor,
    text: Tensor,
    pooled: Tensor,
    sigma: f32,
}

impl Given {
    fn of(case: &str, name: &'static str) -> Result<Self, Box<dyn std::error::Error>> {
        let reference = expected(case);
        Ok(Self {
            name,
            network: open_as(name, LoadExtent::Whole, DType::F32)?,
            latents: reference["mid.latents_noisy"].clone(),
            text: reference["mid.encoder_hidden_states"].narrow(0, 0, 1)?,
            pooled: reference["mid.pooled_projections"].narrow(0, 0, 1)?,
            sigma: reference["mid.unet_timestep"].to_vec1::<f32>()?[0],
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

    fn conditions(&self) -> FluxConditions<'_> {
        FluxConditions {
            text: &self.text,
            pooled: &self.pooled,
            guidance: 1.0,
            slips: false,
        }
    }

    fn run(&self, network: &Flux, selection: &Selection, to_the_end: bool) -> featscope::Result<Pass> {
        let sigma = vec![self.sigma; self.latents.dim(0)?];
        pass(&self.list()?, selection, to_the_end, |probe| {
            network.forward(&self.latents, &sigma, &self.conditions(), probe)
        })
    }
}

fn dev() -> Result<Given, Box<dyn std::error::Error>> {
    Given::of("flux-dev-64x48", "tiny-flux-dev")
}

#[test]
fn the_network_alone_gives_every_activation_and_its_output() -> TestResult {
    for (case, name) in [
        ("flux-dev-64x48", "tiny-flux-dev"),
        ("flux-dev-batch2-80x112", "tiny-flux-dev"),
        ("flux-schnell-64x96", "tiny-flux-schnell"),
        ("flux-64x80", "tiny-flux"),
    ] {
        let given = Given::of(case, name)?;
        let found = given.run(&given.network, &everything(&given.list()?), true)?;
        let worst = worst_error(&given.reference, &found.taps)?;
        println!("{case}: {worst:.1e}");
        assert!(worst < ATOL_REL, "{case}: {worst}");
        let output = pack(&found.output.ok_or("an output")?)?;
        compare("the output", &given.reference["mid.unet_out"], &output)?;
        let rows = given.latents.dim(0)?;
        let modulation = given
            .network
            .modulation(&vec![given.sigma; rows], &given.conditions())?;
        compare("the modulation", &given.reference["mid.temb"], &modulation)?;
    }
    Ok(())
}

/// A row of a joint map over the picture's positions is made of what is kept, and with its columns of the text it sums to 1.
#[test]
fn rows_of_joint_attention_come_from_what_is_kept() -> TestResult {
    let given = dev()?;
    let list = given.list()?;
    let found = given.run(&given.network, &everything(&list), false)?;
    for block in [0, 2] {
        let id = format!("vit-block{block}-self-map");
        let entry = list.entry(list.find(&id)?).ok_or("an entry")?;
        let [queries, keys] = entry.facts.map_sources().ok_or("sources")?;
        let sums = entry.facts.row_sums.ok_or("sums")?;
        let map = |name: &str| -> featscope::Result<FeatureMap> {
            let tensor = &found.taps[name];
            let (_, channels, height, width) = tensor.dims4()?;
            let positions: Vec<f32> = tensor.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1()?;
            FeatureMap::from_positions(channels, Grid::new(height, width), positions)
        };
        let (queries, keys) = (map(queries.as_str())?, map(keys.as_str())?);
        let sums = map(sums.as_str())?;
        let whole = &found.taps[&id];
        let (_, heads, positions, _) = whole.dims4()?;
        let text = found.taps[&format!("vit-block{block}-cross-map")].sum(3)?;
        for position in [0, positions - 1] {
            let row = attention_row([&queries, &keys], Some(&sums), heads, position)?;
            let wanted = numbers(&whole.narrow(2, position, 1)?);
            for (found, wanted) in row.iter().zip(&wanted) {
                assert!(
                    (f64::from(*found) - wanted).abs() < 1e-5,
                    "{id} {position}: {found}, not {wanted}"
                );
            }
            for (head, row) in row.chunks(positions).enumerate() {
                let text = numbers(&text.narrow(1, head, 1)?.narrow(2, position, 1)?)[0];
                let sum = row.iter().sum::<f32>();
                assert!((f64::from(sum) + text - 1.0).abs() < 1e-4 && text > 0.0);
            }
            assert!(attention_row([&queries, &keys], Some(&queries), heads, position).is_err());
        }
    }
    let grid = list.entry(list.find("vit-block0-cross-map")?).ok_or("an entry")?;
    assert_eq!(grid.facts.map_of.ok_or("queries")?.keys, None);
    Ok(())
}

#[test]
fn stopping_early_changes_nothing_and_a_batch_equals_its_rows() -> TestResult {
    let given = Given::of("flux-dev-batch2-80x112", "tiny-flux-dev")?;
    let list = given.list()?;
    let whole = given.run(&given.network, &everything(&list), false)?;
    assert!(whole.output.is_none());
    for name in ["vit-block1-attn-out", "vit-block0-self-map", "vit-block2-k"] {
        let early = given.run(&given.network, &Selection::parse(name, &list)?, false)?;
        assert_eq!(early.taps.len(), 1);
        assert_eq!(numbers(&early.taps[name]), numbers(&whole.taps[name]), "{name}");
    }
    for row in 0..2 {
        let alone = pass(&list, &everything(&list), false, |probe| {
            let latents = given.latents.narrow(0, row, 1)?;
            given
                .network
                .forward(&latents, &[given.sigma], &given.conditions(), probe)
        })?;
        for (name, tensor) in &whole.taps {
            compare(name, &alone.taps[name], &tensor.narrow(0, row, 1)?)?;
        }
    }
    Ok(())
}

#[test]
fn a_network_that_is_read_only_in_part_gives_the_same_as_far_as_it_goes() -> TestResult {
    let given = dev()?;
    let list = given.list()?;
    for name in ["vit-block0-q", "vit-block1-norm-out", "vit-block2-out"] {
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

/// A layer is visited once, and a scale that is told changes what modulates the blocks.
#[test]
fn every_layer_is_known_and_guidance_is_read_where_there_is_an_embedder() -> TestResult {
    let given = dev()?;
    let modulation = |guidance| {
        let conditions = FluxConditions {
            guidance,
            ..given.conditions()
        };
        given.network.modulation(&[given.sigma], &conditions)
    };
    assert!(compare("guidance", &modulation(1.0)?, &modulation(3.5)?).is_err());
    let schnell = Given::of("flux-schnell-64x96", "tiny-flux-schnell")?;
    let conditions = FluxConditions {
        guidance: 3.5,
        ..schnell.conditions()
    };
    compare(
        "no guidance",
        &schnell.reference["mid.temb"],
        &schnell.network.modulation(&[schnell.sigma], &conditions)?,
    )?;
    let mut names = Vec::new();
    let mut network = given.network;
    network.each_layer(&mut |layer| names.push(layer.info().name.clone()));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    let weights = weights_of("tiny-flux-dev")?;
    let layers = weights
        .names()
        .filter(|name| name.ends_with(".weight") && !name.contains(".norm_"));
    let missing: Vec<&str> = layers
        .filter(|name| !names.iter().any(|known| *name == format!("{known}.weight")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    Ok(())
}

#[test]
fn guidance_through_the_command_line() -> TestResult {
    let ids = "vit-block0-q";
    let plain = Case::new("flux-dev-64x48").extract(ids);
    let guided = Case::new("flux-dev-64x48").with(&["--guidance", "3.5"]).extract(ids);
    assert!(compare(ids, &plain[ids], &guided[ids]).is_err());
    assert_eq!(numbers(&guided["mid.guidance"]), [3.5]);
    let place = Place::new();
    let schnell = Case::new("flux-schnell-64x96").with(&["--guidance", "3.5"]);
    let said = schnell.run(ids, &place).good().stderr;
    assert_eq!(said.matches("--guidance is not used").count(), 1, "{said}");
    let wrong = Case::new("flux-dev-64x48").with(&["--guidance", "-1"]);
    assert_eq!(wrong.run(ids, &place).code, Some(2));
    Ok(())
}

/// The formats of GPUs go through code of their own.
#[test]
fn every_format_computes_the_same_network() -> TestResult {
    for (case, name) in [
        ("flux-dev-batch2-80x112", "tiny-flux-dev"),
        ("flux-schnell-64x96", "tiny-flux-schnell"),
    ] {
        let given = Given::of(case, name)?;
        let selection = everything(&given.list()?);
        let sigma = vec![given.sigma; given.latents.dim(0)?];
        for (dtype, least) in [(DType::F64, 0.999_999), (DType::F16, 0.9995), (DType::BF16, 0.99)] {
            let network = open_as(name, LoadExtent::Whole, dtype)?;
            let [x, text, pooled] = [&given.latents, &given.text, &given.pooled].map(|tensor| tensor.to_dtype(dtype));
            let (x, text, pooled) = (x?, text?, pooled?);
            let conditions = FluxConditions {
                text: &text,
                pooled: &pooled,
                ..given.conditions()
            };
            let found = pass(&given.list()?, &selection, true, |probe| {
                network.forward(&x, &sigma, &conditions, probe)
            })?;
            let mut worst = ("", 1.0);
            for (name, wanted) in &given.reference {
                let Some(id) = name.strip_prefix("feat.") else { continue };
                let cosine = cosine(wanted, &found.taps[id]);
                if cosine < worst.1 {
                    worst = (id, cosine);
                }
            }
            println!("{case} {dtype:?}: {worst:?}");
            assert!(worst.1 > least, "{case} {dtype:?}: {worst:?}");
            let output = pack(&found.output.ok_or("an output")?)?;
            assert_eq!(output.dtype(), dtype);
            assert!(cosine(&given.reference["mid.unet_out"], &output) > least);
        }
    }
    Ok(())
}

#[test]
fn the_catalogue_equals_the_published_list() -> TestResult {
    let config = FluxConfig::from_json(&json!({"guidance_embeds": true}))?;
    equals_published("flux1_dev", |side| {
        catalogue(&config, Grid::new(side / 8, side / 8), 512)
    })?;
    let spec = resolve("flux.1-dev")?;
    let list = spec.plain_catalogue(Size::new(1024, 1024));
    let all = Selection::parse("all-maps", &list)?;
    assert_eq!(all.len(), 437);
    assert!(list.find("vit-block56-norm1-out").is_ok_and(|tap| !all.contains(tap)));
    assert_eq!(spec.default_t, "195.5".parse::<Timestep>()?);
    for (more, count) in [(&[][..], 437), (&["--extra"], 437 + 5 * 57)] {
        let listed = run(["layers", "--model", "flux.1-dev", "--json"].iter().chain(more)).good();
        let listed: Value = serde_json::from_str(&listed.stdout)?;
        assert_eq!(listed["activations"].as_array().ok_or("a list")?.len(), count);
    }
    assert!(spec.reads_guidance() && !resolve("flux.1-schnell")?.reads_guidance());
    Ok(())
}

#[test]
fn what_does_not_fit_the_network_is_refused_in_words() -> TestResult {
    let given = dev()?;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let refusal = |latents: &Tensor, text: &Tensor, pooled: &Tensor, sigma: &[f32]| {
        let conditions = FluxConditions {
            text,
            pooled,
            ..given.conditions()
        };
        let list = given.list().expect("a list");
        pass(&list, &Selection::default(), true, |probe| {
            given.network.forward(latents, sigma, &conditions, probe)
        })
        .err()
        .map_or_else(String::new, |error| error.to_string())
    };
    let (x, text, pooled) = (&given.latents, &given.text, &given.pooled);
    assert_eq!(refusal(x, text, pooled, &[0.2]), "");
    assert!(refusal(&zeros(&[1, 4, 8, 8])?, text, pooled, &[0.2]).contains("latents of 16 channels"));
    assert!(refusal(&zeros(&[1, 16, 8, 7])?, text, pooled, &[0.2]).contains("multiples of 2"));
    assert!(refusal(x, text, pooled, &[0.2, 0.3]).contains("2 shares"));
    assert!(refusal(x, &zeros(&[1, 512, 32])?, pooled, &[0.2]).contains("text states of width 64"));
    assert!(refusal(x, text, &zeros(&[1, 32])?, &[0.2]).contains("pooled text of width 24"));
    assert!(refusal(x, &zeros(&[2, 512, 64])?, pooled, &[0.2]).contains("one or all of 1 rows"));
    Ok(())
}

/// The names of both kinds of files lead to one network, whose halves and thirds are where they belong.
#[test]
fn files_of_its_authors_hold_the_same_network() -> TestResult {
    for (name, file) in [
        ("tiny-flux-dev", "flux1-dev.safetensors"),
        ("tiny-flux-schnell", "flux1-schnell.safetensors"),
    ] {
        let own = config_of(name)?;
        let file = FluxFile::find(&Store::open(&model(name).join(file))?).ok_or("a transformer")?;
        let config = file.config(Some(&own))?;
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
        let same = FluxFile::find(&wanted).ok_or("a transformer")?;
        assert_eq!(same.config(Some(&own))?, own);
    }
    Ok(())
}

fn write_with(from: &Path, to: &Path, change: impl Fn(&mut Tensors)) -> TestResult {
    let mut tensors = load(from);
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, to)?;
    Ok(())
}

/// A file that lies in the folder of a model, or that is put into one, with and without the prefix of a whole model's file.
#[test]
fn files_run_where_they_lie_and_in_other_folders() -> TestResult {
    let folder = model("tiny-flux-dev");
    let file = folder.join("flux1-dev.safetensors");
    let reference = expected("flux-dev-bfl-64x48");
    let beside = Case {
        model: file.display().to_string(),
        more: Vec::new(),
        ..Case::new("flux-dev-bfl-64x48")
    };
    let place = Place::new();
    let ran = beside.run("all", &place).good();
    assert!(ran.stderr.contains("ae.safetensors"), "{}", ran.stderr);
    compare_all(&reference, "feat.", &load(&place.path("out.safetensors")))?;

    let prefixed = place.path("prefixed.safetensors");
    let with_prefix = |tensors: &mut Tensors| {
        *tensors = tensors
            .drain()
            .map(|(name, tensor)| (format!("model.diffusion_model.{name}"), tensor))
            .collect();
    };
    write_with(&file, &prefixed, with_prefix)?;
    let put_in = Case {
        model: format!("{}+{}", folder.display(), prefixed.display()),
        ..Case::new("flux-dev-bfl-64x48")
    };
    put_in.passes()?;

    let alone = ["layers", "--model", &prefixed.display().to_string()].map(str::to_owned);
    run(&alone).refused(1, &["transformer alone", "+"]);
    Ok(())
}

#[test]
fn broken_files_are_refused_by_the_name_of_the_tensor() -> TestResult {
    let place = Place::new();
    let folder = model("tiny-flux-dev");
    let file = folder.join("flux1-dev.safetensors");
    let broken = place.path("broken.safetensors");
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).expect("a tensor");
    let refused = |change: &dyn Fn(&mut Tensors), words: &[&str]| -> TestResult {
        write_with(&file, &broken, change)?;
        let case = Case {
            model: format!("{}+{}", folder.display(), broken.display()),
            ..Case::new("flux-dev-bfl-64x48")
        };
        case.run("vit-block0-q", &Place::new()).refused(1, words);
        Ok(())
    };
    refused(
        &|tensors| drop(tensors.remove("single_blocks.0.linear1.bias")),
        &["single_blocks.0.linear1"],
    )?;
    refused(
        &|tensors| drop(tensors.insert("double_blocks.1.img_attn.proj.weight".into(), zeros(&[64, 32]))),
        &["double_blocks.1.img_attn.proj.weight", "[64, 32]"],
    )?;
    refused(
        &|tensors| drop(tensors.insert("double_blocks.1.lora.weight".into(), zeros(&[4]))),
        &["double_blocks.1.lora.weight", "no layer"],
    )?;
    refused(
        &|tensors| drop(tensors.insert("img_in.weight".into(), zeros(&[64, 128]))),
        &["16 channels", "32"],
    )?;
    refused(&|tensors| drop(tensors.remove("txt_in.weight")), &["txt_in.weight"])?;
    refused(
        &|tensors| tensors.retain(|name, _| !name.contains("qkv")),
        &["no transformer of Flux"],
    )?;
    let other = Case {
        model: format!("{}+vae={}", folder.display(), file.display()),
        ..Case::new("flux-dev-64x48")
    };
    other.run("vit-block0-q", &Place::new()).refused(1, &["no autoencoder"]);
    Ok(())
}

/// A folder whose configuration says fewer blocks than its file has, and other wrong ones.
#[test]
fn broken_folders_are_refused_by_name() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model("tiny-flux"), "model");
    let change = |file: &str, key: &str, value: Value, words: &[&str]| -> TestResult {
        let path = Path::new(&folder).join(file);
        let before = fs::read_to_string(&path)?;
        let mut json: Value = serde_json::from_str(&before)?;
        json[key] = value;
        fs::write(&path, json.to_string())?;
        let case = Case {
            model: folder.clone(),
            ..Case::new("flux-64x80")
        };
        case.run("vit-block0-q", &Place::new()).refused(1, words);
        fs::write(&path, before)?;
        Ok(())
    };
    change(
        "transformer/config.json",
        "num_layers",
        json!(1),
        &["transformer_blocks.1", "no layer"],
    )?;
    change(
        "transformer/config.json",
        "num_layers",
        json!(3),
        &["transformer_blocks.2"],
    )?;
    change(
        "transformer/config.json",
        "in_channels",
        json!(384),
        &["16 channels", "96"],
    )?;
    change(
        "transformer/config.json",
        "guidance_embeds",
        json!(false),
        &["guidance_embedder", "no layer"],
    )?;
    change(
        "scheduler/scheduler_config.json",
        "_class_name",
        json!("DDIMScheduler"),
        &["DDIMScheduler"],
    )?;
    change("vae/config.json", "latent_channels", json!(4), &["4 channels", "16"])?;
    fs::remove_file(Path::new(&folder).join("tokenizer_2/spiece.model"))?;
    let case = Case {
        model: folder.clone(),
        ..Case::new("flux-64x80")
    };
    case.run("vit-block0-q", &place).refused(1, &["spiece.model"]);
    let odd = [
        "extract",
        "--model",
        &folder,
        "--t",
        "200",
        "--size",
        "72x64",
        "--activations",
        "all",
    ];
    let image = case_file("flux-64x80", "image0.png").display().to_string();
    run(odd
        .iter()
        .chain(&["--image", &image, "--out", &place.text("odd.safetensors")]))
    .refused(2, &["72x64", "multiples of 16"]);
    Ok(())
}

#[test]
fn shifts_are_read_from_the_scheduler() -> TestResult {
    let shift = |name: &str| FlowShift::from_json(&read_json(&model(name).join("scheduler/scheduler_config.json"))?);
    assert!(matches!(shift("tiny-flux-dev")?, FlowShift::Dynamic(_)));
    assert_eq!(shift("tiny-flux-schnell")?, FlowShift::Static(1.0));
    assert_eq!(model_of("flux-64x80"), model("tiny-flux"));
    assert_eq!(case_json("flux-64x80")["text_tokens"], 512);
    Ok(())
}

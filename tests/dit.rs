//! DiT, SiT and REPA against the reference, from the picture and the class to the network's output.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use candle_core::{DType, Device, Tensor};
use common::{
    ATOL_REL, TestResult,
    case::{Tensors, extract, formats_agree, listed, parity, request, rows_are_of_products},
    case_file, case_json, compare, data, expected, model, numbers,
    program::{Place, run},
};
use featscope::{
    Error,
    activation::{Catalogue, Probe, Selection, Shape, Stop, Tap, no_progress},
    components::schedule::Schedule,
    device::Compute,
    families::{
        dit::{Dit, DitConfig, DitKind, catalogue},
        resolve,
    },
    geometry::{Grid, Size},
    model::LoadExtent,
    nn::adaptable::Adaptable,
    weights::{DIFFUSERS_STEM, Store, open_weights, read_json},
};
use serde_json::json;

const CASES: [&str; 5] = [
    "dit-64",
    "dit-null-batch2-80x112",
    "dit-original-64",
    "sit-batch2-80",
    "sit-repa-64",
];

#[test]
fn every_case_from_picture_and_class_to_the_output() -> TestResult {
    for case in CASES {
        assert!(parity(case)? < ATOL_REL, "{case}");
    }
    Ok(())
}

#[test]
fn every_format_computes_the_same_network() -> TestResult {
    for case in ["dit-64", "sit-repa-64"] {
        formats_agree(case)?;
    }
    Ok(())
}

fn network(name: &str, extent: LoadExtent) -> featscope::Result<Dit> {
    let folder = model(name).join("transformer");
    let config = DitConfig::from_json(&read_json(&folder.join("config.json"))?)?;
    let weights = open_weights(&folder, DIFFUSERS_STEM)?;
    Dit::new(config, extent, weights.var_builder(DType::F32, &Device::Cpu))
}

struct Pass {
    taps: HashMap<String, Tensor>,
    output: Option<Tensor>,
}

fn everything(list: &Catalogue) -> Selection {
    (0..list.len() as u32).map(Tap).collect()
}

/// The activations that a pass meets of those that `select` selects; to its output if `to_the_end`.
fn pass(
    network: &Dit,
    x: &Tensor,
    told: (&[f32], &[u32]),
    select: impl Fn(&Catalogue) -> Selection,
    to_the_end: bool,
) -> featscope::Result<Pass> {
    let (_, _, height, width) = x.dims4()?;
    let list = catalogue(network.config(), Grid::new(height, width));
    let selection = select(&list);
    let mut taps = HashMap::new();
    let mut last = None;
    let mut record = |tap: Tap, tensor: &Tensor| {
        let entry = list.entry(tap).expect("only taps of the catalogue are met");
        assert_eq!(&tensor.dims()[1..], entry.shape.dims(), "{}", entry.id);
        assert!(last < Some(tap), "{} is met out of order", entry.id);
        last = Some(tap);
        taps.insert(entry.id.to_string(), tensor.clone());
        Ok(())
    };
    let mut watch = no_progress;
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    if to_the_end {
        probe = probe.to_the_end();
    }
    let output = match network.forward(x, told.0, told.1, &mut probe) {
        Ok(output) => Some(output),
        Err(Stop::Done) => None,
        Err(Stop::Error(error)) => return Err(error),
    };
    Ok(Pass { taps, output })
}

#[test]
fn stopping_early_changes_nothing_and_a_batch_equals_its_rows() -> TestResult {
    let network = network("tiny-dit", LoadExtent::Whole)?;
    let x = &expected("dit-null-batch2-80x112")["mid.unet_in"];
    // Rows may have timesteps and classes of their own.
    let (t, classes) = ([400.0, 50.0], [1000, 207]);
    let whole = pass(&network, x, (&t, &classes), everything, true)?;
    // Six of the list, and the norm beside it, with and without massive channels.
    assert_eq!(whole.taps.len(), 8 * network.config().num_layers);
    let id = "vit-block1-ffn-inner";
    let one = |list: &Catalogue| Selection::parse(id, list).expect("a known id");
    let early = pass(&network, x, (&t, &classes), one, false)?;
    assert_eq!((early.taps.len(), early.output.is_none()), (1, true));
    assert_eq!(numbers(&early.taps[id]), numbers(&whole.taps[id]));
    for row in 0..2 {
        let told = (&t[row..=row], &classes[row..=row]);
        let alone = pass(&network, &x.narrow(0, row, 1)?, told, everything, true)?;
        for (name, tensor) in &whole.taps {
            compare(name, &alone.taps[name], &tensor.narrow(0, row, 1)?)?;
        }
        let outputs = [&alone.output, &whole.output].map(|output| output.as_ref().expect("an output"));
        compare("the output", outputs[0], &outputs[1].narrow(0, row, 1)?)?;
    }
    Ok(())
}

#[test]
fn a_network_that_is_read_only_in_part_gives_the_same_as_far_as_it_goes() -> TestResult {
    let whole = network("tiny-dit", LoadExtent::Whole)?;
    let x = &expected("dit-64")["mid.unet_in"];
    let told = (&[50.0][..], &[207][..]);
    let list = catalogue(whole.config(), Grid::new(8, 8));
    for name in ["vit-block0-self-q", "vit-block1-self-map", "vit-block2-out"] {
        let tap = list.find(name)?;
        let part = network("tiny-dit", LoadExtent::UpTo(tap))?;
        let select = |_: &Catalogue| [tap].into_iter().collect();
        let (found, wanted) = (
            pass(&part, x, told, select, false)?,
            pass(&whole, x, told, select, false)?,
        );
        assert_eq!(numbers(&found.taps[name]), numbers(&wanted.taps[name]), "{name}");
        let refused = pass(&part, x, told, |_| Selection::default(), true);
        let error = refused.err().ok_or("the output was not read")?.to_string();
        assert!(error.contains("only as far as"), "{error}");
    }
    Ok(())
}

#[test]
fn a_cancelled_pass_ends_at_the_next_activation() -> TestResult {
    let network = network("tiny-dit", LoadExtent::Whole)?;
    let x = &expected("dit-64")["mid.unet_in"];
    let list = catalogue(network.config(), Grid::new(8, 8));
    let (selection, mut met, mut calls) = (everything(&list), 0, 0);
    let mut record = |_: Tap, _: &Tensor| {
        met += 1;
        Ok(())
    };
    let mut watch = |_: f32| {
        calls += 1;
        if calls == 10 { Err(Error::Cancelled) } else { Ok(()) }
    };
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    let ended = network.forward(x, &[50.0], &[1000], &mut probe);
    assert!(matches!(ended, Err(Stop::Error(Error::Cancelled))));
    assert_eq!(met, 10);
    Ok(())
}

#[test]
fn what_does_not_fit_the_network_is_refused() -> TestResult {
    let network = network("tiny-dit", LoadExtent::Whole)?;
    let refusal = |shape: &[usize], t: &[f32], classes: &[u32]| {
        let x = Tensor::zeros(shape, DType::F32, &Device::Cpu).expect("a latent");
        pass(&network, &x, (t, classes), |_| Selection::default(), true)
            .err()
            .map_or_else(String::new, |error| error.to_string())
    };
    assert_eq!(refusal(&[1, 4, 8, 8], &[50.0], &[1000]), "");
    for (shape, t, classes) in [
        ([1, 16, 8, 8], &[50.0][..], &[0][..]),
        ([1, 4, 8, 7], &[50.0], &[0]),
        ([1, 4, 8, 8], &[50.0, 51.0], &[0]),
        ([1, 4, 8, 8], &[50.0], &[0, 1]),
        ([1, 4, 8, 8], &[50.0], &[1001]),
    ] {
        let error = refusal(&shape, t, classes);
        assert!(
            error.contains("latents of 4 channels") && error.contains("a class up to 1000"),
            "{error}"
        );
    }
    Ok(())
}

/// Adapters find every layer by the name of its weight, and nothing in the file is left unread.
#[test]
fn layers_bear_the_names_of_the_file() -> TestResult {
    let mut network = network("tiny-dit", LoadExtent::Whole)?;
    let mut layers = HashSet::new();
    network.each_layer(&mut |layer| {
        layers.insert(layer.info().name.clone());
    });
    let weights = open_weights(&model("tiny-dit").join("transformer"), DIFFUSERS_STEM)?;
    let names = weights.names().filter_map(|name| name.strip_suffix(".weight"));
    assert_eq!(layers, names.map(str::to_owned).collect());
    Ok(())
}

#[test]
fn catalogues_equal_the_published_lists() -> TestResult {
    for (name, key) in [("dit_xl_2", "dit-xl-2-256"), ("sit_xl_2", "sit-xl-2")] {
        let spec = resolve(key)?;
        let table = fs::read_to_string(data(&format!("ids/{name}.shapes.tsv")))?;
        let mut lines = table.lines();
        let header: Vec<&str> = lines.next().ok_or("an empty table")?.split('\t').collect();
        let sides = header[2..]
            .iter()
            .map(|column| column.trim_start_matches("shape@").parse());
        let sides: Vec<usize> = sides.collect::<Result<_, _>>()?;
        let lists: Vec<Catalogue> = sides
            .iter()
            .map(|side| spec.plain_catalogue(Size::new(*side, *side)))
            .collect();
        let mut ids = Vec::new();
        for line in lines {
            let cells: Vec<&str> = line.split('\t').collect();
            ids.push(cells[0].to_owned());
            for (list, cell) in lists.iter().zip(&cells[2..]) {
                let shape: Vec<usize> = cell.split(',').map(str::parse).collect::<Result<_, _>>()?;
                let entry = list.entry(list.find(cells[0])?).ok_or("no entry")?;
                assert_eq!(entry.shape.dims().as_slice(), shape, "{name} {}", entry.id);
                assert_eq!(matches!(entry.shape, Shape::Attention { .. }), entry.id.is_map());
            }
        }
        let published: Vec<String> = serde_json::from_str(&fs::read_to_string(data(&format!("ids/{name}.json")))?)?;
        let found: Vec<String> = listed(&lists[0]);
        assert_eq!(found, published, "{name}");
        assert_eq!(ids, published, "{name}");
    }
    Ok(())
}

/// Queries and keys that are normed on their way to a map are offered as they enter the products.
#[test]
fn maps_say_what_they_are_made_of() -> TestResult {
    for (name, made_of) in [
        ("tiny-dit", ["vit-block1-self-q", "vit-block1-self-k"]),
        ("tiny-repa", ["vit-block1-map-q", "vit-block1-map-k"]),
    ] {
        let spec = resolve(&model(name).display().to_string())?;
        let list = spec.plain_catalogue(Size::new(64, 64));
        let entry = list.entry(list.find("vit-block1-self-map")?).ok_or("no entry")?;
        let sources = entry.facts.map_sources().ok_or("a map")?;
        assert_eq!(sources.map(|id| id.to_string()), made_of, "{name}");
    }
    rows_are_of_products("sit-repa-64", "vit-block1")
}

/// Tensors of an authors' checkpoint under other names and changed otherwise, as a file of safetensors.
fn rewritten(from: &str, to: &Path, name: impl Fn(&str) -> String) -> TestResult {
    let store = Store::open(&model(from).join("model.pt"))?;
    let vb = store.var_builder(DType::F32, &Device::Cpu);
    let tensors = store.names().map(|old| {
        let tensor = vb.get_unchecked(old)?;
        Ok((name(old), tensor))
    });
    let tensors: HashMap<String, Tensor> = tensors.collect::<candle_core::Result<_>>()?;
    candle_core::safetensors::save(&tensors, to)?;
    Ok(())
}

/// A case's request for the model of another path.
fn with_model(case: &str, path: &Path) -> Result<Tensors, Box<dyn std::error::Error>> {
    let mut request = request(case);
    request["model"] = json!(path);
    extract(request, DType::F32)
}

/// Older files of REPA's split the stack; others have a prefix before every name; a folder or a file is named.
#[test]
fn files_of_every_layout_are_the_same_network() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model("tiny-repa"), "repa");
    let folder = Path::new(&folder);
    let wanted = extract(request("sit-repa-64"), DType::F32)?;
    let split = |name: &str| match name.strip_prefix("blocks.1.") {
        Some(rest) => format!("decoder_blocks.0.{rest}"),
        None => name.to_owned(),
    };
    let prefixed = |name: &str| format!("model.diffusion_model.{name}");
    let same = |path: &Path| -> TestResult {
        let found = with_model("sit-repa-64", path)?;
        for (name, tensor) in &wanted {
            assert_eq!(numbers(tensor), numbers(&found[name]), "{name} of {}", path.display());
        }
        Ok(())
    };
    same(&folder.join("model.pt"))?;
    let file = folder.join("model.safetensors");
    for name in [&split as &dyn Fn(&str) -> String, &prefixed] {
        rewritten("tiny-repa", &file, name)?;
        same(folder)?;
        same(&file)?;
    }
    Ok(())
}

#[test]
fn tensors_that_no_such_network_has_are_named() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model("tiny-sit"), "sit");
    let file = Path::new(&folder).join("model.safetensors");
    let refusal = |name: &dyn Fn(&str) -> String| -> Result<String, Box<dyn std::error::Error>> {
        rewritten("tiny-sit", &file, name)?;
        let refused = with_model("sit-batch2-80", &file).err().ok_or("it was taken")?;
        Ok(refused.to_string())
    };
    let error = refusal(&|name| name.replace("blocks.2.mlp.fc2.bias", "blocks.2.mlp.fc3.bias"))?;
    assert!(
        error.contains("that no DiT, SiT or REPA has: blocks.2.mlp.fc3.bias"),
        "{error}"
    );
    let error = refusal(&|name| name.replace("blocks.2.attn.qkv", "blocks.2.attn.kqv"))?;
    assert!(
        error.contains("\"depth\"") && error.contains("the tensors say otherwise"),
        "{error}"
    );
    let error = refusal(&|name| name.replace("pos_embed", "no_embed"))?;
    assert!(error.contains("lacks the tensor pos_embed"), "{error}");

    // diffusers' layout: a tensor too many.
    let folder = place.copy(&model("tiny-dit"), "dit");
    let weights = Path::new(&folder).join("transformer/diffusion_pytorch_model.safetensors");
    let mut tensors = candle_core::safetensors::load(&weights, &Device::Cpu)?;
    tensors.insert(
        "transformer_blocks.3.norm1.linear.bias".to_owned(),
        Tensor::zeros(288, DType::F32, &Device::Cpu)?,
    );
    candle_core::safetensors::save(&tensors, &weights)?;
    let error = with_model("dit-64", Path::new(&folder))
        .err()
        .ok_or("it was taken")?
        .to_string();
    assert!(error.contains("transformer_blocks.3.norm1.linear.bias"), "{error}");
    Ok(())
}

/// The kind is in no tensor: a configuration says it, or the model's name before the file.
#[test]
fn what_a_file_was_trained_for_is_told() -> TestResult {
    let place = Place::new();
    let path = place.copy(&model("tiny-sit"), "sit");
    let folder = Path::new(&path);
    fs::remove_file(folder.join("config.json"))?;
    let file = folder.join("model.pt");
    let named = |name: &str| resolve(&format!("{name}{}", file.display()));
    let guessed = named("")?;
    assert!(
        guessed.notes.iter().any(|note| note.contains("taken for a DiT")),
        "{:?}",
        guessed.notes
    );
    assert!(matches!(guessed.schedule, Schedule::Discrete(_)));
    let told = named("sit-xl-2+")?;
    assert_eq!((told.notes.len(), told.native_side), (0, 256));
    assert!(matches!(told.schedule, Schedule::FlowToPicture(_)));
    let repa = resolve(&model("tiny-repa").join("model.pt").display().to_string())?;
    assert!(matches!(repa.schedule, Schedule::Flow(_)));
    fs::write(folder.join("config.json"), r#"{"kind": "repa"}"#)?;
    let error = named("sit-xl-2+").err().ok_or("two kinds")?.to_string();
    assert!(error.contains("\"sit\"") && error.contains("\"repa\""), "{error}");
    let vae = model("tiny-sit").join("vae");
    let error = resolve(&format!("sit-xl-2+vae={}", vae.display()))
        .err()
        .ok_or("nothing to give it to")?;
    assert!(error.to_string().contains("not on this machine"), "{error}");
    for kind in DitKind::ALL {
        assert_eq!(DitKind::of_word(kind.word()), Some(kind));
    }
    Ok(())
}

/// The published folder takes the denoiser of an authors' file, with its own autoencoder.
#[test]
fn a_folder_takes_the_denoiser_of_a_file() -> TestResult {
    let joined = format!(
        "{}+{}",
        model("tiny-dit").display(),
        model("tiny-sit").join("model.pt").display()
    );
    let found = with_model("sit-batch2-80", Path::new(&joined))?;
    let same = expected("sit-batch2-80");
    assert!(matches!(resolve(&joined)?.schedule, Schedule::FlowToPicture(_)));
    assert_eq!(found["vit-block2-out"].dims(), same["feat.vit-block2-out"].dims());
    Ok(())
}

#[test]
fn a_file_without_an_autoencoder_says_what_to_do() -> TestResult {
    let place = Place::new();
    let file = place.path("alone.pt");
    fs::copy(model("tiny-dit-original").join("model.pt"), &file)?;
    let model_of = |name: &str| -> Result<_, Box<dyn std::error::Error>> {
        let spec = resolve(name)?;
        let place = Compute {
            device: Device::Cpu,
            dtype: DType::F32,
        };
        let opened = featscope::extract::model::Model::load(&spec, place, LoadExtent::Whole, &mut no_progress);
        Ok(opened.err().map(|error| error.to_string()))
    };
    let name = file.display().to_string();
    let error = model_of(&name)?.ok_or("no autoencoder")?;
    assert!(
        error.contains("sd-vae-ft-ema") && error.contains("--vae-file"),
        "{error}"
    );
    let vae = model("tiny-dit-original").join("vae");
    assert_eq!(model_of(&format!("{name}+vae={}", vae.display()))?, None);
    let refused = resolve(&format!("{name}+text={}", vae.display()))
        .err()
        .ok_or("it reads no text")?;
    assert!(refused.to_string().contains("reads no text"), "{refused}");
    Ok(())
}

/// A grid that is not the one of training gets computed positions, and the one of training its own.
#[test]
fn positions_of_other_grids_are_computed() -> TestResult {
    let mut request = request("dit-original-64");
    request["size"] = json!({"Exact": {"width": 96, "height": 64}});
    request["noise_file"] = json!(null);
    let found = extract(request, DType::F32)?;
    assert_eq!(found["vit-block1-out"].dims(), [1, 48, 4, 6]);
    assert_eq!(found["mid.unet_out"].dims(), [1, 8, 8, 12]);
    Ok(())
}

#[test]
fn a_class_is_told_and_recorded() -> TestResult {
    let place = Place::new();
    let image = case_file("dit-64", "image0.png").display().to_string();
    let of = |model_name: &str, class: &[&str], out: &str| {
        let model = model(model_name).display().to_string();
        let mut arguments = vec!["extract", "--model", &model, "--t", "50", "--image", &image];
        arguments.extend(["--activations", "vit-block0-self-q", "--out", out]);
        arguments.extend(class);
        run(&arguments)
    };
    let out = place.text("out.safetensors");
    for (class, row, name) in [
        (&["--class", "207"][..], 207, json!("golden retriever")),
        (&["--class", "208"], 208, json!(null)),
        (&["--class", "null"], 1000, json!("null")),
        (&["--class", "1000"], 1000, json!("null")),
        (&[], 1000, json!("null")),
    ] {
        assert_eq!(of("tiny-dit", class, &out).good().notes(), [""; 0], "{class:?}");
        let store = Store::open(Path::new(&out))?;
        let record: serde_json::Value = serde_json::from_str(store.metadata("featscope").ok_or("a record")?)?;
        assert_eq!(record["ran"]["class"], json!({"row": row, "name": name}), "{class:?}");
    }
    for class in ["1001", "4294967295"] {
        of("tiny-dit", &["--class", class], &out).refused(2, &["has no class", class, "0 to 999"]);
    }
    for class in ["-1", "cat", "1.5"] {
        let refused = of("tiny-dit", &["--class", class], &out);
        assert_eq!(refused.code, Some(2), "{class}: {}", refused.stderr);
        assert!(
            refused.stderr.contains("or null for none"),
            "{class}: {}",
            refused.stderr
        );
    }
    // A prompt is not used here, nor a class elsewhere.
    let unused = of("tiny-dit", &["--prompt", "a cat"], &out).good();
    assert!(unused.stderr.contains("--prompt is not used"), "{}", unused.stderr);
    let adm = model("tiny-adm").display().to_string();
    let arguments = [
        "extract", "--model", &adm, "--t", "50", "--image", &image, "--size", "32", "--class", "7",
    ];
    let unused = run(arguments.iter().chain(&["--activations", "b1", "--out", &out])).good();
    assert_eq!(unused.notes().len(), 1, "{}", unused.stderr);
    assert!(unused.stderr.contains("--class is not used"), "{}", unused.stderr);
    Ok(())
}

/// The schedule of a flow model without a shift: a nominal t is the one that runs. DiT's has no such t.
#[test]
fn a_nominal_timestep_of_a_flow_model_runs_as_it_is() -> TestResult {
    let place = Place::new();
    let image = case_file("sit-batch2-80", "image0.png").display().to_string();
    let of = |name: &str, option: &str, out: &str| {
        let model = model(name).display().to_string();
        let given = [
            "extract", "--model", &model, "--image", &image, "--size", "80", option, "261.5",
        ];
        run(given
            .into_iter()
            .chain(["--activations", "vit-block0-self-q", "--out", out]))
    };
    for name in ["tiny-sit", "tiny-repa"] {
        let nominal = of(name, "--nominal-t", &place.text("nominal.safetensors")).good();
        assert!(
            nominal.stderr.contains("t 261.5 runs for the nominal 261.5"),
            "{}",
            nominal.stderr
        );
        of(name, "--t", &place.text("plain.safetensors")).good();
        let read = |file: &str| candle_core::safetensors::load(place.path(file), &Device::Cpu);
        let [nominal, plain] = ["nominal.safetensors", "plain.safetensors"].map(read);
        assert_eq!(
            numbers(&nominal?["vit-block0-self-q"]),
            numbers(&plain?["vit-block0-self-q"])
        );
    }
    let dit = of("tiny-dit", "--nominal-t", &place.text("dit.safetensors"));
    assert_eq!(dit.code, Some(2), "{}", dit.stderr);
    Ok(())
}

/// The class changes what is computed.
#[test]
fn classes_differ() -> TestResult {
    let of = |class: serde_json::Value| {
        let mut request = request("dit-64");
        request["class"] = class;
        extract(request, DType::F32)
    };
    assert_eq!(case_json("dit-64")["class"], 207);
    let (told, none, null) = (of(json!(207))?, of(json!(1000))?, of(json!(null))?);
    assert_eq!(numbers(&none["vit-block0-out"]), numbers(&null["vit-block0-out"]));
    assert!(compare("class", &told["vit-block0-out"], &none["vit-block0-out"]).is_err());
    Ok(())
}

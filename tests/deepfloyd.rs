//! DeepFloyd IF's first stage against the reference, from the picture and the prompt to the network's output.
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
    case::{extract, formats_agree, parity, request},
    case_file, compare, data, expected, model, numbers,
    program::{Place, run},
};
use featscope::{
    Error,
    activation::{Catalogue, Probe, Selection, Stage, Stop, Tap, no_progress},
    families::{
        deepfloyd::{IfConfig, IfUnet, catalogue},
        resolve,
    },
    geometry::{Grid, Size},
    model::LoadExtent,
    nn::adaptable::Adaptable,
    weights::{DIFFUSERS_STEM, open_weights, read_json},
};
use serde_json::json;

const MODEL: &str = "tiny-if-i";
const CASES: [&str; 2] = ["if-32x40", "if-batch2-64"];

#[test]
fn every_case_from_picture_and_prompt_to_the_output() -> TestResult {
    for case in CASES {
        assert!(parity(case)? < ATOL_REL, "{case}");
    }
    Ok(())
}

#[test]
fn every_format_computes_the_same_network() -> TestResult {
    formats_agree("if-32x40")
}

fn network(extent: LoadExtent) -> featscope::Result<IfUnet> {
    let folder = model(MODEL).join("unet");
    let config = IfConfig::from_json(&read_json(&folder.join("config.json"))?)?;
    let weights = open_weights(&folder, DIFFUSERS_STEM)?;
    IfUnet::new(config, extent, weights.var_builder(DType::F32, &Device::Cpu))
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
    network: &IfUnet,
    (x, t, text): (&Tensor, &[f32], &Tensor),
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
    let output = match network.forward(x, t, text, &mut probe) {
        Ok(output) => Some(output),
        Err(Stop::Done) => None,
        Err(Stop::Error(error)) => return Err(error),
    };
    Ok(Pass { taps, output })
}

#[test]
fn stopping_early_changes_nothing_and_a_batch_equals_its_rows() -> TestResult {
    let network = network(LoadExtent::Whole)?;
    let reference = expected("if-batch2-64");
    let (x, text) = (
        &reference["mid.unet_in"],
        reference["mid.encoder_hidden_states"].narrow(0, 0, 1)?,
    );
    // Rows may have timesteps and texts of their own.
    let t = [500.0, 20.0];
    let texts = Tensor::cat(&[&text, &(&text * 0.5)?], 0)?;
    let whole = pass(&network, (x, &t, &texts), everything, true)?;
    assert_eq!(whole.taps.len(), 75);
    let id = "up-level1-upsampler-increment";
    let one = |list: &Catalogue| Selection::parse(id, list).expect("a known id");
    let early = pass(&network, (x, &t, &texts), one, false)?;
    assert_eq!((early.taps.len(), early.output.is_none()), (1, true));
    assert_eq!(numbers(&early.taps[id]), numbers(&whole.taps[id]));
    for row in 0..2 {
        let part = |tensor: &Tensor| tensor.narrow(0, row, 1);
        let alone = pass(&network, (&part(x)?, &t[row..=row], &part(&texts)?), everything, true)?;
        for (name, tensor) in &whole.taps {
            compare(name, &alone.taps[name], &part(tensor)?)?;
        }
    }
    Ok(())
}

#[test]
fn a_network_that_is_read_only_in_part_gives_the_same_as_far_as_it_goes() -> TestResult {
    let whole = network(LoadExtent::Whole)?;
    let reference = expected("if-32x40");
    let given = (
        &reference["mid.unet_in"],
        &[49.0][..],
        &reference["mid.encoder_hidden_states"],
    );
    let list = catalogue(whole.config(), Grid::new(32, 40));
    for name in [
        "unet-in",
        "mid-repeat1-res-out",
        "up-level0-upsampler-out",
        "up-level3-repeat3-res-out",
    ] {
        let tap = list.find(name)?;
        let part = network(LoadExtent::UpTo(tap))?;
        let select = |_: &Catalogue| [tap].into_iter().collect();
        let (found, wanted) = (pass(&part, given, select, false)?, pass(&whole, given, select, false)?);
        assert_eq!(numbers(&found.taps[name]), numbers(&wanted.taps[name]), "{name}");
        let refused = pass(&part, given, |_| Selection::default(), true);
        let error = refused.err().ok_or("the output was not read")?.to_string();
        assert!(error.contains("only as far as"), "{error}");
    }
    Ok(())
}

#[test]
fn a_cancelled_pass_ends_at_the_next_activation() -> TestResult {
    let network = network(LoadExtent::Whole)?;
    let reference = expected("if-32x40");
    let list = catalogue(network.config(), Grid::new(32, 40));
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
    let text = &reference["mid.encoder_hidden_states"];
    let ended = network.forward(&reference["mid.unet_in"], &[49.0], text, &mut probe);
    assert!(matches!(ended, Err(Stop::Error(Error::Cancelled))));
    assert_eq!(met, 10);
    Ok(())
}

#[test]
fn what_does_not_fit_the_network_is_refused() -> TestResult {
    let network = network(LoadExtent::Whole)?;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).expect("zeros");
    let refusal = |shape: &[usize], t: &[f32], text: &[usize]| {
        pass(
            &network,
            (&zeros(shape), t, &zeros(text)),
            |_| Selection::default(),
            true,
        )
        .err()
        .map_or_else(String::new, |error| error.to_string())
    };
    assert_eq!(refusal(&[1, 3, 16, 8], &[1.0], &[1, 77, 40]), "");
    for (shape, t, text) in [
        ([1, 4, 16, 8], &[1.0][..], [1, 77, 40]),
        ([1, 3, 12, 8], &[1.0], [1, 77, 40]),
        ([1, 3, 16, 8], &[1.0, 2.0], [1, 77, 40]),
        ([1, 3, 16, 8], &[1.0], [1, 77, 64]),
        ([1, 3, 16, 8], &[1.0], [2, 77, 40]),
    ] {
        let error = refusal(&shape, t, &text);
        assert!(
            error.contains("multiples of 8") && error.contains("width 40"),
            "{error}"
        );
    }
    Ok(())
}

/// Adapters find every layer by the name of its weight, and nothing in the file is left unread.
#[test]
fn layers_bear_the_names_of_the_file() -> TestResult {
    let mut network = network(LoadExtent::Whole)?;
    let mut layers = HashSet::new();
    network.each_layer(&mut |layer| {
        layers.insert(layer.info().name.clone());
    });
    let weights = open_weights(&model(MODEL).join("unet"), DIFFUSERS_STEM)?;
    let names = weights.names().filter_map(|name| name.strip_suffix(".weight"));
    assert_eq!(layers, names.map(str::to_owned).collect());
    Ok(())
}

#[test]
fn a_tensor_too_many_and_another_network_are_named() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model(MODEL), "if");
    let refusal = || -> Result<String, Box<dyn std::error::Error>> {
        let mut request = request("if-32x40");
        request["model"] = json!(folder);
        let refused = extract(request, DType::F32).err().ok_or("it was taken")?;
        Ok(refused.to_string())
    };
    let config = Path::new(&folder).join("unet/config.json");
    let own = fs::read_to_string(&config)?;
    // The second stage is given a smaller picture beside the noisy one.
    fs::write(&config, own.replace("\"in_channels\": 3", "\"in_channels\": 6"))?;
    let error = refusal()?;
    assert!(error.contains("\"in_channels\" is 6"), "{error}");
    fs::write(&config, own)?;
    let weights = Path::new(&folder).join("unet/diffusion_pytorch_model.safetensors");
    let mut tensors = candle_core::safetensors::load(&weights, &Device::Cpu)?;
    tensors.insert(
        "class_embedding.linear_1.weight".to_owned(),
        Tensor::zeros(32, DType::F32, &Device::Cpu)?,
    );
    candle_core::safetensors::save(&tensors, &weights)?;
    let error = refusal()?;
    assert!(error.contains("class_embedding.linear_1.weight"), "{error}");
    Ok(())
}

#[test]
fn the_catalogue_equals_the_published_list() -> TestResult {
    let published: Vec<String> = serde_json::from_str(&fs::read_to_string(data("ids/if_i_l.json"))?)?;
    let spec = resolve("deepfloyd-if-i-l")?;
    let list = spec.plain_catalogue(Size::new(64, 64));
    let found: Vec<String> = list.entries().iter().map(|entry| entry.id.to_string()).collect();
    assert_eq!(found, published);
    let table = fs::read_to_string(data("ids/if_i_l.shapes.tsv"))?;
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let shape: Vec<usize> = cells[2].split(',').map(str::parse).collect::<Result<_, _>>()?;
        let entry = list.entry(list.find(cells[0])?).ok_or("no entry")?;
        assert_eq!(entry.shape.dims().as_slice(), shape, "{}", entry.id);
    }
    // Stages and their blocks are those of a U-Net: a resnet with what follows it.
    for (id, stage, block) in [
        ("unet-after-conv-in", Stage::Input, (0, 1)),
        ("down-level0-repeat2-res-out", Stage::Down, (2, 12)),
        ("down-level0-downsampler-out", Stage::Down, (2, 12)),
        ("mid-repeat1-res-increment", Stage::Mid, (1, 2)),
        ("up-level3-repeat3-res-out", Stage::Up, (15, 16)),
        ("unet-out", Stage::Output, (0, 1)),
    ] {
        let entry = list.entry(list.find(id)?).ok_or("no entry")?;
        assert_eq!((entry.facts.stage, entry.facts.block), (stage, block), "{id}");
    }
    Ok(())
}

#[test]
fn a_model_of_pixels_has_no_latent_to_sample() -> TestResult {
    let place = Place::new();
    let image = case_file("if-32x40", "image0.png").display().to_string();
    let (model, out) = (model(MODEL).display().to_string(), place.text("out.safetensors"));
    let ran = run([
        "extract",
        "--model",
        &model,
        "--t",
        "49",
        "--size",
        "40x32",
        "--image",
        &image,
        "--vae",
        "sample",
        "--prompt",
        "a cat",
        "--activations",
        "unet-out",
        "--out",
        &out,
    ])
    .good();
    assert_eq!(ran.notes().len(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("--vae is not used"), "{}", ran.stderr);
    Ok(())
}

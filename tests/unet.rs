//! The U-Net of Stable Diffusion against the reference: every activation, from the same input and text states.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::collections::HashMap;

use candle_core::{DType, Device, Shape as Dims, Tensor};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use common::{TestResult, case_json, compare_all, data, expected, model};
use featscope::{
    activation::{Catalogue, FeatureMap, Probe, Selection, Shape, Stop, Tap, no_progress},
    analysis::attention::attention_row,
    families::stable_diffusion::unet::{Conditions, SdxlConditioning, TIME_IDS, Unet, UnetConfig, catalogue},
    geometry::Grid,
    model::LoadExtent,
    weights::{Store, read_json},
};

fn open(name: &str) -> featscope::Result<Unet> {
    open_as_far_as(name, LoadExtent::Whole)
}

fn open_as_far_as(name: &str, extent: LoadExtent) -> featscope::Result<Unet> {
    let folder = model(name).join("unet");
    let config = UnetConfig::from_json(&read_json(&folder.join("config.json"))?)?;
    let store = Store::open_files(&[folder.join("diffusion_pytorch_model.safetensors")])?;
    Unet::new(config, extent, store.var_builder(DType::F32, &Device::Cpu))
}

struct Pass {
    taps: HashMap<String, Tensor>,
    output: Option<Tensor>,
    list: Catalogue,
}

fn pass(unet: &Unet, x: &Tensor, t: f32, text: &Tensor, select: impl Fn(&Catalogue) -> Selection) -> Pass {
    pass_with(unet, x, t, &Conditions::of_text(text), select)
}

fn pass_with(
    unet: &Unet,
    x: &Tensor,
    t: f32,
    conditions: &Conditions<'_>,
    select: impl Fn(&Catalogue) -> Selection,
) -> Pass {
    let text = conditions.text;
    let (batch, _, height, width) = x.dims4().expect("a latent");
    let list = catalogue(
        unet.config(),
        Grid::new(height, width),
        text.dim(1).expect("text states"),
    );
    let selection = select(&list);
    let mut taps = HashMap::new();
    let mut record = |tap: Tap, tensor: &Tensor| {
        let entry = list.entry(tap).expect("only taps of the catalogue are met");
        assert_eq!(&tensor.dims()[1..], entry.shape.dims(), "{}", entry.id);
        assert!(
            taps.insert(entry.id.to_string(), tensor.clone()).is_none(),
            "{} was met twice",
            entry.id
        );
        Ok(())
    };
    let mut watch = no_progress;
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    let output = match unet.forward(x, &vec![t; batch], conditions, &mut probe) {
        Ok(output) => Some(output),
        Err(Stop::Done) => None,
        Err(Stop::Error(error)) => panic!("{error}"),
    };
    Pass { taps, output, list }
}

fn everything(list: &Catalogue) -> Selection {
    (0..list.len() as u32).map(Tap).collect()
}

fn parity(case: &str) -> TestResult {
    let reference = expected(case);
    let name = case_json(case)["model"]
        .as_str()
        .expect("a model")
        .replace("models/", "");
    let unet = open(&name)?;
    let t = reference["mid.unet_timestep"].to_vec1::<f32>()?[0];
    let found = pass(
        &unet,
        &reference["mid.unet_in"],
        t,
        &reference["mid.encoder_hidden_states"],
        everything,
    );
    let compared = compare_all(&reference, "feat.", &found.taps)?;
    assert!(compared > 0);
    Ok(())
}

#[test]
fn every_activation_of_sd15() -> TestResult {
    parity("sd15-all-64")
}

#[test]
fn every_activation_of_sd21() -> TestResult {
    parity("sd21-all-64")
}

#[test]
fn odd_grids() -> TestResult {
    parity("sd15-nonsquare-64x96")
}

/// Numbers in [-1, 1) that follow from a name: splitmix64 behind FNV-1a, as `data/unets/make.py` makes them.
fn numbers_of(name: &str, count: usize) -> Vec<f32> {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let number = |index: u64| {
        let mut z = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 40) as f64 / f64::from(1 << 23) - 1.0) as f32
    };
    (1..=count as u64).map(number).collect()
}

fn given(name: &str, shape: &[usize]) -> candle_core::Result<Tensor> {
    Tensor::from_vec(numbers_of(name, shape.iter().product()), shape, &Device::Cpu)? * 2.0
}

/// Weights that follow from the names of the tensors.
struct Weights;

impl SimpleBackend for Weights {
    fn get(&self, shape: Dims, name: &str, _: Init, _: DType, device: &Device) -> candle_core::Result<Tensor> {
        let mut numbers = numbers_of(name, shape.elem_count());
        match shape.dims() {
            [_] => {
                let mean = if name.ends_with(".weight") { 1.0 } else { 0.0 };
                numbers.iter_mut().for_each(|x| *x = *x * 0.1 + mean);
            }
            [_, columns @ ..] => {
                let scale = (3.0 / columns.iter().product::<usize>() as f64).sqrt() as f32;
                numbers.iter_mut().for_each(|x| *x *= scale);
            }
            [] => {}
        }
        Tensor::from_vec(numbers, shape, device)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} has no shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}

/// A small network of a published shape: every activation there is, some numbers of each.
fn published_shape(name: &str) -> TestResult {
    const GRID: Grid = Grid { height: 8, width: 12 };
    const TOKENS: usize = 5;
    let config = UnetConfig::from_json(&read_json(&data(&format!("unets/{name}.json")))?)?;
    let reference = candle_core::safetensors::load(data(&format!("unets/{name}.safetensors")), &Device::Cpu)?;
    let weights = VarBuilder::from_backend(Box::new(Weights), DType::F32, Device::Cpu);
    let unet = Unet::new(config.clone(), LoadExtent::Whole, weights)?;
    let x = given("x", &[1, 4, GRID.height, GRID.width])?;
    let text = given("text", &[1, TOKENS, config.cross_attention_dim])?;
    let sdxl = match config.text_time {
        Some(widths) => Some(SdxlConditioning {
            pooled: given("pooled", &[1, widths.pooled])?,
            time_ids: Tensor::new(&[64_f32, 96.0, 0.0, 0.0, 64.0, 96.0], &Device::Cpu)?.reshape((1, TIME_IDS))?,
        }),
        None => None,
    };
    let conditions = Conditions {
        sdxl: sdxl.as_ref(),
        ..Conditions::of_text(&text)
    };
    let found = pass_with(&unet, &x, 261.0, &conditions, everything);
    assert_eq!(
        found.list.len(),
        reference.len(),
        "{name}: as many activations as the network has"
    );
    let mut wrong = Vec::new();
    for (id, expected) in &reference {
        let expected = expected.to_vec1::<f32>()?;
        let (std, expected) = expected.split_first().ok_or("a standard deviation")?;
        let Some(tensor) = found.taps.get(id) else {
            wrong.push(format!("{id} is missing"));
            continue;
        };
        let all = common::numbers(tensor);
        for (index, x) in expected.iter().map(|x| f64::from(*x)).enumerate() {
            let y = all[index * all.len() / expected.len()];
            if (x - y).abs() > common::ATOL_REL * f64::from(*std) + common::RTOL * x.abs() {
                wrong.push(format!("{id}[{index}]: expected {x}, found {y}; std {std}"));
                break;
            }
        }
    }
    wrong.sort();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("{name}:\n{}", wrong.join("\n")).into()),
    }
}

#[test]
fn distilled_networks_of_sd1_and_sd2() -> TestResult {
    ["bk-sdm-base", "bk-sdm-small", "bk-sdm-tiny", "bk-sdm-v2-tiny"]
        .into_iter()
        .try_for_each(published_shape)
}

#[test]
fn distilled_networks_of_sdxl() -> TestResult {
    ["ssd-1b", "vega", "koala-700m", "koala-1b"]
        .into_iter()
        .try_for_each(published_shape)
}

#[test]
fn a_network_that_could_be_told_a_guidance_scale_is_told_none() -> TestResult {
    published_shape("lcm")
}

#[test]
fn a_network_without_two_levels_alike() -> TestResult {
    published_shape("uneven")
}

#[test]
fn stopping_early_changes_nothing_and_a_batch_equals_its_rows() -> TestResult {
    let reference = expected("sd15-all-64");
    let unet = open("tiny-sd15")?;
    let text = &reference["mid.encoder_hidden_states"];
    let x = &reference["mid.unet_in"];
    let id = "up-level1-repeat1-vit-block0-cross-q";
    let whole = pass(&unet, x, 51.0, text, everything);
    let early = pass(&unet, x, 51.0, text, |list| {
        Selection::parse(id, list).expect("a known id")
    });
    assert!(early.output.is_none() && whole.output.is_none());
    assert_eq!(early.taps.len(), 1);
    let exact = |a: &Tensor, b: &Tensor| common::numbers(a) == common::numbers(b);
    assert!(exact(&early.taps[id], &whole.taps[id]));
    let other = (x * 0.5)?;
    let both = pass(
        &unet,
        &Tensor::cat(&[x, &other], 0)?,
        51.0,
        &Tensor::cat(&[text, text], 0)?,
        everything,
    );
    let alone = pass(&unet, &other, 51.0, text, everything);
    for (name, tensor) in &both.taps {
        common::compare(name, &whole.taps[name], &tensor.narrow(0, 0, 1)?)?;
        common::compare(name, &alone.taps[name], &tensor.narrow(0, 1, 1)?)?;
    }
    assert_eq!(both.list.len(), both.taps.len());
    Ok(())
}

#[test]
fn a_network_that_is_read_only_in_part_gives_the_same_as_far_as_it_goes() -> TestResult {
    let reference = expected("sd15-all-64");
    let (x, text) = (&reference["mid.unet_in"], &reference["mid.encoder_hidden_states"]);
    let whole = open("tiny-sd15")?;
    let list = catalogue(whole.config(), Grid::new(8, 8), text.dim(1)?);
    for name in ["mid-vit-out", "up-level1-repeat0-res-out", "unet-out"] {
        let tap = list.find(name)?;
        let part = open_as_far_as("tiny-sd15", LoadExtent::UpTo(tap))?;
        let [expected, found] =
            [&whole, &part].map(|unet| pass(unet, x, 51.0, text, |_| [tap].into_iter().collect()).taps[name].clone());
        assert_eq!(
            expected.flatten_all()?.to_vec1::<f32>()?,
            found.flatten_all()?.to_vec1::<f32>()?
        );
    }
    Ok(())
}

#[test]
fn what_lies_behind_the_part_that_was_read_is_refused() -> TestResult {
    let reference = expected("sd15-all-64");
    let text = &reference["mid.encoder_hidden_states"];
    let list = catalogue(open("tiny-sd15")?.config(), Grid::new(8, 8), text.dim(1)?);
    let unet = open_as_far_as("tiny-sd15", LoadExtent::UpTo(list.find("mid-vit-out")?))?;
    let selection = [list.find("unet-out")?].into_iter().collect();
    let mut record = |_: Tap, _: &Tensor| Ok(());
    let mut watch = no_progress;
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    let ended = unet.forward(
        &reference["mid.unet_in"],
        &[51.0],
        &Conditions::of_text(text),
        &mut probe,
    );
    assert!(matches!(ended, Err(Stop::Error(error)) if error.to_string().contains("only as far as")));
    Ok(())
}

#[test]
fn a_cancelled_pass_ends_at_the_next_activation() -> TestResult {
    let reference = expected("sd15-all-64");
    let unet = open("tiny-sd15")?;
    let list = catalogue(unet.config(), Grid::new(8, 8), 77);
    let selection = everything(&list);
    let mut met = 0;
    let mut record = |_: Tap, _: &Tensor| {
        met += 1;
        Ok(())
    };
    let mut calls = 0;
    let mut watch = |_: f32| {
        calls += 1;
        if calls == 10 {
            Err(featscope::Error::Cancelled)
        } else {
            Ok(())
        }
    };
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    let ended = unet.forward(
        &reference["mid.unet_in"],
        &[51.0],
        &Conditions::of_text(&reference["mid.encoder_hidden_states"]),
        &mut probe,
    );
    assert!(matches!(ended, Err(Stop::Error(featscope::Error::Cancelled))));
    assert_eq!(met, 10);
    Ok(())
}

fn full_size_config(name: &str) -> serde_json::Value {
    serde_json::from_str(featscope::families::known::known_config(name).expect("a full-size configuration"))
        .expect("JSON")
}

#[test]
fn catalogues_equal_the_published_lists() -> TestResult {
    for name in ["sd15", "sd21", "sdxl"] {
        let config = UnetConfig::from_json(&full_size_config(name))?;
        let found: Vec<String> = catalogue(&config, Grid::new(64, 64), 77)
            .entries()
            .iter()
            .map(|entry| entry.id.to_string())
            .collect();
        let published: Vec<String> =
            serde_json::from_str(&std::fs::read_to_string(data(&format!("ids/{name}.json")))?)?;
        assert_eq!(found, published, "{name}");
    }
    Ok(())
}

#[test]
fn catalogue_shapes_equal_the_published_shapes() -> TestResult {
    for name in ["sd15", "sd21", "sdxl"] {
        let config = UnetConfig::from_json(&full_size_config(name))?;
        let table = std::fs::read_to_string(data(&format!("ids/{name}.shapes.tsv")))?;
        let mut lines = table.lines();
        let header: Vec<&str> = lines.next().ok_or("an empty table")?.split('\t').collect();
        let sides: Vec<usize> = header[2..]
            .iter()
            .map(|column| column.trim_start_matches("shape@").parse())
            .collect::<Result<_, _>>()?;
        let lists: Vec<Catalogue> = sides
            .iter()
            .map(|side| catalogue(&config, Grid::new(side / 8, side / 8), 77))
            .collect();
        let mut rows = 0;
        for line in lines {
            let cells: Vec<&str> = line.split('\t').collect();
            for (list, cell) in lists.iter().zip(&cells[2..]) {
                let tap = list.find(cells[0])?;
                let shape: Vec<usize> = cell.split(',').map(str::parse).collect::<Result<_, _>>()?;
                let entry = list.entry(tap).ok_or("no entry")?;
                assert_eq!(entry.shape.dims().as_slice(), shape, "{name} {}", entry.id);
                let attention = matches!(entry.shape, Shape::Attention { .. });
                assert_eq!(attention, entry.id.is_map());
            }
            rows += 1;
        }
        assert_eq!(rows, lists[0].len());
    }
    Ok(())
}

/// Every row that a click could ask for, from the reference's queries and keys against the reference's maps.
#[test]
fn attention_rows_equal_the_rows_of_the_maps() -> TestResult {
    let reference = expected("sd15-all-64");
    let map_of = |name: &str| -> Result<FeatureMap, Box<dyn std::error::Error>> {
        let tensor = &reference[name];
        let (_, channels, height, width) = tensor.dims4()?;
        let planes = tensor.flatten_all()?.to_vec1::<f32>()?;
        Ok(FeatureMap::from_channels(channels, Grid::new(height, width), &planes)?)
    };
    let mut compared = 0;
    for (name, map) in &reference {
        let Some(block) = name.strip_suffix("-self-map") else {
            continue;
        };
        let (queries, keys) = (map_of(&format!("{block}-self-q"))?, map_of(&format!("{block}-self-k"))?);
        let (_, heads, positions, _) = map.dims4()?;
        for p in 0..positions {
            let row = attention_row([&queries, &keys], None, heads, p)?;
            let found = Tensor::from_vec(row, (heads, positions), &Device::Cpu)?;
            common::compare(name, &map.narrow(2, p, 1)?.squeeze(2)?.squeeze(0)?, &found)?;
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
    Ok(())
}

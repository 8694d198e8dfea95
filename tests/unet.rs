//! The U-Net of Stable Diffusion against the reference: every activation, from the same input and text states.
#![allow(clippy::expect_used)]

mod common;

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use common::{TestResult, case_json, compare_all, data, expected, model};
use featscope::{
    activation::{Catalogue, FeatureMap, Grid, Halt, Probe, Selection, Shape, Tap, watch_nothing},
    analysis::attention::attention_row,
    model::{
        Extent,
        unet::{Conditions, Unet, UnetConfig, catalogue},
    },
    weights::{Store, read_json},
};

fn open(name: &str) -> featscope::Result<Unet> {
    open_as_far_as(name, Extent::Whole)
}

fn open_as_far_as(name: &str, extent: Extent) -> featscope::Result<Unet> {
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
    let mut watch = watch_nothing;
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    let output = match unet.forward(x, &vec![t; batch], &Conditions::of_text(text), &mut probe) {
        Ok(output) => Some(output),
        Err(Halt::Complete) => None,
        Err(Halt::Error(error)) => panic!("{error}"),
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
        let part = open_as_far_as("tiny-sd15", Extent::UpTo(tap))?;
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
    let unet = open_as_far_as("tiny-sd15", Extent::UpTo(list.find("mid-vit-out")?))?;
    let selection = [list.find("unet-out")?].into_iter().collect();
    let mut record = |_: Tap, _: &Tensor| Ok(());
    let mut watch = watch_nothing;
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    let ended = unet.forward(
        &reference["mid.unet_in"],
        &[51.0],
        &Conditions::of_text(text),
        &mut probe,
    );
    assert!(matches!(ended, Err(Halt::Error(error)) if error.to_string().contains("only as far as")));
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
    assert!(matches!(ended, Err(Halt::Error(featscope::Error::Cancelled))));
    assert_eq!(met, 10);
    Ok(())
}

fn full_size_config(name: &str) -> serde_json::Value {
    serde_json::from_str(featscope::weights::zoo_config(name).expect("a full-size configuration")).expect("JSON")
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
            let row = attention_row(&queries, &keys, heads, p)?;
            let found = Tensor::from_vec(row, (heads, positions), &Device::Cpu)?;
            common::compare(name, &map.narrow(2, p, 1)?.squeeze(2)?.squeeze(0)?, &found)?;
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
    Ok(())
}

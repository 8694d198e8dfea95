//! ADM against the reference, and against itself: every activation, every size, every way to be wrong.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use candle_core::{DType, Device, IndexOp, Tensor};
use common::{TestResult, case_json, compare, compare_all, expected, model, numbers};
use featscope::{
    Error,
    activation::{Catalogue, Probe, Selection, Shape, Stop, Tap, no_progress},
    families::adm::{AdmConfig, AdmUnet, catalogue, open, open_demo},
    geometry::Grid,
    image::samples::{SAMPLES, sample},
    model::LoadExtent,
    weights::Store,
};

const CASE: &str = "adm-all";

fn build((config, store): (AdmConfig, Store)) -> featscope::Result<AdmUnet> {
    AdmUnet::new(&config, LoadExtent::Whole, store.var_builder(DType::F32, &Device::Cpu))
}

fn tiny() -> featscope::Result<AdmUnet> {
    build(open(&model("tiny-adm"))?)
}

#[derive(Default)]
struct Pass {
    taps: HashMap<String, Tensor>,
    output: Option<Tensor>,
}

/// One pass that records what `select` chooses; the output is there only if the pass was not ended before it.
fn pass(unet: &AdmUnet, x_t: &Tensor, t: &[f32], select: impl Fn(&Catalogue) -> Selection) -> featscope::Result<Pass> {
    let (_, _, height, width) = x_t.dims4()?;
    let list = catalogue(unet.config(), Grid::new(height, width));
    let selection = select(&list);
    let mut taps = HashMap::new();
    let mut record = |tap: Tap, tensor: &Tensor| {
        let entry = list.entry(tap).expect("only taps of the catalogue are met");
        assert_eq!(&tensor.dims()[1..], entry.shape.dims(), "{}", entry.id);
        let before = taps.insert(entry.id.to_string(), tensor.clone());
        assert!(before.is_none(), "{} was met twice", entry.id);
        Ok(())
    };
    let mut watch = no_progress;
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    let output = match unet.forward(x_t, t, &mut probe) {
        Ok(output) => Some(output),
        Err(Stop::Done) => None,
        Err(Stop::Error(error)) => return Err(error),
    };
    Ok(Pass { taps, output })
}

fn everything(list: &Catalogue) -> Selection {
    (0..list.len() as u32).map(Tap).collect()
}

/// A picture of smooth waves, different in every row of the batch: (B, 3, H, W).
fn waves(batch: usize, height: usize, width: usize) -> candle_core::Result<Tensor> {
    let values: Vec<f32> = (0..batch * 3 * height * width)
        .map(|i| (i as f32 * 0.37).sin() * 0.8 + (i as f32 * 0.011).cos() * 0.4)
        .collect();
    Tensor::from_vec(values, (batch, 3, height, width), &Device::Cpu)
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (numbers(a), numbers(b));
    a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn every_block_is_the_reference_s() -> TestResult {
    let reference = expected(CASE);
    let t = case_json(CASE)["t"].as_u64().expect("the case has a timestep") as u32;
    for file in ["model.safetensors", "model.pt"] {
        let (config, store) = open(&model("tiny-adm").join(file))?;
        let shares = config.schedule().mixture(t.into())?;
        let x_t = ((&reference["mid.image"] * shares.signal)? + (&reference["in.noise"] * shares.noise)?)?;
        compare("mid.x_t", &reference["mid.x_t"], &x_t)?;
        let found = pass(&build((config, store))?, &x_t, &[t as f32], everything)?;
        let blocks = found
            .taps
            .iter()
            .filter_map(|(id, tensor)| Some((format!("block{}", id.strip_prefix('b')?), tensor.clone())))
            .collect();
        assert_eq!(compare_all(&reference, "feat.", &blocks)?, 19, "{file}");
        let output = found.output.as_ref().unwrap_or(&found.taps["unet-out"]);
        compare("mid.model_out", &reference["mid.model_out"], output)?;
    }
    Ok(())
}

#[test]
fn inner_activations_belong_together() -> TestResult {
    let unet = tiny()?;
    let taps = pass(&unet, &waves(2, 32, 32)?, &[150.0], everything)?.taps;
    let tap = |id: &str| taps.get(id).ok_or_else(|| format!("{id} is missing"));
    // b2's resnet keeps the number of channels, so its shortcut is the block before.
    let sum = (tap("b1")? + tap("b2-res-increment")?)?;
    assert_eq!(largest_difference(&sum, tap("b2-res-out")?), 0.0);
    let attending = ["b5", "b9", "b10", "b11", "b13", "b14", "b16"];
    for block in attending {
        let before = tap(&format!("{block}-res-out"))?;
        let after = (before + tap(&format!("{block}-attn-out"))?)?;
        let next = match tap(&format!("{block}-res2-increment")) {
            Err(_) => tap(block)?.clone(),
            // Where a resnet follows on the same grid, its output less its branch is what it was given; the up-resnets
            // enlarge it.
            Ok(increment) => {
                let given = (tap(&format!("{block}-res2-out"))? - increment)?;
                let (_, _, height, _) = after.dims4()?;
                if given.dim(2)? == height {
                    given
                } else {
                    given.avg_pool2d(2)?
                }
            }
        };
        assert!(largest_difference(&after, &next) < 1e-5, "{block}");
    }
    for block in attending {
        let map = tap(&format!("{block}-attn-map"))?;
        let (batch, heads, queries, keys) = map.dims4()?;
        let sums = numbers(&map.sum(3)?);
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{block}");
        let by_head = |name: &str| -> Result<Tensor, Box<dyn std::error::Error>> {
            let planes = tap(&format!("{block}-attn-{name}"))?;
            let width = planes.dim(1)? / heads;
            Ok(planes
                .reshape((batch, heads, width, keys))?
                .transpose(2, 3)?
                .contiguous()?)
        };
        // The map is the softmax of q·k over the square root of the head's width …
        let (q, k) = (by_head("q")?, by_head("k")?);
        let scores = (q.matmul(&k.t()?.contiguous()?)? / (q.dim(3)? as f64).sqrt())?;
        assert!(
            largest_difference(&candle_nn::ops::softmax(&scores, 3)?, map) < 1e-5,
            "{block}"
        );
        // … and with v and the projection it gives what attention adds.
        let attended = map.matmul(&by_head("v")?)?.transpose(2, 3)?.contiguous()?;
        let attended = attended.reshape((batch, (), queries))?;
        let (_, store) = open(&model("tiny-adm"))?;
        let path = path_of(block);
        let (_, channels, _) = attended.dims3()?;
        let vb = store.var_builder(DType::F32, &Device::Cpu);
        let weight = vb.get((channels, channels, 1), &format!("{path}.proj_out.weight"))?;
        let bias = vb.get(channels, &format!("{path}.proj_out.bias"))?;
        let projected = weight
            .squeeze(2)?
            .broadcast_left(batch)?
            .contiguous()?
            .matmul(&attended)?
            .broadcast_add(&bias.reshape((channels, 1))?)?;
        let out = tap(&format!("{block}-attn-out"))?.flatten_from(2)?;
        assert!(largest_difference(&projected, &out) < 1e-5, "{block}");
    }
    Ok(())
}

/// Where the tensors of tiny-adm's attention in block bN are.
fn path_of(block: &str) -> String {
    let number: usize = block[1..].parse().expect("a block");
    match number {
        ..10 => format!("input_blocks.{}.1", number - 1),
        10 => "middle_block.1".to_owned(),
        _ => format!("output_blocks.{}.1", number - 11),
    }
}

#[test]
fn a_pass_that_stops_early_gives_the_same_numbers() -> TestResult {
    let unet = tiny()?;
    let x_t = waves(1, 32, 32)?;
    let whole = pass(&unet, &x_t, &[90.0], everything)?;
    for id in [
        "unet-in",
        "b1",
        "b5-attn-q",
        "b9-attn-map",
        "b12",
        "b13-res2-increment",
        "unet-out",
    ] {
        let found = pass(&unet, &x_t, &[90.0], |list| {
            Selection::from_names([id], list).expect("the id is there")
        })?;
        assert!(found.output.is_none(), "the pass went on after {id}");
        assert_eq!(found.taps.len(), 1);
        assert_eq!(largest_difference(&found.taps[id], &whole.taps[id]), 0.0, "{id}");
    }
    let nothing = pass(&unet, &x_t, &[90.0], |_| Selection::default())?;
    let output = nothing
        .output
        .expect("a pass that is asked for nothing goes to the end");
    assert_eq!(largest_difference(&output, &whole.taps["unet-out"]), 0.0);
    Ok(())
}

#[test]
fn a_batch_is_its_pictures() -> TestResult {
    let unet = tiny()?;
    let x_t = waves(2, 24, 40)?;
    let together = pass(&unet, &x_t, &[50.0, 700.0], everything)?.taps;
    for (row, t) in [50.0, 700.0].into_iter().enumerate() {
        let alone = pass(&unet, &x_t.i(row..row + 1)?, &[t], everything)?.taps;
        for (id, tensor) in &alone {
            compare(id, tensor, &together[id].i(row..row + 1)?)?;
        }
    }
    let same = pass(&unet, &x_t, &[50.0, 50.0], everything)?.taps;
    let one_for_all = pass(&unet, &x_t, &[50.0], everything)?.taps;
    for (id, tensor) in &same {
        compare(id, tensor, &one_for_all[id])?;
    }
    Ok(())
}

/// The error of f16 is that of its 11 bits, not that of a timestep or a norm computed in it.
#[test]
fn half_precision_gives_nearly_the_same() -> TestResult {
    let (config, store) = open(&model("tiny-adm"))?;
    let half = AdmUnet::new(&config, LoadExtent::Whole, store.var_builder(DType::F16, &Device::Cpu))?;
    let x_t = waves(1, 32, 32)?;
    let narrow = pass(&half, &x_t, &[999.0], everything)?.taps;
    let wide = pass(&tiny()?, &x_t, &[999.0], everything)?.taps;
    for (id, tensor) in &wide {
        let (x, y) = (numbers(tensor), numbers(&narrow[id]));
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine = product(&x, &y) / (product(&x, &x) * product(&y, &y)).sqrt();
        assert!(cosine > 0.9995, "{id}: cosine {cosine}");
    }
    Ok(())
}

/// `pass` compares every shape with the catalogue's.
#[test]
fn every_size_runs_and_has_the_shapes_of_the_catalogue() -> TestResult {
    let (tiny, demo) = (tiny()?, build(open_demo()?)?);
    for (unet, height, width) in [
        (&tiny, 8, 16),
        (&tiny, 40, 24),
        (&demo, 64, 64),
        (&demo, 96, 96),
        (&demo, 128, 72),
    ] {
        let list = catalogue(unet.config(), Grid::new(height, width));
        let found = pass(unet, &waves(1, height, width)?, &[100.0], everything)?.taps;
        assert_eq!(found.len(), list.len());
        for entry in list.entries() {
            let tensor = &found[&entry.id.to_string()];
            assert!(numbers(tensor).iter().all(|x| x.is_finite()), "{}", entry.id);
            assert_eq!(entry.id.is_map(), matches!(entry.shape, Shape::Attention { .. }));
        }
    }
    Ok(())
}

#[test]
fn pictures_of_other_shapes_are_refused() -> TestResult {
    let unet = tiny()?;
    let refused = |x_t: &Tensor, t: &[f32]| pass(&unet, x_t, t, |_| Selection::default()).err();
    assert!(matches!(refused(&waves(1, 30, 32)?, &[1.0]), Some(Error::Usage(_))));
    assert!(refused(&waves(1, 32, 32)?.narrow(1, 0, 2)?, &[1.0]).is_some());
    assert!(refused(&waves(1, 32, 32)?.squeeze(0)?, &[1.0]).is_some());
    assert!(refused(&waves(3, 32, 32)?, &[1.0, 2.0]).is_some());
    assert!(refused(&waves(3, 32, 32)?, &[]).is_some());
    Ok(())
}

#[test]
fn a_pass_is_cancelled_between_activations() -> TestResult {
    let unet = tiny()?;
    let list = catalogue(unet.config(), Grid::new(32, 32));
    let mut calls = 0;
    let mut last = 0.0;
    let mut watch = |fraction: f32| {
        assert!(
            (last..=1.0).contains(&fraction),
            "progress went from {last} to {fraction}"
        );
        last = fraction;
        calls += 1;
        if fraction > 0.5 { Err(Error::Cancelled) } else { Ok(()) }
    };
    let mut record = |_: Tap, _: &Tensor| Ok(());
    let selection = Selection::default();
    let mut probe = Probe::new(&selection, list.len(), &mut record, &mut watch);
    let ended = unet.forward(&waves(1, 32, 32)?, &[1.0], &mut probe);
    assert!(matches!(ended, Err(Stop::Error(Error::Cancelled))));
    assert!(
        calls > list.len() / 2,
        "{calls} looks at the user's wish for {} activations",
        list.len()
    );
    Ok(())
}

/// The example model was trained to find the clean picture.
#[test]
fn the_embedded_model_denoises() -> TestResult {
    let unet = build(open_demo()?)?;
    let smooth: Vec<f32> = (0..3 * 64 * 64)
        .map(|i| if (i % 64) < 32 { 0.9 } else { -0.2 })
        .collect();
    let x = Tensor::from_vec(smooth, (1, 3, 64, 64), &Device::Cpu)?;
    let noise = waves(1, 64, 64)?;
    let t = 300;
    let shares = unet.config().schedule().mixture(t.into())?;
    let x_t = ((&x * shares.signal)? + (&noise * shares.noise)?)?;
    let found = pass(&unet, &x_t, &[t as f32], |_| Selection::default())?;
    let output = found.output.expect("the pass went to its end");
    let error = |y: &Tensor| -> candle_core::Result<f32> { (y - &x)?.sqr()?.mean_all()?.to_scalar() };
    let (before, after) = (error(&x_t)?, error(&output)?);
    assert!(after < before, "mean squared error {before} before, {after} after");
    Ok(())
}

#[test]
fn the_samples_are_pictures_with_unique_names() {
    const PNG_MAGIC: &[u8] = b"\x89PNG";
    let names: BTreeMap<_, _> = SAMPLES.iter().map(|sample| (sample.name, sample.bytes)).collect();
    assert_eq!(names.len(), SAMPLES.len());
    assert!(names.values().all(|bytes| bytes.starts_with(PNG_MAGIC)));
    assert!(sample("photo-cat").is_some() && sample("unicorn").is_none());
}

#[test]
fn a_model_is_opened_by_folder_or_file() -> TestResult {
    let original = model("tiny-adm");
    let (config, _) = open(&original)?;
    let folder = tempfile::tempdir()?;
    let copy = |from: &str, to: &str| fs::copy(original.join(from), folder.path().join(to));
    copy("config.json", "config.json")?;
    let error = message(folder.path());
    assert!(error.contains("model.safetensors or model.pt"), "{error}");
    copy("model.pt", "model.pt")?;
    let (from_folder, store) = open(folder.path())?;
    assert_eq!(from_folder, config);
    assert!(store.label().ends_with("model.pt"));
    copy("model.safetensors", "model.safetensors")?;
    assert!(open(folder.path())?.1.label().ends_with("model.safetensors"));
    copy("model.pt", "ema_0.9999.CKPT")?;
    assert_eq!(open(&folder.path().join("ema_0.9999.CKPT"))?.0, config);
    fs::remove_file(folder.path().join("config.json"))?;
    // Its heads have 16 channels, which no tensor tells and which the published models do not have.
    let error = message(folder.path());
    assert!(
        error.contains("no config.json beside it") && error.contains("num_head_channels"),
        "{error}"
    );
    let error = message(&folder.path().join("nothing.pt"));
    assert!(error.contains("nothing.pt does not exist"), "{error}");
    fs::write(folder.path().join("notes.txt"), "hello")?;
    let error = message(&folder.path().join("notes.txt"));
    assert!(
        error.contains("safetensors") && error.contains(".pt, .pth, .ckpt"),
        "{error}"
    );
    Ok(())
}

/// Why a model cannot be opened, or not built.
fn message(path: &Path) -> String {
    match open(path).and_then(build) {
        Ok(_) => panic!("{} was accepted", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn broken_weights_name_the_tensor() -> TestResult {
    let original = model("tiny-adm");
    let tensors = candle_core::safetensors::load(original.join("model.safetensors"), &Device::Cpu)?;
    let folder = tempfile::tempdir()?;
    fs::copy(original.join("config.json"), folder.path().join("config.json"))?;
    let file = folder.path().join("model.safetensors");
    let name = "middle_block.1.qkv.weight";
    let with = |change: &dyn Fn(&mut HashMap<String, Tensor>) -> candle_core::Result<()>| -> Result<String, Box<dyn std::error::Error>> {
        let mut tensors = tensors.clone();
        change(&mut tensors)?;
        candle_core::safetensors::save(&tensors, &file)?;
        Ok(message(folder.path()))
    };
    let error = with(&|tensors| {
        tensors.remove(name);
        Ok(())
    })?;
    assert!(
        error.contains(&format!("lacks the tensor {name} of shape [96, 32, 1]")),
        "{error}"
    );
    let error = with(&|tensors| {
        let wrong = tensors[name].squeeze(2)?;
        tensors.insert(name.to_owned(), wrong);
        Ok(())
    })?;
    assert!(
        error.contains(name) && error.contains("[96, 32]") && error.contains("[96, 32, 1]"),
        "{error}"
    );
    for value in [f32::NAN, f32::INFINITY] {
        let error = with(&|tensors| {
            let poisoned = (&tensors[name] + Tensor::full(value, (96, 32, 1), &Device::Cpu)?)?;
            tensors.insert(name.to_owned(), poisoned);
            Ok(())
        })?;
        assert!(error.contains(name) && error.contains("NaN or infinite"), "{error}");
    }
    for (whole, name) in [("model.safetensors", "model.safetensors"), ("model.pt", "cut.pt")] {
        let bytes = fs::read(original.join(whole))?;
        for length in [0, 1, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
            let cut = folder.path().join(name);
            fs::write(&cut, &bytes[..length])?;
            let error = message(&cut);
            assert!(error.contains(name), "cut at {length}: {error}");
        }
    }
    Ok(())
}

#[test]
fn a_configuration_of_another_network_is_noticed() -> TestResult {
    let original = model("tiny-adm");
    let text = fs::read_to_string(original.join("config.json"))?;
    let folder = tempfile::tempdir()?;
    fs::copy(
        original.join("model.safetensors"),
        folder.path().join("model.safetensors"),
    )?;
    for (from, to, says) in [
        (
            "\"1,1,1\"",
            "\"1,2,2\"",
            "lacks the tensor input_blocks.4.0.skip_connection.weight",
        ),
        ("\"num_channels\": 32", "\"num_channels\": 65536", "has shape"),
        ("\"num_channels\": 32", "\"num_channels\": 1e12", "num_channels"),
        (
            "\"learn_sigma\": true",
            "\"learn_sigma\": false",
            "out.2.weight has shape",
        ),
        (
            "\"resblock_updown\": true",
            "\"resblock_updown\": false",
            "lacks the tensor",
        ),
        ("{", "[", "not valid JSON"),
    ] {
        assert!(text.contains(from));
        fs::write(folder.path().join("config.json"), text.replace(from, to))?;
        let error = message(folder.path());
        assert!(error.contains(says), "{from} as {to}: {error}");
    }
    Ok(())
}

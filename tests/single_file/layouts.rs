//! The weights of a tiny model in files as people have them (other names, variants, shards, 8 bits with factors, wrapped by
//! training) against its plain ones, through the command line: the same bits.

use std::{collections::BTreeMap, fs, path::Path};

use candle_core::{Device, Tensor};
use half::f16;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;

use crate::{
    common::{
        TestResult, case_file, model,
        program::{Place, Ran, run},
    },
    names::Tensors,
    torch_zip,
};

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const TEXT: &str = "text_encoder/model.safetensors";

fn ran(model: &str, out: &str) -> Ran {
    let image = case_file("sd15-all-64", "image0.png").display().to_string();
    let [size, t] = [["--size", "64"], ["--t", "120"]];
    let mut arguments = vec!["extract", "--model", model, "--image", &image, "--out", out];
    arguments.extend(["--prompt", "a red cat", "--activations", "mid-vit-out,unet-out"]);
    run(arguments.into_iter().chain(size).chain(t))
}

/// The bits of two activations, and what was said.
fn extract(model: &str, place: &Place) -> (BTreeMap<String, Vec<u8>>, String) {
    let out = place.text("out.safetensors");
    let said = ran(model, &out).good().stderr;
    let bytes = fs::read(out).expect("an output");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
    let tensors = file.tensors().into_iter();
    let bits: BTreeMap<String, Vec<u8>> = tensors.map(|(name, view)| (name, view.data().to_vec())).collect();
    assert_eq!(bits.len(), 2);
    (bits, said)
}

fn load(file: &Path) -> Tensors {
    let tensors = candle_core::safetensors::load(file, &Device::Cpu).expect("a tiny model");
    tensors.into_iter().collect()
}

fn copied() -> (Place, String) {
    let place = Place::new();
    let copy = place.copy(&model("tiny-sd15"), "model");
    (place, copy)
}

#[test]
fn a_unet_under_any_name_and_in_any_format() -> TestResult {
    let (place, plain) = copied();
    let (right, said) = extract(&plain, &place);
    assert!(!said.contains("variant"), "{said}");
    let safe = place.path("model").join(UNET);
    let unet = load(&safe);
    for name in ["u.sft", "u.ckpt", "u"] {
        fs::copy(&safe, place.path(name))?;
        assert_eq!(
            extract(&format!("{plain}+{}", place.text(name)), &place).0,
            right,
            "{name}"
        );
    }
    torch_zip::save(&unet, &place.path("torch.safetensors"))?;
    let torch = format!("{plain}+{}", place.text("torch.safetensors"));
    assert_eq!(extract(&torch, &place).0, right);
    place.write(
        "pointer.bin",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    );
    let pointer = format!("{plain}+{}", place.text("pointer.bin"));
    ran(&pointer, &place.text("out")).refused(1, &["pointer.bin", "git lfs pull"]);
    Ok(())
}

#[test]
fn variants_where_nothing_plainer_is_there() -> TestResult {
    let (place, folder) = copied();
    let (right, _) = extract(&folder, &place);
    let unet = place.path("model").join(UNET);
    for mark in ["non_ema", "ema", "bf16", "fp32", "fp16"] {
        let variant = unet.with_file_name(format!("diffusion_pytorch_model.{mark}.safetensors"));
        fs::rename(&unet, &variant)?;
        let (found, said) = extract(&folder, &place);
        assert_eq!(found, right, "{mark}");
        assert!(said.contains(&format!("unet are the variant {mark}")), "{said}");
        fs::rename(&variant, &unet)?;
    }
    Ok(())
}

#[test]
fn shards_in_pytorchs_format() -> TestResult {
    let (place, folder) = copied();
    let (right, _) = extract(&folder, &place);
    let unet = place.path("model").join(UNET);
    let tensors = load(&unet);
    fs::remove_file(&unet)?;
    let shard = |number: usize| format!("diffusion_pytorch_model-0000{}-of-00002.bin", number + 1);
    let mut halves = [Tensors::new(), Tensors::new()];
    let mut map = serde_json::Map::new();
    for (index, (name, tensor)) in tensors.into_iter().enumerate() {
        map.insert(name.clone(), json!(shard(index % 2)));
        halves[index % 2].insert(name, tensor);
    }
    for (number, half) in halves.iter().enumerate() {
        torch_zip::save(half, &unet.with_file_name(shard(number)))?;
    }
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string();
    fs::write(unet.with_file_name("diffusion_pytorch_model.bin.index.json"), index)?;
    assert_eq!(extract(&folder, &place).0, right);

    // A shard that lacks what the index says, and one that has what another has.
    let (name, tensor) = halves[1].pop_first().ok_or("a tensor")?;
    torch_zip::save(&halves[1], &unet.with_file_name(shard(1)))?;
    ran(&folder, &place.text("o")).refused(1, &["index.json", &name, &shard(1), "lacks"]);
    halves[0].insert(name.clone(), tensor.clone());
    torch_zip::save(&halves[0], &unet.with_file_name(shard(0)))?;
    halves[1].insert(name.clone(), tensor);
    torch_zip::save(&halves[1], &unet.with_file_name(shard(1)))?;
    ran(&folder, &place.text("o")).refused(1, &[&name, &shard(0), &shard(1)]);
    Ok(())
}

#[test]
fn names_that_training_has_wrapped() -> TestResult {
    let (place, folder) = copied();
    let (right, _) = extract(&folder, &place);
    for (file, wrapper) in [(UNET, "_orig_mod.module."), (TEXT, "module.")] {
        let path = place.path("model").join(file);
        let wrapped = load(&path)
            .into_iter()
            .map(|(name, tensor)| (format!("{wrapper}{name}"), tensor));
        candle_core::safetensors::save(&wrapped.collect(), &path)?;
    }
    assert_eq!(extract(&folder, &place).0, right);
    Ok(())
}

/// A factor that no float of 8 bits has.
const FACTOR: f32 = 0.37;

/// Matrices and kernels as e5m2 with a factor for each output channel in `scaled`, and multiplied out in `plain`.
fn in_eight_bits(from: &Path, scaled: &Path, plain: &Path, factor_name: &str) -> TestResult {
    let mut pieces: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut multiplied = Tensors::new();
    for (name, tensor) in load(from) {
        let shape = tensor.dims().to_vec();
        let Some(layer) = name.strip_suffix(".weight").filter(|_| shape.len() >= 2) else {
            if let Ok(numbers) = tensor.flatten_all()?.to_vec1::<f32>() {
                let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                pieces.push((name.clone(), Dtype::F32, shape, bytes));
                multiplied.insert(name, tensor);
            }
            continue;
        };
        let rows = shape[0];
        let factors: Vec<f32> = (1..=rows).map(|row| FACTOR / row as f32).collect();
        let numbers = tensor.flatten_all()?.to_vec1::<f32>()?;
        let columns = numbers.len() / rows;
        let mut bytes = Vec::new();
        let mut right = Vec::new();
        for (index, number) in numbers.iter().enumerate() {
            let factor = factors[index / columns];
            let [_, high] = f16::from_f32(number / factor).to_le_bytes();
            bytes.push(high);
            right.push(f16::from_le_bytes([0, high]).to_f32() * factor);
        }
        multiplied.insert(name.clone(), Tensor::from_vec(right, shape.clone(), &Device::Cpu)?);
        pieces.push((
            format!("{layer}.{factor_name}"),
            Dtype::F32,
            vec![rows],
            factors.iter().flat_map(|x| x.to_le_bytes()).collect(),
        ));
        pieces.push((name, Dtype::F8_E5M2, shape, bytes));
    }
    pieces.push(("scaled_fp8".to_owned(), Dtype::F8_E5M2, vec![0], Vec::new()));
    let views = pieces.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes)?;
        Ok((name.as_str(), view))
    });
    let views: Vec<_> = views.collect::<Result<_, safetensors::SafeTensorError>>()?;
    fs::write(scaled, safetensors::serialize(views, None)?)?;
    let multiplied = multiplied
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.contiguous()?)))
        .collect::<candle_core::Result<_>>()?;
    candle_core::safetensors::save(&multiplied, plain)?;
    Ok(())
}

#[test]
fn weights_in_eight_bits_with_factors_in_folders_and_files() -> TestResult {
    let (place, scaled) = copied();
    let plain = place.copy(&model("tiny-sd15"), "plain");
    for (file, factor_name) in [(UNET, "scale_weight"), (TEXT, "weight_scale")] {
        let [to_scaled, to_plain] = [&scaled, &plain].map(|folder| Path::new(folder).join(file));
        in_eight_bits(&model("tiny-sd15").join(file), &to_scaled, &to_plain, factor_name)?;
    }
    let (right, _) = extract(&plain, &place);
    assert_eq!(extract(&scaled, &place).0, right);
    let alone = format!("{plain}+{scaled}/{UNET}");
    assert_eq!(extract(&alone, &place).0, right);
    let (unscaled, _) = extract(&model("tiny-sd15").display().to_string(), &place);
    assert_ne!(unscaled, right, "8 bits lose something");
    Ok(())
}

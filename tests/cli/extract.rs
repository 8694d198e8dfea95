use std::fs;

use candle_core::{DType, Tensor};
use serde_json::json;

use super::tensors::{Tensors, adm, load, metadata, picture, read_npy, sd15, with};
use crate::common::{
    TestResult, case_file, model, numbers,
    program::{Place, run},
};

/// The activations that a small run writes.
fn extracted(arguments: Vec<String>, more: &[&str]) -> Tensors {
    let place = Place::new();
    let out = place.text("out.safetensors");
    run(with(arguments, more).into_iter().chain(["--out".into(), out])).good();
    load(&place.path("out.safetensors"))
}

fn assert_same(a: &Tensors, b: &Tensors) {
    let names = |tensors: &Tensors| {
        let mut names: Vec<String> = tensors.keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(names(a), names(b));
    for (name, tensor) in a {
        assert_eq!(tensor.dims(), b[name].dims(), "{name}");
        assert_eq!(numbers(tensor), numbers(&b[name]), "{name}");
    }
}

#[test]
fn one_file_with_shapes_and_the_request() -> TestResult {
    let place = Place::new();
    let out = place.text("out.safetensors");
    let more = [
        "--activations",
        "all-maps",
        "--seed",
        "7",
        "--prompt",
        "a cat",
        "--out",
        &out,
    ];
    let ran = run(with(sd15(), &more)).good();
    assert_eq!((ran.stdout.as_str(), ran.notes()), ("", vec![]));
    assert_eq!(place.names(), ["out.safetensors"]);

    let tensors = load(&place.path("out.safetensors"));
    let tiny = model("tiny-sd15").display().to_string();
    let layers = run(["layers", "--json", "--size", "64", "--model", &tiny])
        .good()
        .stdout;
    let layers: serde_json::Value = serde_json::from_str(&layers)?;
    let layers = layers["activations"].as_array().ok_or("a list")?;
    assert_eq!(tensors.len(), layers.len());
    for entry in layers {
        let shape: Vec<usize> = serde_json::from_value(entry["shape"].clone())?;
        let id = entry["id"].as_str().ok_or("an id")?;
        assert_eq!(tensors[id].dims(), [&[1], shape.as_slice()].concat(), "{id}");
    }

    let record = metadata(&place.path("out.safetensors"));
    let request = &record["request"];
    assert_eq!(request["model"], tiny);
    assert_eq!(request["t"], 51);
    assert_eq!(request["seed"], 7);
    assert_eq!(request["prompt"], "a cat");
    assert_eq!(request["activations"], "all-maps");
    assert_eq!(request["size"], json!({ "Exact": { "width": 64, "height": 64 } }));
    let ran = &record["ran"];
    assert_eq!(ran["t_ran"], 51);
    assert_eq!(ran["dtype"], "f32");
    assert_eq!(
        ran["pictures"][0]["framing"]["working"],
        json!({ "width": 64, "height": 64 })
    );
    assert_eq!(ran["ids"].as_array().map(Vec::len), Some(layers.len()));
    Ok(())
}

#[test]
fn all_is_everything_but_maps() {
    let all = extracted(adm(), &["--activations", "all"]);
    let with_maps = extracted(adm(), &["--activations", "all-maps"]);
    assert!(all.keys().all(|id| !id.ends_with("-map")));
    let maps = with_maps.keys().filter(|id| id.ends_with("-map")).count();
    assert!(maps > 0);
    assert_eq!(all.len() + maps, with_maps.len());
}

#[test]
fn a_folder_has_the_same_numbers() -> TestResult {
    let place = Place::new();
    let ids = "b2,b10-attn-map,b19";
    let more = ["--activations", ids, "--intermediates"];
    run(with(adm(), &more)
        .into_iter()
        .chain(["--out".into(), place.text("deep/dir")]))
    .good();
    let file = extracted(adm(), &more);
    let folder: Tensors = file
        .keys()
        .map(|name| (name.clone(), read_npy(&place.path(&format!("deep/dir/{name}.npy")))))
        .collect();
    assert_same(&file, &folder);
    assert!(file.contains_key("mid.image") && file.contains_key("mid.model_out"));
    let names = place.names();
    assert_eq!(names.len(), 2 + file.len() + 1, "{names:?}");
    let request: serde_json::Value = serde_json::from_slice(&fs::read(place.path("deep/dir/request.json"))?)?;
    assert_eq!(request["request"]["activations"], ids);
    Ok(())
}

#[test]
fn f16_is_the_nearest_half() -> TestResult {
    let wide = extracted(adm(), &["--activations", "b2,b19"]);
    let half = extracted(adm(), &["--activations", "b2,b19", "--store", "f16"]);
    let rounded: Tensors = wide
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), tensor.to_dtype(DType::F16)?)))
        .collect::<candle_core::Result<_>>()?;
    assert!(half.values().all(|tensor| tensor.dtype() == DType::F16));
    assert_same(&rounded, &half);

    let place = Place::new();
    let more = ["--activations", "b2,b19", "--store", "f16", "--out"];
    run(with(adm(), &more).into_iter().chain([place.text("dir")])).good();
    let folder: Tensors = half
        .keys()
        .map(|name| (name.clone(), read_npy(&place.path(&format!("dir/{name}.npy")))))
        .collect();
    assert_same(&half, &folder);
    Ok(())
}

/// Mixed widths in one file: activations in 16 bits, the inner tensors in 32.
#[test]
fn inner_tensors_keep_their_digits() {
    let tensors = extracted(adm(), &["--activations", "b1", "--store", "f16", "--intermediates"]);
    assert_eq!(tensors["b1"].dtype(), DType::F16);
    assert_eq!(tensors["mid.image"].dtype(), DType::F32);
}

#[test]
fn pooling_by_3_has_adaptive_windows() -> TestResult {
    let plain = extracted(adm(), &["--activations", "b4,b5-attn-map", "--intermediates"]);
    let pooled = extracted(
        adm(),
        &["--activations", "b4,b5-attn-map", "--pool", "3", "--intermediates"],
    );
    assert_eq!(
        plain["mid.x_t"].dims(),
        pooled["mid.x_t"].dims(),
        "inner tensors are not pooled"
    );
    for id in ["b4", "b5-attn-map"] {
        let (_, planes, height, width) = plain[id].dims4()?;
        assert_eq!(pooled[id].dims(), [1, planes, height / 3, width / 3]);
        let (from, to) = (numbers(&plain[id]), numbers(&pooled[id]));
        let (rows, columns) = (height / 3, width / 3);
        let window =
            |index: usize, count: usize, length: usize| index * length / count..((index + 1) * length).div_ceil(count);
        // The last plane's last cell, and one in the middle.
        for (plane, row, column) in [(planes - 1, rows - 1, columns - 1), (planes / 2, rows / 2, 0)] {
            let (mut sum, mut count) = (0.0, 0.0);
            for y in window(row, rows, height) {
                for x in window(column, columns, width) {
                    sum += from[(plane * height + y) * width + x];
                    count += 1.0;
                }
            }
            let found = to[(plane * rows + row) * columns + column];
            assert!((found - sum / count).abs() < 1e-5, "{id}: {found} {}", sum / count);
        }
    }
    Ok(())
}

#[test]
fn pictures_of_one_size_are_a_batch() -> TestResult {
    let more = ["--image", &picture("analysis", 1), "--activations", "b3"];
    let both = extracted(adm(), &more);
    let first = extracted(adm(), &["--activations", "b3"]);
    assert_eq!(both["b3"].dim(0)?, 2);
    // The first picture's noise is the beginning of the batch's.
    assert_same(
        &Tensors::from([("b3".into(), both["b3"].narrow(0, 0, 1)?)]),
        &Tensors::from([("b3".into(), first["b3"].clone())]),
    );
    Ok(())
}

#[test]
fn pictures_of_different_sizes() -> TestResult {
    let tiny = model("tiny-adm").display().to_string();
    let (a, b) = (picture("adm-all", 0), picture("analysis", 1));
    let place = Place::new();
    let wide = place.write("in/wide.png", fs::read(&a)?);
    let square = place.write("in/square.png", fs::read(&b)?);
    let same_name = place.write("in/other/wide.png", fs::read(&a)?);
    let arguments = |pictures: &[&str], out: &str| {
        let fixed = [
            "extract",
            "--model",
            &tiny,
            "--t",
            "9",
            "--activations",
            "b1,b7",
            "--short-side",
            "32",
        ];
        let mut arguments: Vec<String> = fixed.map(str::to_owned).to_vec();
        arguments.push("--image".into());
        arguments.extend(pictures.iter().map(|picture| (*picture).to_owned()));
        with(arguments, &["--out", out])
    };
    let before = place.contents();
    run(arguments(&[&wide, &square], &place.text("o.safetensors"))).refused(2, &["--size", "40x32", "32x32"]);
    assert_eq!(place.contents(), before);

    run(arguments(&[&wide, &square, &same_name], &place.text("out"))).good();
    for (folder, picture) in [("wide", &wide), ("square", &square), ("wide-2", &same_name)] {
        run(arguments(&[picture], &place.text("alone.safetensors"))).good();
        let alone = load(&place.path("alone.safetensors"));
        let folder: Tensors = alone
            .keys()
            .map(|id| (id.clone(), read_npy(&place.path(&format!("out/{folder}/{id}.npy")))))
            .collect();
        assert_same(&alone, &folder);
    }
    let request: serde_json::Value = serde_json::from_slice(&fs::read(place.path("out/square/request.json"))?)?;
    assert_eq!(request["request"]["pictures"], json!([square]));

    // One bad picture among them, or noise that fits only one size: nothing is written.
    let before = place.contents();
    let empty = place.write("in/empty.png", "");
    run(arguments(&[&wide, &square, &empty], &place.text("out2"))).refused(1, &["empty"]);
    let noise = case_file("adm-all", "expected.safetensors").display().to_string();
    run(with(
        arguments(&[&wide, &square], &place.text("out2")),
        &["--noise", &noise],
    ))
    .refused(2, &["--size"]);
    fs::remove_file(empty)?;
    assert_eq!(place.contents(), before);
    Ok(())
}

#[test]
fn what_exists_stays_until_the_new_output_is_complete() -> TestResult {
    let place = Place::new();
    place.write("dir/b1.npy", "old");
    place.write("dir/notes.txt", "mine");
    let out = place.write("out.safetensors", "old");
    let dir = place.text("dir");
    let first = place.contents();
    for target in [&out, &dir] {
        let before = place.contents();
        let fail = with(
            adm(),
            &[
                "--activations",
                "b1",
                "--noise",
                &picture("adm-all", 0),
                "--out",
                target,
            ],
        );
        run(fail).refused(1, &["safetensors"]);
        assert_eq!(place.contents(), before);
        run(with(adm(), &["--activations", "b1", "--out", target])).good();
    }
    assert_eq!(place.names().len(), first.len() + 1, "{:?}", place.names());
    assert_eq!(fs::read_to_string(place.path("dir/notes.txt"))?, "mine");
    assert_eq!(read_npy(&place.path("dir/b1.npy")).dims(), [1, 32, 32, 32]);
    assert_eq!(load(&place.path("out.safetensors")).len(), 1);
    Ok(())
}

/// A folder in the place of one of the files: nothing is moved at all.
#[test]
fn files_are_moved_all_or_none() -> TestResult {
    let place = Place::new();
    place.write("dir/b1.npy", "old");
    place.write("dir/b2.npy/inside", "in the way");
    let before = place.contents();
    let ran = run(with(adm(), &["--activations", "b1,b2,b3", "--out", &place.text("dir")]));
    ran.refused(1, &["b2.npy", "folder"]);
    assert_eq!(place.contents(), before);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_the_file_is_shared() -> TestResult {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let place = Place::new();
    let real = place.write("real/kept.safetensors", "old");
    let link = place.path("link.safetensors");
    symlink(&real, &link)?;
    run(with(
        adm(),
        &["--activations", "b1", "--out", &link.display().to_string()],
    ))
    .good();
    assert!(fs::symlink_metadata(&link)?.is_symlink());
    assert_eq!(load(real.as_ref()).len(), 1);
    let plain = place.write("plain", "");
    let mode = |path: &str| Ok::<_, std::io::Error>(fs::metadata(path)?.permissions().mode());
    assert_eq!(mode(&real)?, mode(&plain)?, "as readable as any file");
    Ok(())
}

#[test]
fn what_adm_does_not_use_is_said_once() {
    let place = Place::new();
    let out = ["--activations", "b1", "--out", &place.text("o.safetensors")].map(str::to_owned);
    let quiet = run(adm().into_iter().chain(out.clone())).good();
    assert_eq!(quiet.notes(), [""; 0]);
    let more = with(adm(), &["--prompt", "a cat", "--vae", "sample"]);
    let ran = run(more.into_iter().chain(out)).good();
    let lines = ran.notes();
    assert_eq!(lines.len(), 2, "{}", ran.stderr);
    assert!(lines[0].contains("--prompt") && lines[1].contains("--vae"), "{lines:?}");
}

#[test]
fn unused_options_change_nothing() {
    let plain = extracted(adm(), &["--activations", "b5"]);
    let more = ["--activations", "b5", "--prompt", "a cat", "--vae", "sample"];
    assert_same(&plain, &extracted(adm(), &more));
}

#[test]
fn half_precision_on_a_cpu_says_that_it_is_f32() {
    let plain = extracted(adm(), &["--activations", "b5", "--device", "cpu"]);
    for dtype in ["f16", "bf16"] {
        let place = Place::new();
        let out = place.text("o.safetensors");
        let more = [
            "--activations",
            "b5",
            "--device",
            "cpu",
            "--dtype",
            dtype,
            "--out",
            &out,
        ];
        let ran = run(with(adm(), &more)).good();
        assert!(ran.stderr.contains("f32"), "{}", ran.stderr);
        assert_eq!(ran.notes().len(), 1);
        assert_same(&plain, &load(&place.path("o.safetensors")));
        assert_eq!(metadata(&place.path("o.safetensors"))["ran"]["dtype"], "f32");
    }
}

#[test]
fn layer_files_and_arrays() {
    let place = Place::new();
    let by_name = extracted(sd15(), &["--activations", "unet-in,up-level1-upsampler-out"]);
    let object = r#"{"unet-in": true, "mid-vit-out": false, "up-level1-upsampler-out": true}"#;
    let object = place.write("layers.json", object);
    let array = place.write("array.JSON", r#"["up-level1-upsampler-out", "unet-in"]"#);
    for file in [object, array] {
        assert_same(&by_name, &extracted(sd15(), &["--activations", &file]));
    }
    assert_same(
        &by_name,
        &extracted(
            sd15(),
            &["--activations", " up-level1-upsampler-out ,", "unet-in", "unet-in"],
        ),
    );
}

#[test]
fn seeds() -> TestResult {
    let of = |seed: &str| extracted(adm(), &["--activations", "b1", "--intermediates", "--seed", seed]);
    let (a, again, b) = (of("1"), of("1"), of("2"));
    assert_same(&a, &again);
    assert_ne!(numbers(&a["in.noise"]), numbers(&b["in.noise"]));
    // PyTorch's generator takes the lower 32 bits.
    assert_same(&of("18446744073709551615"), &of("4294967295"));
    Ok(())
}

/// The file of one run is the noise of the next.
#[test]
fn an_output_serves_as_noise() {
    let place = Place::new();
    for out in ["first.safetensors", "first"] {
        let out = place.text(out);
        let more = ["--activations", "unet-out", "--vae", "sample", "--intermediates"];
        run(with(sd15(), &more)
            .into_iter()
            .chain(["--seed".into(), "5".into(), "--out".into(), out.clone()]))
        .good();
        let second = extracted(sd15(), &[&more[..], &["--noise", &out]].concat());
        assert_same(&load(&place.path("first.safetensors")), &second);
    }
}

/// Without `in.vae_noise` the seed gives it, one per member.
#[test]
fn vae_noise_comes_from_the_seed() -> TestResult {
    let place = Place::new();
    let noise = Tensor::zeros((2, 4, 8, 8), DType::F64, &candle_core::Device::Cpu)?;
    let file = place.text("noise.safetensors");
    candle_core::safetensors::save(&[("in.noise".to_owned(), noise)].into(), &file)?;
    let more = [
        "--activations",
        "unet-in",
        "--vae",
        "sample",
        "--ensemble",
        "2",
        "--intermediates",
    ];
    let given = extracted(sd15(), &[&more[..], &["--noise", &file, "--seed", "3"]].concat());
    let drawn = extracted(sd15(), &[&more[..], &["--seed", "3"]].concat());
    assert_eq!(given["in.vae_noise"].dims(), [2, 4, 8, 8]);
    assert_eq!(numbers(&given["in.vae_noise"]), numbers(&drawn["in.vae_noise"]));
    assert!(numbers(&given["in.noise"]).iter().all(|x| *x == 0.0));
    Ok(())
}

#[test]
fn safetensors_come_before_pickles() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model("tiny-adm"), "both");
    fs::write(place.path("both/model.pt"), "never read")?;
    let out = place.text("o.safetensors");
    let image = picture("adm-all", 0);
    let run_it = || {
        run([
            "extract",
            "--model",
            &folder,
            "--image",
            &image,
            "--t",
            "1",
            "--activations",
            "b1",
            "--out",
            &out,
        ])
    };
    run_it().good();
    fs::remove_file(place.path("both/model.safetensors"))?;
    run_it().refused(1, &["model.pt"]);
    Ok(())
}

#[test]
fn paths_in_any_script() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model("tiny-adm"), "mödèl 猫");
    let image = place.write("bild 猫.png", fs::read(picture("adm-all", 0))?);
    let out = place.text("aus 猫.safetensors");
    run([
        "extract",
        "--model",
        &folder,
        "--image",
        &image,
        "--t",
        "1",
        "--activations",
        "b1",
        "--out",
        &out,
    ])
    .good();
    assert_eq!(metadata(out.as_ref())["request"]["pictures"][0], image);
    Ok(())
}

#[test]
fn the_embedded_model_with_every_id() -> TestResult {
    let place = Place::new();
    let (image, out) = (picture("adm-all", 0), place.text("o.safetensors"));
    let ran = run([
        "extract",
        "--model",
        "demo",
        "--image",
        &image,
        "--t",
        "100",
        "--activations",
        "all-maps",
        "--out",
        &out,
    ])
    .good();
    assert_eq!(ran.notes(), [""; 0]);
    let tensors = load(out.as_ref());
    assert!(
        tensors
            .values()
            .all(|tensor| numbers(tensor).iter().all(|x| x.is_finite()))
    );
    for (id, tensor) in tensors.iter().filter(|(id, _)| id.ends_with("-map")) {
        let (_, _, _, keys) = tensor.dims4()?;
        let numbers = numbers(tensor);
        for row in numbers.chunks(keys) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-4, "{id}");
        }
    }
    Ok(())
}

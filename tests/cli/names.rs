//! Names that are no UTF-8, wherever a command takes or writes one.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::tensors::{load, metadata, picture};
use crate::common::{
    TestResult, model, numbers,
    program::{Place, finish, program, run},
};

/// Two names that look the same.
const FIRST: &[u8] = b"b\xe9.png";
const SECOND: &[u8] = b"b\xff.png";
const LOOK: &str = "b\u{FFFD}.png";

fn named(place: &Place, name: &[u8]) -> PathBuf {
    place.path("").join(OsStr::from_bytes(name))
}

/// A folder and two pictures of such names, where the file system has them.
fn place() -> Option<(Place, [PathBuf; 2])> {
    let place = Place::new();
    let pictures = [FIRST, SECOND].map(|name| named(&place, name));
    for (index, path) in pictures.iter().enumerate() {
        fs::copy(picture("sd15-batch2-resize2", index), path).ok()?;
    }
    Some((place, pictures))
}

/// How a name is written down.
fn written(path: &Path) -> Value {
    json!({ "text": path.to_string_lossy(), "bytes": STANDARD.encode(path.as_os_str().as_bytes()) })
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("a file of JSON");
    serde_json::from_str(&text).expect("JSON")
}

/// The same folders, with links for files.
fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (source, target) = (entry?.path(), to.to_owned());
        let target = target.join(source.file_name().unwrap_or_default());
        match source.is_dir() {
            true => link_tree(&source, &target)?,
            false => symlink(source, target)?,
        }
    }
    Ok(())
}

fn joined(parts: &[&OsStr]) -> OsString {
    parts.iter().copied().collect()
}

#[test]
fn everything_that_an_extraction_is_given_may_have_any_name() -> TestResult {
    let Some((place, pictures)) = place() else {
        return Ok(());
    };
    let bad = |name: &[u8], target: PathBuf| {
        let path = named(&place, name);
        symlink(target, &path).map(|()| path)
    };
    let plain = [
        model("tiny-sd15"),
        model("tiny-sd15-lora").join("lora_kohya.safetensors"),
        model("tiny-controlnet"),
        picture("sd15-all-64", 0).into(),
        place.write("layers.json", r#"["mid-repeat0-res-out"]"#).into(),
        picture("sd15-batch2-resize2", 0).into(),
        picture("sd15-batch2-resize2", 1).into(),
        place.path("out.safetensors"),
    ];
    let names: [&[u8]; 5] = [b"m\xe9", b"l\xe9.safetensors", b"c\xe9", b"i\xe9.png", b"a\xe9.json"];
    let mut others = Vec::new();
    for (name, target) in names.into_iter().zip(&plain) {
        others.push(bad(name, target.clone())?);
    }
    others.extend(pictures.clone());
    others.push(named(&place, b"deep\xff/o\xe9.safetensors"));
    for paths in [plain.to_vec(), others.clone()] {
        let [model, lora, net, image, layers, first, second, out] = &paths[..] else {
            return Err("eight paths".into());
        };
        let lora = joined(&[lora.as_os_str(), ":0.5".as_ref()]);
        let control = |shown: &OsStr| joined(&[net.as_os_str(), "=".as_ref(), shown]);
        let (canny, control) = (control("canny:0.7".as_ref()), control(image.as_os_str()));
        let arguments = [
            ["--model".as_ref(), model.as_os_str()],
            ["--lora".as_ref(), &lora],
            ["--control".as_ref(), &canny],
            ["--control".as_ref(), &control],
            ["--activations".as_ref(), layers.as_os_str()],
            ["--out".as_ref(), out.as_os_str()],
            ["--image".as_ref(), first.as_os_str()],
        ];
        let fixed = ["extract", "--t", "51", "--size", "64"].map(OsStr::new);
        run(fixed
            .into_iter()
            .chain(arguments.into_iter().flatten())
            .chain([second.as_os_str()]))
        .good();
    }
    let found = load(&others[7]);
    let expected = load(&plain[7]);
    assert_eq!(found.len(), expected.len());
    for (name, tensor) in &expected {
        assert_eq!(numbers(tensor), numbers(&found[name]), "{name}");
    }
    let record = metadata(&others[7]);
    let request = &record["request"];
    assert_eq!(request["pictures"], json!([written(&others[5]), written(&others[6])]));
    assert_eq!(request["model"], written(&others[0]));
    assert_eq!(request["activations"], written(&others[4]));
    assert_eq!(request["adapters"]["loras"][0]["file"], written(&others[1]));
    assert_eq!(request["adapters"]["controls"][0]["net"], written(&others[2]));
    assert_eq!(
        request["adapters"]["controls"][1]["image"]["picture"],
        written(&others[3])
    );
    assert_eq!(record["ran"]["weights"], written(&others[0]));
    assert_eq!(record["ran"]["pictures"][1]["path"], written(&others[6]));
    // Another picture, which only one byte of its name tells from the first.
    let alone = named(&place, b"alone.safetensors");
    let arguments = [others[0].as_os_str(), "--image".as_ref(), others[6].as_os_str()];
    let fixed = [
        "extract",
        "--t",
        "51",
        "--size",
        "64",
        "--activations",
        "mid-repeat0-res-out",
        "--out",
    ];
    let fixed = fixed.map(OsStr::new);
    run(fixed
        .into_iter()
        .chain([alone.as_os_str(), "--model".as_ref()])
        .chain(arguments))
    .good();
    assert!(alone.is_file());
    Ok(())
}

#[test]
fn a_u_net_noise_and_a_model_in_one_file_may_have_any_name() -> TestResult {
    let Some((place, [picture, _])) = place() else {
        return Ok(());
    };
    let adm = named(&place, b"adm\xff");
    link_tree(&model("tiny-adm"), &adm)?;
    let noise = named(&place, b"n\xff.safetensors");
    let out = named(&place, b"o\xff");
    let fixed = [
        "extract",
        "--t",
        "150",
        "--size",
        "32",
        "--activations",
        "b1",
        "--model",
    ]
    .map(OsStr::new);
    let of = |more: &[&OsStr]| {
        run(fixed
            .iter()
            .copied()
            .chain([adm.as_os_str()])
            .chain(more.iter().copied()))
    };
    let image = ["--image".as_ref(), picture.as_os_str()];
    let with_noise = ["--intermediates".as_ref(), "--out".as_ref(), noise.as_os_str()];
    of(&[&image[..], &with_noise].concat()).good();
    let tensors = load(&noise);
    let kept = tensors.keys().find(|name| name.ends_with("noise")).ok_or("the noise")?;
    let given = std::collections::HashMap::from([("in.noise", tensors[kept].clone())]);
    candle_core::safetensors::save(&given, &noise)?;
    let with_noise = ["--noise".as_ref(), noise.as_os_str(), "--out".as_ref(), out.as_os_str()];
    of(&[&image[..], &with_noise].concat()).good();
    let record = read(&out.join("request.json"));
    assert_eq!(record["request"]["noise_file"], written(&noise));
    // The U-Net of a file, beside a model.
    let base = named(&place, b"base\xff");
    symlink(model("tiny-sd15"), &base)?;
    let unet = named(&place, b"u\xff.safetensors");
    symlink(
        model("tiny-sd15").join("unet/diffusion_pytorch_model.safetensors"),
        &unet,
    )?;
    let both = joined(&[base.as_os_str(), "+".as_ref(), unet.as_os_str()]);
    let listed = run([
        "layers".as_ref(),
        "--json".as_ref(),
        "--model".as_ref(),
        both.as_os_str(),
    ])
    .good();
    let listed: Value = serde_json::from_str(&listed.stdout)?;
    assert_eq!(listed["model"], written(Path::new(&both)));
    Ok(())
}

#[test]
fn pictures_that_look_the_same_have_outputs_of_their_own() -> TestResult {
    let Some((place, pictures)) = place() else {
        return Ok(());
    };
    // Of two sizes, so that each has a folder.
    image::RgbImage::new(64, 96).save(place.path("tall.png"))?;
    fs::rename(place.path("tall.png"), &pictures[1])?;
    let out = named(&place, b"out\xff");
    let fixed = [
        "extract",
        "--model",
        "demo",
        "--t",
        "90",
        "--short-side",
        "32",
        "--activations",
        "b1",
        "--out",
    ];
    let fixed = fixed.map(OsStr::new);
    let images = [
        out.as_os_str(),
        "--image".as_ref(),
        pictures[0].as_os_str(),
        pictures[1].as_os_str(),
    ];
    run(fixed.into_iter().chain(images)).good();
    for (folder, path) in ["b\u{FFFD}", "b\u{FFFD}-2"].into_iter().zip(&pictures) {
        let record = read(&out.join(folder).join("request.json"));
        assert_eq!(record["request"]["pictures"], json!([written(path)]));
    }

    let survey = named(&place, b"survey\xff");
    let fixed = [
        "survey",
        "--model",
        "demo",
        "--t",
        "90",
        "--size",
        "32",
        "--activations",
        "b1,b2",
        "--noises",
        "2",
    ];
    let fixed = fixed.map(OsStr::new);
    let images = [
        "--out".as_ref(),
        survey.as_os_str(),
        "--image".as_ref(),
        pictures[0].as_os_str(),
        pictures[1].as_os_str(),
    ];
    run(fixed.into_iter().chain(images)).good();
    let table = fs::read_to_string(survey.join("survey.csv"))?;
    let rows = |name: &str| {
        table
            .lines()
            .filter(|line| line.starts_with(&format!("{name},")))
            .count()
    };
    assert_eq!((rows(LOOK), rows(&format!("{LOOK} (2)"))), (2, 2), "{table}");
    let record = read(&survey.join("survey.json"));
    let of = |index: usize| record["made_by"]["ran"]["pictures"][index]["path"].clone();
    assert_eq!([of(0), of(1)], [written(&pictures[0]), written(&pictures[1])]);
    Ok(())
}

#[test]
fn comparisons_say_exactly_which_pictures_they_compared() -> TestResult {
    let Some((place, pictures)) = place() else {
        return Ok(());
    };
    let (out, pairs) = (named(&place, b"out\xff"), named(&place, b"p\xff.json"));
    let images = [pictures[0].as_os_str(), pictures[1].as_os_str()];
    let fixed = [
        "match",
        "--model",
        "demo",
        "--t",
        "90",
        "--size",
        "32",
        "--activations",
        "b5",
        "--at",
        "60,60",
    ];
    let fixed = fixed.map(OsStr::new);
    let more = [
        "--source".as_ref(),
        images[0],
        "--target".as_ref(),
        images[1],
        "--out".as_ref(),
        out.as_os_str(),
    ];
    run(fixed.into_iter().chain(more)).good();
    let found = read(&out.join("matches.json"));
    assert_eq!(found[0]["source"], written(&pictures[0]));
    assert_eq!(found[0]["target"], written(&pictures[1]));

    fs::write(&pairs, r#"[{"source": [60, 60], "target": [70, 60]}]"#)?;
    let fixed = [
        "rank",
        "--model",
        "demo",
        "--t",
        "90",
        "--size",
        "32",
        "--activations",
        "b5",
    ]
    .map(OsStr::new);
    let more = [
        "--pairs".as_ref(),
        pairs.as_os_str(),
        "--image".as_ref(),
        images[0],
        images[1],
    ];
    for format in ["--json", "--csv"] {
        let ran = run(fixed.into_iter().chain(more).chain([OsStr::new(format)])).good();
        assert!(ran.stdout.contains(LOOK.trim_end_matches(".png")), "{}", ran.stdout);
        if format == "--json" {
            let found: Value = serde_json::from_str(&ran.stdout)?;
            let both = json!([written(&pictures[0]), written(&pictures[1])]);
            assert_eq!(found["made_by"]["pictures"], both);
            assert_eq!(found["requests"][0]["pictures"], both);
        }
    }
    Ok(())
}

#[test]
fn what_was_extracted_is_read_and_coloured_under_any_name() -> TestResult {
    let Some((place, [picture, _])) = place() else {
        return Ok(());
    };
    let (file, folder) = (named(&place, b"o\xff.safetensors"), named(&place, b"o\xff"));
    for out in [&file, &folder] {
        let fixed = [
            "extract",
            "--model",
            "demo",
            "--t",
            "90",
            "--size",
            "32",
            "--activations",
            "b1",
            "--image",
        ];
        let more = [picture.as_os_str(), "--out".as_ref(), out.as_os_str()];
        run(fixed.map(OsStr::new).into_iter().chain(more)).good();
    }
    for (name, out) in [(&b"p\xff.png"[..], true), (b"p\xff", false)] {
        let out = (named(&place, name), out);
        let inputs = [file.as_os_str(), folder.as_os_str()];
        let inputs = if out.1 { &inputs[..1] } else { &inputs[..] };
        let more = ["--id".as_ref(), "b1".as_ref(), "--out".as_ref(), out.0.as_os_str()];
        run(std::iter::once(OsStr::new("pca"))
            .chain(inputs.iter().copied())
            .chain(more))
        .good();
        let pictures = if out.1 {
            vec![out.0]
        } else {
            vec![out.0.join("0-o\u{FFFD}-b1.png"), out.0.join("1-o\u{FFFD}-b1.png")]
        };
        assert!(pictures.iter().all(|picture| picture.is_file()), "{:?}", place.names());
    }
    Ok(())
}

#[test]
fn the_current_folder_and_the_cache_may_have_any_name() -> TestResult {
    const COMMIT: &str = "0123456789012345678901234567890123456789";
    let Some((place, pictures)) = place() else {
        return Ok(());
    };
    let (here, cache) = (named(&place, b"here\xff"), named(&place, b"hub\xff"));
    fs::create_dir(&here)?;
    fs::copy(&pictures[0], here.join("a.png"))?;
    let repo = cache.join("models--some--body");
    link_tree(&model("tiny-sd15"), &repo.join("snapshots").join(COMMIT))?;
    fs::create_dir(repo.join("refs"))?;
    fs::write(repo.join("refs/main"), COMMIT)?;
    let arguments = [
        "extract",
        "--model",
        "some/body",
        "--t",
        "51",
        "--size",
        "64",
        "--activations",
        "unet-in",
    ];
    let mut command = program();
    command
        .args(arguments)
        .args(["--image", "a.png", "--out", "out.safetensors"])
        .current_dir(&here)
        .env("HF_HUB_CACHE", &cache);
    finish(&mut command).good();
    let weights = &metadata(&here.join("out.safetensors"))["ran"]["weights"];
    let bytes = STANDARD.decode(weights["bytes"].as_str().ok_or("its bytes")?)?;
    assert_eq!(OsStr::from_bytes(&bytes), repo.join("snapshots").join(COMMIT));
    Ok(())
}

#[test]
fn the_window_is_drawn_and_exported_under_any_name() -> TestResult {
    let Some((place, pictures)) = place() else {
        return Ok(());
    };
    let out = named(&place, b"shot\xff.png");
    let fixed = ["shot", "--size", "860x500", "--image"].map(OsStr::new);
    let more = [pictures[0].as_os_str(), "--out".as_ref(), out.as_os_str()];
    let ran = run(fixed.into_iter().chain(more)).good();
    assert_eq!(ran.notes(), [""; 0]);
    assert!(out.is_file());

    // A workspace that names it, and lies beside it.
    let workspace = named(&place, b"w\xff.featscope.json");
    let mut document = serde_json::to_value(featscope::app::Document::default())?;
    document["model"] = "demo".into();
    document["settings"]["t"] = 90.into();
    document["settings"]["size"] = json!({ "ShortSide": 32 });
    let source = json!({ "File": written(Path::new(OsStr::from_bytes(SECOND))) });
    document["pictures"] = json!({ "A": { "source": source, "fingerprint": null } });
    let file = json!({ "kind": "featscope-workspace", "version": 1, "program": "by hand", "document": document });
    fs::write(&workspace, file.to_string())?;
    let panes = named(&place, b"panes\xff");
    let fixed = ["export", "--size", "860x500", "--workspace"].map(OsStr::new);
    let more = [workspace.as_os_str(), "--out".as_ref(), panes.as_os_str()];
    let ran = run(fixed.into_iter().chain(more)).good();
    assert_eq!(ran.notes(), [""; 0]);
    let record = read(&panes.join("panes.json"));
    assert_eq!(
        record["made_by"]["pictures"][0]["source"]["File"],
        written(&pictures[1])
    );
    assert_eq!(record["output"]["of"], "export");
    Ok(())
}

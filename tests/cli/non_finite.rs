//! Numbers that are not finite are never passed on without a word: weights that are finite, and make others that are not.

use std::{collections::HashMap, fs, path::Path};

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::tensors::{Tensors, load, metadata, picture};
use crate::common::{
    TestResult, model, numbers,
    program::{Place, Ran, run},
};

/// Finite, and times anything above 1.2 no longer.
const HUGE: f32 = 3e38;
const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

/// A copy of a model in which every number of one tensor is the same.
fn broken(place: &Place, base: &str, file: &str, tensor: &str, number: f32) -> String {
    let folder = place.copy(&model(base), "broken");
    fill(&Path::new(&folder).join(file), tensor, number);
    folder
}

fn fill(path: &Path, tensor: &str, number: f32) {
    let mut tensors: HashMap<String, Tensor> = load(path);
    let shape = tensors[tensor].dims().to_vec();
    let filled = Tensor::full(number, shape, &Device::Cpu).expect("a tensor");
    tensors.insert(tensor.to_owned(), filled);
    candle_core::safetensors::save(&tensors, path).expect("a file");
}

fn ran(place: &Place, command: &str, model: &str, more: &[&str]) -> Ran {
    let out = place.text(if command == "survey" { "out" } else { "out.safetensors" });
    let image = picture("sd15-all-64", 0);
    let fixed = [
        command, "--model", model, "--t", "51", "--size", "64", "--image", &image,
    ];
    let out = ["--out", &out];
    run(fixed
        .iter()
        .chain(more)
        .chain(&out[..if command == "rank" { 0 } else { 2 }]))
}

/// Refused, and the folder is what it was.
#[track_caller]
fn refused(place: &Place, ran: impl FnOnce() -> Ran, words: &[&str]) {
    let before = place.contents();
    ran().refused(1, words);
    assert_eq!(place.contents(), before, "nothing is written");
}

#[test]
fn an_extraction_is_refused_with_where_it_began_and_why() {
    let place = Place::new();
    let broken = broken(&place, "tiny-sd15", UNET, "conv_in.weight", HUGE);
    let extract = |more: &[&str]| ran(&place, "extract", &broken, more);
    let later = ["--activations", "mid-vit-out,up-level3-repeat2-vit-out"];
    refused(
        &place,
        || extract(&later),
        &[
            "mid-vit-out is not finite: ",
            " numbers are NaN",
            "the first such activation of the pass is unet-after-conv-in",
            "the network's input is finite",
            "huge or damaged weights",
            "--allow-non-finite",
        ],
    );
    refused(
        &place,
        || extract(&["--activations", "unet-after-conv-in"]),
        &[
            "unet-after-conv-in is not finite: ",
            "it is the first such activation of the pass",
        ],
    );
    let lora = model("tiny-sd15-lora/lora_kohya.safetensors");
    let strong = format!("{}:50", lora.display());
    // The scale that acts is said before.
    let before = place.contents();
    let ran = extract(&["--activations", "unet-after-conv-in", "--lora", &strong]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let told = ran.stderr.lines().last().unwrap_or_default();
    assert!(
        told.contains("lora_kohya.safetensors at 50") && told.contains("lower its scale"),
        "{}",
        ran.stderr
    );
    assert_eq!(place.contents(), before);
    // Maps that are aggregated, and what is written beside activations.
    refused(
        &place,
        || extract(&["--attention", "up_cross"]),
        &[" is not finite: ", "unet-after-conv-in"],
    );
}

#[test]
fn of_several_pictures_the_one_is_named() {
    let place = Place::new();
    let broken = broken(&place, "tiny-adm", "model.safetensors", "input_blocks.0.0.weight", HUGE);
    let image = picture("adm-all", 0);
    let out = place.text("out");
    let ran = || {
        run([
            "extract",
            "--model",
            &broken,
            "--t",
            "150",
            "--size",
            "32",
            "--image",
            &image,
            &image,
            "--activations",
            "b5",
            "--ensemble",
            "2",
            "--out",
            &out,
        ])
    };
    refused(&place, ran, &["b5 of ", "image0.png is not finite", "the pass is b1"]);
}

#[test]
fn what_is_allowed_is_written_and_marked() -> TestResult {
    let place = Place::new();
    let broken = broken(&place, "tiny-sd15", UNET, "mid_block.resnets.1.conv2.weight", HUGE);
    let ids = [
        "--activations",
        "mid-repeat0-res-out,mid-repeat1-res-out,unet-out",
        "--allow-non-finite",
    ];
    let told = ran(&place, "extract", &broken, &ids).good().stderr;
    assert!(
        told.contains("mid-repeat1-res-out, unet-out") && told.contains("likely because"),
        "{told}"
    );
    let path = place.path("out.safetensors");
    let record = metadata(&path);
    assert_eq!(record["request"]["allow_non_finite"], true);
    let marked = record["ran"]["not_finite"].as_array().ok_or("a list")?;
    let names: Vec<&str> = marked.iter().filter_map(|entry| entry["name"].as_str()).collect();
    assert_eq!(names, ["mid-repeat1-res-out", "unet-out"]);
    for (name, tensor) in load(&path) {
        let counts = numbers(&tensor).iter().fold([0, 0], |[nan, infinite], x| {
            [nan + usize::from(x.is_nan()), infinite + usize::from(x.is_infinite())]
        });
        let entry = marked.iter().find(|entry| entry["name"] == name.as_str());
        let told = entry.map_or([0, 0], |entry| {
            ["nan", "infinite"].map(|key| entry[key].as_u64().unwrap_or_default() as usize)
        });
        assert_eq!(counts, told, "{name}");
    }
    // A finite output is not marked.
    ran(
        &place,
        "extract",
        &broken,
        &["--activations", "mid-repeat0-res-out", "--allow-non-finite"],
    )
    .good();
    assert_eq!(metadata(&path)["ran"]["not_finite"], json!([]));
    Ok(())
}

#[test]
fn what_is_not_finite_before_the_network_is_named() {
    for (file, tensor, words) in [
        (
            "vae/diffusion_pytorch_model.safetensors",
            "encoder.conv_out.weight",
            "what the autoencoder makes of picture 1 is not finite",
        ),
        (
            "text_encoder/model.safetensors",
            "text_model.final_layer_norm.weight",
            "what the text encoder makes of the prompt is not finite",
        ),
    ] {
        let place = Place::new();
        let broken = broken(&place, "tiny-sd15", file, tensor, HUGE);
        refused(
            &place,
            || ran(&place, "extract", &broken, &["--activations", "unet-after-conv-in"]),
            &[words],
        );
    }
    let place = Place::new();
    let net = place.copy(&model("tiny-controlnet"), "net");
    let weights = Path::new(&net).join("diffusion_pytorch_model.safetensors");
    fill(&weights, "controlnet_mid_block.weight", HUGE);
    let control = format!("{net}=canny:0.5");
    let sound = model("tiny-sd15").display().to_string();
    let more = ["--activations", "up-level0-repeat0-res-out", "--control", &control];
    refused(
        &place,
        || ran(&place, "extract", &sound, &more),
        &[
            "up-level0-repeat0-res-out is not finite",
            "what the ControlNets add to the middle is not finite",
        ],
    );
}

#[test]
fn what_f16_cannot_hold_is_not_made_infinite_without_a_word() -> TestResult {
    let place = Place::new();
    let broken = broken(&place, "tiny-sd15", UNET, "conv_in.weight", 1e6);
    let ids = ["--activations", "unet-after-conv-in", "--store", "f16"];
    refused(
        &place,
        || ran(&place, "extract", &broken, &ids),
        &[
            "--store f16: ",
            "numbers of unet-after-conv-in are above 65504",
            "leave --store f16 out",
        ],
    );
    ran(&place, "extract", &broken, &ids[..2]).good();
    let allowed = [&ids[..], &["--allow-non-finite"]].concat();
    ran(&place, "extract", &broken, &allowed).good();
    let path = place.path("out.safetensors");
    let infinite = numbers(&load(&path)["unet-after-conv-in"])
        .iter()
        .filter(|x| x.is_infinite())
        .count();
    assert!(infinite > 0);
    assert_eq!(metadata(&path)["ran"]["not_finite"][0]["infinite"], infinite);
    Ok(())
}

#[test]
fn a_survey_goes_on_and_says_what_has_no_figures() -> TestResult {
    let place = Place::new();
    let broken = broken(&place, "tiny-sd15", UNET, "mid_block.resnets.1.conv2.weight", HUGE);
    let ids = "mid-repeat0-res-out,mid-repeat1-res-increment,up-level0-repeat0-res-out";
    let told = ran(&place, "survey", &broken, &["--noises", "2", "--activations", ids])
        .good()
        .stderr;
    assert!(
        told.contains("2 of 3 activations have no figures, the first of them mid-repeat1-res-increment: "),
        "{told}"
    );
    let read = |name: &str| fs::read_to_string(place.path("out").join(name));
    let csv = read("survey.csv")?;
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].ends_with(",unmeasured") && lines[1].ends_with(','), "{csv}");
    assert!(lines[2].contains(",,,,") && lines[2].contains("numbers are"), "{csv}");
    let record: Value = serde_json::from_str(&read("survey.json")?)?;
    let findings = &record["surveys"][0]["findings"];
    assert!(findings[0]["figures"].is_object() && findings[0].get("unmeasured").is_none());
    for broken in [&findings[1], &findings[2]] {
        assert!(broken["figures"].is_null(), "{broken}");
        assert!(
            broken["unmeasured"]
                .as_str()
                .is_some_and(|why| why.contains("numbers are"))
        );
    }
    assert!(read("survey.html")?.contains("\"unmeasured\":\""));
    assert!(!csv.contains("NaN,"), "{csv}");
    Ok(())
}

#[test]
fn a_ranking_leaves_them_out_by_name_and_a_match_is_refused() -> TestResult {
    let place = Place::new();
    let broken = broken(&place, "tiny-sd15", UNET, "mid_block.resnets.1.conv2.weight", HUGE);
    let pairs = place.write("pairs.json", r#"[{"source": [10, 10], "target": [12, 12]}]"#);
    let image = picture("sd15-all-64", 0);
    let ranked = |ids: &str, more: &[&str]| {
        let fixed = ["--image", &image, "--pairs", &pairs, "--activations", ids];
        ran(&place, "rank", &broken, &[&fixed[..], more].concat())
    };
    let found = ranked("mid-repeat0-res-out,mid-repeat1-res-out", &["--json"]).good();
    let table: Value = serde_json::from_str(&found.stdout)?;
    assert_eq!(table["rows"].as_array().map(Vec::len), Some(1));
    assert_eq!(table["not_finite"][0]["id"], "mid-repeat1-res-out");
    assert!(
        found.stderr.contains("1 of 2 activations have no score"),
        "{}",
        found.stderr
    );
    ranked("mid-repeat1-res-out", &[]).refused(1, &["1 of 1 activations have no score", "mid-repeat1-res-out"]);
    refused(
        &place,
        || {
            run([
                "match",
                "--model",
                &broken,
                "--t",
                "51",
                "--size",
                "64",
                "--source",
                &image,
                "--target",
                &image,
                "--at",
                "10,10",
                "--activations",
                "unet-out",
                "--out",
                &place.text("out"),
            ])
        },
        &["unet-out is not finite", "mid-repeat1-res-increment"],
    );
    Ok(())
}

#[test]
fn a_file_that_holds_them_has_no_colours() -> TestResult {
    let place = Place::new();
    let mut given = vec![1.0_f32; 48];
    given[40] = f32::NAN;
    given[3] = f32::INFINITY;
    let map = Tensor::from_vec(given, (1, 3, 4, 4), &Device::Cpu)?;
    candle_core::safetensors::save(&Tensors::from([("b1".to_owned(), map)]), place.path("x.safetensors"))?;
    let (file, out) = (place.text("x.safetensors"), place.text("out"));
    for more in [&[][..], &["--reference"], &["--joint"]] {
        let fixed = ["pca", &file, "--id", "b1", "--out", &out];
        refused(
            &place,
            || run(fixed.iter().chain(more)),
            &["b1 of ", "x.safetensors", "1 of 48 numbers are NaN and 1 are infinite"],
        );
    }
    Ok(())
}

//! What people type: short options, other words for the same, folders and patterns, several timesteps, what is left out.

use std::fs;

use serde_json::Value;

use super::tensors::{load, metadata, picture, read_npy};
use crate::common::{
    TestResult, numbers,
    program::{Place, Ran, finish, program, run},
};

/// Runs the embedded model on a sample at 64 pixels, into `out`.
fn extract(place: &Place, out: &str, more: &[&str]) -> Ran {
    let out = place.text(out);
    let fixed = [
        "extract",
        "-m",
        "demo",
        "-i",
        "sample:photo-cat",
        "--size",
        "64",
        "-o",
        &out,
    ];
    run(fixed.iter().chain(more))
}

#[test]
fn short_options_and_other_words_are_the_same_arguments() -> TestResult {
    let place = Place::new();
    let long = place.text("long.safetensors");
    let words = [
        "--model",
        "demo",
        "--images",
        "sample:photo-cat",
        "--size",
        "64",
        "--out",
        &long,
    ];
    let more = ["--timestep", "90", "--layers", "b2,b11", "--dtype", "float32"];
    run(["extract"].iter().chain(&words).chain(&more)).good();
    extract(&place, "short.safetensors", &["-t", "90", "-l", "b2,b11"]).good();
    extract(
        &place,
        "layer.safetensors",
        &["-t", "90", "--layer", "b2", "b11", "--store", "fp32"],
    )
    .good();
    let [long, short, layer] = ["long", "short", "layer"].map(|name| load(&place.path(&format!("{name}.safetensors"))));
    assert_eq!(long.len(), 2);
    for id in ["b2", "b11"] {
        assert_eq!(numbers(&long[id]), numbers(&short[id]), "{id}");
        assert_eq!(numbers(&long[id]), numbers(&layer[id]), "{id}");
    }
    Ok(())
}

#[test]
fn formats_have_the_names_of_other_programs() {
    let place = Place::new();
    for (word, format) in [
        ("fp16", "f16"),
        ("float16", "f16"),
        ("bfloat16", "bf16"),
        ("fp32", "f32"),
    ] {
        let more = ["-t", "90", "-l", "b1", "--device", "cpu", "--dtype", word];
        extract(&place, "out.safetensors", &more).good();
        let request = &metadata(&place.path("out.safetensors"))["request"];
        assert_eq!(request["dtype"], format, "{word}");
    }
    extract(
        &place,
        "half.safetensors",
        &["-t", "90", "-l", "b1", "--store", "float16"],
    )
    .good();
    assert_eq!(metadata(&place.path("half.safetensors"))["request"]["store"], "f16");
    extract(&place, "no.safetensors", &["-t", "90", "-l", "b1", "--dtype", "fp8"]).refused(2, &["fp8", "f16"]);
}

#[test]
fn a_model_may_stand_without_its_option() {
    let named = run(["layers", "demo"]).good().stdout;
    assert_eq!(named, run(["layers", "--model", "demo"]).good().stdout);
    assert_eq!(named, run(["layers", "-m", "demo"]).good().stdout);
    run(["layers"]).refused(2, &["<M>"]);
    run(["layers", "demo", "--model", "demo"]).refused(2, &["cannot be used with"]);
}

#[test]
fn patterns_of_ids_are_the_ids_that_fit() {
    let place = Place::new();
    extract(&place, "out.safetensors", &["-t", "90", "-l", "b1?,b2"]).good();
    let mut ids: Vec<String> = load(&place.path("out.safetensors")).into_keys().collect();
    ids.sort();
    assert_eq!(ids.len(), 5, "b10 to b13 and b2: {ids:?}");
    assert!(
        ids.iter().all(|id| id == "b2" || id.len() == 3 && id.starts_with("b1")),
        "{ids:?}"
    );
    extract(&place, "no", &["-t", "90", "-l", "c1?"]).refused(2, &["\"c1?\"", "near are b1"]);

    // What was extracted is chosen by patterns as well.
    let (file, colours) = (place.text("out.safetensors"), place.text("colours"));
    run(["pca", &file, "-l", "b1?", "-o", &colours]).good();
    assert_eq!(fs::read_dir(&colours).map(Iterator::count).ok(), Some(4));
    run(["pca", &file, "-l", "c*", "-o", &colours]).refused(2, &["\"c*\"", "it holds"]);
    let targets = [
        "--target",
        "sample:noto-dog-face",
        "--at",
        "180,120",
        "-t",
        "90",
        "--size",
        "64",
    ];
    let matched = [
        "match",
        "-m",
        "demo",
        "--source",
        "sample:photo-cat",
        "-l",
        "b1?",
        "-o",
        &colours,
    ];
    run(matched.iter().chain(&targets)).refused(2, &["one activation, 4 were"]);
}

#[test]
fn folders_and_patterns_of_pictures() -> TestResult {
    let place = Place::new();
    for (name, index) in [("in/b.png", 0), ("in/a.png", 1), ("in/c.PNG", 0)] {
        place.write(name, fs::read(picture("analysis", index))?);
    }
    place.write("in/notes.txt", "no picture");
    let of = |images: &[&str], out: &str| {
        let (out, fixed) = (
            place.text(out),
            ["extract", "-m", "demo", "-t", "90", "-l", "b1", "--size", "32"],
        );
        run(fixed.iter().chain(&["-o", &out, "-i"]).chain(images))
    };
    let names = |out: &str| -> Vec<String> {
        let pictures = metadata(&place.path(out))["request"]["pictures"].clone();
        let paths: Vec<String> = serde_json::from_value(pictures).expect("names");
        paths
            .iter()
            .map(|path| path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned())
            .collect()
    };
    of(&[&place.text("in")], "folder.safetensors").good();
    assert_eq!(names("folder.safetensors"), ["a.png", "b.png", "c.PNG"]);
    of(
        &[&place.text("in/*.png"), &place.text("in/c.PNG")],
        "pattern.safetensors",
    )
    .good();
    assert_eq!(names("pattern.safetensors"), ["a.png", "b.png", "c.PNG"]);
    let [folder, pattern] = ["folder", "pattern"].map(|name| load(&place.path(&format!("{name}.safetensors"))));
    assert_eq!(folder["b1"].dim(0)?, 3);
    assert_eq!(numbers(&folder["b1"]), numbers(&pattern["b1"]));
    of(&[&place.text("in/*.jpg")], "no").refused(1, &["no file fits", "*.jpg"]);
    fs::create_dir(place.path("empty"))?;
    of(&[&place.text("empty")], "no").refused(1, &["empty", "holds no pictures"]);
    assert!(!place.path("no").exists());
    Ok(())
}

#[test]
fn without_a_timestep_the_models_own_runs_and_is_said() {
    let place = Place::new();
    let ran = extract(&place, "own.safetensors", &["-l", "b1"]).good();
    let record = metadata(&place.path("own.safetensors"));
    let models: Value = serde_json::from_str(&run(["models", "--json"]).good().stdout).expect("JSON");
    let own = models["models"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|model| model["key"] == "demo");
    let own = own.expect("the embedded model")["default_t"].clone();
    assert_eq!((&record["request"]["t"], &record["ran"]["t_ran"]), (&own, &own));
    assert_eq!(
        ran.notes(),
        [format!(
            "featscope: t {own} is taken, the model's own, as no --t is given"
        )]
    );
    let given = extract(&place, "given.safetensors", &["-l", "b1", "-t", &own.to_string()]).good();
    assert_eq!(given.notes(), [""; 0]);
    let [own, given] = ["own", "given"].map(|name| load(&place.path(&format!("{name}.safetensors"))));
    assert_eq!(numbers(&own["b1"]), numbers(&given["b1"]));
}

/// Each timestep is an output of its own, as if it had been asked for alone.
#[test]
fn several_timesteps_are_several_outputs() -> TestResult {
    let place = Place::new();
    extract(&place, "maps.safetensors", &["-l", "b2", "-t", "50,90", "-t", "50"]).good();
    assert_eq!(place.names(), ["maps-t50.safetensors", "maps-t90.safetensors"]);
    extract(&place, "folder", &["-l", "b2", "-t", "50", "-t", "90"]).good();
    for t in ["50", "90"] {
        let of_many = place.path(&format!("maps-t{t}.safetensors"));
        assert_eq!(metadata(&of_many)["request"]["t"].to_string(), t);
        assert_eq!(metadata(&of_many)["ran"]["t_ran"].to_string(), t);
        extract(&place, "alone.safetensors", &["-l", "b2", "-t", t]).good();
        let [many, alone] = [&of_many, &place.path("alone.safetensors")].map(|path| load(path));
        assert_eq!(numbers(&many["b2"]), numbers(&alone["b2"]), "t {t}");
        let in_folder = read_npy(&place.path(&format!("folder/t{t}/b2.npy")));
        assert_eq!(numbers(&in_folder), numbers(&alone["b2"]), "t {t}");
        assert!(place.path(&format!("folder/t{t}/request.json")).exists());
    }
    Ok(())
}

#[test]
fn several_timesteps_of_matches_and_surveys() -> TestResult {
    let place = Place::new();
    let (matches, survey) = (place.text("matches"), place.text("survey"));
    let fixed = ["-m", "demo", "--size", "32", "-t", "50,90", "-l", "b2", "-o"];
    let points = [
        "--source",
        "sample:photo-cat",
        "--target",
        "sample:noto-dog-face",
        "--at",
        "180,120",
    ];
    run(["match"].iter().chain(&fixed).chain(&[matches.as_str()]).chain(&points)).good();
    run(["survey"]
        .iter()
        .chain(&fixed)
        .chain(&[survey.as_str(), "-i", "sample:photo-cat"]))
    .good();
    for t in ["50", "90"] {
        let read = |name: &str| -> Result<Value, Box<dyn std::error::Error>> {
            Ok(serde_json::from_slice(&fs::read(place.path(name))?)?)
        };
        let request = read(&format!("matches/t{t}/request.json"))?;
        assert_eq!(request["request"]["t"].to_string(), t);
        assert!(place.path(&format!("matches/t{t}/matches.json")).exists());
        let survey = read(&format!("survey/t{t}/survey.json"))?;
        assert_eq!(survey["made_by"]["ran"]["t_ran"].to_string(), t);
    }
    Ok(())
}

#[test]
fn words_near_a_command_are_told() {
    let place = Place::new();
    let said = |word: &str| finish(program().current_dir(place.path("")).args([word, "--model", "demo"]));
    said("extrct").refused(
        2,
        &[
            "\"extrct\" is neither a command nor a file",
            "did you mean \"extract\"?",
        ],
    );
    said("completion").refused(2, &["did you mean \"completions\"?"]);
}

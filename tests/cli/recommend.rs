//! `featscope recommend`.

use std::fs;

use serde_json::Value;

use super::tensors::load;
use crate::common::{
    TestResult, model,
    program::{Place, Ran, run},
};

/// Two drawings of one animal on the embedded model, small and at one timestep.
const DEMO: [&str; 10] = [
    "recommend",
    "-m",
    "demo",
    "--size",
    "64",
    "-t",
    "100",
    "-i",
    "sample:noto-cat-face",
    "sample:fluent-flat-cat-face",
];

fn recommended(place: &Place, more: &[&str]) -> (Ran, Value) {
    let file = place.text("found.json");
    let ran = run(DEMO.iter().chain(more).chain(&["--json", &file])).good();
    let written = fs::read_to_string(&file).expect("the file of --json");
    (ran, serde_json::from_str(&written).expect("JSON"))
}

/// The ids of the best, with their timesteps.
fn best(found: &Value) -> Vec<String> {
    let best = found["best"].as_array().expect("the best");
    best.iter()
        .map(|best| format!("{}@{}", best["id"].as_str().unwrap_or_default(), best["t"]))
        .collect()
}

#[test]
fn the_best_come_with_figures_reasons_and_a_line_that_runs() -> TestResult {
    let place = Place::new();
    let folder = place.text("page");
    let (ran, found) = recommended(&place, &["-o", &folder]);
    let entries = found["best"].as_array().ok_or("the best")?;
    assert_eq!(entries.len(), 5);
    assert_eq!((&found["decided_by"], &found["pairs"]), (&"proxy".into(), &Value::Null));
    assert!(
        ran.stdout.contains("a proxy") && ran.stdout.contains("against it:"),
        "{}",
        ran.stdout
    );
    let said = "comparing t 100 x 2 pictures x 2 (itself, and moved) x 2 noises: 8 evaluations of the network";
    assert!(ran.notes().iter().any(|note| note.contains(said)), "{}", ran.stderr);
    let scores: Vec<f64> = entries.iter().filter_map(|best| best["score"].as_f64()).collect();
    assert!(
        scores.len() == 5 && scores.windows(2).all(|pair| pair[0] >= pair[1]),
        "{scores:?}"
    );
    for entry in entries {
        let agreement = entry["figures"]["agreement"].as_f64().ok_or("an agreement")?;
        assert!((0.0..=1.0).contains(&agreement), "{entry}");
        assert!(
            entry["figures"]["nsr_low_passed"]
                .as_f64()
                .is_some_and(|nsr| nsr >= 0.0)
        );
        assert!(entry["against"].as_array().is_some_and(|words| !words.is_empty()));
        let ranks = entry["ranks"].as_object().ok_or("ranks")?;
        let known: Vec<f64> = ranks.values().filter_map(Value::as_f64).collect();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        assert!(
            (mean - entry["score"].as_f64().ok_or("a score")?).abs() < 1e-12,
            "{entry}"
        );
    }
    assert!(found["made_by"]["ran"].as_array().is_some_and(|ran| ran.len() == 1));
    let page = fs::read_to_string(place.path("page/recommend.html"))?;
    assert!(page.contains("data:image/png") || page.contains("\"pictures\":[\""));
    assert!(!page.contains("__DATA__") && !page.contains("http://") && !page.contains("https://"));
    let record: Value = serde_json::from_str(&fs::read_to_string(place.path("page/recommend.json"))?)?;
    assert_eq!(record["best"], found["best"]);
    // The line that is printed is the first one's, and does what it says.
    let line = entries[0]["command"].as_str().ok_or("a command")?;
    assert!(ran.stdout.trim_end().ends_with(line), "{}", ran.stdout);
    let out = place.text("features.safetensors");
    let words = line
        .split(' ')
        .skip(1)
        .map(|word| if word == "features.safetensors" { &out } else { word });
    run(words).good();
    let id = entries[0]["id"].as_str().ok_or("an id")?;
    assert_eq!(load(out.as_ref())[id].dim(0)?, 2, "of both pictures");
    Ok(())
}

#[test]
fn nothing_depends_on_the_order_of_pictures_or_on_threads() -> TestResult {
    let place = Place::new();
    let (_, there) = recommended(&place, &[]);
    let file = place.text("back.json");
    let more = [DEMO[9], DEMO[8], "--json", &file];
    let back = DEMO[..8].iter().chain(&more);
    crate::common::program::finish(
        crate::common::program::program()
            .args(back)
            .env("RAYON_NUM_THREADS", "1"),
    )
    .good();
    let back: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
    assert_eq!(best(&there), best(&back));
    for (there, back) in there["best"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(back["best"].as_array().into_iter().flatten())
    {
        assert_eq!((&there["figures"], &there["score"]), (&back["figures"], &back["score"]));
    }
    Ok(())
}

#[test]
fn pairs_decide_as_rank_scores_them() -> TestResult {
    let place = Place::new();
    // Ears, eyes and nose of both drawings, in pixels of the samples.
    let size = image::image_dimensions("assets/samples/noto-cat-face.png")?;
    let other = image::image_dimensions("assets/samples/fluent-flat-cat-face.png")?;
    let points = [
        ([0.2, 0.2], [0.21, 0.32]),
        ([0.8, 0.2], [0.79, 0.32]),
        ([0.31, 0.52], [0.375, 0.58]),
        ([0.69, 0.52], [0.625, 0.58]),
        ([0.5, 0.62], [0.5, 0.65]),
    ];
    let at = |[x, y]: [f64; 2], (width, height): (u32, u32)| [x * f64::from(width), y * f64::from(height)];
    let pairs: Vec<Value> = points
        .iter()
        .map(|(source, target)| serde_json::json!({ "source": at(*source, size), "target": at(*target, other) }))
        .collect();
    let file = place.write("pairs.json", serde_json::to_string(&pairs)?);
    let (ran, found) = recommended(&place, &["--pairs", &file]);
    assert_eq!(
        (&found["decided_by"], &found["pairs"]),
        (&"pairs".into(), &serde_json::json!([5, 0]))
    );
    assert!(
        ran.stdout.contains("PCK@.1 is no proxy") && ran.stdout.contains("So few say little"),
        "{}",
        ran.stdout
    );
    let [rank, more] = [["rank"], [DEMO[9]]];
    let arguments = rank
        .iter()
        .chain(&DEMO[1..9])
        .chain(&more)
        .copied()
        .chain(["--pairs", &file, "--json"]);
    let ranked: Value = serde_json::from_str(&run(arguments).good().stdout)?;
    let rows = ranked["rows"].as_array().ok_or("rows")?;
    let of = |id: &Value| rows.iter().find(|row| row["id"] == *id).map(|row| &row["figures"]);
    for entry in found["best"].as_array().ok_or("the best")? {
        assert_eq!(Some(&entry["pairs"]["figures"]), of(&entry["id"]), "{}", entry["id"]);
    }
    // The network's own input and output are left out, and nothing else.
    let most = rows
        .iter()
        .filter(|row| row["id"] != "unet-in" && row["id"] != "unet-out")
        .filter_map(|row| row["figures"]["pck_10"].as_f64())
        .fold(0.0, f64::max);
    assert_eq!(found["best"][0]["pairs"]["figures"]["pck_10"].as_f64(), Some(most));
    Ok(())
}

/// The marked parts of an animal's face in two styles of drawing, as pairs in pixels of the samples.
fn marked(marks: &Value, animal: &str, files: [&str; 2]) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let mut places = Vec::new();
    for (style, file) in ["noto", "fluent-emoji-flat"].into_iter().zip(files) {
        let (width, height) = image::image_dimensions(format!("assets/samples/{file}.png"))?;
        let points = marks["points"][style][animal].as_array().ok_or("marks")?;
        let place = |point: &Value| {
            Some([
                point[0].as_f64()? * f64::from(width) - 0.5,
                point[1].as_f64()? * f64::from(height) - 0.5,
            ])
        };
        places.push(points.iter().map(place).collect::<Vec<_>>());
    }
    let pairs = places[0].iter().zip(&places[1]);
    let seen = pairs.filter_map(|(source, target)| Some((source.as_ref()?, target.as_ref()?)));
    Ok(seen
        .map(|(source, target)| serde_json::json!({ "source": source, "target": target }))
        .collect())
}

/// What is chosen without a mark finds marked ears, eyes, noses and mouths again in another drawing of the same animal nearly
/// as well as the best of all activations does.
#[test]
fn without_marks_the_embedded_models_choice_is_near_the_best_by_marks() -> TestResult {
    const NEAR: f64 = 0.05;
    let place = Place::new();
    let file = place.text("found.json");
    let pictures = ["noto-cat-face", "fluent-flat-dog-face", "noto-fox", "fluent-flat-panda"];
    let pictures = pictures.map(|name| format!("sample:{name}"));
    let fixed = ["recommend", "-m", "demo", "-t", "100", "--json", &file, "-i"];
    run(fixed.into_iter().chain(pictures.iter().map(String::as_str))).good();
    let found: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
    let steps = found["plan"]["steps"].as_array().ok_or("timesteps")?;
    let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    let marks: Value = serde_json::from_str(&fs::read_to_string("assets/demo/keypoints.json")?)?;
    // Found and marked points of every activation at every timestep.
    let mut counts: std::collections::BTreeMap<String, [f64; 2]> = std::collections::BTreeMap::new();
    for animal in [
        "cat", "dog", "fox", "wolf", "bear", "panda", "lion", "tiger", "rabbit", "mouse",
    ] {
        let icon = marks["icon"][animal].as_str().ok_or("an icon")?;
        let files = [format!("noto-{icon}"), format!("fluent-flat-{icon}")];
        let pairs = marked(&marks, animal, [&files[0], &files[1]])?;
        let points = place.write("pairs.json", serde_json::to_string(&pairs)?);
        let samples = files.map(|name| format!("sample:{name}"));
        let steps = steps.join(",");
        let arguments = [
            "rank",
            "-m",
            "demo",
            "-t",
            &steps,
            "--pairs",
            &points,
            "--json",
            "-i",
            &samples[0],
            &samples[1],
        ];
        let ranked: Value = serde_json::from_str(&run(arguments).good().stdout)?;
        for row in ranked["rows"].as_array().ok_or("rows")? {
            let name = format!("{}@{}", row["id"].as_str().ok_or("an id")?, row["t"]);
            let share = row["figures"]["pck_10"].as_f64().ok_or("a share")?;
            let [right, all] = counts.entry(name).or_default();
            *right += share * pairs.len() as f64;
            *all += pairs.len() as f64;
        }
    }
    let share = |name: &str| counts.get(name).map(|[right, all]| right / all);
    let most = counts.keys().filter_map(|name| share(name)).fold(0.0, f64::max);
    let chosen = &best(&found)[0];
    let of_chosen = share(chosen).ok_or("it was ranked")?;
    assert!(
        most - of_chosen <= NEAR,
        "{chosen} finds {of_chosen:.3}, the best {most:.3}"
    );
    Ok(())
}

#[test]
fn three_timesteps_are_the_default_and_each_activation_comes_once() -> TestResult {
    let place = Place::new();
    let file = place.text("found.json");
    let arguments = [
        "recommend",
        "-m",
        "demo",
        "--size",
        "32",
        "-i",
        "sample:noto-fox",
        "--top",
        "3",
        "--json",
        &file,
    ];
    let ran = run(arguments).good();
    assert!(ran.stderr.contains("t 50, 100, 200 x 1 picture"), "{}", ran.stderr);
    let found: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
    let entries = found["best"].as_array().ok_or("the best")?;
    let ids: std::collections::BTreeSet<&str> = entries.iter().filter_map(|entry| entry["id"].as_str()).collect();
    assert_eq!((entries.len(), ids.len()), (3, 3));
    assert!(
        entries
            .iter()
            .all(|entry| entry["other_steps"].as_array().is_some_and(|steps| steps.len() == 2))
    );
    Ok(())
}

#[test]
fn other_families_are_compared_by_the_same_figures() -> TestResult {
    let place = Place::new();
    for (name, more) in [
        ("tiny-sd15", &["-t", "51", "--size", "128"][..]),
        ("tiny-dit", &["-t", "51"][..]),
        ("tiny-flux", &["-t", "200", "--size", "64"][..]),
        ("tiny-dinov2", &[][..]),
    ] {
        let folder = model(name).display().to_string();
        let file = place.text(&format!("{name}.json"));
        let fixed = ["recommend", "-m", &folder, "-i", "sample:photo-cat", "--json", &file];
        let ran = run(fixed.iter().chain(more)).good();
        let found: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
        let entries = found["best"].as_array().ok_or("the best")?;
        assert!(!entries.is_empty(), "{name}");
        let is_encoder = name == "tiny-dinov2";
        assert_eq!(found["plan"]["is_encoder"].as_bool(), Some(is_encoder), "{name}");
        assert_eq!(
            ran.stdout.contains("An image encoder has neither timestep nor noise"),
            is_encoder,
            "{name}"
        );
        for entry in entries {
            assert_eq!(
                entry["figures"]["nsr_low_passed"].is_null(),
                is_encoder,
                "{name}: {entry}"
            );
            let command = entry["command"].as_str().ok_or("a command")?;
            assert_eq!(command.contains(" --t "), !is_encoder, "{command}");
        }
    }
    Ok(())
}

#[test]
fn what_cannot_be_compared_is_refused_before_weights_are_read() {
    let place = Place::new();
    let one = ["recommend", "-m", "demo", "-i", "sample:noto-cat-face"];
    let refused = |more: &[&str], code: i32, words: &[&str]| {
        run(one.iter().chain(more)).refused(code, words);
    };
    let pairs = place.write("pairs.json", r#"[{"source": [1, 1], "target": [2, 2]}]"#);
    let outside = place.write("outside.json", r#"[{"source": [1, 1], "target": [99999, 2]}]"#);
    refused(&["--pairs", &pairs], 2, &["first two pictures", "1 is given"]);
    refused(
        &["sample:noto-fox", "--pairs", &outside],
        2,
        &["outside.json", "outside of its picture"],
    );
    refused(&["-t", "5000"], 2, &["outside the model's schedule"]);
    refused(&["--top", "0"], 2, &["at least 1"]);
    refused(&["--noise", "noise.safetensors"], 2, &["--noise", "--seed"]);
    refused(
        &["-l", "b11-attn-map"],
        2,
        &["is an attention map", "recommend compares feature maps"],
    );
    refused(&["-o", "found.csv"], 2, &["a folder"]);
    run(["recommend", "-m", "demo"]).refused(2, &["--image"]);
    let empty = place.path("empty");
    fs::create_dir_all(&empty).expect("a folder");
    run(["recommend", "-m", "demo", "-i", &place.text("empty")]).refused(1, &["holds no pictures"]);
}

use std::fs;

use serde_json::Value;

use super::tensors::{load, picture};
use crate::common::{
    TestResult, model, numbers,
    program::{Place, Ran, run},
};

/// Two activations, on grids of 8 x 8 and 16 x 16 for pictures of 512 x 512.
const IDS: &str = "mid-repeat0-res-out,up-level2-upsampler-out";
const PAIRS: &str = r#"[
    {"source": [430, 40], "target": [400, 60]},
    {"source": [100.5, 300], "target": [130, 280]},
    {"source": [20, 500], "target": [30, 470]}
]"#;

fn rank(place: &Place, pairs: &str, more: &[&str]) -> Ran {
    let file = place.path("pairs.json");
    fs::write(&file, pairs).expect("a file of pairs");
    let tiny = model("tiny-sd15").display().to_string();
    let (source, target) = (picture("analysis", 0), picture("analysis", 2));
    let file = file.display().to_string();
    let fixed = [
        "rank", "--model", &tiny, "--size", "128", "--image", &source, "--image", &target, "--pairs", &file,
    ];
    run(fixed.iter().chain(more))
}

fn as_json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).expect("JSON")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// The scores, computed again from what `extract` writes.
#[test]
fn figures_are_those_of_the_extracted_maps() -> TestResult {
    let place = Place::new();
    let found = as_json(&rank(&place, PAIRS, &["--t", "51", "--activations", IDS, "--json"]).good());
    let tiny = model("tiny-sd15").display().to_string();
    let mut maps = Vec::new();
    for index in [0, 2] {
        let out = place.text("maps.safetensors");
        let image = picture("analysis", index);
        let arguments = [
            "extract",
            "--model",
            &tiny,
            "--t",
            "51",
            "--size",
            "128",
            "--image",
            &image,
            "--activations",
            IDS,
            "--out",
            &out,
        ];
        run(arguments).good();
        maps.push(load(out.as_ref()));
    }
    let pairs: Vec<Value> = serde_json::from_str(PAIRS)?;
    let rows = found["rows"].as_array().ok_or("rows")?;
    assert_eq!(rows.len(), 2);
    for row in rows {
        let id = row["id"].as_str().ok_or("an id")?;
        let (_, channels, side, _) = maps[0][id].dims4()?;
        let cells = side * side;
        let vectors = |map: &candle_core::Tensor| -> Vec<Vec<f64>> {
            let numbers = numbers(map);
            (0..cells)
                .map(|cell| (0..channels).map(|c| numbers[c * cells + cell]).collect())
                .collect()
        };
        let (source, target) = (vectors(&maps[0][id]), vectors(&maps[1][id]));
        let pixels = 512.0 / side as f64;
        let mut distances = Vec::new();
        for pair in &pairs {
            let cell = |at: &Value| ((number(at) + 0.5) / pixels) as usize;
            let query = &source[cell(&pair["source"][1]) * side + cell(&pair["source"][0])];
            let cosine = |other: &[f64]| {
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                dot(query, other) / (dot(query, query) * dot(other, other)).sqrt()
            };
            let best = (0..cells)
                .max_by(|a, b| cosine(&target[*a]).total_cmp(&cosine(&target[*b])))
                .ok_or("cells")?;
            let centre = |cell: usize| (cell as f64 + 0.5) * pixels - 0.5;
            let (x, y) = (number(&pair["target"][0]), number(&pair["target"][1]));
            distances.push((centre(best % side) - x).hypot(centre(best / side) - y));
        }
        let share = |limit: f64| distances.iter().filter(|far| **far <= limit).count() as f64 / distances.len() as f64;
        let figures = &row["figures"];
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        assert!(
            (number(&figures["mean_distance_px"]) - mean).abs() < 1e-6,
            "{id}: {row}"
        );
        assert_eq!(number(&figures["pck_05"]), share(0.05 * 512.0), "{id}");
        assert_eq!(number(&figures["pck_10"]), share(0.1 * 512.0), "{id}");
        assert_eq!(
            (&row["t"], row["grid"]["height"].as_u64()),
            (&51.into(), Some(side as u64))
        );
    }
    let made = &found["made_by"];
    assert_eq!(made["longer_side_px"], 512);
    assert_eq!(made["pairs"], serde_json::json!([3, 0]));
    assert_eq!(made["options"]["method"], "grid");
    assert!(found["ran"].as_array().is_some_and(|ran| ran.len() == 2));
    let protocol = found["protocol"].as_str().ok_or("a protocol")?;
    assert!(
        protocol.contains("3 pair(s)") && protocol.contains("512 px"),
        "{protocol}"
    );
    Ok(())
}

#[test]
fn several_timesteps_are_one_table_best_first() -> TestResult {
    let place = Place::new();
    let more = ["--t", "51,301,51", "--activations", IDS];
    let table = rank(&place, PAIRS, &[&more[..], &["--csv"]].concat()).good();
    let lines: Vec<Vec<&str>> = table.stdout.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 1 + 2 * 2, "each timestep once: {}", table.stdout);
    assert_eq!(lines[0][..4], ["rank", "t", "activation", "channels"]);
    let place_of = |title: &str| {
        lines[0]
            .iter()
            .position(|other| *other == title)
            .ok_or(title.to_owned())
    };
    let (pck, mean) = (place_of("pck_10")?, place_of("mean_distance_px")?);
    let keys: Vec<(f64, f64)> = lines[1..]
        .iter()
        .map(|line| Ok((-line[pck].parse::<f64>()?, line[mean].parse::<f64>()?)))
        .collect::<Result<_, std::num::ParseFloatError>>()?;
    assert!(keys.windows(2).all(|two| two[0] <= two[1]), "{keys:?}");
    for (t, count) in [("51", 2), ("301", 2)] {
        assert_eq!(lines[1..].iter().filter(|line| line[1] == t).count(), count);
    }
    // The same in words.
    let words = rank(&place, PAIRS, &more).good().stdout;
    assert!(
        words.starts_with("3 pair(s); nearest neighbour by cosine on the grid"),
        "{words}"
    );
    assert_eq!(words.lines().count(), 2 + 4);
    Ok(())
}

#[test]
fn every_feature_map_is_ranked_unless_some_are_named() {
    let place = Place::new();
    let found = as_json(
        &rank(
            &place,
            PAIRS,
            &["--t", "51", "--json", "--method", "dift", "--drop-massive"],
        )
        .good(),
    );
    let rows = found["rows"].as_array().expect("rows");
    let ids: Vec<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
    assert!(ids.len() > 20 && ids.contains(&"unet-out"), "{ids:?}");
    assert!(ids.iter().all(|id| !id.ends_with("map")), "{ids:?}");
    assert_eq!(found["made_by"]["options"]["method"], "dift");
    assert_eq!(found["made_by"]["options"]["drop_massive"], true);
}

#[test]
fn a_list_of_points_is_taken_as_well() {
    let place = Place::new();
    let points = r#"{"source_points": [[430, 40], [100.5, 300], [20, 500]],
                     "target_points": [[400, 60], [130, 280], [30, 470]]}"#;
    let more = ["--t", "51", "--activations", IDS, "--csv"];
    let (pairs, points) = (rank(&place, PAIRS, &more).good(), rank(&place, points, &more).good());
    assert_eq!(pairs.stdout, points.stdout);
}

#[test]
fn bad_pairs_are_refused_in_words() {
    let place = Place::new();
    let more = ["--t", "51", "--activations", IDS];
    for (text, code, words) in [
        ("", 1, vec!["pairs.json", "no JSON"]),
        ("[]", 1, vec!["pairs.json", "empty"]),
        ("{\"source\": 3}", 1, vec!["pairs.json", "no pairs", "source_points"]),
        (
            "[{\"source\": [512, 4], \"target\": [1, 1]}]",
            2,
            vec!["pairs.json", "outside", "512x512"],
        ),
        (
            "[{\"source\": [5, 4], \"target\": [1, -7]}]",
            2,
            vec!["target", "pair 1", "outside"],
        ),
        ("[{\"source\": [5, 4]}]", 1, vec!["no pairs"]),
    ] {
        rank(&place, text, &more).refused(code, &words);
    }
    let missing = rank(
        &place,
        PAIRS,
        &[&more[..], &["--pairs", "/nonexistent/pairs.json"]].concat(),
    );
    missing.refused(2, &["--pairs"]);
    rank(
        &place,
        PAIRS,
        &["--t", "51", "--activations", "mid-vit-block0-self-map"],
    )
    .refused(2, &["attention map"]);
    rank(&place, PAIRS, &["--t", "51,", "--activations", IDS]).refused(2, &["--t", "number from 0"]);
    let other = picture("analysis", 1);
    rank(&place, PAIRS, &[&more[..], &["--image", &other]].concat()).refused(2, &["--image", "3 are given"]);
}

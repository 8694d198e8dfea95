use std::fs;

use serde_json::Value;

use super::tensors::{load, picture};
use crate::common::{
    TestResult, model, numbers,
    program::{Place, Ran, run},
};

/// On a grid of 16 x 16 for pictures of 512 x 512.
const ID: &str = "up-level2-upsampler-out";

fn find(place: &Place, more: &[&str]) -> Ran {
    let tiny = model("tiny-sd15").display().to_string();
    let (source, out) = (picture("analysis", 0), place.text("out"));
    let fixed = [
        "match",
        "--model",
        &tiny,
        "--t",
        "51",
        "--size",
        "128",
        "--source",
        &source,
        "--activations",
        ID,
        "--out",
        &out,
    ];
    run(fixed.iter().chain(more))
}

fn matches(place: &Place) -> Vec<Value> {
    let text = fs::read_to_string(place.path("out/matches.json")).expect("matches.json");
    serde_json::from_str(&text).expect("a list")
}

fn point(value: &Value) -> [f64; 2] {
    serde_json::from_value(value.clone()).expect("a point")
}

fn cosine(value: &Value) -> f64 {
    value["cosine"].as_f64().expect("a cosine")
}

#[test]
fn a_picture_matches_itself_where_it_is() -> TestResult {
    for method in ["grid", "dift"] {
        let place = Place::new();
        let same = picture("analysis", 0);
        // Enlarged features do not change beyond the centre of the outermost cells, so the points stay inside of it.
        let at = [
            "--at",
            "17.5,29.5",
            "--at",
            "101.5,65.5",
            "--at",
            "16,16",
            "--at",
            "495,495",
        ];
        find(&place, &[&["--target", &same, "--method", method][..], &at].concat()).good();
        let matches = matches(&place);
        assert_eq!(matches.len(), 4);
        for found in &matches {
            assert_eq!(
                (&found["source"], &found["target"]),
                (&same.clone().into(), &same.clone().into())
            );
            assert_eq!(found["method"], method);
            assert!((cosine(found) - 1.0).abs() < 1e-5, "{found}");
            let ([x, y], [to_x, to_y]) = (point(&found["xy"]), point(&found["xy_target"]));
            // The centre of the point's cell, which has 32 pixels, or its pixel.
            let reach = if method == "grid" { 16.0 } else { 0.5 };
            assert!(
                (x - to_x).abs() <= reach && (y - to_y).abs() <= reach,
                "{method}: {found}"
            );
            assert_eq!(found["cell"][1], ((x + 0.5) / 32.0) as u64, "{found}");
            assert_eq!(found["cell"][0], ((y + 0.5) / 32.0) as u64, "{found}");
        }
        let names = place.names();
        for index in 0..4 {
            let heat = image::open(place.path(&format!("out/heat-target0-point{index}.png")))?;
            assert_eq!((heat.width(), heat.height()), (512, 512));
        }
        assert_eq!(names.len(), 1 + 4 + 2, "{names:?}");
        let record: Value = serde_json::from_slice(&fs::read(place.path("out/request.json"))?)?;
        assert_eq!(record["method"], method);
        assert_eq!(record["request"]["t"], 51);
    }
    Ok(())
}

/// The grid's answer, computed again from what `extract` writes.
#[test]
fn grid_is_the_best_cosine_of_the_extracted_maps() -> TestResult {
    let place = Place::new();
    let target = picture("analysis", 2);
    find(&place, &["--target", &target, "--at", "430,40"]).good();
    let tiny = model("tiny-sd15").display().to_string();
    let map = |image: &str| -> Result<Vec<Vec<f64>>, candle_core::Error> {
        let out = place.text("map.safetensors");
        run([
            "extract",
            "--model",
            &tiny,
            "--t",
            "51",
            "--size",
            "128",
            "--image",
            image,
            "--activations",
            ID,
            "--out",
            &out,
        ])
        .good();
        let map = &load(out.as_ref())[ID];
        let (_, channels, height, width) = map.dims4()?;
        assert_eq!((height, width), (16, 16));
        let numbers = numbers(map);
        let vector = |cell: usize| (0..channels).map(|c| numbers[c * height * width + cell]).collect();
        Ok((0..height * width).map(vector).collect())
    };
    let (source, target_map) = (map(&picture("analysis", 0))?, map(&target)?);
    let query = &source[16 + 13];
    let cosine_with = |other: &[f64]| {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(query, other) / (dot(query, query) * dot(other, other)).sqrt()
    };
    let scores: Vec<f64> = target_map.iter().map(|vector| cosine_with(vector)).collect();
    let best = (0..scores.len())
        .max_by(|a, b| scores[*a].total_cmp(&scores[*b]))
        .ok_or("cells")?;
    let found = &matches(&place)[0];
    assert_eq!(found["cell"], serde_json::json!([best / 16, best % 16]));
    assert!((cosine(found) - scores[best]).abs() < 1e-5);
    let centre = |cell: usize| (cell as f64 + 0.5) * 32.0 - 0.5;
    assert_eq!(point(&found["xy_target"]), [centre(best % 16), centre(best / 16)]);
    Ok(())
}

/// What is found in one target does not depend on the others, nor on their sizes.
#[test]
fn several_targets() -> TestResult {
    let (one, two) = (picture("analysis", 1), picture("adm-all", 0));
    let together = Place::new();
    let at = ["--at", "20,20", "--at", "150.25,99", "--short-side", "64"];
    let tiny = model("tiny-adm").display().to_string();
    let source = picture("analysis", 0);
    let arguments = |place: &Place, targets: &[&str]| {
        let out = place.text("out");
        let fixed = [
            "match",
            "--model",
            &tiny,
            "--t",
            "20",
            "--source",
            &source,
            "--activations",
            "b4",
            "--out",
            &out,
        ];
        run(fixed.iter().chain(&at).chain(&["--target"]).chain(targets)).good();
        matches(place)
    };
    let all = arguments(&together, &[&one, &two]);
    assert_eq!(all.len(), 4);
    for (index, target) in [&one, &two].into_iter().enumerate() {
        let alone = arguments(&Place::new(), &[target]);
        assert_eq!(alone, all[2 * index..][..2]);
    }
    let names = together.names();
    assert!(
        names.iter().any(|name| name == "out/heat-target1-point1.png"),
        "{names:?}"
    );
    Ok(())
}

#[test]
fn points_and_ids_that_cannot_be_matched() {
    let place = Place::new();
    let target = picture("analysis", 1);
    let refused = |more: &[&str], words: &[&str]| {
        find(&place, &[&["--target", &target][..], more].concat()).refused(2, words);
        assert!(place.names().is_empty());
    };
    for at in ["-1,5", "512,5", "5,512.5", "1e300,1"] {
        refused(&["--at", at], &["outside", "512x512"]);
    }
    for at in ["nan,1", "inf,1", "1", "1,2,3", "a,b", ",", "1e999,1"] {
        refused(&["--at", at], &["--at", "X,Y"]);
    }
    let other = |id: &str, words: &[&str]| {
        let tiny = model("tiny-sd15").display().to_string();
        let out = place.text("out");
        run([
            "match",
            "--model",
            &tiny,
            "--t",
            "51",
            "--source",
            &target,
            "--target",
            &target,
            "--at",
            "5,5",
            "--activations",
            id,
            "--out",
            &out,
        ])
        .refused(2, words);
        assert!(place.names().is_empty());
    };
    other("all", &["one activation"]);
    other("unet-in,unet-out", &["one activation", "2"]);
    other("mid-vit-block0-self-map", &["attention map"]);
    other("mid-vit-block0-selfq", &["mid-vit-block0-self-q"]);
}

/// ADM cuts a square from the middle: what is cut off has no features.
#[test]
fn points_that_the_model_does_not_see() {
    let place = Place::new();
    let wide = picture("adm-all", 0);
    let tiny = model("tiny-adm").display().to_string();
    let arguments = |at: &'static str| {
        let out = place.text("out");
        run([
            "match",
            "--model",
            &tiny,
            "--t",
            "5",
            "--size",
            "32",
            "--source",
            &wide,
            "--target",
            &wide,
            "--at",
            at,
            "--activations",
            "b4",
            "--out",
            &out,
        ])
    };
    arguments("3,50").refused(2, &["does not see", "14.5"]);
    assert!(place.names().is_empty());
    arguments("15,50").good();
    assert_eq!(matches(&place).len(), 1);
}

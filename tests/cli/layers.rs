use std::{fs, io::Read, process::Stdio};

use serde_json::Value;

use crate::common::{
    TestResult, data, model,
    program::{program, run},
};

fn json(arguments: &[&str]) -> Value {
    let ran = run(["layers", "--json"].iter().chain(arguments)).good();
    assert_eq!(ran.stderr, "");
    serde_json::from_str(&ran.stdout).expect("--json prints JSON")
}

/// (id, shape) in the order printed.
fn listed(json: &Value) -> Vec<(String, Vec<usize>)> {
    let entries = json["activations"].as_array().expect("a list");
    let sides = |shape: &Value| serde_json::from_value(shape.clone()).expect("a shape");
    entries
        .iter()
        .map(|entry| (entry["id"].as_str().expect("an id").to_owned(), sides(&entry["shape"])))
        .collect()
}

#[test]
fn json_has_what_the_contract_says() -> TestResult {
    for name in ["demo", "sd15", "sdxl", "adm256"] {
        let json = json(&["--model", name]);
        assert_eq!(json["model"], name);
        let entries = json["activations"].as_array().ok_or("a list")?;
        for (order, entry) in entries.iter().enumerate() {
            let shape: Vec<u64> = serde_json::from_value(entry["shape"].clone())?;
            assert_eq!(entry["order"], order);
            assert_eq!(entry["bytes"], shape.iter().product::<u64>() * 4);
            let is_map = entry["id"].as_str().ok_or("an id")?.ends_with("-map");
            assert_eq!(entry["kind"], if is_map { "attention" } else { "features" });
        }
    }
    Ok(())
}

#[test]
fn published_ids_with_their_published_shapes() -> TestResult {
    for (key, name, size, column) in [
        ("sd15", "sd15", "512", "shape@512"),
        ("sd15", "sd15", "768", "shape@768"),
        ("sd21", "sd21", "768", "shape@768"),
        ("sdxl", "sdxl", "1024", "shape@1024"),
    ] {
        let found = listed(&json(&["--model", key, "--size", size]));
        let table = fs::read_to_string(data(&format!("ids/{name}.shapes.tsv")))?;
        let mut lines = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let header = lines.next().ok_or("a header")?;
        let column = header.iter().position(|name| *name == column).ok_or("the column")?;
        let published: Vec<(String, Vec<usize>)> = lines
            .map(|line| {
                let sides: Result<Vec<usize>, _> = line[column].split(',').map(str::parse).collect();
                sides.map(|sides| (line[0].to_owned(), sides))
            })
            .collect::<Result<_, _>>()?;
        let sorted = |mut list: Vec<(String, Vec<usize>)>| {
            list.sort();
            list
        };
        assert_eq!(sorted(found), sorted(published), "{key} at {size}");
    }
    Ok(())
}

#[test]
fn text_and_json_agree() -> TestResult {
    for name in ["demo", "sd15", "sdxl"] {
        let text = run(["layers", "--model", name]).good().stdout;
        let listed = listed(&json(&["--model", name]));
        assert_eq!(text.lines().count(), listed.len());
        let column = |line: &str, word: &str| line.find(word).map(|at| at + word.len());
        let ends: Vec<_> = text.lines().map(|line| column(line, " B")).collect();
        assert!(
            ends.windows(2).all(|pair| pair[0] == pair[1]),
            "the columns are aligned:\n{text}"
        );
        for (line, (id, shape)) in text.lines().zip(&listed) {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words[1], id);
            let sides: Vec<usize> = words[2..words.len() - 2]
                .iter()
                .filter_map(|word| word.parse().ok())
                .collect();
            assert_eq!(&sides, shape, "{line}");
        }
    }
    Ok(())
}

#[test]
fn a_size_is_width_x_height_and_goes_down_to_a_multiple() {
    let tiny = model("tiny-sd15").display().to_string();
    let at = |size: &str| json(&["--model", &tiny, "--size", size]);
    assert_eq!(at("60")["activations"], at("56x56")["activations"]);
    assert_eq!(listed(&at("60"))[0], ("unet-in".to_owned(), vec![4, 7, 7]));
    assert_eq!(listed(&at("96x64"))[0], ("unet-in".to_owned(), vec![4, 8, 12]));
    assert_eq!(listed(&at("96X64")), listed(&at("96x64")));
}

#[test]
fn the_tiny_models_of_every_family() {
    for (name, second) in [
        ("tiny-sd15", "unet-after-conv-in"),
        ("tiny-sd21", "unet-after-conv-in"),
        ("tiny-sdxl", "unet-after-conv-in"),
        ("tiny-adm", "b1"),
        ("tiny-adm/model.pt", "b1"),
        ("tiny-adm/model.safetensors", "b1"),
    ] {
        let path = model(name).display().to_string();
        assert_eq!(listed(&json(&["--model", &path]))[1].0, second, "{name}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() -> TestResult {
    // More text than a pipe holds.
    let mut child = program()
        .args(["layers", "--json", "--model", "sdxl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut first = [0; 16];
    let mut out = child.stdout.take().ok_or("a pipe")?;
    out.read_exact(&mut first)?;
    drop(out);
    let ended = child.wait_with_output()?;
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8(ended.stderr)?, "");
    Ok(())
}

#[test]
fn models_list_begins_each_line_with_the_key() {
    let ran = run(["models", "list"]).good();
    assert_eq!(ran.stderr, "");
    let keys: Vec<&str> = ran
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        keys,
        [
            "demo",
            "sd15",
            "sd14",
            "sd20",
            "sd21-base",
            "sd21",
            "cleandift-sd21",
            "cleandift-sd15",
            "sdxl",
            "sdxl-turbo",
            "pgv2",
            "pixart-alpha-512",
            "pixart-alpha",
            "pixart-sigma",
            "flux.1-dev",
            "flux.1-schnell",
            "flux.2-klein-4b",
            "sd3-medium",
            "sd3.5-medium",
            "sd3.5-large",
            "z-image-turbo",
            "dit-xl-2-256",
            "dit-xl-2-512",
            "sit-xl-2",
            "repa-xl-2",
            "hunyuandit-1.1",
            "hunyuandit-1.2",
            "deepfloyd-if-i-m",
            "deepfloyd-if-i-l",
            "deepfloyd-if-i-xl",
            "dinov2-small",
            "dinov2-base",
            "dinov2-large",
            "dinov2-giant",
            "dinov2-small-reg",
            "dinov2-base-reg",
            "dinov2-large-reg",
            "dinov2-giant-reg",
            "dinov3-small",
            "dinov3-base",
            "dinov3-large",
            "dinov3-huge-plus",
            "dinov3-7b",
            "mae-base",
            "mae-large",
            "mae-huge",
            "clip-base-16",
            "clip-large-14",
            "clip-large-14-336",
            "siglip-base",
            "siglip-so400m",
            "adm256"
        ]
    );
    for key in keys {
        run(["layers", "--model", key]).good();
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for arguments in [&["--help"][..], &["extract", "--help"], &["--version"]] {
        let ran = run(arguments).good();
        assert!(!ran.stdout.is_empty() && ran.stderr.is_empty());
    }
}

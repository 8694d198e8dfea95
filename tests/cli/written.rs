//! What is written and what is said of it: the line of a result, lines of a log, formats by the name of the output.

use std::{
    fs::{self, File},
    io::Read,
};

use serde_json::Value;
use zip::ZipArchive;

use super::tensors::{adm, load, picture, read_npy, with};
use crate::common::{
    TestResult, data, numbers,
    program::{Place, Ran, run},
};

fn extract(place: &Place, out: &str, more: &[&str]) -> Ran {
    run(with(adm(), more)
        .into_iter()
        .chain(["--out".to_owned(), place.text(out)]))
}

/// The line that says what was written.
fn told(ran: &Ran) -> &str {
    let mut lines = ran.stderr.lines().filter(|line| line.starts_with("featscope: wrote "));
    let line = lines.next().expect("a line");
    assert_eq!(lines.next(), None, "one line: {}", ran.stderr);
    line
}

#[test]
fn a_line_tells_what_was_written() {
    let place = Place::new();
    let ran = extract(&place, "few.safetensors", &["-l", "b2,b19"]).good();
    let line = told(&ran);
    let start = format!(
        "featscope: wrote {}: b2 (1, 32, 32, 32), b19 (1, ",
        place.text("few.safetensors")
    );
    assert!(line.starts_with(&start) && line.ends_with(" s"), "{line}");
    assert_eq!(ran.stdout, "");
    let many = extract(&place, "many", &["-l", "b*"]).good();
    let arrays = fs::read_dir(place.path("many")).expect("a folder").count() - 1;
    assert!(
        told(&many).contains(&format!("many: {arrays} tensors, ")),
        "{}",
        told(&many)
    );

    let file = place.text("few.safetensors");
    let png = place.text("b2.png");
    let ran = run(["pca", &file, "--id", "b2", "--out", &png]).good();
    assert!(told(&ran).contains("b2.png: b2 (32 x 32 cells), "), "{}", told(&ran));
    let shot = place.text("shot.png");
    let ran = run(["shot", "--size", "860x500", "--out", &shot]).good();
    assert!(told(&ran).contains("shot.png: 860 x 500 pixels, "), "{}", told(&ran));
}

#[test]
fn quiet_says_only_what_may_be_wrong() {
    let place = Place::new();
    let ran = extract(&place, "o.safetensors", &["-l", "b2", "--prompt", "a cat", "--quiet"]).good();
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("--prompt is not used"), "{}", ran.stderr);
    let after = extract(&place, "o.safetensors", &["-l", "b2", "-q"]).good();
    let before = ["-q".to_owned()]
        .into_iter()
        .chain(with(adm(), &["-l", "b2", "-o", &place.text("o.npz")]));
    for ran in [after, run(before).good()] {
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    }
}

/// Where no bar is seen, a line for each picture of each pass.
#[test]
fn a_log_has_a_line_for_each_picture() {
    let place = Place::new();
    let other = picture("analysis", 1);
    let more = ["-l", "b2", "--image", &other, "-t", "9"];
    let ran = extract(&place, "o.safetensors", &more).good();
    let lines = |ran: &Ran, doing: &str| -> Vec<String> {
        let lines = ran.stderr.lines().filter(|line| line.contains(doing));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(
        lines(&ran, "extracting picture"),
        [
            "featscope: extracting picture 1 of 2 (image0.png, t 150)",
            "featscope: extracting picture 2 of 2 (image1.png, t 150)",
            "featscope: extracting picture 1 of 2 (image0.png, t 9)",
            "featscope: extracting picture 2 of 2 (image1.png, t 9)",
        ]
    );
    let pairs = place.write("pairs.json", r#"[{"source": [5, 5], "target": [6, 6]}]"#);
    let (a, b) = (picture("analysis", 0), picture("analysis", 1));
    let fixed = [
        "rank", "-m", "demo", "-t", "50,90", "--size", "32", "-l", "b2", "--pairs", &pairs, "-i", &a, &b,
    ];
    let ran = run(fixed.iter().chain(&["--csv"])).good();
    assert_eq!(lines(&ran, "ranking picture").len(), 4, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("rank,t,activation,"), "{}", ran.stdout);
}

/// NumPy's archive, read by another implementation than ours: entries that are .npy files, and the record.
#[test]
fn npz_is_an_archive_of_arrays() -> TestResult {
    let place = Place::new();
    let more = ["-l", "b2,b10-attn-map", "--intermediates", "--store", "f16"];
    extract(&place, "maps.npz", &more).good();
    extract(&place, "maps.safetensors", &more).good();
    let expected = load(&place.path("maps.safetensors"));
    let mut archive = ZipArchive::new(File::open(place.path("maps.npz"))?)?;
    assert_eq!(archive.len(), expected.len() + 1);
    for (name, tensor) in &expected {
        let mut npy = Vec::new();
        archive.by_name(&format!("{name}.npy"))?.read_to_end(&mut npy)?;
        place.write("one.npy", npy);
        let found = read_npy(&place.path("one.npy"));
        assert_eq!(found.dims(), tensor.dims(), "{name}");
        assert_eq!(numbers(&found), numbers(tensor), "{name}");
    }
    let record: Value = serde_json::from_reader(archive.by_name("request.json")?)?;
    assert_eq!(
        (&record["request"]["t"], &record["ran"]["ids"][0]),
        (&150.into(), &"b2".into())
    );

    // It is read back.
    let [npz, safetensors] = ["maps.npz", "maps.safetensors"].map(|name| place.text(name));
    for (file, out) in [(&npz, "a.png"), (&safetensors, "b.png")] {
        run(["pca", file, "--id", "b2", "--out", &place.text(out)]).good();
    }
    assert_eq!(fs::read(place.path("a.png"))?, fs::read(place.path("b.png"))?);
    run(["pca", &npz, "--id", "b3", "--out", &place.text("c.png")]).refused(2, &["no tensor \"b3\"", "b2"]);
    let noise = ["-l", "b2", "--noise", &npz];
    extract(&place, "again.npz", &[&noise[..], &["--seed", "9"]].concat()).good();
    Ok(())
}

#[test]
fn npy_is_one_activation() -> TestResult {
    let place = Place::new();
    extract(&place, "b2.npy", &["-l", "b2"]).good();
    extract(&place, "b2.safetensors", &["-l", "b2"]).good();
    let (found, expected) = (read_npy(&place.path("b2.npy")), load(&place.path("b2.safetensors")));
    assert_eq!(numbers(&found), numbers(&expected["b2"]));
    let before = place.contents();
    extract(&place, "two.npy", &["-l", "b2,b3"]).refused(2, &["two.npy", "one activation, more is", ".npz"]);
    extract(&place, "b3.npy", &["-l", "b3", "--intermediates"]).refused(2, &["more is"]);
    assert_eq!(place.contents(), before);
    Ok(())
}

#[test]
fn other_formats_are_refused_by_name() -> TestResult {
    let place = Place::new();
    for name in ["maps.pt", "maps.h5", "maps.PKL", "maps.json"] {
        let ending = name
            .split_once('.')
            .map(|(_, ending)| ending.to_lowercase())
            .ok_or("an ending")?;
        let ran = extract(&place, name, &["-l", "b2"]);
        ran.refused(
            2,
            &[
                &format!("no .{ending} is written"),
                ".npy, .safetensors or .npz",
                "folder",
            ],
        );
    }
    let file = data("cases/adm-all/expected.safetensors").display().to_string();
    run(["pca", &file, "--id", "b2", "--out", &place.text("b2.jpg")]).refused(2, &["no .jpg", ".png"]);
    let survey = [
        "survey",
        "-m",
        "demo",
        "-i",
        "sample:photo-cat",
        "-o",
        &place.text("survey.csv"),
    ];
    run(survey).refused(2, &["no .csv", "a folder"]);
    assert_eq!(place.names(), [""; 0]);
    // Whoever wants a folder of that name says so, and other dots are in many names.
    extract(&place, "maps.pt/", &["-l", "b2"]).good();
    extract(&place, "maps.v2", &["-l", "b2"]).good();
    assert!(place.path("maps.pt/b2.npy").exists() && place.path("maps.v2/b2.npy").exists());
    Ok(())
}

#[test]
fn features_of_a_picture_are_made_first() {
    let place = Place::new();
    let png = picture("analysis", 0);
    let ran = run(["pca", &png, "--id", "b2", "--out", &place.text("b2.png")]);
    ran.refused(
        1,
        &["image0.png is a PNG picture, not features", "featscope extract --image"],
    );
}

//! What the program says: nothing of it acts on a terminal, nothing is too long, and only what is near is suggested.

use std::fs;

use crate::common::{
    TestResult, data,
    program::{Place, Ran, finish, program, run},
};

/// Most characters of a message, with what stands before it.
const MOST: usize = 2000;

/// A run of the model inside the program on a picture, or on several.
fn extract(place: &Place, pictures: &[&str], more: &[&str]) -> Ran {
    let out = place.text("out.safetensors");
    let mut arguments = vec![
        "extract",
        "--model",
        "demo",
        "--t",
        "90",
        "--size",
        "64",
        "--activations",
        "b1",
    ];
    arguments.extend(["--out", &out, "--image"]);
    arguments.extend(pictures);
    arguments.extend(more);
    run(arguments)
}

#[test]
fn names_act_on_no_terminal() {
    let place = Place::new();
    for name in [
        "no\u{1b}[31m.png",
        "no\u{1b}]0;title\u{7}.png",
        "no\u{9b}2J.png",
        "no\u{202e}gnp.x",
        "no\u{7f}\r.png",
    ] {
        let ran = extract(&place, &[&place.text(name)], &[]).refused(1, &["\\u{"]);
        let acts = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
        assert!(!ran.stderr.contains(acts), "{:?}", ran.stderr);
    }
    // What is wrong with an argument is told by the same way.
    let ran = run(["layers", "--model", "demo", "--no\u{1b}[2J"]).refused(2, &["--no"]);
    assert!(!ran.stderr.contains('\u{1b}'), "{:?}", ran.stderr);
    let ran = run(["layers", "--model", "x\u{1b}[2J"]).refused(1, &["\\u{1b}"]);
    assert!(!ran.stderr.contains('\u{1b}'), "{:?}", ran.stderr);
    // So is the log.
    let picture = place.text("no\u{1b}[31m.png");
    let ran = finish(program().env("RUST_LOG", "trace").args([
        "extract",
        "--model",
        "demo",
        "--image",
        &picture,
        "--t",
        "90",
        "--activations",
        "b1",
        "--out",
        &place.text("o"),
    ]));
    assert!(!ran.stderr.contains('\u{1b}'), "{:?}", ran.stderr);
}

#[test]
fn json_keeps_a_name_and_acts_on_nothing() -> TestResult {
    let place = Place::new();
    // The configuration of a model in a folder whose name would act.
    let name = "m\u{1b}[31m\u{202e}\u{85}";
    let folder = place.copy(&data("models/tiny-sd15"), name);
    let ran = run(["layers", "--model", &folder, "--json"]).good();
    assert!(ran.stdout.is_ascii());
    let listed: serde_json::Value = serde_json::from_str(&ran.stdout)?;
    assert_eq!(listed["model"], folder.as_str());
    Ok(())
}

#[test]
fn no_message_is_longer_than_can_be_read() {
    let place = Place::new();
    for name in ["n".repeat(100_000), "\u{1b}".repeat(5000), "é".repeat(20_000)] {
        for arguments in [
            vec!["layers", "--model", &name],
            vec![
                "extract",
                "--model",
                "demo",
                "--image",
                &name,
                "--t",
                "90",
                "--activations",
                "b1",
                "--out",
                "o",
            ],
            vec![
                "extract",
                "--model",
                "demo",
                "--image",
                "sample:photo-cat",
                "--t",
                "90",
                "--activations",
                &name,
                "--out",
                "o",
            ],
            vec![
                "extract",
                "--preset",
                &name,
                "--image",
                "sample:photo-cat",
                "--out",
                "o",
            ],
            vec!["layers", "--model", "demo", "--size", &name],
        ] {
            let ran = finish(program().current_dir(place.path("")).args(&arguments));
            assert!(matches!(ran.code, Some(1 | 2)), "{:?}: {}", ran.code, ran.stderr);
            let letters = ran.stderr.chars().count();
            assert!(letters <= MOST, "{letters}: {}", ran.stderr);
            // What reads the arguments takes escapes out of those that it refuses itself.
            let is_cut =
                ran.stderr.contains("are left out") || ran.stderr.contains('…') || arguments.contains(&"--size");
            assert!(is_cut, "{}", ran.stderr);
        }
    }
}

#[test]
fn a_word_that_is_no_command_is_told() {
    let place = Place::new();
    let said = |arguments: &[&str]| finish(program().current_dir(place.path("")).args(arguments));
    said(&["extrat", "--model", "demo", "--image", "a.png"]).refused(2, &["\"extrat\"", "did you mean \"extract\"?"]);
    said(&["lsit"]).refused(2, &["\"lsit\" is neither a command nor a file"]);
    said(&["layer"]).refused(2, &["did you mean \"layers\"?"]);
    said(&["Survey"]).refused(2, &["did you mean \"survey\"?"]);
    let ran = said(&["picnic"]).refused(2, &["\"picnic\""]);
    assert!(!ran.stderr.contains("did you mean"), "{}", ran.stderr);
    said(&["--model", "demo", "presests"]).refused(2, &["did you mean \"presets\"?"]);
}

#[test]
fn standard_output_is_no_place() {
    let place = Place::new();
    let picture = "sample:photo-cat";
    for arguments in [
        vec![
            "extract",
            "--model",
            "demo",
            "--image",
            picture,
            "--t",
            "90",
            "--activations",
            "b1",
            "--out",
            "-",
        ],
        vec![
            "survey", "--model", "demo", "--image", picture, "--t", "90", "--out", "-",
        ],
        vec!["shot", "--out", "-"],
    ] {
        let ran = finish(program().current_dir(place.path("")).args(&arguments));
        ran.refused(2, &["standard output", "./-"]);
    }
    assert!(!place.path("-").exists());
}

#[test]
fn what_is_no_picture_says_what_it_is() {
    let place = Place::new();
    let model = data("models/tiny-sd15/unet/diffusion_pytorch_model.safetensors")
        .display()
        .to_string();
    extract(&place, &[&model], &[]).refused(1, &["it is a safetensors file"]);
    let checkpoint = place.write("model.png", b"PK\x03\x04\x14\0\0\0");
    extract(&place, &[&checkpoint], &[]).refused(1, &["a zip archive, such as a PyTorch checkpoint"]);
    let photo = data("bad-pictures/photo.heic").display().to_string();
    extract(&place, &[&photo], &[]).refused(1, &["an HEIC picture", "convert it to PNG"]);
    // The other way round.
    let picture = data("pictures/rgba.png").display().to_string();
    run(["layers", "--model", &picture]).refused(1, &["is a PNG picture, not a model", "--image"]);
    // A word of text stands for nothing.
    let text = place.write("a.png", "hello");
    extract(&place, &[&text], &[]).refused(1, &["it is a text, not a picture"]);
}

#[test]
fn what_a_picture_lacks_is_said_beside_the_result() {
    let place = Place::new();
    let picture = data("pictures/no-end-plain.jpg").display().to_string();
    let ran = extract(&place, &[&picture], &[]).good();
    assert!(ran.stderr.contains("its end marker is missing"), "{}", ran.stderr);
    let picture = data("pictures/moving.gif").display().to_string();
    let ran = extract(&place, &[&picture], &[]).good();
    assert!(
        ran.stderr.contains("it moves: its first frame is read"),
        "{}",
        ran.stderr
    );
}

#[test]
fn names_of_pictures_run_nowhere() -> TestResult {
    let place = Place::new();
    let bytes = fs::read(data("pictures/one.png"))?;
    let names = ["=HYPERLINK(\"http:x\")+.png", "<!--<script>.png", "-1+1.png"];
    for name in names {
        let picture = place.write(name, &bytes);
        let out = place.text("out");
        run([
            "survey",
            "--model",
            "demo",
            "--image",
            &picture,
            "--t",
            "90",
            "--size",
            "64",
            "--noises",
            "1",
            "--activations",
            "b1",
            "--out",
            &out,
        ])
        .good();
        let table = fs::read_to_string(place.path("out/survey.csv"))?;
        let field = table.lines().nth(1).ok_or("a row")?;
        assert!(
            !field.trim_start_matches('"').starts_with(['=', '-', '+', '@']),
            "{field}"
        );
        let page = fs::read_to_string(place.path("out/survey.html"))?;
        assert_eq!(page.matches("<script").count(), 1);
        assert!(!page.contains("<!--"), "only the document's own signs are left");
        assert!(page.contains("http-equiv=\"Content-Security-Policy\""));
    }
    Ok(())
}

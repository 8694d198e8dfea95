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
    ran(&place, &["layers", "--model", "owner/net"]).refused(1, &["owner/net", "unet/config.json", "--control"]);
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

//! `featscope models get`, as a user calls it.

use std::{collections::BTreeMap, fs, path::Path};

use featscope::weights::hub::bytes;

use super::{
    common::program::{Ran, finish, program},
    kit::{NEEDED, assert_whole, folder, model, noise},
    server::{COMMIT, Fault, ID, Server, Stored},
};

fn get(server: &Server, cache: &Path, more: &[&str]) -> Ran {
    models(server, cache, "get", more)
}

fn models(server: &Server, cache: &Path, what: &str, more: &[&str]) -> Ran {
    let mut command = program();
    command
        .args(["models", what])
        .args(more)
        .env("HF_ENDPOINT", &server.endpoint)
        .env("HF_HUB_CACHE", cache)
        .env("HF_HOME", cache.join("home"))
        .env("NO_PROXY", "127.0.0.1");
    for name in [
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_TOKEN_PATH",
        "HF_HUB_OFFLINE",
        "HF_HUB_DISABLE_SYMLINKS",
    ] {
        command.env_remove(name);
    }
    finish(&mut command)
}

#[test]
fn a_model_is_downloaded_once_and_its_folder_printed() {
    let files = model(10_000);
    let server = Server::new(files.clone());
    let cache = tempfile::tempdir().expect("a folder");
    let first = get(&server, cache.path(), &[ID]).good();
    let snapshot = folder(cache.path()).join("snapshots").join(COMMIT);
    assert_eq!(first.stdout, format!("{}\n", snapshot.display()));
    assert!(
        first.stderr.contains("10 files") && first.stderr.contains("to download"),
        "{}",
        first.stderr
    );
    assert_whole(cache.path(), &files);
    let asked = server.gets().len();
    let second = get(&server, cache.path(), &[ID]).good();
    assert_eq!(second.stdout, first.stdout);
    assert!(second.stderr.contains("all in the cache"), "{}", second.stderr);
    assert_eq!(server.gets().len(), asked);

    let half = get(&server, cache.path(), &[ID, "--variant", "fp16", "--revision", COMMIT]).good();
    assert_eq!(half.stdout, first.stdout);
    assert!(snapshot.join("unet/diffusion_pytorch_model.fp16.safetensors").is_file());
}

#[test]
fn a_single_file_is_printed_with_its_name() {
    let server = Server::new(model(1000));
    let cache = tempfile::tempdir().expect("a folder");
    let ran = get(&server, cache.path(), &[ID, "--file", "v1-5-pruned.safetensors"]).good();
    assert_eq!(fs::read(ran.stdout.trim_end()).expect("the file"), noise(8, 700));
    assert!(
        NEEDED
            .iter()
            .all(|path| !folder(cache.path()).join("snapshots").join(COMMIT).join(path).exists())
    );
}

#[test]
fn what_cannot_be_downloaded_is_refused() {
    let server = Server::scripted(BTreeMap::<String, Stored>::new(), |_| {
        Fault::Status(401, vec![("X-Error-Code", "GatedRepo".to_owned())])
    });
    let cache = tempfile::tempdir().expect("a folder");
    for (arguments, status, words) in [
        (&[ID][..], 1, &["gated", "HF_TOKEN", "licence"][..]),
        (&["no/such/name"], 2, &["no/such/name", "OWNER/NAME"]),
        (&[ID, "--variant", "fp8"], 2, &["fp8", "full or fp16"]),
        (&[ID, "--revision", "../x"], 2, &["../x", "revision"]),
        (&["demo"], 2, &["inside the program"]),
        (&["adm256"], 2, &["not on the hub"]),
    ] as [(&[&str], i32, &[&str]); 6]
    {
        get(&server, cache.path(), arguments).refused(status, words);
    }
}

/// Without being asked for, nothing is asked of the hub; what it does not tell of one model hides nothing of another.
#[test]
fn sizes_are_asked_for_and_the_rest_is_known() {
    const SD15: &str = "/api/models/stable-diffusion-v1-5/stable-diffusion-v1-5/";
    let files = model(10_000);
    let server = Server::scripted(files.clone(), |asked| match asked.path.starts_with(SD15) {
        true => Fault::Redirect(format!("/api/models/{ID}/revision/main?blobs=true")),
        false => Fault::None,
    });
    let cache = tempfile::tempdir().expect("a folder");
    let line = |text: &str, key: &str| -> String {
        let mut lines = text.lines();
        let found = lines.find(|line| line.split_whitespace().next() == Some(key));
        found.expect("the key is listed").to_owned()
    };
    let plain = models(&server, cache.path(), "list", &[]).good();
    assert_eq!(server.asked().len(), 0);
    let flux = line(&plain.stdout, "flux.1-dev");
    for words in ["parameters 11.9 B", "download 31.4 GiB", "Non-Commercial", "gated"] {
        assert!(flux.contains(words), "{flux}");
    }
    let sd15 = line(&plain.stdout, "sd15");
    assert!(
        sd15.contains("parameters 860 M; download 4.0 GiB; licence CreativeML OpenRAIL-M"),
        "{sd15}"
    );
    assert!(line(&plain.stdout, "demo").contains("parameters -; download -; licence -"));

    let asked = models(&server, cache.path(), "list", &["--sizes"]).good();
    let sd15 = line(&asked.stdout, "sd15");
    // Those files alone that are needed.
    let needed = NEEDED.iter().map(|path| files[*path].bytes.len() as u64).sum();
    let download = format!("; download {};", bytes(needed));
    assert!(sd15.contains(&download), "{download}: {sd15}");
    assert!(line(&asked.stdout, "flux.1-dev").contains("download 31.4 GiB"));
    assert!(asked.stderr.contains("did not tell the size of"), "{}", asked.stderr);
}

/// Deleting is said before it is done, and takes nothing else.
#[test]
fn a_model_is_deleted_when_it_is_said_twice() {
    let server = Server::new(model(10_000));
    let cache = tempfile::tempdir().expect("a folder");
    get(&server, cache.path(), &[ID]).good();
    let blobs = folder(cache.path()).join("blobs");
    fs::write(blobs.join("0123456789abcdef.incomplete"), "begun").expect("a file");
    let remove = |more: &[&str]| models(&server, cache.path(), "rm", more);
    let place = folder(cache.path()).display().to_string();
    let asked = server.asked().len();
    remove(&[ID]).refused(2, &["11 files of owner/tiny-model", &place, "all programs", "--yes"]);
    remove(&[ID, "--begun", "--yes"]).good();
    let whole = folder(cache.path()).join("snapshots").join(COMMIT);
    assert!(!blobs.join("0123456789abcdef.incomplete").exists() && whole.join("model_index.json").is_file());
    remove(&[ID, "--commit", "0123", "--yes"]).refused(2, &["no commit 0123"]);
    let done = remove(&[ID, "--yes"]).good();
    assert!(done.stderr.contains("deleted 10 files"), "{}", done.stderr);
    assert!(!folder(cache.path()).exists());
    remove(&[ID, "--yes"]).refused(2, &["holds nothing of owner/tiny-model"]);
    remove(&["demo", "--yes"]).refused(2, &["nothing to delete"]);
    remove(&["../x", "--yes"]).refused(2, &["../x"]);
    assert_eq!(server.asked().len(), asked, "nothing is asked of the hub");
}

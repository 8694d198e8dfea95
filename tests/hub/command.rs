//! `featscope models get`, as a user calls it.

use std::{collections::BTreeMap, fs, path::Path};

use super::{
    common::program::{Ran, finish, program},
    kit::{NEEDED, assert_whole, folder, model, noise},
    server::{COMMIT, Fault, ID, Server, Stored},
};

fn get(server: &Server, cache: &Path, more: &[&str]) -> Ran {
    let mut command = program();
    command
        .args(["models", "get"])
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

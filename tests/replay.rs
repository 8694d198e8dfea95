//! Every input that fuzzing found, and those that it begins with, once more: each is read or refused, and nothing breaks.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use targets::TARGETS;

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The names in a folder, sorted; none where there is no folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[test]
fn every_input_is_read_or_refused() {
    let mut broken = Vec::new();
    for (name, target) in TARGETS {
        for kept in ["corpus", "found"] {
            let folder = fuzz().join(kept).join(name);
            for input in names(&folder) {
                let bytes = fs::read(folder.join(&input)).expect("an input");
                if catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
                    broken.push(format!("{kept}/{name}/{input}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "these inputs break their target: {broken:?}");
}

#[test]
fn every_target_runs_and_begins_with_inputs() {
    let known: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let programs = names(&fuzz().join("fuzz_targets"));
    let programs: Vec<String> = programs.iter().map(|name| name.replace(".rs", "")).collect();
    assert_eq!(programs, known);
    assert_eq!(names(&fuzz().join("corpus")), known);
    assert!(names(&fuzz().join("found")).iter().all(|name| known.contains(name)));
}

//! What the cache holds, found without a hub; laid out by hand as Python does.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use featscope::weights::hub::{Hub, HubSettings, Repo, RepoPart};
use tempfile::TempDir;

use super::kit::FULL;

const OLD: &str = "00000000000000000000000000000000000000aa";
const NEW: &str = "00000000000000000000000000000000000000bb";
const INDEX: &str = r#"{"unet": ["diffusers", "U"], "vae": ["diffusers", "V"], "scheduler": ["diffusers", "S"],
    "text_encoder": ["transformers", "T"], "text_encoder_2": [null, null], "safety_checker": ["a", "b"]}"#;
const WHOLE: &[(&str, &str)] = &[
    ("model_index.json", INDEX),
    ("unet/config.json", "{}"),
    ("unet/diffusion_pytorch_model.safetensors", "weights"),
    ("vae/config.json", "{}"),
    ("vae/diffusion_pytorch_model.fp16.safetensors", "weights"),
    ("scheduler/scheduler_config.json", "{}"),
    ("text_encoder/config.json", "{}"),
    ("text_encoder/pytorch_model.bin", "weights"),
];

struct Cache {
    folder: TempDir,
}

impl Cache {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn hub(&self) -> Hub {
        Hub::new(HubSettings {
            offline: true,
            ..HubSettings::new(self.folder.path())
        })
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("models--a--b")
    }

    /// A snapshot of which every file lies in the blobs; its age in seconds.
    fn snapshot(&self, commit: &str, files: &[(&str, &str)], age: u64) -> PathBuf {
        let blobs = self.repository().join("blobs");
        fs::create_dir_all(&blobs).expect("blobs");
        let snapshot = self.repository().join("snapshots").join(commit);
        for (path, text) in files {
            let blob = blobs.join(format!("{commit}-{}", path.replace('/', "-")));
            fs::write(&blob, text).expect("a blob");
            let pointer = snapshot.join(path);
            fs::create_dir_all(pointer.parent().expect("a folder")).expect("a folder");
            #[cfg(unix)]
            std::os::unix::fs::symlink(&blob, &pointer).expect("a link");
            #[cfg(not(unix))]
            fs::copy(&blob, &pointer).expect("a copy");
        }
        set_age(&snapshot, age);
        snapshot
    }

    fn reference(&self, revision: &str, commit: &str) {
        let path = self.repository().join("refs").join(revision);
        fs::create_dir_all(path.parent().expect("refs")).expect("refs");
        fs::write(path, commit).expect("a ref");
    }

    fn local(&self) -> Option<PathBuf> {
        self.hub().local(&Repo::new("a/b").expect("a name"), &FULL)
    }
}

fn set_age(folder: &Path, age: u64) {
    let file = fs::File::open(folder).expect("the folder");
    file.set_modified(SystemTime::now() - Duration::from_secs(age))
        .expect("its time");
}

#[test]
fn the_revisions_snapshot_comes_before_the_newest() {
    let cache = Cache::new();
    assert_eq!(cache.local(), None);
    let old = cache.snapshot(OLD, WHOLE, 1000);
    let new = cache.snapshot(NEW, WHOLE, 10);
    assert_eq!(cache.local(), Some(new.clone()));
    cache.reference("main", &format!("{OLD}\n"));
    assert_eq!(cache.local(), Some(old.clone()));
    cache.reference("main", "nonsense");
    assert_eq!(cache.local(), Some(new.clone()));

    let repo = Repo::new("a/b").expect("a name");
    let at = |revision: &str| {
        cache
            .hub()
            .local(&repo.clone().at(revision).expect("a revision"), &FULL)
    };
    assert_eq!(at("v1"), None);
    cache.reference("v1", OLD);
    assert_eq!(at("v1"), Some(old));
    assert_eq!(at(NEW), Some(new));
    assert_eq!(at("00000000000000000000000000000000000000cc"), None);
}

#[test]
fn a_snapshot_counts_only_with_all_that_its_index_names() {
    for (missing, _) in WHOLE.iter().filter(|(path, _)| *path != "model_index.json") {
        let cache = Cache::new();
        let rest: Vec<(&str, &str)> = WHOLE.iter().copied().filter(|(path, _)| path != missing).collect();
        cache.snapshot(NEW, &rest, 0);
        assert_eq!(cache.local(), None, "without {missing}");
        let old = cache.snapshot(OLD, WHOLE, 1000);
        cache.reference("main", NEW);
        assert_eq!(cache.local(), Some(old), "without {missing}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_no_file() {
    let cache = Cache::new();
    cache.snapshot(NEW, WHOLE, 0);
    assert!(cache.local().is_some());
    fs::remove_file(
        cache
            .repository()
            .join("blobs")
            .join(format!("{NEW}-unet-diffusion_pytorch_model.safetensors")),
    )
    .expect("removed");
    assert_eq!(cache.local(), None);
}

#[test]
fn shards_count_when_all_that_the_index_names_are_there() {
    let whole: Vec<(&str, &str)> = WHOLE
        .iter()
        .copied()
        .filter(|(path, _)| *path != "unet/diffusion_pytorch_model.safetensors")
        .chain([
            ("unet/diffusion_pytorch_model-00001-of-00002.safetensors", "weights"),
            ("unet/diffusion_pytorch_model-00002-of-00002.safetensors", "weights"),
        ])
        .collect();
    let with_index = |index: &str| {
        let cache = Cache::new();
        let mut files = whole.clone();
        files.push(("unet/diffusion_pytorch_model.safetensors.index.json", index));
        cache.snapshot(NEW, &files, 0);
        cache.local().is_some()
    };
    let shard = |number: u32| format!("diffusion_pytorch_model-0000{number}-of-00002.safetensors");
    assert!(with_index(&format!(
        r#"{{"weight_map": {{"a": "{}", "b": "{}"}}}}"#,
        shard(1),
        shard(2)
    )));
    assert!(!with_index(&format!(
        r#"{{"weight_map": {{"a": "{}", "b": "{}"}}}}"#,
        shard(1),
        shard(3)
    )));
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"weight_map": {"a": 3}}"#,
        r#"{"weight_map": {"a": "../../x"}}"#,
    ] {
        assert!(!with_index(bad), "{bad}");
    }
}

#[test]
fn a_controlnet_and_a_single_file_are_found() {
    let cache = Cache::new();
    let snapshot = cache.snapshot(
        NEW,
        &[("config.json", "{}"), ("diffusion_pytorch_model.safetensors", "w")],
        0,
    );
    assert_eq!(cache.local(), Some(snapshot.clone()));
    let repo = Repo::new("a/b").expect("a name");
    let file = |path: &str| cache.hub().local(&repo, &RepoPart::File(path.to_owned()));
    assert_eq!(file("config.json"), Some(snapshot));
    assert_eq!(file("other.safetensors"), None);
    assert_eq!(file("../../../models--a--b"), None);
}

#[test]
fn bytes_are_counted_once_and_snapshots_listed_newest_first() {
    let cache = Cache::new();
    let hub = cache.hub();
    let repo = Repo::new("a/b").expect("a name");
    assert_eq!((hub.cached(&repo), hub.cached_repos()), (None, Vec::new()));
    let old = cache.snapshot(OLD, WHOLE, 1000);
    cache.snapshot(NEW, &[("unet/config.json", "{}")], 10);
    cache.reference("main", OLD);
    cache.reference("refs/pr/1", OLD);
    fs::write(cache.repository().join("blobs/aa.incomplete"), [0; 100]).expect("a beginning");
    // No link, as on a system without them.
    fs::write(old.join("README.md"), [0; 10]).expect("a file");
    set_age(&old, 1000);
    for other in ["datasets--a--b", ".locks", "models--..--b", "models--c"] {
        fs::create_dir_all(cache.folder.path().join(other)).expect("a folder");
    }

    let held = hub.cached(&repo).expect("it holds something");
    let blobs: usize = WHOLE.iter().map(|(_, text)| text.len()).sum();
    let copies = if cfg!(unix) { 10 } else { 10 + blobs + 2 };
    assert_eq!((held.bytes, held.bytes_begun), ((blobs + 2 + 100 + copies) as u64, 100));
    let facts: Vec<_> = held
        .snapshots
        .iter()
        .map(|snapshot| {
            (
                snapshot.commit.as_str(),
                snapshot.complete,
                snapshot.files,
                snapshot.revisions.join(" "),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            (NEW, false, 1, String::new()),
            (OLD, true, WHOLE.len() + 1, "main refs/pr/1".to_owned())
        ]
    );
    let all = hub.cached_repos();
    assert_eq!(
        all.iter().map(|held| held.id.as_str()).collect::<Vec<_>>(),
        ["a/b", "c"]
    );
    assert_eq!(all[0], held);
    let text = serde_json::to_string(&held).expect("text");
    assert_eq!(
        serde_json::from_str::<featscope::weights::hub::CachedRepo>(&text).expect("the same"),
        held
    );
}

#[cfg(unix)]
#[test]
fn links_in_circles_do_not_catch_it() {
    let cache = Cache::new();
    let snapshot = cache.snapshot(NEW, WHOLE, 0);
    std::os::unix::fs::symlink(&snapshot, snapshot.join("unet/again")).expect("a link");
    std::os::unix::fs::symlink("itself", snapshot.join("itself")).expect("a link");
    let deep = (0..60).fold(snapshot.clone(), |folder, _| folder.join("x"));
    fs::create_dir_all(deep).expect("folders");
    assert_eq!(cache.local(), Some(snapshot));
    assert_eq!(cache.hub().cached_repos()[0].snapshots[0].files, WHOLE.len());
}

//! What the tests of the hub share.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use featscope::{
    error::Result,
    weights::hub::{DownloadPlan, Hub, HubSettings, Repo, RepoPart, Token, TransferProgress, Variant},
};
use tempfile::TempDir;

use super::server::{COMMIT, ID, Server, Stored, TOKEN};

pub const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
pub const FULL: RepoPart = RepoPart::Model(Variant::Full);

pub fn nothing(_: &TransferProgress) -> Result<()> {
    Ok(())
}

/// Bytes that no compression and no accident makes.
pub fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(count + 8);
    while out.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    out.truncate(count);
    out
}

/// The files of a small model of Stable Diffusion's layout, its U-Net's weights being of this many bytes.
pub fn model(unet_bytes: usize) -> BTreeMap<String, Stored> {
    let small = |text: &str| Stored {
        bytes: text.as_bytes().to_vec(),
        large: false,
    };
    let large = |seed: u64, count: usize| Stored {
        bytes: noise(seed, count),
        large: true,
    };
    let index = r#"{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"], "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "PNDMScheduler"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"], "feature_extractor": [null, null]}"#;
    [
        (".gitattributes", small("*.safetensors filter=lfs\n")),
        ("README.md", small("# tiny\n")),
        ("model_index.json", small(index)),
        ("safety_checker/config.json", small("{}")),
        ("safety_checker/model.safetensors", large(9, 500)),
        (
            "scheduler/scheduler_config.json",
            small(r#"{"num_train_timesteps": 1000}"#),
        ),
        ("text_encoder/config.json", small(r#"{"hidden_size": 8}"#)),
        ("text_encoder/model.safetensors", large(3, 30_000)),
        ("text_encoder/pytorch_model.bin", large(4, 30_000)),
        ("tokenizer/merges.txt", small("#version: 0.2\n")),
        ("tokenizer/vocab.json", small(r#"{"a": 0}"#)),
        ("unet/config.json", small(r#"{"in_channels": 4}"#)),
        (
            "unet/diffusion_pytorch_model.fp16.safetensors",
            large(2, unet_bytes / 2),
        ),
        (UNET, large(1, unet_bytes)),
        ("v1-5-pruned.safetensors", large(8, 700)),
        ("vae/config.json", small(r#"{"latent_channels": 4}"#)),
        ("vae/diffusion_pytorch_model.safetensors", large(5, 20_000)),
    ]
    .map(|(path, file)| (path.to_owned(), file))
    .into()
}

/// The names of what the program needs of it.
pub const NEEDED: [&str; 10] = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "unet/config.json",
    UNET,
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];

pub fn repo() -> Repo {
    Repo::new(ID).expect("a name")
}

/// A hub that asks the server, with a cache in the folder; impatient, as tests are.
pub fn settings(server: &Server, cache: &Path) -> HubSettings {
    HubSettings {
        endpoint: server.endpoint.clone(),
        token: Some(Token::new(TOKEN, "the test").expect("a token")),
        proxy: false,
        stall: Duration::from_secs(5),
        back_off: Duration::from_millis(10),
        margin: 0,
        ..HubSettings::new(cache)
    }
}

/// An empty cache and a hub on it.
pub fn fresh(server: &Server) -> (TempDir, Hub) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hub = Hub::new(settings(server, folder.path()));
    (folder, hub)
}

pub fn plan(hub: &Hub) -> Result<DownloadPlan> {
    hub.plan(&repo(), &FULL, &mut nothing)
}

pub fn get(hub: &Hub) -> Result<PathBuf> {
    hub.fetch(&plan(hub)?, &mut nothing)
}

/// The folder of the repository in a cache.
pub fn folder(cache: &Path) -> PathBuf {
    cache.join("models--owner--tiny-model")
}

pub fn partial(cache: &Path, file: &Stored) -> PathBuf {
    folder(cache)
        .join("blobs")
        .join(format!("{}.incomplete", file.checksum()))
}

/// Every file below a folder, by its path there; links are followed.
pub fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, prefix: &str, out: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{name}/"), out);
            } else {
                out.insert(name, fs::read(entry.path()).expect("a file"));
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(folder, "", &mut out);
    out
}

/// The snapshot holds exactly what the program needs, byte for byte, and nothing half is left.
pub fn assert_whole(cache: &Path, files: &BTreeMap<String, Stored>) {
    let snapshot = folder(cache).join("snapshots").join(COMMIT);
    let held = contents(&snapshot);
    assert_eq!(held.keys().map(String::as_str).collect::<Vec<_>>(), NEEDED);
    for (path, bytes) in &held {
        assert!(*bytes == files[path].bytes, "{path} differs");
    }
    for blob in fs::read_dir(folder(cache).join("blobs")).expect("the blobs").flatten() {
        let name = blob.file_name().into_string().expect("a name");
        assert!(matches!(name.len(), 40 | 64), "{name} is left over");
    }
    assert_eq!(
        fs::read_to_string(folder(cache).join("refs/main")).expect("the ref"),
        COMMIT
    );
}

/// The message of a failure.
pub fn message<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.to_string(),
    }
}

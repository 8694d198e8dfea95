//! Models on this machine: the short names, the ControlNets that are offered, and other repositories in the hub's cache
//! that this program can read.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    FAMILIES,
    download_plan::has_base,
    known::{CONTROL_NETS, known_checkpoint, known_checkpoints, known_family},
};
use crate::{
    error::Result,
    model::family::{Checkpoint, CheckpointLayout, GivenNetworks, KnownCheckpoint, KnownFiles},
    weights::{
        hub::{CachedRepo, DENOISERS, Hub, HubSettings, MODEL_INDEX, Repo, RepoPart, Variant},
        in_cache::local,
        read_json,
    },
};

/// Key that a configuration of transformers has, and none of diffusers.
const OF_TRANSFORMERS: &str = "model_type";
/// How diffusers calls a ControlNet in its configuration.
const CONTROL_NET_CLASS: &str = "ControlNetModel";

/// What kind of network an entry of [`LocalModels`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// A model.
    Model,
    /// A ControlNet, to be put beside a model.
    ControlNet,
}

/// A model or ControlNet that is on this machine, or can be downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalModel {
    /// Its short name, or `OWNER/NAME`.
    pub name: String,
    /// What it is.
    pub kind: ModelKind,
    /// Whether it is complete.
    pub here: bool,
    /// Where it lies, if it is here and not inside the program: its folder, or for another U-Net the file.
    #[serde(default, with = "crate::files::names")]
    pub path: Option<PathBuf>,
    /// Bytes of its repository on the disk, what was begun included.
    pub bytes: u64,
    /// What kind of network it is, as provenance calls it; none where that is not known.
    #[serde(default)]
    pub family: Option<String>,
    /// What the hub's cache holds of it; none where nothing.
    #[serde(default)]
    pub held: Option<HeldFiles>,
}

/// What the hub's cache holds of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFiles {
    /// The repository: `OWNER/NAME`.
    pub repository: String,
    /// Its folder.
    #[serde(with = "crate::files::names")]
    pub folder: PathBuf,
    /// Complete files of the newest commit.
    pub files: usize,
    /// Files whose link leads nowhere.
    pub gone: usize,
    /// Files that were begun, and their bytes.
    pub begun: usize,
    /// Bytes of those.
    pub bytes_begun: u64,
}

impl HeldFiles {
    fn of(cached: &CachedRepo) -> Self {
        let newest = cached.snapshots.first();
        Self {
            repository: cached.id.clone(),
            folder: cached.folder.clone(),
            files: newest.map_or(0, |snapshot| snapshot.files),
            gone: newest.map_or(0, |snapshot| snapshot.gone),
            begun: cached.files_begun,
            bytes_begun: cached.bytes_begun,
        }
    }
}

impl LocalModel {
    /// Whether a part of it is here, and not all.
    pub fn is_incomplete(&self) -> bool {
        !self.here && self.held.is_some() && self.bytes > 0
    }

    /// Whether the hub has it.
    pub fn is_on_the_hub(&self) -> bool {
        known_checkpoint(&self.name).is_none_or(|known| known.is_on_the_hub())
    }
}

/// Models and ControlNets with their state on this machine. Plain data.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LocalModels {
    /// The hub's cache; none where the environment names none that makes sense.
    #[serde(default, with = "crate::files::names")]
    pub folder: Option<PathBuf>,
    /// Why nothing can be downloaded, if so.
    pub closed: Option<String>,
    /// Every short name, every ControlNet that is offered, and then what else is here, by name.
    pub models: Vec<LocalModel>,
}

impl LocalModels {
    /// Lists the local models. Reads folders; asks nothing of the network.
    pub fn look(settings: Result<HubSettings>) -> Self {
        let (hub, closed) = match settings {
            Ok(settings) if settings.offline => (
                Some(Hub::new(settings)),
                Some("HF_HUB_OFFLINE is set: nothing is downloaded. Unset it and start anew to allow it.".to_owned()),
            ),
            // Local models need nothing of the hub.
            Ok(settings) => {
                let trouble = settings.trouble.as_ref().map(ToString::to_string);
                (Some(Hub::new(settings)), trouble)
            }
            Err(error) => (None, Some(error.to_string())),
        };
        let mut models: Vec<LocalModel> = known_checkpoints().map(|entry| of_known(hub.as_ref(), entry)).collect();
        let nets = CONTROL_NETS
            .iter()
            .map(|net| of_repository(hub.as_ref(), net.source, net.source, ModelKind::ControlNet));
        models.extend(nets);
        if let Some(hub) = &hub {
            models.extend(others(hub));
        }
        Self {
            folder: hub.map(|hub| hub.settings().cache.clone()),
            closed,
            models,
        }
    }

    /// Finds an entry by its short name or `OWNER/NAME`.
    pub fn find(&self, name: &str) -> Option<&LocalModel> {
        self.models.iter().find(|model| model.name == name)
    }

    /// The ControlNets that are here.
    pub fn control_nets(&self) -> impl Iterator<Item = (&LocalModel, &Path)> {
        let nets = self.models.iter().filter(|model| model.kind == ModelKind::ControlNet);
        nets.filter_map(|net| Some((net, net.path.as_deref()?)))
    }
}

fn of_known(hub: Option<&Hub>, entry: &KnownCheckpoint) -> LocalModel {
    let KnownFiles::DropIn { bases, file } = entry.files else {
        let whole = of_repository(hub, entry.key, entry.source, ModelKind::Model);
        return LocalModel {
            here: whole.here || entry.files == KnownFiles::Embedded,
            family: known_family(entry.key).map(str::to_owned),
            ..whole
        };
    };
    let in_cache = hub.and_then(|hub| {
        let snapshot = local(hub, entry.source, &RepoPart::File(file.to_owned()))?;
        has_base(hub, bases).then(|| snapshot.folder.join(file))
    });
    LocalModel {
        here: in_cache.is_some(),
        path: in_cache,
        family: known_family(entry.key).map(str::to_owned),
        ..of_repository(hub, entry.key, entry.source, ModelKind::Model)
    }
}

fn of_repository(hub: Option<&Hub>, name: &str, source: &str, kind: ModelKind) -> LocalModel {
    let snapshot = hub.and_then(|hub| local(hub, source, &RepoPart::Model(Variant::Full)));
    let repository = snapshot.as_ref().map_or(source, |snapshot| &snapshot.repository);
    let cached = hub.and_then(|hub| hub.cached(&Repo::new(repository).ok()?));
    let path = snapshot.map(|snapshot| snapshot.folder);
    LocalModel {
        name: name.to_owned(),
        kind,
        here: path.is_some(),
        path,
        bytes: cached.as_ref().map_or(0, |cached| cached.bytes),
        family: None,
        held: cached.as_ref().map(HeldFiles::of),
    }
}

/// Other repositories in the cache that this program can read: caches hold models of all kinds.
fn others(hub: &Hub) -> Vec<LocalModel> {
    let whole = RepoPart::Model(Variant::Full);
    // A repository that moved is listed by its short name, whichever of its names is used.
    let used = |source: &str| local(hub, source, &whole).map_or_else(|| source.to_owned(), |held| held.repository);
    let used: Vec<String> = known_checkpoints().map(|entry| used(entry.source)).collect();
    let listed = |id: &str| used.iter().any(|source| source == id) || CONTROL_NETS.iter().any(|net| net.source == id);
    let held = hub.cached_repos().into_iter().filter(|held| !listed(&held.id));
    held.filter_map(|held| {
        let complete = hub.local(&Repo::new(&held.id).ok()?, &RepoPart::Model(Variant::Full));
        let (kind, family) = match &complete {
            Some(folder) => kind_of(folder)?,
            None => (begun_kind(&held)?, None),
        };
        Some(LocalModel {
            kind,
            here: complete.is_some(),
            path: complete,
            bytes: held.bytes,
            family: family.map(str::to_owned),
            held: Some(HeldFiles::of(&held)),
            name: held.id,
        })
    })
    .collect()
}

/// What a repository is that is not complete, as far as its first files tell; none of what is nothing that this program runs.
fn begun_kind(held: &CachedRepo) -> Option<ModelKind> {
    let Some(newest) = held.snapshots.first() else {
        // Of the very first file there is only a beginning.
        return (held.files_begun > 0).then_some(ModelKind::Model);
    };
    let folder = &newest.folder;
    if folder.join(MODEL_INDEX).is_file() || DENOISERS.iter().any(|name| folder.join(name).is_dir()) {
        return Some(ModelKind::Model);
    }
    let config = read_json(&folder.join("config.json")).ok()?;
    let class = config.get("_class_name")?.as_str()?;
    (class == CONTROL_NET_CLASS).then_some(ModelKind::ControlNet)
}

/// What a complete repository is, and its family where it is a model.
fn kind_of(folder: &Path) -> Option<(ModelKind, Option<&'static str>)> {
    let checkpoint = Checkpoint {
        name: folder.display().to_string(),
        layout: CheckpointLayout::Folder(folder.to_owned()),
        given: GivenNetworks::default(),
    };
    // A denoiser's network by itself is no model: in the hub's cache it is a ControlNet, or nothing that this program runs.
    let config = read_json(&folder.join("config.json")).ok();
    let is_whole = folder.join(MODEL_INDEX).is_file()
        || DENOISERS.iter().any(|name| folder.join(name).is_dir())
        || config
            .as_ref()
            .is_some_and(|config| config.get(OF_TRANSFORMERS).is_some());
    let mut families = FAMILIES.iter();
    if let Some(family) = families.find(|family| is_whole && family.recognises(&checkpoint)) {
        return Some((ModelKind::Model, Some(family.key())));
    }
    let config = config?;
    let class = config.get("_class_name")?.as_str()?;
    (class == CONTROL_NET_CLASS).then_some((ModelKind::ControlNet, None))
}

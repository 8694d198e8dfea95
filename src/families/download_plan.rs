//! Downloads of a model: its repositories, and the part of each that is needed.

use serde::{Deserialize, Serialize};

use super::known::known_checkpoint;
use crate::{
    error::{Error, Result},
    model::family::{KnownCheckpoint, KnownFiles},
    weights::{
        hub::{DownloadPlan, Hub, HubWatch, Repo, RepoPart, Variant},
        in_cache::{Snapshot, local},
        moved::todays_name,
    },
};

/// A repository that a model needs, and the part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredFiles {
    /// The repository.
    pub repo: Repo,
    /// What of it.
    pub wanted: RepoPart,
}

/// The repositories of a model by its short name or as `OWNER/NAME`: its own first, at `revision`,
/// and then that of a model that it is put into, where none is on this machine.
///
/// # Errors
///
/// Where the model is inside the program or not on the hub, and where no repository or revision can have such a name.
pub(crate) fn required_files(hub: &Hub, name: &str, revision: &str, variant: Variant) -> Result<Vec<RequiredFiles>> {
    let whole = RepoPart::Model(variant);
    let of_its_own = |source: &str, wanted| {
        Ok::<_, Error>(RequiredFiles {
            repo: Repo::new(source)?.at(revision)?,
            wanted,
        })
    };
    let Some(entry) = known_checkpoint(name) else {
        // A repository that moved is asked for by its new name.
        let source = todays_name(name).unwrap_or_else(|| name.to_owned());
        return Ok(vec![of_its_own(&source, whole)?]);
    };
    match entry.files {
        KnownFiles::Hub => Ok(vec![of_its_own(entry.source, whole)?]),
        KnownFiles::DropIn { bases, file } => {
            let mut all = vec![of_its_own(entry.source, RepoPart::File(file.to_owned()))?];
            if !has_base(hub, bases)
                && let Some(base) = bases.first().and_then(|key| known_checkpoint(key))
            {
                all.push(RequiredFiles {
                    repo: Repo::new(base.source)?,
                    wanted: whole,
                });
            }
            Ok(all)
        }
        KnownFiles::Embedded | KnownFiles::Elsewhere => Err(not_on_the_hub(entry)),
    }
}

/// Whether one of the models that another U-Net can be put into is on this machine.
pub(super) fn has_base(hub: &Hub, bases: &[&str]) -> bool {
    let whole = RepoPart::Model(Variant::Full);
    let mut sources = bases.iter().filter_map(|key| Some(known_checkpoint(key)?.source));
    sources.any(|source| local(hub, source, &whole).is_some())
}

fn not_on_the_hub(entry: &KnownCheckpoint) -> Error {
    Error::usage(match entry.files {
        KnownFiles::Embedded => format!("{} is inside the program: nothing to download", entry.key),
        _ => format!(
            "{} is not on the hub: {}; give the downloaded file as the model",
            entry.key, entry.title
        ),
    })
}

/// One way to download a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadOption {
    /// In which format of numbers.
    pub variant: Variant,
    /// The downloads, repository by repository: the model's own first.
    pub plans: Vec<DownloadPlan>,
}

impl DownloadOption {
    /// Bytes of all files.
    pub fn bytes_total(&self) -> u64 {
        sum(&self.plans, |plan| plan.bytes_total)
    }

    /// Bytes that are still to come over the network.
    pub fn bytes_missing(&self) -> u64 {
        sum(&self.plans, |plan| plan.bytes_missing)
    }

    /// How many files it has.
    pub fn files(&self) -> usize {
        self.plans.iter().map(|plan| plan.files.len()).sum()
    }
}

fn sum(plans: &[DownloadPlan], bytes: impl Fn(&DownloadPlan) -> u64) -> u64 {
    // Plans may come from elsewhere, with any numbers.
    plans.iter().map(bytes).fold(0, u64::saturating_add)
}

/// Asks the hub in which ways a model can be downloaded: in full, and, where that makes a difference, in half precision.
///
/// # Errors
///
/// As [`required_files`] and [`Hub::plan`].
pub(crate) fn download_options(hub: &Hub, name: &str, watch: &mut HubWatch<'_>) -> Result<Vec<DownloadOption>> {
    let mut offers: Vec<DownloadOption> = Vec::new();
    for variant in [Variant::Full, Variant::Fp16] {
        let mut plans = Vec::new();
        for RequiredFiles { repo, wanted } in required_files(hub, name, crate::weights::hub::MAIN, variant)? {
            plans.push(hub.plan(&repo, &wanted, watch)?);
        }
        // A repository that lacks a variant gives what it has.
        if offers.iter().all(|offer| offer.plans != plans) {
            offers.push(DownloadOption { variant, plans });
        }
    }
    Ok(offers)
}

/// The complete snapshot that a cache holds of a model, by its short name or as `OWNER/NAME`, under a name that its
/// repository no longer has.
pub(crate) fn cached_under_old_name(hub: &Hub, model: &str) -> Option<Snapshot> {
    let source = known_checkpoint(model).map_or(model, |entry| entry.source);
    let found = local(hub, source, &RepoPart::Model(Variant::Full))?;
    todays_name(&found.repository).map(|_| found)
}

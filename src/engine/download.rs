//! What the downloader is asked and tells: plain data.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ids::TaskKind;
use crate::{
    families::{download_plan::DownloadOption, inventory::LocalModels},
    weights::hub::{Removal, RemovalScope, Repo, TransferProgress},
};

/// Asked of the downloader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum HubRequest {
    /// Which models are on this machine? Asks nothing of the network.
    Look,
    /// In which ways can a model be downloaded, and how much is that? Asks the hub.
    Plan {
        /// Chosen by the sender; events name it.
        job: u64,
        /// A short name, or `OWNER/NAME`.
        name: String,
    },
    /// Downloads what is missing; these wait for each other.
    Download {
        /// Chosen by the sender; events name it.
        job: u64,
        /// One of those that [`HubEvent::Planned`] brought.
        offer: Box<DownloadOption>,
    },
    /// What would deleting a model delete? Asks nothing of the network.
    PlanRemoval {
        /// Chosen by the sender; events name it.
        job: u64,
        /// The repository.
        repo: Repo,
        /// How much of it.
        scope: RemovalScope,
    },
    /// Deletes what [`HubEvent::Removable`] named.
    Remove {
        /// Chosen by the sender; events name it.
        job: u64,
        /// What.
        removal: Box<Removal>,
    },
    /// Ends a plan or a download, or takes it out of the queue. What has been downloaded stays.
    Cancel {
        /// The job.
        job: u64,
    },
}

impl HubRequest {
    /// The kind of work this is.
    pub fn task(&self) -> TaskKind {
        match self {
            Self::Look => TaskKind::Shelf,
            Self::Plan { job, .. }
            | Self::Download { job, .. }
            | Self::PlanRemoval { job, .. }
            | Self::Remove { job, .. }
            | Self::Cancel { job } => TaskKind::Download { job: *job },
        }
    }
}

/// Emitted by the downloader. Failures and cancels are [`Event::Failed`](super::Event::Failed), as of every task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum HubEvent {
    /// Which models are on this machine.
    Shelf(Box<LocalModels>),
    /// In which ways a model can be downloaded; at least one.
    Planned {
        /// The job.
        job: u64,
        /// The ways, the full one first.
        offers: Vec<DownloadOption>,
    },
    /// How far a download is, at most ten times a second.
    Progress {
        /// The job.
        job: u64,
        /// How far.
        progress: Box<DownloadProgress>,
    },
    /// A download is complete.
    Done {
        /// The job.
        job: u64,
        /// The folder of the model's own repository.
        #[serde(with = "crate::files::names")]
        folder: PathBuf,
    },
    /// What deleting a model would delete.
    Removable {
        /// The job.
        job: u64,
        /// What.
        removal: Box<Removal>,
    },
    /// It is deleted.
    Removed {
        /// The job.
        job: u64,
        /// Bytes that are free now.
        bytes: u64,
    },
}

/// How far a download of one or several repositories is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DownloadProgress {
    /// Files and bytes, summed over the repositories.
    pub progress: TransferProgress,
    /// Bytes that came in a second, over the last few; none as long as that cannot be said.
    pub bytes_per_sec: Option<f64>,
}

//! What the window knows of models that are here or could be downloaded: plain data, which `apply` changes.

use crate::{
    engine::DownloadProgress,
    families::{download_plan::DownloadOption, inventory::LocalModels, known::known_checkpoint},
    weights::hub::Repo,
};

/// What the window knows of models that are here or could be downloaded.
#[derive(Debug, Default)]
pub struct Downloads {
    /// What is on this machine; none before the first look.
    pub shelf: Option<LocalModels>,
    /// Downloads that were asked for and are not done, in that order.
    pub orders: Vec<Download>,
    /// What is typed as `OWNER/NAME`.
    pub typed: String,
    /// The model that was chosen and could not be read: the next look at the shelf says whether it is because it is not
    /// here.
    pub doubted: Option<String>,
    /// The model that was chosen and is not here: it is read as soon as it is.
    pub awaited: Option<String>,
    /// The entry that is to come into sight.
    pub sought: Option<String>,
    /// How many orders there have been.
    pub begun: u64,
}

/// A download that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Download {
    /// Its job.
    pub job: u64,
    /// A short name, or `OWNER/NAME`.
    pub name: String,
    /// How far it is.
    pub stage: DownloadStage,
}

/// How far a download is.
#[derive(Debug, Clone, PartialEq)]
pub enum DownloadStage {
    /// The hub is asked how much it is.
    Asking,
    /// The user is asked whether, and in which format.
    Offered {
        /// In which ways it can be downloaded; at least one.
        offers: Vec<DownloadOption>,
        /// The one that is chosen.
        chosen: usize,
    },
    /// Another one is downloaded first.
    Waiting,
    /// It is downloaded.
    Arriving(Box<DownloadProgress>),
    /// It was not: why.
    Failed(String),
}

impl DownloadStage {
    /// Whether it is being downloaded, or will be without another word.
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::Waiting | Self::Arriving(_))
    }
}

impl Downloads {
    /// The download of a model.
    pub fn download(&self, name: &str) -> Option<&Download> {
        self.orders.iter().find(|order| order.name == name)
    }

    /// The same, to change it.
    pub fn download_mut(&mut self, name: &str) -> Option<&mut Download> {
        self.orders.iter_mut().find(|order| order.name == name)
    }

    /// The download of a job, to change it.
    pub fn job_mut(&mut self, job: u64) -> Option<&mut Download> {
        self.orders.iter_mut().find(|order| order.job == job)
    }

    /// Downloads under way and those that wait.
    pub fn under_way(&self) -> impl Iterator<Item = &Download> {
        self.orders.iter().filter(|order| order.stage.is_under_way())
    }
}

/// Whether the hub could have a model of this name.
pub fn may_be_on_the_hub(name: &str) -> bool {
    match known_checkpoint(name) {
        Some(entry) => entry.is_on_the_hub(),
        None => name.contains('/') && Repo::new(name).is_ok(),
    }
}

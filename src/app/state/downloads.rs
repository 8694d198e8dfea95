//! What the window knows of models that are here or could be downloaded: plain data, which `apply` changes.

use crate::{
    engine::DownloadProgress,
    families::{download_plan::DownloadOption, inventory::LocalModels, known::known_checkpoint},
    weights::hub::{Removal, Repo},
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
    /// How the table is sorted, and what is searched in it.
    pub sort: ModelSort,
    /// Words that a row must have.
    pub search: String,
    /// The row whose details are shown.
    pub selected: Option<String>,
    /// What is about to be deleted.
    pub removing: Option<RemovalAsked>,
}

/// A column of the table of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelColumn {
    /// Its short name, or `OWNER/NAME`.
    Name,
    /// Its family.
    Family,
    /// Parameters of its denoiser or encoder.
    Parameters,
    /// Bytes of a download of it.
    Size,
    /// The licence of its weights.
    Licence,
    /// Whether the licence has to be accepted on the hub.
    Gated,
    /// What is on this machine.
    Here,
}

impl ModelColumn {
    /// Every column, from left to right.
    pub const ALL: [Self; 7] = [
        Self::Name,
        Self::Family,
        Self::Parameters,
        Self::Size,
        Self::Licence,
        Self::Gated,
        Self::Here,
    ];

    /// What it is called.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Name => "Model",
            Self::Family => "Family",
            Self::Parameters => "Parameters",
            Self::Size => "Download",
            Self::Licence => "Licence",
            Self::Gated => "Gated",
            Self::Here => "On this machine",
        }
    }

    /// What it is, in a sentence.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Name => "The short name, or OWNER/NAME.",
            Self::Family => "The family of architectures.",
            Self::Parameters => "Parameters of denoiser or encoder, without text encoders and autoencoder.",
            Self::Size => "How much a full download is, as far as it is known without asking the hub.",
            Self::Licence => "The licence of the weights.",
            Self::Gated => "Whether the licence has to be accepted on the hub first.",
            Self::Here => "What is downloaded, and what it takes of the disk.",
        }
    }

    /// Whether it holds numbers, which stand at its right end.
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Parameters | Self::Size)
    }
}

/// How the table of models is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelSort {
    /// By a column; by chapters without.
    pub by: Option<ModelColumn>,
    /// The largest first.
    pub descending: bool,
}

impl ModelSort {
    /// What a click on a title makes of it: ascending, descending, and chapters again.
    pub fn clicked(self, column: ModelColumn) -> Self {
        match (self.by == Some(column), self.descending) {
            (false, _) => Self {
                by: Some(column),
                descending: false,
            },
            (true, false) => Self {
                descending: true,
                ..self
            },
            (true, true) => Self::default(),
        }
    }
}

/// A model that is to be deleted, if the user says so again.
#[derive(Debug, Clone, PartialEq)]
pub struct RemovalAsked {
    /// Its job.
    pub job: u64,
    /// The row.
    pub name: String,
    /// What would be deleted; none before that is known.
    pub removal: Option<Removal>,
    /// Whether it is being deleted.
    pub under_way: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_click_on_a_title_brings_the_chapters_back() {
        let once = ModelSort::default().clicked(ModelColumn::Size);
        assert_eq!((once.by, once.descending), (Some(ModelColumn::Size), false));
        let twice = once.clicked(ModelColumn::Size);
        assert_eq!((twice.by, twice.descending), (Some(ModelColumn::Size), true));
        assert_eq!(
            twice.clicked(ModelColumn::Name),
            ModelSort {
                by: Some(ModelColumn::Name),
                descending: false
            }
        );
        assert_eq!(twice.clicked(ModelColumn::Size), ModelSort::default());
    }
}

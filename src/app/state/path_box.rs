//! Paths that are asked for, and what for.

use crate::{
    app::document::pane::PaneKind,
    engine::ImageSlot,
    image::source::PICTURE_ENDINGS,
    io::writers::{file_extensions, in_a_sentence, map_extensions},
};

/// What is typed into the box for paths, and what for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathBox {
    /// What the path is for; closed without.
    pub purpose: Option<PathPurpose>,
    /// The text.
    pub text: String,
}

/// What a path is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathPurpose {
    /// A picture for a slot.
    Picture(ImageSlot),
    /// A folder with a model.
    Model,
    /// A model in one file.
    ModelFile,
    /// A LoRA to put on the model.
    Lora,
    /// A folder with a ControlNet to put beside the model.
    ControlNet,
    /// A ControlNet in one file.
    ControlNetFile,
    /// An embedding for the prompt to name.
    Embedding,
    /// The picture that a ControlNet looks at, by the net's place in the list.
    ControlImage(usize),
    /// A workspace to open.
    OpenWorkspace,
    /// A workspace to write.
    SaveWorkspace,
    /// A PNG of the window.
    Screenshot,
    /// A folder for pictures of all panes.
    ExportPanes,
    /// A folder for a survey.
    SaveSurvey,
    /// A file of this activation of all pictures.
    Extract,
    /// A PNG of PCA colours.
    SavePca(ImageSlot),
    /// A PNG of the heat map over a picture.
    SaveHeat(ImageSlot),
    /// A file of one map.
    SaveMap(ImageSlot),
    /// A page that needs no server.
    SavePage,
    /// A basis of PCA colours.
    SaveBasis,
    /// A basis of PCA colours to show maps in.
    OpenBasis,
    /// Pins and matches as .csv or .json.
    SaveMatches,
    /// What a kind of pane shows.
    SavePane(PaneKind),
    /// Pairs of points that become pins.
    OpenPairs,
    /// Pairs of pins as .json.
    SavePairs,
}

/// What kind of path is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A folder.
    Folder,
    /// A file that is there.
    File {
        /// What such files are called.
        filter: &'static str,
        /// The endings of their names, without the dot.
        endings: Vec<&'static str>,
    },
    /// A file to be written.
    Save {
        /// What such files are called.
        filter: &'static str,
        /// The endings of their names, without the dot.
        endings: Vec<&'static str>,
        /// What it is called most often.
        name: String,
    },
}

impl Wanted {
    fn file(filter: &'static str, endings: &[&'static str]) -> Self {
        Self::File {
            filter,
            endings: endings.to_vec(),
        }
    }

    fn save(filter: &'static str, endings: &[&'static str], name: &str) -> Self {
        Self::Save {
            filter,
            endings: endings.to_vec(),
            name: name.to_owned(),
        }
    }

    /// Tensors, in the format of the first ending unless another is chosen.
    fn tensors(stem: &str, endings: &[&'static str]) -> Self {
        let usual = endings.first().copied().unwrap_or_default();
        Self::save("Tensors", endings, &format!("{stem}.{usual}"))
    }

    /// Whether a file's name in lower case has one of the endings.
    pub fn fits(&self, name: &str) -> bool {
        let (Self::File { endings, .. } | Self::Save { endings, .. }) = self else {
            return false;
        };
        let has = |ending: &&str| name.strip_suffix(*ending).is_some_and(|stem| stem.ends_with('.'));
        endings.iter().any(has)
    }
}

impl PathPurpose {
    /// What kind of path it is.
    pub fn wanted(self) -> Wanted {
        match self {
            Self::Picture(_) | Self::ControlImage(_) => Wanted::file("Pictures", &PICTURE_ENDINGS),
            Self::Model | Self::ControlNet | Self::ExportPanes | Self::SaveSurvey => Wanted::Folder,
            Self::ModelFile => Wanted::file("Models", &["safetensors", "ckpt", "pt"]),
            Self::Lora => Wanted::file("LoRAs", &["safetensors", "pt", "bin"]),
            Self::ControlNetFile => Wanted::file("ControlNets", &["safetensors", "sft", "pth", "pt", "ckpt", "bin"]),
            Self::Embedding => Wanted::file("Embeddings", &["safetensors", "sft", "pt", "bin"]),
            Self::OpenWorkspace => Wanted::file("Workspaces", &["featscope.json", "json"]),
            Self::OpenBasis => Wanted::file("Bases", &["json"]),
            Self::SaveWorkspace => Wanted::save("Workspaces", &["featscope.json"], "workspace.featscope.json"),
            Self::Extract => Wanted::tensors("maps", &file_extensions()),
            Self::SavePage => Wanted::save("Pages", &["html"], "page.html"),
            Self::Screenshot => Wanted::save("PNG", &["png"], "featscope.png"),
            Self::SavePca(_) => Wanted::save("PNG", &["png"], "pca.png"),
            Self::SaveHeat(_) => Wanted::save("PNG", &["png"], "heat.png"),
            Self::SaveMap(_) => Wanted::tensors("map", &map_extensions()),
            Self::SaveBasis => Wanted::save("Bases", &["json"], "basis.json"),
            Self::SavePane(kind) => match kind.facts().save {
                Some(save) => Wanted::save(save.filter, save.extensions, save.file),
                None => Wanted::save("Files", &[], ""),
            },
            Self::OpenPairs => Wanted::file("Pairs", &["json"]),
            Self::SavePairs => Wanted::save("Pairs", &["json"], "pairs.json"),
            Self::SaveMatches => Wanted::save("Tables", &["csv", "json"], "matches.csv"),
        }
    }

    /// What the box is called.
    pub fn title(self) -> String {
        match self {
            Self::Picture(slot) => format!("Open picture {}", slot.name()),
            Self::Model => "Open a model's folder".to_owned(),
            Self::ModelFile => "Open a model's file".to_owned(),
            Self::Lora => "Add a LoRA (.safetensors)".to_owned(),
            Self::ControlNet => "Add a ControlNet's folder".to_owned(),
            Self::ControlNetFile => "Add a ControlNet's file".to_owned(),
            Self::Embedding => "Add an embedding (textual inversion)".to_owned(),
            Self::ControlImage(_) => "Open a control image".to_owned(),
            Self::OpenWorkspace => "Open workspace".to_owned(),
            Self::SaveWorkspace => "Save workspace (.featscope.json)".to_owned(),
            Self::SaveSurvey => "Save survey into a folder".to_owned(),
            Self::Screenshot => "Save a screenshot as PNG".to_owned(),
            Self::ExportPanes => "Export panes into a folder".to_owned(),
            Self::Extract => format!("Extract this activation as {}", in_a_sentence(&file_extensions())),
            Self::SavePca(slot) => format!("Save PCA of {} as PNG", slot.name()),
            Self::SaveHeat(slot) => format!("Save heat map on {} as PNG", slot.name()),
            Self::SaveMap(slot) => {
                let endings = in_a_sentence(&map_extensions());
                format!("Save map of {} as {endings}", slot.name())
            }
            Self::SavePage => "Export page as .html".to_owned(),
            Self::SaveBasis => "Save PCA basis as .json".to_owned(),
            Self::OpenBasis => "Open PCA basis".to_owned(),
            Self::SaveMatches => "Save matches as .csv or .json".to_owned(),
            Self::SavePane(kind) => kind.facts().save.map_or_else(String::new, |save| save.title()),
            Self::OpenPairs => "Open pairs of points (.json)".to_owned(),
            Self::SavePairs => "Save pairs of points as .json".to_owned(),
        }
    }
}

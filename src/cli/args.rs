//! The command line as a whole: the window's arguments, and the commands.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "window")]
use super::shot::{ExportArguments, ShotArguments};
use super::{
    doctor::DoctorArguments,
    extract::ExtractArguments,
    layers::LayersArguments,
    manual::{CompletionsArguments, ManArguments},
    matching::MatchArguments,
    models::ModelsArguments,
    page::PageArguments,
    pca::PcaArguments,
    presets::PresetsArguments,
    ranking::RankArguments,
    recommend::RecommendArguments,
    survey::SurveyArguments,
    values::{MemorySize, text_or_path},
    worker::WorkerArguments,
};

/// Shows what a diffusion model sees: any inner activation, live, on your own picture.
#[derive(Debug, Parser)]
#[command(name = "featscope", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// Without a command the window opens.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What the window opens with.
    #[command(flatten)]
    pub window: WindowArguments,
    /// Say neither how far the work is nor what was written
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// What the window opens with.
#[derive(Debug, Clone, Default, Args)]
pub struct WindowArguments {
    /// Pictures to open, the first as A, the next as B and so on; or a workspace (.featscope.json)
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Model: a zoo key, a folder, a file, or OWNER/NAME in the hub's cache; MODEL+FILE takes the U-Net of another file or folder
    #[arg(long, short, value_name = "M", value_parser = text_or_path())]
    pub model: Option<String>,
    /// How much memory the weights of a network may take at a time, such as 6GiB: a larger network is read block by block in
    /// every pass [default: three fourths of the main memory that is free; on a GPU as much as they are]
    #[arg(long, value_name = "SIZE", value_parser = <MemorySize as FromStr>::from_str)]
    pub weights_memory: Option<MemorySize>,
}

impl Arguments {
    /// What weights may take, where it is said.
    pub fn weights_memory(&self) -> Option<usize> {
        let size = match &self.command {
            Some(Command::Extract(arguments)) => arguments.run.weights_memory,
            Some(Command::Match(arguments)) => arguments.run.weights_memory,
            Some(Command::Page(arguments)) => arguments.run.weights_memory,
            Some(Command::Rank(arguments)) => arguments.run.weights_memory,
            Some(Command::Survey(arguments)) => arguments.run.weights_memory,
            Some(Command::Recommend(arguments)) => arguments.run.weights_memory,
            Some(_) => None,
            None => self.window.weights_memory,
        };
        size.map(|size| size.0)
    }
}

/// The commands that need no window.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List a model's activations: ids, shapes, bytes, in execution order
    Layers(LayersArguments),
    /// Write activations of pictures into a file or a folder
    Extract(ExtractArguments),
    /// Make PCA pictures of extracted activations
    Pca(PcaArguments),
    /// Find in target pictures what corresponds to points of a source picture
    Match(MatchArguments),
    /// Score activations by how well they find marked points again: pairs of a source and a target picture
    Rank(RankArguments),
    /// Measure every activation of pictures: noise, locality, granularity; thumbnails, a table and a page
    Survey(SurveyArguments),
    /// Say which activation at which t to take for these pictures, and why: the best few with their evidence
    Recommend(RecommendArguments),
    /// Write one HTML file in which pictures light up where they are similar to the place pointed at
    Page(PageArguments),
    /// Draw the window without a display, as a PNG
    #[cfg(feature = "window")]
    Shot(ShotArguments),
    /// Write every pane of a workspace as it is shown, and what made it, into a folder
    #[cfg(feature = "window")]
    Export(ExportArguments),
    /// List published settings: what `--preset` takes
    Presets(PresetsArguments),
    /// Say which models there are, and download them
    Models(ModelsArguments),
    /// Say what this machine has to compute and draw with, and check that every device computes what the CPU computes
    Doctor(DoctorArguments),
    /// Print a script that lets a shell complete the arguments
    Completions(CompletionsArguments),
    /// Print a page for `man`
    Man(ManArguments),
    /// What the program starts as its worker.
    #[command(hide = true)]
    Worker(WorkerArguments),
}

//! The window from the command line: opened, and drawn by `featscope shot` and `featscope export`.

use std::{path::PathBuf, time::Instant};

use clap::{Args, ValueEnum};
use egui::Theme;

use super::{
    args::WindowArguments,
    pictures::pictures,
    terminal,
    values::{ExactSize, check_folder_output, place, text_or_path},
};
use crate::{
    app::{self, Action, FigureSettings, LaunchOptions, ShotOptions, WORKSPACE_EXTENSION, action_named, is_workspace},
    error::{Error, Result},
    io::output::check_file,
    render::FigureSize,
    words::did_you_mean,
};

/// What `shot` and `export` share.
#[derive(Debug, Args)]
pub struct DrawArguments {
    /// A workspace (.featscope.json); without it the pictures given, or what a fresh window shows
    #[arg(long, value_name = "FILE")]
    pub workspace: Option<PathBuf>,
    /// Pictures, folders of them or patterns, where no workspace is given: the first becomes A, the next B and so on
    #[arg(
        long,
        short,
        visible_alias = "images",
        value_name = "FILE|DIR",
        num_args = 1..,
        conflicts_with = "workspace"
    )]
    pub image: Vec<PathBuf>,
    /// Model, where the workspace does not name one
    #[arg(long, short, value_name = "M", value_parser = text_or_path())]
    pub model: Option<String>,
    /// Size of the window, W x H points
    #[arg(long, value_name = "WxH", default_value = "1400x900", allow_hyphen_values = true)]
    pub size: ExactSize,
    /// Pixels per point
    #[arg(long, value_name = "S", default_value_t = 1.0, allow_hyphen_values = true)]
    pub scale: f32,
    /// Dark or light
    #[arg(long, value_name = "THEME", default_value = "dark")]
    pub theme: ThemeChoice,
    /// Do something by its name in the menus first, such as "Keys"; may be given several times
    #[arg(long = "do", value_name = "NAME")]
    pub actions: Vec<String>,
}

/// Dark or light.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThemeChoice {
    /// For dark rooms.
    Dark,
    /// For bright rooms.
    Light,
}

/// `featscope shot`.
#[derive(Debug, Args)]
pub struct ShotArguments {
    /// What is drawn.
    #[command(flatten)]
    pub draw: DrawArguments,
    /// The picture
    #[arg(long, short, value_name = "PNG", value_parser = place())]
    pub out: PathBuf,
}

/// `featscope export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// What is drawn.
    #[command(flatten)]
    pub draw: DrawArguments,
    /// Size of each figure: native (the picture's own pixels; 2x or 4x for as many times), working (what the model sees;
    /// working-2x), a width such as 1200px, or shown (cut out of the window, zoom and all)
    #[arg(long, value_name = "SIZE", default_value = "native", value_parser = figure_size)]
    pub figure_size: FigureSizeAsked,
    /// What stands above every figure
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub title: String,
    /// Leave out the colours of scores with the lowest and the highest
    #[arg(long)]
    pub no_colour_bar: bool,
    /// Leave out what made each figure; panes.json and the PNG itself say it all the same
    #[arg(long)]
    pub no_caption: bool,
    /// Folder for a PNG per pane and panes.json
    #[arg(long, short, value_name = "DIR", value_parser = place())]
    pub out: PathBuf,
}

/// How large figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureSizeAsked {
    /// Cut out of the window.
    Shown,
    /// Drawn anew.
    Drawn(FigureSize),
}

/// The size of figures as it is written.
fn figure_size(text: &str) -> Result<FigureSizeAsked, String> {
    let wrong = || {
        format!(
            "\"{text}\" is no size of figures: native, 2x, 4x, working, working-2x, a width such as 1200px, or shown"
        )
    };
    let times = |text: &str| text.strip_suffix('x').and_then(|times| times.parse().ok());
    let size = match text {
        "shown" => return Ok(FigureSizeAsked::Shown),
        "native" => FigureSize::default(),
        "working" => FigureSize::Working { times: 1 },
        text => match (text.strip_prefix("working-"), text.strip_suffix("px")) {
            (Some(text), _) => FigureSize::Working {
                times: times(text).ok_or_else(wrong)?,
            },
            (_, Some(pixels)) => FigureSize::Width {
                pixels: pixels.parse().map_err(|_| wrong())?,
            },
            _ => FigureSize::Picture {
                times: times(text).ok_or_else(wrong)?,
            },
        },
    };
    size.is_sound()
        .then_some(FigureSizeAsked::Drawn(size))
        .ok_or_else(wrong)
}

impl From<&WindowArguments> for LaunchOptions {
    fn from(arguments: &WindowArguments) -> Self {
        Self {
            files: arguments.files.clone(),
            model: arguments.model.clone(),
        }
    }
}

/// Opens the window.
pub fn open(arguments: &WindowArguments) -> Result<()> {
    app::open(&LaunchOptions::from(arguments))
}

/// Draws the window.
pub fn shot(arguments: &ShotArguments) -> Result<()> {
    let started = Instant::now();
    check_file(&arguments.out)?;
    let options = options(&arguments.draw)?;
    let bar = terminal::progress("drawing");
    let warnings = app::shot(&options, &arguments.out, &mut terminal::watch(&bar))?;
    bar.suspend(|| tell(&warnings));
    let [width, height] = options.size.map(|side| side * options.scale);
    terminal::wrote(&arguments.out, &format!("{width} x {height} pixels"), started);
    Ok(())
}

/// Writes every pane.
pub fn export(arguments: &ExportArguments) -> Result<()> {
    let started = Instant::now();
    check_folder_output(&arguments.out)?;
    let options = options(&arguments.draw)?;
    let bar = terminal::progress("drawing");
    let figures = FigureSettings {
        as_shown: arguments.figure_size == FigureSizeAsked::Shown,
        size: match arguments.figure_size {
            FigureSizeAsked::Shown => FigureSize::default(),
            FigureSizeAsked::Drawn(size) => size,
        },
        title: arguments.title.clone(),
        colour_bar: !arguments.no_colour_bar,
        caption: !arguments.no_caption,
    };
    let warnings = app::export_workspace(&options, &figures, &arguments.out, &mut terminal::watch(&bar))?;
    bar.suspend(|| tell(&warnings));
    terminal::wrote(&arguments.out, "the panes and what made them", started);
    Ok(())
}

fn tell(warnings: &[String]) {
    warnings.iter().for_each(|warning| terminal::note(warning));
}

fn options(draw: &DrawArguments) -> Result<ShotOptions> {
    let actions = draw.actions.iter().map(|name| named(name));
    let size = [draw.size.width as f32, draw.size.height as f32];
    if !(draw.scale.is_finite() && draw.scale > 0.0) {
        return Err(Error::usage(format!(
            "pixels per point are a number above 0, found {}",
            draw.scale
        )));
    }
    if let Some(path) = draw.workspace.as_ref().filter(|path| !is_workspace(path)) {
        return Err(Error::usage(format!(
            "the name of a workspace ends in {WORKSPACE_EXTENSION}, found {}: rename it, or give a picture as --image",
            path.display()
        )));
    }
    Ok(ShotOptions {
        files: draw.workspace.iter().cloned().chain(pictures(&draw.image)?).collect(),
        model: draw.model.clone(),
        size,
        scale: draw.scale,
        theme: match draw.theme {
            ThemeChoice::Dark => Theme::Dark,
            ThemeChoice::Light => Theme::Light,
        },
        actions: actions.collect::<Result<_>>()?,
    })
}

/// The action of a name, whatever its case; names of earlier versions are understood.
fn named(name: &str) -> Result<Action> {
    action_named(name).ok_or_else(|| {
        let hint = did_you_mean(name, Action::ALL.iter().map(|action| action.name()));
        Error::usage(format!("nothing in the menus is called \"{name}\"{hint}"))
    })
}

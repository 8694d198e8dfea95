//! The window drawn without a display: a picture of all of it, or of every pane.

use std::{
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use egui::{ColorImage, Theme, ThemePreference};

use super::{frame::paint, offscreen::Offscreen};
use crate::{
    app::{
        document::figure::FigureSettings,
        state::{messages::Level, preferences::Preferences},
        update::{
            action::Action,
            app::{App, LaunchOptions},
            command::Command,
        },
        views::VIEWS,
    },
    engine::ImageSlot,
    error::{Error, Result},
    io::output::{replace_file, write_png},
};

/// What is drawn, and how large.
#[derive(Debug, Clone)]
pub struct ShotOptions {
    /// A workspace, or pictures; none: what a fresh window shows.
    pub files: Vec<PathBuf>,
    /// The model, where no workspace names one.
    pub model: Option<String>,
    /// Width and height in points.
    pub size: [f32; 2],
    /// Pixels per point.
    pub scale: f32,
    /// Dark or light.
    pub theme: Theme,
    /// What is done first.
    pub actions: Vec<Action>,
}

/// Between looks at workers that compute.
const PAUSE: Duration = Duration::from_millis(5);
/// Frames in which panels find their places and folds open: as many for every picture, so that the same workspace
/// gives the same bytes.
const SETTLING_FRAMES: usize = 40;
/// Frames after letters were drawn anew.
const LAST_FRAMES: usize = 2;
/// A window that has told nothing new for so long will not be up to date any more.
const SILENCE: Duration = Duration::from_secs(600);

/// Draws the whole window as a PNG; gives what is not as a workspace says.
///
/// # Errors
///
/// Where the window cannot be drawn, what it is asked to show cannot be computed, `watch` ends it, or the file cannot be written.
pub fn shot(options: &ShotOptions, out: &Path, watch: &mut dyn FnMut(f32) -> Result<()>) -> Result<Vec<String>> {
    let (mut offscreen, mut app) = opened(options)?;
    let warnings = draw(&mut offscreen, &mut app, options, watch)?;
    let picture = offscreen.picture()?;
    let rgb: Vec<u8> = picture
        .pixels()
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .collect();
    let size = [picture.width() as usize, picture.height() as usize];
    replace_file(out, |file| write_png(file, size, &rgb))?;
    Ok(warnings)
}

/// Writes every pane as a figure, and what made it, into a folder; gives what is not as a workspace says.
///
/// # Errors
///
/// Where the window cannot be drawn, what it is asked to show cannot be computed, `watch` ends it, or the folder cannot be written.
pub fn export(
    options: &ShotOptions,
    figures: &FigureSettings,
    out: &Path,
    watch: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<Vec<String>> {
    let (mut offscreen, mut app) = opened(options)?;
    app.state.preferences.figure = figures.clone();
    let warnings = draw(&mut offscreen, &mut app, options, watch)?;
    let picture = offscreen.picture()?;
    let size = [picture.width() as usize, picture.height() as usize];
    let image = ColorImage::from_rgba_unmultiplied(size, picture.as_raw());
    app.write_panes(&image, options.scale, out)?;
    Ok(warnings)
}

fn opened(options: &ShotOptions) -> Result<(Offscreen, App)> {
    let offscreen = Offscreen::new(options.size, options.scale)?;
    let memory = Preferences {
        theme: ThemePreference::from(options.theme),
        ..Preferences::default()
    };
    let arguments = LaunchOptions {
        files: options.files.clone(),
        model: options.model.clone(),
    };
    let mut app = App::new(
        offscreen.context(),
        Some(offscreen.render_state()),
        VIEWS,
        memory,
        &arguments,
    )?;
    app.state.timeless = true;
    Ok((offscreen, app))
}

/// Everything that was asked for, and what was to be done then; gives the warnings that came up on the way.
fn draw(
    offscreen: &mut Offscreen,
    app: &mut App,
    options: &ShotOptions,
    watch: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<Vec<String>> {
    settle(offscreen, app, watch)?;
    // How long a message stands depends on how long the work takes: it is told, not drawn.
    let messages = &mut app.state.messages;
    messages.toasts.clear();
    // On a busy machine a toast may be gone by now; the log has all.
    let warnings = messages.log.iter().filter(|line| line.level == Level::Warning);
    let warnings = warnings.map(|line| line.text.clone()).collect();
    let context = offscreen.context().clone();
    for action in &options.actions {
        app.apply(Command::Act(*action), &context);
        settle(offscreen, app, watch)?;
    }
    offscreen.forget_letters();
    frames(offscreen, app, LAST_FRAMES);
    Ok(warnings)
}

fn frames(offscreen: &mut Offscreen, app: &mut App, count: usize) {
    let context = offscreen.context().clone();
    for _ in 0..count {
        app.update(&context);
        offscreen.frame(Vec::new(), |ui| paint(app, ui));
    }
}

/// Goes on until everything that was asked for is there, or cannot be.
fn settle(offscreen: &mut Offscreen, app: &mut App, watch: &mut dyn FnMut(f32) -> Result<()>) -> Result<()> {
    let context = offscreen.context().clone();
    let mut last_progress = (Instant::now(), 0.0);
    // Whoever asks for a picture of an expensive run wants it run.
    let waits = |app: &App| app.state.needs_run() && app.state.run.running.is_none() && app.state.run.error.is_none();
    while !app.is_settled() || waits(app) {
        watch_errors(app)?;
        let progress = app.state.model.loading.unwrap_or(0.0) + app.state.run.running.unwrap_or(0.0);
        watch(app.state.run.running.unwrap_or(0.0))?;
        if progress != last_progress.1 {
            last_progress = (Instant::now(), progress);
        }
        if last_progress.0.elapsed() > SILENCE {
            return Err(Error::failed(format!(
                "the window waited {} s for {} without progress",
                SILENCE.as_secs(),
                app.awaited().unwrap_or("a run")
            )));
        }
        if waits(app) && !app.state.run_is_cheap() {
            app.apply(Command::Act(Action::Run), &context);
        }
        frames(offscreen, app, 1);
        sleep(PAUSE);
    }
    watch_errors(app)?;
    frames(offscreen, app, SETTLING_FRAMES);
    Ok(())
}

/// What a person would see in the window and act upon.
fn watch_errors(app: &App) -> Result<()> {
    let state = &app.state;
    let of_pictures = ImageSlot::all().find_map(|slot| state.slot(slot).error.clone());
    let first = of_pictures
        .or_else(|| state.model.error.clone())
        .or_else(|| state.run.error.clone())
        .or_else(|| state.view_error.clone())
        .or_else(|| state.recovered.clone())
        .or_else(|| {
            let errors = state.messages.toasts.iter();
            errors
                .filter(|toast| toast.level == Level::Error)
                .map(|toast| toast.text.clone())
                .next()
        });
    match first {
        Some(error) => Err(Error::failed(error)),
        None => Ok(()),
    }
}

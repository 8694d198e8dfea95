//! Opening the window, and what is said where there is none.

use std::{env, io, path::PathBuf, process::Command as Process};

use egui::ViewportBuilder;

use super::icon::icon;
use crate::{
    app::{
        document::workspace::Work,
        state::{messages::Level, preferences::Preferences},
        update::{
            app::{App, LaunchOptions},
            keep::{self, Beginning, NAME, data_folder},
            lost_device::LostDevice,
        },
        views::VIEWS,
    },
    engine::recovered,
    error::{Error, Result},
};

/// What a window is told that is opened again: why, and how often that was.
const REOPENED_BECAUSE: &str = "FEATSCOPE_REOPENED_BECAUSE";
const REOPENED_TIMES: &str = "FEATSCOPE_REOPENED_TIMES";
/// How often the window is opened again after the graphics device was lost.
const MOST_REOPENED: usize = 3;
/// Size of a fresh window, in points.
const FIRST_SIZE: [f32; 2] = [1360.0, 860.0];
const LEAST_SIZE: [f32; 2] = [720.0, 480.0];

/// What Debian and Ubuntu need for a window; software Vulkan serves where there is no graphics card.
const PACKAGES: &str =
    "sudo apt-get install -y libx11-6 libx11-xcb1 libxcursor1 libxi6 libxkbcommon-x11-0 libvulkan1 mesa-vulkan-drivers";

const HEADLESS: &str = "without a window: featscope extract --model demo --image PICTURE --t 100 --activations b11 --out maps.safetensors && \
    featscope pca maps.safetensors --id b11 --out pca.png";

/// Opens the window and stays until it is closed.
///
/// # Errors
///
/// Where there is no display, or no graphics device that draws a window, or the device is lost for good.
pub fn open(arguments: &LaunchOptions) -> Result<()> {
    if let Some(missing) = missing_display() {
        return Err(Error::failed(format!(
            "there is no display to open a window on ({missing}); {HEADLESS}"
        )));
    }
    let lost = LostDevice::default();
    let no_folder = || Error::failed("there is no folder for it: set HOME or XDG_DATA_HOME");
    let beginning = data_folder()
        .ok_or_else(no_folder)
        .and_then(|data| Beginning::within(&data));
    let own = beginning.as_ref().ok().map(|beginning| beginning.place().to_owned());
    let ended = open_once(arguments, &lost, beginning);
    let (why, work) = lost.take();
    // A device that goes makes what draws the window panic, often before anybody is told why.
    let why = why.or(ended.as_ref().err().map(ToString::to_string));
    match (why, work) {
        (Some(why), Some(work)) => open_again(&why, work, own.unwrap_or_else(env::temp_dir)),
        _ => ended,
    }
}

/// Opens the window again in a process of its own, with what was looked at, which it finds in `folder`: after a panic of
/// what draws it, this one cannot.
fn open_again(why: &str, work: Work, folder: PathBuf) -> Result<()> {
    let times: usize = env::var(REOPENED_TIMES)
        .ok()
        .and_then(|times| times.parse().ok())
        .unwrap_or(0);
    let failed = |what: String| {
        Error::failed(format!(
            "the graphics device was lost ({why}); {what}; WGPU_BACKEND=gl or a newer driver may help"
        ))
    };
    if times >= MOST_REOPENED {
        return Err(failed(format!("it was lost {times} times before")));
    }
    let workspace = keep::hand_over(&folder, work)?;
    let again = env::current_exe().and_then(|program| {
        let mut again = Process::new(program);
        again
            .arg(&workspace)
            .env(REOPENED_BECAUSE, why)
            .env(REOPENED_TIMES, (times + 1).to_string());
        replace_by(again)
    });
    match again {
        Ok(()) => Ok(()),
        Err(error) => Err(failed(format!(
            "it cannot be opened again ({error}): what was looked at is in {}",
            workspace.display()
        ))),
    }
}

/// Starts a program in the place of this one: the window that nothing draws any more goes with it.
#[cfg(unix)]
fn replace_by(mut program: Process) -> io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    Err(program.exec())
}

/// Starts a program before this one ends.
#[cfg(not(unix))]
fn replace_by(mut program: Process) -> io::Result<()> {
    program.spawn().map(drop)
}

fn open_once(arguments: &LaunchOptions, lost: &LostDevice, beginning: Result<Beginning>) -> Result<()> {
    let mut viewport = ViewportBuilder::default()
        .with_app_id(NAME)
        .with_title(NAME)
        .with_inner_size(FIRST_SIZE)
        .with_min_inner_size(LEAST_SIZE)
        .with_drag_and_drop(true);
    if let Some(icon) = icon() {
        viewport = viewport.with_icon(icon);
    }
    let mut beginning = beginning;
    let copy = beginning.as_ref().map(Beginning::copy_for_eframe);
    let copy = copy.unwrap_or_else(|error| Err(error.clone())).unwrap_or_else(|error| {
        beginning = Err(error);
        // A name that no file has: eframe keeps nothing.
        PathBuf::new()
    });
    let options = eframe::NativeOptions {
        viewport,
        persistence_path: Some(copy),
        ..Default::default()
    };
    let (arguments, told) = (arguments.clone(), lost.clone());
    // A system library that is missing is met as an error or, in one place, as a panic.
    let ended = recovered(|| {
        eframe::run_native(
            NAME,
            options,
            Box::new(move |creation| {
                let render_state = creation.wgpu_render_state.as_ref();
                if let Some(render_state) = render_state {
                    told.listen(render_state);
                }
                let preferences = beginning
                    .as_ref()
                    .map_or_else(|_| Preferences::default(), |kept| kept.preferences.clone());
                let mut app = App::new(&creation.egui_ctx, render_state, VIEWS, preferences, &arguments)?;
                match beginning {
                    Ok(beginning) => app.keep_work(beginning, &creation.egui_ctx),
                    Err(error) => {
                        let words = format!("Nothing is remembered, and no work is kept for after a crash: {error}");
                        app.state.messages.report(Level::Warning, words);
                    }
                }
                if let Ok(why) = env::var(REOPENED_BECAUSE) {
                    let words = format!("The graphics device was lost ({why}): the window was opened again.");
                    app.state.messages.report(Level::Warning, words);
                }
                app.lost_device = told;
                Ok(Box::new(app))
            }),
        )
    });
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Error::failed(format!("{}: {error}", no_window()))),
        Err(panic) if lost.has_work() => Err(Error::failed(panic)),
        Err(_) => Err(Error::failed(no_window())),
    }
}

fn no_window() -> String {
    format!("the window cannot be opened; on Debian or Ubuntu this installs what it needs: {PACKAGES}; {HEADLESS}")
}

/// Why there can be no window, where that can be known beforehand.
fn missing_display() -> Option<&'static str> {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let unix_desktop = cfg!(all(unix, not(target_os = "macos")));
    (unix_desktop && !set("DISPLAY") && !set("WAYLAND_DISPLAY")).then_some("neither DISPLAY nor WAYLAND_DISPLAY is set")
}

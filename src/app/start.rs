//! Opening the window, and what is said where there is none.

use std::env;

use egui::ViewportBuilder;

use super::App;
use crate::{
    cli::WindowArguments,
    engine::recovered,
    error::{Error, Result},
};

/// Size of a fresh window, in points.
const FIRST_SIZE: [f32; 2] = [1360.0, 860.0];
const LEAST_SIZE: [f32; 2] = [720.0, 480.0];
/// What Debian and Ubuntu need for a window; software Vulkan serves where there is no graphics card.
const PACKAGES: &str =
    "sudo apt-get install -y libx11-6 libx11-xcb1 libxcursor1 libxi6 libxkbcommon-x11-0 libvulkan1 mesa-vulkan-drivers";
const HEADLESS: &str = "without a window: featscope extract --model demo --image PICTURE --t 100 --activations b11 --out maps.safetensors && \
    featscope pca maps.safetensors --id b11 --out pca.png";

/// Opens the window and stays until it is closed.
pub fn open(arguments: &WindowArguments) -> Result<()> {
    if let Some(missing) = missing_display() {
        return Err(Error::failed(format!(
            "there is no display to open a window on ({missing}); {HEADLESS}"
        )));
    }
    let options = eframe::NativeOptions {
        viewport: ViewportBuilder::default()
            .with_app_id("featscope")
            .with_title("featscope")
            .with_inner_size(FIRST_SIZE)
            .with_min_inner_size(LEAST_SIZE)
            .with_drag_and_drop(true),
        ..Default::default()
    };
    let arguments = arguments.clone();
    // A system library that is missing is met as an error or, in one place, as a panic.
    let ended = recovered(|| {
        eframe::run_native(
            "featscope",
            options,
            Box::new(move |context| {
                context.egui_ctx.set_theme(egui::Theme::Dark);
                Ok(Box::new(App::new(context, &arguments)?))
            }),
        )
    });
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Error::failed(format!("{}: {error}", no_window()))),
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

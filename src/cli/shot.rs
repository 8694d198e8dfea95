//! `featscope shot` and `featscope export`.

use egui::Theme;

use super::{
    args::{DrawArguments, ExportArguments, ShotArguments, ThemeChoice},
    terminal,
};
use crate::{
    app::{self, Action, ShotOptions, WORKSPACE_EXTENSION, is_workspace},
    error::{Error, Result},
    io::output::{check_file, check_folder},
    words::did_you_mean,
};

/// Draws the window.
pub fn shot(arguments: &ShotArguments) -> Result<()> {
    check_file(&arguments.out)?;
    let options = options(&arguments.draw)?;
    let bar = terminal::progress("drawing");
    let warnings = app::shot(&options, &arguments.out, &mut terminal::watch(&bar))?;
    bar.suspend(|| tell(&warnings));
    Ok(())
}

/// Writes every pane.
pub fn export(arguments: &ExportArguments) -> Result<()> {
    check_folder(&arguments.out)?;
    let options = options(&arguments.draw)?;
    let bar = terminal::progress("drawing");
    let warnings = app::export_workspace(&options, &arguments.out, &mut terminal::watch(&bar))?;
    bar.suspend(|| tell(&warnings));
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
        files: draw.workspace.iter().chain(&draw.image).cloned().collect(),
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

/// The action of a name, whatever its case.
fn named(name: &str) -> Result<Action> {
    let wanted = name.trim_end_matches('…');
    let same = |action: &&Action| action.name().trim_end_matches('…').eq_ignore_ascii_case(wanted);
    Action::ALL.iter().find(same).copied().ok_or_else(|| {
        let hint = did_you_mean(name, Action::ALL.iter().map(|action| action.name()));
        Error::usage(format!("nothing in the menus is called \"{name}\"{hint}"))
    })
}

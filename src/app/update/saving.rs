//! Writes tables, pictures and folders on threads of their own.

use std::path::{Path, PathBuf};

use egui::{ColorImage, Context};
use serde_json::json;

use super::{
    app::App,
    background::{BackgroundResult, background},
};
use crate::{
    app::{
        document::{layout, pairs::point_pairs, pane::PaneKind},
        export::{
            content::Content,
            matches::{is_json, matches_csv, matches_json},
            panes::{cut, write_panes},
            survey::save_survey,
        },
        state::messages::Level,
    },
    error::Result,
    io::output::{replace_file, write_png},
};

impl App {
    /// Writes the survey on a thread of its own.
    pub(in crate::app) fn save_survey(&mut self, out: PathBuf) {
        let save = save_survey(&self.state, &out);
        let context = self.textures.context().clone();
        background(&self.answer, &context, BackgroundResult::Written, move || {
            save().map(|()| out)
        });
    }

    /// Writes what a kind of pane shows, in the format that the name says.
    pub(in crate::app) fn save_pane(&mut self, kind: PaneKind, path: PathBuf) {
        match self.views.of(kind).content(&self.state, &path) {
            Ok(content) => self.write(path, content),
            Err(error) => self.state.messages.report(Level::of(&error), error.to_string()),
        }
    }

    /// Asks for a picture of the window and writes its panes when it has come.
    pub(in crate::app) fn export_panes(&mut self, out: PathBuf, context: &Context) {
        let write = self.pane_writer(context.pixels_per_point(), &out);
        let (answer, woken) = (self.answer.clone(), context.clone());
        context.request_screenshot(move |image| {
            background(&answer, &woken, BackgroundResult::Written, move || {
                write(&image).map(|()| out)
            });
        });
    }

    /// Asks for a picture of the window and writes it when it has come.
    pub(in crate::app) fn save_screenshot(&self, out: PathBuf, context: &Context) {
        let (answer, woken) = (self.answer.clone(), context.clone());
        context.request_screenshot(move |image| {
            background(&answer, &woken, BackgroundResult::Written, move || {
                let rgb: Vec<u8> = image
                    .pixels
                    .iter()
                    .flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()])
                    .collect();
                replace_file(&out, |file| write_png(file, image.size, &rgb))?;
                Ok(out)
            });
        });
    }

    /// Asks for a picture of the window and copies the pane worked in from it.
    pub(in crate::app) fn copy_pane(&mut self, context: &Context) {
        let first = || layout::first_pane(&self.state.document.layout);
        let rect = self
            .state
            .focused
            .or_else(first)
            .and_then(|tile| self.canvases.rect(tile));
        let Some(rect) = rect else {
            let words = "The pane worked in shows no picture: click one that does.";
            self.state.messages.report(Level::Warning, words);
            return;
        };
        let (answer, woken, scale) = (self.answer.clone(), context.clone(), context.pixels_per_point());
        context.request_screenshot(move |image| {
            background(&answer, &woken, BackgroundResult::Copied, move || {
                let (size, rgb) = cut(&image, rect, scale);
                Ok(ColorImage::from_rgb(size, &rgb))
            });
        });
    }

    /// Writes all panes of a picture of the window.
    ///
    /// # Errors
    ///
    /// Where a pane has nothing to be written yet, or a file cannot be written.
    pub fn write_panes(&self, image: &ColorImage, pixels_per_point: f32, out: &Path) -> Result<()> {
        self.pane_writer(pixels_per_point, out)(image)
    }

    fn pane_writer(
        &self,
        pixels_per_point: f32,
        out: &Path,
    ) -> impl FnOnce(&ColorImage) -> Result<()> + Send + 'static {
        let settings = &self.state.preferences.figure;
        write_panes(&self.state, self.panes_to_write(), settings, pixels_per_point, out)
    }

    /// Writes pins and matches: as a table, or as JSON with what made them.
    pub(in crate::app) fn save_matches(&mut self, path: PathBuf) {
        let content = match is_json(&path) {
            true => Content::json(&matches_json(&self.state)),
            false => Content::Text(matches_csv(&self.state, ',')),
        };
        self.write(path, content);
    }

    /// Writes the pairs of points, as they can be opened again.
    pub(in crate::app) fn save_pairs(&mut self, path: PathBuf) {
        let pairs = point_pairs(&self.state.document);
        self.write(path, Content::json(&json!(pairs)));
    }

    /// Writes a file, and tells when it is there.
    fn write(&self, path: PathBuf, content: Content) {
        let context = self.textures.context().clone();
        background(&self.answer, &context, BackgroundResult::Written, move || {
            replace_file(&path, |file| content.write(file))?;
            Ok(path)
        });
    }
}

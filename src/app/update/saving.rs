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
        document::pairs::point_pairs,
        export::{
            compare::{compared_json, compared_picture, nothing_compared},
            matches::{is_json, matches_csv, matches_json},
            panes::write_panes,
            ranking::{ranking_csv, ranking_json},
            survey::save_survey,
            tables::{Content, content},
        },
        state::{messages::Level, path_box::PathPurpose},
    },
    engine::check_extension,
    error::Result,
    image::png_text::with_text,
    io::output::{METADATA_KEY, replace_file, write_error, write_png},
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
}

impl App {
    /// Writes a strip, a CKA matrix or content shifts, in the format that the name says.
    pub(in crate::app) fn save_comparison(&mut self, purpose: PathPurpose, path: PathBuf) {
        let context = self.textures.context().clone();
        let content = match content(&self.state, purpose, &path) {
            Ok(content) => content,
            Err(error) => {
                self.state.messages.report(Level::of(&error), error.to_string());
                return;
            }
        };
        background(&self.answer, &context, BackgroundResult::Written, move || {
            replace_file(&path, |file| match &content {
                Content::Text(text) => file.write_all(text.as_bytes()).map_err(write_error),
                Content::Png(size, rgb) => write_png(file, *size, rgb),
            })?;
            Ok(path)
        });
    }
}

impl App {
    /// Asks for a picture of the window and writes its panes when it has come.
    pub(in crate::app) fn export_panes(&mut self, out: PathBuf, context: &Context) {
        let write = write_panes(&self.state, &self.canvases, context.pixels_per_point(), &out);
        let (answer, woken) = (self.answer.clone(), context.clone());
        context.request_screenshot(move |image| {
            background(&answer, &woken, BackgroundResult::Written, move || {
                write(&image).map(|()| out)
            });
        });
    }

    /// Writes all panes of a picture of the window.
    pub fn write_panes(&self, image: &ColorImage, pixels_per_point: f32, out: &Path) -> Result<()> {
        write_panes(&self.state, &self.canvases, pixels_per_point, out)(image)
    }

    /// Writes pins and matches: as a table, or as JSON with what made them.
    pub(in crate::app) fn save_matches(&mut self, path: PathBuf) {
        let text = if is_json(&path) {
            format!("{:#}\n", matches_json(&self.state))
        } else {
            matches_csv(&self.state, ',')
        };
        self.write_text(path, text);
    }

    /// Writes the ranking as it is listed: as a table, or as JSON with every prediction and what made them.
    pub(in crate::app) fn save_ranking(&mut self, path: PathBuf) {
        let text = if is_json(&path) {
            ranking_json(&self.state).map(|json| format!("{json:#}\n"))
        } else {
            ranking_csv(&self.state)
        };
        match text {
            Some(text) => self.write_text(path, text),
            None => self.state.messages.report(
                Level::Warning,
                "There is no ranking to save: mark the same places in two pictures, and run the model.",
            ),
        }
    }

    /// Writes the pairs of points, as they can be opened again.
    pub(in crate::app) fn save_pairs(&mut self, path: PathBuf) {
        let pairs = point_pairs(&self.state.document);
        self.write_text(path, format!("{:#}\n", json!(pairs)));
    }

    /// Writes A, B and their difference as a picture, which holds what they are and what made them, or these as JSON.
    pub(in crate::app) fn save_compare(&mut self, path: PathBuf) {
        let context = self.textures.context().clone();
        let made = match &self.state.compare.view {
            Some(view) => compared_json(&self.state, view).map(|json| (view.clone(), json)),
            None => Err(nothing_compared()),
        };
        background(&self.answer, &context, BackgroundResult::Written, move || {
            let (view, json) = made?;
            check_extension(&path, &["png", "json"])?;
            let bytes = match is_json(&path) {
                true => format!("{json:#}\n").into_bytes(),
                false => {
                    let (size, rgb) = compared_picture(&view)?;
                    let mut png = Vec::new();
                    write_png(&mut png, size, &rgb)?;
                    with_text(&png, METADATA_KEY, &json.to_string())
                }
            };
            replace_file(&path, |file| file.write_all(&bytes).map_err(write_error))?;
            Ok(path)
        });
    }

    /// Writes a text file, and tells when it is there.
    pub(in crate::app) fn write_text(&self, path: PathBuf, text: String) {
        let context = self.textures.context().clone();
        background(&self.answer, &context, BackgroundResult::Written, move || {
            replace_file(&path, |temporary| {
                temporary.write_all(text.as_bytes()).map_err(write_error)
            })?;
            Ok(path)
        });
    }
}

//! The box for paths: what is typed, the folder that it leads to, and what is opened or written then.

use std::{fs, path::PathBuf};

use egui::Context;

use super::{
    app::App,
    background::{BackgroundResult, Seen, background},
    command::{BrowseCommand, Command},
};
use crate::{
    app::{
        document::workspace::with_extension,
        state::{
            browser::{Listing, into_folder},
            path_box::{PathBox, PathPurpose, Wanted},
        },
    },
    engine::PictureSource,
    files::names,
};

impl App {
    /// Opens the box for paths.
    pub(in crate::app) fn open_path_box(&mut self, purpose: PathPurpose) {
        self.state.path_box = PathBox {
            purpose: Some(purpose),
            text: String::new(),
        };
    }

    /// Reads the folder that is typed, on a thread of its own.
    pub(in crate::app) fn follow_browser(&mut self, context: &Context) {
        let state = &mut self.state;
        let Some(purpose) = state.path_box.purpose else {
            self.browses = None;
            return;
        };
        if self.browses != Some(purpose) {
            self.browses = Some(purpose);
            // A window that leaves the desktop alone begins in its own folder.
            if let Some(own) = self
                .kept_in
                .as_ref()
                .filter(|_| state.browser.base.as_os_str().is_empty())
            {
                state.browser.base.clone_from(own);
            }
            state.browser.begin(purpose, &state.preferences);
        }
        let (wanted, _) = state.browser.place(&state.path_box.text);
        let browser = &mut state.browser;
        let is_there = browser.listing.as_ref().is_some_and(|listing| listing.folder == wanted);
        if is_there || browser.asked.as_ref() == Some(&wanted) {
            return;
        }
        browser.asked = Some(wanted.clone());
        browser.cursor = None;
        self.answers_awaited += 1;
        background(&self.answer, context, BackgroundResult::Listed, move || {
            Ok(Box::new(Listing::read(wanted)))
        });
    }

    pub(in crate::app) fn on_listing(&mut self, listing: Listing) {
        let state = &mut self.state;
        let browser = &mut state.browser;
        if browser.asked.as_ref() != Some(&listing.folder) {
            return;
        }
        browser.asked = None;
        // A folder of old that is gone: what it lay in may be there.
        if let (true, true, Some(above)) = (
            listing.problem.is_some(),
            state.path_box.text.is_empty(),
            listing.folder.parent(),
        ) {
            browser.base = above.to_owned();
        }
        browser.listing = Some(listing);
    }

    pub(in crate::app) fn browse(&mut self, command: BrowseCommand, context: &Context) {
        let state = &mut self.state;
        let Some(purpose) = state.path_box.purpose else { return };
        let browser = &mut state.browser;
        match command {
            BrowseCommand::Cursor(cursor) => browser.cursor = cursor,
            BrowseCommand::Hidden(hidden) => browser.hidden = hidden,
            BrowseCommand::AllFiles(all) => browser.all_files = all,
            BrowseCommand::Use(text) => self.use_typed(purpose, text, context),
            BrowseCommand::KeepFile => browser.overwrites = None,
            BrowseCommand::Overwrite => {
                if let Some(path) = browser.overwrites.take() {
                    self.use_browsed(purpose, path, context);
                }
            }
        }
    }

    /// Uses what is typed, when it is known what lies there.
    fn use_typed(&mut self, purpose: PathPurpose, text: String, context: &Context) {
        let source = PictureSource::of(&names::path(&text));
        if matches!((purpose, source), (PathPurpose::Picture(_), PictureSource::Sample(_))) {
            self.apply(Command::UsePath(purpose, names::path(&text)), context);
            return;
        }
        let typed = self.state.browser.path(&text);
        let path = match purpose {
            // Workspaces are given their ending.
            PathPurpose::SaveWorkspace if !text.ends_with(std::path::is_separator) => with_extension(&typed),
            _ => typed,
        };
        // Without the separator at its end.
        let path: PathBuf = path.components().collect();
        self.answers_awaited += 1;
        background(&self.answer, context, BackgroundResult::Seen, move || {
            let seen = match fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => Seen::Folder,
                Ok(_) => Seen::File,
                Err(_) => Seen::Nothing,
            };
            Ok((purpose, path, seen))
        });
    }

    pub(in crate::app) fn on_seen(&mut self, (purpose, path, seen): (PathPurpose, PathBuf, Seen), context: &Context) {
        // The box may have been closed since, or opened for something else.
        if self.state.path_box.purpose != Some(purpose) {
            return;
        }
        match (purpose.wanted(), seen) {
            (Wanted::File { .. } | Wanted::Save { .. }, Seen::Folder) => self.state.path_box.text = into_folder(&path),
            (Wanted::Save { .. }, Seen::File) => self.state.browser.overwrites = Some(path),
            _ => self.use_browsed(purpose, path, context),
        }
    }

    /// Uses a path, and looks in its folder the next time.
    fn use_browsed(&mut self, purpose: PathPurpose, path: PathBuf, context: &Context) {
        if let Some(folder) = path.parent().filter(|folder| folder.is_absolute()) {
            self.state.browser.base = folder.to_owned();
        }
        self.apply(Command::UsePath(purpose, path), context);
    }
}

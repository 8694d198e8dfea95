//! Answers of short-lived threads, taken into the state.

use std::{path::PathBuf, sync::Arc};

use egui::Context;

use super::{
    app::App,
    background::{BackgroundResult, background},
    command::Command,
};
use crate::{
    analysis::pairs::{PointPair, check_pairs, parse_pairs},
    app::{
        document::{limits::MOST_PAIRS_AS_PINS, pairs::set_pairs, workspace::WorkspaceFile},
        state::messages::Level,
    },
    engine::PictureSource,
    error::Error,
    weights::{TextKind, read_text},
};

impl App {
    pub(in crate::app) fn on_background_result(&mut self, later: BackgroundResult, context: &Context) {
        if let BackgroundResult::Workspace(_)
        | BackgroundResult::Pairs(_)
        | BackgroundResult::Listed(_)
        | BackgroundResult::Seen(_)
        | BackgroundResult::Recoveries(_)
        | BackgroundResult::Discarded(_) = later
        {
            self.answers_awaited -= 1;
        }
        match later {
            BackgroundResult::Path(purpose, path) => self.apply(Command::UsePath(purpose, path), context),
            // What is being typed for the same already is not taken away.
            BackgroundResult::NoDialog(purpose) if self.state.path_box.purpose == Some(purpose) => {}
            // The path can be typed.
            BackgroundResult::NoDialog(purpose) => {
                self.has_no_dialogs = true;
                self.open_path_box(purpose);
            }
            BackgroundResult::Listed(Ok(listing)) => self.on_listing(*listing),
            BackgroundResult::Seen(Ok(seen)) => self.on_seen(seen, context),
            BackgroundResult::Workspace(Ok(opened)) => self.show_workspace(*opened),
            BackgroundResult::Pairs(Ok(pairs)) => self.pin_pairs(&pairs),
            BackgroundResult::Recoveries(Ok(recoveries)) => self.offer(recoveries),
            BackgroundResult::Discarded(Ok(())) => {}
            BackgroundResult::NotKept(words) => self.state.messages.report(Level::Warning, words),
            BackgroundResult::WorkspaceSaved(Ok((path, document))) => {
                self.kept.saved = Some(document);
                self.state.preferences.add_workspace(&path);
                self.state
                    .messages
                    .report(Level::Info, format!("Saved {}", path.display()));
                self.state.workspace_path = Some(path);
            }
            BackgroundResult::Written(Ok(path)) => {
                self.state
                    .messages
                    .report(Level::Info, format!("Saved {}", path.display()));
            }
            BackgroundResult::Copied(Ok(image)) => {
                context.copy_image(image);
                self.state
                    .messages
                    .report(Level::Info, "The pane was copied as a picture.");
            }
            BackgroundResult::Pasted(Ok(path)) => {
                let slot = self.state.focused_slot();
                self.apply(Command::OpenPicture(slot, PictureSource::File(path)), context);
            }
            BackgroundResult::Workspace(Err(error))
            | BackgroundResult::Listed(Err(error))
            | BackgroundResult::Seen(Err(error))
            | BackgroundResult::Pairs(Err(error))
            | BackgroundResult::WorkspaceSaved(Err(error))
            | BackgroundResult::Recoveries(Err(error))
            | BackgroundResult::Discarded(Err(error))
            | BackgroundResult::Written(Err(error))
            | BackgroundResult::Copied(Err(error))
            | BackgroundResult::Pasted(Err(error)) => self.state.messages.report(Level::of(&error), error.to_string()),
        }
    }

    /// Opens a workspace; what is seen stays until it has been read.
    pub(in crate::app) fn open_workspace(&mut self, path: PathBuf) {
        let context = self.textures.context().clone();
        self.answers_awaited += 1;
        background(&self.answer, &context, BackgroundResult::Workspace, move || {
            WorkspaceFile::read(&path).map(Box::new)
        });
    }

    /// Reads pairs of points; what is pinned stays until they are there.
    pub(in crate::app) fn open_pairs(&mut self, path: PathBuf) {
        let context = self.textures.context().clone();
        self.answers_awaited += 1;
        background(&self.answer, &context, BackgroundResult::Pairs, move || {
            let pairs = read_text(&path, TextKind::Pairs).and_then(|text| parse_pairs(&text));
            pairs.map_err(|error| error.context(path.display()))
        });
    }

    /// Marks pairs in both pictures of the ranking, if they are places of these.
    fn pin_pairs(&mut self, pairs: &[PointPair]) {
        let slots = self.state.document.rank.slots;
        let sizes = slots.map(|slot| self.state.slot(slot).picture.as_ref().map(|picture| picture.size));
        let checked = match sizes {
            _ if pairs.len() > MOST_PAIRS_AS_PINS => Err(Error::usage(format!(
                "the file has {} pairs, up to {MOST_PAIRS_AS_PINS} can be pinned: `featscope rank` takes them all",
                pairs.len()
            ))),
            [Some(source), Some(target)] => check_pairs(pairs, [source, target]),
            _ => Err(Error::usage(format!(
                "pairs are of two pictures: open {} and {}",
                slots[0].name(),
                slots[1].name()
            ))),
        };
        match checked {
            Ok(()) => set_pairs(&mut self.state.document, pairs),
            Err(error) => self.state.messages.report(Level::of(&error), error.to_string()),
        }
    }

    /// Writes everything that is looked at.
    pub(in crate::app) fn save_workspace(&mut self, path: PathBuf) {
        let document = Arc::new(self.state.document.clone());
        let context = self.textures.context().clone();
        background(&self.answer, &context, BackgroundResult::WorkspaceSaved, move || {
            let written = WorkspaceFile::holding((*document).clone()).write(&path)?;
            Ok((written, document))
        });
    }
}

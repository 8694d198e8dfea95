//! Unsaved work: kept as it goes, offered at the next start, opened or discarded as the user says.

use std::{path::PathBuf, sync::Arc};

use egui::Context;

use super::{
    app::App,
    background::{BackgroundResult, background},
    command::RecoverCommand,
    keep::{Beginning, Keeper, OTHER_KEYS, Remembered},
};
use crate::{
    app::{
        document::{
            root::Document,
            workspace::{OpenedWorkspace, Work},
        },
        state::{messages::Level, recovery::Recovery},
    },
    engine::ImageSlot,
};

impl App {
    /// From now on what is remembered and worked on outlasts the window; what earlier windows left is looked for.
    pub fn keep_work(&mut self, beginning: Beginning, context: &Context) {
        for note in &beginning.notes {
            self.state.messages.report(Level::Warning, note.clone());
        }
        let (answer, woken) = (self.answer.clone(), context.clone());
        let tell = move |words| {
            // A window that is gone needs no words.
            let _ = answer.send(BackgroundResult::NotKept(words));
            woken.request_repaint();
        };
        match Keeper::start(beginning, Box::new(tell)) {
            Ok(keeper) => {
                let look = keeper.recoveries();
                self.answers_awaited += 1;
                background(&self.answer, context, BackgroundResult::Recoveries, look);
                self.kept.keeper = Some(keeper);
            }
            Err(error) => self.state.messages.report(Level::Warning, error.to_string()),
        }
    }

    /// Hands over what has changed since the last frame: all of it to the window that is opened where the graphics device is
    /// lost, and what is not saved to the next start.
    pub(in crate::app) fn keep_document(&mut self) {
        let (state, kept) = (&self.state, &mut self.kept);
        let same = kept.work.as_ref().is_some_and(|work| {
            *work.document == state.document && work.missing == state.missing && work.saved_as == state.workspace_path
        });
        let work = match kept.work.take() {
            Some(work) if same => work,
            _ => Work {
                document: Arc::new(state.document.clone()),
                missing: state.missing.clone(),
                saved_as: state.workspace_path.clone(),
            },
        };
        let work = kept.work.insert(work);
        if !same {
            self.lost_device.keep(work);
        }
        if !self.touched {
            // Nobody misses what a window begins with.
            kept.saved = Some(Arc::clone(&work.document));
        }
        let is_saved = |saved: &Arc<Document>| Arc::ptr_eq(saved, &work.document) || **saved == *work.document;
        let unsaved = !kept.saved.as_ref().is_some_and(is_saved);
        let Some(keeper) = &kept.keeper else { return };
        if unsaved != kept.is_unsaved || unsaved && !same {
            keeper.keep(unsaved.then(|| work.clone()));
            kept.is_unsaved = unsaved;
        }
        for recovery in kept.taken_over.drain(..) {
            keeper.take_over(recovery);
        }
    }

    /// Hands over what is to be remembered, with what eframe has of its own.
    pub(in crate::app) fn remember(&mut self, storage: &dyn eframe::Storage) {
        let Some(keeper) = &self.kept.keeper else { return };
        let others = OTHER_KEYS
            .into_iter()
            .filter_map(|key| Some((key, storage.get_string(key)?)));
        keeper.remember(Remembered {
            preferences: self.state.preferences.clone(),
            others: others.collect(),
        });
    }

    /// The user closed the window, unless the graphics device was lost: nothing of it is to be offered again.
    pub(in crate::app) fn stop_keeping(&mut self) {
        if let Some(keeper) = &mut self.kept.keeper {
            keeper.end(!self.lost_device.is_gone());
        }
    }

    /// Offers work that was found.
    pub(in crate::app) fn offer(&mut self, mut recoveries: Vec<Recovery>) {
        recoveries.retain(|recovery| !self.kept.opened.contains(&recovery.folder));
        self.state.overlays.recoveries = !recoveries.is_empty();
        self.state.recoveries = recoveries;
    }

    pub(in crate::app) fn recover(&mut self, command: RecoverCommand) {
        let (RecoverCommand::Open(folder) | RecoverCommand::Discard(folder)) = &command;
        let recoveries = &mut self.state.recoveries;
        let Some(place) = recoveries.iter().position(|recovery| recovery.folder == *folder) else {
            return;
        };
        let opens = matches!(command, RecoverCommand::Open(_));
        if opens && recoveries[place].work.is_err() {
            return;
        }
        let recovery = recoveries.remove(place);
        self.state.overlays.recoveries &= !opens && !self.state.recoveries.is_empty();
        match recovery.work {
            Ok(work) if opens => self.show_recovered(*work, recovery.folder),
            _ => self.discard(recovery.folder),
        }
    }

    /// Shows what a window did not save, here; from there it goes when it is kept here.
    fn show_recovered(&mut self, work: OpenedWorkspace, folder: PathBuf) {
        self.state.workspace_path = work.saved_as;
        self.state.missing.clear();
        self.kept.saved = None;
        self.kept.opened.push(folder.clone());
        self.kept.taken_over.push(folder);
        self.touched = true;
        self.make_way_for(&work.document);
        self.restore(work.document);
    }

    /// Shows what a file holds: a workspace, or what a window did not save.
    pub(in crate::app) fn show_workspace(&mut self, opened: OpenedWorkspace) {
        let keeper = self.kept.keeper.as_ref();
        if let Some(folder) = keeper.and_then(|keeper| keeper.folder_of(&opened.path)) {
            self.state.recoveries.retain(|recovery| recovery.folder != folder);
            self.state.overlays.recoveries &= !self.state.recoveries.is_empty();
            return self.show_recovered(opened, folder);
        }
        self.state.preferences.add_workspace(&opened.path);
        self.state.workspace_path = Some(opened.path);
        self.state.missing.clear();
        self.kept.saved = Some(Arc::new(opened.document.clone()));
        self.make_way_for(&opened.document);
        self.restore(opened.document);
    }

    /// Lets go of pictures in whose place a file has others: if one of these is not there, it is asked for, and what was there
    /// does not stand for it.
    fn make_way_for(&mut self, document: &Document) {
        self.state.opened_layer = document.layer;
        for slot in ImageSlot::all() {
            let there = self.state.slot(slot).picture.as_ref().map(|picture| &picture.source);
            let wanted = document.pictures.get(&slot).map(|picture| &picture.source);
            if there.is_some() && wanted.is_some() && there != wanted {
                self.let_go_of_picture(slot);
            }
        }
    }

    fn discard(&mut self, folder: PathBuf) {
        let Some(keeper) = &self.kept.keeper else { return };
        let discard = keeper.discard(folder);
        let context = self.textures.context().clone();
        self.answers_awaited += 1;
        background(&self.answer, &context, BackgroundResult::Discarded, discard);
    }
}

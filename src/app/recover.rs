//! Work that a crash would take: kept as it goes, offered at the next start, and opened or discarded as the user says.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use egui::{Context, Grid, ScrollArea, Ui, WidgetInfo, accesskit::Role};

use super::{
    Action, App, Command, Document, State,
    keep::{Beginning, Keeper, OTHER_KEYS, Recovery, Remembered, Work},
    later::{Later, background},
    menus::{file_name, shown_source},
    messages::Level,
    workspace::OpenedWorkspace,
};
use crate::{engine::Slot, words};

/// Height of the list of works, in points, at most.
const LIST_HEIGHT: f32 = 320.0;
/// Width of what is said of a work, in points.
const WORDS_WIDTH: f32 = 420.0;

/// What is done with work of a window that did not come to its end; its folder names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoverCommand {
    /// Look at it here.
    Open(PathBuf),
    /// Let go of it.
    Discard(PathBuf),
}

/// What of this window is kept for after a crash.
#[derive(Default)]
pub struct Kept {
    /// Who keeps it; nobody where nothing outlasts the window.
    keeper: Option<Keeper>,
    /// What is worked on, as of the last frame.
    work: Option<Work>,
    /// Whether it was not saved then.
    is_unsaved: bool,
    /// The document as a workspace file has it.
    pub saved: Option<Arc<Document>>,
    /// Work of earlier windows that is looked at here now.
    taken_over: Vec<PathBuf>,
    /// All that was opened here: it is offered no more.
    opened: Vec<PathBuf>,
}

impl App {
    /// From now on what is remembered and worked on outlasts the window; what earlier windows left is looked for.
    pub fn keep_work(&mut self, beginning: Beginning, context: &Context) {
        for note in &beginning.notes {
            self.state.messages.tell(Level::Warning, note.clone());
        }
        let (answer, woken) = (self.answer.clone(), context.clone());
        let tell = move |words| {
            // A window that is gone needs no words.
            let _ = answer.send(Later::NotKept(words));
            woken.request_repaint();
        };
        match Keeper::start(beginning, Box::new(tell)) {
            Ok(keeper) => {
                let look = keeper.recoveries();
                self.answers_awaited += 1;
                background(&self.answer, context, Later::Recoveries, look);
                self.kept.keeper = Some(keeper);
            }
            Err(error) => self.state.messages.tell(Level::Warning, error.to_string()),
        }
    }

    /// Hands over what has changed since the last frame: all of it to the window that is opened where the graphics device is
    /// lost, and what is not saved to the next start.
    pub(super) fn keep_document(&mut self) {
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
    pub(super) fn remember(&mut self, storage: &dyn eframe::Storage) {
        let Some(keeper) = &self.kept.keeper else { return };
        let others = OTHER_KEYS
            .into_iter()
            .filter_map(|key| Some((key, storage.get_string(key)?)));
        keeper.remember(Remembered {
            memory: self.state.memory.clone(),
            others: others.collect(),
        });
    }

    /// The user closed the window, unless the graphics device was lost: nothing of it is to be offered again.
    pub(super) fn stop_keeping(&mut self) {
        if let Some(keeper) = &mut self.kept.keeper {
            keeper.end(!self.lost_device.is_gone());
        }
    }

    /// Offers work that was found.
    pub(super) fn offer(&mut self, mut recoveries: Vec<Recovery>) {
        recoveries.retain(|recovery| !self.kept.opened.contains(&recovery.folder));
        self.state.overlays.recoveries = !recoveries.is_empty();
        self.state.recoveries = recoveries;
    }

    pub(super) fn recover(&mut self, command: RecoverCommand) {
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
    pub(super) fn show_workspace(&mut self, opened: OpenedWorkspace) {
        let keeper = self.kept.keeper.as_ref();
        if let Some(folder) = keeper.and_then(|keeper| keeper.folder_of(&opened.path)) {
            self.state.recoveries.retain(|recovery| recovery.folder != folder);
            self.state.overlays.recoveries &= !self.state.recoveries.is_empty();
            return self.show_recovered(opened, folder);
        }
        self.state.memory.add_workspace(&opened.path);
        self.state.workspace_path = Some(opened.path);
        self.state.missing.clear();
        self.kept.saved = Some(Arc::new(opened.document.clone()));
        self.make_way_for(&opened.document);
        self.restore(opened.document);
    }

    /// Lets go of pictures in whose place a file has others: if one of these is not there, it is asked for, and what was there
    /// does not stand for it.
    fn make_way_for(&mut self, document: &Document) {
        for slot in Slot::all() {
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
        background(&self.answer, &context, Later::Discarded, discard);
    }
}

/// The works, each with what can be done with it.
pub fn recoveries_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.label("A window did not come to its end. This is what was not saved in it:");
    ScrollArea::vertical().max_height(LIST_HEIGHT).show(ui, |ui| {
        Grid::new("recoveries").num_columns(3).striped(true).show(ui, |ui| {
            for recovery in &state.recoveries {
                recovery_ui(ui, recovery, commands);
                ui.end_row();
            }
        });
    });
    ui.weak("What is opened here takes the place of what this window shows; undo brings that back.");
    let later = ui
        .button("Not now")
        .on_hover_text("It is offered again at the next start, and before in the menu File.");
    // Whoever has no pointer begins here: what does no harm is nearest.
    let layer = ui.layer_id();
    if !ui.memory(|memory| memory.areas().visible_last_frame(&layer)) {
        later.request_focus();
    }
    if later.clicked() {
        commands.push(Command::Act(Action::Recover));
    }
}

fn recovery_ui(ui: &mut Ui, recovery: &Recovery, commands: &mut Vec<Command>) {
    let age = age_text(recovery.kept_at);
    let words = match &recovery.work {
        Ok(work) => format!("{age}: {}", work_text(work)),
        Err(why) => format!("{age}: {}", words::message(why)),
    };
    ui.scope(|ui| {
        ui.set_max_width(WORDS_WIDTH);
        ui.label(&words);
    });
    for (name, hint, can, command) in [
        (
            "Open",
            "Look at it here.",
            recovery.work.is_ok(),
            RecoverCommand::Open(recovery.folder.clone()),
        ),
        (
            "Discard",
            "Let go of it.",
            true,
            RecoverCommand::Discard(recovery.folder.clone()),
        ),
    ] {
        let button = ui.add_enabled(can, egui::Button::new(name));
        // Read aloud, a button says of which work it is.
        button.widget_info(|| WidgetInfo::labeled(Role::Button, can, format!("{name} the work of {words}")));
        if button.on_hover_text(hint).clicked() {
            commands.push(Command::Recover(command));
        }
    }
}

/// What a work is of: its file, model, layer, pictures and pins.
fn work_text(work: &OpenedWorkspace) -> String {
    let document = &work.document;
    let name_of = |path: &Path| file_name(path).into_owned();
    let mut words = Vec::new();
    words.extend(work.saved_as.as_deref().map(name_of));
    words.extend(document.model.as_ref().map(|model| name_of(Path::new(model))));
    words.extend(document.layer.map(|layer| layer.to_string()));
    words.extend(document.pictures.values().map(|picture| shown_source(&picture.source)));
    words.push(match document.pins.len() {
        0 => "no pins".to_owned(),
        1 => "1 pin".to_owned(),
        count => format!("{count} pins"),
    });
    words.join(", ")
}

/// How long ago something was, in the largest unit of which there are two.
fn age_text(at: SystemTime) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "days"), (3600, "hours"), (60, "minutes")];
    let secs = at.elapsed().unwrap_or(Duration::ZERO).as_secs();
    let unit = UNITS.into_iter().find(|(unit, _)| secs >= 2 * unit);
    match unit {
        Some((unit, name)) => format!("{} {name} ago", secs / unit),
        None => "a moment ago".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_whole_units() {
        let ago = |secs| age_text(SystemTime::now() - Duration::from_secs(secs));
        assert_eq!(ago(0), "a moment ago");
        assert_eq!(ago(130), "2 minutes ago");
        assert_eq!(ago(119 * 60), "119 minutes ago");
        assert_eq!(ago(3 * 86_400), "3 days ago");
        assert_eq!(age_text(SystemTime::now() + Duration::from_secs(60)), "a moment ago");
    }
}

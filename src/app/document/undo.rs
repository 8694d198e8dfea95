//! Undo and redo: documents before and after, one step per drag and per stretch of typing or scrolling.

use super::root::Document;

/// Steps that are kept.
const STEPS: usize = 200;
/// Changes of the same kind that follow each other faster than this are one step.
const SAME_STEP_SECS: f64 = 0.7;

/// Documents before and after the one that is shown.
#[derive(Debug, Default)]
pub struct History {
    /// The document as of the last step.
    settled: Option<Document>,
    before: Vec<Document>,
    after: Vec<Document>,
    /// When the last step was made, and what changed in it.
    last: Option<(f64, Change)>,
}

/// What differs between two documents: enough to tell steps of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// What part is shown.
    View,
    /// The prompt or a number that a run depends on.
    Settings,
    /// A pin was moved.
    Pins,
    Other,
}

impl History {
    /// Looks at the document at the end of a frame. `busy` says that the user is in the middle of a drag: what changes
    /// until its end is one step.
    pub fn watch(&mut self, document: &Document, now_secs: f64, busy: bool) {
        let Some(settled) = &self.settled else {
            self.settled = Some(document.clone());
            return;
        };
        if busy || settled == document {
            return;
        }
        let change = change(settled, document);
        let continues = self
            .last
            .is_some_and(|(at, kind)| kind == change && change != Change::Other && now_secs - at < SAME_STEP_SECS);
        if let Some(settled) = self.settled.replace(document.clone())
            && !continues
        {
            if self.before.len() >= STEPS {
                self.before.remove(0);
            }
            self.before.push(settled);
        }
        self.after.clear();
        self.last = Some((now_secs, change));
    }

    /// Takes a document as it is for the beginning: nothing before it can be gone back to.
    pub fn begin_at(&mut self, document: &Document) {
        *self = Self {
            settled: Some(document.clone()),
            ..Self::default()
        };
    }

    /// A change that nobody made, such as a picture that cannot be opened any more: it belongs to the last step. As a step
    /// of its own, it would come again whenever it is undone.
    pub fn amend(&mut self, change: impl FnOnce(&mut Document)) {
        if let Some(settled) = &mut self.settled {
            change(settled);
        }
    }

    /// Whether there is something to go back to.
    pub fn can_undo(&self) -> bool {
        !self.before.is_empty()
    }

    /// Whether there is something to go forward to.
    pub fn can_redo(&self) -> bool {
        !self.after.is_empty()
    }

    /// The document before.
    pub fn undo(&mut self) -> Option<Document> {
        let document = self.before.pop()?;
        self.after.extend(self.settled.replace(document.clone()));
        self.last = None;
        Some(document)
    }

    /// The document that was undone last.
    pub fn redo(&mut self) -> Option<Document> {
        let document = self.after.pop()?;
        self.before.extend(self.settled.replace(document.clone()));
        self.last = None;
        Some(document)
    }
}

fn change(from: &Document, to: &Document) -> Change {
    let with = |edit: &dyn Fn(&mut Document)| {
        let mut edited = from.clone();
        edit(&mut edited);
        edited == *to
    };
    if with(&|edited| {
        edited.view = to.view;
        edited.page = to.page;
        edited.layout = to.layout.clone();
        edited.arrangements.clone_from(&to.arrangements);
        edited.maximised = to.maximised;
    }) {
        return Change::View;
    }
    if with(&|edited| edited.settings = to.settings.clone()) {
        return Change::Settings;
    }
    let same_pins = from.pins.len() == to.pins.len() && from.selected_pin == to.selected_pin;
    if same_pins && with(&|edited| edited.pins.clone_from(&to.pins)) {
        return Change::Pins;
    }
    Change::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_channel(channel: usize) -> Document {
        Document {
            channel,
            ..Document::default()
        }
    }

    fn zoomed(zoom: f32) -> Document {
        let mut document = Document::default();
        document.view.zoom = zoom;
        document
    }

    #[test]
    fn one_step_per_drag() {
        let mut history = History::default();
        history.watch(&with_channel(0), 0.0, false);
        for channel in 1..5 {
            history.watch(&with_channel(channel), 1.0, true);
        }
        assert!(!history.can_undo());
        history.watch(&with_channel(5), 2.0, false);
        assert_eq!(history.undo(), Some(with_channel(0)));
        assert!(!history.can_undo());
        assert_eq!(history.redo(), Some(with_channel(5)));
        assert!(!history.can_redo());
    }

    #[test]
    fn scrolling_is_one_step_and_a_pause_begins_another() {
        let mut history = History::default();
        history.watch(&zoomed(1.0), 0.0, false);
        for (step, zoom) in [1.1, 1.2, 1.3].into_iter().enumerate() {
            history.watch(&zoomed(zoom), 1.0 + 0.1 * step as f64, false);
        }
        history.watch(&zoomed(2.0), 9.0, false);
        assert_eq!(history.undo(), Some(zoomed(1.3)));
        assert_eq!(history.undo(), Some(zoomed(1.0)));
        assert_eq!(history.undo(), None);
        // Something else begins another future.
        assert!(history.can_redo());
        history.watch(&with_channel(3), 20.0, false);
        assert!(!history.can_redo());
    }

    #[test]
    fn distinct_changes_are_distinct_steps_however_fast() {
        let mut history = History::default();
        for channel in 0..4 {
            history.watch(&with_channel(channel), 0.0, false);
        }
        assert_eq!(history.undo(), Some(with_channel(2)));
        assert_eq!(history.undo(), Some(with_channel(1)));
    }

    #[test]
    fn what_nobody_did_is_no_step() {
        let mut history = History::default();
        history.watch(&with_channel(1), 0.0, false);
        history.watch(&with_channel(9), 1.0, false);
        // The layer has five channels.
        history.amend(|document| document.channel = 4);
        history.watch(&with_channel(4), 2.0, false);
        assert_eq!(history.undo(), Some(with_channel(1)));
        history.amend(|document| document.channel = 0);
        history.watch(&with_channel(0), 3.0, false);
        assert!(history.can_redo() && !history.can_undo());
    }

    #[test]
    fn steps_are_bounded() {
        let mut history = History::default();
        for channel in 0..3 * STEPS {
            history.watch(&with_channel(channel), 0.0, false);
        }
        let mut undone = 0;
        while history.undo().is_some() {
            undone += 1;
        }
        assert_eq!(undone, STEPS);
    }
}

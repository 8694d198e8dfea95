//! Keys that are down, in the order of events.

use egui::{InputState, Key, Modifiers};

use super::action::Action;

/// The keys that are down, as of the event that was taken last.
#[derive(Debug, Default)]
pub struct KeysDown {
    keys: Vec<Key>,
    modifiers: Modifiers,
}

impl KeysDown {
    /// Takes a key that is pressed or let go.
    pub fn take(&mut self, key: Key, pressed: bool) {
        self.keys.retain(|other| *other != key);
        self.keys.extend(pressed.then_some(key));
    }

    /// Takes which of Shift and the like are down.
    pub fn set_modifiers(&mut self, modifiers: Modifiers) {
        self.modifiers = modifiers;
    }

    /// At the end of a frame: a window that loses the keyboard is told of no key that is let go.
    pub fn agree_with(&mut self, input: &InputState) {
        self.keys.retain(|key| input.key_down(*key));
        self.modifiers = input.modifiers;
    }

    /// Whether the key of an action is down, and nothing with it.
    pub fn holds(&self, action: Action) -> bool {
        let mut shortcuts = action.entry().shortcuts.iter();
        self.modifiers.is_none() && shortcuts.any(|shortcut| self.keys.contains(&shortcut.logical_key))
    }
}

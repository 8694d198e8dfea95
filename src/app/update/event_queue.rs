//! The events of a frame in their order, however long the frame took: what comes behind an event that hands the keyboard to
//! something else waits until that has it. In: what the system told since the last frame. Out: as much of it as belongs
//! together; the rest follows in the next frames.

use std::collections::VecDeque;

use egui::{Context, Event, Key, Plugin, RawInput};

use super::action::{Action, action_of};

/// Frames that a field has to take the keyboard; what is typed for one that does not come is not kept for ever.
const MOST_AWAITED: usize = 30;

/// What has the keyboard after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keyboard {
    /// Nothing: keys are shortcuts.
    #[default]
    Free,
    /// A button, a list, a menu or a window, which some keys change.
    Widget,
    /// A text field.
    Text,
    /// A text field that is about to be there, or to know its keys.
    Awaited,
}

/// What an event has to do with the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A key that is pressed, or text.
    Keys,
    /// A button of the pointer, the wheel, or what a screen reader asks for.
    Pointer,
    /// Anything else.
    Other,
}

impl Kind {
    fn of(event: &Event) -> Self {
        match event {
            Event::Key { key, pressed, .. } if *pressed || is_held_action(*key) => Self::Keys,
            Event::Text(_) | Event::Ime(_) | Event::Copy | Event::Cut | Event::Paste(_) | Event::PasteImage(_) => {
                Self::Keys
            }
            Event::PointerButton { .. } | Event::MouseWheel { .. } | Event::AccessKitActionRequest(_) => Self::Pointer,
            _ => Self::Other,
        }
    }
}

/// Whether an action lasts as long as this key is down: then its release counts, too.
fn is_held_action(key: Key) -> bool {
    action_of(key, egui::Modifiers::NONE).is_some_and(Action::is_held)
}

/// Events that wait, and who has the keyboard.
#[derive(Debug, Default)]
pub struct EventQueue {
    waiting: VecDeque<Event>,
    keyboard: Keyboard,
    awaited_frames: usize,
    /// Whether the letter of a key that opened something is still to come: it is not typed into what was opened.
    letter_of_key: bool,
}

impl EventQueue {
    /// Takes who has the keyboard from now on.
    pub fn set_keyboard(&mut self, keyboard: Keyboard) {
        if keyboard != Keyboard::Awaited {
            self.awaited_frames = 0;
        }
        self.keyboard = keyboard;
    }

    /// What comes before the keyboard, or what the pointer does, may change hands.
    fn next(&mut self) -> Vec<Event> {
        let awaited = self.keyboard == Keyboard::Awaited && self.awaited_frames < MOST_AWAITED;
        if awaited {
            self.awaited_frames += 1;
        }
        let mut taken = Taken::default();
        while let Some(event) = self.waiting.front() {
            let kind = Kind::of(event);
            if std::mem::take(&mut self.letter_of_key)
                && matches!(event, Event::Text(text) if text.chars().count() == 1)
            {
                self.waiting.pop_front();
                continue;
            }
            if (awaited && kind != Kind::Other) || taken.ends_before(event, kind, self.keyboard) {
                break;
            }
            let (ends, letter) = ends_after(event, self.keyboard);
            self.letter_of_key = letter;
            taken.kinds.extend(Some(kind));
            taken.moved |= is_move(event);
            taken.events.extend(self.waiting.pop_front());
            if ends {
                break;
            }
        }
        taken.events
    }
}

/// What of the waiting events a frame gets.
#[derive(Default)]
struct Taken {
    events: Vec<Event>,
    kinds: Vec<Kind>,
    /// Whether an arrow is among them that chooses in a list.
    moved: bool,
}

impl Taken {
    fn ends_before(&self, event: &Event, kind: Kind, keyboard: Keyboard) -> bool {
        let other = match kind {
            Kind::Keys => Kind::Pointer,
            Kind::Pointer => Kind::Keys,
            Kind::Other => return false,
        };
        if self.kinds.contains(&other) {
            return true;
        }
        let any_keys = self.kinds.contains(&Kind::Keys);
        // The keyboard leaves a field as soon as a frame has such a key, before the field has read what came earlier.
        let leaves = matches!(
            event,
            Event::Key {
                key: Key::Escape | Key::Tab,
                ..
            }
        );
        keyboard == Keyboard::Text && any_keys && (leaves || (self.moved && matches!(event, Event::Text(_))))
    }
}

fn is_move(event: &Event) -> bool {
    matches!(
        event,
        Event::Key {
            key: Key::ArrowUp | Key::ArrowDown,
            pressed: true,
            ..
        }
    )
}

/// Whether what follows an event may belong to something else, and whether the letter of its key follows.
fn ends_after(event: &Event, keyboard: Keyboard) -> (bool, bool) {
    let Event::Key {
        key,
        pressed: true,
        modifiers,
        ..
    } = event
    else {
        return (false, false);
    };
    let changes_widget = match keyboard {
        Keyboard::Free => false,
        Keyboard::Text => matches!(key, Key::Enter | Key::Escape | Key::Tab),
        Keyboard::Widget | Keyboard::Awaited => matches!(key, Key::Enter | Key::Escape | Key::Tab | Key::Space),
    };
    let action = action_of(*key, *modifiers).filter(|_| keyboard != Keyboard::Text || modifiers.command);
    let opens = action.is_some_and(|action| action.hands_over_keyboard());
    (changes_widget || opens, opens && !modifiers.command)
}

impl Plugin for EventQueue {
    fn debug_name(&self) -> &'static str {
        "event queue"
    }

    fn input_hook(&mut self, context: &Context, input: &mut RawInput) {
        self.waiting.extend(input.events.drain(..));
        input.events = self.next();
        if !self.waiting.is_empty() {
            context.request_repaint();
        }
    }
}

#[cfg(test)]
mod tests {
    use egui::{Modifiers, PointerButton, Pos2};

    use super::*;

    fn key(key: Key, pressed: bool, modifiers: Modifiers) -> Event {
        Event::Key {
            key,
            physical_key: None,
            pressed,
            repeat: false,
            modifiers,
        }
    }

    fn press(of: Key) -> Event {
        key(of, true, Modifiers::NONE)
    }

    fn text(text: &str) -> Event {
        Event::Text(text.to_owned())
    }

    fn click() -> [Event; 2] {
        [true, false].map(|pressed| Event::PointerButton {
            pos: Pos2::ZERO,
            button: PointerButton::Primary,
            pressed,
            modifiers: Modifiers::NONE,
        })
    }

    fn queue(keyboard: Keyboard, events: &[Event]) -> EventQueue {
        EventQueue {
            waiting: events.iter().cloned().collect(),
            keyboard,
            ..EventQueue::default()
        }
    }

    #[test]
    fn what_is_typed_behind_a_key_that_opens_waits_until_the_field_is_there() {
        let open = key(Key::P, true, Modifiers::COMMAND);
        let mut queue = queue(Keyboard::Free, &[open.clone(), text("new ranking"), press(Key::Enter)]);
        assert_eq!(queue.next(), [open]);
        queue.set_keyboard(Keyboard::Awaited);
        assert_eq!(queue.next(), []);
        queue.set_keyboard(Keyboard::Text);
        assert_eq!(queue.next(), [text("new ranking"), press(Key::Enter)]);
    }

    #[test]
    fn a_field_that_does_not_come_is_not_awaited_for_ever() {
        let mut queue = queue(Keyboard::Awaited, &[text("a")]);
        let empty = (0..2 * MOST_AWAITED).take_while(|_| queue.next().is_empty()).count();
        assert_eq!(empty, MOST_AWAITED);
    }

    #[test]
    fn the_letter_of_a_key_that_opens_is_not_typed() {
        let mut queue = queue(Keyboard::Free, &[press(Key::Slash), text("/"), text("b11")]);
        assert_eq!(queue.next(), [press(Key::Slash)]);
        queue.set_keyboard(Keyboard::Text);
        assert_eq!(queue.next(), [text("b11")]);
    }

    #[test]
    fn keys_and_clicks_keep_their_order() {
        let [down, up] = click();
        let mut queue = queue(
            Keyboard::Free,
            &[
                press(Key::G),
                down.clone(),
                up.clone(),
                press(Key::Delete),
                press(Key::C),
            ],
        );
        assert_eq!(queue.next(), [press(Key::G)]);
        assert_eq!(queue.next(), [down, up]);
        assert_eq!(queue.next(), [press(Key::Delete), press(Key::C)]);
        assert_eq!(queue.next(), []);
    }

    #[test]
    fn a_field_reads_what_was_typed_before_it_is_left() {
        let events = [text("a"), press(Key::Escape), text("g"), press(Key::G)];
        let mut queue = queue(Keyboard::Text, &events);
        assert_eq!(queue.next(), [text("a")]);
        assert_eq!(queue.next(), [press(Key::Escape)]);
        queue.set_keyboard(Keyboard::Free);
        assert_eq!(queue.next(), [text("g"), press(Key::G)]);
    }

    #[test]
    fn plain_shortcuts_come_together() {
        let events = [press(Key::G), key(Key::G, false, Modifiers::NONE), press(Key::C)];
        assert_eq!(queue(Keyboard::Free, &events).next(), events);
    }
}

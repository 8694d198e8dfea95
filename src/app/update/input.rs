//! Keys, drops and pastes: what reaches the window as a whole and no widget of it.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use egui::{Context, Event, Key, Modifiers, Popup};

use super::{
    action::{Action, action_of, is_typed_with_shift},
    app::App,
    background::{BackgroundResult, background},
    command::Command,
    event_queue::{EventQueue, Keyboard},
    notes::note_of,
};
use crate::{
    app::{
        state::{overlays::TemporaryView, reveal},
        update::{abilities::Abilities, keep::data_folder},
    },
    engine::{ImageSlot, PictureSource},
    error::{Error, Result},
    files::names,
    image::decode::MAX_HELD_BYTES,
    io::output::{replace_file, write_png},
};

/// Keys that a focused button, slider or list needs for itself.
const WIDGET_KEYS: [Key; 7] = [
    Key::Enter,
    Key::Space,
    Key::Escape,
    Key::ArrowLeft,
    Key::ArrowRight,
    Key::ArrowUp,
    Key::ArrowDown,
];

/// Keys that with Ctrl change the text that is typed.
const TEXT_KEYS: [Key; 3] = [Key::Z, Key::Y, Key::W];

impl App {
    /// Takes the events of a frame in their order; what hands the keyboard to something else is the last of them.
    pub(in crate::app) fn on_input(&mut self, context: &Context) {
        let events = context.input(|input| input.events.clone());
        let typing = context.text_edit_focused();
        for event in events {
            match event {
                Event::Key {
                    key,
                    pressed,
                    modifiers,
                    repeat,
                    ..
                } => {
                    if pressed {
                        self.on_key(key, modifiers, repeat, context);
                    }
                    self.keys_down.take(key, pressed);
                    self.follow_held_keys(typing, context);
                }
                Event::ModifiersChanged(modifiers) => {
                    self.keys_down.set_modifiers(modifiers);
                    self.follow_held_keys(typing, context);
                }
                Event::Paste(text) if !typing => self.paste_text(&text, context),
                Event::PasteImage(image) if !typing => self.paste_picture(image, context),
                _ => {}
            }
        }
        context.input(|input| self.keys_down.agree_with(input));
        self.follow_held_keys(typing, context);
        self.on_drop(context);
    }

    /// The action of a key, unless it belongs to what has the keyboard.
    fn on_key(&mut self, key: Key, modifiers: Modifiers, repeat: bool, context: &Context) {
        let Some(action) = action_of(key, modifiers).map(|action| self.meant(action)) else {
            return;
        };
        let function_key = matches!(key.name().strip_prefix('F'), Some(number) if !number.is_empty());
        let plain = !modifiers.command && !function_key;
        let dialog = self.state.path_box.purpose.is_some() || self.state.overlays.palette.is_some();
        let typing = context.text_edit_focused();
        if plain && (typing || dialog || Popup::is_any_open(context)) || typing && TEXT_KEYS.contains(&key) {
            return;
        }
        if key == Key::Escape && (self.had_keyboard || self.state.overlays.windows_are_open()) {
            // It lets go of the keyboard, or closes the window on top.
            return;
        }
        let focused = context.memory(|memory| memory.focused().is_some());
        if plain && focused && WIDGET_KEYS.contains(&key) {
            return;
        }
        // Held actions follow the key itself; a toggle that repeats would flicker.
        let repeat = repeat && !is_typed_with_shift(key);
        if action.is_held() || (repeat && self.state.is_on(action).is_some()) || !self.state.can(action) {
            return;
        }
        let before = self.state.document.clone();
        self.apply(Command::Act(action), context);
        // Each key is a step of its own, as in a frame of its own.
        self.keep_history(context, context.input(|input| input.pointer.any_down()));
        if let Some(note) = note_of(action, &before, &self.state) {
            let key = action.key_text(context);
            self.state.messages.tell_shortly(format!("{note}  ({key})"));
        }
    }

    /// While a pair is being made, Enter accepts its second point instead of running the model.
    fn meant(&self, action: Action) -> Action {
        match action {
            Action::Run if self.state.can(Action::CompletePair) => Action::CompletePair,
            _ => action,
        }
    }

    /// Shows what a key that is down stands for, as long as it is.
    fn follow_held_keys(&mut self, typing: bool, context: &Context) {
        let holds = |action: Action| !typing && self.keys_down.holds(action) && self.state.can(action);
        let held = if holds(Action::HoldLayer) {
            Some(TemporaryView::Layer)
        } else if holds(Action::HoldSlot) {
            Some(TemporaryView::Slot)
        } else if holds(Action::HoldSide) {
            Some(TemporaryView::Side)
        } else {
            None
        };
        if held.is_some() || self.held_by_key {
            self.held_by_key = held.is_some();
            if self.state.hold != held {
                self.apply(Command::Hold(held), context);
            }
        }
    }

    /// Whether something is open whose field takes whatever is typed.
    pub(in crate::app) fn asks_for_text(&self) -> bool {
        self.state.overlays.palette.is_some() || self.state.path_box.purpose.is_some()
    }

    /// Tells the queue of events who has the keyboard when a frame has been painted.
    pub(in crate::app) fn tell_keyboard(&mut self, context: &Context) {
        let asks = self.asks_for_text();
        if self.asked_for_text && !asks {
            // Its field is gone, and would keep the keyboard until the next frame has no such field.
            context.memory_mut(|memory| memory.focused().map(|id| memory.surrender_focus(id)));
        }
        // What was opened after the frame was painted has no field yet.
        let wanted = reveal::age(context) || self.tree.search_wanted || (asks && !self.asked_for_text);
        let overlays = &self.state.overlays;
        let focused = context.memory(|memory| memory.focused());
        // Arrows are a field's own only from the frame on in which it has been painted with the keyboard.
        let is_new = std::mem::replace(&mut self.focused_before, focused) != focused;
        self.had_keyboard = focused.is_some();
        let types = context.text_edit_focused();
        let keyboard = if wanted || (types && is_new) || (asks && !types) {
            Keyboard::Awaited
        } else if types {
            Keyboard::Text
        } else if focused.is_some() || overlays.windows_are_open() || Popup::is_any_open(context) {
            Keyboard::Widget
        } else {
            Keyboard::Free
        };
        context.with_plugin(|queue: &mut EventQueue| queue.set_keyboard(keyboard));
    }

    /// Files dropped on a pane open in its slot, the others where there is room.
    fn on_drop(&mut self, context: &Context) {
        let (files, pointer) = context.input(|input| {
            let paths: Vec<PathBuf> = input
                .raw
                .dropped_files
                .iter()
                .map(|file| file.path().to_path_buf())
                .collect();
            (paths, input.pointer.latest_pos())
        });
        let Some((first, others)) = files.split_first() else {
            return;
        };
        let under = pointer.and_then(|pos| self.canvases.slot_at(pos));
        match under {
            Some(slot) if !crate::app::document::workspace::is_workspace(first) => {
                let source = PictureSource::File(first.clone());
                self.apply(Command::OpenPicture(slot, source), context);
                self.open_beside(others, slot, context);
            }
            _ => self.apply(Command::OpenFiles(files), context),
        }
    }

    /// Opens pictures in free places; the one of `taken` is about to be.
    fn open_beside(&mut self, paths: &[PathBuf], taken: ImageSlot, context: &Context) {
        let document = &self.state.document;
        let free: Vec<ImageSlot> = ImageSlot::all()
            .filter(|slot| *slot != taken && !document.pictures.contains_key(slot))
            .collect();
        for (path, slot) in paths.iter().zip(free) {
            let source = PictureSource::File(path.clone());
            self.apply(Command::OpenPicture(slot, source), context);
        }
    }

    fn paste_text(&mut self, text: &str, context: &Context) {
        let paths = paths_in(text);
        if !paths.is_empty() {
            self.apply(Command::OpenFiles(paths), context);
        }
    }

    /// A picture from the clipboard becomes a file, so that a workspace can name it.
    fn paste_picture(&self, image: std::sync::Arc<egui::ColorImage>, context: &Context) {
        let folder = self.kept_in.clone().or_else(data_folder);
        background(&self.answer, context, BackgroundResult::Pasted, move || {
            keep_pasted(&image, folder)
        });
    }
}

/// The lines of a text that look like absolute paths or file addresses.
fn paths_in(text: &str) -> Vec<PathBuf> {
    const MOST_LINES: usize = ImageSlot::MOST;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let unquoted = lines.map(|line| line.trim_matches(['"', '\'']));
    let paths = unquoted.map(|line| match line.strip_prefix("file://") {
        Some(address) => of_address(address),
        None => names::path(line),
    });
    let absolute = paths.take_while(|path| path.is_absolute());
    absolute.take(MOST_LINES).collect()
}

/// The path of a file's address, in which what is no plain character is `%` and two digits for each byte.
fn of_address(address: &str) -> PathBuf {
    /// As many characters stand for a byte.
    const ESCAPED: usize = 3;
    const HEXADECIMAL: u32 = 16;
    let (mut bytes, mut rest) = (Vec::new(), address.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digits = rest.get(1..ESCAPED).and_then(|digits| str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| *first == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, HEXADECIMAL).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[ESCAPED..] } else { after };
    }
    names::of_bytes(bytes)
}

/// Writes a picture beside what the program remembers, under a name that says when.
fn keep_pasted(image: &egui::ColorImage, folder: Option<PathBuf>) -> Result<PathBuf> {
    let folder = folder
        .ok_or_else(|| {
            Error::failed("there is no folder to keep the pasted picture in: save it as a file and open that")
        })?
        .join("pasted");
    std::fs::create_dir_all(&folder)
        .map_err(|error| Error::failed(format!("cannot make the folder {}: {error}", folder.display())))?;
    // The pixels pasted have four bytes, those that are kept three.
    let held = image.pixels.len() as u64 * 7;
    if held > MAX_HELD_BYTES {
        let [width, height] = image.size;
        return Err(Error::failed(format!(
            "the pasted picture has {width}x{height} pixels: that takes {held} bytes of memory, at most {MAX_HELD_BYTES} (1 GiB) \
             are used; scale it down first"
        )));
    }
    // Colours are multiplied by alpha; what is behind them is white, as it is behind files.
    let over_white = |pixel: &egui::Color32| {
        [pixel.r(), pixel.g(), pixel.b()].map(|level| level.saturating_add(u8::MAX - pixel.a()))
    };
    let rgb: Vec<u8> = image.pixels.iter().flat_map(over_white).collect();
    let path = unused(&folder).map_err(|error| Error::io("make a file in", &folder, &error))?;
    replace_file(&path, |temporary| write_png(temporary, image.size, &rgb)).inspect_err(|_| {
        // The name was only held for a picture.
        let _ = std::fs::remove_file(&path);
    })?;
    Ok(path)
}

/// A file that was not there: another window that pastes at the same time gets another one.
fn unused(folder: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let path = folder.join(format!("pasted-{number}.png"));
        match File::create_new(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn pasted_addresses_may_hold_any_byte() {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"/tmp/b\xe9.png");
        assert_eq!(paths_in("file:///tmp/b%E9.png"), [PathBuf::from(name)]);
    }

    #[test]
    fn a_pasted_picture_lies_on_white() -> Result<()> {
        let folder = tempfile::tempdir().map_err(|error| Error::failed(error.to_string()))?;
        let rgba = [0, 0, 0, 0, 10, 20, 30, 255, 255, 0, 0, 128];
        let image = egui::ColorImage::from_rgba_unmultiplied([3, 1], &rgba);
        let path = keep_pasted(&image, Some(folder.path().to_owned()))?;
        let picture = PictureSource::File(path).read()?;
        assert_eq!(picture.rgb()[..6], [255, 255, 255, 10, 20, 30]);
        assert!(picture.rgb()[6] == 255 && picture.rgb()[7].abs_diff(127) <= 1);
        Ok(())
    }

    #[test]
    fn pasted_paths_are_told_from_other_text() {
        assert_eq!(paths_in("/tmp/a.png\n"), [PathBuf::from("/tmp/a.png")]);
        assert_eq!(
            paths_in("file:///tmp/a.png\n'/tmp/b c.jpg'"),
            [PathBuf::from("/tmp/a.png"), PathBuf::from("/tmp/b c.jpg")]
        );
        assert_eq!(
            paths_in("file:///tmp/b%20c%25.png\nfile:///tmp/100%.png\nfile:///tmp/%C3%A4.png"),
            ["/tmp/b c%.png", "/tmp/100%.png", "/tmp/ä.png"].map(PathBuf::from)
        );
        assert!(paths_in("a photo of a cat").is_empty());
        assert!(paths_in("").is_empty());
    }
}

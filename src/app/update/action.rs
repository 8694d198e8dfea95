//! The one table of what can be done by name: menus, icons, keys, command palette and key sheet all come from it.

use egui::{Context, Key, KeyboardShortcut, Modifiers};

use crate::app::document::{kinds::MenuPlace, page::Page, pane::PaneKind};

/// A menu, and a chapter of the key sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Menu {
    /// Pictures, models, workspaces, what is written.
    File,
    /// Undo, pictures' places, pins.
    Edit,
    /// Runs and layers.
    Model,
    /// What part is shown, and in which panes.
    View,
    /// How scores and components become colours.
    Display,
    /// Many activations, timesteps or models beside each other.
    Study,
    /// What helps.
    Help,
}

impl Menu {
    /// Every menu, from left to right.
    pub const ALL: [Self; 7] = [
        Self::File,
        Self::Edit,
        Self::Model,
        Self::View,
        Self::Display,
        Self::Study,
        Self::Help,
    ];

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::Edit => "Edit",
            Self::Model => "Model",
            Self::View => "View",
            Self::Display => "Display",
            Self::Study => "Analyse",
            Self::Help => "Help",
        }
    }
}

const fn plain(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::NONE, key)
}

const fn shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::SHIFT, key)
}

/// Ctrl, or ⌘ on a Mac.
const fn command(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND, key)
}

const fn command_shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), key)
}

/// What the table says of an action.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The menu it is in.
    pub menu: Menu,
    /// What it is called everywhere.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub hint: &'static str,
    /// The keys that do it; the first is shown.
    pub shortcuts: &'static [KeyboardShortcut],
}

/// A line of the table.
#[derive(Clone, Copy)]
enum Line {
    One(Action),
    /// What opens a pane of each kind that belongs here.
    Add(MenuPlace),
    /// What writes each kind of pane that belongs here.
    Save(MenuPlace),
    /// What shows each page.
    Pages,
}

/// The lines of the menus. Behind some stand `@Add` or `@Save`: the kinds of panes that belong there have their actions
/// there, in the order of their own table.
macro_rules! actions {
    ($($menu:ident { $($action:ident $name:literal [$($shortcut:expr),*] $hint:literal $(@$panes:ident$(($place:ident))?)*;)+ })+) => {
        /// One thing that can be done by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Action {
            $($(#[doc = $hint] $action,)+)+
            /// Open a pane of a kind.
            AddPane(PaneKind),
            /// Write what a kind of pane shows.
            SavePane(PaneKind),
            /// Show a page.
            Page(Page),
        }

        const LINES: &[Line] = &[$($(Line::One(Action::$action), $(Line::$panes$((MenuPlace::$place))?,)*)+)+];

        impl Action {
            /// What the table says of it.
            pub const fn entry(self) -> Entry {
                match self {
                    $($(Self::$action => Entry {
                        menu: Menu::$menu,
                        name: $name,
                        hint: $hint,
                        shortcuts: const { &[$($shortcut),*] },
                    },)+)+
                    Self::AddPane(kind) => {
                        let facts = kind.facts();
                        pane_entry(facts.menu, facts.add, facts.about)
                    }
                    Self::SavePane(kind) => {
                        let facts = kind.facts();
                        match facts.save {
                            Some(save) => pane_entry(save.menu, save.name, save.about),
                            None => pane_entry(facts.menu, facts.name, facts.about),
                        }
                    }
                    Self::Page(page) => Entry {
                        menu: Menu::View,
                        name: page.action(),
                        hint: page.about(),
                        shortcuts: page_keys(page),
                    },
                }
            }
        }
    };
}

const fn pane_entry(place: MenuPlace, name: &'static str, hint: &'static str) -> Entry {
    let menu = match place {
        MenuPlace::File => Menu::File,
        MenuPlace::View => Menu::View,
        MenuPlace::Study | MenuPlace::StudyEnd => Menu::Study,
    };
    Entry {
        menu,
        name,
        hint,
        shortcuts: &[],
    }
}

/// The keys of a page, from left to right.
const fn page_keys(page: Page) -> &'static [KeyboardShortcut] {
    match page {
        Page::Correspond => const { &[command(Key::Num1)] },
        Page::Layers => const { &[command(Key::Num2)] },
        Page::Compare => const { &[command(Key::Num3)] },
        Page::Rank => const { &[command(Key::Num4)] },
        Page::Timesteps => const { &[command(Key::Num5)] },
        Page::Cka => const { &[command(Key::Num6)] },
        Page::Recommend => const { &[command(Key::Num7)] },
    }
}

/// Every action in the order of menus, as far as there is room, and how many there are.
const fn listed<const ROOM: usize>() -> ([Action; ROOM], usize) {
    let (mut list, mut count, mut at) = ([Action::Quit; ROOM], 0, 0);
    while at < LINES.len() {
        let mut kind = 0;
        while kind < PaneKind::ALL.len() {
            let pane = PaneKind::ALL[kind];
            let facts = pane.facts();
            let action = match (LINES[at], facts.save) {
                (Line::One(action), _) if kind == 0 => Some(action),
                (Line::Add(place), _) if place as u8 == facts.menu as u8 => Some(Action::AddPane(pane)),
                (Line::Save(place), Some(save)) if place as u8 == save.menu as u8 => Some(Action::SavePane(pane)),
                (Line::Pages, _) if kind < Page::ALL.len() => Some(Action::Page(Page::ALL[kind])),
                _ => None,
            };
            if let Some(action) = action {
                if count < ROOM {
                    list[count] = action;
                }
                count += 1;
            }
            kind += 1;
        }
        at += 1;
    }
    (list, count)
}

actions! {
    File {
        OpenPicture "Open picture…" [command(Key::O)] "Open a picture in the pane worked in.";
        AddPicture "Add picture…" [command_shift(Key::O)] "Open one more picture beside the others.";
        OpenModel "Open model…" [command(Key::M)] "Open a folder with a model.";
        OpenWorkspace "Open workspace…" [command_shift(Key::W)] "Open a workspace file: the same picture, layer, pins and panes.";
        SaveWorkspace "Save workspace" [command(Key::S)] "Write everything that is looked at into the workspace file.";
        SaveWorkspaceAs "Save workspace as…" [command_shift(Key::S)] "Write everything that is looked at into another file.";
        Recover "Recover work…" [] "Open or discard work of windows that did not come to their end.";
        Screenshot "Screenshot…" [] "Write the whole window as it is shown as a PNG.";
        ExportPanes "Export panes…" [command(Key::E)] "Write every pane as a figure at a size of your choice, and what made it, into a folder.";
        ExportPage "Export page…" [] "Write one HTML file that needs no server: the layer of all open pictures, which light up where they are similar to the place pointed at.";
        ExtractMaps "Extract maps…" [command_shift(Key::E)] "Write this activation of all pictures as a safetensors file, in the background.";
        SavePca "Save PCA as PNG…" [] "Write the PCA colours of the picture worked with.";
        SaveHeat "Save heat map as PNG…" [] "Write the heat map over the picture worked with.";
        SaveMap "Save map…" [] "Write this activation of the picture worked with as .npy or .safetensors.";
        SaveBasis "Save PCA basis…" [] "Write the basis of the colours, so that other maps can be shown in it.";
        SaveMatches "Save matches…" [] "Write all pins and matches with their pixels as .csv or .json.";
        OpenPairs "Open pairs…" [] "Read pairs of points (.json) and mark them in both pictures of the ranking, in place of their pairs.";
        SavePairs "Save pairs…" [] "Write the pairs of the ranking's two pictures as .json, as featscope rank takes them." @Save(File);
        Quit "Quit" [command(Key::Q)] "Close the window.";
    }
    Edit {
        Undo "Undo" [command(Key::Z)] "Go back to what was seen before.";
        Redo "Redo" [command_shift(Key::Z), command(Key::Y)] "Go forward again to what was undone.";
        CopyImage "Copy image of the pane" [] "Copy the pane worked in to the clipboard, as it is shown.";
        CopyMatches "Copy matches" [command_shift(Key::C)] "Copy all pins and matches with their pixels as a table.";
        SwapPictures "Swap source and target" [plain(Key::S)] "The picture worked with and the next one change places, their pins with them.";
        ClosePicture "Close picture" [] "Close the picture of the pane worked in.";
        Brush "Brush regions" [plain(Key::E)] "Dragging over a picture marks a region instead of moving it.";
        PairMode "Pair mode" [plain(Key::Num2)] "Clicks mark pairs of points that show the same: one in a picture, then one in another.";
        CompletePair "Complete the pair at the best match" [] "Take the best match of the first point as the second one (Enter).";
        PairInOrder "Pair pins in order" [] "Make pairs of the pins of the ranking's two pictures: the first with the first, and so on.";
        SplitPair "Split pair" [] "Make two pins of the selected pair.";
        AddPin "Pin at the middle" [plain(Key::P)] "Fix a new pin in the middle of the picture worked with.";
        NextPin "Next pin" [plain(Key::Q)] "Show the similarities of the next pin.";
        Unpin "Follow the pointer" [plain(Key::Escape)] "Show the similarities of the point under the pointer again; let go of the half of a pair, and of the pair mode.";
        DeletePin "Delete pin" [plain(Key::Delete), plain(Key::Backspace)] "Take the selected pin away.";
        ClearPins "Delete all pins" [shift(Key::Delete)] "Take all pins away.";
        PinLeft "Pin one cell left" [plain(Key::ArrowLeft)] "Move the selected pin by a cell.";
        PinRight "Pin one cell right" [plain(Key::ArrowRight)] "Move the selected pin by a cell.";
        PinUp "Pin one cell up" [plain(Key::ArrowUp)] "Move the selected pin by a cell; without one, look at the layer before.";
        PinDown "Pin one cell down" [plain(Key::ArrowDown)] "Move the selected pin by a cell; without one, look at the next layer.";
    }
    Model {
        Models "Models…" [command_shift(Key::M)] "Which models are on this machine; load them or download others.";
        Run "Run" [plain(Key::Enter), command(Key::Enter)] "Run the model with what is set, however long it takes.";
        Cancel "Cancel" [shift(Key::Escape)] "End the run or loading under way.";
        NextLayer "Next layer" [plain(Key::Period), plain(Key::J)] "Look at the next listed layer.";
        PreviousLayer "Previous layer" [plain(Key::Comma), plain(Key::K)] "Look at the listed layer before.";
        LayersForward "Ten layers on" [plain(Key::PageDown)] "Look at the layer ten places further on.";
        LayersBack "Ten layers back" [plain(Key::PageUp)] "Look at the layer ten places before.";
        SearchLayers "Search layers" [command(Key::F), plain(Key::Slash)] "Type words that the name of a layer has.";
        HoldLayer "Hold: the layer before" [plain(Key::H)] "As long as the key is down, show the layer that was looked at before.";
        LaterTimestep "Next timestep" [plain(Key::CloseBracket)] "Run with more noise: at the next multiple of 20.";
        EarlierTimestep "Previous timestep" [plain(Key::OpenBracket)] "Run with less noise: at the multiple of 20 before.";
        LaterTimestepByOne "One timestep later" [shift(Key::CloseBracket), plain(Key::CloseCurlyBracket)] "Run with a little more noise: at the next whole t.";
        EarlierTimestepByOne "One timestep earlier" [shift(Key::OpenBracket), plain(Key::OpenCurlyBracket)] "Run with a little less noise: at the whole t before.";
    }
    View {
        Maximise "Maximise pane" [shift(Key::F)] "Show the pane worked in alone, or all panes again." @Pages;
        Presentation "Presentation mode" [plain(Key::F5)] "Large letters and pictures alone, for a projector.";
        ZoomIn "Zoom in" [plain(Key::Plus), plain(Key::Equals)] "Show a smaller part, larger.";
        ZoomOut "Zoom out" [plain(Key::Minus)] "Show a larger part, smaller.";
        Fit "Fit" [plain(Key::F), plain(Key::Num0)] "Show the whole picture.";
        OneToOne "1:1" [plain(Key::Num1)] "One pixel of the picture on one pixel of the screen.";
        Link "Link panes" [plain(Key::L)] "Zoom and move all panes together, or each on its own.";
        Grid "Cell grid" [plain(Key::G)] "Lines between the cells of the layer.";
        Numbers "Numbers in cells" [plain(Key::V)] "The score in each cell that is large enough.";
        Loupe "Loupe" [plain(Key::U)] "A magnifying glass at the pointer.";
        HoldSlot "Hold: the other picture" [plain(Key::X)] "As long as the key is down, each pane shows the next picture." @Add(View);
        ClosePane "Close pane" [command(Key::W)] "Close the pane worked in.";
        NextPane "Next pane" [plain(Key::F6)] "Work in the next pane.";
        ResetLayout "Standard layout" [] "Picture and PCA for each picture, in rows.";
        Settings "Settings and layers" [plain(Key::F7)] "Show or hide the left side.";
        Inspector "Inspector" [plain(Key::F8)] "Show or hide the right side.";
        Theme "Dark or light" [plain(Key::F9)] "The other theme than the one that is shown.";
        SystemTheme "Theme of the system" [] "Follow the system: dark or light.";
        LargerInterface "Larger interface" [command(Key::Plus), command(Key::Equals)] "All text and controls larger.";
        SmallerInterface "Smaller interface" [command(Key::Minus)] "All text and controls smaller.";
        StandardInterface "Standard interface size" [command(Key::Num0)] "Text and controls as large as at first.";
        ResetSettings "Reset settings" [] "Run settings, colours and PCA as a fresh window has them; pictures, layer, pins and panes stay.";
        Fullscreen "Full screen" [plain(Key::F11)] "The window fills the screen, or no longer.";
    }
    Display {
        Overlay "Heat map over pictures" [plain(Key::O)] "Draw heat maps over pictures, or not.";
        OnSource "Heat map on the source too" [plain(Key::B)] "Draw the heat map also over the picture that the point is in.";
        Normalise "Normalise per map" [plain(Key::N)] "Each map from its lowest to its highest score, or all cosines from 0 to 1.";
        LockRange "Shared range" [plain(Key::R)] "The same colour means the same score in all panes.";
        NextColours "Next colour map" [plain(Key::C)] "Draw heat maps with the next colour map.";
        Smooth "Interpolate" [plain(Key::I)] "Interpolate the scores between cells, or draw each cell flat.";
        FurtherMatches "Further matches" [] "Mark the matches after the best one too, as dots.";
        MoreOpaque "More opaque" [shift(Key::ArrowUp)] "Heat maps cover more of the picture.";
        LessOpaque "Less opaque" [shift(Key::ArrowDown)] "Heat maps cover less of the picture.";
        JointBasis "One PCA basis for all pictures" [plain(Key::T)] "One basis for all pictures, or one for each.";
        Whiten "Whiten components" [plain(Key::W)] "Divide each component by its standard deviation.";
        L2 "L2-normalise positions" [plain(Key::Y)] "Divide the vector of each position by its length before PCA.";
        Foreground "Foreground mask" [plain(Key::M)] "Leave out of the PCA colours what the first component says is background.";
        DropMassive "Leave out outlier channels" [plain(Key::D)] "Leave channels out that are much larger than the others (massive activations).";
        NextHead "Next head" [shift(Key::H)] "Show the attention of the next head; the mean over heads stands before the first.";
        PreviousHead "Previous head" [shift(Key::G)] "Show the attention of the head before.";
        NextChannel "Next channel" [shift(Key::Period)] "Show the next channel, by variance.";
        PreviousChannel "Previous channel" [shift(Key::Comma)] "Show the channel before, by variance.";
    }
    Study {
        Survey "Survey every layer" [command(Key::U)] "Measure every activation of the picture worked with: noise, locality, granularity; a picture of each.";
        Recommend "Recommend a layer and t…" [] "Compare every activation at a few timesteps on the open pictures: the five best, why, and what speaks against each.";
        CancelStudies "End studies" [] "End what measures in the background; what is measured stays.";
        SaveSurvey "Save survey…" [] "Write what was measured into a folder: a page that stands alone, a table, a sheet of thumbnails." @Add(Study);
        SetCompareSide "Set as compare side" [plain(Key::Z)] "Keep what is shown now as B, so that what is looked at next is compared with it.";
        SwapSides "Swap A and B" [] "The two sides of the comparison change places.";
        HoldSide "Hold: all of B" [plain(Key::A)] "As long as the key is down, the comparison shows all of B." @Add(StudyEnd);
        LaterFrame "Next frame" [shift(Key::ArrowRight)] "Look at the next timestep or seed of the film strip.";
        EarlierFrame "Previous frame" [shift(Key::ArrowLeft)] "Look at the timestep or seed before in the film strip." @Save(Study);
    }
    Help {
        Palette "Command palette" [command(Key::P)] "Find anything that can be done, and any layer, by name.";
        Tour "Three properties in three minutes" [] "A guided tour: locality, noise and granularity, on the embedded model or on SDXL.";
        TourNext "Next step of the tour" [command(Key::ArrowRight)] "Go on with the tour.";
        TourBack "Previous step of the tour" [command(Key::ArrowLeft)] "Go back in the tour.";
        Keys "Keys" [plain(Key::Questionmark), plain(Key::F1)] "All keys on one sheet.";
        Log "Log" [command(Key::L)] "What has happened so far.";
        FrameTimes "Frame times" [plain(Key::F12)] "How long the interface takes for a frame.";
        About "About featscope" [] "Version, licence and what this program is.";
    }
}

impl Action {
    /// Every action, in the order of menus.
    pub const ALL: &'static [Self] = &listed::<{ listed::<0>().1 }>().0;

    /// What it is called.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// Whether it lasts as long as its key is down, instead of happening once.
    pub const fn is_held(self) -> bool {
        matches!(self, Self::HoldLayer | Self::HoldSlot | Self::HoldSide)
    }

    /// The actions of a menu, in order.
    pub fn of_menu(menu: Menu) -> impl Iterator<Item = Self> {
        Self::ALL
            .iter()
            .copied()
            .filter(move |action| action.entry().menu == menu)
    }

    /// Whether doing it by key may hand the keyboard to something else: a field, a window or a dialog, or take one away.
    pub fn hands_over_keyboard(self) -> bool {
        self.name().ends_with('…')
            || matches!(
                self,
                Self::SaveWorkspace
                    | Self::SearchLayers
                    | Self::Palette
                    | Self::Tour
                    | Self::Keys
                    | Self::Log
                    | Self::FrameTimes
                    | Self::About
                    | Self::Settings
                    | Self::Inspector
                    | Self::ClosePane
            )
    }

    /// Its first key in signs, such as `Ctrl+P`; nothing where it has none.
    pub fn key_text(self, context: &Context) -> String {
        let shortcuts = self.entry().shortcuts;
        shortcuts
            .first()
            .map_or(String::new(), |shortcut| shortcut_text(context, shortcut))
    }

    /// What a tooltip says: what it does, and its key.
    pub fn tooltip(self, context: &Context) -> String {
        let (hint, key) = (self.entry().hint, self.key_text(context));
        if key.is_empty() {
            hint.to_owned()
        } else {
            format!("{hint}  ({key})")
        }
    }
}

/// A shortcut as menus, tooltips, palette and key sheet show it: `Ctrl+,`, `?`, `Shift+←`.
pub fn shortcut_text(context: &Context, shortcut: &KeyboardShortcut) -> String {
    let key = shortcut.logical_key;
    let text = context.format_shortcut(shortcut);
    let before = [key.name(), key.symbol_or_name()]
        .into_iter()
        .find_map(|name| text.strip_suffix(name));
    before.map_or_else(|| text.clone(), |before| format!("{before}{}", key_sign(key)))
}

/// What stands on a key.
pub fn key_sign(key: Key) -> &'static str {
    match key {
        Key::ArrowLeft => "←",
        Key::ArrowRight => "→",
        Key::ArrowUp => "↑",
        Key::ArrowDown => "↓",
        Key::Minus => "-",
        Key::Escape => "Esc",
        Key::PageUp => "Page up",
        Key::PageDown => "Page down",
        key => key.symbol_or_name(),
    }
}

/// Whether many keyboards need Shift to type a key. Its release is often told as that of the key without Shift, so
/// that it seems to be held and the next press to be a repetition.
pub fn is_typed_with_shift(key: Key) -> bool {
    matches!(
        key,
        Key::Questionmark | Key::Plus | Key::OpenCurlyBracket | Key::CloseCurlyBracket
    )
}

/// Whether a key press is a shortcut. Keys that themselves need Shift on many keyboards are taken with or without it.
pub fn is_pressed(shortcut: &KeyboardShortcut, key: Key, modifiers: Modifiers) -> bool {
    let wanted = shortcut.modifiers;
    key == shortcut.logical_key
        && wanted.command == modifiers.command
        && wanted.alt == modifiers.alt
        && (is_typed_with_shift(key) || wanted.shift == modifiers.shift)
        // On a Mac, Ctrl is another key than ⌘.
        && (modifiers.command || !modifiers.ctrl)
}

/// The action of a key press.
pub fn action_of(key: Key, modifiers: Modifiers) -> Option<Action> {
    Action::ALL.iter().copied().find(|action| {
        let mut shortcuts = action.entry().shortcuts.iter();
        shortcuts.any(|shortcut| is_pressed(shortcut, key, modifiers))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use egui::{ModifierNames, os::OperatingSystem};

    use super::*;

    /// What a shortcut asks of the keyboard of a platform.
    fn chord(shortcut: &KeyboardShortcut, system: OperatingSystem) -> String {
        shortcut.format(&ModifierNames::NAMES, system.is_mac())
    }

    /// A menu that does not take what the table of panes puts there would leave a kind without a way to open or write it.
    #[test]
    fn every_kind_of_pane_can_be_opened_and_written_where_it_says() {
        for kind in PaneKind::ALL {
            assert!(Action::ALL.contains(&Action::AddPane(kind)), "{kind:?}");
            let is_written = kind.facts().save.is_some();
            assert_eq!(Action::ALL.contains(&Action::SavePane(kind)), is_written, "{kind:?}");
        }
    }

    #[test]
    fn no_two_actions_have_the_same_key_on_any_platform() {
        for system in [OperatingSystem::Mac, OperatingSystem::Nix, OperatingSystem::Windows] {
            let mut taken: HashMap<String, Action> = HashMap::new();
            for &action in Action::ALL {
                for shortcut in action.entry().shortcuts {
                    let chord = chord(shortcut, system);
                    if let Some(other) = taken.insert(chord.clone(), action) {
                        panic!("{chord} is {action:?} and {other:?} on {system:?}");
                    }
                }
            }
            assert!(taken.len() > 60);
        }
    }

    #[test]
    fn a_key_press_means_at_most_one_action() {
        let modifiers = [false, true].into_iter().flat_map(|shift| {
            [Modifiers::NONE, Modifiers::COMMAND, Modifiers::CTRL, Modifiers::ALT].map(move |others| Modifiers {
                shift,
                // What egui reports on Linux and Windows, and on a Mac.
                command: others.command || (others.ctrl && cfg!(not(target_os = "macos"))),
                ..others
            })
        });
        for modifiers in modifiers {
            for &key in Key::ALL {
                let meant: Vec<_> = Action::ALL
                    .iter()
                    .filter(|action| {
                        let mut shortcuts = action.entry().shortcuts.iter();
                        shortcuts.any(|shortcut| is_pressed(shortcut, key, modifiers))
                    })
                    .collect();
                assert!(meant.len() <= 1, "{key:?} with {modifiers:?} means {meant:?}");
            }
        }
    }

    #[test]
    fn names_tell_actions_apart_and_hints_are_sentences() {
        let names: HashSet<_> = Action::ALL.iter().map(|action| action.name()).collect();
        assert_eq!(names.len(), Action::ALL.len());
        for action in Action::ALL {
            assert!(action.entry().hint.ends_with('.'), "{action:?}");
        }
        assert!(Menu::ALL.iter().all(|menu| Action::of_menu(*menu).count() > 3));
    }

    #[test]
    fn a_held_action_has_a_plain_key() {
        for action in Action::ALL.iter().filter(|action| action.is_held()) {
            let shortcuts = action.entry().shortcuts;
            assert!(shortcuts.len() == 1 && shortcuts[0].modifiers == Modifiers::NONE);
        }
    }
}

//! The command palette: what people type finds what they mean, what was chosen lately comes first, settings are reached.

use egui::{Key, accesskit::Role};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use featscope::app::{Action, Command, Control, PaneKind, RecoverCommand};

use super::{
    driver::{CTRL, Window},
    model::{TEXT_MAP, id},
};

/// How many of the first entries a person looks at.
const FIRST: usize = 3;

/// What is meant: an action, a control, or the name of an entry.
#[derive(Debug, Clone, Copy)]
enum Meant {
    Do(Action),
    Set(Control),
    Named(&'static str),
}
use Meant::{Do, Named, Set};

impl Meant {
    fn name(self) -> &'static str {
        match self {
            Do(action) => action.name(),
            Set(control) => control.facts().name,
            Named(name) => name,
        }
    }
}

/// What people type, and what one of them may mean by it; any of these among the first entries is right.
const WORDS: &[(&str, &[Meant])] = &[
    ("timestep", &[Set(Control::Timestep)]),
    ("time step", &[Set(Control::Timestep)]),
    ("colormap", &[Set(Control::ColourMap)]),
    ("colourmap", &[Set(Control::ColourMap)]),
    ("colour map", &[Set(Control::ColourMap)]),
    ("color map", &[Set(Control::ColourMap)]),
    ("viridis", &[Named("Colour map viridis")]),
    ("magma", &[Named("Colour map magma")]),
    ("heatmap", &[Do(Action::Overlay)]),
    ("heat map", &[Do(Action::Overlay)]),
    ("overlay", &[Do(Action::Overlay)]),
    ("opacity", &[Set(Control::Opacity)]),
    ("transparency", &[Set(Control::Opacity)]),
    ("normalize", &[Do(Action::Normalise)]),
    ("normalise", &[Do(Action::Normalise)]),
    ("color", &[Set(Control::ColourMap), Do(Action::NextColours)]),
    ("colours", &[Set(Control::ColourMap), Do(Action::NextColours)]),
    ("threshold", &[Do(Action::Foreground), Set(Control::Threshold)]),
    ("prompt", &[Set(Control::Prompt)]),
    ("seed", &[Set(Control::Seed)]),
    ("lora", &[Set(Control::Lora)]),
    ("controlnet", &[Set(Control::ControlNet)]),
    ("control net", &[Set(Control::ControlNet)]),
    ("attention", &[Set(Control::Heads), Set(Control::Tokens)]),
    ("token", &[Set(Control::Tokens)]),
    ("ensemble", &[Set(Control::Ensemble)]),
    ("similarity", &[Do(Action::Overlay)]),
    (
        "correspondence",
        &[Set(Control::Matches), Do(Action::AddPane(PaneKind::Rank))],
    ),
    ("cosine", &[Do(Action::Overlay)]),
    ("noise", &[Set(Control::Timestep)]),
    ("wipe", &[Do(Action::AddPane(PaneKind::Compare))]),
    ("screenshot", &[Do(Action::Screenshot)]),
    ("copy image", &[Do(Action::CopyImage)]),
    ("save image", &[Do(Action::Screenshot), Do(Action::ExportPanes)]),
    ("numpy", &[Do(Action::SaveMap)]),
    ("npy", &[Do(Action::SaveMap)]),
    ("fullscreen", &[Do(Action::Fullscreen)]),
    ("full screen", &[Do(Action::Fullscreen)]),
    ("maximize", &[Do(Action::Fullscreen)]),
    ("maximise", &[Do(Action::Fullscreen)]),
    ("reset", &[Do(Action::ResetSettings)]),
    ("preferences", &[Do(Action::Settings)]),
    ("settings", &[Do(Action::Settings)]),
    ("shortcuts", &[Do(Action::Keys)]),
    ("keyboard", &[Do(Action::Keys)]),
    ("download", &[Do(Action::Models)]),
    ("dark mode", &[Do(Action::Theme)]),
    ("light mode", &[Do(Action::Theme)]),
    ("theme", &[Do(Action::Theme)]),
    ("exit", &[Do(Action::Quit)]),
    ("quit", &[Do(Action::Quit)]),
    ("resolution", &[Set(Control::Size)]),
    ("size", &[Set(Control::Size)]),
    ("zoom", &[Do(Action::ZoomIn)]),
    ("undo", &[Do(Action::Undo)]),
    ("export", &[Do(Action::ExportPanes)]),
    (
        "layers",
        &[Do(Action::SearchLayers), Do(Action::AddPane(PaneKind::Sheet))],
    ),
    ("survey", &[Do(Action::Survey)]),
    ("contact sheet", &[Do(Action::AddPane(PaneKind::Sheet))]),
    ("cka", &[Do(Action::AddPane(PaneKind::Cka))]),
    ("pca", &[Do(Action::AddPane(PaneKind::Pca)), Set(Control::PcaBasis)]),
    ("rank", &[Do(Action::AddPane(PaneKind::Rank))]),
    (
        "compare",
        &[Do(Action::AddPane(PaneKind::Compare)), Do(Action::SetCompareSide)],
    ),
    ("help", &[Do(Action::Keys), Do(Action::Tour)]),
    ("tour", &[Do(Action::Tour)]),
    ("tutorial", &[Do(Action::Tour)]),
    ("log", &[Do(Action::Log)]),
    ("gpu", &[Set(Control::Device)]),
    ("cuda", &[Set(Control::Device)]),
    ("device", &[Set(Control::Device)]),
    ("dtype", &[Set(Control::Format)]),
    ("fp16", &[Set(Control::Format)]),
    ("pin", &[Do(Action::AddPin)]),
    ("match", &[Set(Control::Matches)]),
    ("brush", &[Do(Action::Brush)]),
    ("grid", &[Do(Action::Grid)]),
    ("model", &[Set(Control::Model)]),
    ("open", &[Do(Action::OpenPicture)]),
    ("open image", &[Do(Action::OpenPicture)]),
    ("save", &[Do(Action::SaveWorkspace)]),
    ("interpolation", &[Do(Action::Smooth)]),
    ("gamma", &[Set(Control::Gamma)]),
    ("mask", &[Do(Action::Foreground)]),
    ("massive activations", &[Do(Action::DropMassive)]),
    ("filmstrip", &[Do(Action::AddPane(PaneKind::Strip))]),
    ("font size", &[Do(Action::LargerInterface)]),
    ("stop", &[Do(Action::Cancel)]),
    ("crash", &[Do(Action::Recover)]),
    // A letter that is wrong, and beginnings.
    ("opactiy", &[Set(Control::Opacity)]),
    ("timestpe", &[Set(Control::Timestep)]),
    ("normalze", &[Do(Action::Normalise)]),
    ("screnshot", &[Do(Action::Screenshot)]),
    ("new rank", &[Do(Action::AddPane(PaneKind::Rank))]),
    ("full", &[Do(Action::Fullscreen)]),
];

/// Names of the entries of the palette, the first one first.
fn entries(window: &Window) -> Vec<String> {
    let nodes = window.harness.root().children_recursive();
    let behind = nodes.skip_while(|node| node.accesskit_node().label().as_deref() != Some("Command palette"));
    let buttons = behind.filter(|node| node.accesskit_node().role() == Role::Button);
    let labels = buttons.filter_map(|node| node.accesskit_node().label());
    labels
        .map(|label| label.split(", ").next().unwrap_or_default().to_owned())
        .collect()
}

fn type_into_palette(window: &mut Window, text: &str) {
    window.apply(Command::PaletteText(text.to_owned()));
    window.step();
}

#[test]
fn what_people_type_finds_what_they_mean() {
    let mut window = Window::settled();
    let mut missed = Vec::new();
    for (words, meant) in WORDS {
        type_into_palette(&mut window, words);
        let found = entries(&window);
        let first = &found[..found.len().min(FIRST)];
        if !meant
            .iter()
            .all(|meant| first.iter().any(|entry| entry == meant.name()))
        {
            missed.push((
                words,
                meant.iter().map(|meant| meant.name()).collect::<Vec<_>>(),
                first.to_vec(),
            ));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn nothing_typed_lists_everything_and_what_was_chosen_lately_first() {
    let mut window = Window::settled();
    type_into_palette(&mut window, "");
    let all = entries(&window);
    for action in Action::ALL.iter().filter(|action| **action != Action::Palette) {
        assert!(all.iter().any(|entry| entry == action.name()), "{action:?}");
    }
    window.act(Action::Palette);
    for words in ["cell grid", "opacity", "mid res-out"] {
        window.key_with(CTRL, Key::P);
        window.type_text(words);
        window.settle();
        window.key(Key::Enter);
        window.settle();
    }
    window.key(Key::Escape);
    window.key_with(CTRL, Key::P);
    window.settle();
    let recent = entries(&window);
    assert!(recent[0].contains("res-out"), "{:?}", &recent[..4]);
    assert_eq!(recent[1..3], ["Opacity", "Cell grid"]);
    assert_eq!(window.state().preferences.choices.len(), 3);
    window.assert_says("recent");
    // Of what fits alike, what was chosen comes first.
    type_into_palette(&mut window, "zoom");
    assert_eq!(entries(&window)[..2], ["Zoom in", "Zoom out"]);
    window.key(Key::ArrowDown);
    window.key(Key::Enter);
    window.settle();
    type_into_palette(&mut window, "zoom");
    assert_eq!(entries(&window)[..2], ["Zoom out", "Zoom in"]);
}

#[test]
fn another_name_is_shown_beside_the_entry_it_found() {
    let mut window = Window::settled();
    type_into_palette(&mut window, "exit");
    assert!(window.harness.query_by_label("Quit, File Ctrl+Q").is_some());
    assert_eq!(entries(&window)[0], "Quit");
}

#[test]
fn what_cannot_be_done_is_shown_and_does_nothing() {
    let mut window = Window::settled();
    type_into_palette(&mut window, "delete pin");
    assert_eq!(entries(&window)[0], "Delete pin");
    let before = window.document().clone();
    window.key(Key::Enter);
    window.settle();
    assert_eq!(*window.document(), before);
    // A discarded recovery is none of what can be chosen.
    window.apply(Command::Recover(RecoverCommand::Discard(window.path("nothing"))));
}

/// What has the keyboard after a setting was chosen by its name.
fn focused_after(window: &mut Window, words: &str) -> Option<String> {
    window.key_with(CTRL, Key::P);
    window.type_text(words);
    window.settle();
    window.key(Key::Enter);
    window.settle();
    assert_eq!(window.state().overlays.palette, None);
    let mut nodes = window.harness.root().children_recursive();
    let focused = nodes.find(|node| node.accesskit_node().is_focused())?;
    let node = focused.accesskit_node();
    Some(format!(
        "{} {}",
        node.label().unwrap_or_default(),
        node.value().unwrap_or_default()
    ))
}

#[test]
fn a_setting_chosen_by_its_name_gets_the_keyboard() {
    let mut window = Window::settled();
    window.apply_and_settle(Command::SelectLayer(id(TEXT_MAP)));
    for (words, expected) in [
        ("prompt", "Prompt"),
        ("opacity", "Opacity"),
        ("colormap", "Colour map"),
        ("gamma", "Gamma"),
        ("model", "Model"),
        ("lora", "Add LoRA"),
        ("pca fitted", "PCA fitted on"),
        ("tokens", "Tokens"),
        ("heads", "Attention heads"),
    ] {
        // Neither side is shown: the one that it is on comes.
        for action in [Action::Settings, Action::Inspector] {
            if featscope::app::Abilities::is_on(window.state(), action) == Some(true) {
                window.act(action);
            }
        }
        window.settle();
        let focused = focused_after(&mut window, words).unwrap_or_default();
        assert!(focused.contains(expected), "{words}: {focused}");
        window.key(Key::Escape);
    }
    // What is typed then is its number.
    focused_after(&mut window, "seed");
    window.key_with(CTRL, Key::A);
    window.type_text("42");
    window.key(Key::Enter);
    window.settle();
    assert_eq!(window.document().settings.seed, 42);
}

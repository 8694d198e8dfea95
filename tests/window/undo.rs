//! Undo and redo of everything that changes what is seen.

use egui::{Key, Modifiers};
use featscope::{
    analysis::colour::RangeRule,
    app::{Action, Command, Document, PaneKind, PathPurpose, RangeMode},
    engine::{BasisChoice, ImageSlot, QueryAt},
    render::ColourMap,
};

use super::{
    driver::{CTRL, Window, sample},
    model::{MASSIVE_LAYER, id},
};

/// What is done, by its name.
type Change = (&'static str, fn(&mut Window));

const CHANGES: &[Change] = &[
    ("a layer", |window| {
        window.apply(Command::SelectLayer(id(MASSIVE_LAYER)))
    }),
    ("a prompt", |window| {
        let mut settings = window.document().settings.clone();
        settings.prompt = "a cat".to_owned();
        window.apply(Command::Settings(settings));
    }),
    ("t", |window| window.act(Action::LaterTimestep)),
    ("a pin", |window| window.act(Action::AddPin)),
    ("a pin by click", |window| {
        window.click(window.place(PaneKind::Picture, ImageSlot::A, [0.4, 0.4]))
    }),
    ("a region", |window| {
        let [from, to] = [[0.4, 0.5], [0.6, 0.5]].map(|share| window.place(PaneKind::Picture, ImageSlot::B, share));
        window.drag_with(CTRL, &[from, to]);
    }),
    ("the number of matches", |window| window.apply(Command::TopK(7))),
    ("colours", |window| window.key(Key::C)),
    ("opacity", |window| window.key_with(Modifiers::SHIFT, Key::ArrowDown)),
    ("a range", |window| {
        let mut display = window.document().display.clone();
        display.range = RangeMode::Fixed([0.25, 0.5]);
        display.channel_map = ColourMap::ALL[2];
        window.apply(Command::Display(display));
    }),
    ("cells", |window| window.key(Key::G)),
    ("whitened", |window| window.key(Key::W)),
    ("a basis", |window| {
        let mut pca = window.document().pca.clone();
        pca.basis = BasisChoice::Of(ImageSlot::B);
        pca.clip = RangeRule::Percentile { low: 2.0, high: 98.0 };
        pca.shown = [4, 5, 6];
        window.apply(Command::Pca(pca));
    }),
    ("a mask", |window| window.key(Key::M)),
    ("a channel", |window| window.apply(Command::Channel(2))),
    ("a zoom", |window| {
        window.wheel(window.place(PaneKind::Picture, ImageSlot::A, [0.4, 0.4]), 200.0)
    }),
    ("a move", |window| {
        let [from, to] = [[0.5, 0.5], [0.6, 0.4]].map(|share| window.place(PaneKind::Pca, ImageSlot::A, share));
        window.drag(from, to);
    }),
    ("panes on their own", |window| window.key(Key::L)),
    ("a new pane", |window| window.act(Action::AddPane(PaneKind::Heat))),
    ("a closed pane", |window| {
        window.apply(Command::ClosePane(window.tile(PaneKind::Pca, ImageSlot::B)))
    }),
    ("a pane of another kind", |window| {
        let tile = window.tile(PaneKind::Pca, ImageSlot::B);
        let pane = featscope::app::Pane::new(PaneKind::Heat, ImageSlot::A);
        window.apply(Command::ChangePane(tile, pane));
    }),
    ("another picture", |window| {
        window.open_picture(ImageSlot::A, sample("noto-panda"));
    }),
    ("one more picture", |window| {
        window.open_picture(ImageSlot::nth(2).expect("a slot"), sample("noto-fox"));
    }),
    ("a closed picture", |window| {
        window.apply(Command::ClosePicture(ImageSlot::A))
    }),
    ("swapped pictures", |window| {
        let before = window.document().pictures.clone();
        window.act(Action::SwapPictures);
        window.until("swapped pictures", |window| window.document().pictures != before);
    }),
    ("another model", |window| {
        window.apply(Command::LoadModel("fake-small".to_owned()));
        window.until("another model", |window| {
            window.document().model.as_deref() == Some("fake-small")
        });
    }),
];

/// What is seen of the pictures, as far as the workers made it.
fn shown(window: &Window) -> Vec<(Option<u64>, Option<Vec<u8>>)> {
    let slots = ImageSlot::all().take(4).map(|slot| window.state().slot(slot));
    slots
        .map(|slot| {
            let picture = slot.picture.as_ref().map(|picture| picture.fingerprint);
            (picture, slot.pca.as_ref().map(|view| view.rgb.clone()))
        })
        .collect()
}

/// A window in which undo has something to go back to, with a pin on each picture.
fn prepared() -> Window {
    let mut window = Window::settled();
    for slot in [ImageSlot::A, ImageSlot::B] {
        window.apply(Command::AddPin(slot, QueryAt::Point([90.0, 70.0])));
        window.pause();
    }
    window.apply(Command::SelectPin(None));
    window.pause();
    window.settle();
    window
}

#[test]
fn every_change_is_one_step_back_and_one_forward() {
    for (name, change) in CHANGES {
        let mut window = prepared();
        let (before, seen_before) = (window.document().clone(), shown(&window));
        change(&mut window);
        window.leave();
        window.settle();
        window.pause();
        let (after, seen_after) = (window.document().clone(), shown(&window));
        assert_ne!(after, before, "{name} changes something");

        window.key_with(CTRL, Key::Z);
        window.settle();
        assert_same(&window, &before, name, "undone");
        assert_eq!(shown(&window), seen_before, "{name} undone");
        window.key_with(CTRL, Key::Y);
        window.settle();
        assert_same(&window, &after, name, "redone");
        assert_eq!(shown(&window), seen_after, "{name} redone");
        assert_eq!(
            window.app().can_undo_redo(),
            [true, false],
            "{name}: nothing more to redo"
        );
    }
}

#[track_caller]
fn assert_same(window: &Window, expected: &Document, name: &str, what: &str) {
    assert_eq!(window.document(), expected, "{name} {what}");
}

#[test]
fn all_changes_one_after_another_are_undone_in_turn() {
    let mut window = prepared();
    let mut documents = vec![window.document().clone()];
    for (name, change) in CHANGES {
        // What moves with panes of its own, or is gone, is done elsewhere.
        if matches!(
            *name,
            "a closed pane" | "a pane of another kind" | "a move" | "a region" | "a pin by click"
        ) {
            continue;
        }
        change(&mut window);
        window.leave();
        window.settle();
        window.pause();
        if documents.last() != Some(window.document()) {
            documents.push(window.document().clone());
        }
    }
    assert!(documents.len() > 15);
    for (step, document) in documents.iter().enumerate().rev().skip(1) {
        window.act(Action::Undo);
        window.settle();
        window.pause();
        assert_same(&window, document, &format!("step {step}"), "undone");
    }
    for (step, document) in documents.iter().enumerate().skip(1) {
        window.act(Action::Redo);
        window.settle();
        window.pause();
        assert_same(&window, document, &format!("step {step}"), "redone");
    }
}

#[test]
fn a_fresh_window_has_nothing_to_undo() {
    let mut window = Window::settled();
    assert_eq!(window.app().can_undo_redo(), [false, false]);
    let before = window.document().clone();
    window.key_with(CTRL, Key::Z);
    window.key_with(CTRL, Key::Y);
    window.settle();
    assert_eq!(*window.document(), before);
    // Where the pointer is and where one works is no step.
    window.hover(window.place(PaneKind::Picture, ImageSlot::A, [0.5, 0.5]));
    window.apply(Command::FocusPane(window.tile(PaneKind::Picture, ImageSlot::B)));
    window.key(Key::F6);
    window.settle();
    assert_eq!(window.app().can_undo_redo(), [false, false]);
}

#[test]
fn something_new_takes_the_place_of_what_was_undone() {
    let mut window = prepared();
    window.key(Key::C);
    window.pause();
    window.key_with(CTRL, Key::Z);
    window.settle();
    window.key(Key::G);
    window.pause();
    assert_eq!(window.app().can_undo_redo(), [true, false]);
}

#[test]
fn undo_that_cannot_be_done_says_why_and_leaves_the_window_alive() {
    let mut window = prepared();
    let path = window.path("gone.png");
    super::driver::write_columns(&path, &super::driver::COLOURS);
    window.open_picture(ImageSlot::A, featscope::engine::PictureSource::File(path.clone()));
    window.pause();
    window.open_picture(ImageSlot::A, sample("noto-panda"));
    window.pause();
    std::fs::remove_file(&path).expect("it is there");
    window.act(Action::Undo);
    window.until("an error", |window| window.state().slot(ImageSlot::A).error.is_some());
    window.settle();
    window.assert_says("gone.png");
    assert_eq!(window.document().pictures[&ImageSlot::A].source, sample("noto-panda"));
    // One more goes past it, and forward again.
    for (action, expected) in [(Action::Undo, "noto-cat-face"), (Action::Redo, "noto-panda")] {
        window.pause();
        window.act(action);
        window.settle();
        assert_eq!(window.document().pictures[&ImageSlot::A].source, sample(expected));
    }
}

#[test]
fn undo_to_a_model_that_is_gone_keeps_the_one_that_is_there() {
    let mut window = prepared();
    // A document of a model that is taken away, at a layer that the other model does not have.
    let path = window.path("workspace.featscope.json");
    window.apply(Command::UsePath(PathPurpose::SaveWorkspace, path.clone()));
    window.until("a saved workspace", |window| window.state().workspace_path.is_some());
    window.apply(Command::LoadModel("fake-small".to_owned()));
    window.until("another model", |window| {
        window.document().model.as_deref() == Some("fake-small")
    });
    window.settle();
    window.pause();
    let text = std::fs::read_to_string(&path).expect("it was written");
    std::fs::write(&path, text.replace("\"fake\"", "\"gone\"")).expect("it can be written");
    window.apply(Command::OpenFiles(vec![path]));
    window.until("an error", |window| window.state().model.error.is_some());
    window.settle();
    assert_eq!(window.document().model.as_deref(), Some("fake-small"));
    assert_eq!(window.state().run.error, None, "the layer is one that the model has");
    window.assert_says("there is no model \"gone\"");
}

/// Does something several times before the workers can answer.
fn at_once(window: &mut Window, actions: &[Action]) {
    let context = window.harness.ctx.clone();
    for action in actions {
        window.harness.state_mut().apply(Command::Act(*action), &context);
    }
    window.settle();
}

#[test]
fn undo_faster_than_pictures_and_models_come() {
    let mut window = prepared();
    let first = window.document().clone();
    window.open_picture(ImageSlot::A, sample("noto-fox"));
    window.pause();
    window.apply(Command::LoadModel("fake-small".to_owned()));
    window.until("another model", |window| {
        window.document().model.as_deref() == Some("fake-small")
    });
    window.settle();
    window.pause();
    window.open_picture(ImageSlot::A, sample("noto-bear"));
    window.pause();
    let last = window.document().clone();
    // There and back again, while everything that was asked for on the way is still to come.
    for _ in 0..3 {
        at_once(&mut window, &[Action::Undo, Action::Undo, Action::Undo]);
        assert_same(&window, &first, "three steps", "undone at once");
        at_once(&mut window, &[Action::Redo, Action::Redo, Action::Redo]);
        assert_same(&window, &last, "three steps", "redone at once");
        at_once(
            &mut window,
            &[
                Action::Undo,
                Action::Undo,
                Action::Undo,
                Action::Redo,
                Action::Redo,
                Action::Redo,
            ],
        );
        assert_same(&window, &last, "six steps", "at once");
    }
    assert_eq!(window.state().run.error, None);
}

#[test]
fn a_picture_that_is_closed_before_it_came_stays_closed() {
    let mut window = prepared();
    let context = window.harness.ctx.clone();
    let third = ImageSlot::nth(2).expect("a slot");
    for _ in 0..2 {
        for command in [
            Command::OpenPicture(third, sample("noto-fox")),
            Command::ClosePicture(third),
            Command::OpenPicture(ImageSlot::A, sample("noto-fox")),
            Command::ClosePicture(ImageSlot::A),
            Command::OpenPicture(ImageSlot::A, sample("noto-bear")),
        ] {
            window.harness.state_mut().apply(command, &context);
        }
        window.settle();
        assert!(window.state().slot(third).picture.is_none());
        assert!(!window.document().pictures.contains_key(&third));
        assert_eq!(window.document().pictures[&ImageSlot::A].source, sample("noto-bear"));
        assert!(
            window.state().slot(ImageSlot::A).pca.is_some(),
            "what is shown is what the worker has"
        );
    }
}

#[test]
fn a_picture_that_is_closed_while_it_moves_is_the_one_that_goes() {
    let mut window = prepared();
    let context = window.harness.ctx.clone();
    let stays = window.document().pictures[&ImageSlot::B].source.clone();
    for command in [
        Command::SwapPictures(ImageSlot::A, ImageSlot::B),
        Command::ClosePicture(ImageSlot::A),
    ] {
        window.harness.state_mut().apply(command, &context);
    }
    window.settle();
    let held: Vec<_> = window.document().pictures.iter().collect();
    assert_eq!(held.len(), 1);
    assert_eq!((*held[0].0, &held[0].1.source), (ImageSlot::A, &stays));
    assert!(window.state().slot(ImageSlot::B).picture.is_none());
    assert!(
        window.state().slot(ImageSlot::A).pca.is_some(),
        "what is shown is what the worker has"
    );
}

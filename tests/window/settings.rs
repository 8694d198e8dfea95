//! The left side: what a run depends on, and the list of layers. The look of the window as a whole.

use std::collections::BTreeSet;

use egui::{Key, Theme, Vec2, ViewportCommand, ViewportId, accesskit::Role, vec2};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use featscope::{
    app::{Action, Command, PaneKind},
    components::schedule::Timestep,
    engine::ImageSlot,
    extract::settings::LatentMode,
    geometry::framing::WorkingSize,
};

use super::{
    driver::{CTRL, Opening, Window, sample},
    model::{FIRST_LAYER, MASSIVE_LAYER, id},
};

#[test]
fn everything_a_run_depends_on_is_set_on_the_left() {
    let mut window = Window::settled();
    let before = window.document().settings.clone();
    window
        .harness
        .get_by_role_and_label(Role::Slider, "t")
        .set_value_accesskit(250.0);
    window.step();
    window.settle();
    assert_eq!(window.document().settings.t, 250);
    window.assert_says("t 250 ran");
    window.choose("square");
    assert_eq!(
        window.document().settings.size,
        Some(WorkingSize::Exact {
            width: 128,
            height: 128
        })
    );
    window.choose("sample the latent");
    assert_eq!(window.document().settings.latent, LatentMode::Sample);
    window.harness.get_by_label("Prompt").focus();
    window.step();
    window.type_text("a cat");
    window.settle();
    assert_eq!(window.document().settings.prompt, "a cat");
    let ran = window
        .state()
        .slot(ImageSlot::A)
        .capture
        .as_ref()
        .map(|capture| capture.settings.clone());
    assert_eq!(ran.as_ref(), Some(&window.document().settings));
    // What was typed and what was chosen are taken back one by one.
    for _ in 0..4 {
        window.act(Action::Undo);
        window.settle();
        window.pause();
    }
    assert_eq!(window.document().settings, before);
}

/// The share of noise is told of every t that runs, of a flow model at fractions too, and says what it is.
#[test]
fn the_noise_of_the_t_that_runs_is_told_on_one_axis() {
    let mut window = Window::settled();
    let t = window.document().settings.t;
    // √ā and √(1−ā) of the invented schedule at 100 of 1000.
    assert_eq!(t, 100);
    window.assert_says("t 100   √(1−ā) 0.3162   noise 25.0 %");
    window.apply(Command::LoadModel("fake-flow".to_owned()));
    window.until("a flow model", |window| {
        window.document().model.as_deref() == Some("fake-flow")
    });
    window.settle();
    let mut settings = window.document().settings.clone();
    settings.t = Timestep::of_tenths(1955);
    window.apply_and_settle(Command::Settings(settings.clone()));
    window.assert_says("t 195.5   σ 0.1955   noise 19.6 %");
    let slider = |window: &Window| {
        window
            .harness
            .get_by_role_and_label(Role::Slider, "t")
            .accesskit_node()
            .numeric_value()
    };
    assert_eq!(slider(&window), Some(195.5));
    window
        .harness
        .get_by_role_and_label(Role::Slider, "t")
        .set_value_accesskit(40.25);
    window.step();
    window.settle();
    assert_eq!(f64::from(window.document().settings.t), 40.25);
    // Of a nominal t it is told what ran.
    settings.nominal_t = true;
    window.apply(Command::Settings(settings));
    window.assert_says("is known when it has run");
}

/// An image encoder is asked for nothing that it does not read.
#[test]
fn an_image_encoder_has_neither_noise_nor_timestep() {
    let mut window = Opening::of_model("fake-encoder").settled();
    window.act(Action::AddPane(PaneKind::Sheet));
    window.settle();
    // The inspector is that of the pane worked in.
    window.assert_says("attention maps");
    window.assert_silent("noise samples");
    window.act(Action::AddPane(PaneKind::Rank));
    window.settle();
    for words in ["seed", "DDIM", "also at t", "sample the latent", "nominal", "guidance"] {
        window.assert_silent(words);
    }
    assert!(window.harness.query_by_role_and_label(Role::Slider, "t").is_none());
    assert!(window.harness.query_by_label("Prompt").is_none());
    assert!(window.harness.query_by_label("Sort by t").is_none());
    let mut denoiser = Window::settled();
    denoiser.act(Action::AddPane(PaneKind::Sheet));
    denoiser.settle();
    denoiser.assert_says("noise samples");
    denoiser.act(Action::AddPane(PaneKind::Rank));
    denoiser.settle();
    denoiser.assert_says("also at t");
}

/// Only a model that reads a class shows one.
#[test]
fn a_class_is_told_to_models_that_read_one() {
    let mut window = Window::settled();
    assert!(window.named("class").next().is_none());
    window.apply(Command::LoadModel("fake-classes".to_owned()));
    window.until("a model with classes", |window| {
        window.document().model.as_deref() == Some("fake-classes")
    });
    window.settle();
    assert_eq!(window.document().settings.class, None);
    window.choose("class");
    assert_eq!(window.document().settings.class, Some(0));
    window.assert_says("tench");
    window.choose("class");
    assert_eq!(window.document().settings.class, None);
    window.assert_silent("tench");
}

#[test]
fn keys_walk_through_layers_and_t() {
    let mut window = Window::settled();
    let pca = window.pixels(PaneKind::Pca, ImageSlot::A);
    window.key(Key::Period);
    let next = window.layer();
    assert_ne!(next, id(FIRST_LAYER));
    window.settle();
    window.assert_says(&format!("PCA of A  {next}"));
    assert_ne!(window.pixels(PaneKind::Pca, ImageSlot::A), pca);
    window.key(Key::Comma);
    assert_eq!(window.layer(), id(FIRST_LAYER));
    window.key(Key::PageUp);
    assert_eq!(window.layer(), id("unet-in"), "ten back end at the first");
    window.key(Key::PageDown);
    window.key(Key::PageDown);
    assert_eq!(window.layer(), id("unet-out"));
    let t = window.document().settings.t;
    window.key(Key::CloseBracket);
    window.key(Key::OpenBracket);
    window.key(Key::OpenBracket);
    assert!(window.document().settings.t < t);
    for _ in 0..20 {
        window.key(Key::OpenBracket);
    }
    assert_eq!(window.document().settings.t, 0);
}

#[test]
fn a_layer_is_chosen_in_the_tree() {
    let mut window = Window::settled();
    window.choose("mid");
    window.choose("repeat 0 res-out");
    assert_eq!(window.layer(), id(MASSIVE_LAYER));
    window.assert_says("24, 8 × 8");
    // One that is selected elsewhere is brought into sight.
    window.select("down-level1-repeat0-res-out");
    window.harness.run();
    assert!(
        window
            .named("res-out")
            .any(|node| node.accesskit_node().toggled().is_some())
    );
    // Another model has other layers; what it lacks is not shown any more.
    window.select("unet-out");
    window.apply(Command::LoadModel("fake-small".to_owned()));
    window.until("another model", |window| {
        window.document().model.as_deref() == Some("fake-small")
    });
    window.settle();
    assert_eq!(
        window.layer(),
        id("down-level1-repeat0-res-out"),
        "the last that it has"
    );
    window.assert_silent("unet-out");
}

#[test]
fn another_model_begins_with_its_own_t_and_the_same_one_keeps_what_is_set() {
    let mut window = Window::settled();
    window.key(Key::CloseBracket);
    window.settle();
    let t = window.document().settings.t;
    let generation = window.state().model.generation;
    window.apply(Command::LoadModel("fake".to_owned()));
    window.until("the same model again", |window| {
        window.state().model.generation > generation
    });
    window.settle();
    assert_eq!(window.document().settings.t, t);
    window.apply(Command::LoadModel("fake-other".to_owned()));
    window.until("another model", |window| {
        window.document().model.as_deref() == Some("fake-other")
    });
    window.settle();
    assert_eq!(window.document().settings.t, 100);
    assert_eq!(window.state().preferences.models, ["fake-other", "fake"]);
}

#[test]
fn samples_are_opened_from_the_toolbar() {
    let mut window = Window::settled();
    for name in ["+ C", "Samples", "noto-lion"] {
        let found = window.words().into_iter().find(|words| words.starts_with(name));
        window.choose(&found.expect("it is offered"));
    }
    window.until("another picture", |window| window.says("C: noto-lion"));
    window.settle();
    assert_eq!(window.titles().len(), 6);
}

#[test]
fn small_and_large_windows_hold_everything() {
    for (size, pixels_per_point) in [
        (vec2(720.0, 480.0), 1.0),
        (vec2(720.0, 480.0), 2.0),
        (vec2(2560.0, 1440.0), 1.0),
    ] {
        let opening = Opening {
            size,
            pixels_per_point,
            ..Opening::default()
        };
        let mut window = opening.settled();
        window.act(Action::AddPin);
        window.settle();
        let inside = egui::Rect::from_min_size(egui::Pos2::ZERO, size);
        for kind in [PaneKind::Picture, PaneKind::Pca] {
            for slot in [ImageSlot::A, ImageSlot::B] {
                let rect = window.canvas(kind, slot);
                assert!(inside.expand(0.5).contains_rect(rect), "{kind:?} at {rect} in {size}");
                assert!(
                    rect.width() > 20.0 && rect.height() > 20.0,
                    "{kind:?} is {}",
                    rect.size()
                );
            }
        }
    }
}

#[test]
fn dark_and_light_differ_and_the_interface_has_many_sizes() {
    let mut window = Window::settled();
    assert_eq!(window.harness.ctx.theme(), Theme::Dark);
    let dark = window.render();
    window.key(Key::F9);
    window.settle();
    assert_eq!(window.harness.ctx.theme(), Theme::Light);
    assert_ne!(window.render(), dark);
    window.key(Key::F9);
    window.settle();
    assert_eq!(window.harness.ctx.theme(), Theme::Dark);
    let letters = |window: &Window| window.harness.get_by_label("File").rect().size();
    let [_, first] = [Vec2::ZERO, letters(&window)];
    for (key, factor) in [
        (Key::Plus, 1.1),
        (Key::Minus, 1.0),
        (Key::Minus, 1.0 / 1.1),
        (Key::Num0, 1.0),
    ] {
        window.key_with(CTRL, key);
        window.settle();
        assert!((window.harness.ctx.zoom_factor() - factor).abs() < 1e-3, "{key:?}");
        assert!((letters(&window).x - first.x).abs() < 2.0, "points stay points");
    }
}

#[test]
fn sides_are_hidden_and_shown() {
    let mut window = Window::settled();
    let before = window.canvas(PaneKind::Picture, ImageSlot::A);
    for (key, words) in [(Key::F7, "Run settings"), (Key::F8, "Pins and matches")] {
        window.key(key);
        window.settle();
        window.assert_silent(words);
        assert!(window.canvas(PaneKind::Picture, ImageSlot::A).width() > before.width());
        window.key(key);
        window.settle();
        window.assert_says(words);
        assert_eq!(window.canvas(PaneKind::Picture, ImageSlot::A).width(), before.width());
    }
    // The search is brought back by its key.
    window.key(Key::F7);
    window.key_with(CTRL, Key::F);
    window.settle();
    assert!(window.harness.get_by_label("Search layers").is_focused());
}

#[test]
fn the_desktop_is_asked_to_close_and_to_fill_the_screen() {
    let mut window = Window::settled();
    let asked = |window: &mut Window, action| {
        window.act(action);
        window.harness.output().viewport_output[&ViewportId::ROOT]
            .commands
            .clone()
    };
    assert!(asked(&mut window, Action::Quit).contains(&ViewportCommand::Close));
    assert!(asked(&mut window, Action::Fullscreen).contains(&ViewportCommand::Fullscreen(true)));
}

#[test]
fn pictures_of_any_shape_are_shown() {
    let mut window = Window::settled();
    let mut shown = BTreeSet::new();
    for (width, height) in [(1, 1), (300, 20), (20, 300), (3000, 2000)] {
        let path = window.path(&format!("{width}x{height}.png"));
        image::RgbImage::from_fn(width, height, |x, y| image::Rgb([(x % 256) as u8, (y % 256) as u8, 90]))
            .save(&path)
            .expect("a picture");
        window.open_picture(ImageSlot::A, featscope::engine::PictureSource::File(path));
        if let Some(error) = &window.state().run.error {
            // So narrow a picture becomes longer than any model takes.
            assert!(error.contains("too large") || error.contains("too small"), "{error}");
            window.open_picture(ImageSlot::A, sample("noto-fox"));
            continue;
        }
        shown.insert((width, height));
        window.hover(window.canvas(PaneKind::Picture, ImageSlot::A).center());
        window.settle();
        assert!(window.state().heat_on(ImageSlot::B).is_some());
    }
    assert!(shown.len() > 2, "{shown:?}");
}

#[test]
fn the_selected_layer_is_in_sight_also_when_there_is_less_room() {
    let mut window = Window::settled();
    for height in [860.0, 560.0, 520.0, 860.0, 540.0] {
        window.harness.set_size(vec2(1360.0, height));
        window.settle();
        let row = window.named("cross-q").next().expect("it is selected").rect();
        assert!(row.bottom() < height - 60.0, "{row} in {height}");
    }
}

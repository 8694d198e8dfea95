//! What a model is told and what is put on it: tokens, words of attention to text, LoRAs, ControlNets, presets.

use std::path::PathBuf;

use egui::accesskit::Role;
use egui_kittest::kittest::Queryable as _;
use featscope::{
    app::{Action, Command, PaneKind, PathPurpose},
    engine::{ImageSlot, QueryAt},
    extract::{
        inversion::Inversion,
        preset::{PRESETS, Preset},
    },
    geometry::framing::WorkingSize,
    model::adapters::{ControlImage, Scale},
};

use super::{
    driver::{Opening, Window},
    model::{TEXT_MAP, WORDS},
};

fn preset(key: &str) -> &'static Preset {
    Preset::find(key).expect("a preset of that name")
}

#[test]
fn a_prompt_is_told_with_its_tokens() {
    let mut window = Window::settled();
    window.assert_says(&format!("{} of 75 tokens", WORDS.len()));
    window.choose(&format!("{} of 75 tokens", WORDS.len()));
    window.settle();
    for word in WORDS {
        window.assert_says(&format!("{word} "));
    }
    window.assert_says("+ 72 of padding");
}

#[test]
fn a_word_shows_where_it_is_looked_for_and_a_point_ranks_the_words() {
    // Columns of red, green, blue and yellow, of four cells each.
    let mut window = Opening::of_columns(2).settled();
    window.select(TEXT_MAP);
    window.settle();
    window.hover(window.screen(PaneKind::Picture, ImageSlot::A, [12.0, 60.0]));
    window.settle();
    let heat = window.state().heat.clone().expect("a query at a point");
    let best = (0..heat.words.len()).max_by(|a, b| heat.words[*a].total_cmp(&heat.words[*b]));
    assert_eq!(best, Some(1), "the token after the start is red");
    window.leave();
    window.apply_and_settle(Command::Word(Some(2)));
    let heat = window
        .state()
        .current_heat()
        .cloned()
        .expect("where green is looked for");
    assert_eq!(heat.query.at, QueryAt::Word(2));
    let target = heat.targets.iter().find(|target| target.slot == ImageSlot::A);
    let scores = &target.expect("picture A").scores;
    let (red, green) = (scores[1], scores[5]);
    assert!(green > 2.0 * red, "green is in the second column: {red} and {green}");
    assert!(
        window.state().heat_on(ImageSlot::B).is_some(),
        "every picture is looked at for it"
    );
    // It belongs to attention to text, and goes with undo.
    window.pause();
    window.act(Action::Undo);
    window.settle();
    assert_eq!(window.document().word, None);
}

#[test]
fn words_that_are_pointed_at_are_shown_at_once() {
    let mut window = Opening::of_columns(2).settled();
    window.select(TEXT_MAP);
    window.settle();
    let before = window.document().clone();
    let green = window.named("green ").next().expect("the word is listed").rect();
    window.hover(green.center());
    window.settle();
    let heat = window.state().current_heat().cloned();
    assert!(heat.is_some_and(|heat| heat.query.at == QueryAt::Word(2)));
    assert_eq!(*window.document(), before, "pointing changes nothing that is kept");
    window.leave();
    window.settle();
    assert_eq!(window.state().hover_word, None);
    window.apply_and_settle(Command::Word(Some(1000)));
    assert!(window.state().view_error.is_some(), "there is no such token");
}

#[test]
fn embeddings_are_added_named_switched_and_taken_off() {
    let mut window = Window::settled();
    let file = PathBuf::from("/somewhere/cat-toy.bin");
    window.apply_and_settle(Command::UsePath(PathPurpose::Embedding, file.clone()));
    let embeddings = |window: &Window| window.document().settings.adapters.embeddings.clone();
    assert_eq!(embeddings(&window)[0].file, file);
    assert!(embeddings(&window)[0].on && embeddings(&window)[0].token.is_none());
    let capture = window.state().slot(ImageSlot::A).capture.clone().expect("a run");
    assert_eq!(
        capture.settings.adapters.embeddings,
        embeddings(&window),
        "they take part in the run"
    );
    window.choose("cat-toy.bin");
    window.settle();
    assert!(!embeddings(&window)[0].on);
    let net = PathBuf::from("/somewhere/net.safetensors");
    window.apply_and_settle(Command::UsePath(PathPurpose::ControlNetFile, net.clone()));
    assert_eq!(window.document().settings.adapters.controls[0].net, net);
    for _ in 0..3 {
        window.act(Action::Undo);
        window.settle();
    }
    assert!(window.document().settings.adapters.is_empty());
}

#[test]
fn loras_and_controlnets_are_put_on_switched_and_taken_off() {
    let mut window = Window::settled();
    let lora = PathBuf::from("/somewhere/style.safetensors");
    let net = PathBuf::from("/somewhere/sd-controlnet-canny");
    window.apply_and_settle(Command::UsePath(PathPurpose::Lora, lora.clone()));
    window.pause();
    window.apply_and_settle(Command::UsePath(PathPurpose::ControlNet, net.clone()));
    window.pause();
    let adapters = window.document().settings.adapters.clone();
    assert_eq!((&adapters.loras[0].file, &adapters.controls[0].net), (&lora, &net));
    assert_eq!(adapters.controls[0].image, ControlImage::Canny);
    let capture = window.state().slot(ImageSlot::A).capture.clone().expect("a run");
    assert_eq!(capture.settings.adapters, adapters, "they take part in the run");
    // Off: the pass from before is there again, so nothing runs.
    window.choose("style.safetensors");
    window.settle();
    assert!(!window.document().settings.adapters.loras[0].on);
    let depth = PathBuf::from("/somewhere/depth.png");
    window.apply_and_settle(Command::UsePath(PathPurpose::ControlImage(0), depth.clone()));
    assert_eq!(
        window.document().settings.adapters.controls[0].image,
        ControlImage::Picture(depth)
    );
    window.assert_says("depth.png");
    window.choose("its edges");
    assert_eq!(
        window.document().settings.adapters.controls[0].image,
        ControlImage::Canny
    );
    window.apply_and_settle(Command::UsePath(PathPurpose::ControlImage(9), "x.png".into()));
    for _ in 0..8 {
        window.act(Action::Undo);
        window.settle();
    }
    assert!(window.document().settings.adapters.is_empty());
}

#[test]
fn scales_are_numbers_within_reason() {
    for wrong in [f64::NAN, f64::INFINITY, 1e9] {
        assert!(Scale::try_from(wrong).is_err());
    }
}

#[test]
fn a_preset_sets_everything_and_one_that_is_not_here_changes_nothing() {
    let mut window = Window::settled();
    let before = window.document().clone();
    // The fake extractor has no model of that name.
    window.apply_and_settle(Command::Preset(preset("sd15-practical"), true));
    assert!(window.state().model.error.is_some());
    assert_eq!(window.document().settings, before.settings);
    assert_eq!(window.document().layer, before.layer);
    window.pause();
    window.apply_and_settle(Command::Preset(preset("dift"), false));
    let settings = &window.document().settings;
    assert_eq!(
        (settings.t, settings.ensemble, settings.inversion),
        (261.into(), 8, Inversion::None)
    );
    let square = WorkingSize::Exact {
        width: 768,
        height: 768,
    };
    assert_eq!(settings.size, Some(square));
    window.assert_says("Replace {category} with what is in the picture.");
    window.pause();
    window.act(Action::Undo);
    window.settle();
    assert_eq!(window.document().settings, before.settings);
}

#[test]
fn presets_are_in_the_menu_and_in_the_palette() {
    let mut window = Window::settled();
    window.apply(Command::Act(Action::Palette));
    window.apply_and_settle(Command::PaletteText("dift preset".to_owned()));
    window.assert_says("DIFT on SD2.1  (sd21)");
    window.apply(Command::Act(Action::Palette));
    window.settle();
    window.harness.get_by_role_and_label(Role::Button, "Model").click();
    window.step();
    window.settle();
    window.choose("Presets");
    window.settle();
    window.assert_says(PRESETS[0].title);
}

#[test]
fn inversion_is_a_switch() {
    let mut window = Window::settled();
    window.choose("Advanced: run");
    window.choose("DDIM inversion");
    window.settle();
    assert_eq!(window.document().settings.inversion, Inversion::Ddim);
}

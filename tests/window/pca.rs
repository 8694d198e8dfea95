//! PCA colours: basis, preparation, clip, components, mask.

use std::fs;

use egui::{Key, accesskit::Role};
use egui_kittest::kittest::Queryable as _;
use featscope::{
    analysis::{colour::RangeRule, pca::SignRule},
    app::{Action, Command, Notice, PaneKind, PathPurpose},
    engine::{BasisChoice, ImageSlot, PcaSettings, PcaView},
};

use super::{
    TestResult,
    driver::{Opening, Window},
    model::MASSIVE_LAYER,
};

#[track_caller]
fn view(window: &Window, slot: ImageSlot) -> PcaView {
    let view = window.state().slot(slot).pca.as_ref().expect("PCA colours");
    (**view).clone()
}

type Change = fn(&mut PcaSettings);

#[test]
fn every_setting_is_asked_for_and_seen() {
    let mut window = Window::settled();
    let plain = window.document().pca.clone();
    let mut seen = vec![(
        view(&window, ImageSlot::B).rgb,
        window.pixels(PaneKind::Pca, ImageSlot::B),
    )];
    let changes: [(&str, Change); 9] = [
        ("each alone", |pca| pca.basis = BasisChoice::Each),
        ("of A", |pca| pca.basis = BasisChoice::Of(ImageSlot::A)),
        ("not centred", |pca| pca.options.centre = false),
        ("L2", |pca| pca.options.l2_normalise_positions = true),
        ("clipped", |pca| {
            pca.clip = RangeRule::Percentile { low: 10.0, high: 90.0 }
        }),
        ("components", |pca| pca.shown = [3, 1, 2]),
        ("last components", |pca| pca.shown = [5, 6, 7]),
        ("one component", |pca| pca.shown = [0, 0, 0]),
        ("order", |pca| pca.shown = [2, 1, 0]),
    ];
    for (name, change) in changes {
        let mut pca = plain.clone();
        change(&mut pca);
        window.apply_and_settle(Command::Pca(pca.clone()));
        let shown = view(&window, ImageSlot::B);
        assert_eq!(shown.query.settings, pca, "{name}");
        let pixels = window.pixels(PaneKind::Pca, ImageSlot::B);
        assert!(
            !seen.contains(&(shown.rgb.clone(), pixels.clone())),
            "{name} is not seen"
        );
        seen.push((shown.rgb, pixels));
    }
    // Back to the first: it is remembered, and looks the same.
    window.apply_and_settle(Command::Pca(plain));
    assert_eq!(
        (
            view(&window, ImageSlot::B).rgb,
            window.pixels(PaneKind::Pca, ImageSlot::B)
        ),
        seen[0]
    );
}

#[test]
fn controls_and_footers_say_how_colours_are_made() {
    let mut window = Window::settled();
    window.assert_says("basis of all pictures, centred, lowest to highest");
    window.work_in(PaneKind::Pca, ImageSlot::A);
    window.choose("Advanced: PCA");
    window.choose("Centre");
    assert!(!window.document().pca.options.centre);
    window.assert_says("not centred");
    window.choose("L2-normalise positions");
    window.choose("Whiten components");
    assert!(window.document().pca.options.l2_normalise_positions && window.document().pca.options.whiten);
    window.assert_says("not centred, L2, whitened");
    window.choose("loading");
    assert_eq!(window.document().pca.options.sign, SignRule::Loading);
    window.choose("Clip at percentiles");
    window.assert_says("percentiles 1–99");
    assert_eq!(view(&window, ImageSlot::A).query.settings, window.document().pca);
    for (key, words) in [(Key::T, "basis of this map"), (Key::T, "basis of all pictures")] {
        window.key(key);
        window.settle();
        window.assert_says(words);
    }
    window.key(Key::W);
    window.key(Key::Y);
    window.settle();
    assert!(!window.document().pca.options.whiten && !window.document().pca.options.l2_normalise_positions);
}

#[test]
fn a_click_on_a_bar_of_the_variance_shows_that_component() {
    let mut window = Window::settled();
    window.work_in(PaneKind::Pca, ImageSlot::A);
    let bars = window
        .words()
        .into_iter()
        .find(|text| text.starts_with("Explained variance: "));
    let bars = bars.expect("the bars say what they show");
    window.harness.get_by_label(&bars).scroll_to_me();
    window.harness.run();
    let rect = window.harness.get_by_label(&bars).rect();
    let before = view(&window, ImageSlot::A).rgb;
    // The third of the bars.
    window.click(rect.left_top() + egui::vec2(2.0 * 18.0 + 6.0, 20.0));
    window.settle();
    assert_eq!(window.document().pca.shown[0], 2);
    assert_ne!(view(&window, ImageSlot::A).rgb, before);
}

#[test]
fn background_is_left_out_by_the_first_component() {
    let mut window = Opening::of_columns(2).settled();
    let whole = view(&window, ImageSlot::A);
    window.work_in(PaneKind::Pca, ImageSlot::A);
    window.key(Key::M);
    let mask = window.document().mask;
    assert!(mask.on);
    window.assert_says("foreground above");
    window.leave();
    window.settle();
    // The middle of each column is black where its first component lies below the threshold.
    let check = |window: &mut Window| {
        let mask = window.document().mask;
        let shown = view(window, ImageSlot::A);
        let picture = window.render();
        let mut kept = 0;
        for column in 0..4_usize {
            let pos = window.screen(PaneKind::Pca, ImageSlot::A, [16.0 + 32.0 * column as f64, 64.0]);
            let pixel = picture.get_pixel(pos.x as u32, pos.y as u32).0;
            let first = shown.first[shown.grid.index(8, 2 + 4 * column)];
            let keeps = (first > mask.threshold) != mask.below;
            assert_eq!(pixel[..3] != [0, 0, 0], keeps, "column {column}: {pixel:?}");
            kept += usize::from(keeps);
        }
        kept
    };
    let above = check(&mut window);
    assert!((1..4).contains(&above));
    window.choose("below");
    assert_eq!(check(&mut window), 4 - above);
    // The threshold is dragged in the histogram, or moved by keys.
    let before = window.document().mask.threshold;
    window
        .harness
        .get_by_role_and_label(Role::Slider, "Least first component")
        .increment_accesskit();
    window.step();
    window.step();
    assert!(window.document().mask.threshold > before);
    window.key(Key::M);
    assert!(!window.document().mask.on);
    assert_eq!(view(&window, ImageSlot::A), whole, "the mask computes nothing anew");
}

#[test]
fn a_saved_basis_shows_other_pictures_in_the_same_colours() -> TestResult {
    let mut window = Window::settled();
    let path = window.path("basis.json");
    window.apply(Command::UsePath(PathPurpose::SaveBasis, path.clone()));
    window.until("a saved basis", |window| window.says("basis.json"));
    assert!(fs::metadata(&path)?.len() > 100);
    let before = view(&window, ImageSlot::B);
    window.apply(Command::UsePath(PathPurpose::OpenBasis, path.clone()));
    window.settle();
    assert_eq!(window.document().pca.basis, BasisChoice::Saved(path.clone()));
    assert_eq!(
        view(&window, ImageSlot::B).rgb,
        before.rgb,
        "the same basis, the same colours"
    );
    window.assert_says("basis basis.json");

    // What is no basis is said, and stays said until something else is chosen.
    let broken = window.path("broken.json");
    fs::write(&broken, "{}")?;
    for wrong in [broken, window.path("nowhere.json")] {
        let name = wrong.file_name().ok_or("a name")?.to_string_lossy().into_owned();
        window.apply(Command::UsePath(PathPurpose::OpenBasis, wrong));
        window.until("an error", |window| window.state().view_error.is_some());
        window.assert_says(&name);
        window.hover(window.place(PaneKind::Picture, ImageSlot::A, [0.5, 0.5]));
        window.until("a heat map", |window| window.state().heat_on(ImageSlot::B).is_some());
        assert!(window.state().view_error.is_some(), "a heat map does not take it away");
        window.leave();
        window.apply(Command::UsePath(PathPurpose::OpenBasis, path.clone()));
        window.settle();
        assert_eq!(window.state().view_error, None);
    }
    // A layer of another number of channels cannot be shown in it.
    window.apply(Command::SelectLayer(super::model::id(MASSIVE_LAYER)));
    window.until("an error", |window| window.state().view_error.is_some());
    window.assert_says("was fitted on");
    window.apply(Command::Dismiss(Notice::View));
    window.assert_silent("was fitted on");
    Ok(())
}

#[test]
fn colours_of_a_picture_that_is_closed_ask_for_another_basis() {
    let mut window = Window::settled();
    let mut pca = window.document().pca.clone();
    pca.basis = BasisChoice::Of(ImageSlot::B);
    window.apply_and_settle(Command::Pca(pca));
    window.assert_says("basis of B");
    window.apply(Command::ClosePicture(ImageSlot::B));
    window.until("an error", |window| {
        window.says("fitted on picture B, which is not open")
    });
    window.key(Key::T);
    window.settle();
    assert_eq!(window.state().view_error, None);
    assert!(window.state().slot(ImageSlot::A).pca.is_some());
}

#[test]
fn components_that_do_not_exist_are_said_and_black() {
    let mut window = Window::settled();
    window.select("unet-out");
    let shown = view(&window, ImageSlot::A);
    assert_eq!(shown.dropped, [2], "two channels have no third component");
    window.assert_says("1 components without variance");
    window.act(Action::SavePca);
    window.settle();
    window.assert_says("Save PCA of A as PNG");
}

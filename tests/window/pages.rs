//! Pages, panes that alone are shown, what is outdated, the first start, and the size of letters.

use egui::{Key, Modifiers, Shape, Vec2, accesskit::Role, epaint::ClippedShape, vec2};
use egui_kittest::kittest::Queryable as _;
use featscope::{
    app::{Action, Command, Page, PaneKind},
    engine::ImageSlot,
};

use super::driver::{CTRL, Opening, Window};

/// Letters that carry information are at least so large, in points.
const LEAST_LETTERS: f32 = 12.0;
/// Windows that pages are looked at in.
const SIZES: [Vec2; 3] = [vec2(1280.0, 800.0), vec2(1920.0, 1080.0), vec2(2560.0, 1440.0)];

fn go_to(window: &mut Window, page: Page) {
    window.act(Action::Page(page));
    window.settle();
}

fn kinds(window: &Window) -> Vec<PaneKind> {
    window.panes().iter().map(|(_, pane)| pane.kind).collect()
}

#[test]
fn a_page_is_shown_by_tab_key_and_study_and_keeps_its_panes() {
    let mut window = Window::settled();
    let first = window.document().layout.clone();
    for (page, key, kind) in [
        (Page::Layers, Key::Num2, PaneKind::Sheet),
        (Page::Compare, Key::Num3, PaneKind::Compare),
        (Page::Rank, Key::Num4, PaneKind::Rank),
        (Page::Timesteps, Key::Num5, PaneKind::Strip),
        (Page::Cka, Key::Num6, PaneKind::Cka),
    ] {
        window.key_with(CTRL, key);
        window.settle();
        assert_eq!(window.document().page, page);
        assert!(kinds(&window).contains(&kind), "{page:?}");
        // The inspector is of the study at once.
        let focused = window.state().focused_pane().map(|pane| pane.kind);
        assert_eq!(focused, Some(kind));
        window.key_with(CTRL, Key::Num1);
        window.settle();
        assert_eq!(window.document().layout, first);
        window.harness.get_by_role_and_label(Role::Tab, page.name()).click();
        window.step();
        window.pause();
        window.settle();
        assert_eq!(window.document().page, page);
        window.key_with(CTRL, Key::Num1);
        window.settle();
        window.act(Action::AddPane(kind));
        window.settle();
        assert_eq!(window.document().page, page, "opening the study shows its page");
        assert_eq!(kinds(&window).iter().filter(|other| **other == kind).count(), 1);
        window.key_with(CTRL, Key::Num1);
        window.settle();
    }
    // What is changed on a page is there again, and the page is a step of undo.
    go_to(&mut window, Page::Rank);
    window.act(Action::ClosePane);
    window.settle();
    let changed = window.document().layout.clone();
    go_to(&mut window, Page::Correspond);
    go_to(&mut window, Page::Rank);
    assert_eq!(window.document().layout, changed);
    window.act(Action::ResetLayout);
    window.settle();
    assert!(kinds(&window).contains(&PaneKind::Rank));
    assert_eq!(window.document().page, Page::Rank);
}

/// A survey begun from the page of pictures is a page of its own, with thumbnails, in windows of any usual size.
#[test]
fn a_survey_never_opens_in_a_sliver() {
    for size in SIZES {
        let mut window = Opening {
            size,
            ..Opening::default()
        }
        .settled();
        window.click(window.screen(PaneKind::Picture, ImageSlot::A, [44.0, 60.0]));
        window.key_with(CTRL, Key::U);
        window.settle();
        assert_eq!(window.document().page, Page::Layers);
        let sheet = window.canvas(PaneKind::Sheet, ImageSlot::A);
        assert!(
            sheet.width() > 0.35 * size.x && sheet.height() > 0.35 * size.y,
            "{sheet} in {size}"
        );
        let pictures = window.canvas(PaneKind::Picture, ImageSlot::A);
        assert!(pictures.width() > 150.0, "{pictures} in {size}");
    }
}

#[test]
fn a_pane_alone_and_all_again() {
    let mut window = Window::settled();
    let (first, pictures) = (window.titles(), window.canvas(PaneKind::Picture, ImageSlot::A));
    window.work_in(PaneKind::Pca, ImageSlot::B);
    window.key_with(Modifiers::SHIFT, Key::F);
    window.settle();
    let alone = window.canvas(PaneKind::Pca, ImageSlot::B);
    assert!(alone.height() > 1.5 * pictures.height() && alone.width() > 1.5 * pictures.width());
    assert_eq!(window.app().canvas_rect(PaneKind::Picture, ImageSlot::A), None);
    assert_eq!(window.titles(), first, "the others are still there");
    // The next pane is shown in its place.
    window.key(Key::F6);
    window.settle();
    assert_eq!(window.app().canvas_rect(PaneKind::Pca, ImageSlot::B), None);
    window.press_button("Restore Picture A");
    window.settle();
    assert_eq!(window.canvas(PaneKind::Picture, ImageSlot::A), pictures);
    window.press_button("Maximise PCA of A");
    window.settle();
    assert_eq!(window.app().canvas_rect(PaneKind::Picture, ImageSlot::A), None);
    window.act(Action::ClosePane);
    window.settle();
    assert_eq!(window.titles().len(), first.len() - 1);
    assert!(window.app().canvas_rect(PaneKind::Picture, ImageSlot::A).is_some());
}

#[test]
fn every_pane_says_what_it_shows() {
    let mut window = Opening {
        size: SIZES[1],
        ..Opening::default()
    }
    .settled();
    for page in Page::ALL {
        go_to(&mut window, page);
        for (_, pane) in window
            .panes()
            .into_iter()
            .map(|(tile, pane)| (tile, pane.clone()))
            .collect::<Vec<_>>()
        {
            let name = format!("What {} shows", pane.title());
            window.harness.get_by_label(&name).click();
            window.step();
            window.step();
            window.assert_says(pane.kind.facts().help);
            window.key(Key::Escape);
            window.settle();
            window.pause();
        }
    }
}

#[test]
fn what_is_outdated_looks_and_says_so_until_it_is_run() {
    let mut window = Window::settled();
    window.click(window.screen(PaneKind::Picture, ImageSlot::A, [44.0, 60.0]));
    window.settle();
    window.assert_says("current · ");
    let current = window.pixels(PaneKind::Picture, ImageSlot::B);
    let mut settings = window.document().settings.clone();
    settings.ensemble = 64;
    settings.size = Some(featscope::geometry::framing::WorkingSize::ShortSide(512));
    window.apply(Command::Settings(settings));
    window.harness.run_steps(10);
    assert!(window.state().run.running.is_none());
    window.assert_says("outdated: ensemble size and size changed · Run");
    assert!(window.state().heat_is_stale());
    assert_ne!(window.pixels(PaneKind::Picture, ImageSlot::B), current, "it looks so");
    window.act(Action::Undo);
    window.settle();
    window.assert_says("current · ");
    window.assert_silent("outdated");
}

#[test]
fn a_presentation_has_large_letters_and_pictures_alone() {
    let mut window = Window::settled();
    let before = window.canvas(PaneKind::Picture, ImageSlot::A).size() * window.harness.ctx.pixels_per_point();
    window.key(Key::F5);
    window.settle();
    let scale = window.harness.ctx.zoom_factor();
    assert!(LEAST_LETTERS * scale >= 18.0, "{scale}");
    for words in ["File", "Ensemble size", "Matches"] {
        assert!(window.named(words).next().is_none(), "{words}");
    }
    let after = window.canvas(PaneKind::Picture, ImageSlot::A).size() * window.harness.ctx.pixels_per_point();
    assert!(after.x > before.x, "{after} was {before}");
    window.assert_says("current · ");
    window.key(Key::F5);
    window.settle();
    assert_eq!(window.harness.ctx.zoom_factor(), 1.0);
    assert!(window.named("File").next().is_some());
}

#[test]
fn a_first_start_says_one_sentence_and_shows_what_corresponds() {
    let mut window = Opening {
        arguments: featscope::app::LaunchOptions {
            model: Some("fake".to_owned()),
            ..Default::default()
        },
        ..Opening::default()
    }
    .settled();
    assert_eq!(window.document().pins.len(), 1);
    let others: Vec<ImageSlot> = window.state().open_slots().skip(1).collect();
    assert!(others.len() > 3 && others.iter().all(|slot| window.state().heat_on(*slot).is_some()));
    window.assert_says("the marked ear lights up");
    assert!(!window.app().can_undo_redo()[0], "nobody did that");
    for name in ["Tour", "Open images…", "Samples"] {
        assert!(window.named(name).next().is_some(), "{name}");
    }
    window.apply(Command::Welcomed);
    window.settle();
    window.assert_silent("the marked ear lights up");
    assert!(window.state().preferences.welcomed);
}

#[test]
fn a_block_of_the_map_of_the_network_looks_at_what_it_gives_on() {
    let mut window = Window::settled();
    let before = window.layer();
    let block = window.words().into_iter().find(|words| words.starts_with("down 0: "));
    window.choose(&block.expect("the first block has a mark"));
    assert_ne!(window.layer(), before);
    let facts = window
        .state()
        .layers()
        .iter()
        .find(|layer| layer.id == window.layer())
        .map(|layer| layer.facts);
    assert_eq!(facts.map(|facts| facts.block.0), Some(0));
}

/// The letters of all texts in what was painted, with what they say.
fn letters(shapes: &[ClippedShape]) -> Vec<(f32, String)> {
    fn collect(shape: &Shape, found: &mut Vec<(f32, String)>) {
        match shape {
            Shape::Vec(shapes) => shapes.iter().for_each(|shape| collect(shape, found)),
            Shape::Text(text) => {
                let job = &text.galley.job;
                let sections = job.sections.iter().filter(|section| !section.byte_range.is_empty());
                found.extend(sections.map(|section| (section.format.font_id.size, job.text.clone())));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    shapes.iter().for_each(|clipped| collect(&clipped.shape, &mut found));
    found
}

#[test]
fn no_letters_are_smaller_than_twelve_points() {
    let mut window = Opening {
        size: SIZES[1],
        ..Opening::default()
    }
    .settled();
    window.click(window.screen(PaneKind::Picture, ImageSlot::A, [44.0, 60.0]));
    window.act(Action::Survey);
    window.settle();
    for page in Page::ALL {
        go_to(&mut window, page);
        let all = letters(&window.harness.output().shapes);
        assert!(all.len() > 40, "{page:?} paints {} texts", all.len());
        let small: Vec<_> = all.into_iter().filter(|(size, _)| *size < LEAST_LETTERS).collect();
        assert!(small.is_empty(), "{page:?}: {small:?}");
    }
}

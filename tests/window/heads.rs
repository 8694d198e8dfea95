//! Attention by heads: a strip to choose from, keys, words, and what says which head it is.

use egui::{Key, Modifiers};
use featscope::{
    app::{Command, PaneKind, PathPurpose},
    engine::{ImageSlot, QueryAt},
};

use super::{
    TestResult,
    driver::{CTRL, Opening, Window},
    model::{FIRST_LAYER, SELF_MAP, TEXT_MAP},
    saving::save,
};

fn scores(window: &Window) -> Vec<f32> {
    let heat = window.state().heat_on(ImageSlot::A).expect("a heat map");
    heat.scores.clone()
}

#[test]
fn a_head_is_chosen_by_its_picture_or_by_keys() {
    let mut window = Opening::of_columns(1).settled();
    window.assert_silent("Attention heads");
    window.select(SELF_MAP);
    window.assert_says("Attention heads");
    window.assert_says("Point at a picture to see what each head attends to from there.");
    window.click(window.screen(PaneKind::Picture, ImageSlot::A, [16.0, 40.0]));
    window.leave();
    window.settle();
    window.assert_says("What each head attends to");
    window.assert_says("(mean over 2 heads)");
    let heat = window.state().heat.clone().expect("a heat map");
    assert_eq!(heat.heads.len(), 2);
    for (position, score) in scores(&window).iter().enumerate() {
        let mean = (heat.heads[0][position] + heat.heads[1][position]) / 2.0;
        assert!((score - mean).abs() < 1e-6);
    }
    window.choose("Head 2");
    assert_eq!(window.document().head, Some(1));
    assert_eq!(scores(&window), heat.heads[1]);
    window.assert_says("attention (head 2 of 2)");
    // From head to head by keys, the mean between the last and the first.
    for expected in [None, Some(0), Some(1)] {
        window.key_with(Modifiers::SHIFT, Key::H);
        window.settle();
        assert_eq!(window.document().head, expected);
    }
    window.key_with(Modifiers::SHIFT, Key::G);
    window.settle();
    assert_eq!(scores(&window), heat.heads[0]);
    window.pause();
    window.key_with(CTRL, Key::Z);
    window.settle();
    assert_eq!(scores(&window), heat.heads[1]);
    // A click on the chosen one shows the mean again; other layers have no heads.
    window.choose("Head 2");
    assert_eq!(window.document().head, None);
    window.select(FIRST_LAYER);
    window.assert_silent("Attention heads");
}

#[test]
fn words_have_heads_too() {
    let mut window = Opening::of_columns(1).settled();
    window.select(TEXT_MAP);
    window.assert_says("Point at a token to see the attention of each head to it.");
    window.apply_and_settle(Command::Word(Some(1)));
    let mean = scores(&window);
    window.choose("Head 1");
    let first = scores(&window);
    window.choose("Head 2");
    let second = scores(&window);
    // The first head favours tokens of even number, the second those of odd.
    for ((mean, first), second) in mean.iter().zip(&first).zip(&second) {
        assert!((first - 0.5 * mean).abs() < 1e-6 && (second - 1.5 * mean).abs() < 1e-6);
    }
    window.apply_and_settle(Command::Word(None));
    window.hover(window.screen(PaneKind::Picture, ImageSlot::A, [16.0, 40.0]));
    window.settle();
    window.assert_says("Weights at the point, head 2 of 2.");
    let heat = window.state().heat.clone().expect("a heat map");
    assert!(!matches!(heat.query.at, QueryAt::Word(_)));
    assert_eq!(heat.words.len(), 77);
    // Odd tokens have three times the weight that even ones have, where both mean nothing.
    assert!(
        (heat.words[7] / heat.words[8] - 3.0).abs() < 1e-4,
        "{:?}",
        &heat.words[..9]
    );
}

#[test]
fn the_head_is_in_workspaces_and_exports() -> TestResult {
    let mut window = Opening::of_columns(1).settled();
    window.select(SELF_MAP);
    window.click(window.screen(PaneKind::Picture, ImageSlot::A, [16.0, 40.0]));
    window.apply_and_settle(Command::Head(Some(1)));
    let shown = scores(&window);
    let file = save(&mut window, PathPurpose::SaveWorkspace, "head.featscope.json")?;
    let mut opening = Opening::default();
    opening.arguments.files = vec![file];
    opening.arguments.model = None;
    let mut other = opening.settled();
    assert_eq!(scores(&other), shown);
    let json = std::fs::read_to_string(save(&mut other, PathPurpose::SaveMatches, "matches.json")?)?;
    assert!(json.contains("\"attention\": \"head 2 of 2\""), "{json}");
    // Of a layer with fewer heads than the number chosen, the mean is shown.
    other.apply_and_settle(Command::Head(Some(9)));
    other.assert_says("(mean over 2 heads)");
    Ok(())
}

//! Activations that are not finite are marked wherever they would be shown, with what happened, and nothing else breaks.

use egui::Key;
use featscope::{
    app::{Action, CkaChoice, Command, LayerChoice, Level, PaneKind, PathPurpose},
    engine::{ImageSlot, QueryAt, RunSettings},
    survey::Column,
};
use serde_json::Value;

use super::{
    TestResult,
    driver::{Opening, Window},
    model::{BROKEN_FROM, FIRST_LAYER, LAST_LAYER, id},
    saving::save,
};

/// How many numbers of the layers are not finite: a position of two and of twelve channels on 16 x 16 positions.
const OF_LAST: &str = "2 of 512 numbers are NaN";
const OF_FIRST: &str = "12 of 3072 numbers are NaN";

/// Side of small thumbnails, in points.
const SMALL: f32 = 32.0;

fn broken() -> Window {
    Opening::of_model("fake-broken").settled()
}

fn at_t(window: &mut Window, t: u32) {
    let settings = RunSettings {
        t: t.into(),
        ..window.document().settings.clone()
    };
    window.apply_and_settle(Command::Settings(settings));
}

#[test]
fn a_layer_that_is_not_finite_is_marked_and_not_drawn() {
    let mut window = broken();
    // The layer that is looked at is sound, and its colours are there.
    assert!(window.state().slot(ImageSlot::A).pca.is_some());
    let notes = |window: &Window| {
        let lines = window.state().messages.log.iter();
        lines.filter(|line| line.level == Level::Warning).count()
    };
    assert_eq!(notes(&window), 2, "one for each picture");
    window.assert_says(&format!("{LAST_LAYER} is not finite: {OF_LAST}"));
    window.select(LAST_LAYER);
    for slot in ["A", "B"] {
        window.assert_says(&format!("{LAST_LAYER} of {slot} is not finite: {OF_LAST}"));
    }
    window.assert_says(&format!("PCA of A  {LAST_LAYER}, not finite"));
    let background = window.pixels(PaneKind::Pca, ImageSlot::A)[0];
    let middle = window.canvas(PaneKind::Pca, ImageSlot::A).width() as usize / 2;
    assert_eq!(
        window.pixels(PaneKind::Pca, ImageSlot::A)[middle],
        background,
        "no colours"
    );
    // Pointing at it tells the same, asks nothing and is no error.
    let pos = window.place(PaneKind::Picture, ImageSlot::A, [0.5, 0.5]);
    window.hover(pos);
    window.settle();
    window.assert_says(&format!("not finite: {OF_LAST}"));
    assert!(window.state().heat_on(ImageSlot::B).is_none());
    assert_eq!(window.state().view_error, None);
    window.leave();
    // Other layers are as before.
    window.select(FIRST_LAYER);
    window.hover(pos);
    window.settle();
    assert!(window.state().heat_on(ImageSlot::B).is_some());
    assert_eq!(notes(&window), 2, "it is said once");
    assert!(
        window
            .state()
            .messages
            .log
            .iter()
            .all(|line| line.level != Level::Error)
    );
}

#[test]
fn a_picture_whose_map_is_not_finite_takes_nothing_from_the_others() {
    let mut window = broken();
    window.apply(Command::AddPin(ImageSlot::A, QueryAt::Point([5.0, 5.0])));
    window.settle();
    assert!(window.state().heat_on(ImageSlot::B).is_some());
    at_t(&mut window, BROKEN_FROM);
    window.assert_says(&format!("{FIRST_LAYER} of A is not finite: {OF_FIRST}"));
    assert!(
        window.state().heat_on(ImageSlot::B).is_none(),
        "what was shown before goes"
    );
    at_t(&mut window, BROKEN_FROM - 1);
    assert!(window.state().heat_on(ImageSlot::B).is_some());
    assert!(window.state().slot(ImageSlot::A).pca.is_some());
}

#[test]
fn the_layer_list_marks_it() {
    let mut window = broken();
    // What was told of it goes.
    window.pass(10.0);
    window.apply(Command::Search(LAST_LAYER.to_owned()));
    window.settle();
    window.assert_says("not finite");
    window.apply(Command::Search(FIRST_LAYER.to_owned()));
    window.settle();
    window.assert_silent("not finite");
}

#[test]
fn what_cannot_be_saved_is_refused_in_words() {
    let mut window = broken();
    window.select(LAST_LAYER);
    for (purpose, name) in [
        (PathPurpose::SaveMap(ImageSlot::A), "map.npy"),
        (PathPurpose::SavePca(ImageSlot::A), "pca.png"),
    ] {
        let told = save(&mut window, purpose, name).expect_err("there is nothing to save");
        assert!(told.contains(OF_LAST), "{told}");
        assert!(!window.path(name).exists());
    }
}

#[test]
fn a_survey_marks_it_and_measures_the_others() {
    let mut window = broken();
    window.act(Action::AddPane(PaneKind::Sheet));
    window.key_with(super::driver::CTRL, Key::U);
    window.until("a survey", |window| {
        let findings = window.state().survey.iter().flat_map(|survey| &survey.findings);
        findings.last().is_some_and(|finding| finding.id == id(LAST_LAYER))
    });
    // Small, and in the order in which they run, all are in sight.
    let mut sheet = window.document().sheet.clone();
    (sheet.side, sheet.sort) = (SMALL, Some(Column::Order));
    window.apply_and_settle(Command::Sheet(Box::new(sheet)));
    window.assert_says(&format!("{LAST_LAYER} on the sheet, not measured"));
    window.assert_says(&format!("{FIRST_LAYER} on the sheet"));
    window.assert_silent(&format!("{FIRST_LAYER} on the sheet, not measured"));
}

#[test]
fn a_ranking_names_it_and_ranks_the_others() -> TestResult {
    let mut window = broken();
    window.act(Action::AddPane(PaneKind::Rank));
    for slot in [ImageSlot::A, ImageSlot::B] {
        window.apply(Command::AddPin(slot, QueryAt::Point([9.0, 9.0])));
    }
    window.act(Action::PairInOrder);
    window.settle();
    let view = window.state().rank.view.as_ref().ok_or("a ranking")?;
    assert_eq!((view.rows.len(), view.not_finite.len(), view.done), (10, 1, 11));
    assert_eq!((view.not_finite[0].id, &view.problem), (id(LAST_LAYER), &None));
    window.assert_says(&format!(
        "without figures, as they are not finite: {LAST_LAYER} ({OF_LAST})"
    ));
    let json: Value = serde_json::from_slice(&std::fs::read(save(
        &mut window,
        PathPurpose::SavePane(PaneKind::Rank),
        "ranking.json",
    )?)?)?;
    assert_eq!(json["not_finite"][0]["id"], LAST_LAYER);
    assert_eq!(json["not_finite"][0]["nan"], 2);
    Ok(())
}

#[test]
fn frames_of_a_strip_are_marked() -> TestResult {
    let mut window = broken();
    window.act(Action::AddPane(PaneKind::Strip));
    window.settle();
    let strip = window.state().comparing.strip.clone().ok_or("a strip")?;
    let count = strip.members.len();
    let broken = |index: usize| strip.members[index].0.settings.t >= BROKEN_FROM.into();
    for index in 0..count {
        let found = strip
            .view
            .not_finite
            .iter()
            .any(|map| map.pass == strip.view.query.passes[index]);
        assert_eq!(found, broken(index));
        assert_eq!(
            strip.view.frames[index].rgb.iter().all(|level| *level == 0),
            broken(index)
        );
        for other in 0..count {
            let place = index * count + other;
            let defined = !(broken(index) || broken(other));
            assert_eq!(strip.view.cka[place].is_some(), defined);
            assert_eq!(strip.view.cosine[place].is_finite(), defined);
        }
    }
    // The comparison with it is refused by its name, not asked for.
    assert_eq!(window.state().view_error, None);
    Ok(())
}

#[test]
fn a_matrix_has_gaps_and_says_why() -> TestResult {
    let mut window = broken();
    window.act(Action::AddPane(PaneKind::Cka));
    window.apply_and_settle(Command::Cka(CkaChoice {
        layers: LayerChoice::Features,
        ..CkaChoice::default()
    }));
    let matrix = window.state().comparing.matrix.clone().ok_or("a matrix")?;
    let done = matrix.done.as_ref().ok_or("all of it")?;
    for (row, name) in matrix.names[0].iter().enumerate() {
        let sound = name != LAST_LAYER;
        assert_eq!(matrix.value(row, row).is_some(), sound, "{name}");
    }
    let compared = matrix.names[0].iter().any(|name| name == LAST_LAYER);
    assert_eq!(done.not_finite.len(), usize::from(compared));
    assert!(compared, "the last layer is among those compared");
    window.assert_says(&format!(
        "without figures, as they are not finite: {LAST_LAYER} ({OF_LAST})"
    ));
    Ok(())
}

#[test]
fn two_sides_of_which_one_is_not_finite_are_not_compared() {
    let mut window = broken();
    window.act(Action::AddPane(PaneKind::Compare));
    window.settle();
    assert!(window.state().compare.view.is_some());
    window.select(LAST_LAYER);
    window.assert_says(&format!("A: {LAST_LAYER} is not finite: {OF_LAST}"));
    assert_eq!(window.state().view_error, None);
}

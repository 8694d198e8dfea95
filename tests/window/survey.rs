//! The contact sheet and the plots of a survey.

use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use featscope::{
    app::{Action, Command, PaneKind},
    survey::Column,
};

use super::{
    driver::{Opening, Window},
    fake::STEPS,
};

/// A window with a survey that is done.
fn surveyed() -> Window {
    let mut window = Window::settled();
    window.act(Action::Survey);
    window.settle();
    window
}

fn findings(window: &Window) -> Vec<String> {
    let survey = window.state().survey.as_ref().expect("it was begun");
    survey.findings.iter().map(|finding| finding.id.to_string()).collect()
}

fn on_sheet<'w>(window: &'w Window, name: &str) -> Option<egui_kittest::Node<'w>> {
    let label = format!("{name} on the sheet");
    let mut nodes = window.harness.root().children_recursive();
    nodes.find(|node| node.accesskit_node().label().as_deref() == Some(label.as_str()))
}

/// Another choice on the sheet.
fn choose(window: &mut Window, change: impl FnOnce(&mut featscope::app::SheetSettings)) {
    let mut settings = window.document().sheet.clone();
    change(&mut settings);
    window.apply(Command::Sheet(Box::new(settings)));
    window.settle();
}

#[test]
fn every_layer_comes_onto_the_sheet_with_its_figure_and_is_looked_at_by_a_click() {
    let mut window = surveyed();
    let found = findings(&window);
    assert!(found.len() > 5, "{found:?}");
    window.assert_says("Layers (survey)");
    let line = window.state().survey.as_ref().expect("a survey").in_words();
    assert!(
        line.contains("4 noises") && line.contains(&format!("t {}", window.document().settings.t)),
        "{line}"
    );
    window.assert_says(&line);
    window.assert_says(&format!("{} → {} left", found.len(), found.len()));
    // Small, and in the order in which they run, all are in sight.
    choose(&mut window, |settings| {
        settings.side = 40.0;
        settings.sort = Some(Column::Order);
    });
    for name in &found {
        assert!(on_sheet(&window, name).is_some(), "{name} is on the sheet");
    }
    let other = found
        .iter()
        .find(|name| window.document().layer.map(|id| id.to_string()).as_ref() != Some(*name))
        .expect("several layers")
        .clone();
    on_sheet(&window, &other).expect("a thumbnail").click();
    window.settle();
    assert_eq!(window.document().layer.map(|id| id.to_string()), Some(other));
}

#[test]
fn the_sheet_is_sorted_searched_limited_and_filtered_and_every_step_is_undone() {
    let mut window = surveyed();
    let survey = window.state().survey.clone().expect("a survey");
    let names = |window: &Window| -> Vec<String> {
        let shown = window.document().sheet.shown(&survey.findings);
        shown
            .into_iter()
            .map(|index| survey.findings[index].id.to_string())
            .collect()
    };
    let all = names(&window);
    choose(&mut window, |settings| {
        settings.sort = Some(Column::Norm);
        settings.descending = true;
    });
    let norms: Vec<f64> = window
        .document()
        .sheet
        .shown(&survey.findings)
        .into_iter()
        .filter_map(|index| Column::Norm.value(&survey.findings[index]))
        .collect();
    assert!(norms.len() == all.len() && norms.windows(2).all(|pair| pair[0] >= pair[1]));
    let word = all[1].clone();
    choose(&mut window, |settings| settings.search.clone_from(&word));
    assert!(names(&window).iter().all(|name| name.contains(&word)));
    let left = names(&window).len();
    window.assert_says(&format!("{} → {left} left", all.len()));
    window.act(Action::Undo);
    window.settle();
    assert_eq!(names(&window).len(), all.len());
    choose(&mut window, |settings| settings.search = "no such layer".to_owned());
    window.assert_says("Nothing is left: take a word, a step of the filter or a limit away.");
    window.act(Action::Undo);
    window.act(Action::Undo);
    window.settle();
    assert_eq!(names(&window), all);
}

#[test]
fn marked_layers_stand_side_by_side_and_are_kept_in_the_document() {
    let mut window = surveyed();
    let found = findings(&window);
    for name in &found[1..3] {
        let pos = on_sheet(&window, name).expect("a thumbnail").rect().center();
        window.click_with(Modifiers::COMMAND, pos);
        window.settle();
    }
    let marked: Vec<String> = window.document().sheet.marked.iter().map(ToString::to_string).collect();
    assert_eq!(marked, found[1..3]);
    for name in &found[1..3] {
        assert!(window.harness.query_by_label(&format!("marked {name}")).is_some());
    }
    window.press_button("Mark none");
    window.settle();
    assert!(window.document().sheet.marked.is_empty());
}

#[test]
fn plots_say_what_they_show_and_a_point_shows_its_layer() {
    let mut window = surveyed();
    window.act(Action::AddPane(PaneKind::Plot));
    window.settle();
    window.assert_says("Noise against depth");
    let plot = window.harness.get_by_label("Noise against Depth").rect();
    // Somewhere on the plot lies a point: walking over it finds one, and the panes show its layer.
    let before = window.state().layer();
    let mut peeked = None;
    'search: for row in 0..40 {
        for column in 0..40 {
            let at = plot.min + plot.size() * egui::vec2(column as f32 / 40.0, row as f32 / 40.0);
            window.hover(at);
            // What is pointed at is known a frame later.
            window.step();
            if window.state().peek.is_some() {
                peeked = Some(at);
                break 'search;
            }
        }
    }
    let at = peeked.expect("a point under the pointer");
    let id = window.state().peek.expect("it is pointed at");
    assert_eq!(window.state().layer(), Some(id), "the panes show it");
    assert_eq!(window.document().layer, before, "as long as it is pointed at");
    window.click(at);
    window.settle();
    assert_eq!(window.document().layer, Some(id));
    window.press_button("Similarity against distance");
    window.settle();
    window.assert_says(
        "Mean cosine of positions at a distance; dashed: of all pairs. Distances are shares of the short side.",
    );
}

#[test]
fn a_survey_is_ended_and_what_was_measured_stays() {
    let mut window = Opening::of_model("fake-slow").open();
    window.fake.go(3 * STEPS);
    window.settle();
    window.act(Action::Survey);
    assert!(!window.state().studies.is_empty());
    window.act(Action::CancelStudies);
    window.fake.go(1);
    window.settle();
    assert!(window.state().studies.is_empty());
    assert!(window.state().survey.is_some());
    assert_eq!(window.state().run.error, None);
}

#[test]
fn a_survey_is_saved_as_a_page_a_table_and_a_sheet() {
    let mut window = surveyed();
    let out = window.path("survey");
    window.apply(Command::UsePath(featscope::app::PathPurpose::SaveSurvey, out.clone()));
    window.until("the folder", |_| out.join("survey.html").exists());
    let table = std::fs::read_to_string(out.join("survey.csv")).expect("a table");
    assert_eq!(table.lines().count(), 1 + findings(&window).len());
    let record: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("survey.json")).expect("a record")).expect("JSON");
    assert_eq!(
        record["made_by"]["ran"]["t_ran"],
        window.document().settings.t.value() as u64
    );
    assert!(out.join("sheet.png").exists());
}

#[test]
fn a_sheet_says_when_it_is_of_something_else() {
    let mut window = surveyed();
    let t = window.document().settings.t;
    window.key(Key::CloseBracket);
    window.settle();
    assert_ne!(window.document().settings.t, t);
    window.assert_says(&format!(
        "This survey is at t {t}, not {}: survey again",
        window.document().settings.t
    ));
    assert!(window.document().layout.tiles.iter().any(|(_, tile)| matches!(
        tile,
        egui_tiles::Tile::Pane(pane) if pane.kind == PaneKind::Sheet
    )));
}

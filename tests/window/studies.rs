//! Studies as pages: each alone in a window, with what can be chosen in the inspector.

use egui::{Modifiers, Rect, Shape, Vec2, epaint::ClippedShape, vec2};
use egui_kittest::kittest::NodeT as _;
use featscope::{
    activation::{Kind, Stage},
    app::{Action, Command, PaneKind, SheetSettings, SheetView},
    engine::{ImageSlot, QueryAt},
    survey::Column,
};

use super::{
    driver::{Opening, Window},
    model::TEXT_MAP,
};

/// A laptop's window, and a monitor's.
const SMALL: Vec2 = vec2(1280.0, 800.0);
const LARGE: Vec2 = vec2(1920.0, 1080.0);
/// Letters that carry information are no smaller, in points.
const LEAST_LETTERS: f32 = 12.0;

const STUDIES: [PaneKind; 7] = [
    PaneKind::Sheet,
    PaneKind::Plot,
    PaneKind::Cka,
    PaneKind::Compare,
    PaneKind::Strip,
    PaneKind::Shift,
    PaneKind::Rank,
];

/// A window with a pane of one kind and no other, which has the focus, after a survey.
fn alone(kind: PaneKind, size: Vec2) -> Window {
    let opening = Opening {
        size,
        ..Opening::of_columns(2)
    };
    let mut window = opening.settled();
    window.act(Action::Survey);
    window.settle();
    if kind != PaneKind::Sheet {
        window.act(Action::AddPane(kind));
    }
    window.settle();
    only(&mut window, kind);
    window
}

/// Closes what is no pane of a kind.
fn only(window: &mut Window, kind: PaneKind) {
    let panes = window.panes().into_iter();
    let others: Vec<_> = panes
        .filter(|(_, pane)| pane.kind != kind)
        .map(|(tile, _)| tile)
        .collect();
    for tile in others {
        window.apply(Command::ClosePane(tile));
    }
    let (tile, _) = window.panes()[0];
    window.apply(Command::FocusPane(tile));
    window.settle();
}

/// The place of the pane.
fn pane(window: &Window, kind: PaneKind) -> Rect {
    let (_, pane) = window.panes()[0];
    window.canvas(kind, pane.slot)
}

/// Sizes of the letters of all that is written in a place, with the words.
fn letters(window: &Window, place: Rect) -> Vec<(f32, String)> {
    fn visit(shape: &Shape, clip: Rect, place: Rect, found: &mut Vec<(f32, String)>) {
        match shape {
            Shape::Vec(shapes) => shapes.iter().for_each(|shape| visit(shape, clip, place, found)),
            Shape::Text(text) if place.contains_rect(text.visual_bounding_rect().intersect(clip)) => {
                let sections = text.galley.job.sections.iter();
                found.extend(sections.map(|section| (section.format.font_id.size, text.galley.text().to_owned())));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for ClippedShape { clip_rect, shape, .. } in &window.harness.output().shapes {
        visit(shape, *clip_rect, place, &mut found);
    }
    found
}

fn rects(window: &Window, is: impl Fn(&str) -> bool) -> Vec<Rect> {
    let nodes = window.harness.root().children_recursive();
    nodes
        .filter(|node| {
            let node = node.accesskit_node();
            [node.label(), node.value()].into_iter().flatten().any(|text| is(&text))
        })
        .map(|node| node.rect())
        .collect()
}

fn thumbnails(window: &Window) -> Vec<Rect> {
    rects(window, |label| label.ends_with(" on the sheet"))
}

fn choose(window: &mut Window, change: impl FnOnce(&mut SheetSettings)) {
    let mut settings = window.document().sheet.clone();
    change(&mut settings);
    window.apply_and_settle(Command::Sheet(Box::new(settings)));
}

#[test]
fn nothing_in_a_study_is_written_smaller_than_12_points() {
    for kind in STUDIES {
        let window = alone(kind, SMALL);
        let found = letters(&window, pane(&window, kind).expand(1.0));
        assert!(found.len() > 2, "{kind:?} says something: {found:?}");
        for (size, words) in found {
            assert!(size >= LEAST_LETTERS, "{kind:?}: {size} points: {words:?}");
        }
    }
}

#[test]
fn a_survey_shows_every_thumbnail_that_fits_and_its_figures_cover_none() {
    for size in [SMALL, LARGE] {
        let mut window = alone(PaneKind::Sheet, size);
        choose(&mut window, |settings| settings.view = Some(SheetView::Grid));
        let found = window.state().survey.as_ref().expect("a survey").findings.len();
        let cells = thumbnails(&window);
        assert_eq!(cells.len(), found, "all fit into {size:?}");
        let at = cells[3].center();
        window.hover(at);
        window.step();
        let peeked = window.state().peek.expect("what is pointed at");
        window.settle();
        assert!(window.says(&peeked.to_string()) && window.says("Effective rank"));
        let figures = rects(&window, |label| label.contains("Effective rank"));
        assert_eq!(figures.len(), 1, "one place has the figures");
        assert!(thumbnails(&window).iter().all(|cell| !cell.intersects(figures[0])));
        // The place is there whether something is pointed at or not.
        let places = |window: &Window| -> Vec<Vec2> {
            let corner = pane(window, PaneKind::Sheet).min;
            thumbnails(window).iter().map(|cell| cell.min - corner).collect()
        };
        let pointed = places(&window);
        window.leave();
        window.settle();
        assert_eq!(places(&window), pointed);
    }
}

#[test]
fn the_table_sorts_by_its_titles_and_a_row_is_looked_at_by_a_click() {
    let mut window = alone(PaneKind::Sheet, SMALL);
    window.choose("table");
    assert_eq!(window.document().sheet.shown_as(), SheetView::Table);
    window.choose("Sort by Channels");
    let settings = &window.document().sheet;
    assert_eq!((settings.sort, settings.descending), (Some(Column::Channels), false));
    assert_eq!(settings.shown_as(), SheetView::Table, "sorting leaves it a table");
    window.choose("Sort by Channels");
    assert!(window.document().sheet.descending);
    let survey = window.state().survey.clone().expect("a survey");
    let shown = window.document().sheet.shown(&survey.findings);
    let last = &survey.findings[shown[2]];
    let place = rects(&window, |label| label == format!("{} on the sheet", last.id));
    window.click(place[0].center());
    window.settle();
    assert_eq!(window.document().layer, Some(last.id));
    // The titles and the names stay where the figures are scrolled to the right.
    let before = rects(&window, |label| label == "Sort by Order");
    window.harness.event(egui::Event::MouseWheel {
        unit: egui::MouseWheelUnit::Point,
        delta: vec2(-400.0, 0.0),
        phase: egui::TouchPhase::Move,
        source: egui::MouseWheelSource::Unknown,
        modifiers: Modifiers::NONE,
    });
    window.harness.run();
    let after = rects(&window, |label| label == "Sort by Order");
    assert_ne!(before, after, "it went out of sight");
    assert_eq!(
        rects(&window, |label| label.ends_with(" on the sheet")).len(),
        shown.len()
    );
}

#[test]
fn stages_and_kinds_are_left_out_in_the_inspector_and_in_the_legend_of_a_plot() {
    let mut window = alone(PaneKind::Plot, SMALL);
    let survey = window.state().survey.clone().expect("a survey");
    let all = survey.findings.len();
    window.choose(Stage::Down.name());
    assert_eq!(window.document().sheet.hidden_stages, [Stage::Down]);
    let left = |window: &Window| window.document().sheet.shown(&survey.findings);
    let shown = left(&window);
    assert!(shown.len() < all);
    assert!(
        shown
            .iter()
            .all(|index| survey.findings[*index].facts.stage != Stage::Down)
    );
    let name = format!("{} in the plot", Kind::BlockOutput.name());
    window.choose(&name);
    assert_eq!(window.document().sheet.hidden_kinds, [Kind::BlockOutput]);
    assert!(left(&window).len() < shown.len());
    window.choose(&name);
    assert_eq!(left(&window), shown);
    window.choose("Show all");
    assert_eq!(left(&window).len(), all);
    // The legend covers nothing of the plot.
    let plot = rects(&window, |label| label == "Noise against Depth");
    let legend = rects(&window, |label| label == name);
    assert!(!plot.is_empty() && !plot[0].intersects(legend[0]));
    // Stages are named where they have room.
    let words = letters(&window, plot[0]);
    assert!(words.iter().any(|(_, text)| text == Stage::Up.name()), "{words:?}");
}

#[test]
fn a_matrix_has_names_stages_and_a_line_for_the_value() {
    let mut window = alone(PaneKind::Cka, SMALL);
    let cells = rects(&window, |label| label == "Cells of the CKA matrix")[0];
    let place = pane(&window, PaneKind::Cka);
    assert!(cells.height() > 0.5 * place.height(), "it fills its pane");
    let words = letters(&window, place.expand(1.0));
    let says = |text: &str| words.iter().any(|(_, words)| words == text);
    assert!(says("unet-out") && says("down0.0-res-out"), "{words:?}");
    assert!(says(Stage::Up.name()) && says(Stage::Down.name()), "{words:?}");
    window.hover(cells.min + cells.size() * 0.1);
    window.step();
    window.assert_says("down-level0-repeat0-res-out · down-level0-repeat0-res-out: 1.0000");
}

#[test]
fn a_comparison_has_both_sides_and_their_difference_beside_each_other() {
    let window = alone(PaneKind::Compare, LARGE);
    let place = pane(&window, PaneKind::Compare);
    let parts: Vec<Rect> = ["Side A", "Side B", "Difference of A and B"]
        .iter()
        .map(|name| rects(&window, |label| label == *name)[0])
        .collect();
    for (number, part) in parts.iter().enumerate() {
        assert!(place.contains_rect(*part), "{part} in {place}");
        assert!(parts[..number].iter().all(|other| !other.shrink(1.0).intersects(*part)));
    }
    let covered: f32 = parts.iter().map(|part| part.area()).sum();
    assert!(covered > 0.6 * place.area(), "{covered} of {}", place.area());
    window.assert_says("A: ");
    window.assert_says("B: ");
    window.assert_says("side by side");
    window.assert_says("current layer");
}

#[test]
fn rows_of_a_ranking_fill_their_pane() {
    let mut window = alone(PaneKind::Rank, SMALL);
    for (slot, at) in [
        (ImageSlot::A, [16.0, 4.0]),
        (ImageSlot::B, [48.0, 4.0]),
        (ImageSlot::A, [48.0, 4.0]),
        (ImageSlot::B, [16.0, 4.0]),
    ] {
        window.apply(Command::AddPin(slot, QueryAt::Point(at)));
    }
    window.act(Action::PairInOrder);
    window.settle();
    let place = pane(&window, PaneKind::Rank);
    let rows = rects(&window, |label| {
        label.contains("PCK@.1 0.") || label.contains("PCK@.1 1.")
    });
    assert!(rows.len() > 3, "{rows:?}");
    for row in rows {
        assert!(row.width() > 0.9 * place.width(), "{row} in {place}");
    }
    let titles = rects(&window, |label| label.starts_with("Sort by "));
    let widths: f32 = titles.iter().map(Rect::width).sum();
    assert!(widths > 0.9 * place.width(), "{titles:?}");
}

#[test]
fn tokens_keep_the_order_of_the_last_point() {
    let mut window = Opening::of_columns(1).settled();
    window.select(TEXT_MAP);
    let order = |window: &Window| -> Vec<String> {
        let mut listed: Vec<(f32, String)> = window
            .harness
            .root()
            .children_recursive()
            .filter_map(|node| {
                let label = node.accesskit_node().label()?;
                let token = window.state().slot(ImageSlot::A).capture.as_ref()?.ran.tokens.iter();
                let shown = token.map(|token| token.shown()).any(|shown| shown == label);
                shown.then(|| (node.rect().top(), label.clone()))
            })
            .collect();
        listed.sort_by(|a, b| a.0.total_cmp(&b.0));
        listed.into_iter().map(|(_, label)| label).collect()
    };
    let mut settings = window.document().settings.clone();
    settings.prompt = "a red cat and a blue dog".to_owned();
    window.apply_and_settle(Command::Settings(settings));
    let in_prompt = order(&window);
    window.hover(window.screen(PaneKind::Picture, ImageSlot::A, [16.0, 40.0]));
    window.settle();
    let at_point = order(&window);
    assert_ne!(in_prompt, at_point, "those that weigh most come first");
    assert_eq!(in_prompt.len(), at_point.len());
    // Over a token of the list, and away from everything, it stays as it is.
    let token = rects(&window, |label| label == at_point[1])[0];
    window.hover(token.center());
    window.settle();
    assert!(window.state().hover_word.is_some());
    assert!(matches!(
        window.state().heat.as_ref().map(|heat| &heat.query.at),
        Some(QueryAt::Word(_))
    ));
    assert_eq!(order(&window), at_point);
    window.leave();
    window.settle();
    assert_eq!(order(&window), at_point);
}

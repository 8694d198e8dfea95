//! Film strips, CKA matrices and the content-shift meter.

use std::{fs, path::PathBuf};

use egui::{Key, Modifiers, Rect};
use egui_kittest::kittest::Queryable as _;
use featscope::{
    app::{
        Action, CkaBetween, CkaChoice, CkaRows, Command, Level, PaneKind, PassChoice, PathPurpose, ShiftChoice,
        StripAxis, StripChoice,
    },
    components::schedule::Timestep,
    engine::{ImageSlot, RunSettings},
};
use serde_json::Value;

use super::{
    TestResult,
    driver::{Opening, Window},
    fake::STEPS,
    model::id,
};

/// Timesteps of a strip that nobody has typed: eight over all, and the one that is set.
const TIMES: [u32; 9] = [0, 100, 143, 285, 428, 571, 714, 856, 999];

#[track_caller]
fn save(window: &mut Window, purpose: PathPurpose, name: &str) -> PathBuf {
    let path = window.path(name);
    let told = window.state().messages.log.len();
    window.apply(Command::UsePath(purpose, path.clone()));
    window.until("what comes of it", |window| window.state().messages.log.len() > told);
    let line = window.state().messages.log.back().expect("it was told");
    assert_eq!(line.level, Level::Info, "{}", line.text);
    path
}

fn rect_of(window: &Window, name: &str) -> Rect {
    window.harness.get_by_label(name).rect()
}

fn times_of_strip(window: &Window) -> Vec<Timestep> {
    let strip = window.state().comparing.strip.as_ref().expect("a strip");
    strip.members.iter().map(|(member, _)| member.settings.t).collect()
}

/// A window over the slow model, which has loaded and run once.
fn slow() -> Window {
    let mut window = Opening::of_model("fake-slow").open();
    // The model, and a run of both pictures: how long one takes is not known yet, so it begins by itself.
    window.fake.go(3 * STEPS);
    window.settle();
    window
}

fn settings_at(window: &Window, t: u32) -> RunSettings {
    RunSettings {
        t: t.into(),
        ..window.document().settings.clone()
    }
}

#[test]
fn a_strip_shows_the_layer_at_many_timesteps_and_a_click_looks_at_one() -> TestResult {
    let mut window = Window::settled();
    window.act(Action::AddPane(PaneKind::Strip));
    window.settle();
    assert_eq!(times_of_strip(&window), TIMES);
    let strip = window.state().comparing.strip.clone().ok_or("a strip")?;
    // Nearer timesteps are more alike, a frame is itself.
    let cka = |row: usize, column: usize| strip.view.cka[row * TIMES.len() + column].unwrap_or(f64::NAN);
    let cosine = |row: usize, column: usize| strip.view.cosine[row * TIMES.len() + column];
    assert!((cka(3, 3) - 1.0).abs() < 1e-6 && (cosine(3, 3) - 1.0).abs() < 1e-6);
    assert!(cka(1, 8) < cka(1, 2) && cosine(1, 8) < cosine(1, 2));
    window.assert_says("one basis of");
    window.assert_says("CKA on 16 × 16 positions");
    window.choose("t 571");
    assert_eq!(window.document().settings.t, 571);
    window.settle();
    assert_eq!(times_of_strip(&window).len(), 8, "100 was there because it was set");
    window.act(Action::Undo);
    window.settle();
    assert_eq!(window.document().settings.t, 100);
    window.key_with(Modifiers::SHIFT, Key::ArrowRight);
    assert_eq!(window.document().settings.t, 143);
    Ok(())
}

#[test]
fn seeds_and_typed_timesteps_make_strips_too() {
    let mut window = Window::settled();
    window.act(Action::AddPane(PaneKind::Strip));
    window.settle();
    let field = rect_of(&window, "Timesteps of the strip").center();
    window.click(field);
    window.type_text("200, 400-600:100");
    assert_eq!(times_of_strip(&window), TIMES, "it counts when it is done");
    window.key(Key::Enter);
    window.settle();
    assert_eq!(times_of_strip(&window), [100, 200, 400, 500, 600]);
    assert_eq!(window.document().strip.times, "200, 400-600:100");
    let choice = StripChoice {
        axis: StripAxis::Seed,
        seeds: 3,
        ..StripChoice::default()
    };
    window.apply_and_settle(Command::Strip(choice));
    window.choose("seed 2");
    assert_eq!(window.document().settings.seed, 2);
    window.settle();
    let wrong = StripChoice {
        times: "often".to_owned(),
        ..StripChoice::default()
    };
    window.apply_and_settle(Command::Strip(wrong));
    window.assert_says("a timestep is a number such as 100, found \"often\"");
}

#[test]
fn a_slow_model_waits_for_a_click_and_then_t_follows_without_waiting() {
    let mut window = slow();
    window.act(Action::AddPane(PaneKind::Strip));
    window.settle();
    // Both pictures are there at t = 100 already.
    window.press_button("Compute 16 passes");
    window.until("the study", |window| !window.state().studies.is_empty());
    window.fake.go(15);
    window.until("all but one", |window| window.says("17 of 18 passes"));
    window.fake.go(1);
    window.until("the strip", |window| window.state().comparing.strip.is_some());
    assert!(window.state().studies.is_empty());
    // Nothing more may run from here on, and what is kept comes at once.
    for t in [143, 999, 428] {
        let settings = settings_at(&window, t);
        window.apply_and_settle(Command::Settings(settings));
        for slot in [ImageSlot::A, ImageSlot::B] {
            let capture = window.state().slot(slot).capture.as_ref();
            assert_eq!(capture.map(|capture| capture.settings.t), Some(t.into()), "{slot:?}");
        }
    }
    let settings = settings_at(&window, 150);
    window.apply_and_settle(Command::Settings(settings));
    assert!(window.state().needs_run(), "it is not kept, and takes a minute");
    window.assert_says("Compute 2 passes");
}

#[test]
fn a_study_is_ended_where_jobs_are_listed() {
    let mut window = slow();
    window.act(Action::AddPane(PaneKind::Shift));
    window.settle();
    window.press_button("Compute 10 passes");
    window.until("the study", |window| !window.state().studies.is_empty());
    window.assert_says("Content shift");
    let number = window.state().studies[0].number;
    window.apply(Command::CancelStudy(number));
    window.fake.go(1);
    window.until("its end", |window| window.state().studies.is_empty());
    window.settle();
    window.assert_says("Ended before everything was there.");
}

#[test]
fn strips_are_written_with_what_made_them() -> TestResult {
    let mut window = Window::settled();
    window.act(Action::AddPane(PaneKind::Strip));
    window.settle();
    let picture = image::open(save(&mut window, PathPurpose::SavePane(PaneKind::Strip), "strip.png"))?;
    assert_eq!((picture.width(), picture.height()), (9 * 256 + 8 * 4, 256));
    let csv = fs::read_to_string(save(&mut window, PathPurpose::SavePane(PaneKind::Strip), "strip.csv"))?;
    assert_eq!(csv.lines().count(), 1 + TIMES.len());
    assert!(csv.contains(",A,143,0,f32,"), "{csv}");
    let json: Value = serde_json::from_str(&fs::read_to_string(save(
        &mut window,
        PathPurpose::SavePane(PaneKind::Strip),
        "strip.json",
    ))?)?;
    assert_eq!(json["frames"][2], "t 143");
    assert_eq!(json["passes"][2]["ran"]["t_ran"], 143);
    assert_eq!(json["cka"].as_array().map(Vec::len), Some(81));
    let path = window.path("strip.bmp");
    window.apply(Command::UsePath(PathPurpose::SavePane(PaneKind::Strip), path.clone()));
    window.assert_says("has to end in .png, .csv or .json");
    assert!(!path.exists());
    Ok(())
}

#[test]
fn a_matrix_compares_layers_and_a_click_looks_at_both() -> TestResult {
    let mut window = Window::settled();
    window.act(Action::AddPane(PaneKind::Cka));
    window.settle();
    let matrix = window.state().comparing.matrix.clone().ok_or("a matrix")?;
    let outputs = [
        "down-level0-repeat0-res-out",
        "down-level1-repeat0-res-out",
        "mid-repeat0-res-out",
        "up-level1-repeat1-res-out",
        "unet-out",
    ];
    assert_eq!(matrix.names, [outputs; 2]);
    for row in 0..outputs.len() {
        let own = matrix.value(row, row).ok_or("a value")?;
        assert!((own - 1.0).abs() < 1e-5, "{own}");
        for column in 0..row {
            assert_eq!(matrix.value(row, column), matrix.value(column, row));
        }
    }
    window.assert_says("256 positions of A, all maps brought to 16 × 16 by nearest neighbour");
    let rect = rect_of(&window, "Cells of the CKA matrix");
    let cell = rect.size() / outputs.len() as f32;
    window.click(rect.min + cell * egui::vec2(3.5, 1.5));
    window.settle();
    assert_eq!(window.layer(), id(outputs[1]));
    assert_eq!(window.state().layer_before, Some(id(outputs[3])));
    let csv = fs::read_to_string(save(&mut window, PathPurpose::SavePane(PaneKind::Cka), "cka.csv"))?;
    assert!(csv.lines().count() == 6 && csv.contains("linear CKA of 5 × 5"), "{csv}");
    let picture = image::open(save(&mut window, PathPurpose::SavePane(PaneKind::Cka), "cka.png"))?;
    assert_eq!(picture.width() % 5, 0);
    let json: Value = serde_json::from_str(&fs::read_to_string(save(
        &mut window,
        PathPurpose::SavePane(PaneKind::Cka),
        "cka.json",
    ))?)?;
    assert_eq!(json["grid_rule"], "enlarge-nearest");
    assert_eq!(json["values"].as_array().map(Vec::len), Some(5));
    Ok(())
}

#[test]
fn a_click_in_a_matrix_of_timesteps_shows_both_side_by_side() -> TestResult {
    let mut window = Window::settled();
    window.act(Action::AddPane(PaneKind::Cka));
    window.apply_and_settle(Command::Cka(CkaChoice {
        between: CkaBetween::Times,
        rows: CkaRows::Positions,
        ..CkaChoice::default()
    }));
    let cell = rect_of(&window, "Cells of the CKA matrix").size() / TIMES.len() as f32;
    let (row, column) = (2, 5);
    let at = cell * egui::vec2(column as f32 + 0.5, row as f32 + 0.5);
    window.click(rect_of(&window, "Cells of the CKA matrix").min + at);
    window.settle();
    assert_eq!(window.document().settings.t, TIMES[row]);
    for (side, t) in window.document().compare.sides.iter().zip([TIMES[row], TIMES[column]]) {
        let PassChoice::Kept(pass) = &side.pass else {
            return Err("it is not the kept pass".into());
        };
        assert_eq!((pass.settings.t, side.layer), (t.into(), Some(window.layer())));
    }
    assert!(window.panes().iter().any(|(_, pane)| pane.kind == PaneKind::Compare));
    let view = window.state().compare.view.as_ref().ok_or("nothing is compared")?;
    assert_ne!(view.query.sides[0], view.query.sides[1]);
    Ok(())
}

#[test]
fn a_matrix_compares_timesteps_and_models_and_says_what_is_missing() -> TestResult {
    let mut window = Window::settled();
    window.act(Action::AddPane(PaneKind::Cka));
    let choose = |window: &mut Window, between, rows| {
        window.apply_and_settle(Command::Cka(CkaChoice {
            between,
            rows,
            ..CkaChoice::default()
        }));
    };
    choose(&mut window, CkaBetween::Times, CkaRows::AllPositions);
    let matrix = window.state().comparing.matrix.clone().ok_or("a matrix")?;
    assert_eq!(matrix.names[0].len(), TIMES.len());
    assert_eq!(matrix.slots, [ImageSlot::A, ImageSlot::B]);
    window.assert_says("512 positions of A, B");
    choose(&mut window, CkaBetween::Layers, CkaRows::Pictures);
    window.assert_says("needs at least 4 of them, found 2");
    choose(&mut window, CkaBetween::Models, CkaRows::Positions);
    window.assert_says("load another model");
    window.apply_and_settle(Command::LoadModel("fake-small".to_owned()));
    window.settle();
    let matrix = window.state().comparing.matrix.clone().ok_or("a matrix")?;
    assert_eq!(matrix.other_model.as_deref(), Some("fake"));
    assert_eq!([matrix.names[0].len(), matrix.names[1].len()], [2, 5]);
    // The fake models are the same where both have a layer.
    let same = matrix.value(1, 1).ok_or("a value")?;
    assert!((same - 1.0).abs() < 1e-5, "{same}");
    Ok(())
}

#[test]
fn the_meter_measures_from_the_picture_alone_and_leaves_out_what_is_set() -> TestResult {
    let mut window = Window::settled();
    window.act(Action::AddPane(PaneKind::Shift));
    window.settle();
    let shifts = window.state().comparing.shift.clone().ok_or("shifts")?;
    assert_eq!(shifts.points.len(), TIMES.len());
    let scores: Vec<f64> = shifts.view.shifts.iter().map(|shift| shift.score).collect();
    assert!(scores[0] > 0.999, "the fake model has no noise at t = 0: {scores:?}");
    assert!(scores[8] < scores[1], "{scores:?}");
    window.assert_says("Laplacian 3x3, 4-neighbour, reflect");
    window.assert_says("0: t 500 with an empty prompt");
    let mut settings = window.document().settings.clone();
    settings.prompt = "red".to_owned();
    window.apply_and_settle(Command::Settings(settings));
    let choice = ShiftChoice {
        without_prompt: true,
        without_loras: true,
        ..ShiftChoice::default()
    };
    window.apply_and_settle(Command::Shift(choice));
    let shifts = window.state().comparing.shift.clone().ok_or("shifts")?;
    assert_eq!(shifts.points.len(), 2 * TIMES.len(), "there is no LoRA to be left out");
    let csv = fs::read_to_string(save(&mut window, PathPurpose::SavePane(PaneKind::Shift), "shift.csv"))?;
    assert_eq!(csv.lines().count(), 1 + 2 * TIMES.len());
    assert!(csv.contains(",without prompt,143,"), "{csv}");
    let json: Value = serde_json::from_str(&fs::read_to_string(save(
        &mut window,
        PathPurpose::SavePane(PaneKind::Shift),
        "shift.json",
    ))?)?;
    assert_eq!(json["anchor_t"], 500);
    assert_eq!(json["reference_and_anchor"][0]["noiseless"], true);
    assert!(window.panes().iter().any(|(_, pane)| pane.kind == PaneKind::Shift));
    Ok(())
}

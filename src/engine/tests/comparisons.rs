//! The long lane: strips, CKA matrices and content shifts of maps made by hand.

use super::{
    hand::{Pass, random_map},
    *,
};
use crate::analysis::{
    cka::{CkaOptions, Form, GridRule, cka},
    gram::RowRule,
    similarity::mean_cosine_between,
};

/// Two activations of four pictures, on grids of two sizes.
fn maps() -> Vec<[FeatureMap; 2]> {
    let of = |seed: u64| [random_map(seed, 6, 8, 8), random_map(seed + 50, 9, 4, 4)];
    (1..=4).map(of).collect()
}

fn four(maps: &[[FeatureMap; 2]]) -> Hand {
    let slots = ImageSlot::all().zip(maps);
    let passes = slots
        .map(|(slot, [large, small])| Pass::whole(slot, vec![(id("b1"), large.clone()), (id("b2"), small.clone())]));
    hand(passes.collect())
}

fn passes(hand: &Hand) -> Vec<PassId> {
    hand.passes.values().copied().collect()
}

fn item(name: &str, passes: &[PassId]) -> CkaItem {
    CkaItem {
        id: id(name),
        passes: passes.to_vec(),
    }
}

fn query(rows: Vec<CkaItem>, over: RowRule) -> CkaQuery {
    CkaQuery {
        number: 7,
        rows,
        columns: None,
        over,
        grids: GridRule::EnlargeNearest,
        form: Form::Biased,
        most_rows: 1024,
    }
}

/// The rows of a matrix as they come, and its end.
fn matrix(engine: &Engine, query: CkaQuery) -> Result<(Vec<CkaRow>, CkaDone), String> {
    engine.send(Request::View(ViewRequest::Cka(query)));
    let mut rows = Vec::new();
    let done = until_seen(
        engine,
        |event| {
            if let Event::Answer(Answer::Cka(answer)) = event
                && let CkaAnswer::Row(row) = &**answer
            {
                rows.push(row.clone());
            }
        },
        |event| match event {
            Event::Answer(Answer::Cka(answer)) => match &**answer {
                CkaAnswer::Done(done) => Some(Ok(done.clone())),
                CkaAnswer::Row(_) => None,
            },
            Event::Failed { work, error } => {
                assert_eq!(*work, TaskKind::Comparison(ComparisonKind::Cka));
                Some(Err(error.to_string()))
            }
            Event::Missing { .. } => Some(Err("missing".to_owned())),
            _ => None,
        },
    );
    done.map(|done| (rows, done))
}

#[test]
fn a_matrix_comes_row_by_row_and_its_cells_are_those_of_two_maps_alone() -> TestResult {
    let maps = maps();
    let hand = four(&maps);
    let first = &passes(&hand)[..1];
    let (rows, done) = matrix(
        &hand.engine,
        query(vec![item("b1", first), item("b2", first)], RowRule::Positions),
    )?;
    assert_eq!(rows.iter().map(|row| row.row).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((done.rows, &done.grids[..]), (64, &[Grid::new(8, 8)][..]));
    let alone = cka(&maps[0][1], &maps[0][0], CkaOptions::default())?.value;
    let values: Vec<f64> = rows[1].values.iter().flatten().copied().collect();
    assert!((values[0] - alone).abs() < 1e-6, "{values:?} {alone}");
    assert!((values[1] - 1.0).abs() < 1e-6);
    Ok(())
}

#[test]
fn columns_may_be_others_and_positions_are_thinned_to_the_bound() -> TestResult {
    let hand = four(&maps());
    let all = passes(&hand);
    let mut asked = query(vec![item("b1", &all[..2])], RowRule::Positions);
    asked.columns = Some(vec![
        item("b2", &all[..2]),
        item("b1", &all[2..]),
        item("b1", &all[..2]),
    ]);
    asked.most_rows = 40;
    let (rows, done) = matrix(&hand.engine, asked)?;
    assert_eq!(done.grids, [Grid::new(4, 4); 2], "at most 20 positions of each picture");
    let values: Vec<f64> = rows[0].values.iter().flatten().copied().collect();
    assert_eq!(values.len(), 3);
    assert!(
        (values[2] - 1.0).abs() < 1e-6 && values[0] < 0.999 && values[1] < 0.999,
        "{values:?}"
    );
    Ok(())
}

#[test]
fn pictures_are_rows_where_there_are_enough_of_them() -> TestResult {
    let hand = four(&maps());
    let all = passes(&hand);
    let (rows, done) = matrix(
        &hand.engine,
        query(vec![item("b1", &all), item("b2", &all)], RowRule::Pictures),
    )?;
    assert_eq!((rows.len(), done.rows, done.grids.len()), (2, 4, 0));
    let refused = matrix(&hand.engine, query(vec![item("b1", &all[..3])], RowRule::Pictures));
    assert!(refused.err().unwrap_or_default().contains("at least 4"));
    let none = matrix(&hand.engine, query(Vec::new(), RowRule::Positions));
    assert!(none.err().unwrap_or_default().contains("no activation"));
    let gone = matrix(&hand.engine, query(vec![item("b3", &all)], RowRule::Positions));
    assert_eq!(gone.err().as_deref(), Some("missing"));
    Ok(())
}

#[test]
fn an_activation_that_is_the_same_everywhere_has_no_cell_and_the_others_have() -> TestResult {
    let flat = FeatureMap::from_positions(3, Grid::new(8, 8), vec![0.5; 192])?;
    let hand = hand(vec![Pass::whole(
        ImageSlot::A,
        vec![(id("b1"), random_map(1, 6, 8, 8)), (id("b2"), flat)],
    )]);
    let all = passes(&hand);
    let asked = query(
        vec![item("b1", &all), item("b2", &all), item("b1", &all)],
        RowRule::Positions,
    );
    let (rows, _) = matrix(&hand.engine, asked)?;
    assert_eq!(rows[1].values, [None, None]);
    assert!(rows[2].values[0].is_some() && rows[2].values[1].is_none());
    Ok(())
}

#[test]
fn a_strip_has_frames_in_one_basis_and_all_pairs_of_figures() -> TestResult {
    let maps = maps();
    let hand = four(&maps);
    let asked = StripQuery {
        id: id("b1"),
        passes: passes(&hand),
        settings: PcaSettings::default(),
        form: Form::Biased,
        most_rows: 1024,
    };
    let view = match ask(&hand.engine, ViewRequest::Strip(asked.clone())) {
        Event::Answer(Answer::Strip(view)) => *view,
        other => panic!("{other:?}"),
    };
    assert_eq!(view.query, asked);
    assert_eq!((view.frames.len(), view.fitted_on), (4, 4 * 64));
    assert_eq!((view.cosine.len(), view.cka.len()), (16, 16));
    let cosine = mean_cosine_between(&maps[0][0], &maps[2][0])?;
    assert!((view.cosine[2] - cosine).abs() < 1e-12 && (view.cosine[8] - cosine).abs() < 1e-12);
    let alone = cka(&maps[1][0], &maps[3][0], CkaOptions::default())?.value;
    assert!(view.cka[7].is_some_and(|value| (value - alone).abs() < 1e-6));
    // Asked again it is remembered: the same answer.
    let again = ask(&hand.engine, ViewRequest::Strip(asked));
    assert_eq!(again, Event::Answer(Answer::Strip(Box::new(view))));
    Ok(())
}

#[test]
fn content_shift_is_1_for_the_reference_and_0_for_the_anchor() -> TestResult {
    let hand = four(&maps());
    let all = passes(&hand);
    let asked = ShiftQuery {
        id: id("b1"),
        reference: all[0],
        anchor: all[1],
        passes: all.clone(),
    };
    let view = match ask(&hand.engine, ViewRequest::Shift(asked)) {
        Event::Answer(Answer::Shift(view)) => *view,
        other => panic!("{other:?}"),
    };
    let scores: Vec<f64> = view.shifts.iter().map(|shift| shift.score).collect();
    assert_eq!((scores[0], scores[1]), (1.0, 0.0));
    assert!(scores[2] < 1.0 && view.shifts[1].diff == view.anchor_diff);
    Ok(())
}

//! The instant lane: heat maps, matches, channels, saved maps.

use super::{
    hand::{Pass, with_massive},
    *,
};
use crate::analysis::{correspondence::mutual_nearest, similarity::cosine_to_all};

const CLOSE: f32 = 1e-5;

fn query(hand: &Hand, wanted: &str, at: QueryAt, targets: &[ImageSlot]) -> HeatQuery {
    HeatQuery {
        id: id(wanted),
        source: hand.passes[&ImageSlot::A],
        at,
        targets: hand.shown(targets),
        drop_massive: false,
        head: None,
    }
}

fn heat(engine: &Engine, query: HeatQuery) -> HeatView {
    match ask(engine, ViewRequest::Heat(query)) {
        Event::Answer(Answer::Heat(view)) => *view,
        other => panic!("a heat map was expected, came {other:?}"),
    }
}

fn matches(engine: &Engine, query: MatchesQuery) -> MatchesView {
    match ask(engine, ViewRequest::Matches(query)) {
        Event::Answer(Answer::Matches(view)) => *view,
        other => panic!("matches were expected, came {other:?}"),
    }
}

fn assert_close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() < CLOSE, "{index}: {a} and {b}");
    }
}

#[test]
fn attention_rows_from_stored_queries_and_keys_sum_to_one() {
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, ImageSlot::A, "noto-cat-face");
    let capture = run(&engine, settings(100), "b7-attn-map");
    let query = HeatQuery {
        id: id("b7-attn-map"),
        source: capture.pass,
        at: QueryAt::Point([80.0, 90.0]),
        targets: vec![(ImageSlot::A, capture.pass)],
        drop_massive: false,
        head: None,
    };
    engine.send(Request::View(ViewRequest::Heat(query)));
    let heat = until(&engine, |event| match event {
        Event::Answer(Answer::Heat(view)) => Some((**view).clone()),
        _ => None,
    });
    assert!(heat.attention);
    let sum: f32 = heat.targets[0].scores.iter().sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
}

#[test]
fn the_instant_lane_answers_while_the_model_runs() {
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, ImageSlot::A, "noto-cat-face");
    let capture = run(&engine, settings(100), "b11");
    let long = RunSettings {
        ensemble: 2000,
        ..settings(101)
    };
    engine.send(Request::Run {
        settings: long,
        id: id("b11"),
    });
    until(&engine, |event| {
        matches!(
            event,
            Event::Progress {
                work: TaskKind::Run,
                ..
            }
        )
        .then_some(())
    });
    let query = HeatQuery {
        id: id("b11"),
        source: capture.pass,
        at: QueryAt::Point([80.0, 90.0]),
        targets: vec![(ImageSlot::A, capture.pass)],
        drop_massive: false,
        head: None,
    };
    engine.send(Request::View(ViewRequest::Heat(query)));
    let heat = until(&engine, |event| match event {
        Event::Answer(Answer::Heat(view)) => Some((**view).clone()),
        Event::RunFinished { .. } => panic!("the run is over: nothing is shown by this"),
        _ => None,
    });
    let best = heat.targets[0].best[0];
    assert_eq!([best.cell], heat.cells[..], "a position is most similar to itself");
    assert!((best.score - 1.0).abs() < 1e-5);
    engine.send(Request::Cancel);
}

#[test]
fn a_question_with_a_number_ends_with_it_whether_it_is_answered_or_refused() {
    let hand = hand(vec![Pass::whole(
        ImageSlot::A,
        vec![(id("b1"), random_map(1, 6, 3, 4))],
    )]);
    let nowhere = QueryAt::Region {
        path: Vec::new(),
        radius: 1.0,
    };
    for (number, at, is_answered) in [(7, QueryAt::Point([9.5, 9.5]), true), (8, nowhere, false)] {
        hand.engine.ask(number, query(&hand, "b1", at, &[ImageSlot::A]));
        let mut answers = 0;
        let ended = until_seen(
            &hand.engine,
            |event| answers += usize::from(matches!(event, Event::Answer(_))),
            |event| match event {
                Event::Answered { number } => Some(*number),
                _ => None,
            },
        );
        assert_eq!((ended, answers == 1), (number, is_answered));
    }
}

#[test]
fn a_region_is_the_mean_of_unit_vectors() {
    let map = random_map(1, 6, 3, 4);
    let hand = hand(vec![Pass::whole(ImageSlot::A, vec![(id("b1"), map.clone())])]);
    // A brush along the first row, from the centre of its first cell to that of its third; cells are 20 pixels wide.
    let at = QueryAt::Region {
        path: vec![[9.5, 9.5], [30.0, 12.0], [49.5, 9.5]],
        radius: 12.0,
    };
    let view = heat(&hand.engine, query(&hand, "b1", at, &[ImageSlot::A]));
    assert_eq!(view.cells, [(0, 0), (0, 1), (0, 2)]);
    let mut mean = [0.0_f32; 6];
    for position in 0..3 {
        let vector = map.vector(position);
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        mean.iter_mut()
            .zip(vector)
            .for_each(|(mean, x)| *mean += x / length / 3.0);
    }
    let expected = cosine_to_all(&mean, &map).expect("the same channels");
    assert_close(&view.targets[0].scores, &expected);
}

#[test]
fn a_region_without_a_centre_is_the_cell_under_its_first_point() {
    let hand = hand(vec![Pass::whole(
        ImageSlot::A,
        vec![(id("b1"), random_map(1, 6, 3, 4))],
    )]);
    let region = |path: Vec<[f64; 2]>, radius| query(&hand, "b1", QueryAt::Region { path, radius }, &[ImageSlot::A]);
    let in_a_corner = heat(&hand.engine, region(vec![[21.0, 41.0], [22.0, 42.0]], 2.0));
    let point = heat(
        &hand.engine,
        query(&hand, "b1", QueryAt::Point([21.0, 41.0]), &[ImageSlot::A]),
    );
    assert_eq!(in_a_corner.cells, [(2, 1)]);
    assert_eq!(in_a_corner.targets, point.targets);
    let everything = heat(&hand.engine, region(vec![[0.0, 0.0]], f64::INFINITY));
    assert_eq!(everything.cells.len(), 12);
    let nothing = ask(&hand.engine, ViewRequest::Heat(region(Vec::new(), 5.0)));
    assert!(refusal(nothing).contains("at least one point"));
    let nowhere = ask(&hand.engine, ViewRequest::Heat(region(vec![[f64::NAN, 0.0]], 5.0)));
    assert!(refusal(nowhere).contains("not seen"));
}

/// The middle of a wide picture is seen: columns 20 to 79 of 100.
fn cropped() -> Framing {
    Framing {
        original: Size::new(100, 60),
        scaled: Size::new(50, 30),
        offset_x: 10,
        offset_y: 0,
        working: Size::new(30, 30),
    }
}

#[test]
fn what_the_model_does_not_see_is_no_query() {
    let (slot, framing) = (ImageSlot::A, cropped());
    let maps = vec![(id("b1"), random_map(1, 6, 3, 3))];
    let hand = hand(vec![Pass { slot, framing, maps }]);
    let outside = query(&hand, "b1", QueryAt::Point([5.0, 30.0]), &[ImageSlot::A]);
    assert!(refusal(ask(&hand.engine, ViewRequest::Heat(outside))).contains("not seen by the model"));
    let at = QueryAt::Region {
        path: vec![[0.0, 9.5], [35.0, 9.5]],
        radius: 6.0,
    };
    let view = heat(&hand.engine, query(&hand, "b1", at, &[ImageSlot::A]));
    assert_eq!(view.cells, [(0, 0)], "a brush may begin outside");
}

#[test]
fn attention_of_a_region_is_the_mean_of_its_rows() {
    let maps = vec![
        (id("b1-attn-q"), random_map(3, 8, 3, 4)),
        (id("b1-attn-k"), random_map(4, 8, 3, 4)),
    ];
    let hand = hand(vec![Pass::whole(ImageSlot::A, maps)]);
    let at = |at| query(&hand, "b1-attn-map", at, &[ImageSlot::A]);
    let row = |x, y| {
        let view = heat(&hand.engine, at(QueryAt::Point([x, y])));
        assert!(view.attention);
        view.targets[0].scores.clone()
    };
    let region = heat(
        &hand.engine,
        at(QueryAt::Region {
            path: vec![[9.5, 9.5], [29.5, 9.5]],
            radius: 1.0,
        }),
    );
    assert_eq!(region.cells, [(0, 0), (0, 1)]);
    let (first, second) = (row(9.5, 9.5), row(29.5, 9.5));
    let mean: Vec<f32> = first.iter().zip(&second).map(|(a, b)| (a + b) / 2.0).collect();
    assert_close(&region.targets[0].scores, &mean);
    assert_ne!(first, second);
}

#[test]
fn massive_channels_of_the_source_are_left_out_on_both_sides() {
    let (a, b) = (random_map(5, 8, 3, 4), random_map(6, 8, 4, 4));
    let hand = hand(vec![
        Pass::whole(ImageSlot::A, vec![(id("b1"), with_massive(&a, 2))]),
        Pass::whole(ImageSlot::B, vec![(id("b1"), with_massive(&b, 5))]),
    ]);
    let whole = query(&hand, "b1", QueryAt::Point([9.5, 9.5]), &[ImageSlot::A, ImageSlot::B]);
    let reduced = HeatQuery {
        drop_massive: true,
        ..whole.clone()
    };
    let without = |map: &FeatureMap| map.without_channels(&[2]).expect("seven stay");
    let vector = without(&a).vector(0).to_vec();
    // Asked twice: the second answer comes from what is remembered.
    for _ in 0..2 {
        let view = heat(&hand.engine, reduced.clone());
        let expected = cosine_to_all(&vector, &without(&a)).expect("the same channels");
        assert_close(&view.targets[0].scores, &expected);
        let target = without(&with_massive(&b, 5));
        let expected = cosine_to_all(&vector, &target).expect("the same channels");
        assert_close(&view.targets[1].scores, &expected);
    }
    let scores = &heat(&hand.engine, whole).targets[0].scores;
    assert!(scores.iter().all(|score| score.abs() > 0.99), "{scores:?}");
}

#[test]
fn matches_are_those_of_all_pairs() {
    let (a, b) = (random_map(7, 5, 3, 4), random_map(8, 5, 5, 4));
    let hand = hand(vec![
        Pass::whole(ImageSlot::A, vec![(id("b1"), a.clone())]),
        Pass::whole(ImageSlot::B, vec![(id("b1"), b.clone())]),
    ]);
    let all = mutual_nearest(&a, &b).expect("the same channels");
    let middle = |(row, column): (usize, usize)| [20.0 * column as f64 + 9.5, 20.0 * row as f64 + 9.5];
    // Each pin has a mate where its best match is.
    let pins = (0..a.grid().positions()).map(|position| PinQuery {
        pin: position as u32,
        source: hand.passes[&ImageSlot::A],
        at: QueryAt::Point(middle(a.grid().row_column(position))),
        mate: Some((
            ImageSlot::B,
            middle(b.grid().row_column(all.forward[position].position)),
        )),
    });
    let view = matches(
        &hand.engine,
        MatchesQuery {
            id: id("b1"),
            pins: pins.collect(),
            targets: hand.shown(&[ImageSlot::B]),
            top_k: 3,
            drop_massive: false,
        },
    );
    assert_eq!(view.pins.len(), a.grid().positions());
    for pin in &view.pins {
        let position = pin.pin as usize;
        assert_eq!(pin.cells, [a.grid().row_column(position)]);
        let [first, second, third] = pin.targets[0].best[..] else {
            panic!("three were asked for, came {:?}", pin.targets[0].best);
        };
        assert_eq!(pin.mate_score, Some(first.found.score));
        assert!(first.found.score >= second.found.score && second.found.score >= third.found.score);
        let (row, column) = b.grid().row_column(all.forward[position].position);
        assert_eq!(first.found.cell, (row, column));
        assert_eq!(first.found.at, [20.0 * column as f64 + 9.5, 20.0 * row as f64 + 9.5]);
        assert_eq!(first.mutual, all.mutual[position]);
        assert!((first.cycle_cells - all.cycle_error[position]).abs() < CLOSE);
        let back = all.backward[all.forward[position].position].position;
        let (row, column) = a.grid().row_column(back);
        assert_eq!(first.back, [20.0 * column as f64 + 9.5, 20.0 * row as f64 + 9.5]);
    }
    assert!(all.mutual.contains(&true) && all.mutual.contains(&false));
}

#[test]
fn a_region_is_mutual_with_any_of_its_cells_and_unseen_pins_are_left_out() {
    let (slot, framing) = (ImageSlot::A, cropped());
    let maps = vec![(id("b1"), random_map(1, 6, 3, 3))];
    let hand = hand(vec![Pass { slot, framing, maps }]);
    let source = hand.passes[&ImageSlot::A];
    let query = |wanted: &str| MatchesQuery {
        id: id(wanted),
        pins: vec![
            PinQuery {
                pin: 7,
                source,
                at: QueryAt::Point([5.0, 30.0]),
                mate: None,
            },
            PinQuery {
                pin: 9,
                source,
                at: QueryAt::Region {
                    path: vec![[50.0, 30.0]],
                    radius: 1000.0,
                },
                // The model sees the middle of the picture alone.
                mate: Some((ImageSlot::A, [5.0, 30.0])),
            },
        ],
        targets: hand.shown(&[ImageSlot::A]),
        top_k: 100,
        drop_massive: true,
    };
    let view = matches(&hand.engine, query("b1"));
    assert_eq!(view.pins.iter().map(|pin| pin.pin).collect::<Vec<_>>(), [9]);
    assert_eq!(view.pins[0].mate_score, None);
    let best = &view.pins[0].targets[0].best;
    assert_eq!(best.len(), 9, "there are no more cells");
    assert!(best.iter().all(|found| found.mutual && found.cycle_cells == 0.0));
    assert!(best.iter().all(|found| found.back == found.found.at));
    assert!(matches(&hand.engine, query("b1-attn-map")).pins.is_empty());
}

#[test]
fn channels_are_told_as_they_are() {
    let map = with_massive(&random_map(9, 8, 3, 4), 4);
    let hand = hand(vec![Pass::whole(ImageSlot::A, vec![(id("b1"), map.clone())])]);
    let pass = hand.passes[&ImageSlot::A];
    let Event::Answer(Answer::Channels(view)) = ask(
        &hand.engine,
        ViewRequest::Channels(ChannelsQuery { id: id("b1"), pass }),
    ) else {
        panic!("figures were expected");
    };
    assert_eq!((view.channels.len(), &view.massive[..]), (8, &[4][..]));
    assert!(view.channels[4].massive && view.channels[4].ratio > 100.0);
    assert!(view.mean_cosine[0].abs() < 1.0 && view.mean_cosine[0] != view.mean_cosine[1]);
    let channel = |channel| ChannelQuery {
        id: id("b1"),
        channel,
        passes: hand.shown(&[ImageSlot::A]),
    };
    let Event::Answer(Answer::Channel(view)) = ask(&hand.engine, ViewRequest::Channel(channel(4))) else {
        panic!("a channel was expected");
    };
    assert_eq!(view.query, channel(4));
    let plane = map.to_channels()[4 * 12..5 * 12].to_vec();
    assert_eq!(view.maps, [(ImageSlot::A, Grid::new(3, 4), plane)]);
    let error = refusal(ask(&hand.engine, ViewRequest::Channel(channel(8))));
    assert!(
        error.contains("8 channels") && error.contains("no channel 8"),
        "{error}"
    );
    let attention = ViewRequest::Channels(ChannelsQuery {
        id: id("b1-attn-map"),
        pass,
    });
    assert!(refusal(ask(&hand.engine, attention)).contains("attention map"));
}

#[test]
fn a_heat_map_does_not_wait_for_a_pca() {
    let maps = vec![
        (id("b1"), random_map(1, 512, 64, 64)),
        (id("b2"), random_map(2, 4, 3, 3)),
    ];
    let hand = hand(vec![Pass::whole(ImageSlot::A, maps)]);
    hand.engine.send(Request::View(ViewRequest::Pca(PcaQuery {
        id: id("b1"),
        passes: hand.shown(&[ImageSlot::A]),
        settings: PcaSettings::default(),
    })));
    let view = heat(
        &hand.engine,
        query(&hand, "b2", QueryAt::Point([1.0, 1.0]), &[ImageSlot::A]),
    );
    assert_eq!(view.cells, [(0, 0)], "the first answer is that to the second request");
    until(&hand.engine, |event| {
        matches!(event, Event::Answer(Answer::Pca(_))).then_some(())
    });
}

#[test]
fn saved_maps_and_heat_maps_are_told_as_saved() -> TestResult {
    let map = random_map(1, 6, 3, 4);
    let hand = hand(vec![Pass::whole(ImageSlot::A, vec![(id("b1"), map.clone())])]);
    let folder = tempfile::tempdir()?;
    let (pass, work) = (hand.passes[&ImageSlot::A], TaskKind::Save);
    let path = folder.path().join("map.npy");
    let save = ViewRequest::SaveMap(SaveMap {
        id: id("b1"),
        pass,
        path: path.clone(),
    });
    assert_eq!(
        ask(&hand.engine, save),
        Event::Saved {
            work,
            path: path.clone()
        }
    );
    let saved = crate::io::npy::read_npy(&path)?;
    assert_eq!((&saved.shape[..], saved.data), (&[1, 6, 3, 4][..], map.to_channels()));
    let save = |path: std::path::PathBuf| {
        ViewRequest::SaveHeat(SaveHeat {
            query: query(&hand, "b1", QueryAt::Point([9.5, 9.5]), &[ImageSlot::A]),
            style: crate::render::ScoreStyle::default(),
            figure: Box::default(),
            path,
        })
    };
    let path = folder.path().join("heat.png");
    assert_eq!(
        ask(&hand.engine, save(path.clone())),
        Event::Saved {
            work,
            path: path.clone()
        }
    );
    let picture = crate::image::picture::Picture::read(&path, [0; 3])?;
    assert_eq!(picture.size(), Size::new(80, 60), "the picture's own size");
    let error = refusal(ask(&hand.engine, save(folder.path().join("heat.jpg"))));
    assert!(error.contains(".png"), "{error}");
    Ok(())
}

#[test]
fn what_is_not_kept_is_missing() {
    let hand = hand(vec![Pass::whole(
        ImageSlot::A,
        vec![(id("b1"), random_map(1, 6, 3, 4))],
    )]);
    let pass = hand.passes[&ImageSlot::A];
    let other = query(&hand, "b2", QueryAt::Point([1.0, 1.0]), &[ImageSlot::A]);
    let missing = Event::Missing { id: id("b2"), pass };
    assert_eq!(ask(&hand.engine, ViewRequest::Heat(other)), missing);
    assert_eq!(
        ask(
            &hand.engine,
            ViewRequest::Channels(ChannelsQuery { id: id("b2"), pass })
        ),
        missing
    );
    // Running the attention map brings the queries and keys that it needs.
    let attention = query(&hand, "b1-attn-map", QueryAt::Point([1.0, 1.0]), &[ImageSlot::A]);
    let missing = Event::Missing {
        id: id("b1-attn-map"),
        pass,
    };
    assert_eq!(ask(&hand.engine, ViewRequest::Heat(attention)), missing);
    let gone = PassId(1000);
    let unknown = HeatQuery {
        source: gone,
        ..query(&hand, "b1", QueryAt::Point([1.0, 1.0]), &[ImageSlot::A])
    };
    let missing = Event::Missing {
        id: id("b1"),
        pass: gone,
    };
    assert_eq!(ask(&hand.engine, ViewRequest::Heat(unknown)), missing);
}

#[test]
fn views_are_plain_data() -> TestResult {
    let hand = hand(vec![Pass::whole(
        ImageSlot::A,
        vec![(id("b1"), random_map(1, 6, 3, 4))],
    )]);
    let region = QueryAt::Region {
        path: vec![[9.5, 9.5], [30.0, 12.0]],
        radius: 12.5,
    };
    let source = hand.passes[&ImageSlot::A];
    let requests = [
        ViewRequest::Heat(query(&hand, "b1", region.clone(), &[ImageSlot::A])),
        ViewRequest::Matches(MatchesQuery {
            id: id("b1"),
            pins: vec![PinQuery {
                pin: 3,
                source,
                at: region,
                mate: None,
            }],
            targets: hand.shown(&[ImageSlot::A]),
            top_k: 2,
            drop_massive: true,
        }),
        ViewRequest::Pca(PcaQuery {
            id: id("b1"),
            passes: hand.shown(&[ImageSlot::A]),
            settings: PcaSettings {
                basis: BasisChoice::Of(ImageSlot::A),
                ..PcaSettings::default()
            },
        }),
        ViewRequest::Channels(ChannelsQuery {
            id: id("b1"),
            pass: source,
        }),
        ViewRequest::Channel(ChannelQuery {
            id: id("b1"),
            channel: 5,
            passes: hand.shown(&[ImageSlot::A]),
        }),
    ];
    for request in requests {
        let copy: ViewRequest = serde_json::from_str(&serde_json::to_string(&request)?)?;
        assert_eq!(copy, request);
        let answer = ask(&hand.engine, request);
        assert!(!matches!(answer, Event::Failed { .. }), "{answer:?}");
        assert_eq!(serde_json::from_str::<Event>(&serde_json::to_string(&answer)?)?, answer);
    }
    Ok(())
}

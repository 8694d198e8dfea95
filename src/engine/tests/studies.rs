//! Studies: passes that go on where nothing else is to be done.

use super::*;

fn member(t: u32, seed: u64) -> SeriesMember {
    let settings = RunSettings { seed, ..settings(t) };
    let slot = ImageSlot::A;
    SeriesMember {
        slot,
        settings,
        noiseless: false,
    }
}

fn series(engine: &Engine, job: u64, members: Vec<SeriesMember>, ids: &[&str]) {
    let ids = ids.iter().map(|name| id(name)).collect();
    engine.send(Request::Study {
        job,
        study: Box::new(Study::Series(SeriesQuery { members, ids })),
    });
}

/// A series that takes long enough for anything to happen while it goes on.
fn long_series(engine: &Engine, job: u64) {
    let slow = |t| {
        let mut member = member(t, 0);
        member.settings.ensemble = 12;
        member
    };
    series(engine, job, (100..106).map(slow).collect(), &["b11"]);
}

/// The members kept, in the order told, and the events of everything else, until the study is over.
fn followed(engine: &Engine, job: u64) -> (Vec<MemberKept>, Vec<Event>, Option<Error>) {
    let (mut kept, mut others) = (Vec::new(), Vec::new());
    let end = until_seen(
        engine,
        |event| match event {
            Event::Study {
                event: StudyEvent::Series(member),
                ..
            } => kept.push((**member).clone()),
            other => others.push(other.clone()),
        },
        |event| end_of(event, job),
    );
    (kept, others, end)
}

/// How a study ended, if it did.
fn end_of(event: &Event, job: u64) -> Option<Option<Error>> {
    match event {
        Event::StudyFinished { job: ended } if *ended == job => Some(None),
        Event::Failed { work, error } if *work == (TaskKind::Study { job }) => Some(Some(error.clone())),
        _ => None,
    }
}

fn until_progress(engine: &Engine, job: u64) {
    let work = TaskKind::Study { job };
    until(engine, |event| match event {
        Event::Progress { work: of, .. } if *of == work => Some(()),
        _ => None,
    });
}

fn ready(cache_bytes: usize) -> Engine {
    let engine = engine(cache_bytes);
    demo(&engine);
    open(&engine, ImageSlot::A, "noto-cat-face");
    engine
}

#[test]
fn a_series_keeps_its_passes_unseen_and_what_is_kept_costs_nothing() {
    let engine = ready(1 << 30);
    let members = vec![member(100, 0), member(200, 0), member(100, 1)];
    series(&engine, 1, members.clone(), &["b11", "b12"]);
    let (kept, others, end) = followed(&engine, 1);
    assert_eq!(end, None);
    assert_eq!(kept.iter().map(|member| member.index).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(
        [kept[0].ran.t_ran(), kept[1].ran.t_ran()],
        [100, 200].map(|t| Some(t.into()))
    );
    assert!(
        !others.iter().any(|event| captured(event).is_some()),
        "nothing is shown"
    );
    let items: Vec<_> = others
        .iter()
        .filter_map(|event| match event {
            Event::Progress { item, .. } => *item,
            _ => None,
        })
        .collect();
    assert_eq!((items.first(), items.last()), (Some(&[1, 3]), Some(&[3, 3])));
    assert!(items.is_sorted());
    // Looked at, they are there at once: under the same numbers, and without a pass.
    engine.send(Request::Run {
        settings: settings(200),
        id: id("b12"),
    });
    let capture = until(&engine, captured);
    assert_eq!(capture.pass, kept[1].pass);
    assert_eq!(
        capture.ids,
        [id("b11"), id("b12")],
        "the pass ended behind the last of them"
    );
    let seconds = until(&engine, |event| match event {
        Event::RunFinished { seconds } => Some(*seconds),
        _ => None,
    });
    assert_eq!(seconds, None);
    series(&engine, 2, members, &["b11"]);
    let (again, others, _) = followed(&engine, 2);
    let passes = |kept: &[MemberKept]| kept.iter().map(|member| member.pass).collect::<Vec<_>>();
    assert_eq!(passes(&again), passes(&kept));
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn a_run_and_a_picture_go_first_and_nothing_is_done_twice() {
    let engine = ready(1 << 30);
    long_series(&engine, 1);
    until_progress(&engine, 1);
    let at = run(&engine, settings(500), "b11");
    assert_eq!(at.ran.t_ran(), Some(500.into()), "the study did not have to end first");
    until_progress(&engine, 1);
    open(&engine, ImageSlot::B, "noto-dog-face");
    let (kept, _, end) = followed(&engine, 1);
    assert_eq!(end, None);
    let last = kept.last().map(|member| member.index);
    assert_eq!(last, Some(5));
    assert!(kept.is_sorted_by_key(|member| member.index));
    assert!(
        kept.windows(2).all(|pair| pair[0].index < pair[1].index),
        "each is told once"
    );
}

#[test]
fn the_picture_is_the_one_that_was_open_when_it_began() {
    let engine = ready(1 << 30);
    long_series(&engine, 1);
    until_progress(&engine, 1);
    open(&engine, ImageSlot::A, "noto-dog-face");
    let (kept, _, end) = followed(&engine, 1);
    assert_eq!((end, kept.last().map(|member| member.index)), (None, Some(5)));
    let last = run(
        &engine,
        RunSettings {
            ensemble: 12,
            ..settings(105)
        },
        "b11",
    );
    assert_ne!(kept.last().map(|member| member.pass), Some(last.pass));
}

#[test]
fn a_cancelled_study_ends_soon_and_one_that_waits_never_begins() {
    let engine = ready(1 << 30);
    let mut endless = member(100, 0);
    endless.settings.ensemble = 2000;
    series(&engine, 1, vec![endless], &["b11"]);
    series(&engine, 2, vec![member(100, 0)], &["b11"]);
    until_progress(&engine, 1);
    engine.send(Request::CancelStudy { job: 2 });
    engine.send(Request::CancelStudy { job: 1 });
    let mut ends = Vec::new();
    while ends.len() < 2 {
        ends.push(until(&engine, |event| match event {
            Event::Failed { work, error } => Some((*work, error.clone())),
            Event::Study { .. } | Event::StudyFinished { .. } => panic!("{event:?}"),
            _ => None,
        }));
    }
    let cancelled = |job| (TaskKind::Study { job }, Error::Cancelled);
    assert_eq!(ends, [cancelled(2), cancelled(1)]);
    assert_eq!(run(&engine, settings(90), "b11").ran.t_ran(), Some(90.into()));
}

#[test]
fn another_model_ends_the_studies_that_were_asked_for_before_it() {
    let engine = ready(1 << 30);
    long_series(&engine, 1);
    series(&engine, 2, vec![member(100, 0)], &["b11"]);
    until_progress(&engine, 1);
    engine.send(Request::LoadModel {
        name: "demo".into(),
        device: DeviceChoice::Cpu,
        dtype: Precision::F32,
    });
    series(&engine, 3, vec![member(100, 0)], &["b11"]);
    let mut ends = Vec::new();
    until(&engine, |event| {
        if let Event::Failed { work, error } = event {
            ends.push((*work, error.to_string()));
        }
        end_of(event, 3).map(|end| assert_eq!(end, None))
    });
    let works: Vec<TaskKind> = ends.iter().map(|(work, _)| *work).collect();
    assert_eq!(works, [TaskKind::Study { job: 1 }, TaskKind::Study { job: 2 }]);
    assert!(
        ends.iter().all(|(_, words)| words.contains("another model")),
        "{ends:?}"
    );
}

#[test]
fn a_model_that_cannot_be_read_does_not_end_a_study() {
    let engine = ready(1 << 30);
    long_series(&engine, 1);
    until_progress(&engine, 1);
    engine.send(Request::LoadModel {
        name: "/nowhere/to/be/found".into(),
        device: DeviceChoice::Cpu,
        dtype: Precision::F32,
    });
    let (kept, _, end) = followed(&engine, 1);
    assert_eq!((end, kept.last().map(|member| member.index)), (None, Some(5)));
}

#[test]
fn without_noise_is_another_pass_than_with_it() {
    let engine = ready(1 << 30);
    let noiseless = |seed| SeriesMember {
        noiseless: true,
        ..member(100, seed)
    };
    series(&engine, 1, vec![member(100, 0), noiseless(0), noiseless(1)], &["b11"]);
    let (kept, _, end) = followed(&engine, 1);
    assert_eq!(end, None);
    let channel = |pass| match ask(
        &engine,
        ViewRequest::Channel(ChannelQuery {
            id: id("b11"),
            channel: 0,
            passes: vec![(ImageSlot::A, pass)],
        }),
    ) {
        Event::Answer(Answer::Channel(view)) => view.maps[0].2.clone(),
        other => panic!("{other:?}"),
    };
    let [noisy, clean, other_seed] = [0, 1, 2].map(|index| channel(kept[index].pass));
    assert_ne!(noisy, clean);
    assert_eq!(clean, other_seed, "no noise is drawn");
}

#[test]
fn what_cannot_be_done_is_said() {
    let engine = ready(1 << 30);
    let refused = |job, members, ids: &[&str]| {
        series(&engine, job, members, ids);
        let (_, _, end) = followed(&engine, job);
        end.map(|error| error.to_string()).unwrap_or_default()
    };
    let elsewhere = SeriesMember {
        slot: ImageSlot::B,
        ..member(100, 0)
    };
    let words = refused(1, vec![elsewhere], &["b11"]);
    assert!(words.contains("picture B") && words.contains("open"), "{words}");
    let words = refused(2, vec![member(100, 0)], &["up-level0-repeat0-res-out"]);
    assert!(words.contains("no activation"), "{words}");
    let words = refused(3, vec![member(100_000, 0)], &["b11"]);
    assert!(words.contains("t 100000"), "{words}");
    assert_eq!(refused(4, Vec::new(), &["b11"]), "", "nothing to do is done at once");
}

#[test]
fn a_series_that_does_not_fit_into_the_cache_is_refused_with_its_size() {
    let engine = ready(400 << 10);
    series(&engine, 1, (0..100).map(|t| member(t, 0)).collect(), &["b11"]);
    let (kept, _, end) = followed(&engine, 1);
    let words = end.map(|error| error.to_string()).unwrap_or_default();
    assert!(
        kept.is_empty() && words.contains("fewer passes") && words.contains("MiB"),
        "{words}"
    );
}

fn survey(engine: &Engine, job: u64) {
    let study = Study::Survey(SurveyQuery {
        slot: ImageSlot::A,
        settings: settings(100),
        noises: 2,
        maps: true,
        regions: Vec::new(),
    });
    let study = Box::new(study);
    engine.send(Request::Study { job, study });
}

#[test]
fn a_survey_measures_everything_once_also_when_it_makes_way_for_a_run() {
    let engine = ready(1 << 30);
    survey(&engine, 1);
    let mut found = Vec::new();
    let mut activations = Vec::new();
    let mut asked = false;
    let mut captures = 0;
    let end = until_seen(
        &engine,
        |event| match event {
            Event::Study {
                event: StudyEvent::Found(finding),
                ..
            } => {
                found.push((finding.order, finding.id));
                if found.len() == 10 && !asked {
                    asked = true;
                    engine.send(Request::Run {
                        settings: settings(200),
                        id: id("b11"),
                    });
                }
            }
            Event::Study {
                event: StudyEvent::SurveyStarted(about),
                ..
            } => activations.push(about.activations),
            other => captures += usize::from(captured(other).is_some()),
        },
        |event| end_of(event, 1),
    );
    assert_eq!(end, None);
    assert_eq!(captures, 1, "the run went first");
    assert_eq!(activations, [80, 80], "it began anew after that");
    let orders: Vec<usize> = found.iter().map(|(order, _)| *order).collect();
    assert_eq!(orders, (0..80).collect::<Vec<_>>(), "each once");
}

#[test]
fn a_survey_is_ended_within_a_layer_and_one_without_a_picture_says_why() {
    let engine = ready(1 << 30);
    survey(&engine, 1);
    until(&engine, |event| match event {
        Event::Study {
            event: StudyEvent::Found(_),
            ..
        } => Some(()),
        _ => None,
    });
    engine.send(Request::CancelStudy { job: 1 });
    let end = until(&engine, |event| end_of(event, 1));
    assert_eq!(end, Some(Error::Cancelled));
    engine.send(Request::ClosePicture { slot: ImageSlot::A });
    survey(&engine, 2);
    let end = until(&engine, |event| end_of(event, 2));
    assert!(end.is_some_and(|error| error.to_string().contains("picture A is not open")));
}

fn recommendation(engine: &Engine, job: u64, steps: &[u32]) {
    let study = Study::Recommend(RecommendQuery {
        slots: vec![ImageSlot::A],
        settings: RunSettings {
            size: Some(WorkingSize::ShortSide(32)),
            ..settings(100)
        },
        steps: steps.iter().map(|t| (*t).into()).collect(),
        noises: 2,
        pairs: Vec::new(),
        top: 5,
    });
    let study = Box::new(study);
    engine.send(Request::Study { job, study });
}

#[test]
fn a_recommendation_is_the_same_where_it_makes_way_for_a_run() {
    let engine = ready(1 << 30);
    let mut all = Vec::new();
    for makes_way in [false, true] {
        let job = 1 + u64::from(makes_way);
        recommendation(&engine, job, &[100]);
        let (mut found, mut captures, mut asked) = (Vec::new(), 0, !makes_way);
        let end = until_seen(
            &engine,
            |event| match event {
                Event::Study {
                    event: StudyEvent::Recommended(recommended),
                    ..
                } => found.push((**recommended).clone()),
                Event::Progress {
                    work: TaskKind::Study { .. },
                    fraction,
                    ..
                } if *fraction > 0.1 && !asked => {
                    asked = true;
                    engine.send(Request::Run {
                        settings: settings(200),
                        id: id("b11"),
                    });
                }
                other => captures += usize::from(captured(other).is_some()),
            },
            |event| end_of(event, job),
        );
        assert_eq!((end, found.len(), captures), (None, 1, usize::from(makes_way)));
        all.extend(found);
    }
    assert_eq!(all[0].best.len(), 5);
    assert!(
        all[0]
            .best
            .iter()
            .all(|best| best.figures.agreement.is_some() && !best.against.is_empty())
    );
    assert_eq!(all[0], all[1]);
}

#[test]
fn a_recommendation_is_ended_within_a_layer_and_one_that_cannot_be_made_says_why() {
    let engine = ready(1 << 30);
    recommendation(&engine, 1, &[50]);
    until_progress(&engine, 1);
    engine.send(Request::CancelStudy { job: 1 });
    assert_eq!(until(&engine, |event| end_of(event, 1)), Some(Error::Cancelled));
    recommendation(&engine, 2, &[5000]);
    let end = until(&engine, |event| end_of(event, 2)).map(|error| error.to_string());
    assert!(end.as_ref().is_some_and(|words| words.contains("0 to 999")), "{end:?}");
    engine.send(Request::ClosePicture { slot: ImageSlot::A });
    recommendation(&engine, 3, &[50]);
    let end = until(&engine, |event| end_of(event, 3)).map(|error| error.to_string());
    assert!(
        end.as_ref()
            .is_some_and(|words| words.contains("picture A is not open")),
        "{end:?}"
    );
}

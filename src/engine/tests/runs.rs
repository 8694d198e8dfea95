//! The extractor with the embedded model: runs, the cache, cancelling.

use super::*;

#[test]
fn one_pass_captures_everything_but_maps_and_the_next_layer_needs_none() {
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, ImageSlot::A, "noto-cat-face");
    let capture = run(&engine, settings(100), "b11");
    let features = capture.layers.iter().filter(|layer| !layer.id.is_map()).count();
    assert_eq!(capture.ids.len(), features);
    assert_eq!(capture.ran.t_ran(), Some(100.into()));
    engine.send(Request::Run {
        settings: settings(100),
        id: id("b4-attn-map"),
    });
    let again = until(&engine, captured);
    assert_eq!(again.pass, capture.pass);
    let seconds = until(&engine, |event| match event {
        Event::RunFinished { seconds } => Some(*seconds),
        _ => None,
    });
    assert_eq!(seconds, None, "the queries and keys of the map were kept already");
}

#[test]
fn on_a_gpu_what_is_looked_at_comes_before_everything_else() {
    let engine = Engine::with_extractor(Arc::new(|| {}), 1 << 30, |requests, host| {
        Extractor::new(requests, host).showing_first().run_here()
    })
    .expect("threads can be started");
    demo(&engine);
    open(&engine, ImageSlot::A, "noto-cat-face");
    open(&engine, ImageSlot::B, "fluent-dog-face");
    let ask = |wanted: &str| {
        engine.send(Request::Run {
            settings: settings(100),
            id: id(wanted),
        });
        let mut came = Vec::new();
        let mut fractions = Vec::new();
        let seconds = until(&engine, |event| match event {
            Event::Captured { slot, capture } => {
                came.push((
                    *slot,
                    capture.ids.len(),
                    capture.layers.iter().filter(|layer| !layer.id.is_map()).count(),
                ));
                None
            }
            Event::Progress {
                work: TaskKind::Run,
                fraction,
                ..
            } => {
                fractions.push(*fraction);
                None
            }
            Event::RunFinished { seconds } => Some(*seconds),
            _ => None,
        });
        assert!(fractions.is_sorted() && fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction)));
        (came, seconds)
    };
    let (came, seconds) = ask("b11");
    let all = came[0].2;
    assert_eq!(
        came,
        [
            (ImageSlot::A, 1, all),
            (ImageSlot::B, 1, all),
            (ImageSlot::A, all, all),
            (ImageSlot::B, all, all)
        ]
    );
    assert!(seconds.is_some());
    // The next layer is there already.
    let (came, seconds) = ask("b4");
    assert_eq!(seconds, None, "{came:?}");
}

#[test]
fn a_gpu_that_has_failed_is_not_asked_again() {
    let engine = Engine::with_extractor(Arc::new(|| {}), 1 << 30, |requests, host| {
        Extractor::new(requests, host).failing().run_here()
    })
    .expect("threads can be started");
    demo(&engine);
    open(&engine, ImageSlot::A, "noto-cat-face");
    // What goes well asks nothing of the device.
    run(&engine, settings(100), "b11");
    engine.send(Request::Run {
        settings: settings(100),
        id: id("mid-vit-out"),
    });
    until(&engine, |event| {
        matches!(
            event,
            Event::Failed {
                work: TaskKind::Run,
                ..
            }
        )
        .then_some(())
    });
    let words = until(&engine, |event| match event {
        Event::Recovered { message } => Some(message.clone()),
        _ => None,
    });
    assert_eq!(words, "cpu computes no more: an illegal address");
}

#[test]
fn memory_is_bounded_and_then_only_what_is_looked_at_is_kept() {
    let bound = 400 << 10;
    let engine = engine(bound);
    demo(&engine);
    open(&engine, ImageSlot::A, "noto-cat-face");
    let capture = run(&engine, settings(100), "b11");
    assert_eq!(capture.ids, [id("b11")]);
    assert!(capture.kept_bytes <= bound, "{}", capture.kept_bytes);
    for t in [120, 140, 160, 180] {
        assert!(run(&engine, settings(t), "b11").kept_bytes <= bound);
    }
    // The first pass had to make room: asking about it says so.
    let (pass, b11) = (capture.pass, id("b11"));
    let passes = vec![(ImageSlot::A, pass)];
    engine.send(Request::View(ViewRequest::Pca(PcaQuery {
        id: b11,
        passes,
        settings: PcaSettings::default(),
    })));
    until(&engine, |event| {
        (*event == Event::Missing { id: b11, pass }).then_some(())
    });
}

#[test]
fn the_latest_run_wins() {
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, ImageSlot::A, "noto-cat-face");
    for t in 0..40 {
        engine.send(Request::Run {
            settings: settings(t),
            id: id("b11"),
        });
    }
    let mut finished = 0;
    let last = until_seen(
        &engine,
        |event| finished += usize::from(matches!(event, Event::RunFinished { .. })),
        |event| captured(event).filter(|capture| capture.settings.t == 39),
    );
    assert_eq!(last.ran.t_ran(), Some(39.into()));
    assert!(finished < 20, "{finished} of 40 overtaken runs were finished");
}

#[test]
fn a_cancelled_run_ends_soon_and_the_next_one_works() {
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, ImageSlot::A, "noto-cat-face");
    let long = RunSettings {
        ensemble: 2000,
        ..settings(100)
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
    engine.send(Request::Cancel);
    until(&engine, |event| {
        (*event
            == Event::Failed {
                work: TaskKind::Run,
                error: Error::Cancelled,
            })
        .then_some(())
    });
    assert_eq!(run(&engine, settings(90), "b11").ran.t_ran(), Some(90.into()));
}

#[test]
fn a_bug_becomes_a_message_and_the_worker_goes_on() {
    let engine = engine(1 << 30);
    demo(&engine);
    engine.send(Request::Panic);
    let message = until(&engine, |event| match event {
        Event::Recovered { message } => Some(message.clone()),
        _ => None,
    });
    assert_eq!(message, "on purpose");
    demo(&engine);
}

#[test]
fn a_model_that_cannot_be_read_leaves_the_one_before() {
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, ImageSlot::A, "noto-cat-face");
    let (device, dtype) = (DeviceChoice::Cpu, Precision::F32);
    engine.send(Request::LoadModel {
        name: "/nowhere/to/be/found".into(),
        device,
        dtype,
    });
    let error = until(&engine, |event| match event {
        Event::ModelFailed { name, error } if name == "/nowhere/to/be/found" => Some(error.to_string()),
        _ => None,
    });
    assert!(error.contains("/nowhere/to/be/found"), "{error}");
    assert_eq!(run(&engine, settings(90), "b11").ran.t_ran(), Some(90.into()));
}

#[test]
fn requests_and_events_are_plain_data() -> Result<(), Box<dyn std::error::Error>> {
    let request = Request::Run {
        settings: settings(7),
        id: id("b7-attn-q"),
    };
    assert_eq!(
        serde_json::from_str::<Request>(&serde_json::to_string(&request)?)?,
        request
    );
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, ImageSlot::A, "noto-cat-face");
    let capture = run(&engine, settings(100), "b11");
    let event = Event::Captured {
        slot: ImageSlot::A,
        capture: Box::new(capture),
    };
    let copy: Event = serde_json::from_str(&serde_json::to_string(&event)?)?;
    assert_eq!(format!("{copy:?}"), format!("{event:?}"));
    Ok(())
}

#[test]
fn a_map_that_cannot_be_kept_is_refused_with_its_size() {
    let engine = engine(1 << 10);
    demo(&engine);
    open(&engine, ImageSlot::A, "noto-cat-face");
    engine.send(Request::Run {
        settings: settings(100),
        id: id("b11"),
    });
    let error = until(&engine, |event| match event {
        Event::Failed {
            work: TaskKind::Run,
            error,
        } => Some(error.to_string()),
        _ => None,
    });
    assert!(error.contains("b11") && error.contains("smaller size"), "{error}");
}

fn slot(letter: &str) -> ImageSlot {
    letter.to_owned().try_into().expect("a letter from A to Z")
}

#[test]
fn every_open_picture_runs_in_order_and_progress_says_which() {
    let engine = engine(1 << 30);
    demo(&engine);
    let samples = ["noto-cat-face", "noto-dog-face", "noto-cat-face"];
    for (letter, sample) in ["D", "A", "C"].into_iter().zip(samples) {
        open(&engine, slot(letter), sample);
    }
    engine.send(Request::Run {
        settings: settings(100),
        id: id("b11"),
    });
    let (mut captured, mut items, mut fractions) = (Vec::new(), Vec::new(), Vec::new());
    until_seen(
        &engine,
        |event| match event {
            Event::Captured { slot, capture } => captured.push((*slot, capture.pass)),
            Event::Progress { item, fraction, .. } => {
                if items.last() != Some(item) {
                    items.push(*item);
                }
                fractions.push(*fraction);
            }
            _ => {}
        },
        |event| matches!(event, Event::RunFinished { .. }).then_some(()),
    );
    let slots: Vec<ImageSlot> = captured.iter().map(|(slot, _)| *slot).collect();
    assert_eq!(slots, ["A", "C", "D"].map(slot));
    assert_eq!(captured[1].1, captured[2].1, "the same picture needs one pass");
    assert_eq!(items, [Some([1, 3]), Some([2, 3])]);
    assert!(fractions.is_sorted() && fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction)));
}

#[test]
fn pictures_change_places_with_others_and_with_empty_slots() {
    let engine = engine(1 << 30);
    demo(&engine);
    open(&engine, ImageSlot::A, "noto-cat-face");
    open(&engine, ImageSlot::B, "noto-dog-face");
    let passes = |swap: Option<[ImageSlot; 2]>| {
        if let Some([a, b]) = swap {
            engine.send(Request::SwapPictures { a, b });
            until(&engine, |event| {
                (*event == Event::PicturesSwapped { a, b }).then_some(())
            });
        }
        engine.send(Request::Run {
            settings: settings(100),
            id: id("b11"),
        });
        let mut captured = Vec::new();
        until_seen(
            &engine,
            |event| {
                if let Event::Captured { slot, capture } = event {
                    captured.push((*slot, capture.pass));
                }
            },
            |event| matches!(event, Event::RunFinished { .. }).then_some(()),
        );
        captured
    };
    let (c, z) = (slot("C"), slot("Z"));
    let before = passes(None);
    let (cat, dog) = (before[0].1, before[1].1);
    assert_eq!(before, [(ImageSlot::A, cat), (ImageSlot::B, dog)]);
    assert_eq!(passes(Some([ImageSlot::A, c])), [(ImageSlot::B, dog), (c, cat)]);
    assert_eq!(passes(Some([c, ImageSlot::B])), [(ImageSlot::B, cat), (c, dog)]);
    assert_eq!(
        passes(Some([z, ImageSlot::A])),
        [(ImageSlot::B, cat), (c, dog)],
        "both are empty"
    );
    assert_eq!(passes(Some([c, c])), [(ImageSlot::B, cat), (c, dog)]);
}

#[test]
fn an_opened_picture_tells_its_fingerprint() {
    let engine = engine(1 << 20);
    let fingerprint = |sample: &str| {
        engine.send(Request::OpenPicture {
            slot: ImageSlot::A,
            source: PictureSource::Sample(sample.into()),
        });
        until(&engine, |event| match event {
            Event::PictureOpened { picture, .. } => Some(picture.fingerprint),
            _ => None,
        })
    };
    assert_eq!(fingerprint("noto-cat-face"), fingerprint("noto-cat-face"));
    assert_ne!(fingerprint("noto-cat-face"), fingerprint("noto-dog-face"));
}

#[test]
fn everything_is_kept_if_that_of_all_open_pictures_fits() {
    let engine_of_one = engine(1 << 30);
    demo(&engine_of_one);
    open(&engine_of_one, ImageSlot::A, "noto-cat-face");
    let whole = run(&engine_of_one, settings(100), "b11");
    // Room for two pictures and a half.
    let engine = engine(whole.kept_bytes * 5 / 2);
    demo(&engine);
    for (slot, kept) in [
        (ImageSlot::A, whole.ids.len()),
        (ImageSlot::B, whole.ids.len()),
        (slot("C"), 1),
    ] {
        open(&engine, slot, "noto-cat-face");
        let capture = run(&engine, settings(100 + slot.index() as u32), "b11");
        assert_eq!(capture.ids.len(), kept, "{slot:?}");
    }
}

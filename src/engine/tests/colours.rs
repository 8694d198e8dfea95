//! PCA colours, their bases, what is remembered.

use std::path::PathBuf;

use super::{
    hand::{Pass, with_massive},
    *,
};
use crate::{
    analysis::{
        colour::{ColourRange, RangeRule, colour},
        pca::{PcaOptions, fit},
    },
    engine::{
        map_store::Unavailable,
        queries::{Memory, Outcome},
    },
    image::picture::Picture,
    render::{FigurePlan, FigureSize},
};

const AB: [ImageSlot; 2] = [ImageSlot::A, ImageSlot::B];

/// Two pictures of different size with the same activation.
fn pictures() -> [FeatureMap; 2] {
    [random_map(1, 6, 4, 5), random_map(2, 6, 3, 3)]
}

fn two(maps: &[FeatureMap; 2]) -> Hand {
    let pass = |(slot, map): (ImageSlot, &FeatureMap)| Pass::whole(slot, vec![(id("b1"), map.clone())]);
    hand(AB.into_iter().zip(maps).map(pass).collect())
}

fn query(hand: &Hand, slots: &[ImageSlot], settings: PcaSettings) -> PcaQuery {
    PcaQuery {
        id: id("b1"),
        passes: hand.shown(slots),
        settings,
    }
}

fn basis(basis: BasisChoice) -> PcaSettings {
    PcaSettings {
        basis,
        ..PcaSettings::default()
    }
}

/// One view per pass, in order.
fn views(hand: &Hand, query: &PcaQuery) -> Vec<PcaView> {
    hand.engine.send(Request::View(ViewRequest::Pca(query.clone())));
    let view = |_| {
        until(&hand.engine, |event| match event {
            Event::Answer(Answer::Pca(view)) => Some((**view).clone()),
            Event::Failed { error, .. } => panic!("refused: {error}"),
            _ => None,
        })
    };
    query.passes.iter().map(view).collect()
}

/// What the analysis gives when it is called by itself: fitted on some maps, shown on others, components 0 to 2.
fn expected(fitted_on: &[&FeatureMap], shown: &[&FeatureMap]) -> Vec<Vec<u8>> {
    let basis = fit(fitted_on, &PcaOptions::default()).expect("sound maps");
    let scores: Vec<_> = shown
        .iter()
        .map(|map| basis.project(map).expect("the same channels"))
        .collect();
    let range = ColourRange::of(&scores.iter().collect::<Vec<_>>(), RangeRule::MinMax).expect("a map");
    scores.iter().map(|scores| colour(scores, &range).rgb).collect()
}

fn rgb(views: &[PcaView]) -> Vec<Vec<u8>> {
    views.iter().map(|view| view.rgb.clone()).collect()
}

#[test]
fn the_basis_is_fitted_on_what_was_chosen() {
    let maps = pictures();
    let (a, b) = (&maps[0], &maps[1]);
    let hand = two(&maps);
    let of = |choice| views(&hand, &query(&hand, &AB, basis(choice)));
    let together = of(BasisChoice::Together);
    assert_eq!(rgb(&together), expected(&[a, b], &[a, b]));
    assert_eq!(together.iter().map(|view| view.fitted_on).collect::<Vec<_>>(), [29, 29]);
    assert_eq!(together[1].grid, Grid::new(3, 3));
    let each = of(BasisChoice::Each);
    assert_eq!(rgb(&each), [expected(&[a], &[a]), expected(&[b], &[b])].concat());
    assert_eq!(each.iter().map(|view| view.fitted_on).collect::<Vec<_>>(), [20, 9]);
    let of_b = of(BasisChoice::Of(ImageSlot::B));
    assert_eq!(rgb(&of_b), expected(&[b], &[a, b]));
    assert_eq!(of_b.iter().map(|view| view.slot).collect::<Vec<_>>(), AB);
    let closed = query(&hand, &AB, basis(BasisChoice::Of(ImageSlot::nth(2).expect("a slot"))));
    let error = refusal(ask(&hand.engine, ViewRequest::Pca(closed)));
    assert!(error.contains("picture C"), "{error}");
}

#[test]
fn shown_components_are_computed_and_missing_ones_are_black() {
    let maps = [random_map(1, 4, 4, 5), random_map(2, 4, 3, 3)];
    let hand = two(&maps);
    let settings = PcaSettings {
        shown: [3, 0, 9],
        ..basis(BasisChoice::Each)
    };
    let view = &views(&hand, &query(&hand, &AB[..1], settings))[0];
    let all = fit(
        &[&maps[0]],
        &PcaOptions {
            components: 4,
            ..PcaOptions::default()
        },
    )
    .expect("a sound map");
    assert_eq!(view.explained, all.explained_variance_ratio, "never more than channels");
    assert_eq!(view.dropped, [9]);
    let scores = all.project(&maps[0]).expect("the same channels");
    assert_eq!(view.first, scores.component(0).collect::<Vec<_>>());
    let plain = colour(
        &scores.of_components(&[3, 0]),
        &ColourRange::of(&[&scores.of_components(&[3, 0])], RangeRule::MinMax).expect("a map"),
    );
    assert_eq!(view.rgb, plain.rgb, "the third is black");
    assert!(view.rgb.chunks(3).all(|pixel| pixel[2] == 0));
    // The largest index there is asks for nothing that cannot be computed.
    let settings = PcaSettings {
        shown: [0, 1, usize::MAX],
        ..PcaSettings::default()
    };
    assert_eq!(views(&hand, &query(&hand, &AB[..1], settings))[0].dropped, [usize::MAX]);
}

#[test]
fn a_clip_is_that_of_all_pictures_of_a_basis() {
    let maps = pictures();
    let hand = two(&maps);
    let clip = RangeRule::Percentile { low: 10.0, high: 90.0 };
    let settings = PcaSettings {
        clip,
        ..PcaSettings::default()
    };
    let found = views(&hand, &query(&hand, &AB, settings));
    let basis = fit(&[&maps[0], &maps[1]], &PcaOptions::default()).expect("sound maps");
    let scores = maps
        .each_ref()
        .map(|map| basis.project(map).expect("the same channels"));
    let range = ColourRange::of(&scores.each_ref(), clip).expect("two maps");
    assert_eq!(rgb(&found), scores.map(|scores| colour(&scores, &range).rgb));
}

#[test]
fn massive_channels_of_the_first_map_are_left_out_of_all() {
    let [a, b] = pictures();
    let maps = [with_massive(&a, 1), with_massive(&b, 4)];
    let hand = two(&maps);
    let settings = |choice| PcaSettings {
        drop_massive: true,
        ..basis(choice)
    };
    let together = views(&hand, &query(&hand, &AB, settings(BasisChoice::Together)));
    let without = |channel| {
        maps.each_ref()
            .map(|map| map.without_channels(&[channel]).expect("five stay"))
    };
    let [of_a, of_b] = without(1);
    assert_eq!(rgb(&together), expected(&[&of_a, &of_b], &[&of_a, &of_b]));
    assert!(together.iter().all(|view| view.left_out == [1]));
    let of_slot = views(&hand, &query(&hand, &AB, settings(BasisChoice::Of(ImageSlot::B))));
    let [of_a, of_b] = without(4);
    assert_eq!(rgb(&of_slot), expected(&[&of_b], &[&of_a, &of_b]));
    let each = views(&hand, &query(&hand, &AB, settings(BasisChoice::Each)));
    assert_eq!(
        each.iter().map(|view| &view.left_out[..]).collect::<Vec<_>>(),
        [[1], [4]]
    );
}

#[test]
fn a_saved_basis_gives_the_same_colours() -> TestResult {
    let [a, b] = pictures();
    let hand = two(&[with_massive(&a, 1), b]);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("basis.json");
    let settings = PcaSettings {
        drop_massive: true,
        shown: [2, 0, 3],
        options: PcaOptions {
            whiten: true,
            ..PcaOptions::default()
        },
        ..basis(BasisChoice::Of(ImageSlot::A))
    };
    let asked = query(&hand, &AB, settings.clone());
    let fitted = views(&hand, &asked);
    let saved = ask(
        &hand.engine,
        ViewRequest::SaveBasis(SaveBasis {
            query: asked.clone(),
            path: path.clone(),
        }),
    );
    let work = TaskKind::Save;
    assert_eq!(
        saved,
        Event::Saved {
            work,
            path: path.clone()
        }
    );
    let again = PcaSettings {
        shown: [2, 0, 3],
        ..basis(BasisChoice::Saved(path.clone()))
    };
    let read = views(&hand, &query(&hand, &AB, again.clone()));
    assert_eq!(rgb(&read), rgb(&fitted));
    assert_eq!(read[1].first, fitted[1].first);
    assert_eq!((&read[0].left_out[..], read[0].fitted_on), (&[1][..], 20));
    let basis = SavedBasis::read(&path)?;
    assert_eq!((basis.id, basis.settings), (id("b1"), settings));
    // A basis from a file can be saved in another one; the file may change between two requests.
    let copy = folder.path().join("copy.json");
    ask(
        &hand.engine,
        ViewRequest::SaveBasis(SaveBasis {
            query: query(&hand, &AB, again.clone()),
            path: copy.clone(),
        }),
    );
    assert_eq!(SavedBasis::read(&copy)?.basis, basis.basis);
    std::fs::write(&path, "{}")?;
    let error = refusal(ask(&hand.engine, ViewRequest::Pca(query(&hand, &AB, again))));
    assert!(error.contains("basis.json is no PCA basis"), "{error}");
    Ok(())
}

#[test]
fn a_basis_that_does_not_fit_or_is_damaged_says_so() -> TestResult {
    let hand = two(&pictures());
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("basis.json");
    let write = |basis: &SavedBasis| basis.write(&path);
    let shown = || query(&hand, &AB, basis(BasisChoice::Saved(path.clone())));
    let error = || refusal(ask(&hand.engine, ViewRequest::Pca(shown())));
    assert!(error().contains("basis.json"), "there is none yet");
    let other = random_map(5, 9, 3, 3);
    let sound = SavedBasis {
        id: id("b2"),
        left_out: vec![0, 3],
        basis: fit(&[&other], &PcaOptions::default())?,
        settings: PcaSettings::default(),
    };
    write(&sound)?;
    let text = error();
    assert!(
        text.contains("b2") && text.contains("11 channels") && text.contains("has 6"),
        "{text}"
    );
    type Damage = fn(&mut SavedBasis);
    let damages: [Damage; 7] = [
        |saved| saved.basis.options.components = 0,
        |saved| saved.basis.options.components = usize::MAX,
        |saved| saved.basis.mean.truncate(2),
        |saved| saved.basis.dropped.clear(),
        |saved| saved.left_out = vec![3, 0],
        |saved| saved.left_out = vec![11],
        |saved| saved.basis.channels = usize::MAX,
    ];
    for (index, damage) in damages.iter().enumerate() {
        let mut damaged = sound.clone();
        damage(&mut damaged);
        write(&damaged)?;
        let text = error();
        assert!(
            text.contains("is no PCA basis") && text.contains("choose a file"),
            "{index}: {text}"
        );
    }
    let text = serde_json::to_string(&sound)?.replacen("\"mean\":[", "\"mean\":[1e300,", 1);
    std::fs::write(&path, text)?;
    assert!(error().contains("is no PCA basis"));
    let wrong_name = ViewRequest::SaveBasis(SaveBasis {
        query: query(&hand, &AB, PcaSettings::default()),
        path: folder.path().join("basis.txt"),
    });
    assert!(refusal(ask(&hand.engine, wrong_name)).contains(".json"));
    Ok(())
}

#[test]
fn finished_views_are_remembered_when_their_maps_are_gone() {
    let worker = |requests: Receiver<Request>, host: ExtractorHost| {
        // One of the two maps fits.
        for (number, _) in requests.into_iter().enumerate() {
            let map = (id("b1"), random_map(number as u64, 4, 4, 4));
            hand::keep(&host, number as u64, Pass::whole(ImageSlot::A, vec![map])).expect("it fits");
        }
    };
    let engine = Engine::with_extractor(Arc::new(|| {}), 400, worker).expect("threads can be started");
    let next = || {
        engine.send(Request::Cancel);
        until(&engine, captured).pass
    };
    let of = |pass, settings| {
        ask(
            &engine,
            ViewRequest::Pca(PcaQuery {
                id: id("b1"),
                passes: vec![(ImageSlot::A, pass)],
                settings,
            }),
        )
    };
    let first = next();
    let seen = of(first, PcaSettings::default());
    assert!(matches!(seen, Event::Answer(Answer::Pca(_))));
    next();
    assert_eq!(of(first, PcaSettings::default()), seen);
    let missing = Event::Missing {
        id: id("b1"),
        pass: first,
    };
    let other = PcaSettings {
        drop_massive: true,
        ..PcaSettings::default()
    };
    assert_eq!(of(first, other), missing);
}

#[test]
fn a_picture_that_is_open_twice_counts_once_and_is_shown_twice() {
    let map = random_map(1, 6, 4, 5);
    let hand = hand(vec![Pass::whole(ImageSlot::A, vec![(id("b1"), map.clone())])]);
    let pass = hand.passes[&ImageSlot::A];
    let twice = PcaQuery {
        id: id("b1"),
        passes: vec![(ImageSlot::A, pass), (ImageSlot::B, pass)],
        settings: PcaSettings::default(),
    };
    let found = views(&hand, &twice);
    assert_eq!(found.iter().map(|view| view.slot).collect::<Vec<_>>(), AB);
    assert!(found.iter().all(|view| view.fitted_on == 20));
    assert_eq!(
        rgb(&found),
        [expected(&[&map], &[&map]), expected(&[&map], &[&map])].concat()
    );
}

#[test]
fn a_saved_picture_is_the_one_shown() -> TestResult {
    let hand = two(&pictures());
    let folder = tempfile::tempdir()?;
    let path: PathBuf = folder.path().join("pca.png");
    let asked = query(&hand, &AB, basis(BasisChoice::Each));
    let shown = &views(&hand, &asked)[1];
    let save = |pass| {
        ViewRequest::SavePca(SavePca {
            query: asked.clone(),
            pass,
            figure: Box::new(FigurePlan {
                size: FigureSize::Width { pixels: 512 },
                ..FigurePlan::default()
            }),
            path: path.clone(),
        })
    };
    let saved = ask(&hand.engine, save(shown.pass));
    assert!(
        matches!(
            saved,
            Event::Saved {
                work: TaskKind::Save,
                ..
            }
        ),
        "{saved:?}"
    );
    let picture = Picture::read(&path, [0; 3])?;
    assert_eq!(picture.size(), Size::new(512, 512));
    assert_eq!(picture.rgb()[..3], shown.rgb[..3]);
    assert!(refusal(ask(&hand.engine, save(PassId(99)))).contains("no PCA to save"));
    Ok(())
}

#[test]
fn what_has_no_principal_components_is_refused() {
    let hand = two(&pictures());
    let attention = PcaQuery {
        id: id("b1-attn-map"),
        ..query(&hand, &AB, PcaSettings::default())
    };
    let error = refusal(ask(&hand.engine, ViewRequest::Pca(attention)));
    assert!(error.contains("attention map"), "{error}");
    for choice in [BasisChoice::Together, BasisChoice::Each, BasisChoice::Of(ImageSlot::A)] {
        let nothing = query(&hand, &[], basis(choice));
        assert!(refusal(ask(&hand.engine, ViewRequest::Pca(nothing))).contains("no picture"));
    }
}

#[test]
fn a_newer_request_ends_the_one_under_way_between_two_fits() {
    let (sender, _events) = channel();
    let events = Events {
        sender,
        waker: Arc::new(|| {}),
    };
    let cache = SharedCache::new(1 << 20);
    let host = ExtractorHost::new(events, cache.clone());
    for (number, (slot, map)) in AB.into_iter().zip(pictures()).enumerate() {
        hand::keep(&host, number as u64, Pass::whole(slot, vec![(id("b1"), map)])).expect("it fits");
    }
    let (maps, mut memory) = (MapStore::new(cache), Memory::default());
    let request = ViewRequest::Pca(PcaQuery {
        id: id("b1"),
        passes: vec![(ImageSlot::A, PassId(1)), (ImageSlot::B, PassId(2))],
        settings: basis(BasisChoice::Each),
    });
    let mut views = 0;
    let mut emit = |outcome| views += usize::from(matches!(outcome, Outcome::Answer(Answer::Pca(_))));
    let mut asked = 0;
    let mut newer_after_the_first = || {
        asked += 1;
        match asked > 1 {
            true => Err(Unavailable::Superseded),
            false => Ok(()),
        }
    };
    let answer = request.answer(&maps, &mut memory, &mut newer_after_the_first, &mut emit);
    assert!(matches!(answer, Err(Unavailable::Superseded)));
    assert_eq!(views, 1);
    assert!(request.answer(&maps, &mut memory, &mut || Ok(()), &mut |_| ()).is_ok());
}

//! Another extractor in the place of the one of this process.

use super::{
    hand::{Pass, keep},
    *,
};

fn failed(event: &Event) -> Option<(TaskKind, String)> {
    match event {
        Event::Failed { work, error } => Some((*work, error.to_string())),
        _ => None,
    }
}

#[test]
fn an_extractor_that_breaks_is_told_and_requests_are_refused() {
    let worker = |requests: Receiver<Request>, _: ExtractorHost| {
        let _ = requests.recv();
        panic!("the line is dead");
    };
    let engine = Engine::with_extractor(Arc::new(|| {}), 1 << 20, worker).expect("threads can be started");
    engine.send(Request::Cancel);
    let message = until(&engine, |event| match event {
        Event::Recovered { message } => Some(message.clone()),
        _ => None,
    });
    assert_eq!(message, "the line is dead");
    let slot = ImageSlot::B;
    engine.send(Request::ClosePicture { slot });
    let (work, error) = until(&engine, failed);
    assert_eq!(work, TaskKind::Picture(slot));
    assert!(error.contains("has ended"), "{error}");
    // The others go on.
    let missing = Event::Missing {
        id: id("b1"),
        pass: PassId(1),
    };
    let channels = ViewRequest::Channels(ChannelsQuery {
        id: id("b1"),
        pass: PassId(1),
    });
    assert_eq!(ask(&engine, channels), missing);
}

#[test]
fn requests_that_are_no_views_reach_it_in_order() {
    let worker = |requests: Receiver<Request>, host: ExtractorHost| {
        for request in requests {
            host.emit(Event::Progress {
                work: request.task(),
                fraction: 1.0,
                item: None,
            });
        }
    };
    let engine = Engine::with_extractor(Arc::new(|| {}), 1 << 20, worker).expect("threads can be started");
    engine.send(Request::CancelExtract { job: 3 });
    engine.send(Request::SwapPictures {
        a: ImageSlot::B,
        b: ImageSlot::A,
    });
    let work = || {
        until(&engine, |event| match event {
            Event::Progress { work, .. } => Some(*work),
            _ => None,
        })
    };
    assert_eq!(
        [work(), work()],
        [TaskKind::Extract { job: 3 }, TaskKind::Picture(ImageSlot::B)]
    );
}

#[test]
fn a_pass_of_which_nothing_can_be_kept_is_an_error() {
    let worker = |requests: Receiver<Request>, host: ExtractorHost| {
        for _ in requests {
            let large = Pass::whole(ImageSlot::A, vec![(id("b1"), random_map(1, 64, 8, 8))]);
            let error = keep(&host, 0, large).expect_err("the cache is smaller");
            let work = TaskKind::Run;
            host.emit(Event::Failed { work, error });
            let small = Pass::whole(ImageSlot::A, vec![(id("b1"), random_map(1, 2, 2, 2))]);
            keep(&host, 1, small).expect("it fits");
        }
    };
    let engine = Engine::with_extractor(Arc::new(|| {}), 1 << 10, worker).expect("threads can be started");
    engine.send(Request::Cancel);
    let (_, error) = until(&engine, failed);
    assert!(error.contains("smaller size"), "{error}");
    let capture = until(&engine, captured);
    assert_eq!((capture.pass, &capture.ids[..]), (PassId(2), &[id("b1")][..]));
}

#[test]
fn a_pass_keeps_what_fits_and_is_known_as_long_as_anything_of_it_is() {
    // Each map takes (4 + 1) numbers on 4 positions: 80 bytes.
    let worker = |requests: Receiver<Request>, host: ExtractorHost| {
        for _ in requests {
            let maps = ["b1", "b2", "b3"].map(|name| (id(name), random_map(1, 4, 2, 2)));
            keep(&host, 0, Pass::whole(ImageSlot::A, maps.to_vec())).expect("one of them fits");
        }
    };
    let engine = Engine::with_extractor(Arc::new(|| {}), 100, worker).expect("threads can be started");
    engine.send(Request::Cancel);
    let capture = until(&engine, captured);
    assert_eq!(capture.ids, [id("b3")]);
    assert_eq!(capture.kept_bytes, 80);
}

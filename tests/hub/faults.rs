//! What goes wrong between here and the hub.

use std::{
    fs,
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use featscope::{
    error::{Error, Result},
    weights::hub::{Hub, HubSettings, TransferStage},
};
use proptest::prelude::*;

use super::{
    kit::{FULL, UNET, assert_whole, fresh, get, message, model, noise, nothing, partial, plan, repo, settings},
    server::{Asked, Fault, Server, plain_get},
};

/// Whether the CDN is asked for the U-Net's weights, of a model of so many bytes.
fn is_unet(asked: &Asked, unet_bytes: usize) -> bool {
    asked.by_cdn && asked.path.contains(&model(unet_bytes)[UNET].checksum())
}

/// A server on which the U-Net's first downloads go wrong like this, one after the other.
fn going_wrong(unet_bytes: usize, faults: Vec<Fault>) -> Server {
    Server::scripted(model(unet_bytes), move |asked| match is_unet(asked, unet_bytes) {
        true => faults.get(asked.nth).cloned().unwrap_or(Fault::None),
        false => Fault::None,
    })
}

/// Starting bytes of the downloads of the U-Net.
fn starts(server: &Server, unet_bytes: usize) -> Vec<u64> {
    let gets = server.gets();
    gets.iter()
        .filter(|asked| is_unet(asked, unet_bytes))
        .map(|asked| asked.range.unwrap_or(0))
        .collect()
}

#[test]
fn the_server_of_these_tests_speaks_http() {
    let server = Server::new(model(1000));
    let address = server.endpoint.strip_prefix("http://").expect("an address");
    let answer = plain_get(address, "/api/models/owner/tiny-model/revision/main?blobs=true");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains(r#""rfilename":"unet/config.json""#),
        "{answer}"
    );
    let answer = plain_get(address, "/owner/tiny-model/resolve/main2/x");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
    const SIZE: usize = 400_000;
    let server = going_wrong(
        SIZE,
        vec![Fault::CutAfter(100_000), Fault::CutAfter(0), Fault::CutAfter(150_000)],
    );
    let (cache, hub) = fresh(&server);
    let mut waits = 0;
    let mut received = 0;
    let planned = plan(&hub).expect("a plan");
    let outcome = hub.fetch(&planned, &mut |progress| {
        waits += u32::from(matches!(&progress.stage, TransferStage::Waiting { reason, .. } if !reason.is_empty()));
        received = progress.bytes_received;
        Ok(())
    });
    outcome.expect("the model");
    assert_whole(cache.path(), &model(SIZE));
    assert_eq!(starts(&server, SIZE), [0, 100_000, 100_000, 250_000]);
    assert!(waits >= 3, "{waits}");
    // Nothing is downloaded twice.
    assert_eq!(received, planned.bytes_total);
}

#[test]
fn a_server_that_does_not_know_ranges_starts_over() {
    const SIZE: usize = 200_000;
    let server = going_wrong(SIZE, vec![Fault::CutAfter(100_000), Fault::IgnoreRange]);
    let (cache, hub) = fresh(&server);
    get(&hub).expect("the model");
    assert_whole(cache.path(), &model(SIZE));
    assert_eq!(starts(&server, SIZE), [0, 100_000]);
}

#[test]
fn another_part_than_was_asked_for_is_not_taken() {
    const SIZE: usize = 200_000;
    let server = going_wrong(SIZE, vec![Fault::CutAfter(100_000), Fault::OtherRange]);
    let (cache, hub) = fresh(&server);
    get(&hub).expect("the model");
    assert_whole(cache.path(), &model(SIZE));
    assert_eq!(starts(&server, SIZE), [0, 100_000, 0]);
}

#[test]
fn a_refused_range_starts_over() {
    const SIZE: usize = 200_000;
    let server = going_wrong(SIZE, vec![Fault::CutAfter(100_000), Fault::Status(416, vec![])]);
    let (cache, hub) = fresh(&server);
    get(&hub).expect("the model");
    assert_whole(cache.path(), &model(SIZE));
    assert_eq!(starts(&server, SIZE), [0, 100_000, 0]);
}

#[test]
fn lies_about_the_length_are_found_out() {
    const SIZE: usize = 200_000;
    for lie in [0, 1, 100_000, 199_999, 200_001, 1 << 40] {
        let server = going_wrong(SIZE, vec![Fault::Length(lie)]);
        let (cache, hub) = fresh(&server);
        get(&hub).unwrap_or_else(|error| panic!("{lie}: {error}"));
        assert_whole(cache.path(), &model(SIZE));
        assert!(starts(&server, SIZE).len() <= 2, "{lie}");
    }
}

#[test]
fn more_bytes_than_the_file_has_are_not_kept() {
    const SIZE: usize = 100_000;
    let long = noise(1, SIZE + 5000);
    let server = going_wrong(SIZE, vec![Fault::Bytes(long.clone())]);
    let (cache, hub) = fresh(&server);
    get(&hub).expect("the model");
    assert_whole(cache.path(), &model(SIZE));

    let server = going_wrong(SIZE, vec![Fault::Bytes(long); 20]);
    let (cache, hub) = fresh(&server);
    let error = message(get(&hub));
    assert!(
        error.contains(UNET) && error.contains("more than the 100000 bytes"),
        "{error}"
    );
    assert!(!cache.path().join("models--owner--tiny-model/refs").exists());
}

#[test]
fn wrong_bytes_are_deleted_and_asked_for_once_more() {
    const SIZE: usize = 100_000;
    let mut wrong = noise(1, SIZE);
    wrong[77_777] ^= 0x10;
    let server = going_wrong(SIZE, vec![Fault::Bytes(wrong.clone())]);
    let (cache, hub) = fresh(&server);
    get(&hub).expect("the model");
    assert_whole(cache.path(), &model(SIZE));
    assert_eq!(starts(&server, SIZE), [0, 0]);

    let server = going_wrong(SIZE, vec![Fault::Bytes(wrong); 20]);
    let (cache, hub) = fresh(&server);
    let error = message(get(&hub));
    assert!(
        error.contains(UNET) && error.contains("checksum") && error.contains("deleted"),
        "{error}"
    );
    assert_eq!(starts(&server, SIZE), [0, 0]);
    assert!(!partial(cache.path(), &model(SIZE)[UNET]).exists());
    assert_eq!(hub.local(&repo(), &FULL), None);
}

#[test]
fn wrong_bytes_of_small_files_are_found_out_too() {
    let server = Server::scripted(model(1000), |asked| {
        match asked.path.contains("resolve-cache") && asked.path.ends_with("vocab.json") {
            true => Fault::Bytes(br#"{"b": 0}"#.to_vec()),
            false => Fault::None,
        }
    });
    let (_cache, hub) = fresh(&server);
    let error = message(get(&hub));
    assert!(
        error.contains("tokenizer/vocab.json") && error.contains("checksum"),
        "{error}"
    );
}

#[test]
fn a_file_that_changes_in_between_is_not_mixed() {
    const SIZE: usize = 100_000;
    let server = Server::scripted(model(SIZE), |asked| {
        match asked.path.contains("/resolve/") && asked.path.ends_with(UNET) && asked.nth > 0 {
            true => Fault::Changed(noise(66, SIZE)),
            false if is_unet(asked, SIZE) => Fault::CutAfter(50_000),
            false => Fault::None,
        }
    });
    let (_cache, hub) = fresh(&server);
    let error = message(get(&hub));
    assert!(
        error.contains(UNET) && error.contains("no longer the file that was listed"),
        "{error}"
    );
}

#[test]
fn a_silent_server_is_left() {
    const SIZE: usize = 100_000;
    let server = going_wrong(SIZE, vec![Fault::StallAfter(30_000)]);
    let cache = tempfile::tempdir().expect("a folder");
    let hub = Hub::new(HubSettings {
        stall: Duration::from_millis(600),
        ..settings(&server, cache.path())
    });
    let begun = Instant::now();
    get(&hub).expect("the model");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_whole(cache.path(), &model(SIZE));
    assert_eq!(starts(&server, SIZE), [0, 30_000]);
}

#[test]
fn a_silent_server_does_not_hold_up_who_cancels() {
    const SIZE: usize = 100_000;
    // A wait for the beginning of an answer, one for its rest, and one that a server asks for.
    let pause = Fault::Status(503, vec![("Retry-After", "60".to_owned())]);
    for fault in [Fault::StallAfter(0), Fault::StallAfter(30_000), pause] {
        let server = going_wrong(SIZE, vec![fault.clone(); 9]);
        let (_cache, hub) = fresh(&server);
        let planned = plan(&hub).expect("a plan");
        let begun = Instant::now();
        let mut since = None;
        let outcome = hub.fetch(&planned, &mut |progress| {
            if progress.file == UNET && since.get_or_insert_with(Instant::now).elapsed() > Duration::from_millis(400) {
                return Err(Error::Cancelled);
            }
            Ok(())
        });
        assert_eq!(outcome, Err(Error::Cancelled), "{fault:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{fault:?}: {:?}",
            begun.elapsed()
        );
    }
    // The listing can be cancelled as well: this server accepts connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let hub = Hub::new(HubSettings {
        endpoint: format!("http://{}", silent.local_addr().expect("its address")),
        proxy: false,
        ..HubSettings::new("/nonexistent")
    });
    let begun = Instant::now();
    let outcome = hub.plan(
        &repo(),
        &FULL,
        &mut |_| match begun.elapsed() > Duration::from_millis(300) {
            true => Err(Error::Cancelled),
            false => Ok(()),
        },
    );
    assert_eq!(outcome, Err(Error::Cancelled));
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[test]
fn busy_servers_are_asked_again_when_they_want() {
    let busy = |status, wait: &str| Fault::Status(status, vec![("Retry-After", wait.to_owned())]);
    let server = Server::scripted(model(1000), move |asked| {
        match (asked.path.starts_with("/api/"), asked.nth) {
            (true, 0) if asked.path.contains("/revision/") => busy(429, "1"),
            (true, 1) if asked.path.contains("/revision/") => Fault::Status(502, vec![]),
            (false, 0) if is_unet(asked, 1000) => busy(503, "0"),
            (false, 1) if is_unet(asked, 1000) => Fault::Status(500, vec![]),
            _ => Fault::None,
        }
    });
    let (cache, hub) = fresh(&server);
    let begun = Instant::now();
    get(&hub).expect("the model");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_whole(cache.path(), &model(1000));
}

#[test]
fn patience_ends() {
    for (fault, said) in [
        (Fault::Status(500, vec![]), "answers 500"),
        (Fault::Status(429, vec![]), "too many requests"),
        (Fault::Raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "HTTP"),
        (Fault::Raw(b""), ""),
        (Fault::CutAfter(10), "broke off"),
    ] {
        let server = going_wrong(100_000, vec![fault.clone(); 50]);
        let (_cache, hub) = fresh(&server);
        let error = message(get(&hub));
        assert!(
            error.contains(UNET) && error.contains(said) && error.contains("gave up after 6 attempts"),
            "{fault:?}: {error}"
        );
        assert_eq!(starts(&server, 100_000).len(), 6, "{fault:?}");
    }
    let server = going_wrong(1000, vec![Fault::Status(429, vec![("Retry-After", "7200".to_owned())])]);
    let (_cache, hub) = fresh(&server);
    let error = message(get(&hub));
    assert!(error.contains("120 minutes"), "{error}");
    assert_eq!(starts(&server, 1000).len(), 1);
}

#[test]
fn a_server_that_starts_over_for_ever_is_left() {
    const SIZE: usize = 3_000_000;
    let always: Vec<Fault> = (0..100).map(|_| Fault::Length(2_500_000)).collect();
    let server = Server::scripted(model(SIZE), move |asked| match is_unet(asked, SIZE) {
        // Each attempt brings 2.5 MB, which the next refusal to continue makes worthless.
        true if asked.nth % 2 == 0 => always[0].clone(),
        true => Fault::Status(416, vec![]),
        false => Fault::None,
    });
    let (_cache, hub) = fresh(&server);
    let error = message(get(&hub));
    assert!(error.contains("gave up"), "{error}");
    assert!(starts(&server, SIZE).len() <= 20, "{:?}", starts(&server, SIZE).len());
}

#[test]
fn a_long_download_may_be_cut_often() {
    const SIZE: usize = 12 << 20;
    let server = going_wrong(SIZE, vec![Fault::CutAfter((1 << 20) + 50_000); 50]);
    let (cache, hub) = fresh(&server);
    get(&hub).expect("the model");
    assert_whole(cache.path(), &model(SIZE));
    assert!(starts(&server, SIZE).len() > 8);
}

#[test]
fn an_address_that_has_expired_is_asked_for_anew() {
    for status in [401, 403, 404, 410] {
        let server = going_wrong(1000, vec![Fault::Status(status, vec![])]);
        let (cache, hub) = fresh(&server);
        get(&hub).expect("the model");
        assert_whole(cache.path(), &model(1000));
    }
}

#[test]
fn a_compressed_answer_is_not_taken_for_the_file() {
    let server = going_wrong(1000, vec![Fault::Encoding("gzip"); 9]);
    let (_cache, hub) = fresh(&server);
    let error = message(get(&hub));
    assert!(error.contains("compressed (gzip)"), "{error}");
}

#[test]
fn a_lock_that_is_held_is_awaited_and_can_be_cancelled() {
    let files = model(1000);
    let server = Server::new(files.clone());
    let (cache, hub) = fresh(&server);
    let locks = cache.path().join(".locks/models--owner--tiny-model");
    fs::create_dir_all(&locks).expect("locks");
    let held = fs::File::create(locks.join(format!("{}.lock", files[UNET].checksum()))).expect("a lock");
    held.lock().expect("it is free");
    let planned = plan(&hub).expect("a plan");
    let waits = AtomicUsize::new(0);
    let outcome: Result<_> = hub.fetch(&planned, &mut |progress| match &progress.stage {
        TransferStage::Locked if waits.fetch_add(1, Ordering::SeqCst) >= 2 => Err(Error::Cancelled),
        _ => Ok(()),
    });
    assert_eq!(outcome, Err(Error::Cancelled));
    assert!(starts(&server, 1000).is_empty());
    std::thread::scope(|scope| {
        let fetched = scope.spawn(|| hub.fetch(&planned, &mut nothing));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!fetched.is_finished());
        held.unlock().expect("unlocked");
        fetched.join().expect("no panic").expect("the model");
    });
    assert_whole(cache.path(), &files);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever goes wrong three times, the fourth time completes the file with the right bytes.
    #[test]
    fn any_faults_that_end_are_got_over(faults in proptest::collection::vec(any_fault(), 0..4)) {
        const SIZE: usize = 60_000;
        let server = going_wrong(SIZE, faults);
        let (cache, hub) = fresh(&server);
        let outcome = get(&hub);
        prop_assert!(outcome.is_ok(), "{outcome:?}");
        assert_whole(cache.path(), &model(SIZE));
    }
}

fn any_fault() -> impl Strategy<Value = Fault> {
    const SIZE: usize = 60_000;
    prop_oneof![
        (0..SIZE).prop_map(Fault::CutAfter),
        (0..SIZE as u64 * 2).prop_map(Fault::Length),
        Just(Fault::IgnoreRange),
        Just(Fault::OtherRange),
        Just(Fault::Raw(b"HTTP/1.1 200 OK\r\nContent-Le")),
        Just(Fault::Raw(b"\0\xff\xfe garbage \r\n\r\n")),
        prop_oneof![Just(403), Just(408), Just(416), Just(429), Just(500), Just(504)]
            .prop_map(|status| Fault::Status(status, Vec::new())),
    ]
}

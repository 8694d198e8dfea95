//! What the hub, the network and the disk refuse, and what the user hears of it.

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use featscope::weights::hub::{Hub, HubSettings};

use super::{
    kit::{FULL, UNET, assert_whole, fresh, get, message, model, nothing, partial, plan, repo, settings},
    server::{Fault, Server, TOKEN},
};

/// The message where the listing is refused so.
fn refused(status: u16, code: &str, with_token: bool) -> String {
    let code = code.to_owned();
    let server = Server::scripted(model(1000), move |_| {
        let mut headers = vec![("X-Error-Message", "Words of the\thub".to_owned())];
        if !code.is_empty() {
            headers.push(("X-Error-Code", code.clone()));
        }
        Fault::Status(status, headers)
    });
    let cache = tempfile::tempdir().expect("a folder");
    let mut settings = settings(&server, cache.path());
    if !with_token {
        settings.token = None;
    }
    let endpoint = settings.endpoint.clone();
    let error = message(plan(&Hub::new(settings)));
    assert_eq!(server.asked().len(), 1, "{status} is not asked again");
    assert!(!error.contains(TOKEN), "{error}");
    error.replace(&endpoint, "HUB")
}

#[test]
fn refusals_say_what_to_do() {
    for with_token in [true, false] {
        for status in [401, 403] {
            let gated = refused(status, "GatedRepo", with_token);
            for part in [
                "gated",
                "licence at HUB/owner/tiny-model",
                "HUB/settings/tokens",
                "HF_TOKEN",
            ] {
                assert!(gated.contains(part), "{part}: {gated}");
            }
            assert_eq!(gated.contains("no token was found"), !with_token, "{gated}");
        }
        for (status, code) in [(401, "RepoNotFound"), (404, "RepoNotFound"), (404, "")] {
            let missing = refused(status, code, with_token);
            assert!(
                missing.contains("no model owner/tiny-model") && missing.contains("spelling"),
                "{missing}"
            );
        }
    }
    assert!(refused(401, "", true).contains("does not accept the token"));
    assert!(refused(401, "", false).contains("needs a token"));
    assert!(refused(403, "", true).contains("refuses access"));
    assert!(refused(404, "RevisionNotFound", true).contains("no revision \"main\""));
    assert!(refused(418, "", true).contains("418"));
}

#[test]
fn a_revision_or_a_file_that_is_not_there_is_named() {
    let server = Server::new(model(1000));
    let (_cache, hub) = fresh(&server);
    let other = repo().at("v7").expect("a revision");
    let error = message(hub.plan(&other, &FULL, &mut nothing));
    assert!(error.contains("owner/tiny-model has no revision \"v7\""), "{error}");

    let mut planned = plan(&hub).expect("a plan");
    planned.files[0].path = "gone.json".to_owned();
    let error = message(hub.fetch(&planned, &mut nothing));
    assert!(error.contains("no file \"gone.json\""), "{error}");
}

#[test]
fn hostile_listings_are_refused() {
    let commit = "a".repeat(40);
    let with = |path: &str, size: &str| {
        let unet = format!(r#"{{"rfilename": "unet/config.json", "size": 2, "blobId": "{commit}"}}"#);
        let weights = format!(
            r#"{{"rfilename": "unet/diffusion_pytorch_model.safetensors", "lfs": {{"sha256": "{}", "size": {size}}}}}"#,
            "b".repeat(64)
        );
        format!(
            r#"{{"sha": "{commit}", "siblings": [{unet}, {weights}, {{"rfilename": "{path}", "size": {size}, "blobId": "{commit}"}}]}}"#
        )
    };
    let biggest = u64::MAX.to_string();
    for (text, said) in [
        (String::new(), "not JSON"),
        ("{".repeat(100_000), "not JSON"),
        ("<html>Welcome to the airport</html>".to_owned(), "not JSON"),
        (r#"{"error": "no"}"#.to_owned(), "\"sha\""),
        (with("tokenizer/../../../x.json", "3"), "no model"),
        (with("tokenizer/x:y.json", "3"), "no folder on this machine can hold"),
        (with("tokenizer/x.json", &biggest), "cannot be true"),
    ] {
        let listing = text.clone();
        let server = Server::scripted(model(1000), move |_| Fault::Listing(listing.clone()));
        let (cache, hub) = fresh(&server);
        let outcome = plan(&hub);
        match &outcome {
            Err(error) => assert!(
                error.to_string().contains(said) || said == "no model",
                "{said}: {error}"
            ),
            Ok(plan) => assert!(
                plan.files.iter().all(|file| !file.path.contains("..")),
                "{said}: {outcome:?}"
            ),
        }
        assert_eq!(fs::read_dir(cache.path()).expect("the cache").count(), 0);
    }
}

#[test]
fn redirects_are_followed_to_an_end() {
    let server = Server::scripted(model(1000), |asked| match asked.path.starts_with("/api/models/") {
        true => Fault::Redirect(asked.path.clone()),
        false => Fault::None,
    });
    let (_cache, hub) = fresh(&server);
    let error = message(plan(&hub));
    assert!(error.contains("circles"), "{error}");

    let server = Server::scripted(model(1000), |asked| match asked.path.contains("/resolve/") {
        true => Fault::Redirect("file:///etc/passwd".to_owned()),
        false => Fault::None,
    });
    let (_cache, hub) = fresh(&server);
    let error = message(get(&hub));
    assert!(error.contains("not followed"), "{error}");
}

#[test]
fn without_a_network_the_answer_comes_at_once() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("its address");
    for (endpoint, said) in [
        (format!("http://{closed}"), "cannot connect"),
        ("http://no-such-host.invalid".to_owned(), "cannot be looked up"),
    ] {
        let hub = Hub::new(HubSettings {
            endpoint: endpoint.clone(),
            proxy: false,
            ..HubSettings::new("/nonexistent")
        });
        let begun = Instant::now();
        let error = message(plan(&hub));
        assert!(
            error.contains(&format!("cannot reach the hub at {endpoint}")) && error.contains(said),
            "{error}"
        );
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_network_that_goes_away_is_waited_for_and_then_given_up() {
    let server = Server::new(model(1000));
    let (cache, hub) = fresh(&server);
    let planned = plan(&hub).expect("a plan");
    let closed = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("its address");
    let elsewhere = Hub::new(HubSettings {
        endpoint: format!("http://{closed}"),
        ..settings(&server, cache.path())
    });
    let error = message(elsewhere.fetch(&planned, &mut nothing));
    assert!(
        error.contains("gave up after 6 attempts") && error.contains("cannot connect"),
        "{error}"
    );
}

#[test]
fn offline_nothing_is_asked() {
    let files = model(1000);
    let server = Server::new(files.clone());
    let (cache, hub) = fresh(&server);
    let planned = plan(&hub).expect("a plan");
    let offline = Hub::new(HubSettings {
        offline: true,
        ..settings(&server, cache.path())
    });
    let asked = server.asked().len();
    for error in [message(plan(&offline)), message(offline.fetch(&planned, &mut nothing))] {
        assert!(
            error.contains("HF_HUB_OFFLINE") && error.contains("owner/tiny-model"),
            "{error}"
        );
    }
    assert_eq!(server.asked().len(), asked);
    let snapshot = hub.fetch(&planned, &mut nothing).expect("the model");
    assert_eq!(offline.local(&repo(), &FULL), Some(snapshot.clone()));
    assert_eq!(offline.fetch(&planned, &mut nothing), Ok(snapshot));
}

#[test]
fn too_small_a_disk_is_told_before_the_download() {
    let server = Server::new(model(1000));
    let cache = tempfile::tempdir().expect("a folder");
    let hub = Hub::new(HubSettings {
        margin: 1 << 60,
        ..settings(&server, cache.path())
    });
    let error = message(get(&hub));
    assert!(
        error.contains("needs") && error.contains("must stay free") && error.contains("HF_HUB_CACHE"),
        "{error}"
    );
    assert!(server.gets().is_empty());
}

/// A device that is always full stands for the disk.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_gets_full_is_told() {
    let full = std::path::Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let files = model(100_000);
    let server = Server::new(files.clone());
    let (cache, hub) = fresh(&server);
    let path = partial(cache.path(), &files[UNET]);
    fs::create_dir_all(path.parent().expect("blobs")).expect("blobs");
    std::os::unix::fs::symlink(full, &path).expect("a link");
    let error = message(get(&hub));
    assert!(
        error.contains("cannot write") && error.contains("free some space"),
        "{error}"
    );
    // The files before it are there, and the rest follows when there is room.
    fs::remove_file(&path).expect("removed");
    let before = server.gets().len();
    assert!(before > 0);
    get(&hub).expect("the model");
    assert_whole(cache.path(), &files);
}

#[cfg(unix)]
#[test]
fn a_cache_that_cannot_be_written_is_told() {
    let server = Server::new(model(1000));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let circle = folder.path().join("circle");
    std::os::unix::fs::symlink(&circle, &circle).expect("a link to itself");
    // Nobody can make a folder below a file or below a link that leads nowhere, not even the superuser.
    for cache in [file, circle.join("models")] {
        let error = message(get(&Hub::new(settings(&server, &cache))));
        assert!(
            error.contains("cannot write") && error.contains("HF_HUB_CACHE=FOLDER"),
            "{error}"
        );
    }
}

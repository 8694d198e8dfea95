//! What a sound hub's files become on the disk.

use std::{fs, path::Path, time::SystemTime};

use featscope::{
    error::Error,
    weights::hub::{Hub, HubSettings, Repo, RepoPart, TransferProgress, TransferStage, Variant},
};

use super::{
    kit::{
        FULL, NEEDED, UNET, assert_whole, contents, folder, fresh, get, message, model, noise, nothing, partial, plan,
        repo, settings,
    },
    server::{COMMIT, Server, Stored, TOKEN},
};

#[test]
fn a_model_lies_in_the_cache_as_python_would_put_it() {
    let files = model(300_000);
    let server = Server::new(files.clone());
    let (cache, hub) = fresh(&server);

    let planned = plan(&hub).expect("a plan");
    assert_eq!(planned.commit, COMMIT);
    assert_eq!(
        planned.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
        NEEDED
    );
    let bytes: u64 = NEEDED.iter().map(|path| files[*path].bytes.len() as u64).sum();
    assert_eq!(
        (planned.bytes_total, planned.bytes_missing, planned.is_complete()),
        (bytes, bytes, false)
    );

    let snapshot = hub.fetch(&planned, &mut nothing).expect("the model");
    assert_eq!(snapshot, folder(cache.path()).join("snapshots").join(COMMIT));
    assert_whole(cache.path(), &files);

    let names = |folder: &Path| -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("a folder")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(cache.path()),
        [".locks", "CACHEDIR.TAG", "models--owner--tiny-model"]
    );
    assert_eq!(names(&folder(cache.path())), ["blobs", "refs", "snapshots"]);
    let mut checksums: Vec<String> = NEEDED.iter().map(|path| files[*path].checksum()).collect();
    checksums.sort();
    assert_eq!(names(&folder(cache.path()).join("blobs")), checksums);
    let mut locks: Vec<String> = checksums.iter().map(|checksum| format!("{checksum}.lock")).collect();
    locks.sort();
    assert_eq!(names(&cache.path().join(".locks/models--owner--tiny-model")), locks);
    assert!(
        fs::read_to_string(cache.path().join("CACHEDIR.TAG"))
            .expect("it")
            .starts_with("Signature: 8a477f597d28d172789f06886806bc55")
    );
}

#[cfg(unix)]
#[test]
fn snapshots_link_to_blobs_so_that_the_cache_can_be_moved() {
    let files = model(10_000);
    let server = Server::new(files.clone());
    let (cache, hub) = fresh(&server);
    let snapshot = get(&hub).expect("the model");
    assert_eq!(
        fs::read_link(snapshot.join(UNET)).expect("a link"),
        Path::new("../../../blobs").join(files[UNET].checksum())
    );
    assert_eq!(
        fs::read_link(snapshot.join("model_index.json")).expect("a link"),
        Path::new("../../blobs").join(files["model_index.json"].checksum())
    );
    let moved = tempfile::tempdir().expect("a folder");
    fs::rename(folder(cache.path()), folder(moved.path())).expect("a move");
    assert_whole(moved.path(), &files);
}

#[test]
fn the_token_goes_to_the_hub_and_to_nobody_else() {
    let server = Server::new(model(10_000));
    let (_cache, hub) = fresh(&server);
    get(&hub).expect("the model");
    let asked = server.asked();
    assert!(asked.iter().any(|asked| asked.by_cdn) && asked.iter().any(|asked| asked.path.contains("resolve-cache")));
    for asked in asked {
        let expected = (!asked.by_cdn).then(|| format!("Bearer {TOKEN}"));
        assert_eq!(asked.authorization, expected, "{asked:?}");
    }
}

#[test]
fn what_is_there_is_not_asked_for_again() {
    let files = model(10_000);
    let server = Server::new(files.clone());
    let (cache, hub) = fresh(&server);
    get(&hub).expect("the model");
    let before = server.gets().len();
    let again = plan(&hub).expect("a plan");
    assert!(again.is_complete());
    assert_eq!(again.bytes_missing, 0);
    let mut last = None;
    hub.fetch(&again, &mut |progress| {
        last = Some(progress.clone());
        Ok(())
    })
    .expect("the model");
    assert_eq!(server.gets().len(), before);
    let last = last.expect("it tells");
    assert_eq!(
        (last.files_done, last.bytes_done, last.bytes_received),
        (10, again.bytes_total, 0)
    );

    // Another commit's snapshot takes the blobs that are there.
    fs::remove_dir_all(folder(cache.path()).join("snapshots")).expect("removed");
    let relinked = plan(&hub).expect("a plan");
    assert_eq!((relinked.bytes_missing, relinked.is_complete()), (0, false));
    hub.fetch(&relinked, &mut nothing).expect("the model");
    assert_eq!(server.gets().len(), before);
    assert_whole(cache.path(), &files);
}

#[test]
fn a_cache_is_not_touched_while_nothing_is_missing() {
    let server = Server::new(model(10_000));
    let (cache, hub) = fresh(&server);
    get(&hub).expect("the model");
    let times = |folder: &Path| -> Vec<SystemTime> {
        ["", "blobs", "refs", "snapshots"]
            .iter()
            .map(|name| {
                fs::metadata(folder.join(name))
                    .expect("a file")
                    .modified()
                    .expect("a time")
            })
            .collect()
    };
    let before = times(&folder(cache.path()));
    get(&hub).expect("the model");
    assert_eq!(times(&folder(cache.path())), before);
}

#[test]
fn the_same_content_is_downloaded_once() {
    let mut files = model(10_000);
    for folder in ["text_encoder", "tokenizer"] {
        let twins: Vec<(String, Stored)> = files
            .iter()
            .filter_map(|(path, file)| {
                Some((
                    format!("{folder}_2/{}", path.strip_prefix(&format!("{folder}/"))?),
                    file.clone(),
                ))
            })
            .collect();
        files.extend(twins);
    }
    for symlinks in [true, false] {
        let server = Server::new(files.clone());
        let cache = tempfile::tempdir().expect("a folder");
        let hub = Hub::new(HubSettings {
            symlinks,
            ..settings(&server, cache.path())
        });
        let planned = plan(&hub).expect("a plan");
        assert_eq!(planned.files.len(), NEEDED.len() + 4);
        let unique: u64 = NEEDED.iter().map(|path| files[*path].bytes.len() as u64).sum();
        assert_eq!(planned.bytes_missing, unique);
        let mut received = 0;
        let snapshot = hub
            .fetch(&planned, &mut |progress| {
                received = progress.bytes_received;
                Ok(())
            })
            .expect("the model");
        assert_eq!(received, unique);
        for (path, bytes) in contents(&snapshot) {
            assert!(bytes == files[&path].bytes, "{path}");
        }
    }
}

#[test]
fn without_links_the_files_themselves_lie_in_the_snapshot_and_nowhere_else() {
    let files = model(10_000);
    let server = Server::new(files.clone());
    let cache = tempfile::tempdir().expect("a folder");
    let hub = Hub::new(HubSettings {
        symlinks: false,
        ..settings(&server, cache.path())
    });
    let snapshot = get(&hub).expect("the model");
    assert!(fs::symlink_metadata(snapshot.join(UNET)).expect("it").is_file());
    assert_eq!(contents(&folder(cache.path()).join("blobs")).len(), 0);
    assert_whole(cache.path(), &files);
    let asked = server.gets().len();
    get(&hub).expect("the model");
    assert_eq!(server.gets().len(), asked);
}

#[test]
fn a_blob_that_may_belong_to_another_snapshot_is_copied_where_there_are_no_links() {
    let files = model(10_000);
    let server = Server::new(files.clone());
    let cache = tempfile::tempdir().expect("a folder");
    get(&Hub::new(settings(&server, cache.path()))).expect("the model");
    fs::remove_dir_all(folder(cache.path()).join("snapshots")).expect("removed");
    let hub = Hub::new(HubSettings {
        symlinks: false,
        ..settings(&server, cache.path())
    });
    let snapshot = get(&hub).expect("the model");
    assert!(fs::symlink_metadata(snapshot.join(UNET)).expect("it").is_file());
    assert_eq!(contents(&folder(cache.path()).join("blobs")).len(), NEEDED.len());
    assert_whole(cache.path(), &files);
}

#[test]
fn what_an_earlier_program_has_begun_is_continued() {
    let files = model(300_000);
    for (name, length, age) in [
        ("incomplete", 100_000, 0),
        // As Python names it: used when the program that wrote it is gone.
        ("1a2b3c4d.incomplete", 120_000, 120),
    ] {
        let server = Server::new(files.clone());
        let (cache, hub) = fresh(&server);
        let unet = &files[UNET];
        let path = folder(cache.path())
            .join("blobs")
            .join(format!("{}.{name}", unet.checksum()));
        fs::create_dir_all(path.parent().expect("blobs")).expect("blobs");
        fs::write(&path, &unet.bytes[..length]).expect("a beginning");
        let file = fs::File::options().write(true).open(&path).expect("it");
        file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age))
            .expect("its time");
        let planned = plan(&hub).expect("a plan");
        assert_eq!(planned.bytes_total - planned.bytes_missing, length as u64, "{name}");
        hub.fetch(&planned, &mut nothing).expect("the model");
        let ranges: Vec<u64> = server
            .gets()
            .iter()
            .filter_map(|asked| asked.range.filter(|_| asked.by_cdn))
            .collect();
        assert_eq!(ranges, [length as u64], "{name}");
        assert_whole(cache.path(), &files);
    }
}

#[test]
fn what_another_program_may_still_write_is_left_to_it() {
    let files = model(100_000);
    let server = Server::new(files.clone());
    let (cache, hub) = fresh(&server);
    let path = folder(cache.path())
        .join("blobs")
        .join(format!("{}.1a2b3c4d.incomplete", files[UNET].checksum()));
    fs::create_dir_all(path.parent().expect("blobs")).expect("blobs");
    fs::write(&path, &files[UNET].bytes[..50_000]).expect("a beginning");
    get(&hub).expect("the model");
    assert_eq!(fs::metadata(&path).expect("still there").len(), 50_000);
    assert!(server.gets().iter().all(|asked| asked.range.is_none()));
}

#[test]
fn a_complete_beginning_needs_no_bytes_and_a_wrong_one_is_found_out() {
    let files = model(100_000);
    let unet = &files[UNET];
    let mut wrong = unet.bytes.clone();
    wrong[50] ^= 1;
    let mut long = unet.bytes.clone();
    long.push(0);
    for (left, downloads) in [
        (unet.bytes.clone(), 0),
        (wrong.clone(), 1),
        (wrong[..60_000].to_vec(), 2),
        (long, 1),
    ] {
        let server = Server::new(files.clone());
        let (cache, hub) = fresh(&server);
        let path = partial(cache.path(), unet);
        fs::create_dir_all(path.parent().expect("blobs")).expect("blobs");
        fs::write(&path, &left).expect("a beginning");
        get(&hub).expect("the model");
        let address = format!("/blob/{}?signature=x", unet.checksum());
        assert_eq!(
            server.gets().iter().filter(|asked| asked.path == address).count(),
            downloads,
            "{} bytes",
            left.len()
        );
        assert_whole(cache.path(), &files);
    }
}

#[test]
fn one_file_of_a_repository() {
    let files = model(10_000);
    let server = Server::new(files.clone());
    let (cache, hub) = fresh(&server);
    let wanted = RepoPart::File("v1-5-pruned.safetensors".to_owned());
    assert_eq!(hub.local(&repo(), &wanted), None);
    let planned = hub.plan(&repo(), &wanted, &mut nothing).expect("a plan");
    let snapshot = hub.fetch(&planned, &mut nothing).expect("the file");
    assert_eq!(
        contents(&snapshot).into_iter().collect::<Vec<_>>(),
        [("v1-5-pruned.safetensors".to_owned(), noise(8, 700))]
    );
    assert_eq!(hub.local(&repo(), &wanted), Some(snapshot));
    assert_eq!(hub.local(&repo(), &FULL), None);

    let missing = RepoPart::File("v9.safetensors".to_owned());
    let error = message(hub.plan(&repo(), &missing, &mut nothing));
    assert!(
        error.contains("owner/tiny-model") && error.contains("v1-5-pruned.safetensors"),
        "{error}"
    );
    assert!(
        folder(cache.path())
            .join(".no_exist")
            .join(COMMIT)
            .join("v9.safetensors")
            .is_file()
    );
}

#[test]
fn revisions_are_remembered_under_their_names() {
    let server = Server::new(model(10_000));
    let (cache, hub) = fresh(&server);
    let tagged = repo().at("v1/two").expect("a revision");
    let planned = hub
        .plan(&tagged, &RepoPart::Model(Variant::Fp16), &mut nothing)
        .expect("a plan");
    hub.fetch(&planned, &mut nothing).expect("the model");
    assert_eq!(
        fs::read_to_string(folder(cache.path()).join("refs/v1/two")).expect("the ref"),
        COMMIT
    );
    assert!(!folder(cache.path()).join("refs/main").exists());
    let by_commit = repo().at(COMMIT).expect("a revision");
    let planned = hub
        .plan(&by_commit, &RepoPart::Model(Variant::Fp16), &mut nothing)
        .expect("a plan");
    assert!(planned.is_complete());
    hub.fetch(&planned, &mut nothing).expect("the model");
    assert!(!folder(cache.path()).join("refs").join(COMMIT).exists());
}

#[test]
fn a_mirror_that_lists_names_alone_is_asked_for_each_file() {
    let files = model(10_000);
    let server = Server::new(files.clone()).terse();
    let (cache, hub) = fresh(&server);
    get(&hub).expect("the model");
    assert_whole(cache.path(), &files);
    let heads = server
        .asked()
        .iter()
        .filter(|asked| asked.method == "HEAD" && asked.path.contains("/resolve/"))
        .count();
    assert_eq!(heads, NEEDED.len());
}

#[test]
fn progress_goes_up_to_everything() {
    let server = Server::new(model(600_000));
    let (_cache, hub) = fresh(&server);
    let planned = plan(&hub).expect("a plan");
    let mut told: Vec<TransferProgress> = Vec::new();
    hub.fetch(&planned, &mut |progress| {
        told.push(progress.clone());
        Ok(())
    })
    .expect("the model");
    let pairs = || told.iter().zip(told.iter().skip(1));
    assert!(pairs().all(|(a, b)| a.bytes_done <= b.bytes_done
        && a.files_done <= b.files_done
        && a.bytes_received <= b.bytes_received));
    for progress in &told {
        assert_eq!((progress.files_total, progress.bytes_total), (10, planned.bytes_total));
        assert!(
            progress.file_done <= progress.file_total && progress.bytes_done <= progress.bytes_total,
            "{progress:?}"
        );
    }
    let of_unet: Vec<u64> = told
        .iter()
        .filter(|p| p.file == UNET && p.stage == TransferStage::Downloading)
        .map(|p| p.file_done)
        .collect();
    assert!(of_unet.len() > 3, "{of_unet:?}");
    let last = told.last().expect("it tells");
    assert_eq!(
        (last.files_done, last.bytes_done, last.bytes_received),
        (10, planned.bytes_total, planned.bytes_total)
    );
    assert!((last.fraction() - 1.0).abs() < 1e-6);
}

#[test]
fn a_cancelled_download_ends_at_once_and_is_continued() {
    let files = model(2_000_000);
    let server = Server::new(files.clone());
    let (cache, hub) = fresh(&server);
    let planned = plan(&hub).expect("a plan");
    let cancelled = hub.fetch(&planned, &mut |progress| {
        if progress.file == UNET && progress.file_done >= 500_000 {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    });
    assert_eq!(cancelled, Err(Error::Cancelled));
    let left = fs::metadata(partial(cache.path(), &files[UNET]))
        .expect("a beginning")
        .len();
    // One chunk beyond what was reported before, at most.
    assert!((500_000..800_000).contains(&left), "{left}");
    assert_eq!(hub.local(&repo(), &FULL), None);
    get(&hub).expect("the model");
    assert_whole(cache.path(), &files);
    assert!(server.gets().iter().any(|asked| asked.range == Some(left)));
}

#[test]
fn names_with_odd_letters_arrive() {
    let name = "weights of ü #1 (50%)+.safetensors";
    let files = [(
        name.to_owned(),
        Stored {
            bytes: noise(1, 100),
            large: true,
        },
    )]
    .into();
    let server = Server::new(files);
    let (_cache, hub) = fresh(&server);
    let planned = hub
        .plan(&repo(), &RepoPart::File(name.to_owned()), &mut nothing)
        .expect("a plan");
    let snapshot = hub.fetch(&planned, &mut nothing).expect("the file");
    assert_eq!(fs::read(snapshot.join(name)).expect("it"), noise(1, 100));
}

#[test]
fn an_empty_file_is_a_file() {
    let mut files = model(10_000);
    files.insert(
        "tokenizer/added_tokens.json".to_owned(),
        Stored {
            bytes: Vec::new(),
            large: false,
        },
    );
    let server = Server::new(files);
    let (_cache, hub) = fresh(&server);
    let snapshot = get(&hub).expect("the model");
    assert_eq!(fs::read(snapshot.join("tokenizer/added_tokens.json")).expect("it"), b"");
}

#[test]
fn two_at_once_download_once() {
    let files = model(1_000_000);
    let server = Server::new(files.clone());
    let cache = tempfile::tempdir().expect("a folder");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| get(&Hub::new(settings(&server, cache.path()))).expect("the model"));
        }
    });
    assert_whole(cache.path(), &files);
    let address = format!("/blob/{}?signature=x", files[UNET].checksum());
    assert_eq!(server.gets().iter().filter(|asked| asked.path == address).count(), 1);
}

#[test]
fn a_plan_that_leads_out_of_the_cache_is_refused() {
    let server = Server::new(model(10_000));
    let (cache, hub) = fresh(&server);
    let sound = plan(&hub).expect("a plan");
    for path in ["../../../evil", "/etc/evil", "a/../../b", "C:\\evil", "a//b", ""] {
        let mut evil = sound.clone();
        evil.files[0].path = path.to_owned();
        assert!(hub.fetch(&evil, &mut nothing).is_err(), "{path}");
    }
    let mut evil = sound.clone();
    evil.commit = "../../../../evil".to_owned();
    assert!(hub.fetch(&evil, &mut nothing).is_err());
    let mut evil = sound;
    evil.files[0].size = u64::MAX;
    assert!(hub.fetch(&evil, &mut nothing).is_err());
    assert_eq!(fs::read_dir(cache.path()).expect("the cache").count(), 0);
    assert_eq!(Repo::new("x/y").expect("a name").to_string(), "x/y");
}

//! A download that is killed, not ended: nothing gets the chance to tidy up.

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use featscope::weights::hub::{Hub, HubSettings};

use super::{
    kit::{UNET, assert_whole, folder, fresh, get, model, nothing, partial, plan, settings},
    server::{Fault, Server},
};

const CHILD: &str = "HUB_TEST_CHILD";
const SIZE: usize = 3_000_000;

/// What the killed process does; in an ordinary run of the tests it is nothing.
#[test]
fn child() {
    let Some(arguments) = env::var_os(CHILD) else { return };
    let arguments = arguments.into_string().expect("text");
    let (endpoint, cache) = arguments.split_once(' ').expect("two of them");
    let hub = Hub::new(HubSettings {
        endpoint: endpoint.to_owned(),
        proxy: false,
        margin: 0,
        ..HubSettings::new(cache)
    });
    let planned = plan(&hub).expect("a plan");
    hub.fetch(&planned, &mut nothing).expect("the model");
}

fn start(server: &Server, cache: &Path) -> Child {
    Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "kills::child", "--test-threads=1"])
        .env(CHILD, format!("{} {}", server.endpoint, cache.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

#[test]
fn killed_at_any_moment_a_download_is_continued_to_the_right_bytes() {
    let files = model(SIZE);
    // Slow enough to be met in the middle of it.
    let server = Server::scripted(files.clone(), |asked| match asked.by_cdn {
        true => Fault::Slow(60_000, Duration::from_millis(10)),
        false => Fault::None,
    });
    let unet = &files[UNET];
    let mut met = 0;
    let mut random = 0x2545_F491_4F6C_DD1D_u64 ^ u64::from(std::process::id());
    for _ in 0..10 {
        let (cache, hub) = fresh(&server);
        let begun = partial(cache.path(), unet);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // From before the first byte to after the last.
        let until = (random >> 33) % (SIZE as u64 + SIZE as u64 / 10);
        let mut child = start(&server, cache.path());
        let deadline = Instant::now() + Duration::from_secs(60);
        let length = || fs::metadata(&begun).map_or(0, |meta| meta.len());
        while length() < until && child.try_wait().expect("a child").is_none() {
            assert!(Instant::now() < deadline, "the child does nothing");
            thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
        let left = length();
        met += usize::from(left > 0);

        let before = server.gets().len();
        get(&hub).expect("the model");
        assert_whole(cache.path(), &files);
        let gets = server.gets();
        let again = gets[before..]
            .iter()
            .find(|asked| asked.by_cdn && asked.path.contains(&unet.checksum()));
        match again {
            Some(asked) => assert_eq!(asked.range.unwrap_or(0), left),
            None => assert!(left == 0 || left == SIZE as u64, "{left}"),
        }
    }
    assert!(met >= 5, "only {met} of 10 were met while they wrote");
}

#[test]
fn a_killed_program_leaves_no_lock() {
    let files = model(SIZE);
    let server = Server::scripted(files.clone(), |asked| match asked.by_cdn && asked.nth == 0 {
        true => Fault::StallAfter(10_000),
        false => Fault::None,
    });
    let cache = tempfile::tempdir().expect("a folder");
    let mut child = start(&server, cache.path());
    let deadline = Instant::now() + Duration::from_secs(60);
    let any_begun = || {
        let blobs = fs::read_dir(folder(cache.path()).join("blobs"));
        blobs.is_ok_and(|blobs| {
            blobs
                .flatten()
                .any(|blob| blob.file_name().to_string_lossy().ends_with(".incomplete"))
        })
    };
    while !any_begun() {
        assert!(Instant::now() < deadline, "the child does nothing");
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    let begun = Instant::now();
    get(&Hub::new(settings(&server, cache.path()))).expect("the model");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_whole(cache.path(), &files);
}

//! What is written: never a mixture, nothing left behind, permissions and links as they were.

use std::fs;

use serde_json::Value;

use super::Request;
use crate::common::{TestResult, program::Place};

fn record(place: &Place, folder: &str) -> Value {
    let text = fs::read_to_string(place.path(folder).join("request.json")).expect("a request");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_folder_is_what_its_request_says() -> TestResult {
    let place = Place::new();
    let extract = |seed: &str, ids: &str| {
        Request::of_adm(&place)
            .with("--activations", ids)
            .with("--seed", seed)
            .with("--out", &place.text("out"))
            .run()
            .good();
        record(&place, "out")
    };
    let first = extract("1", "b1,b2,b3");
    assert_eq!(first["output"]["of"], "extract");
    assert_eq!(
        first["output"]["files"],
        serde_json::json!(["b1.npy", "b2.npy", "b3.npy"])
    );
    // What a killed run left, and what is somebody else's.
    place.write("out/.featscope-Kill3d/b1.npy", "half");
    place.write(".featscope-Kill4d", "half");
    place.write("out/notes.txt", "mine");
    let second = extract("2", "b2");
    assert_eq!(second["request"]["seed"], 2);
    let names = place.names();
    for name in ["out/b2.npy", "out/notes.txt", "out/request.json"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
    for name in ["out/b1.npy", "out/b3.npy", "out/.featscope-Kill3d"] {
        assert!(names.iter().all(|found| found != name), "{names:?}");
    }
    // That one lies where a file was written next.
    Request::of_adm(&place).run().good();
    assert!(!place.path(".featscope-Kill4d").exists());
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_replaced_output_keeps_its_mode_and_a_link_is_written_through() -> TestResult {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let place = Place::new();
    let out = place.text("out.safetensors");
    let mode = |name: &str| fs::metadata(place.path(name)).map(|found| found.permissions().mode() & 0o777);
    Request::of_adm(&place).run().good();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o600))?;
    Request::of_adm(&place).with("--seed", "1").run().good();
    assert_eq!(mode("out.safetensors")?, 0o600);

    symlink("elsewhere/target.safetensors", place.path("link.safetensors"))?;
    let link = place.text("link.safetensors");
    Request::of_adm(&place).with("--out", &link).run().good();
    assert!(fs::symlink_metadata(&link)?.is_symlink());
    assert!(place.path("elsewhere/target.safetensors").is_file());

    // The same of folders, and of a file in one.
    symlink("real", place.path("folder"))?;
    let folder = place.text("folder");
    Request::of_adm(&place).with("--out", &folder).run().good();
    assert!(fs::symlink_metadata(&folder)?.is_symlink() && place.path("real/b1.npy").is_file());
    for name in ["real/b1.npy", "real/request.json"] {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(0o640))?;
    }
    Request::of_adm(&place).with("--out", &folder).run().good();
    assert_eq!((mode("real/b1.npy")?, mode("real/request.json")?), (0o640, 0o640));
    Ok(())
}

#[test]
fn a_name_that_no_file_can_have_is_refused_before_the_work() {
    let place = Place::new();
    let long = place.text(&format!("{}.safetensors", "x".repeat(300)));
    let mut request = Request::of_adm(&place);
    // A model that is not there would be told first if the output were looked at after it.
    request.with("--model", "nothing-here").with("--out", &long);
    request.refused(&place, 1, &["cannot write", "xxx"]);
}

#[test]
fn more_pictures_than_a_run_takes_are_refused_before_any_is_read() {
    let place = Place::new();
    let absent = place.text("absent.png");
    let many = std::iter::repeat_n(absent.as_str(), 4097);
    let fixed = [
        "extract",
        "--model",
        "demo",
        "--t",
        "90",
        "--activations",
        "b1",
        "--out",
    ];
    let out = place.text("out");
    let arguments = fixed.into_iter().chain([out.as_str(), "--image"]).chain(many);
    crate::common::program::run(arguments).refused(2, &["4097", "4096", "split the pictures"]);
}

/// Whether a signal does nothing to this process, and so to those it starts; not told where there is no `/proc`.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    const IGNORED: &str = "SigIgn:";
    const HEXADECIMAL: u32 = 16;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix(IGNORED));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), HEXADECIMAL).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// A signal that comes while a folder is being filled.
#[cfg(unix)]
#[test]
fn a_signal_ends_the_program_and_leaves_nothing() -> TestResult {
    use std::{
        os::unix::process::ExitStatusExt,
        process::Stdio,
        thread,
        time::{Duration, Instant},
    };

    use crate::common::{case_file, program::program};
    use rustix::process::{Pid, Signal, kill_process};

    /// A pass of the first picture takes longer than the signal on its way.
    const NOISES: &str = "512";
    const LONGEST: Duration = Duration::from_secs(120);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        // A shell starts what runs behind it without interrupts, and what is ignored at the start stays so.
        if is_ignored(signal.as_raw()) {
            continue;
        }
        let place = Place::new();
        let picture = case_file("adm-all", "image0.png").display().to_string();
        // A picture of another shape has a folder of its own, which is made before it runs.
        let tall = place.path("tall.png");
        image::RgbImage::new(64, 96).save(&tall)?;
        let before = place.contents();
        let out = place.path("new/out");
        let mut child = program()
            .args(["extract", "--model", "demo", "--t", "90", "--short-side", "64"])
            .args(["--ensemble", NOISES, "--activations", "b11", "--image", &picture])
            .arg(&tall)
            .arg("--out")
            .arg(&out)
            .stderr(Stdio::null())
            .spawn()?;
        let begun = Instant::now();
        // What is unfinished lies beside its place.
        let is_unfinished = || {
            let entries = fs::read_dir(place.path("new")).into_iter().flatten().flatten();
            entries.into_iter().any(|entry| entry.file_name() != "out")
        };
        while !is_unfinished() && begun.elapsed() < LONGEST && child.try_wait()?.is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        let pid = i32::try_from(child.id())?;
        kill_process(Pid::from_raw(pid).ok_or("a process")?, signal)?;
        let ended = child.wait()?;
        assert_eq!(ended.signal(), Some(signal.as_raw()), "{ended}");
        assert_eq!(place.contents(), before);
    }
    Ok(())
}

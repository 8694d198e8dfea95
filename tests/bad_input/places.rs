use std::{fs, path::Path};

use super::{Request, extracted};
use crate::common::{
    TestResult, case_file, model,
    program::{Place, finish, program, run},
};

#[test]
fn places_that_nothing_can_be_written_to() -> TestResult {
    let place = Place::new();
    place.write("file", "a file");
    place.write("folder.safetensors/inside", "");
    for (out, words) in [
        ("file/out.safetensors", vec!["file", "is a file"]),
        ("file/deep/out.safetensors", vec!["file", "is a file"]),
        ("file/dir", vec!["file", "is a file"]),
        ("file", vec!["it is a file", ".safetensors"]),
        ("folder.safetensors", vec!["folder.safetensors", "it is a folder"]),
    ] {
        Request::of_adm(&place)
            .with("--out", &place.text(out))
            .refused(&place, 1, &words);
    }
    Request::of_adm(&place).with("--out", "").refused(&place, 2, &["--out"]);
    for out in ["/proc/out.safetensors", "/proc/out", "/proc/deep/out.safetensors"] {
        if Path::new("/proc/self").exists() {
            Request::of_adm(&place)
                .with("--out", out)
                .refused(&place, 1, &["/proc", "cannot"]);
        }
    }
    // Folders that are missing are made.
    let deep = place.text("new/deep/out.safetensors");
    Request::of_adm(&place).with("--out", &deep).run().good();
    assert!(place.path("new/deep/out.safetensors").is_file());
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_full_device_stays_a_device() -> TestResult {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let full = Path::new("/dev/full");
    if !full.exists() {
        return Ok(());
    }
    let place = Place::new();
    for link in ["full.safetensors", "full.png"] {
        symlink(full, place.path(link))?;
    }
    let words = ["full", "No space left on device", "make room"];
    let out = place.text("full.safetensors");
    Request::of_adm(&place).with("--out", &out).refused(&place, 1, &words);
    let activations = extracted(&place);
    let before = place.contents();
    run(["pca", &activations, "--id", "b1", "--out", &place.text("full.png")]).refused(1, &words);
    assert_eq!(place.contents(), before);
    assert!(fs::metadata(full)?.file_type().is_char_device(), "it was not replaced");
    assert!(fs::symlink_metadata(place.path("full.png"))?.is_symlink());

    let mut listing = program();
    listing.args(["layers", "--model", "demo"]);
    let to_full = std::process::Stdio::from(fs::OpenOptions::new().write(true).open(full)?);
    let ended = listing.stdout(to_full).stderr(std::process::Stdio::piped()).output()?;
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8(ended.stderr)?.contains("standard output"));
    Ok(())
}

/// A file system of 64 KiB, where one may be mounted.
#[cfg(target_os = "linux")]
struct SmallDisk {
    place: Place,
}

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount() -> Option<Self> {
        let place = Place::new();
        fs::create_dir(place.path("disk")).expect("a folder");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs", &place.text("disk")]);
        let done = mount.stderr(std::process::Stdio::null()).status();
        done.is_ok_and(|status| status.success()).then_some(Self { place })
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount")
            .arg(self.place.path("disk"))
            .status();
        assert!(unmounted.is_ok_and(|status| status.success()), "the disk is unmounted");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let place = &disk.place;
    place.write("disk/kept.txt", "mine");
    for out in [
        "disk",
        "disk/dir",
        "disk/deep/dir",
        "disk/out.safetensors",
        "disk/deep/out.safetensors",
    ] {
        Request::of_adm(place).with("--out", &place.text(out)).refused(
            place,
            1,
            &["No space left on device", "make room"],
        );
    }
}

#[test]
fn a_map_has_nowhere_to_go() {
    let place = Place::new();
    place.write("file", "");
    let image = case_file("adm-all", "image0.png").display().to_string();
    let tiny = model("tiny-adm").display().to_string();
    let before = place.contents();
    for out in ["file", "file/deep"] {
        run([
            "match",
            "--model",
            &tiny,
            "--t",
            "1",
            "--size",
            "32",
            "--source",
            &image,
            "--target",
            &image,
            "--at",
            "50,50",
            "--activations",
            "b1",
            "--out",
            &place.text(out),
        ])
        .refused(1, &["is a file"]);
        assert_eq!(place.contents(), before);
    }
}

#[test]
fn standard_error_may_be_closed() {
    let mut command = std::process::Command::new("sh");
    command
        .arg("-c")
        .arg("\"$0\" layers --model nothing-here 2>&-")
        .arg(env!("CARGO_BIN_EXE_featscope"));
    assert_eq!(finish(&mut command).code, Some(1));
}

//! Files that ask for far more memory than they have bytes: refused within a bound of memory, not by the end of the program.
#![cfg(unix)]

use std::{
    fs::{self, File},
    io::Write,
    os::unix::process::CommandExt,
};

use rustix::process::{Resource, Rlimit, setrlimit};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::common::{
    TestResult, model,
    program::{Place, Ran, finish, program},
};

/// Addresses that the program may use, most of which it only reserves. Without bounds these files take 4 GiB and more.
const ADDRESSES: u64 = 1 << 30;
const MIB: usize = 1 << 20;

#[allow(unsafe_code, reason = "a limit of the child alone is set between fork and exec")]
fn layers(model: &str) -> Ran {
    let mut command = program();
    // Each thread and each of the allocator's arenas reserves addresses, which differ by machine.
    command.env("RAYON_NUM_THREADS", "1").env("MALLOC_ARENA_MAX", "1");
    let limit = Rlimit {
        current: Some(ADDRESSES),
        maximum: Some(ADDRESSES),
    };
    // SAFETY: `setrlimit` is a system call and nothing else, which is allowed between fork and exec.
    unsafe {
        command.pre_exec(move || setrlimit(Resource::As, limit).map_err(Into::into));
    }
    finish(command.args(["layers", "--model", model]))
}

#[test]
fn the_bound_is_one_that_the_program_itself_keeps() {
    layers(&model("tiny-sd15").display().to_string()).good();
}

#[test]
fn json_that_grows_a_hundredfold() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model("tiny-adm"), "model");
    let objects = |bytes: usize| format!("[{}0]", "{\"\":0},".repeat(bytes / 7));
    for (bytes, says) in [(MIB - 100, "not a JSON object"), (20 * MIB, "more than 1048576")] {
        fs::write(place.path("model").join("config.json"), objects(bytes))?;
        layers(&folder).refused(1, &["config.json", says]);
    }
    Ok(())
}

#[test]
fn headers_of_senseless_values() {
    let place = Place::new();
    for (begin, entry, bytes, says) in [
        ("{\"a\":[", "[0],", 50 * MIB, "more than 16777216"),
        ("{\"a\":[", "[0],", 16 * MIB, "tensor a"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[", "0,", 16 * MIB, "tensor a"),
        ("{\"a\":{\"more\":[", "[0],", 16 * MIB, "tensor a"),
        ("{\"__metadata__\":{\"a\":[", "[0],", 16 * MIB, "damaged"),
    ] {
        let entries = (bytes - begin.len() - 2) / entry.len();
        let json = format!("{begin}{}0", entry.repeat(entries));
        let file = [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
        let path = place.write("x.safetensors", file);
        layers(&path).refused(1, &["x.safetensors", says]);
    }
}

fn archive(place: &Place, pickle: &[u8]) -> Result<String, Box<dyn std::error::Error>> {
    let path = place.path("x.ckpt");
    let mut zip = ZipWriter::new(File::create(&path)?);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file("a/data.pkl", options)?;
    zip.write_all(pickle)?;
    zip.finish()?;
    Ok(path.display().to_string())
}

fn text(text: &[u8]) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text].concat()
}

#[test]
fn pickles_that_grow() -> TestResult {
    let place = Place::new();
    // A list for each byte.
    let lists = [b"\x80\x02".to_vec(), vec![b']'; 15 * MIB], b".".to_vec()].concat();
    // Names that are put together of two long ones, again and again.
    let long = text(&vec![b'A'; MIB]);
    let names = [
        b"\x80\x04".to_vec(),
        long,
        b"q\x00".to_vec(),
        b"h\x00h\x00\x93".repeat(4000),
        b".".to_vec(),
    ]
    .concat();
    // Long keys for many entries.
    let key = text(&[b'K'; 1000]);
    let begin = [b"\x80\x02".to_vec(), key, b"q\x000]q\x010}(".to_vec()].concat();
    let keys = |entries: usize| [begin.clone(), b"h\x00h\x01".repeat(entries), b"u.".to_vec()].concat();
    // A long description of one storage, many times.
    let key = text(&vec![b'9'; MIB]);
    let storage = [b"(".to_vec(), text(b"storage"), b"ctorch\nFloatStorage\n".to_vec(), key].concat();
    let storage = [storage, text(b"cpu"), b"K\x01tq\x000".to_vec()].concat();
    let storages = [
        b"\x80\x02".to_vec(),
        storage,
        b"h\x00Q0".repeat(200_000),
        b"N.".to_vec(),
    ]
    .concat();
    for (pickle, says) in [
        (vec![b']'; 40 * MIB], "more than 16777216"),
        (lists, "more than"),
        (names, "bytes of a name"),
        (keys(3_000_000), "more than"),
        (keys(100_000), "holds no tensors"),
        (storages, "holds no tensors"),
    ] {
        let path = archive(&place, &pickle)?;
        layers(&path).refused(1, &["x.ckpt", says]);
    }
    Ok(())
}

#[test]
fn indices_and_vocabularies() -> TestResult {
    let place = Place::new();
    let folder = place.copy(&model("tiny-sd15"), "model");
    let unet = place.path("model").join("unet");
    fs::remove_file(unet.join("diffusion_pytorch_model.safetensors"))?;
    let index = unet.join("diffusion_pytorch_model.safetensors.index.json");
    let extract = |says: &str| {
        let image = place.path("model").join("picture.png").display().to_string();
        let _ = fs::copy(crate::case_file("adm-all", "image0.png"), &image);
        let out = place.text("out");
        let mut command = program();
        command.args([
            "extract",
            "--model",
            &folder,
            "--image",
            &image,
            "--out",
            &out,
            "--activations",
            "unet-in",
        ]);
        finish(command.args(["--size", "64", "--t", "120"])).refused(1, &[says]);
    };
    fs::write(
        &index,
        format!("{{\"weight_map\":{{{}\"\":0}}}}", "\"a\":{\"\":0},".repeat(MIB)),
    )?;
    extract("weight_map");
    fs::write(&index, vec![b' '; 17 * MIB])?;
    extract("more than 16777216");
    Ok(())
}

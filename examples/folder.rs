//! The pictures of a folder one after the other, with progress, until somebody cancels.
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use featscope::prelude::*;

/// How many pictures were extracted before `cancelled` was set.
pub(crate) fn run(pictures: &Path, out: &Path, cancelled: &AtomicBool) -> Result<usize> {
    let mut model = Model::open("demo")?;
    let mut done = 0;
    let entries = fs::read_dir(pictures).map_err(|error| Error::io("read", pictures, &error))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let extraction = model.extract(&path).at(100).select(["b11"]).progress(|share| {
            print!("\r{name} {:3.0} %", 100.0 * share);
            match cancelled.load(Ordering::Relaxed) {
                true => Err(Error::Cancelled),
                false => Ok(()),
            }
        });
        match extraction.write(out.join(format!("{name}.safetensors"))) {
            Ok(()) => done += 1,
            Err(Error::Cancelled) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[allow(dead_code, reason = "the test of the examples calls `run` itself")]
fn main() -> Result<()> {
    // Whoever wants to cancel, such as a handler of Ctrl+C, sets it.
    static CANCELLED: AtomicBool = AtomicBool::new(false);
    let done = run(Path::new("pictures"), Path::new("."), &CANCELLED)?;
    println!("\n{done} pictures");
    Ok(())
}

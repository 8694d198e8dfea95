//! Every activation of a picture, written into a safetensors file and read back.
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

use std::path::Path;

use featscope::{io::saved::SavedActivations, prelude::*};

/// Extracts into `folder`; the names in the file.
pub(crate) fn run(folder: &Path) -> Result<Vec<String>> {
    let out = folder.join("every.safetensors");
    Model::open("demo")?.extract("sample:photo-cat").at(100).write(&out)?;
    let saved = SavedActivations::open(&out)?;
    for name in saved.names() {
        let array = saved.array(&name)?;
        // (B, C, h, w)
        println!("{name} {:?}", array.shape);
    }
    Ok(saved.names())
}

#[allow(dead_code, reason = "the test of the examples calls `run` itself")]
fn main() -> Result<()> {
    run(Path::new(".")).map(drop)
}

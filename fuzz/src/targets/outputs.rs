//! What an extraction wrote, read back.

use featscope::{
    activation::FeatureMap,
    analysis::{
        colour::{self, ColourRange, RangeRule},
        pca::{self, PcaOptions},
    },
    extract::request::StoreFormat,
    io::{
        npy::{read_npy, write_npy},
        saved::SavedActivations,
    },
};

use super::{read, scratch::with_file};

/// An array of NumPy's.
pub fn npy(bytes: &[u8]) {
    let Some(array) = with_file("array.npy", bytes, |path| read(read_npy(path))) else {
        return;
    };
    let mut written = Vec::new();
    if read(write_npy(&mut written, &array, StoreFormat::F32)).is_some() {
        let again = with_file("again.npy", &written, |path| read(read_npy(path)));
        let again = again.expect("what is written is read");
        assert_eq!(again.shape, array.shape);
        assert!(
            array
                .data
                .iter()
                .zip(&again.data)
                .all(|(a, b)| a.to_bits() == b.to_bits())
        );
    }
}

/// The output of an extraction, of which pictures are made, or which is taken as noise.
pub fn saved(bytes: &[u8]) {
    // Archives begin as zips do.
    let name = match bytes.starts_with(b"PK") {
        true => "output.npz",
        false => "output.safetensors",
    };
    saved_as(name, bytes);
}

fn saved_as(name: &str, bytes: &[u8]) {
    /// Larger maps take time and show nothing new.
    const MOST_NUMBERS: usize = 1 << 12;
    with_file(name, bytes, |path| {
        let Some(file) = read(SavedActivations::open(path)) else {
            return;
        };
        read(file.array("no such tensor"));
        for name in file.names().iter().take(8) {
            let Some(array) = read(file.array(name)) else { continue };
            if array.data.len() > MOST_NUMBERS {
                continue;
            }
            if let Some(map) = read(array.feature_map(0)) {
                picture(&map);
            }
        }
        let _ = file.listing();
    });
}

/// As `pca` makes it.
fn picture(map: &FeatureMap) {
    let Some(basis) = read(pca::fit(&[map], &PcaOptions::default())) else {
        return;
    };
    let Some(scores) = read(basis.project(map)) else { return };
    if let Some(range) = read(ColourRange::of(&[&scores], RangeRule::MinMax)) {
        colour::colour(&scores, &range);
    }
    read(colour::reference_picture(map));
}

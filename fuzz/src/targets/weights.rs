//! Files of tensors.

use candle_core::{DType, Device};
use featscope::weights::{DIFFUSERS_STEM, Store, find_weights};

use super::{read, scratch::with_files};

/// One safetensors file.
pub fn safetensors(bytes: &[u8]) {
    if let Some(store) = read(Store::from_bytes(bytes.to_vec(), "input.safetensors")) {
        load_all(&store);
        let _ = store.metadata("format");
    }
}

/// One PyTorch file: a zip archive or the stream before it.
pub fn pickle(bytes: &[u8]) {
    if let Some(store) = read(Store::from_bytes(bytes.to_vec(), "input.pt")) {
        load_all(&store);
    }
}

/// One GGUF file.
pub fn gguf(bytes: &[u8]) {
    if let Some(store) = read(Store::from_bytes(bytes.to_vec(), "input.gguf")) {
        load_all(&store);
        let _ = store.metadata("general.architecture");
    }
}

/// Tensors are what their shape says, or are refused.
fn load_all(store: &Store) {
    /// A tensor may repeat a few numbers many times: larger ones take time and show nothing new.
    const MOST_NUMBERS: usize = 1 << 16;
    const MOST_TENSORS: usize = 16;
    let tensors = store.var_builder(DType::F32, &Device::Cpu);
    for name in store.names().take(MOST_TENSORS) {
        let shape = store.shape(name).expect("every tensor has a shape").to_vec();
        let numbers = shape.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
        if numbers.is_none_or(|numbers| numbers > MOST_NUMBERS) {
            continue;
        }
        if let Some(tensor) = read(tensors.get_unchecked(name).map_err(featscope::Error::from)) {
            assert_eq!(tensor.dims(), shape);
        }
    }
}

/// The index of a network that lies in several files.
pub fn shards(bytes: &[u8]) {
    let index = format!("{DIFFUSERS_STEM}.safetensors.index.json");
    let files: [(&str, &[u8]); 3] = [(&index, bytes), ("a-1.safetensors", b""), ("a-2.safetensors", b"")];
    with_files(&files, |folder| {
        for file in read(find_weights(folder, DIFFUSERS_STEM)).map_or_else(Vec::new, |found| found.files) {
            assert_eq!(file.parent(), Some(folder), "no index leads out of its folder");
            assert!(file.is_file());
        }
    });
}

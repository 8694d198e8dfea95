//! The output of an extraction.
#![no_main]

use featscope_fuzz::mutation::{mutate, repair_safetensors};

featscope_fuzz::target!("saved", 256 << 20);

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed, repair_safetensors)
});

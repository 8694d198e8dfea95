//! Messages between engine and worker.
#![no_main]

use featscope_fuzz::mutation::{mutate, repair_message};

featscope_fuzz::target!("wire", 6144 << 20);

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed, repair_message)
});

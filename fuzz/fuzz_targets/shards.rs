//! The index of a network in several files.
#![no_main]

featscope_fuzz::target!("shards", 128 << 20);

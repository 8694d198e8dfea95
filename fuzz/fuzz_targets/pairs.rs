//! A file of pairs.
#![no_main]

featscope_fuzz::target!("pairs", 64 << 20);

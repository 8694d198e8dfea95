//! A file of layers.
#![no_main]

featscope_fuzz::target!("layers", 64 << 20);

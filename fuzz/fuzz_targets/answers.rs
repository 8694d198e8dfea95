//! The head of an answer of the hub.
#![no_main]

featscope_fuzz::target!("answers", 64 << 20);

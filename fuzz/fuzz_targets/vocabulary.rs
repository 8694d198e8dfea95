//! A vocabulary and a prompt.
#![no_main]

featscope_fuzz::target!("vocabulary", 256 << 20);

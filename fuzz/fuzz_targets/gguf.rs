//! A GGUF file.
#![no_main]

featscope_fuzz::target!("gguf", 256 << 20);

//! A workspace.
#![no_main]

featscope_fuzz::target!("workspace", 256 << 20);

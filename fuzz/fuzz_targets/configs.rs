//! A configuration of any network.
#![no_main]

featscope_fuzz::target!("configs", 256 << 20);

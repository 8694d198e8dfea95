//! A PCA basis.
#![no_main]

featscope_fuzz::target!("basis", 128 << 20);

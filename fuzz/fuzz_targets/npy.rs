//! An array of NumPy's.
#![no_main]

featscope_fuzz::target!("npy", 256 << 20);

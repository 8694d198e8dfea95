//! The listing of a repository.
#![no_main]

featscope_fuzz::target!("listing", 128 << 20);

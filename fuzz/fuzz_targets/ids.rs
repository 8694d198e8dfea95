//! Ids of activations.
#![no_main]

featscope_fuzz::target!("ids", 64 << 20);

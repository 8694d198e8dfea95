//! The vocabulary of a BERT, and a prompt that it reads.
#![no_main]

featscope_fuzz::target!("wordpiece", 256 << 20);

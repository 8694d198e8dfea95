//! A SentencePiece model, or the file of a tokenizer that has one.
#![no_main]

featscope_fuzz::target!("sentencepiece", 256 << 20);

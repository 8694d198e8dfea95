//! What is written into files and captions: pure functions of the state, which give text, JSON and pixels.

pub mod captions;
pub mod compare;
pub mod content;
pub mod figure;
pub mod matches;
pub mod panes;
pub mod ranking;
pub mod recommend;
pub mod record;
pub mod requests;
pub mod styles;
pub mod survey;
pub mod tables;

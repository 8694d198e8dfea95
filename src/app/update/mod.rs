//! The only place where the state changes. In: commands of the user, events of the workers, answers of short-lived threads.
//! Out: the changed state, and requests to the workers.

pub mod abilities;
pub mod act;
pub mod action;
pub mod aliases;
pub mod answers;
pub mod app;
pub mod apply;
pub mod asking;
pub mod background;
pub mod command;
pub mod compare;
pub mod comparisons;
pub mod dialog;
pub mod downloads;
pub mod event_queue;
pub mod events;
pub mod files;
pub mod input;
pub mod keep;
pub mod keys_down;
pub mod lost_device;
pub mod notes;
pub mod panes;
pub mod pending;
pub mod pins;
pub mod presets;
pub mod questions;
pub mod recovery;
pub mod saving;
pub mod studies;
pub mod survey;
pub mod thumbnails;
pub mod tour;
pub mod view;
pub mod view_answers;

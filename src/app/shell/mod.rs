//! What runs the window: on a display, in memory, and frame by frame.

pub mod frame;
pub mod icon;
pub mod offscreen;
pub mod shot;
pub mod start;

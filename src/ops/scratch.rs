//! Working memory that is used again, so that a convolution does not fault in
//! fresh pages for every call.
//!
//! [`Scratch::take`] lends a buffer of a given length with arbitrary finite or
//! non-finite contents; it goes back when it is dropped.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Free buffers.
static IDLE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<Vec<f32>>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A lent buffer. What it holds at first is left over from earlier use.
pub(super) struct Scratch {
    buffer: Vec<f32>,
    len: usize,
}

impl Scratch {
    /// Lends a buffer of `len` numbers.
    pub(super) fn take(len: usize) -> Self {
        let mut idle = idle();
        // The smallest that suffices, or else the largest, which then grows.
        let best = idle
            .iter()
            .enumerate()
            .min_by_key(|(_, b)| match b.len() >= len {
                true => (false, b.len()),
                false => (true, usize::MAX - b.len()),
            })
            .map(|(i, _)| i);
        let mut buffer = best.map(|i| idle.swap_remove(i)).unwrap_or_default();
        drop(idle);
        if buffer.len() < len {
            // Nothing of the old contents is needed, so nothing is copied.
            buffer = vec![0.0; len];
        }
        Self { buffer, len }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        idle().push(std::mem::take(&mut self.buffer));
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.len]
    }
}

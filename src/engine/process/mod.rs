//! The extractor as another process: the GPU's libraries are linked to that one alone, a crash of a driver takes nothing
//! with it, and what it held is free at once when it ends.
//!
//! `relay` stands in the engine's place of an extractor and passes requests on; `worker` is the other end, which runs the
//! extractor itself; `wire` is what they say to each other, over the worker's standard input and output; `launch` finds and
//! starts the worker.

mod launch;
mod relay;
mod seen;
mod wire;
mod worker;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use launch::{GPU_WORKER, Launch, Probe};
pub use relay::relay;
pub use wire::{Answer, FromWorker, Question, ToWorker};
pub use worker::{EngineLine, serve};

/// What a panic of another thread leaves is whole but for a message that was being written, which its reader sees.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

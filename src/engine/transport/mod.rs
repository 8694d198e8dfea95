//! The extractor as another process: the GPU's libraries are linked to that one alone, a crash of a driver takes nothing
//! with it, and what it held is free at once when it ends.
//!
//! `supervisor` stands in the engine's place of an extractor and passes requests on; `worker` is the other end, which runs
//! the extractor itself; `codec` is how their messages are written to the worker's standard input and output; `launcher`
//! finds and starts the worker; `session_log` knows what is under way in it.

mod codec;
mod launcher;
mod session_log;
mod supervisor;
mod worker;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use codec::{Answer, FromWorker, Question, ToWorker};
pub use launcher::{GPU_WORKER, Launcher, Probe};
pub use supervisor::supervise;
pub use worker::{EngineLine, serve};

/// What a panic of another thread leaves is whole but for a message that was being written, which its reader sees.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A bug in a worker becomes a message, and the worker goes on.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs `work`; a panic inside of it is what it said.
pub fn recovered<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // The workers hold nothing across requests that a panic could leave half-changed: the extractor drops its model,
    // the cache changes in single calls.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let words = words_of(payload.as_ref());
        tracing::error!(words, "a panic was caught");
        words
    })
}

fn words_of(payload: &(dyn Any + Send)) -> String {
    let words = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    words
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown".to_owned())
}

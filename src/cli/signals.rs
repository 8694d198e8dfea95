//! Signals that end the program: what is unfinished goes first.

use std::{mem::MaybeUninit, ptr, thread};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

use crate::files::clear_up_and;

/// Ctrl+C, a terminal that closes, and `kill` end the program as they would without this (a shell gives 128 and the number as
/// its status), but leave no unfinished file behind. What the program was started to ignore, as `nohup` does, it ignores.
pub fn clear_up_on_signals() {
    let heeded = [SIGHUP, SIGINT, SIGTERM]
        .into_iter()
        .filter(|signal| !is_ignored(*signal));
    let Ok(mut signals) = Signals::new(heeded) else { return };
    // Without the thread the next output clears up.
    let _ = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            clear_up_and(|| {
                let _ = emulate_default_handler(signal);
            });
        }
    });
}

#[allow(unsafe_code, reason = "the system is asked, nothing is changed")]
fn is_ignored(signal: libc::c_int) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action nothing is changed; what is read was written by the call before it, or is zero.
    unsafe {
        libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) == 0 && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

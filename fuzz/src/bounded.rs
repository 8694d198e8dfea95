//! An allocator that counts: an input of a few bytes that makes the program ask for hundreds of MiB is found at once, also where the
//! system would hand the memory out.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    backtrace::Backtrace,
    process,
    sync::atomic::{AtomicIsize, AtomicUsize, Ordering},
};

/// Bytes that are held, less those before the input began.
static HELD: AtomicIsize = AtomicIsize::new(0);
/// How many may be.
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        count(size);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count(size: usize) {
    let held = HELD.fetch_add(size.cast_signed(), Ordering::Relaxed);
    let held = held.saturating_add_unsigned(size);
    let most = MOST.load(Ordering::Relaxed);
    if held > 0 && held.cast_unsigned() > most {
        // What follows allocates too.
        MOST.store(usize::MAX, Ordering::Relaxed);
        eprintln!(
            "an input takes {held} bytes, the last {size} of them here:\n{}",
            Backtrace::force_capture()
        );
        process::abort();
    }
}

/// Calls `work`, which may hold so many bytes more than are held now.
pub fn within(most: usize, work: impl FnOnce()) {
    HELD.store(0, Ordering::Relaxed);
    MOST.store(most, Ordering::Relaxed);
    work();
    MOST.store(usize::MAX, Ordering::Relaxed);
}

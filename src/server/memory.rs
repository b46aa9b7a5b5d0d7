//! Has the allocator give back to the system what nothing needs any more.
//!
//! mimalloc looks at what it keeps only while it hands something out, and at a page that was emptied only
//! in the thread that has it. At rest nobody asks for anything, so the program would keep for ever what its
//! busiest moment needed. Here it is asked, for nothing: what it hands out is not written to.
//!
//! # What can go wrong
//!
//! Another version of the allocator may look at other moments. Then nothing fails, but memory stays high
//! after a load, which `tests/clients/loads.py` does not let pass.

use std::hint::black_box;
use std::time::Duration;

/// How often memory that is not needed is given back.
pub(super) const TIDY: Duration = Duration::from_secs(2);

/// A piece of this size is not among those that are handed out without a look at anything, in bytes. A thread
/// looks at its emptied pages when it has asked for a thousand of them, and gives one back at the fourth
/// look, or at the sixteenth if pieces up to 10 KiB were in it.
const PIECE: usize = 2 * 1024;
const PIECES: usize = 2_000;

/// A piece of this size has a page to itself, in bytes. Pages that were given back become the system's again
/// when others are asked for, a while later.
const PAGE: usize = 1024 * 1024;
const PAGES: usize = 16;

/// Gives back emptied pages of this thread, for ever. A look takes less than a tenth of a millisecond.
pub(super) async fn tidy_thread() {
    loop {
        tokio::time::sleep(TIDY).await;
        ask_for(PIECE, PIECES);
    }
}

/// Gives to the system what the threads have given back, and what this one has.
pub(super) fn tidy_process() {
    ask_for(PIECE, PIECES);
    ask_for(PAGE, PAGES);
}

fn ask_for(size: usize, times: usize) {
    for _ in 0..times {
        drop(black_box(Vec::<u8>::with_capacity(size)));
    }
}

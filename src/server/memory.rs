//! Makes the allocator give memory back to the system after a busy moment.
//!
//! mimalloc reclaims memory only while it allocates, and an emptied page only in the thread that
//! owns it. An idle process allocates nothing, so it would keep what its busiest moment needed. So
//! memory is allocated here, and freed unwritten.
//!
//! # What can go wrong
//!
//! Another version of the allocator may reclaim at other moments. Then nothing fails, but memory
//! stays high after a load, which `tests/clients/loads.py` detects.

use std::hint::black_box;
use std::time::Duration;

/// How often unused memory is given back.
pub(super) const TIDY_INTERVAL: Duration = Duration::from_secs(2);

/// A size that is not served from the fast path, in bytes. A thread looks at its emptied pages
/// after a thousand such allocations, and frees one at the fourth look, or at the sixteenth if it
/// held pieces of up to 10 KiB.
const PIECE: usize = 2 * 1024;
const PIECES: usize = 2_000;

/// A size with a page to itself, in bytes. Freed pages return to the system when others are
/// allocated.
const PAGE: usize = 1024 * 1024;
const PAGES: usize = 16;

/// Frees emptied pages of this thread at each interval. That takes less than a tenth of a
/// millisecond.
pub(super) async fn tidy_thread() {
    loop {
        tokio::time::sleep(TIDY_INTERVAL).await;
        allocate(PIECE, PIECES);
    }
}

/// Returns to the system what the threads have freed, and what this one has.
pub(super) fn tidy_process() {
    allocate(PIECE, PIECES);
    allocate(PAGE, PAGES);
}

fn allocate(size: usize, times: usize) {
    for _ in 0..times {
        drop(black_box(Vec::<u8>::with_capacity(size)));
    }
}

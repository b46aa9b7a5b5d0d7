//! Lines on their way to a target that may be slow, full or gone.
//!
//! Whoever logs only adds to a buffer of bounded size; one thread writes it out. What finds the buffer
//! full, or cannot be written, is dropped and counted. A target that blocks holds up that thread and
//! nothing else.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How many bytes may wait. At a few hundred for a line, a target may stand still for thousands of them.
pub(super) const CAPACITY: usize = 1024 * 1024;

/// How many bytes a pipe takes without those of other programs in between (POSIX `PIPE_BUF` on Linux).
const AT_ONCE: usize = 4096;

/// How much memory is kept for the next lines.
const KEPT: usize = 64 * 1024;

/// How long writing pauses when the target takes nothing, but does not block either.
const PAUSE: Duration = Duration::from_millis(10);

/// Lines that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Something waits.
    filled: Condvar,
    /// Nothing waits, and nothing is being written.
    idle: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    is_writing: bool,
}

impl Queue {
    /// A queue with its thread, which calls `report` with the number of lines dropped so far when it
    /// has grown and the target takes lines.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub(super) fn start(
        target: impl Write + Send + 'static,
        report: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self::default());
        let served = Arc::clone(&queue);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || served.write_out(Target::new(target), report))?;
        Ok(queue)
    }

    /// Adds a line, which ends with a line feed, or drops it. Never waits for the target.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.lines.len() + line.len() > CAPACITY {
            drop(waiting);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// How many lines were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written or dropped, but not longer than `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let is_busy = |waiting: &mut Waiting| waiting.is_writing || !waiting.lines.is_empty();
        let waited = self.idle.wait_timeout_while(self.waiting(), limit, is_busy);
        // What is left then is lost, and there is nowhere to say so.
        drop(waited);
    }

    fn write_out(&self, mut target: Target<impl Write>, report: impl Fn(u64)) {
        let mut reported = 0;
        let mut lines = Vec::new();
        loop {
            self.take(&mut lines);
            let lost = target.write(&lines);
            let dropped = self.dropped.fetch_add(lost, Ordering::Relaxed) + lost;
            if dropped > reported && target.is_well {
                reported = dropped;
                // This is a line again. If it is dropped too, the next one tells of both.
                report(dropped);
            }
        }
    }

    /// Takes all lines that wait, at least one.
    fn take(&self, lines: &mut Vec<u8>) {
        lines.clear();
        lines.shrink_to(KEPT);
        let mut waiting = self.waiting();
        waiting.is_writing = false;
        if waiting.lines.is_empty() {
            self.idle.notify_all();
        }
        let mut waiting = self
            .filled
            .wait_while(waiting, |waiting| waiting.lines.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.lines, lines);
        waiting.is_writing = true;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Every change leaves it whole, so a panic elsewhere does no harm.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What lines are written to.
struct Target<W> {
    out: W,
    /// Whether it took the last lines.
    is_well: bool,
    /// Whether it has the beginning of a line without its end.
    is_torn: bool,
}

impl<W: Write> Target<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            is_well: true,
            is_torn: false,
        }
    }

    /// Writes lines, and returns how many of them it did not take.
    fn write(&mut self, lines: &[u8]) -> u64 {
        let (mut rest, mut lost) = (lines, 0);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(whole_lines(rest));
            let left = self.write_piece(piece);
            self.is_well = left.is_empty();
            lost += memchr::memchr_iter(b'\n', left).count() as u64;
            rest = after;
        }
        lost
    }

    /// Writes a piece, and returns what is left of it if writing fails.
    fn write_piece<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        if self.is_torn {
            // Or else a later line would be taken for the rest of the one that broke off.
            if self.write_all(b"\n").is_some() {
                return piece;
            }
            self.is_torn = false;
        }
        let Some(left) = self.write_all(piece) else {
            return &[];
        };
        let (written, left) = piece.split_at(piece.len() - left);
        self.is_torn = !written.is_empty() && !written.ends_with(b"\n");
        left
    }

    /// Writes all of it, or returns how many bytes are left.
    fn write_all(&mut self, mut rest: &[u8]) -> Option<usize> {
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(written @ 1..) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(PAUSE),
                Ok(0) | Err(_) => return Some(rest.len()),
            }
        }
        None
    }
}

/// The length of the first lines that are written at once, at least one.
fn whole_lines(lines: &[u8]) -> usize {
    let first = &lines[..lines.len().min(AT_ONCE)];
    memchr::memrchr(b'\n', first)
        .or_else(|| memchr::memchr(b'\n', lines))
        .map_or(lines.len(), |at| at + 1)
}

#[cfg(test)]
mod tests;

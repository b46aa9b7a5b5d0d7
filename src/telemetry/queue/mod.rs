//! The queue between the log and a target that may be slow, full or closed.
//!
//! Logging appends to a bounded buffer, and one thread writes it out. Lines that do not fit, or
//! cannot be written, are dropped and counted; a blocked target blocks that thread and nothing
//! else. `tracing-appender` bounds its queue by lines, not bytes, allocates for each, and may print
//! at exit.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::lock::lock;

/// The size of the queue in bytes: some thousand lines.
pub(super) const CAPACITY: usize = 1024 * 1024;

/// How many bytes a pipe takes in one piece, apart from those of other programs (`PIPE_BUF` on
/// Linux).
const PIPE_BUF: usize = 4096;

/// How much memory is kept for the next batch of lines.
const KEPT_CAPACITY: usize = 64 * 1024;

/// The pause before another write to a non-blocking target that is full.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    not_empty: Condvar,
    idle: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    is_writing: bool,
}

impl Queue {
    /// Starts a queue and its thread, which calls `report` with the number of dropped lines when
    /// that has grown and the target takes lines again.
    pub(super) fn start(
        target: impl Write + Send + 'static,
        report: impl Fn(u64) + Send + 'static,
    ) -> io::Result<&'static Self> {
        // The thread never ends.
        let queue: &'static Self = Box::leak(Box::default());
        let thread = thread::Builder::new().name("log".to_owned());
        thread.spawn(move || queue.run(target, report))?;
        Ok(queue)
    }

    /// Adds a line, which ends with a line feed, or drops it. Never waits for the target.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = lock(&self.state);
        if state.lines.len() + line.len() > CAPACITY {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = state.lines.is_empty();
        state.lines.extend_from_slice(line);
        drop(state);
        if was_empty {
            self.not_empty.notify_one();
        }
    }

    /// The number of lines dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written or dropped, at most for `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.lines.is_empty();
        // What is left at the limit is lost, and there is no place to report it.
        let state = lock(&self.state);
        let _ = self.idle.wait_timeout_while(state, limit, is_busy);
    }

    fn run(&self, out: impl Write, report: impl Fn(u64)) {
        let is_torn = false;
        let mut target = Target { out, is_torn };
        let (mut lines, mut reported) = (Vec::new(), 0);
        loop {
            self.take(&mut lines);
            let lost = target.write(&lines);
            let dropped = self.dropped.fetch_add(lost, Ordering::Relaxed) + lost;
            if dropped > reported && lost == 0 {
                reported = dropped;
                // The report is a line as well. If it is dropped too, the next one counts it.
                report(dropped);
            }
        }
    }

    /// Takes all waiting lines, at least one.
    fn take(&self, lines: &mut Vec<u8>) {
        lines.clear();
        lines.shrink_to(KEPT_CAPACITY);
        let mut state = lock(&self.state);
        state.is_writing = false;
        if state.lines.is_empty() {
            self.idle.notify_all();
        }
        let is_empty = |state: &mut State| state.lines.is_empty();
        let waited = self.not_empty.wait_while(state, is_empty);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.lines, lines);
        state.is_writing = true;
    }
}

/// Puts lines into the queue; each call is one line.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Target<W> {
    out: W,
    /// True if the last line was written only in part.
    is_torn: bool,
}

impl<W: Write> Target<W> {
    /// Writes lines and returns how many of them were lost.
    fn write(&mut self, mut lines: &[u8]) -> u64 {
        let mut lost = 0;
        while !lines.is_empty() {
            let (piece, rest) = lines.split_at(whole_lines(lines));
            lines = rest;
            // A torn line is ended first, or the next one would read as its rest.
            let is_whole = !self.is_torn || self.write_some(b"\n") == 1;
            let written = if is_whole { self.write_some(piece) } else { 0 };
            self.is_torn = !is_whole || piece[..written].last().is_some_and(|last| *last != b'\n');
            lost += memchr::memchr_iter(b'\n', &piece[written..]).count() as u64;
        }
        lost
    }

    /// Writes bytes up to the first error and returns how many were written.
    fn write_some(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match self.out.write(&bytes[written..]) {
                Ok(more @ 1..) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::park_timeout(RETRY_INTERVAL)
                }
                Ok(0) | Err(_) => break,
            }
        }
        written
    }
}

/// The length of the first lines that are written in one piece, at least one line.
fn whole_lines(lines: &[u8]) -> usize {
    let first = &lines[..lines.len().min(PIPE_BUF)];
    let end = memchr::memrchr(b'\n', first).or_else(|| memchr::memchr(b'\n', lines));
    end.map_or(lines.len(), |at| at + 1)
}

#[cfg(test)]
mod tests;

//! Bodies that are held until they are complete.
//!
//! A short body stays in the frames it arrived in. A long one is copied to blocks: it then takes its
//! own length and at most one block, however small its frames were, and the buffers of its connection
//! are free again.

use bytes::{Bytes, BytesMut};

use crate::proxy::memory_budget::Reservation;

/// Size of a block, in bytes; a longer body is a long one. Together with a page for the alignment it
/// is a power of two, which allocators do not round up.
const BLOCK: usize = 60 * 1024;

/// In a short body, a frame of at least this many bytes is kept as it arrived. Shorter ones are
/// copied together, since each frame that is kept takes an allocation of its own.
const KEPT: usize = 4 * 1024;

/// From this size on, in bytes, a copy to another offset within the page pays off.
const LONG: usize = 16 * 1024;

const PAGE: usize = 4096;

/// A complete body, and the room it takes in the memory budget.
#[derive(Debug)]
pub(in crate::proxy) struct Buffered {
    pub(super) chunks: Vec<Bytes>,
    pub(super) length: u64,
    _reservation: Reservation,
}

/// Collects a body.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    chunks: Vec<Bytes>,
    /// The block that is being filled.
    last: BytesMut,
    length: usize,
}

impl Buffer {
    /// Bytes collected so far.
    pub(super) fn length(&self) -> u64 {
        self.length as u64
    }

    /// Appends a frame.
    pub(super) fn push(&mut self, frame: Bytes) {
        let is_first = self.length == 0;
        self.length += frame.len();
        if self.length > BLOCK {
            self.copy(&frame, BLOCK);
        } else if is_first || frame.len() >= KEPT {
            self.keep_last();
            self.chunks.push(frame);
        } else {
            self.copy(&frame, 4 * KEPT);
        }
    }

    /// Copies a frame into blocks of this size.
    fn copy(&mut self, mut data: &[u8], size: usize) {
        while !data.is_empty() {
            let mut room = self.last.capacity() - self.last.len();
            if room == 0 {
                self.keep_last();
                self.last = between_pages(size);
                room = size;
            }
            let (now, later) = data.split_at(data.len().min(room));
            self.last.extend_from_slice(now);
            data = later;
        }
    }

    fn keep_last(&mut self) {
        if !self.last.is_empty() {
            self.chunks.push(std::mem::take(&mut self.last).freeze());
        }
    }

    /// The body, if there is one.
    pub(super) fn finish(mut self, reservation: Reservation) -> Option<Buffered> {
        self.keep_last();
        (self.length > 0).then_some(Buffered {
            chunks: self.chunks,
            length: self.length as u64,
            _reservation: reservation,
        })
    }
}

/// A frame on its way to TLS: a long one is copied to memory that begins in the middle of a page.
///
/// If source and destination of a copy have nearly the same offset within a page, `rep movsb` takes
/// ten times as long. The buffers of hyper and of rustls both begin at a page, so this happens in TLS
/// (measured: 71 % of the user time of long uploads).
pub(super) fn shifted(frame: Bytes) -> Bytes {
    if frame.len() < LONG {
        return frame;
    }
    let mut copy = between_pages(frame.len());
    copy.extend_from_slice(&frame);
    copy.freeze()
}

/// Empty memory with exactly this capacity that begins in the middle of a page.
fn between_pages(capacity: usize) -> BytesMut {
    let mut memory = BytesMut::with_capacity(capacity + PAGE);
    let offset = (PAGE / 2).wrapping_sub(memory.as_ptr().addr()) % PAGE;
    memory.resize(offset, 0);
    let mut memory = memory.split_off(offset);
    let rest = memory.split_off(capacity.min(memory.capacity()));
    drop(rest);
    memory
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::proxy::memory_budget::MemoryBudget;

    async fn kept(lengths: &[usize]) -> Vec<usize> {
        let mut buffer = Buffer::default();
        let mut sent = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            let frame = vec![u8::try_from(number % 251).unwrap(); *length];
            sent.extend_from_slice(&frame);
            buffer.push(frame.into());
        }
        let budget = Arc::new(MemoryBudget::new(1 << 20));
        let reservation = budget.reserve(1).await.unwrap();
        let Some(buffered) = buffer.finish(reservation) else {
            return Vec::new();
        };
        assert_eq!(buffered.chunks.concat(), sent);
        assert_eq!(buffered.length, sent.len() as u64);
        buffered.chunks.iter().map(Bytes::len).collect()
    }

    #[tokio::test]
    async fn long_frames_are_kept_and_short_ones_are_copied_together() {
        assert_eq!(kept(&[]).await, [0; 0]);
        assert_eq!(kept(&[1, 2, 3, 5000, 4, 5]).await, [1, 5, 5000, 9]);
        let frames = [10, 5000, BLOCK, BLOCK, BLOCK, 7];
        assert_eq!(kept(&[10, 5000, 3 * BLOCK, 7]).await, frames);
        assert!(kept(&[1; 2 * BLOCK + 3]).await.len() < 10);
    }

    #[test]
    fn long_frames_begin_in_the_middle_of_a_page() {
        for length in [LONG, LONG + 1, 100_000] {
            let frame = Bytes::from(vec![7; length]);
            let copy = shifted(frame.clone());
            assert_eq!(copy, frame);
            assert_eq!(copy.as_ptr().addr() % PAGE, PAGE / 2);
        }
        let short = Bytes::from(vec![7; LONG - 1]);
        assert_eq!(shifted(short.clone()).as_ptr(), short.as_ptr());
    }
}

//! Memory for long bodies that are held: blocks of one size, straight from the system, used again.
//!
//! Not the allocator's memory: what one worker frees stays with that worker there, so that the same
//! budget, used by one worker after the other, would take its size once for each. And not the buffers
//! in which a body came: those are needed for reading, and are worth most while the processor has
//! them in its cache.
//!
//! Blocks that nobody needs are kept, since getting new ones from the system costs more than filling
//! them: measured with bodies of 11 MiB, a fifth of the throughput. [`Blocks::give_back`] returns those
//! that were not needed for a while.
//!
//! # What can go wrong
//!
//! The system may have no memory left. That is an error like any other, and costs one request.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use memmap2::MmapMut;

use crate::http1::BETWEEN_PAGES;

/// What a block takes of the system, in bytes.
const MAPPED: usize = 64 * 1024;

/// What a block holds, in bytes: it begins between two pages, as room for reading does.
pub(in crate::proxy) const BLOCK: usize = MAPPED - BETWEEN_PAGES;

/// Unused blocks, of all workers.
#[derive(Clone, Debug, Default)]
pub struct Blocks(Arc<Mutex<Unused>>);

#[derive(Debug, Default)]
struct Unused {
    blocks: Vec<MmapMut>,
    /// The fewest that there were since some were last given back.
    least: usize,
}

/// A block that is being filled.
#[derive(Debug)]
pub(in crate::proxy) struct Block {
    /// None only while it is given back.
    memory: Option<MmapMut>,
    length: usize,
    home: Blocks,
}

impl Blocks {
    /// An empty block.
    ///
    /// # Errors
    ///
    /// What the system says when it has no memory.
    pub(in crate::proxy) fn take(&self) -> io::Result<Block> {
        let unused = self.unused().pop();
        let memory = match unused {
            Some(memory) => memory,
            None => MmapMut::map_anon(MAPPED)?,
        };
        Ok(Block {
            memory: Some(memory),
            length: 0,
            home: self.clone(),
        })
    }

    /// Gives those blocks back to the system that were not needed since this was last called.
    pub fn give_back(&self) {
        let mut unused = self.unused();
        let kept = unused.blocks.len() - unused.least;
        let given_back = unused.blocks.split_off(kept);
        unused.blocks.shrink_to_fit();
        unused.least = kept;
        // The system takes its time, and nobody has to wait for it.
        drop(unused);
        drop(given_back);
    }

    fn unused(&self) -> MutexGuard<'_, Unused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unused {
    fn pop(&mut self) -> Option<MmapMut> {
        let block = self.blocks.pop();
        self.least = self.least.min(self.blocks.len());
        block
    }
}

impl Block {
    /// Copies as much of `data` as there is room for; returns how much.
    pub(in crate::proxy) fn fill(&mut self, data: &[u8]) -> usize {
        let room = self.room();
        let count = data.len().min(room.len());
        room[..count].copy_from_slice(&data[..count]);
        self.filled(count).len()
    }

    /// Room that is not filled.
    pub(in crate::proxy) fn room(&mut self) -> &mut [u8] {
        let start = BETWEEN_PAGES + self.length;
        let memory = self.memory.as_mut();
        memory.map_or(&mut [], |memory| &mut memory[start..])
    }

    /// Takes note that so much of the room was filled; returns that.
    pub(in crate::proxy) fn filled(&mut self, count: usize) -> &[u8] {
        let before = self.length;
        self.length = BLOCK.min(before + count);
        &self.data()[before..]
    }

    fn data(&self) -> &[u8] {
        let end = BETWEEN_PAGES + self.length;
        let memory = self.memory.as_ref();
        memory.map_or(&[], |memory| &memory[BETWEEN_PAGES..end])
    }

    pub(in crate::proxy) fn is_full(&self) -> bool {
        self.length == BLOCK
    }

    /// What it was filled with. The block is given back with the last reference.
    pub(in crate::proxy) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self.data()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.home.unused().blocks.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_filled_to_their_end_and_used_again() {
        let blocks = Blocks::default();
        let mut block = blocks.take().unwrap();
        assert_eq!(block.fill(&[1; BLOCK - 1]), BLOCK - 1);
        assert!(!block.is_full());
        assert_eq!(block.fill(&[2; 10]), 1);
        assert!(block.is_full());
        let bytes = block.freeze();
        assert_eq!(
            (bytes.len(), bytes[BLOCK - 2], bytes[BLOCK - 1]),
            (BLOCK, 1, 2)
        );
        assert_eq!(count(&blocks), 0);
        drop(bytes);
        assert_eq!(count(&blocks), 1);
        // What it held before is not seen again.
        let mut again = blocks.take().unwrap();
        assert_eq!((again.as_ref().len(), count(&blocks)), (0, 0));
        again.fill(b"x");
        assert_eq!(again.freeze(), Bytes::from_static(b"x"));
    }

    #[test]
    fn blocks_are_kept_while_they_are_needed_and_given_back_later() {
        let blocks = Blocks::default();
        let take = |count: usize| -> Vec<Block> {
            std::iter::repeat_with(|| blocks.take().unwrap())
                .take(count)
                .collect()
        };
        drop(take(10));
        // All ten were in use since the beginning, or did not exist.
        blocks.give_back();
        assert_eq!(count(&blocks), 10);
        drop(take(4));
        blocks.give_back();
        assert_eq!(count(&blocks), 4);
        blocks.give_back();
        assert_eq!(count(&blocks), 0);
        blocks.give_back();
    }

    fn count(blocks: &Blocks) -> usize {
        blocks.unused().blocks.len()
    }
}

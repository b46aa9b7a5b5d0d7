//! Room for reading that is not needed at the moment, for the next connection of the same thread that has
//! something to read.
//!
//! A connection that waits has no room of its own, so that thousands of them cost little. Without this,
//! every request would have the allocator find room, and take it back: for blocks of this size that is
//! slow, and showed in profiles.

use std::cell::RefCell;

use bytes::BytesMut;

/// Room that is made for reading at first, in bytes: enough for most heads and small bodies.
pub(super) const FIRST: usize = 8 * 1024;

/// How many are kept, which bounds what a thread holds for nothing.
const KEPT: usize = 32;

/// Half a page, in bytes.
pub const BETWEEN_PAGES: usize = 2048;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Room that is made once a read has filled what there was, in bytes.
const LATER: usize = 64 * 1024;

/// Room for more, with a copy of what came and was not taken yet.
///
/// It begins between two pages. TLS copies each record to where it is encrypted, the allocator lets that begin
/// at a page, and copying from one page to another at the same place in it takes a processor twice the time:
/// it takes what it reads for what it has just written (4K aliasing).
pub(super) fn more(input: &[u8]) -> BytesMut {
    let mut whole = BytesMut::with_capacity(BETWEEN_PAGES + input.len() + LATER);
    let mut room = whole.split_off(BETWEEN_PAGES);
    room.extend_from_slice(input);
    room
}

/// Room for reading.
pub(super) fn take() -> BytesMut {
    let spare = SPARE.with_borrow_mut(Vec::pop);
    spare.unwrap_or_else(|| BytesMut::with_capacity(FIRST))
}

/// Keeps room that is empty for the next one, unless somebody still has a part of what was read there.
pub(super) fn give(mut room: BytesMut) {
    let is_usual = room.try_reclaim(FIRST) && room.capacity() < 2 * FIRST;
    if room.is_empty() && is_usual {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEPT {
                spare.push(room);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_used_again_unless_a_part_of_it_is_held_or_it_is_large() {
        let first = take();
        let place = first.as_ptr();
        give(first);
        let mut again = take();
        assert_eq!((again.as_ptr(), again.capacity()), (place, FIRST));
        again.extend_from_slice(b"head body");
        let held = again.split_to(4).freeze();
        again.clear();
        give(again);
        assert_ne!(take().as_ptr(), place, "a part of it is held");
        assert_eq!(held, b"head".as_slice());
        give(BytesMut::with_capacity(8 * FIRST));
        assert!(take().capacity() < 2 * FIRST);
    }
}

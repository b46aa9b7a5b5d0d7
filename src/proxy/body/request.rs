//! Request bodies on their way to the gateway.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use crate::error::Error;
use crate::http1::{Framing, IdleTimer, Incoming};
use crate::proxy::budget::Room;
use crate::upstream::Outgoing;

use super::blocks::{BLOCK, Block, Blocks};

/// A piece of a short body of at least so many bytes is kept as it came; shorter ones are copied
/// together, since each one that is kept costs the memory to remember it, and the buffer it lies in.
const KEPT: usize = 4 * 1024;

/// A request body as it goes out.
#[derive(Debug)]
pub enum RequestBody {
    /// No body.
    Empty,
    /// A body that was hashed.
    Held(Held),
    /// A body that is passed on while it arrives.
    Streamed(Box<Streamed>),
}

/// The pieces of a hashed body, and the room they take.
#[derive(Debug)]
pub struct Held {
    pieces: Vec<Bytes>,
    length: u64,
    /// The piece that goes out next.
    next: usize,
    /// Held for its drop: it is given back with the pieces.
    _room: Room,
}

/// Collects the pieces of a body that is hashed.
#[derive(Debug)]
pub(in crate::proxy) struct Pieces {
    whole: Vec<Bytes>,
    /// Short pieces, copied together.
    short: BytesMut,
    /// What is being filled once the body has turned out to be long.
    block: Option<Block>,
    length: u64,
    blocks: Blocks,
}

/// A body that is passed on while it arrives, counted against the limit.
#[derive(Debug)]
pub struct Streamed {
    /// The first piece, if it had to be waited for to know that there is one.
    pub(in crate::proxy) first: Option<Bytes>,
    pub(in crate::proxy) rest: Incoming,
    /// Bytes that may still come.
    pub(in crate::proxy) left: u64,
    pub(in crate::proxy) limit: u64,
    pub(in crate::proxy) idle: IdleTimer,
}

impl Pieces {
    pub(in crate::proxy) fn new(blocks: &Blocks) -> Self {
        Self {
            whole: Vec::new(),
            short: BytesMut::new(),
            block: None,
            length: 0,
            blocks: blocks.clone(),
        }
    }

    pub(in crate::proxy) fn length(&self) -> u64 {
        self.length
    }

    /// Adds a piece.
    ///
    /// # Errors
    ///
    /// What the system says when it has no memory.
    pub(in crate::proxy) fn push(&mut self, piece: Bytes) -> io::Result<()> {
        self.length += piece.len() as u64;
        if self.length > BLOCK as u64 || self.block.is_some() {
            self.keep_short();
            return self.push_long(&piece);
        }
        let is_first = self.whole.is_empty() && self.short.is_empty();
        if is_first || piece.len() >= KEPT {
            self.keep_short();
            self.whole.push(piece);
            return Ok(());
        }
        if self.short.len() + piece.len() > self.short.capacity() {
            self.keep_short();
            self.short.reserve(4 * KEPT);
        }
        self.short.extend_from_slice(&piece);
        Ok(())
    }

    /// Room for what comes next of a long body.
    ///
    /// # Errors
    ///
    /// As [`Self::push`].
    pub(in crate::proxy) fn room(&mut self) -> io::Result<&mut [u8]> {
        self.keep_short();
        let block = match self.block.take() {
            Some(block) => block,
            None => self.blocks.take()?,
        };
        Ok(self.block.insert(block).room())
    }

    /// Takes note that so much of the room was filled, and shows that to `see`.
    pub(in crate::proxy) fn filled(&mut self, count: usize, see: &mut impl FnMut(&[u8])) {
        let Some(mut block) = self.block.take() else {
            return;
        };
        see(block.filled(count));
        self.length += count as u64;
        if block.is_full() {
            self.whole.push(block.freeze());
        } else {
            self.block = Some(block);
        }
    }

    fn push_long(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let mut block = match self.block.take() {
                Some(block) => block,
                None => self.blocks.take()?,
            };
            data = &data[block.fill(data)..];
            if block.is_full() {
                self.whole.push(block.freeze());
            } else {
                self.block = Some(block);
            }
        }
        Ok(())
    }

    fn keep_short(&mut self) {
        if !self.short.is_empty() {
            self.whole.push(self.short.split().freeze());
        }
    }

    pub(in crate::proxy) fn finish(mut self, room: Room) -> RequestBody {
        if self.length == 0 {
            return RequestBody::Empty;
        }
        self.keep_short();
        self.whole.extend(self.block.map(Block::freeze));
        RequestBody::Held(Held {
            pieces: self.whole,
            length: self.length,
            next: 0,
            _room: room,
        })
    }
}

impl RequestBody {
    /// How it is framed on its way out.
    #[must_use]
    pub fn framing(&self) -> Framing {
        match self {
            Self::Empty => Framing::Length(0),
            Self::Held(held) => Framing::Length(held.length),
            Self::Streamed(streamed) => streamed
                .rest
                .declared()
                .map_or(Framing::Chunked, Framing::Length),
        }
    }

    /// Makes it ready to be sent from its beginning again; `false` if that is gone.
    pub fn rewind(&mut self) -> bool {
        match self {
            Self::Empty => true,
            Self::Held(held) => {
                held.next = 0;
                true
            }
            Self::Streamed(_) => false,
        }
    }
}

impl Outgoing for RequestBody {
    type Error = Error;

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Held(held) => {
                let piece = held.pieces.get(held.next).cloned();
                held.next += 1;
                Poll::Ready(piece.map(Ok))
            }
            Self::Streamed(streamed) => streamed.poll_piece(cx),
        }
    }
}

impl Streamed {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let piece = match self.first.take() {
            Some(first) => first,
            None => match ready!(self.poll_rest(cx)) {
                Some(Ok(piece)) => piece,
                ended => return Poll::Ready(ended),
            },
        };
        let Some(left) = self.left.checked_sub(piece.len() as u64) else {
            return Poll::Ready(Some(Err(Error::BodyTooLarge { limit: self.limit })));
        };
        self.left = left;
        Poll::Ready(Some(Ok(piece)))
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let Poll::Ready(piece) = self.rest.poll_piece(cx) else {
            ready!(self.idle.poll_expired(cx));
            return Poll::Ready(Some(Err(Error::BodyTimeout)));
        };
        self.idle.stop();
        Poll::Ready(piece.map(|piece| piece.map_err(Error::from)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Budget;

    async fn kept(lengths: &[usize]) -> Vec<usize> {
        let mut pieces = Pieces::new(&Blocks::default());
        let mut sent = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            let piece = vec![u8::try_from(number % 251).unwrap(); *length];
            sent.extend_from_slice(&piece);
            pieces.push(piece.into()).unwrap();
        }
        let room = Budget::new(1 << 20).take(1).await.unwrap();
        let RequestBody::Held(held) = pieces.finish(room) else {
            return Vec::new();
        };
        assert_eq!(held.pieces.concat(), sent);
        assert_eq!(held.length, sent.len() as u64);
        held.pieces.iter().map(Bytes::len).collect()
    }

    /// Fills room until so much was filled, at most `step` at once.
    fn fill(pieces: &mut Pieces, bytes: &[u8], step: usize, seen: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = pieces.room().unwrap();
            let count = rest.len().min(step).min(room.len());
            room[..count].copy_from_slice(&rest[..count]);
            pieces.filled(count, &mut |part| seen.extend_from_slice(part));
            rest = &rest[count..];
        }
    }

    #[tokio::test]
    async fn room_is_filled_in_order_with_what_came_before_and_after() {
        for step in [1000, BLOCK, 3 * BLOCK] {
            let bytes: Vec<u8> = (0..2 * BLOCK + 77)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect();
            let mut pieces = Pieces::new(&Blocks::default());
            let mut seen = Vec::new();
            pieces.push(Bytes::from_static(b"before")).unwrap();
            fill(&mut pieces, &bytes, step, &mut seen);
            assert!(seen == bytes);
            pieces.push(Bytes::from_static(b"after")).unwrap();
            fill(&mut pieces, b"end", step, &mut seen);
            let room = Budget::new(1 << 20).take(1).await.unwrap();
            let RequestBody::Held(held) = pieces.finish(room) else {
                panic!("it has a body");
            };
            let sent = [b"before", &bytes[..], b"afterend"].concat();
            assert!(held.pieces.concat() == sent, "by {step}");
            assert_eq!(held.length, sent.len() as u64);
        }
    }

    #[tokio::test]
    async fn long_pieces_are_kept_and_short_ones_copied_together() {
        assert_eq!(kept(&[]).await, [0; 0]);
        assert_eq!(kept(&[10]).await, [10]);
        assert_eq!(kept(&[5000, 6000]).await, [5000, 6000]);
        assert_eq!(kept(&[1, 2, 3, 5000, 4, 5]).await, [1, 5, 5000, 9]);
        assert!(kept(&[1; 40_000]).await.len() < 10);
        assert_eq!(kept(&[BLOCK]).await, [BLOCK]);
        assert_eq!(
            kept(&[10, 5000, 3 * BLOCK, 7]).await,
            [10, 5000, BLOCK, BLOCK, BLOCK, 7]
        );
        assert!(kept(&[1; 2 * BLOCK + 3]).await.len() < 10);
    }
}

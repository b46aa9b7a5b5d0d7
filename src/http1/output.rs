//! Bytes on their way out of a connection.
//!
//! Long pieces stay as they came, so that they are not copied. Short ones are copied together once there
//! are some: each one that is kept costs more to remember than it holds, and keeps the buffer that it was
//! read into.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// How much may be queued before a body waits until it is written, in bytes and in pieces.
const BYTES: usize = 64 * 1024;
const PIECES: usize = 64;

/// A piece below this length is short.
const SHORT: usize = 1024;

/// So many pieces are kept however short they are: head and body of most messages.
const FEW: usize = 4;

/// How much is copied together in one block, in bytes.
const BLOCK: usize = 8 * 1024;

/// Room that is made for it at first, in bytes: a short chunk or event and what comes around it.
const LEAST: usize = 256;

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Output {
    pieces: VecDeque<Bytes>,
    /// Short pieces, copied together; they follow the others.
    copied: BytesMut,
    remaining: usize,
}

impl Output {
    pub(super) fn push(&mut self, piece: Bytes) {
        let is_among_few = self.copied.is_empty() && self.pieces.len() < FEW;
        if piece.len() < SHORT && !is_among_few {
            return self.copy(&piece);
        }
        self.seal();
        self.remaining += piece.len();
        self.pieces.push_back(piece);
    }

    /// Adds short bytes that are not worth being remembered by themselves.
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        if self.copied.len() + bytes.len() > BLOCK {
            self.seal();
        }
        if self.copied.capacity() == 0 {
            self.copied.reserve(LEAST);
        }
        self.remaining += bytes.len();
        self.copied.extend_from_slice(bytes);
    }

    pub(super) fn is_full(&self) -> bool {
        self.remaining >= BYTES || self.pieces.len() >= PIECES
    }

    /// Gives memory back that an ordinary message does not need.
    pub(super) fn rest(&mut self) {
        if self.remaining == 0 {
            self.copied = BytesMut::new();
            if self.pieces.capacity() > 2 * FEW {
                self.pieces = VecDeque::new();
            }
        }
    }

    fn seal(&mut self) {
        if !self.copied.is_empty() {
            let copied = std::mem::take(&mut self.copied);
            self.pieces.push_back(copied.freeze());
        }
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&self.copied, |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.pieces.iter().map(|piece| &piece[..]);
        let all = pieces.chain((!self.copied.is_empty()).then_some(&self.copied[..]));
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(all) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        self.remaining -= count;
        while let Some(first) = self.pieces.front_mut() {
            if count < first.len() {
                return first.advance(count);
            }
            count -= first.len();
            self.pieces.pop_front();
        }
        if self.remaining == 0 {
            // What is cleared can be filled again, what is advanced over cannot.
            self.copied.clear();
        } else {
            self.copied.advance(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written of `output` when so many bytes are taken at once.
    fn written(mut output: Output, step: usize) -> Vec<u8> {
        let mut written = Vec::new();
        while output.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 64];
            let count = output.chunks_vectored(&mut slices);
            let slices = slices[..count].iter().flat_map(|slice| slice.iter());
            let bytes: Vec<u8> = slices.copied().take(step).collect();
            output.advance(bytes.len());
            written.extend(bytes);
        }
        assert!(output.chunk().is_empty());
        written
    }

    #[test]
    fn all_bytes_go_out_in_their_order_however_they_are_taken() {
        for step in [1, 7, 1000, 100_000] {
            let mut output = Output::default();
            let mut expected = Vec::new();
            for number in 0..300_u32 {
                let length = [1, 3, 2000, 0, 40, 1023, 1024][number as usize % 7];
                let piece = vec![number.to_le_bytes()[0]; length];
                expected.extend_from_slice(&piece);
                if number % 5 == 0 && length < SHORT {
                    output.copy(&piece);
                } else {
                    output.push(piece.into());
                }
            }
            assert!(written(output, step) == expected, "by {step}");
        }
    }

    #[test]
    fn few_and_long_pieces_are_kept_and_many_short_ones_copied_together() {
        let kept = |pieces: &[usize]| {
            let mut output = Output::default();
            for length in pieces {
                output.push(vec![0; *length].into());
            }
            output.pieces.len() + usize::from(!output.copied.is_empty())
        };
        assert_eq!(kept(&[100, 20]), 2);
        assert_eq!(kept(&[2000; 30]), 30);
        assert_eq!(kept(&[1; 60_000]), FEW + 8);
        let mut output = Output::default();
        let piece = Bytes::from(vec![0; SHORT]);
        output.push(piece.clone());
        assert_eq!(output.chunk().as_ptr(), piece.as_ptr());
    }

    #[test]
    fn it_is_full_of_bytes_or_of_pieces_and_keeps_no_room_when_it_rests() {
        for length in [1, SHORT, BYTES] {
            let mut output = Output::default();
            let mut count = 0;
            while !output.is_full() {
                output.push(vec![0; length].into());
                count += 1;
            }
            assert!(output.pieces.len() <= PIECES && output.remaining < 2 * BYTES);
            output.advance(output.remaining());
            output.rest();
            let room = output.pieces.capacity() * size_of::<Bytes>() + output.copied.capacity();
            assert!(room <= 2 * FEW * size_of::<Bytes>(), "{count} of {length}");
        }
    }
}

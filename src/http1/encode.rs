//! Writes bodies to a [`Wire`] in their framing, and fields to a head.

use std::io::Write;

use bytes::Bytes;

use super::framing::Framing;
use super::wire::Wire;

/// Frames a body on its way out.
#[derive(Clone, Copy, Debug)]
pub enum Encoder {
    /// As it is: after a length, or until the connection is closed.
    Plain,
    /// In chunks.
    Chunked,
}

impl Encoder {
    /// An encoder for a framing that the head has announced.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Chunked => Self::Chunked,
            Framing::Length(_) | Framing::UntilClose => Self::Plain,
        }
    }

    /// Queues a piece.
    pub fn queue(self, wire: &mut Wire, piece: Bytes) {
        // An empty chunk would be the last one.
        if piece.is_empty() {
            return;
        }
        match self {
            Self::Plain => wire.queue(piece),
            Self::Chunked => {
                wire.queue_copy(ChunkSize::new(piece.len()).line());
                wire.queue(piece);
                wire.queue_copy(b"\r\n");
            }
        }
    }

    /// Queues what ends the body. `trailers` are lines, each with its end; without chunks there is no
    /// place for them.
    pub fn finish(self, wire: &mut Wire, trailers: Option<Vec<u8>>) {
        match (self, trailers) {
            (Self::Plain, _) => {}
            (Self::Chunked, None) => wire.queue_copy(b"0\r\n\r\n"),
            (Self::Chunked, Some(trailers)) => {
                wire.queue_copy(b"0\r\n");
                wire.queue(trailers.into());
                wire.queue_copy(b"\r\n");
            }
        }
    }
}

/// The line that a chunk begins with.
struct ChunkSize {
    text: [u8; Self::LONGEST],
    length: usize,
}

impl ChunkSize {
    /// Sixteen digits and the end of the line.
    const LONGEST: usize = 18;

    fn new(size: usize) -> Self {
        let mut text = [0; Self::LONGEST];
        let mut left = &mut text[..];
        write!(left, "{size:x}\r\n").expect("the digits of any size fit");
        let length = Self::LONGEST - left.len();
        Self { text, length }
    }

    fn line(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// Appends a field to a head.
pub fn push_field(head: &mut Vec<u8>, name: impl AsRef<[u8]>, value: &[u8]) {
    let name = name.as_ref();
    head.reserve(name.len() + value.len() + 4);
    head.extend_from_slice(name);
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

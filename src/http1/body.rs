//! Bodies taken out of a stream of bytes, piece by piece.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use super::chunked::{self, Chunked};
use super::fields::Fields;
use super::framing::Framing;
use super::malformed::Malformed;
use super::wire::Wire;

/// How far a body has been read.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    trailers: Option<Fields>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Done,
}

/// What could be taken out.
#[derive(Debug)]
pub enum Decoded {
    /// Data; never empty.
    Piece(Bytes),
    /// Nothing until more has come.
    NeedsMore,
    /// The end, with the trailers if there are any.
    End(Option<Fields>),
}

/// Why no more of a body can be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not framed as it should be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The peer ended before the body did.
    #[error("the connection was closed before the end of the body")]
    Incomplete,
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl BodyDecoder {
    /// A decoder for a body with this framing.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::Size),
            Framing::UntilClose => State::UntilClose,
        };
        Self {
            state,
            trailers: None,
        }
    }

    /// Whether the body was read to its end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The trailers, once the end was read.
    pub fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    /// Takes the next piece out of `input`, if there is one.
    ///
    /// # Errors
    ///
    /// A [`Malformed`] of chunks or trailers.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Decoded, Malformed> {
        let decoded = match &mut self.state {
            State::Done => Decoded::End(None),
            State::Length(_) | State::UntilClose if input.is_empty() => Decoded::NeedsMore,
            State::Length(left) => {
                let piece = chunked::take(input, left);
                if *left == 0 {
                    self.state = State::Done;
                }
                return Ok(Decoded::Piece(piece));
            }
            State::UntilClose => Decoded::Piece(input.split().freeze()),
            State::Chunked(chunks) => chunks.decode(input)?,
        };
        if matches!(decoded, Decoded::End(_)) {
            self.state = State::Done;
        }
        Ok(decoded)
    }

    /// Whether what comes next is nothing but so many bytes of the body, and none of them has come.
    #[must_use]
    pub fn is_plain(&self, wire: &mut Wire) -> bool {
        matches!(self.state, State::Length(_)) && wire.input().is_empty()
    }

    /// Reads bytes of a body of which [`Self::is_plain`] is true straight to where they stay; resolves to how many.
    ///
    /// # Errors
    ///
    /// A [`ReadError`]. The body cannot be read any further then.
    pub fn poll_into(
        &mut self,
        wire: &mut Wire,
        room: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, ReadError>> {
        let State::Length(left) = &mut self.state else {
            return Poll::Ready(Err(ReadError::Incomplete));
        };
        // What follows the body belongs to the next message.
        let most = usize::try_from(*left).map_or(room.len(), |left| left.min(room.len()));
        let read = ready!(wire.poll_fill_room(cx, &mut room[..most]))?;
        if read == 0 {
            return Poll::Ready(Err(ReadError::Incomplete));
        }
        *left -= read as u64;
        if *left == 0 {
            self.state = State::Done;
        }
        Poll::Ready(Ok(read))
    }

    /// Reads the next piece; `None` at the end.
    ///
    /// # Errors
    ///
    /// A [`ReadError`]. The body cannot be read any further then.
    pub fn poll_piece(
        &mut self,
        wire: &mut Wire,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ReadError>>> {
        loop {
            match self.decode(wire.input()) {
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
                Ok(Decoded::Piece(piece)) => return Poll::Ready(Some(Ok(piece))),
                Ok(Decoded::End(trailers)) => {
                    if trailers.is_some() {
                        self.trailers = trailers;
                    }
                    return Poll::Ready(None);
                }
                Ok(Decoded::NeedsMore) => {}
            }
            let is_ended = match ready!(wire.poll_fill(cx)) {
                Ok(length) => length == 0,
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            };
            if is_ended && matches!(self.state, State::UntilClose) {
                self.state = State::Done;
            } else if is_ended {
                return Poll::Ready(Some(Err(ReadError::Incomplete)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Body and what is left of `text`, when it comes in pieces of `step` bytes.
    fn read(framing: Framing, text: &str, step: usize) -> Result<(String, String), String> {
        let mut decoder = BodyDecoder::new(framing);
        let mut input = BytesMut::new();
        let mut coming = text.as_bytes().chunks(step);
        let mut body = Vec::new();
        loop {
            match decoder.decode(&mut input) {
                Ok(Decoded::Piece(piece)) => body.extend(piece),
                Ok(Decoded::End(_)) => break,
                Ok(Decoded::NeedsMore) => match coming.next() {
                    Some(bytes) => input.extend_from_slice(bytes),
                    None => return Err("incomplete".to_owned()),
                },
                Err(error) => return Err(format!("{error:?}")),
            }
        }
        input.extend(coming.flatten().copied());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((text(&body), text(&input)))
    }

    #[tokio::test]
    async fn a_plain_body_is_read_to_its_end_and_not_further() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut wire = Wire::new(near);
        let mut decoder = BodyDecoder::new(Framing::Length(10));
        far.write_all(b"0123456789GET").await.unwrap();
        let (mut body, mut room) = (Vec::new(), [0; 4]);
        while !decoder.is_done() {
            assert!(decoder.is_plain(&mut wire));
            let read = poll_fn(|cx| decoder.poll_into(&mut wire, &mut room, cx)).await;
            body.extend_from_slice(&room[..read.unwrap()]);
        }
        assert_eq!(body, b"0123456789");
        assert!(!decoder.is_plain(&mut wire));
        poll_fn(|cx| wire.poll_fill(cx)).await.unwrap();
        assert_eq!(&wire.input()[..], b"GET");
        // With something in the buffer, or in chunks, it is not plain.
        assert!(!BodyDecoder::new(Framing::Length(3)).is_plain(&mut wire));
        wire.input().clear();
        assert!(!BodyDecoder::new(Framing::Chunked).is_plain(&mut wire));
        drop(far);
        let mut cut = BodyDecoder::new(Framing::Length(3));
        let read = poll_fn(|cx| cut.poll_into(&mut wire, &mut room, cx)).await;
        assert!(matches!(read, Err(ReadError::Incomplete)));
        assert!(wire.is_ended());
    }

    #[test]
    fn bodies_end_where_their_framing_says_however_the_bytes_come() {
        for step in [1, 2, 3, 7, 1000] {
            for (framing, text, body, rest) in [
                (Framing::Length(0), "GET", "", "GET"),
                (Framing::Length(3), "abcdef", "abc", "def"),
                (Framing::Chunked, "0\r\n\r\nGET", "", "GET"),
                (
                    Framing::Chunked,
                    "3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\nG",
                    "abc0123456789",
                    "G",
                ),
                (
                    Framing::Chunked,
                    "1;a=b;c=\"d e\"\r\nx\r\n0;last\r\nt: 1\r\nu: 2\r\n\r\nG",
                    "x",
                    "G",
                ),
            ] {
                let expected = Ok((body.to_owned(), rest.to_owned()));
                assert_eq!(read(framing, text, step), expected, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn chunks_that_servers_read_differently_are_refused() {
        for (text, error) in [
            ("\r\nabc\r\n0\r\n\r\n", "ChunkSize"),
            (" 3\r\nabc\r\n0\r\n\r\n", "ChunkSize"),
            ("3 \r\nabc\r\n0\r\n\r\n", "ChunkSize"),
            ("+3\r\nabc\r\n0\r\n\r\n", "ChunkSize"),
            ("-3\r\nabc\r\n0\r\n\r\n", "ChunkSize"),
            ("0x3\r\nabc\r\n0\r\n\r\n", "ChunkSize"),
            ("g\nabc", "ChunkSize"),
            ("\nabc", "ChunkSize"),
            ("3g\r\nabc\r\n0\r\n\r\n", "ChunkSize"),
            (";a=b\r\nabc\r\n0\r\n\r\n", "ChunkSize"),
            ("3;a\x01b\r\nabc\r\n0\r\n\r\n", "ChunkSize"),
            ("3;a\rb\r\nabc\r\n0\r\n\r\n", "ChunkSize"),
            ("ffffffffffffffff\r\nabc", "ChunkSize"),
            ("10000000000000003\r\nabc\r\n0\r\n\r\n", "ChunkSize"),
            ("3\nabc\r\n0\r\n\r\n", "LineEnd"),
            ("3\r\nabc\n0\r\n\r\n", "ChunkEnd"),
            ("3\r\nabcd\r\n0\r\n\r\n", "ChunkEnd"),
            ("3\r\nab\r\n0\r\n\r\n", "ChunkEnd"),
            ("3\r\nabc0\r\n\r\n", "ChunkEnd"),
            ("0\r\nt: 1\n\r\n", "LineEnd"),
            ("0\r\nt 1\r\n\r\n", "Trailers"),
            ("0\r\n t: 1\r\n\r\n", "Trailers"),
            ("0\r\nt : 1\r\n\r\n", "Trailers"),
            ("0\r\nGET / HTTP/1.1\r\n\r\n", "Trailers"),
            ("0\r\n", "incomplete"),
            ("3\r\nabc\r\n", "incomplete"),
        ] {
            for step in [1, 1000] {
                let refused = read(Framing::Chunked, text, step).unwrap_err();
                assert_eq!(refused, error, "{text:?} by {step}");
            }
        }
        let long = format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(300));
        assert_eq!(
            read(Framing::Chunked, &long, 1000).unwrap_err(),
            "ChunkSize"
        );
        let all_at_once = format!("0\r\nt: {}\r\n\r\n", "a".repeat(17_000));
        assert_eq!(
            read(Framing::Chunked, &all_at_once, 100_000).unwrap_err(),
            "Trailers"
        );
        let bare = format!("0\r\nt: {}\n\r\n", "a".repeat(17_000));
        for step in [1000, 100_000] {
            assert_eq!(read(Framing::Chunked, &bare, step).unwrap_err(), "Trailers");
        }
        let endless = format!("0\r\n{}", "t: 1\r\n".repeat(5000));
        assert_eq!(
            read(Framing::Chunked, &endless, 1000).unwrap_err(),
            "Trailers"
        );
    }
}

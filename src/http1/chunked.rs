//! Takes chunked bodies apart (RFC 9112 §7.1), more strictly than the specification: no blanks around
//! sizes, no bare line feeds, and extensions only of a bounded length.

use bytes::{Buf, Bytes, BytesMut};

use super::body::Decoded;
use super::fields::Fields;
use super::malformed::Malformed;

/// Longest line with the size of a chunk, with its extensions, in bytes.
const SIZE_LINE: usize = 256;

/// All trailers together, in bytes.
const TRAILERS: usize = 16 * 1024;

/// How far a chunked body has been read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chunked {
    /// Before the size of a chunk.
    Size,
    /// Within a chunk, with so many bytes of it to come.
    Data(u64),
    /// After the data of a chunk.
    DataEnd,
    /// After the last chunk. So many bytes were searched for the end, and the line begins there.
    Trailers { searched: usize, line: usize },
}

impl Chunked {
    /// Takes the next piece out of `input`.
    pub(super) fn decode(&mut self, input: &mut BytesMut) -> Result<Decoded, Malformed> {
        loop {
            match self {
                Self::Size => match size(input)? {
                    None => return Ok(Decoded::NeedsMore),
                    Some(0) => {
                        *self = Self::Trailers {
                            searched: 0,
                            line: 0,
                        };
                    }
                    Some(size) => *self = Self::Data(size),
                },
                Self::Data(left) if input.is_empty() => {
                    debug_assert!(*left > 0, "a chunk without data is the last one");
                    return Ok(Decoded::NeedsMore);
                }
                Self::Data(left) => {
                    let piece = take(input, left);
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(Decoded::Piece(piece));
                }
                Self::DataEnd => match input.get(..2) {
                    Some(b"\r\n") => {
                        let _ = input.split_to(2);
                        *self = Self::Size;
                    }
                    Some(_) => return Err(Malformed::ChunkEnd),
                    None if input.first().is_some_and(|byte| *byte != b'\r') => {
                        return Err(Malformed::ChunkEnd);
                    }
                    None => return Ok(Decoded::NeedsMore),
                },
                Self::Trailers { searched, line } => {
                    return match trailers_end(input, searched, line)? {
                        None => Ok(Decoded::NeedsMore),
                        // Most often there are none, and the empty line is all.
                        Some(2) => {
                            let _ = input.split_to(2);
                            Ok(Decoded::End(None))
                        }
                        Some(end) => {
                            let block = input.split_to(end).freeze();
                            Fields::of_trailers(&block).map(|fields| Decoded::End(Some(fields)))
                        }
                    };
                }
            }
        }
    }
}

/// A piece below this length is copied out of the room it was read into.
const SHORT: usize = 1024;

/// Takes as much of `left` bytes as there is.
pub(super) fn take(input: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(input.len());
    *left -= length as u64;
    if length < SHORT {
        // A part of the room would keep all of it from being used again.
        let piece = Bytes::copy_from_slice(&input[..length]);
        input.advance(length);
        return piece;
    }
    input.split_to(length).freeze()
}

/// Takes the line with the size of a chunk; `None` if it is not complete.
fn size(input: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    let searched = &input[..input.len().min(SIZE_LINE)];
    // What cannot become a size is refused at once, and not only when its line ends.
    if searched
        .first()
        .is_some_and(|byte| !byte.is_ascii_hexdigit())
    {
        return Err(Malformed::ChunkSize);
    }
    let Some(end) = memchr::memchr(b'\n', searched) else {
        let is_possible = searched.len() < SIZE_LINE;
        return is_possible.then_some(None).ok_or(Malformed::ChunkSize);
    };
    let line = input.split_to(end + 1);
    let line = line[..end].strip_suffix(b"\r").ok_or(Malformed::LineEnd)?;
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let extension = &line[digits.len()..];
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if !extension.iter().all(is_text) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Malformed::ChunkSize);
    }
    let digits = str::from_utf8(digits).map_err(|_| Malformed::ChunkSize)?;
    // Sixteen digits and more overflow in some servers.
    if digits.len() > 15 {
        return Err(Malformed::ChunkSize);
    }
    u64::from_str_radix(digits, 16)
        .map(Some)
        .map_err(|_| Malformed::ChunkSize)
}

/// The byte after the empty line that ends trailers; `None` if it has not come.
fn trailers_end(
    input: &[u8],
    searched: &mut usize,
    line: &mut usize,
) -> Result<Option<usize>, Malformed> {
    for at in memchr::memchr_iter(b'\n', &input[*searched..]) {
        let at = *searched + at;
        if at >= TRAILERS {
            return Err(Malformed::Trailers);
        }
        if at == 0 || input[at - 1] != b'\r' {
            return Err(Malformed::LineEnd);
        }
        if at == *line + 1 {
            return Ok(Some(at + 1));
        }
        *line = at + 1;
    }
    *searched = input.len();
    if input.len() > TRAILERS {
        return Err(Malformed::Trailers);
    }
    Ok(None)
}

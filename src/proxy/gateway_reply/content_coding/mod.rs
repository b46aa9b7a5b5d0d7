//! Decodes the `Content-Encoding` of error responses, bounded and without I/O.
//!
//! A body is decoded in one call from the bytes that were read ahead, so nothing is kept between calls.
//! The output of every coding is at most [`LONGEST`] bytes, and at most [`MOST`] codings are applied in a
//! row, which bounds time and memory whatever the gateway sends.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::read::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use std::io::{ErrorKind, Read};

/// The longest decoded body, in bytes.
pub(super) const LONGEST: usize = 64 * 1024;

/// How many codings may follow each other.
const MOST: usize = 4;

/// A content coding (RFC 9110 §8.4.1, RFC 7932).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

/// The codings of a body, in the order in which they were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Codings(Vec<Coding>);

/// A decoded body, or what of it could be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) text: Vec<u8>,
    pub(super) end: End,
}

/// How decoding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At the end of the body.
    Complete,
    /// The body goes on.
    CutOff,
    /// At [`LONGEST`].
    TooLong,
    /// The bytes are not what the header says.
    Broken,
}

impl Codings {
    /// Reads the elements of `Content-Encoding`. `None` if one of them is not known, or if there are too
    /// many.
    pub(super) fn parse<'a>(elements: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut codings = Vec::new();
        for element in elements {
            codings.push(match element.to_ascii_lowercase().as_slice() {
                b"identity" => continue,
                b"gzip" | b"x-gzip" => Coding::Gzip,
                b"deflate" => Coding::Deflate,
                b"br" => Coding::Brotli,
                _ => return None,
            });
        }
        (codings.len() <= MOST).then_some(Self(codings))
    }

    /// Whether the body is not encoded.
    pub(super) fn is_identity(&self) -> bool {
        self.0.is_empty()
    }

    /// Decodes a body, or the beginning of one.
    pub(super) fn decode(&self, body: &[u8]) -> Decoded {
        let mut decoded = Decoded {
            text: body.to_vec(),
            end: End::Complete,
        };
        for coding in self.0.iter().rev() {
            let inner = coding.decode(&decoded.text);
            let end = match (decoded.end, inner.end) {
                (_, End::Broken) => End::Broken,
                // The coding below ended early, so this one has to.
                (End::Complete, end) => end,
                (end, _) => end,
            };
            decoded = Decoded { end, ..inner };
        }
        decoded
    }
}

impl Coding {
    fn decode(self, body: &[u8]) -> Decoded {
        match self {
            Self::Gzip => gunzip(body),
            // The standard says zlib. Some servers leave its header out, and all clients take that.
            Self::Deflate => inflate(body, has_zlib_header(body)),
            Self::Brotli => unbrotli(body),
        }
    }
}

impl Decoded {
    fn new(mut text: Vec<u8>, end: End) -> Self {
        if text.len() <= LONGEST {
            return Self { text, end };
        }
        text.truncate(LONGEST);
        Self {
            text,
            end: End::TooLong,
        }
    }
}

fn gunzip(body: &[u8]) -> Decoded {
    let mut text = Vec::new();
    // One byte more than may come tells a body that is too long.
    let read = MultiGzDecoder::new(body)
        .take(LONGEST as u64 + 1)
        .read_to_end(&mut text);
    let end = match read {
        Ok(_) => End::Complete,
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => End::CutOff,
        Err(_) => End::Broken,
    };
    Decoded::new(text, end)
}

/// Whether a body begins with a header of zlib (RFC 1950 §2.2).
fn has_zlib_header(body: &[u8]) -> bool {
    match body {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => true,
    }
}

fn inflate(body: &[u8], has_header: bool) -> Decoded {
    let mut text = Vec::with_capacity(LONGEST + 1);
    let mut decompress = Decompress::new(has_header);
    let status = decompress.decompress_vec(body, &mut text, FlushDecompress::Finish);
    let end = match status {
        Ok(Status::StreamEnd) => End::Complete,
        Ok(Status::Ok | Status::BufError) => End::CutOff,
        Err(_) => End::Broken,
    };
    Decoded::new(text, end)
}

fn unbrotli(body: &[u8]) -> Decoded {
    let alloc = StandardAlloc::default;
    // Strict: only the windows of RFC 7932, which are at most 16 MiB.
    let mut state = BrotliState::new_strict(alloc(), alloc(), alloc());
    let mut text = vec![0; LONGEST + 1];
    let (mut available_in, mut from) = (body.len(), 0);
    let (mut available_out, mut length, mut total) = (text.len(), 0, 0);
    let result = BrotliDecompressStream(
        &mut available_in,
        &mut from,
        body,
        &mut available_out,
        &mut length,
        &mut text,
        &mut total,
        &mut state,
    );
    text.truncate(length);
    let end = match result {
        BrotliResult::ResultSuccess if available_in == 0 => End::Complete,
        BrotliResult::NeedsMoreInput => End::CutOff,
        BrotliResult::NeedsMoreOutput => End::TooLong,
        BrotliResult::ResultSuccess | BrotliResult::ResultFailure => End::Broken,
    };
    Decoded::new(text, end)
}

#[cfg(test)]
mod tests;

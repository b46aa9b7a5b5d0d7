//! Decodes the `Content-Encoding` of error responses, bounded and without I/O.
//!
//! A body is decoded in one call from the bytes that were read ahead, so nothing is kept between
//! calls. The output of every coding is at most [`MAX_DECODED`] bytes, and at most [`MAX_CODINGS`]
//! codings are applied in a row, which bounds time and memory whatever the gateway sends.

use std::io::Read;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::read::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

/// The longest decoded body, in bytes.
const MAX_DECODED: usize = 64 * 1024;

/// How many codings may follow each other.
const MAX_CODINGS: usize = 4;

/// Decodes one content coding (RFC 9110 §8.4.1, RFC 7932), to at most one byte more than
/// [`MAX_DECODED`], which tells a body that is too long. `false` unless the body is complete.
type Decoder = fn(&[u8]) -> (Vec<u8>, bool);

/// The codings of a body, in the order in which they were applied.
#[derive(Clone, Debug)]
pub(super) struct Codings(Vec<Decoder>);

/// What of a body could be decoded, and whether that is the whole of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) text: Vec<u8>,
    pub(super) is_complete: bool,
}

impl Codings {
    /// Reads the elements of `Content-Encoding`. `None` if one of them is not known, or if there
    /// are too many.
    pub(super) fn parse<'a>(elements: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut codings: Vec<Decoder> = Vec::new();
        for element in elements {
            codings.push(match element.to_ascii_lowercase().as_slice() {
                b"identity" => continue,
                b"gzip" | b"x-gzip" => gunzip,
                b"deflate" => inflate,
                b"br" => unbrotli,
                _ => return None,
            });
        }
        (codings.len() <= MAX_CODINGS).then_some(Self(codings))
    }

    /// Returns `true` if the body is not encoded.
    pub(super) fn is_identity(&self) -> bool {
        self.0.is_empty()
    }

    /// Decodes a body, or the beginning of one.
    pub(super) fn decode(&self, body: &[u8]) -> Decoded {
        let (mut text, mut is_complete) = (body.to_vec(), true);
        for decode in self.0.iter().rev() {
            let (decoded, is_whole) = decode(&text);
            is_complete &= is_whole && decoded.len() <= MAX_DECODED;
            text = decoded;
            text.truncate(MAX_DECODED);
        }
        Decoded { text, is_complete }
    }
}

fn gunzip(body: &[u8]) -> (Vec<u8>, bool) {
    let mut text = Vec::new();
    let decoder = MultiGzDecoder::new(body);
    let read = decoder.take(MAX_DECODED as u64 + 1).read_to_end(&mut text);
    (text, read.is_ok())
}

/// The standard says zlib (RFC 1950 §2.2). Some servers leave its header out, and all clients take
/// that.
fn inflate(body: &[u8]) -> (Vec<u8>, bool) {
    let has_header = match body {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => true,
    };
    let mut text = Vec::with_capacity(MAX_DECODED + 1);
    let mut decompress = Decompress::new(has_header);
    let status = decompress.decompress_vec(body, &mut text, FlushDecompress::Finish);
    (text, matches!(status, Ok(Status::StreamEnd)))
}

fn unbrotli(body: &[u8]) -> (Vec<u8>, bool) {
    let alloc = StandardAlloc::default;
    // Strict: only the windows of RFC 7932, which are at most 16 MiB.
    let mut state = BrotliState::new_strict(alloc(), alloc(), alloc());
    let mut text = vec![0; MAX_DECODED + 1];
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
    let is_end = matches!(result, BrotliResult::ResultSuccess);
    (text, is_end && available_in == 0)
}

#[cfg(test)]
mod tests;

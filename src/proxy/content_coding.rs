//! Decodes the `Content-Encoding` of responses for the proxy and its inspector, bounded, without I/O.
//!
//! A body, or its beginning, is decoded in one call, so nothing is kept between calls. The output is
//! at most [`MAX_DECODED`] bytes and one more, which tells a body that is too long; that bounds time
//! and memory whatever the gateway sends.

use std::io::Read;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::read::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::headers;

/// The longest decoded body, in bytes.
const MAX_DECODED: usize = 64 * 1024;

/// Decodes a body, or the beginning of one (RFC 9110 §8.4.1, RFC 7932). `false` unless that is the
/// whole body.
pub(crate) type Decoder = fn(&[u8]) -> (Vec<u8>, bool);

/// The decoder for the `Content-Encoding` of a head. `None` if the coding is not known, or if there
/// are several.
pub(crate) fn decoder(headers: &HeaderMap) -> Option<Decoder> {
    let elements = headers::elements(headers, &CONTENT_ENCODING);
    let mut codings = elements.filter(|name| !name.eq_ignore_ascii_case(b"identity"));
    let coding = codings.next().unwrap_or_default().to_ascii_lowercase();
    let decoder: Decoder = match coding.as_slice() {
        b"" => |body| (body.to_vec(), true),
        b"gzip" | b"x-gzip" => gunzip,
        b"deflate" => inflate,
        b"br" => unbrotli,
        _ => return None,
    };
    codings.next().is_none().then_some(decoder)
}

fn gunzip(body: &[u8]) -> (Vec<u8>, bool) {
    let mut text = Vec::new();
    let decoder = MultiGzDecoder::new(body);
    let read = decoder.take(MAX_DECODED as u64 + 1).read_to_end(&mut text);
    let is_whole = read.is_ok_and(|length| length <= MAX_DECODED);
    (text, is_whole)
}

fn inflate(body: &[u8]) -> (Vec<u8>, bool) {
    let mut text = Vec::with_capacity(MAX_DECODED + 1);
    let status = Decompress::new(true).decompress_vec(body, &mut text, FlushDecompress::Finish);
    let is_whole = matches!(status, Ok(Status::StreamEnd)) && text.len() <= MAX_DECODED;
    (text, is_whole)
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
    let is_end = matches!(result, BrotliResult::ResultSuccess) && available_in == 0;
    (text, is_end && length <= MAX_DECODED)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    type Encode = fn(&[u8]) -> Vec<u8>;

    /// 1 MiB of spaces in Brotli, as another implementation encodes them.
    const BROTLI_BOMB: &str = "5bffff8f5f02241e0b0472ef1f00";

    pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn decoding_stops_at_the_longest_body_whatever_is_inside() {
        let field = |text: &str| (CONTENT_ENCODING, text.parse().unwrap());
        let of = |text| decoder(&[field(text)].into_iter().collect());
        let (longest, bomb) = (vec![b' '; MAX_DECODED], vec![b' '; 8 << 20]);
        for (name, encode) in [("X-Gzip, identity", gzip as Encode), ("deflate", zlib)] {
            let decode = of(name).unwrap();
            assert_eq!(decode(&encode(&longest)), (longest.clone(), true));
            let (text, is_whole) = decode(&encode(&bomb));
            assert_eq!((text.len(), is_whole), (MAX_DECODED + 1, false));
            let cut = encode(b"a text");
            assert!(!decode(&cut[..cut.len() - 1]).1);
        }
        let (text, is_whole) = unbrotli(&hex::decode(BROTLI_BOMB).unwrap());
        assert_eq!((text.len(), is_whole), (MAX_DECODED + 1, false));
        assert!(of("gzip, gzip").is_none());
    }
}

//! A chunked body is the same however its bytes come, and nothing after its end belongs to it.
//!
//! The input is what follows the head.

use apig_proxy::http1::{BodyDecoder, Decoded, Framing, Malformed};
use bytes::BytesMut;

/// What came of a body.
#[derive(Debug, PartialEq)]
struct Outcome {
    body: Vec<u8>,
    end: End,
}

#[derive(Debug, PartialEq)]
enum End {
    /// The end was read; then come so many bytes that do not belong to the body.
    Complete {
        trailers: Vec<(Vec<u8>, Vec<u8>)>,
        rest: usize,
    },
    /// More would have to come.
    Incomplete,
    Malformed(Malformed),
}

pub(crate) fn target(data: &[u8]) {
    let at_once = read(data, data.len().max(1));
    for step in [1, 2, 7] {
        assert_eq!(at_once, read(data, step), "at once and by {step}");
    }
    assert!(at_once.body.len() <= data.len());
    let End::Complete { trailers, rest } = at_once.end else {
        return;
    };
    let consumed = &data[..data.len() - rest];
    assert!(consumed.ends_with(b"\r\n"));
    assert_eq!(read(consumed, 1).body, at_once.body, "without what follows");
    for (name, value) in trailers {
        assert!(!name.is_empty() && !name.iter().any(|byte| b" \t:".contains(byte)));
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
}

fn read(data: &[u8], step: usize) -> Outcome {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let mut input = BytesMut::new();
    let mut coming = data.chunks(step);
    let mut body = Vec::new();
    let end = loop {
        match decoder.decode(&mut input) {
            Ok(Decoded::Piece(piece)) => {
                assert!(!piece.is_empty());
                body.extend_from_slice(&piece);
            }
            Ok(Decoded::NeedsMore) => match coming.next() {
                Some(bytes) => input.extend_from_slice(bytes),
                None => break End::Incomplete,
            },
            Ok(Decoded::End(trailers)) => {
                assert!(decoder.is_done());
                assert!(matches!(decoder.decode(&mut input), Ok(Decoded::End(None))));
                let trailers = trailers.unwrap_or_default();
                let fields = trailers.iter();
                break End::Complete {
                    trailers: fields
                        .map(|field| (field.name.to_owned(), field.value.to_vec()))
                        .collect(),
                    rest: input.len() + coming.map(<[u8]>::len).sum::<usize>(),
                };
            }
            Err(malformed) => break End::Malformed(malformed),
        }
    };
    Outcome { body, end }
}

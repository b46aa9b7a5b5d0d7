//! What is decoded, and where decoding stops.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::*;

const TEXT: &[u8] = br#"{"error_code":"APIG.0301","error_msg":"Incorrect IAM authentication information: verify aksk signature fail","request_id":"1"}"#;

/// `TEXT`, and 1 MiB of spaces, as another implementation encodes them.
const BROTLI: &str = "1b7d0008c4da66aacf6511c5f6cd241f044313519047b6f25b1ad3c901fbf1bbb5a0b544c2160420b98d1dc715744405dd66d907979d3e60e426c58714229c10976db8dc099d24571aef24f9e8dcee1b28be95d63876c87477c53b55702836bb2e30227e";
const BROTLI_BOMB: &str = "5bffff8f5f02241e0b0472ef1f00";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn codings(list: &str) -> Codings {
    parse(list).unwrap()
}

fn parse(list: &str) -> Option<Codings> {
    Codings::parse(list.split(',').map(|element| element.trim().as_bytes()))
}

#[test]
fn every_coding_is_decoded_alone_and_after_others() {
    let brotli = hex::decode(BROTLI).unwrap();
    for (list, body) in [
        ("identity", TEXT.to_vec()),
        ("gzip", gzip(TEXT)),
        ("X-GZip", gzip(TEXT)),
        ("gzip", [gzip(&TEXT[..10]), gzip(&TEXT[10..])].concat()),
        ("deflate", zlib(TEXT)),
        ("deflate", deflate(TEXT)),
        ("br", brotli.clone()),
        ("br, identity, gzip", gzip(&brotli)),
        (
            "deflate, gzip, gzip, deflate",
            deflate(&gzip(&gzip(&zlib(TEXT)))),
        ),
    ] {
        let decoded = codings(list).decode(&body);
        assert_eq!(
            decoded,
            Decoded {
                text: TEXT.to_vec(),
                end: End::Complete
            },
            "{list}"
        );
    }
}

#[test]
fn unknown_codings_and_too_many_are_not_taken() {
    assert!(codings("identity, identity").is_identity());
    assert!(!codings("gzip").is_identity());
    for list in [
        "zstd",
        "gzip, zstd",
        "aws-chunked",
        "utf-8",
        "gzip, gzip, gzip, gzip, gzip",
    ] {
        assert_eq!(parse(list), None, "{list}");
    }
}

#[test]
fn a_body_that_is_cut_off_or_broken_is_told_from_a_complete_one() {
    let brotli = hex::decode(BROTLI).unwrap();
    for (list, body) in [
        ("gzip", gzip(TEXT)),
        ("deflate", zlib(TEXT)),
        ("deflate", deflate(TEXT)),
        ("br", brotli),
        ("deflate, gzip", gzip(&zlib(TEXT))),
    ] {
        let codings = codings(list);
        for length in 1..body.len() {
            let end = codings.decode(&body[..length]).end;
            assert_eq!(
                end,
                End::CutOff,
                "{length} of {} bytes of {list}",
                body.len()
            );
        }
    }
    for (list, body) in [
        ("gzip", TEXT.to_vec()),
        (
            "gzip",
            [gzip(TEXT), b"more than a header".to_vec()].concat(),
        ),
        ("deflate", b"\x78\x9c\xff\xff\xff\xff".to_vec()),
        ("br", TEXT.to_vec()),
        ("gzip, gzip", gzip(TEXT)),
    ] {
        assert_eq!(codings(list).decode(&body).end, End::Broken, "{list}");
    }
}

#[test]
fn decoding_stops_at_the_longest_body_whatever_is_inside() {
    let longest = vec![b' '; LONGEST];
    let longer = vec![b' '; LONGEST + 1];
    let bomb = vec![b' '; 8 << 20];
    for (list, encode) in [
        ("gzip", gzip as fn(&[u8]) -> Vec<u8>),
        ("deflate", zlib),
        ("deflate", deflate),
        ("gzip, gzip", |text| gzip(&gzip(text))),
    ] {
        let codings = codings(list);
        assert_eq!(
            codings.decode(&encode(&longest)).end,
            End::Complete,
            "{list}"
        );
        for body in [encode(&longer), encode(&bomb)] {
            let decoded = codings.decode(&body);
            assert_eq!(
                (decoded.text.len(), decoded.end),
                (LONGEST, End::TooLong),
                "{list}"
            );
        }
    }
    let decoded = codings("br").decode(&hex::decode(BROTLI_BOMB).unwrap());
    assert_eq!((decoded.text.len(), decoded.end), (LONGEST, End::TooLong));
    // An inner body that is too long ends the outer coding, too.
    let inner = gzip(&deflate(
        &(0..200_000).map(|_| fastrand::u8(..)).collect::<Vec<u8>>(),
    ));
    assert_eq!(codings("deflate, gzip").decode(&inner).end, End::TooLong);
}

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

fn parse(list: &str) -> Option<Codings> {
    Codings::parse(list.split(',').map(|element| element.trim().as_bytes()))
}

fn decode(list: &str, body: &[u8]) -> (Vec<u8>, bool) {
    let decoded = parse(list).unwrap().decode(body);
    (decoded.text, decoded.is_complete)
}

#[test]
fn every_coding_is_decoded_alone_and_after_others_and_a_cut_off_body_is_not_complete() {
    let brotli = hex::decode(BROTLI).unwrap();
    for (list, body) in [
        ("identity", TEXT.to_vec()),
        ("gzip", gzip(TEXT)),
        ("X-GZip", [gzip(&TEXT[..10]), gzip(&TEXT[10..])].concat()),
        ("deflate", zlib(TEXT)),
        ("deflate", deflate(TEXT)),
        ("br", brotli.clone()),
        ("br, identity, gzip", gzip(&brotli)),
        (
            "deflate, gzip, gzip, deflate",
            deflate(&gzip(&gzip(&zlib(TEXT)))),
        ),
    ] {
        assert_eq!(decode(list, &body), (TEXT.to_vec(), true), "{list}");
        if list != "identity" {
            assert!(!decode(list, &body[..body.len() - 1]).1, "{list}");
        }
    }
}

#[test]
fn unknown_codings_and_too_many_are_not_taken_and_broken_bodies_are_not_complete() {
    for list in [
        "zstd",
        "gzip, zstd",
        "aws-chunked",
        "gzip, gzip, gzip, gzip, gzip",
    ] {
        assert!(parse(list).is_none(), "{list}");
    }
    let trailing = [gzip(TEXT), b"more than a header".to_vec()].concat();
    for (list, body) in [
        ("gzip", TEXT),
        ("gzip", &trailing),
        ("deflate", b"\x78\x9c\xff\xff\xff\xff"),
        ("br", TEXT),
        ("gzip, gzip", &gzip(TEXT)),
    ] {
        assert!(!decode(list, body).1, "{list}");
    }
}

#[test]
fn decoding_stops_at_the_longest_body_whatever_is_inside() {
    let longest = vec![b' '; MAX_DECODED];
    let bomb = vec![b' '; 8 << 20];
    for (list, encode) in [
        ("gzip", gzip as fn(&[u8]) -> Vec<u8>),
        ("deflate", zlib),
        ("deflate", deflate),
        ("gzip, gzip", |text| gzip(&gzip(text))),
    ] {
        assert_eq!(decode(list, &encode(&longest)), (longest.clone(), true));
        assert_eq!(decode(list, &encode(&bomb)), (longest.clone(), false));
    }
    let (text, is_complete) = decode("br", &hex::decode(BROTLI_BOMB).unwrap());
    assert_eq!((text.len(), is_complete), (MAX_DECODED, false));
}

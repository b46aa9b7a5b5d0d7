//! What must hold for every request.

use apig_proxy::signature::{
    Algorithm, CanonicalRequest, Payload, PayloadHash, Refusal, SigningDate, Target,
};
use proptest::prelude::*;
use proptest::sample::Index;
use sha2::{Digest, Sha256};

use crate::requests::signable;

/// A byte that means something else in the place of `byte`, and is as plain.
fn another(byte: u8) -> u8 {
    match byte {
        b'a'..=b'y' | b'A'..=b'Y' | b'0'..=b'8' => byte + 1,
        b'z' => b'a',
        b'Z' => b'A',
        b'9' => b'0',
        // Delimiters become a letter, so that nothing is taken apart differently by chance.
        _ => b'q',
    }
}

/// `text` with one letter or digit changed: one that stands for itself, not in an escape, whose digits
/// may change case without a change of meaning. `None` if there is none.
fn changed(text: &str, at: Index) -> Option<String> {
    let bytes = text.as_bytes();
    let in_escape =
        |at: usize| (at >= 1 && bytes[at - 1] == b'%') || (at >= 2 && bytes[at - 2] == b'%');
    let places: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at].is_ascii_alphanumeric() && !in_escape(*at))
        .collect();
    let place = *places.get(at.index(places.len().max(1)))?;
    let mut bytes = bytes.to_vec();
    bytes[place] = another(bytes[place]);
    Some(String::from_utf8(bytes).unwrap())
}

proptest! {
    #[test]
    fn what_is_signed_verifies(request in signable()) {
        let verified = request.signed().unwrap().verified(request.seconds).unwrap();
        prop_assert_eq!(verified.body_signed, !request.unsigned);
        prop_assert_eq!(verified.signed_headers.len(), request.headers.len() + 1 + usize::from(request.unsigned));
    }

    #[test]
    fn a_changed_byte_of_method_path_query_or_header_does_not_verify(request in signable(), at: Index, which in 0..4) {
        let wire = request.signed().unwrap();
        let mut forged = wire.clone();
        match which {
            0 => forged.method = changed(&wire.method, at).unwrap(),
            1 => match changed(&request.path, at) {
                Some(path) => forged.target = wire.target.replacen(&request.path, &path, 1),
                None => return Ok(()),
            },
            2 => match changed(wire.target.split_once('?').map_or("", |target| target.1), at) {
                Some(query) => forged.target = format!("{}?{query}", request.path),
                None => return Ok(()),
            },
            _ => {
                let header = at.index(request.headers.len());
                match changed(&wire.headers[header].1, at) {
                    Some(value) => forged.headers[header].1 = value,
                    None => return Ok(()),
                }
            }
        }
        let refused = matches!(forged.verified(request.seconds), Err(Refusal::Mismatch { .. } | Refusal::NotCanonical(_)));
        // Two changed pairs may be the old ones in another order, which means the same.
        let same = which == 2 && pairs(&forged.target) == pairs(&wire.target);
        prop_assert!(refused || same, "{:?}", forged);
    }

    #[test]
    fn a_changed_byte_of_the_body_does_not_verify_unless_it_is_unsigned(request in signable(), at: Index, mask in 1..=255_u8) {
        prop_assume!(!request.body.is_empty());
        let mut forged = request.signed().unwrap();
        forged.body[at.index(request.body.len())] ^= mask;
        prop_assert_eq!(forged.verified(request.seconds).is_ok(), request.unsigned);
    }

    #[test]
    fn a_changed_byte_of_the_date_or_the_signature_does_not_verify(request in signable(), date in 1..=16_usize, signature in 1..=64_usize) {
        let wire = request.signed().unwrap();
        let changed = |name: &str, from_end: usize| {
            let mut forged = wire.clone();
            let value = &mut forged.headers.iter_mut().find(|header| header.0 == name).unwrap().1;
            let at = value.len() - from_end;
            let other = if &value[at..=at] == "0" { "1" } else { "0" };
            value.replace_range(at..=at, other);
            forged.verified(request.seconds)
        };
        prop_assert!(changed("X-Sdk-Date", date).is_err());
        let refused = changed("Authorization", signature);
        prop_assert!(matches!(refused, Err(Refusal::Mismatch { .. })), "{:?}", refused);
    }

    #[test]
    fn a_request_with_a_repeated_header_does_not_verify(request in signable(), at: Index) {
        let mut forged = request.signed().unwrap();
        let again = at.get(&forged.headers).clone();
        forged.headers.push(again);
        prop_assert!(forged.verified(request.seconds).is_err());
    }

    #[test]
    fn a_signature_is_good_for_fifteen_minutes(request in signable(), off in 0..2000_i64) {
        prop_assume!((2000..253_402_298_000).contains(&request.seconds));
        let wire = request.signed().unwrap();
        for now in [request.seconds - off, request.seconds + off] {
            prop_assert_eq!(wire.verified(now).is_ok(), off <= 900);
        }
    }

    #[test]
    fn the_text_is_what_is_hashed_and_the_redacted_view_hides_values(request in signable()) {
        let marker = [("x-marker", "MARKERVALUE"), ("cookie", "MARKERVALUE")];
        let date = SigningDate::from_unix_seconds(request.seconds).unwrap();
        let target = format!("{}?key=MARKERVALUE", request.path);
        let hash = PayloadHash::new(&request.body);
        let algorithm = Algorithm::HmacSha256;
        let canonical =
            CanonicalRequest::new(algorithm, "GET", Target::parse(&target).unwrap(), &marker, &date, Payload::Hash(&hash)).unwrap();
        prop_assert_eq!(canonical.hash(), hex::encode(Sha256::digest(canonical.to_string())));
        prop_assert!(!canonical.redacted().to_string().contains("MARKERVALUE"));
    }

    #[test]
    fn a_date_is_the_same_second_in_both_forms(seconds in 0..253_402_300_799_i64) {
        let date = SigningDate::from_unix_seconds(seconds).unwrap();
        prop_assert_eq!(SigningDate::parse(date.as_str()).unwrap().unix_seconds(), seconds);
    }
}

/// The pairs of a target's query, decoded, in one order.
fn pairs(target: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let query = target.split_once('?').map_or("", |target| target.1);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<_> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    pairs.sort();
    pairs
}

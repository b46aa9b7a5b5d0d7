//! Mistakes with what stands for the body.

use memchr::memmem;

use super::Mistake;
use crate::signature::{PayloadHash, UNSIGNED_PAYLOAD};

pub(super) fn mistakes(body: &[u8]) -> Vec<Mistake> {
    let hash = PayloadHash::of(body);
    let as_it_is = [
        (
            "the body was signed as UNSIGNED-PAYLOAD; send X-Sdk-Content-Sha256: UNSIGNED-PAYLOAD as well, or sign the hash of the body",
            UNSIGNED_PAYLOAD.to_owned(),
        ),
        (
            "the hash of the body was signed; sign the value of X-Sdk-Content-Sha256, or leave that header out",
            hash.as_str().to_owned(),
        ),
        (
            "the body was signed as empty; sign the hash of the body that is sent",
            PayloadHash::EMPTY.as_str().to_owned(),
        ),
        (
            "the hash of the body was signed in capital letters; write it in small ones",
            hash.as_str().to_ascii_uppercase(),
        ),
        (
            "nothing was signed in the place of the body; sign its hash, also if it is empty",
            String::new(),
        ),
    ];
    as_it_is
        .into_iter()
        .chain(of_other_bodies(body))
        .map(|(says, payload)| Mistake::new(says, move |lines| lines.payload.clone_from(&payload)))
        .collect()
}

/// Hashes of what an editor, a shell or a text mode may have made of the body.
fn of_other_bodies(body: &[u8]) -> impl Iterator<Item = (&'static str, String)> {
    let line_feed = || body.strip_suffix(b"\n").map(<[u8]>::to_vec);
    let line_end = || body.strip_suffix(b"\r\n").map(<[u8]>::to_vec);
    let bodies = [
        (
            "the body was signed without the line end that it is sent with; sign and send the same bytes",
            line_end(),
        ),
        (
            "the body was signed without the line feed that it is sent with; sign and send the same bytes",
            line_feed(),
        ),
        (
            "the body was signed with a line feed at its end; sign and send the same bytes",
            Some([body, b"\n"].concat()),
        ),
        (
            "the body was signed with CR LF at its end; sign and send the same bytes",
            Some([body, b"\r\n"].concat()),
        ),
        (
            "the body was signed with lines that end with LF, and is sent with CR LF; open its file in binary mode",
            Some(replaced(body, b"\r\n", b"\n")),
        ),
        (
            "the body was signed with lines that end with CR LF, and is sent with LF; open its file in binary mode",
            Some(replaced(&replaced(body, b"\r\n", b"\n"), b"\n", b"\r\n")),
        ),
    ];
    bodies
        .into_iter()
        .filter_map(|(says, body)| Some((says, PayloadHash::of(&body?).as_str().to_owned())))
}

fn replaced(body: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(body.len());
    let mut copied = 0;
    for at in memmem::find_iter(body, from) {
        replaced.extend_from_slice(&body[copied..at]);
        replaced.extend_from_slice(to);
        copied = at + from.len();
    }
    replaced.extend_from_slice(&body[copied..]);
    replaced
}

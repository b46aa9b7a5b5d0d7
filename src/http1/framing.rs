//! How long a body is (RFC 9112 §6), where nothing may be read in two ways.

use super::fields::Fields;
use super::head::Version;
use super::malformed::Malformed;

const CONTENT_LENGTH: &str = "content-length";
const TRANSFER_ENCODING: &str = "transfer-encoding";

/// How the length of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; zero if there is no body.
    Length(u64),
    /// In chunks, until the last one.
    Chunked,
    /// Until the connection is closed. Only answers can have that.
    UntilClose,
}

impl Framing {
    /// Whether there is no body.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::Length(0)
    }
}

pub(super) fn of_request(version: Version, fields: &Fields) -> Result<Framing, Malformed> {
    if fields.first(TRANSFER_ENCODING).is_some() {
        return chunked(version, fields);
    }
    match fields.first(CONTENT_LENGTH) {
        None => Ok(Framing::Length(0)),
        Some(_) => fields
            .only(CONTENT_LENGTH)
            .and_then(digits)
            .map(Framing::Length)
            .ok_or(Malformed::ContentLength),
    }
}

pub(super) fn of_response(
    version: Version,
    status: u16,
    to_head: bool,
    fields: &Fields,
) -> Result<Framing, Malformed> {
    let framing = if fields.first(TRANSFER_ENCODING).is_some() {
        chunked(version, fields)?
    } else {
        match fields.first(CONTENT_LENGTH) {
            None => Framing::UntilClose,
            // The same length twice is one length, and is passed on once.
            Some(first) if fields.all(CONTENT_LENGTH).all(|length| length == first) => {
                Framing::Length(digits(first).ok_or(Malformed::ContentLength)?)
            }
            Some(_) => return Err(Malformed::ContentLength),
        }
    };
    let is_bodiless = to_head || status < 200 || [204, 304].contains(&status);
    Ok(if is_bodiless {
        Framing::Length(0)
    } else {
        framing
    })
}

fn chunked(version: Version, fields: &Fields) -> Result<Framing, Malformed> {
    if fields.first(CONTENT_LENGTH).is_some() {
        return Err(Malformed::TwoLengths);
    }
    // An HTTP/1.0 peer does not know chunks, so one that uses them has a confused proxy in between.
    let is_chunked = version == Version::Http11
        && fields
            .only(TRANSFER_ENCODING)
            .is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    is_chunked
        .then_some(Framing::Chunked)
        .ok_or(Malformed::TransferEncoding)
}

/// A number of nothing but digits.
fn digits(text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text).ok()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A length that needs a sign bit elsewhere is read as a negative one there.
    text.parse().ok().filter(|length| *length < 1 << 62)
}

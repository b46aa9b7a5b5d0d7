//! Heads of requests and of answers.

use std::mem::MaybeUninit;

use bytes::Bytes;

use super::fields::Fields;
use super::malformed::Malformed;
use super::{FIELDS, framing, framing::Framing};

/// What a caller with HTTP/2 begins with, up to its first empty line (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// The version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct RequestHead {
    method: Bytes,
    target: Bytes,
    /// The version that the caller speaks.
    pub version: Version,
    /// The header fields.
    pub fields: Fields,
    /// How long the body is.
    pub framing: Framing,
}

impl RequestHead {
    /// Reads a head that a [`super::Scanner`] found the end of.
    ///
    /// # Errors
    ///
    /// A [`Malformed`]: for its lines, its fields, or a framing that can be read in two ways.
    pub fn parse(head: &Bytes) -> Result<Self, Malformed> {
        if head == HTTP2_PREFACE {
            return Err(Malformed::Http2);
        }
        let mut found = [const { MaybeUninit::uninit() }; FIELDS];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(head, &mut found)? {
            httparse::Status::Complete(length) if length == head.len() => {}
            _ => return Err(Malformed::RequestLine),
        }
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(Malformed::RequestLine);
        };
        let version = version(request.version);
        let fields = Fields::new(head.clone(), request.headers);
        Ok(Self {
            method: head.slice_ref(method.as_bytes()),
            target: head.slice_ref(target.as_bytes()),
            version,
            framing: framing::of_request(version, &fields)?,
            fields,
        })
    }

    /// The method, a token.
    #[must_use]
    pub fn method(&self) -> &str {
        str::from_utf8(&self.method).unwrap_or_default()
    }

    /// The method for somebody who outlives the head.
    #[must_use]
    pub fn shared_method(&self) -> Bytes {
        self.method.clone()
    }

    /// The target, as it came.
    #[must_use]
    pub fn target(&self) -> &str {
        str::from_utf8(&self.target).unwrap_or_default()
    }

    /// Whether the caller wants its connection kept for further requests.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        match self.version {
            Version::Http11 => !self.fields.lists("connection", "close"),
            Version::Http10 => {
                self.fields.lists("connection", "keep-alive")
                    && !self.fields.lists("connection", "close")
            }
        }
    }
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status: three digits.
    pub status: u16,
    reason: Bytes,
    version: Version,
    /// The header fields.
    pub fields: Fields,
}

impl ResponseHead {
    /// Reads a head that a [`super::Scanner`] found the end of.
    ///
    /// # Errors
    ///
    /// A [`Malformed`] for its lines or its fields.
    pub fn parse(head: &Bytes) -> Result<Self, Malformed> {
        let mut found = [const { MaybeUninit::uninit() }; FIELDS];
        let mut response = httparse::Response::new(&mut []);
        match httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            head,
            &mut found,
        )? {
            httparse::Status::Complete(length) if length == head.len() => {}
            _ => return Err(Malformed::StatusLine),
        }
        let status = response.code.filter(|status| (100..600).contains(status));
        Ok(Self {
            status: status.ok_or(Malformed::StatusLine)?,
            reason: Bytes::copy_from_slice(response.reason.unwrap_or_default().as_bytes()),
            version: version(response.version),
            fields: Fields::new(head.clone(), response.headers),
        })
    }

    /// The words after the status; they may be empty.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        &self.reason
    }

    /// Whether it comes before the answer proper.
    #[must_use]
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }

    /// How long the body is, in answer to a request with this method.
    ///
    /// # Errors
    ///
    /// A [`Malformed`] if that can be read in two ways.
    pub fn framing(&self, to_head: bool) -> Result<Framing, Malformed> {
        framing::of_response(self.version, self.status, to_head, &self.fields)
    }

    /// Whether the connection can carry another request after this answer. After an answer that has
    /// no body but says that it had one, what comes next cannot be told.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        let contradicts = self.status == 204
            && (self.fields.first("transfer-encoding").is_some()
                || self
                    .fields
                    .first("content-length")
                    .is_some_and(|length| length != b"0"));
        self.version == Version::Http11 && !self.fields.lists("connection", "close") && !contradicts
    }
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) {
        Version::Http10
    } else {
        Version::Http11
    }
}

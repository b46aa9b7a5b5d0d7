//! A request as received by an upstream, and the check of its signature.

use std::io;

use apig_proxy::signature::{PayloadHash, ReceivedRequest, Signer, SigningDate, Verified, verify};

use super::wire::{Field, parse_head};
use super::{SOCKET_TIMEOUT, key};

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    #[default]
    Http1,
    Http2,
}

/// A request as received. Over HTTP/2, `:authority` is its first header, named `host`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) protocol: Protocol,
    /// The number of the connection to an HTTP/2 gateway, from 0.
    pub(crate) connection: usize,
    /// The request line.
    pub(crate) line: String,
    /// Also the trailers, whose names begin with `trailer `.
    pub(crate) headers: Vec<Field>,
    /// True if its connection resumed a TLS session.
    pub(crate) resumed: bool,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// Parses a head, up to and including its empty line.
    pub(super) fn parse(head: &[u8]) -> io::Result<Self> {
        let (line, headers) = parse_head(head)?;
        Ok(Self {
            line,
            headers,
            ..Self::default()
        })
    }

    pub(crate) fn method(&self) -> &str {
        self.line.split(' ').next().unwrap()
    }

    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }

    /// The names of all headers, in their order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.headers.iter().map(|header| &*header.0).collect()
    }

    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&[u8]> {
        let headers = self.headers.iter();
        let values = headers.filter(|header| header.0.eq_ignore_ascii_case(name));
        values.map(|header| header.1.as_slice()).collect()
    }

    /// Checks that none of these headers is there.
    pub(crate) fn assert_without(&self, names: &[&str]) {
        for name in names {
            assert!(self.all(name).is_empty(), "{name} in {:?}", self.headers);
        }
    }

    /// The value of a header that must be there once.
    pub(crate) fn header(&self, name: &str) -> &str {
        let values = self.all(name);
        assert_eq!(values.len(), 1, "{name} in {:?}", self.headers);
        std::str::from_utf8(values[0]).unwrap()
    }

    /// Checks the signature.
    pub(crate) fn verified(&self) -> Verified {
        let headers = self.headers.iter();
        let headers: Vec<_> = headers.map(|(name, value)| (&**name, &**value)).collect();
        let request = ReceivedRequest {
            method: self.method(),
            target: self.target(),
            headers: &headers,
            body: &PayloadHash::new(&self.body),
        };
        let now = SigningDate::parse(self.header("x-sdk-date")).unwrap();
        let key = key();
        let signer = |id: &str| (id == key.access_key).then(|| Signer::new(id, &key.secret_key));
        verify(&request, signer, &now, SOCKET_TIMEOUT)
            .unwrap_or_else(|refusal| panic!("{refusal}: {self:?}"))
    }
}

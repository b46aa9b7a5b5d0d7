//! A request as an upstream has it, and whether its signature is right.

use apig_proxy::signature::{PayloadHash, ReceivedRequest, Signer, SigningDate, Verified, verify};

use super::{PATIENCE, key};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The request line.
    pub(crate) line: String,
    /// Names as they came, and values without the blanks around them.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// True if its connection resumed a TLS session.
    pub(crate) resumed: bool,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// Reads a head, up to and including its empty line.
    pub(super) fn parse(head: &[u8]) -> Self {
        let mut lines = head
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii_end);
        let line = String::from_utf8(lines.next().unwrap().to_vec()).unwrap();
        let headers = lines.filter(|line| !line.is_empty()).map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap();
            let name = String::from_utf8(line[..colon].to_vec()).unwrap();
            (name, line[colon + 1..].trim_ascii().to_vec())
        });
        Self {
            line,
            headers: headers.collect(),
            body: Vec::new(),
            resumed: false,
        }
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
        let values = self
            .headers
            .iter()
            .filter(|header| header.0.eq_ignore_ascii_case(name));
        values.map(|header| header.1.as_slice()).collect()
    }

    /// The value of a header that must be there once.
    pub(crate) fn header(&self, name: &str) -> &str {
        let values = self.all(name);
        assert_eq!(values.len(), 1, "{name} in {:?}", self.headers);
        std::str::from_utf8(values[0]).unwrap()
    }

    /// Checks the signature from what came.
    pub(crate) fn verified(&self) -> Verified {
        let headers: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_slice()))
            .collect();
        let body = PayloadHash::new(&self.body);
        let request = ReceivedRequest {
            method: self.method(),
            target: self.target(),
            headers: &headers,
            body: &body,
        };
        let now = SigningDate::parse(self.header("x-sdk-date")).unwrap();
        let credentials = key();
        let signer = |id: &str| {
            (id == credentials.access_key).then(|| Signer::new(id, &credentials.secret_key))
        };
        verify(&request, signer, &now, PATIENCE)
            .unwrap_or_else(|refusal| panic!("{refusal}: {self:?}"))
    }
}

//! What stands for the body in a canonical request.

use std::fmt;

use sha2::{Digest, Sha256};

/// The value of `X-Sdk-Content-Sha256` for a body that is not signed.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// What stands for the body in a canonical request.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// The hash of the body; the request carries no `X-Sdk-Content-Sha256`.
    Hash(&'a PayloadHash),
    /// The value of the request's `X-Sdk-Content-Sha256`, which is then signed as a header too:
    /// [`UNSIGNED_PAYLOAD`], or whatever else a signer put there.
    ///
    /// Never with an empty body: some SDKs take the hash of nothing then, others this value.
    Declared(&'a str),
}

/// The SHA-256 of a body as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PayloadHash([u8; 64]);

impl PayloadHash {
    /// The hash of an empty body.
    pub const EMPTY: Self =
        Self(*b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

    /// Hashes a complete body.
    #[must_use]
    pub fn new(body: &[u8]) -> Self {
        Self::from_digest(Sha256::digest(body).into())
    }

    pub(super) fn from_digest(digest: [u8; 32]) -> Self {
        let mut text = [0; 64];
        hex::encode_to_slice(digest, &mut text).expect("32 bytes make 64 digits");
        Self(text)
    }

    /// The hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ascii")
    }
}

impl fmt::Debug for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PayloadHash({})", self.as_str())
    }
}

/// Hashes a body while it arrives.
#[derive(Clone, Debug, Default)]
pub struct PayloadHasher(Sha256);

impl PayloadHasher {
    /// Takes in the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The hash of all pieces.
    #[must_use]
    pub fn finish(self) -> PayloadHash {
        PayloadHash::from_digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hash_like_the_whole_and_nothing_like_the_constant() {
        let mut hasher = PayloadHasher::default();
        for piece in [&b"{\"a\""[..], b"", b":1}"] {
            hasher.update(piece);
        }
        assert_eq!(hasher.finish(), PayloadHash::new(b"{\"a\":1}"));
        assert_eq!(PayloadHasher::default().finish(), PayloadHash::EMPTY);
    }
}

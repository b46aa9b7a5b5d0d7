//! The last line of a canonical request, which stands for the body.

use std::fmt;

use sha2::{Digest, Sha256};
use sm3::Sm3;

use super::Algorithm;

/// The value of `X-Sdk-Content-Sha256` for a body that is not signed.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The last line of a canonical request, which stands for the body.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// The hash of the body; the request carries no `X-Sdk-Content-Sha256`.
    Hash(&'a PayloadHash),
    /// The value of the request's `X-Sdk-Content-Sha256`, which is then signed as a header too:
    /// [`UNSIGNED_PAYLOAD`], or any other value that a signer has chosen.
    ///
    /// Not for an empty body: for one, some SDKs sign the hash of nothing, and others this value.
    Declared(&'a str),
}

/// The hash of a body as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PayloadHash([u8; 64]);

impl PayloadHash {
    /// The SHA-256 of an empty body.
    pub const EMPTY: Self =
        Self(*b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

    const EMPTY_SM3: Self =
        Self(*b"1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b");

    /// The SHA-256 of a complete body.
    #[must_use]
    pub fn new(body: &[u8]) -> Self {
        Self::from_digest(Sha256::digest(body).into())
    }

    /// The hash of a complete body by an algorithm.
    #[must_use]
    pub fn with_algorithm(algorithm: Algorithm<'_>, body: &[u8]) -> Self {
        let mut hasher = PayloadHasher::new(algorithm);
        hasher.update(body);
        hasher.finish()
    }

    /// The hash of an empty body.
    #[must_use]
    pub fn empty(algorithm: Algorithm<'_>) -> Self {
        match algorithm {
            Algorithm::HmacSm3 => Self::EMPTY_SM3,
            Algorithm::HmacSha256 | Algorithm::V11HmacSha256 { .. } => Self::EMPTY,
        }
    }

    fn from_digest(digest: [u8; 32]) -> Self {
        let mut text = [0; 64];
        hex::encode_to_slice(digest, &mut text).expect("32 bytes make 64 digits");
        Self(text)
    }

    /// The hash of these 64 lower-case hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits: [u8; 64] = text.as_bytes().try_into().ok()?;
        digits.iter().all(is_digit).then_some(Self(digits))
    }

    /// The hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

impl fmt::Debug for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PayloadHash({})", self.as_str())
    }
}

/// Hashes a body while it arrives.
#[derive(Clone, Debug)]
pub enum PayloadHasher {
    /// By SHA-256.
    Sha256(Sha256),
    /// By SM3.
    Sm3(Sm3),
}

impl PayloadHasher {
    /// The hasher of an algorithm.
    #[must_use]
    pub fn new(algorithm: Algorithm<'_>) -> Self {
        match algorithm {
            Algorithm::HmacSm3 => Self::Sm3(Sm3::new()),
            Algorithm::HmacSha256 | Algorithm::V11HmacSha256 { .. } => Self::Sha256(Sha256::new()),
        }
    }

    /// Hashes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(piece),
            Self::Sm3(hasher) => hasher.update(piece),
        }
    }

    /// The hash of all pieces.
    #[must_use]
    pub fn finish(self) -> PayloadHash {
        PayloadHash::from_digest(match self {
            Self::Sha256(hasher) => hasher.finalize().into(),
            Self::Sm3(hasher) => hasher.finalize().into(),
        })
    }
}

impl Default for PayloadHasher {
    fn default() -> Self {
        Self::new(Algorithm::default())
    }
}

impl fmt::Write for PayloadHasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.update(text.as_bytes());
        Ok(())
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
        for algorithm in [Algorithm::HmacSha256, Algorithm::HmacSm3] {
            let nothing = PayloadHasher::new(algorithm).finish();
            assert_eq!(nothing, PayloadHash::empty(algorithm));
        }
    }
}

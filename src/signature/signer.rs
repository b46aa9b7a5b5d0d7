//! Makes signatures. The secret is turned into a keyed HMAC state once; each signature clones it.

use std::fmt::{self, Write};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::{ALGORITHM, CanonicalRequest};

/// Signs requests with one key pair.
#[derive(Clone)]
pub struct Signer {
    access_key: String,
    keyed: Hmac<Sha256>,
}

impl Signer {
    /// Prepares the key. The secret is used as it is: no derivation by date or region.
    #[must_use]
    pub fn new(access_key: &str, secret_key: &SecretString) -> Self {
        let keyed = Hmac::new_from_slice(secret_key.expose_secret().as_bytes())
            .expect("HMAC takes a key of any length");
        Self {
            access_key: access_key.to_owned(),
            keyed,
        }
    }

    /// The access key id that signatures name.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// Signs a request. Nothing is changed: the caller adds what [`Signature`] holds.
    #[must_use]
    pub fn sign(&self, request: &CanonicalRequest<'_>) -> Signature {
        let digits = hex::encode(self.mac(request).finalize().into_bytes());
        let mut text = String::with_capacity(224);
        let put = |text: &mut String, piece: &str| text.push_str(piece);
        put(&mut text, ALGORITHM);
        put(&mut text, " Access=");
        put(&mut text, &self.access_key);
        put(&mut text, ", SignedHeaders=");
        request
            .write_signed_headers(&mut text)
            .expect("writing to a string cannot fail");
        put(&mut text, ", Signature=");
        put(&mut text, &digits);
        Signature {
            authorization: text,
        }
    }

    /// Whether `signature`, in hexadecimal, is the one of this request. Takes the same time for every
    /// wrong signature.
    #[must_use]
    pub fn matches(&self, request: &CanonicalRequest<'_>, signature: &str) -> bool {
        let mut bytes = [0; 32];
        // Upper-case digits would be another text than the one that signers send.
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        signature.bytes().all(is_digit)
            && hex::decode_to_slice(signature, &mut bytes).is_ok()
            && self.mac(request).verify_slice(&bytes).is_ok()
    }

    fn mac(&self, request: &CanonicalRequest<'_>) -> Hmac<Sha256> {
        let mut mac = Keyed(self.keyed.clone());
        request
            .write_string_to_sign(&mut mac)
            .expect("a keyed hash takes any text");
        mac.0
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

/// What signing adds to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    authorization: String,
}

impl Signature {
    /// The value of `Authorization`.
    #[must_use]
    pub fn authorization(&self) -> &str {
        &self.authorization
    }

    /// The value of `Authorization`, without a copy.
    #[must_use]
    pub fn into_authorization(self) -> String {
        self.authorization
    }
}

/// A keyed hash as something that text is written to.
struct Keyed(Hmac<Sha256>);

impl Write for Keyed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_secret() {
        let signer = Signer::new("AK", &"MARKER".into());
        assert!(!format!("{signer:?}").contains("MARKER"));
    }
}

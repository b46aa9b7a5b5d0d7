//! Makes signatures. The secret is turned into a keyed HMAC state once; each signature clones it.

use std::fmt::{self, Write};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::{ALGORITHM, CanonicalRequest, SigningDate, string_to_sign};

/// Signs requests with one key pair. The state that holds the secret is wiped when it is dropped, and so
/// is each clone.
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
        let mut digits = [0; 64];
        let mac = self.mac(request).finalize().into_bytes();
        // Not into a string of its own, which is made a character at a time.
        hex::encode_to_slice(mac, &mut digits).expect("32 bytes make 64 digits");
        let digits = str::from_utf8(&digits).expect("hexadecimal digits are ascii");
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
        put(&mut text, digits);
        Signature {
            authorization: text,
        }
    }

    /// Whether `signature`, in hexadecimal, is the one of this request. Takes the same time for every
    /// wrong signature.
    #[must_use]
    pub fn matches(&self, request: &CanonicalRequest<'_>, signature: &str) -> bool {
        is_signature(self.mac(request), signature)
    }

    /// Whether `signature`, in hexadecimal, is the one of a canonical request that is given as text.
    /// Takes the same time for every wrong signature.
    ///
    /// To find out what another signer has signed. Whether a request verifies is for
    /// [`super::verify()`] to say, which makes the text from the request itself.
    #[must_use]
    pub fn matches_text(&self, canonical: &str, date: &SigningDate, signature: &str) -> bool {
        let mut mac = self.keyed.clone();
        mac.update(string_to_sign(canonical, date).as_bytes());
        is_signature(mac, signature)
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

fn is_signature(mac: Hmac<Sha256>, signature: &str) -> bool {
    let mut bytes = [0; 32];
    // Upper-case digits would be another text than the one that signers send.
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    signature.bytes().all(is_digit)
        && hex::decode_to_slice(signature, &mut bytes).is_ok()
        && mac.verify_slice(&bytes).is_ok()
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
    use crate::signature::{Payload, PayloadHash, Presented, Target};

    #[test]
    fn debug_does_not_show_the_secret() {
        let signer = Signer::new("AK", &"MARKER".into());
        assert!(!format!("{signer:?}").contains("MARKER"));
    }

    #[test]
    fn what_is_made_of_the_secret_is_wiped_when_it_is_dropped() {
        fn wiped<T: secrecy::zeroize::ZeroizeOnDrop>() {}
        // Of which the HMAC has two, and nothing else.
        wiped::<Sha256>();
        wiped::<SecretString>();
    }

    #[test]
    fn a_text_matches_the_signature_of_the_request_that_it_is_of() {
        let signer = Signer::new("AK", &"SK".into());
        let date = SigningDate::parse("20261123T080000Z").unwrap();
        let target = Target::parse("/v1?a=b").unwrap();
        let payload = Payload::Hash(&PayloadHash::EMPTY);
        let request = CanonicalRequest::new("GET", target, &[], &date, payload).unwrap();
        let authorization = signer.sign(&request).into_authorization();
        let signature = Presented::parse(&authorization).unwrap().signature;
        let text = request.to_string();
        assert_eq!(string_to_sign(&text, &date), request.string_to_sign());
        assert!(signer.matches_text(&text, &date, signature));
        assert!(!signer.matches_text(&format!("{text}\n"), &date, signature));
        assert!(!signer.matches_text(&text, &date, &signature.to_uppercase()));
    }
}

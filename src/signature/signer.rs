//! The signer. It turns the secret into a keyed HMAC state once; each signature clones that.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::canonical::Hashed;
use super::{ALGORITHM, CanonicalRequest, SigningDate, string_to_sign};

/// Signs requests with one key pair. The state that holds the secret is wiped when it is dropped,
/// and so is each clone.
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

    /// Signs a request and returns the value of `Authorization`. The request is left to the caller.
    #[must_use]
    pub fn sign(&self, request: &CanonicalRequest<'_>) -> String {
        let mut digits = [0; 64];
        let mac = self.mac(request).finalize().into_bytes();
        // Not into a string of its own, which is made a character at a time.
        hex::encode_to_slice(mac, &mut digits).expect("32 bytes make 64 digits");
        let mut text = String::with_capacity(224);
        for piece in [ALGORITHM, " Access=", &self.access_key, ", SignedHeaders="] {
            text.push_str(piece);
        }
        request
            .write_signed_headers(&mut text)
            .expect("writing to a string cannot fail");
        text.push_str(", Signature=");
        text.push_str(str::from_utf8(&digits).expect("hexadecimal digits are ASCII"));
        text
    }

    /// Compares a hexadecimal signature with that of a request, in constant time.
    #[must_use]
    pub fn matches(&self, request: &CanonicalRequest<'_>, signature: &str) -> bool {
        is_signature(self.mac(request), signature)
    }

    /// Compares a hexadecimal signature with that of a canonical request in text form, in constant
    /// time.
    ///
    /// Used to find out what another signer has signed. To verify a request, use
    /// [`super::verify()`], which makes the text from the request itself.
    #[must_use]
    pub fn matches_text(&self, canonical: &str, date: &SigningDate, signature: &str) -> bool {
        let mut mac = self.keyed.clone();
        mac.update(string_to_sign(canonical, date).as_bytes());
        is_signature(mac, signature)
    }

    fn mac(&self, request: &CanonicalRequest<'_>) -> Hmac<Sha256> {
        let mut mac = Hashed(self.keyed.clone());
        request
            .write_string_to_sign(&mut mac)
            .expect("hashing cannot fail");
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

fn is_signature(mac: Hmac<Sha256>, signature: &str) -> bool {
    let mut bytes = [0; 32];
    // Upper-case digits would be another text than the one that signers send.
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    signature.bytes().all(is_digit)
        && hex::decode_to_slice(signature, &mut bytes).is_ok()
        && mac.verify_slice(&bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{Payload, PayloadHash, Presented, Target};

    #[test]
    fn the_secret_is_not_in_debug_output_and_wiped_on_drop() {
        let signer = Signer::new("AK", &"MARKER".into());
        assert!(!format!("{signer:?}").contains("MARKER"));
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
        let authorization = signer.sign(&request);
        let signature = Presented::parse(&authorization).unwrap().signature;
        let text = request.to_string();
        assert_eq!(string_to_sign(&text, &date), request.string_to_sign());
        assert!(signer.matches_text(&text, &date, signature));
        assert!(!signer.matches_text(&format!("{text}\n"), &date, signature));
        assert!(!signer.matches_text(&text, &date, &signature.to_uppercase()));
    }
}

//! The signer. It turns the secret into keyed HMAC states once; each signature clones one of them.

use std::fmt;
use std::sync::Arc;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use sm3::Sm3;
use subtle::ConstantTimeEq;

use super::{Algorithm, CanonicalRequest, SigningDate, string_to_sign};

/// Signs requests with one key pair, by any algorithm. The states that hold the secret, and all
/// copies of them, are zeroized on drop.
#[derive(Clone)]
pub struct Signer {
    access_key: String,
    /// Shared, since they are half a kilobyte.
    keys: Arc<Keys>,
}

struct Keys {
    sha256: Hmac<Sha256>,
    sm3: Hmac<Sm3>,
    /// From which the keys of `V11-HMAC-SHA256` are derived.
    v11: Hkdf<Sha256>,
}

/// An HMAC that text is written to.
enum KeyedHash {
    Sha256(Hmac<Sha256>),
    Sm3(Hmac<Sm3>),
}

const ANY_LENGTH: &str = "HMAC takes a key of any length";

impl Signer {
    /// Prepares the key.
    #[must_use]
    pub fn new(access_key: &str, secret_key: &SecretString) -> Self {
        let secret = secret_key.expose_secret().as_bytes();
        Self {
            access_key: access_key.to_owned(),
            keys: Arc::new(Keys {
                sha256: Hmac::new_from_slice(secret).expect(ANY_LENGTH),
                sm3: Hmac::new_from_slice(secret).expect(ANY_LENGTH),
                v11: Hkdf::new(Some(access_key.as_bytes()), secret),
            }),
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
        // `hex::encode` would push one character at a time to a string.
        hex::encode_to_slice(self.mac(request), &mut digits).expect("32 bytes make 64 digits");
        let algorithm = request.algorithm();
        let scope = algorithm.scope(request.date());
        let (key, slash) = scope
            .as_ref()
            .map_or((" Access=", ""), |_| (" Credential=", "/"));
        let scope = scope.as_deref().unwrap_or_default();
        let mut text = String::with_capacity(224);
        text.extend([
            algorithm.name(),
            key,
            &self.access_key,
            slash,
            scope,
            ", SignedHeaders=",
        ]);
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
    pub fn matches_text(
        &self,
        algorithm: Algorithm<'_>,
        canonical: &str,
        date: &SigningDate,
        signature: &str,
    ) -> bool {
        let mut mac = self.keyed(algorithm, date);
        mac.update(string_to_sign(algorithm, canonical, date).as_bytes());
        is_signature(mac.finish(), signature)
    }

    fn mac(&self, request: &CanonicalRequest<'_>) -> [u8; 32] {
        let mut mac = self.keyed(request.algorithm(), request.date());
        request
            .write_string_to_sign(&mut mac)
            .expect("hashing cannot fail");
        mac.finish()
    }

    fn keyed(&self, algorithm: Algorithm<'_>, date: &SigningDate) -> KeyedHash {
        let Some(scope) = algorithm.scope(date) else {
            return match algorithm {
                Algorithm::HmacSm3 => KeyedHash::Sm3(self.keys.sm3.clone()),
                _ => KeyedHash::Sha256(self.keys.sha256.clone()),
            };
        };
        let mut derived = Zeroizing::new([0; 32]);
        let expanded = self.keys.v11.expand(scope.as_bytes(), &mut *derived);
        expanded.expect("32 bytes are not too many");
        // The key is the text of the digits, not the bytes that they encode.
        let mut key = Zeroizing::new([0; 64]);
        hex::encode_to_slice(*derived, &mut *key).expect("32 bytes make 64 digits");
        KeyedHash::Sha256(Hmac::new_from_slice(&*key).expect(ANY_LENGTH))
    }
}

impl KeyedHash {
    fn update(&mut self, text: &[u8]) {
        match self {
            Self::Sha256(mac) => mac.update(text),
            Self::Sm3(mac) => mac.update(text),
        }
    }

    fn finish(self) -> [u8; 32] {
        match self {
            Self::Sha256(mac) => mac.finalize().into_bytes().into(),
            Self::Sm3(mac) => mac.finalize().into_bytes().into(),
        }
    }
}

impl fmt::Write for KeyedHash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.update(text.as_bytes());
        Ok(())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

fn is_signature(mac: [u8; 32], signature: &str) -> bool {
    let mut bytes = [0; 32];
    // Upper-case digits would be another text than the one that signers send.
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    signature.bytes().all(is_digit)
        && hex::decode_to_slice(signature, &mut bytes).is_ok()
        && bool::from(mac.ct_eq(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_not_in_debug_output_and_wiped_on_drop() {
        let signer = Signer::new("AK", &"MARKER".into());
        assert!(!format!("{signer:?}").contains("MARKER"));
        fn wiped<T: secrecy::zeroize::ZeroizeOnDrop>() {}
        // An HMAC has two of them, and nothing else.
        wiped::<Sha256>();
        wiped::<Sm3>();
        wiped::<SecretString>();
    }
}

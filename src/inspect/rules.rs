//! Which values are secrets by their names, and what is shown instead of one. The same names count for
//! headers, cookies, query parameters, form fields and JSON members.

use std::sync::Arc;

use http::HeaderName;
use secrecy::{ExposeSecret, SecretBox};
use sha2::{Digest, Sha256};

/// What a name has in it if its value is a secret, in lower case and without `-` and the like.
const SECRET_NAMES: [&str; 16] = [
    "token",
    "secret",
    "passw",
    "passphrase",
    "pwd",
    "apikey",
    "appcode",
    "appkey",
    "authkey",
    "privatekey",
    "credential",
    "session",
    "signature",
    "authorization",
    "cookie",
    "jwt",
];

/// Names of secrets that are too short to be looked for in longer ones.
const SHORT_NAMES: [&str; 2] = ["sig", "sk"];

/// What is kept and shown of requests.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// How much of each body is kept, in bytes.
    pub(super) bodies: usize,
    /// Names of headers whose values are shown although they look like secrets.
    reveal: Vec<HeaderName>,
    /// The key of the hashes of hidden values.
    key: Arc<SecretBox<[u8; 32]>>,
}

impl Rules {
    /// Rules with a key of their own.
    pub(super) fn new(bodies: usize, reveal: &[HeaderName]) -> Self {
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        let key = SecretBox::init_with_mut(|key: &mut [u8; 32]| {
            random.fill(key).expect("the system has random numbers");
        });
        Self {
            bodies,
            reveal: reveal.to_vec(),
            key: Arc::new(key),
        }
    }

    /// Other rules with the same key.
    pub(super) fn changed(&self, bodies: usize, reveal: &[HeaderName]) -> Self {
        Self {
            key: Arc::clone(&self.key),
            ..Self::new(bodies, reveal)
        }
    }

    pub(super) fn reveals(&self, header: &str) -> bool {
        self.reveal.iter().any(|name| name == header)
    }

    /// Appends what is shown instead of a secret. Equal secrets look the same. Without the key it
    /// cannot be told which secret it is.
    pub(super) fn hide(&self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let name: Vec<u8> = name.iter().copied().filter(is_plain).take(64).collect();
        let key = self.key.expose_secret();
        let hash = Sha256::new().chain_update(key).chain_update(value);
        let hash = hex::encode(&hash.finalize()[..4]);
        let name = String::from_utf8_lossy(&name);
        let shown = format!("‹{name}, {} bytes, sha256 {hash}›", value.len());
        out.extend_from_slice(shown.as_bytes());
    }
}

/// True if the value of this name is a secret. It is called for every name that passes, so it
/// allocates nothing.
pub(crate) fn is_secret_name(name: &[u8]) -> bool {
    let is_short = |short: &&str| folded(name).eq(short.bytes());
    let has_part_at = |at: usize| {
        let first = name[at].to_ascii_lowercase();
        let is_here = |part: &&str| {
            let mut letters = folded(&name[at..]);
            part.as_bytes()[0] == first && part.bytes().all(|byte| letters.next() == Some(byte))
        };
        let may_begin = matches!(first, b't' | b's' | b'p' | b'a' | b'c' | b'j');
        may_begin && SECRET_NAMES.iter().any(is_here)
    };
    SHORT_NAMES.iter().any(is_short) || (0..name.len()).any(has_part_at)
}

/// The letters and digits of a name, in lower case.
fn folded(name: &[u8]) -> impl Iterator<Item = u8> {
    let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
    letters.map(u8::to_ascii_lowercase)
}

/// True if a value is none, although its name says so: nothing, or a number of tokens.
pub(super) fn is_no_secret(name: &[u8], value: &[u8]) -> bool {
    let is_count = name.to_ascii_lowercase().ends_with(b"tokens")
        && value.len() <= 12
        && value.iter().all(u8::is_ascii_digit);
    is_count || matches!(value, b"" | b"null" | b"true" | b"false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_names_are_found_anywhere_in_a_name_of_any_length() {
        for part in SECRET_NAMES {
            for name in [format!("x-{part}-1"), "z".repeat(99) + part] {
                let spelt: String = name.chars().flat_map(|letter| ['-', letter]).collect();
                for name in [&name, &spelt, &name.to_ascii_uppercase()] {
                    assert!(is_secret_name(name.as_bytes()), "{name}");
                }
            }
            let cut = &part[..part.len() - 1];
            assert!(!is_secret_name(cut.as_bytes()), "{cut}");
        }
        for name in ["", "host", "content-type", "x-stage", "-", "é", "path"] {
            assert!(!is_secret_name(name.as_bytes()), "{name}");
        }
    }
}

//! Makes surrogate credentials. The secrets exist in text only here: whoever asked for a credential
//! gets them once, and a [`Surrogate`] recognises most of them by their hash.

use rustls::crypto::aws_lc_rs::default_provider;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use super::{CallerToken, Rights, Surrogate};
use crate::signature::Signer;

/// The secrets of a new caller.
#[derive(Clone, Debug)]
pub struct IssuedCaller {
    /// The access key id.
    pub access_key: String,
    /// The secret key.
    pub secret_key: SecretString,
    /// The text for `Authorization: Bearer` and `X-Apig-Proxy-Token`.
    pub token: SecretString,
    /// The digits for the path `/~<digits>/…`.
    pub capability: SecretString,
}

impl IssuedCaller {
    /// Makes the credentials of a caller: the secrets, and what the proxy knows of them.
    ///
    /// # Panics
    ///
    /// If the system has no random numbers.
    #[must_use]
    pub fn new(name: &str, rights: Rights) -> (Self, Surrogate) {
        const CAPITALS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        const ALL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz";
        // As long as those of Huawei Cloud, since programs may check it.
        let access_key = random(Surrogate::ACCESS_KEY_PREFIX, CAPITALS, 20);
        let issued = Self {
            access_key: access_key.expose_secret().to_owned(),
            secret_key: random("", ALL, 40),
            token: random(Surrogate::TOKEN_PREFIX, ALL, 44),
            capability: random("", b"0123456789abcdef", Surrogate::CAPABILITY_DIGITS),
        };
        let known = |secret: &SecretString| CallerToken::new(secret.expose_secret().as_bytes());
        let surrogate = Surrogate {
            name: name.to_owned(),
            signer: Signer::new(&issued.access_key, &issued.secret_key),
            token: known(&issued.token),
            capability: known(&issued.capability),
            rights,
        };
        (issued, surrogate)
    }
}

/// A random text of this length that begins with `prefix`.
fn random(prefix: &str, alphabet: &[u8], length: usize) -> SecretString {
    let mut text = Zeroizing::new(String::with_capacity(length));
    text.push_str(prefix);
    // Larger bytes would make some letters more likely than others.
    let fair = 256 / alphabet.len() * alphabet.len();
    while text.len() < length {
        let mut bytes = Zeroizing::new([0; 64]);
        let filled = default_provider().secure_random.fill(&mut *bytes);
        filled.expect("the system has random numbers");
        let fair = bytes
            .iter()
            .map(|byte| usize::from(*byte))
            .filter(|byte| *byte < fair);
        let missing = length - text.len();
        let letters = fair
            .take(missing)
            .map(|byte| char::from(alphabet[byte % alphabet.len()]));
        text.extend(letters);
    }
    SecretString::from(text.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_have_their_form_differ_and_are_not_shown() {
        let (issued, surrogate) = IssuedCaller::new("ci", Rights::default());
        let (other, _) = IssuedCaller::new("ci", Rights::default());
        let texts = |issued: &IssuedCaller| {
            [&issued.secret_key, &issued.token, &issued.capability]
                .map(|secret| secret.expose_secret().to_owned())
        };
        assert_eq!(issued.access_key.len(), 20);
        assert!(issued.access_key.starts_with("APX"));
        let [secret, token, capability] = texts(&issued);
        assert_eq!((secret.len(), token.len(), capability.len()), (40, 44, 32));
        assert!(token.starts_with("apx_") && capability.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(surrogate.token.is(token.as_bytes()));
        assert!(surrogate.capability.is(capability.as_bytes()));
        assert_ne!(issued.access_key, other.access_key);
        let shown = format!("{issued:?} {surrogate:?}");
        for (secret, other) in texts(&issued).iter().zip(texts(&other)) {
            assert_ne!(*secret, other);
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

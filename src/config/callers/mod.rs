//! Callers: programs that authenticate with a credential that the proxy has issued, and their rights.
//!
//! A surrogate credential works at this proxy only. The proxy admits its caller, removes the
//! credential from the request and uses the real one. `file` stores surrogates in
//! `access.callers_file`, and `path_pattern` matches paths.

mod file;
mod path_pattern;

use std::sync::Arc;

use http::Method;
use rustls::crypto::aws_lc_rs::default_provider;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use super::{CallerToken, Methods, time};
use crate::signature::Signer;
pub use file::{CallerRecord, CallersFile};
pub use path_pattern::{PathPattern, ReadRule};

/// What a listener asks of its requests, beside the rules for all. Parallel to [`Config::listen`].
///
/// [`Config::listen`]: super::Config::listen
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenRules {
    /// Index of the route that takes all requests, whatever their path. Their whole path is the
    /// path below the upstream.
    pub route: Option<usize>,
    /// Requests need a caller, also without `access.callers_file`.
    pub requires_caller: bool,
}

/// The callers that are known.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    fixed: Arc<[Arc<Surrogate>]>,
    /// Those of `access.callers_file`.
    pub file: Option<CallersFile>,
}

impl Callers {
    /// Callers that were made in memory, and no others.
    pub fn fixed(fixed: Vec<Surrogate>) -> Self {
        Self {
            fixed: fixed.into_iter().map(Arc::new).collect(),
            file: None,
        }
    }

    /// The first caller that `is_wanted` accepts.
    pub fn find(&self, is_wanted: impl Fn(&Surrogate) -> bool) -> Option<Arc<Surrogate>> {
        let find = |callers: &[Arc<Surrogate>]| {
            let mut callers = callers.iter();
            callers.find(|caller| is_wanted(caller)).cloned()
        };
        let in_file = || find(&self.file.as_ref()?.callers.current());
        find(&self.fixed).or_else(in_file)
    }
}

/// A surrogate credential and the rights of its caller.
#[derive(Clone, Debug)]
pub struct Surrogate {
    /// The name of the caller, in the log and the metrics.
    pub name: String,
    /// The key that the caller signs with. Its id begins with [`Surrogate::ACCESS_KEY_PREFIX`].
    pub signer: Signer,
    /// The text that is sent as `Authorization: Bearer` or `X-Apig-Proxy-Token`; it begins with
    /// [`Surrogate::TOKEN_PREFIX`].
    pub token: CallerToken,
    /// The 32 hexadecimal digits of the path `/~<digits>/…`.
    pub capability: CallerToken,
    /// What the caller may do.
    pub rights: Rights,
}

impl Surrogate {
    /// The beginning of all access key ids.
    pub const ACCESS_KEY_PREFIX: &str = "APX";
    /// The beginning of all tokens.
    pub const TOKEN_PREFIX: &str = "apx_";
    /// The number of digits of a capability.
    pub const CAPABILITY_DIGITS: usize = 32;
}

/// The secrets of a new caller. They exist as text only here: they are printed once, and a
/// [`Surrogate`] recognises most of them by their hash.
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
    /// Creates the credentials of a caller: the secrets, and what the proxy keeps of them.
    ///
    /// # Panics
    ///
    /// If the system has no random numbers.
    pub fn new(name: &str, rights: Rights) -> (Self, Surrogate) {
        const CAPITALS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        const MIXED: &[u8; 32] = b"ABCDEFGHIJKLMNOPabcdefghijkl2345";
        // As long as those of Huawei Cloud, since programs may check it.
        let access_key = random_text(Surrogate::ACCESS_KEY_PREFIX, CAPITALS, 20);
        let issued = Self {
            access_key: access_key.expose_secret().to_owned(),
            secret_key: random_text("", MIXED, 40),
            token: random_text(Surrogate::TOKEN_PREFIX, MIXED, 44),
            capability: random_text("", DIGITS, Surrogate::CAPABILITY_DIGITS),
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

pub(crate) const DIGITS: &[u8] = b"0123456789abcdef";

/// A random text of this length that begins with `prefix`. The length of the alphabet divides 256, so
/// that all letters are equally likely.
pub(crate) fn random_text(prefix: &str, alphabet: &[u8], length: usize) -> SecretString {
    let mut bytes = Zeroizing::new(vec![0; length - prefix.len()]);
    let filled = default_provider().secure_random.fill(&mut bytes);
    filled.expect("the system has random numbers");
    let letter = |byte: &u8| char::from(alphabet[usize::from(*byte) % alphabet.len()]);
    let mut text = Zeroizing::new(String::with_capacity(length));
    text.push_str(prefix);
    text.extend(bytes.iter().map(letter));
    SecretString::from(text.as_str())
}

/// What a caller may do. By default, everything, and forever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Prefixes of paths, without a slash at their end; empty for all paths.
    pub routes: Vec<String>,
    /// Methods, out of those of the proxy and of the route; `None` for all of those.
    pub methods: Option<Methods>,
    /// Whether the caller may only read.
    pub read_only: ReadOnly,
    /// When the credential expires, in seconds since 1970-01-01T00:00:00Z.
    pub expires: Option<i64>,
    /// The rate limit.
    pub rate: Option<Rate>,
}

/// A rate limit: requests per time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many requests.
    pub requests: u32,
    /// The time, in seconds.
    pub seconds: u32,
}

impl Rate {
    /// Parses requests per time, like `60/1m`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str =
            "expected requests in a time of at least a second, like 60/1m or 1000/1d";
        let (requests, per) = text.split_once('/').ok_or(EXPECTED)?;
        let requests = requests.parse().map_err(|_| EXPECTED)?;
        match u32::try_from(time(per).ok_or(EXPECTED)?.as_secs()) {
            Ok(seconds @ 1..) if requests > 0 => Ok(Self { requests, seconds }),
            _ => Err(EXPECTED),
        }
    }
}

/// A limit to requests that only read: GET, HEAD, OPTIONS, and those that are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOnly {
    /// The limit applies.
    pub enabled: bool,
    /// Requests with other methods that only read.
    pub reads: Vec<ReadRule>,
}

impl ReadOnly {
    /// `true` if a method only reads, whatever the path.
    pub fn is_read(method: &Method) -> bool {
        [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
    }
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

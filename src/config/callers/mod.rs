//! Callers: programs that show a credential of the proxy's own, and what each of them may do.
//!
//! A surrogate credential works at this proxy only. The proxy admits its caller, takes the
//! credential off and uses the real one. `issue` makes surrogates, `file` keeps them in
//! `access.callers_file`, and `pattern` matches paths.

mod file;
mod issue;
mod pattern;

use std::sync::Arc;

use http::Method;
use jiff::SignedDuration;

use super::{CallerToken, Methods};
use crate::signature::Signer;
pub use file::{CallerRecord, CallersFile};
pub use issue::IssuedCaller;
pub use pattern::{PathPattern, ReadRule};

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
    #[must_use]
    pub fn fixed(fixed: Vec<Surrogate>) -> Self {
        Self {
            fixed: fixed.into_iter().map(Arc::new).collect(),
            file: None,
        }
    }

    /// The first caller that `is_wanted` accepts.
    #[must_use]
    pub fn find(&self, is_wanted: impl Fn(&Surrogate) -> bool) -> Option<Arc<Surrogate>> {
        let find = |callers: &[Arc<Surrogate>]| {
            let mut callers = callers.iter();
            callers.find(|caller| is_wanted(caller)).cloned()
        };
        let in_file = || find(&self.file.as_ref()?.current());
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

/// What a caller may do. The default is everything, without an end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Prefixes of paths, without a slash at their end; empty for all paths.
    pub routes: Vec<String>,
    /// Methods, out of those of the proxy and of the route; `None` for all of those.
    pub methods: Option<Methods>,
    /// Whether the caller may only read.
    pub read_only: ReadOnly,
    /// The end of the credential, in seconds since 1970-01-01T00:00:00Z.
    pub expires: Option<i64>,
    /// The most requests in a time.
    pub rate: Option<Rate>,
}

/// Requests in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many requests.
    pub requests: u32,
    /// The time, in seconds.
    pub seconds: u32,
}

impl Rate {
    /// Parses requests in a time, like `60/1m`.
    fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str =
            "expected requests in a time of at least a second, like 60/1m or 5/1s";
        let rate = || {
            let (requests, time) = text.split_once('/')?;
            let time: SignedDuration = time.parse().ok()?;
            let seconds = u32::try_from(time.as_secs()).ok()?;
            let requests = requests.parse().ok()?;
            Some(Self { requests, seconds })
        };
        rate()
            .filter(|rate| rate.requests > 0 && rate.seconds > 0)
            .ok_or(EXPECTED)
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
    #[must_use]
    pub fn is_read(method: &Method) -> bool {
        [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
    }
}

//! The values that credential sources give: a key or a text secret, and the lease that says how
//! long it is valid.
//!
//! # What can go wrong
//!
//! The wall clock may be set back, and the monotonic clock stands still while a laptop sleeps. A
//! lifetime is therefore counted by both, and the one that shows more time passed wins.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::key_check;
use crate::clock::Moment;
use crate::escape::Escaped;

/// A secret is not used in the last tenth of its lifetime, at most this long, since a request needs
/// time to arrive.
const EXPIRY_MARGIN: Duration = Duration::from_secs(1);

/// How long before its expiry a secret is refreshed, as in the SDKs; halfway through a lifetime that is
/// shorter than twice this.
const REFRESH_AHEAD: Duration = Duration::from_secs(40 * 60);

/// An access key pair, with the token that a temporary pair needs.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The access key id (AK): not a secret, but kept out of responses all the same.
    pub access_key: String,
    /// The secret access key (SK).
    pub secret_key: SecretString,
    /// `X-Security-Token` of a temporary pair.
    pub security_token: Option<SecretString>,
}

impl Credentials {
    /// A key pair whose parts can be sent and signed with, or what is wrong with them.
    pub(super) fn checked(
        access_key: &str,
        secret_key: SecretString,
        security_token: Option<SecretString>,
    ) -> Result<Self, &'static str> {
        let token = security_token.as_ref().map(ExposeSecret::expose_secret);
        key_check::check(access_key, secret_key.expose_secret(), token)?;
        Ok(Self {
            access_key: access_key.to_owned(),
            secret_key,
            security_token,
        })
    }

    /// True if both are the same key, with the same token.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let keys = [self, other];
        let [token, other_token] = keys.map(|key| key.security_token.as_ref());
        let expose = ExposeSecret::expose_secret;
        self.access_key == other.access_key
            && self.secret_key.expose_secret() == other.secret_key.expose_secret()
            && token.map(expose) == other_token.map(expose)
    }
}

/// The secret that authenticates a request.
#[derive(Clone, Debug)]
pub enum Secret {
    /// A key that signs.
    Key(Credentials),
    /// A token, an app code or an API key, which is sent as it is.
    Text(SecretString),
}

/// The place where a secret was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Environment variables; the name of the one with the access key.
    Environment(&'static str),
    /// A file.
    File(PathBuf),
    /// A service, by its name.
    Service(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "the environment ({name})"),
            Self::File(path) => write!(f, "{}", Escaped(path.display())),
            Self::Service(name) => f.write_str(name),
        }
    }
}

/// A secret with its origin and its lifetime.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The secret.
    pub secret: Secret,
    /// The project that the source names.
    pub project_id: Option<HeaderValue>,
    /// The source.
    pub origin: Origin,
    /// When the secret was issued or read.
    pub at: Moment,
    /// Time until expiry, counted from `at`; `None` if it never expires.
    pub lifetime: Option<Duration>,
}

impl Lease {
    /// A lease that never expires.
    pub fn lasting(secret: Secret, origin: Origin) -> Self {
        Self {
            secret,
            project_id: None,
            origin,
            at: Moment::now(),
            lifetime: None,
        }
    }

    /// True if a request may still be sent with the secret at this moment.
    pub fn is_good(&self, now: Moment) -> bool {
        self.lifetime.is_none_or(|lifetime| {
            let margin = EXPIRY_MARGIN.min(lifetime / 10);
            now.since(self.at) < lifetime - margin
        })
    }

    /// [`Self::is_good`] now. The clocks are read only if the secret expires at all.
    pub fn is_good_now(&self) -> bool {
        self.lifetime.is_none() || self.is_good(Moment::now())
    }

    /// Time until the secret expires; `None` if it never does.
    pub fn left(&self, now: Moment) -> Option<Duration> {
        Some(self.lifetime?.saturating_sub(now.since(self.at)))
    }

    /// Time until the secret is to be refreshed; `None` if it never is.
    pub(super) fn refresh_in(&self, now: Moment) -> Option<Duration> {
        let lifetime = self.lifetime?;
        let ahead = REFRESH_AHEAD.min(lifetime / 2);
        Some((lifetime - ahead).saturating_sub(now.since(self.at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_used_until_shortly_before_its_end_and_refreshed_halfway_or_40_minutes_ahead() {
        for (lifetime, last_use, refresh) in [
            (86_400, 86_399.0, 84_000),
            (3600, 3599.0, 1800),
            (2, 1.8, 1),
        ] {
            let lease = Lease {
                lifetime: Some(Duration::from_secs(lifetime)),
                ..Lease::lasting(Secret::Text("x".into()), Origin::Environment("A"))
            };
            let after = |seconds| lease.at.later_by(Duration::from_secs_f64(seconds));
            assert!(lease.is_good(after(last_use - 0.1)) && !lease.is_good(after(last_use)));
            let refresh_in = lease.refresh_in(lease.at);
            assert_eq!(refresh_in, Some(Duration::from_secs(refresh)));
            assert_eq!(lease.refresh_in(after(1e6)), Some(Duration::ZERO));
        }
        let lasting = Lease::lasting(Secret::Text("x".into()), Origin::Environment("A"));
        assert!(lasting.is_good(lasting.at.later_by(Duration::from_secs(1_000_000_000))));
    }
}

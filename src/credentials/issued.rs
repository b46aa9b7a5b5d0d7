//! What a source gives: a secret, and for how long it is good.

use std::time::Duration;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::{Credentials, Found, Origin};
use crate::clock::Moment;

/// The part of its time for which a secret is not used any more, since a request needs time to arrive:
/// a tenth, and no more than a second.
const MARGIN: Duration = Duration::from_secs(1);

/// How long before its end a secret is renewed at the latest, as the SDKs do it.
const RENEWAL: Duration = Duration::from_secs(40 * 60);

/// What a request shows.
#[derive(Clone, Debug)]
pub enum Secret {
    /// A key that signs.
    Key(Credentials),
    /// A token, an app code or an API key, which is sent as it is.
    Text(SecretString),
}

/// A secret that a source has given.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The secret.
    pub secret: Secret,
    /// A project that the source names.
    pub project_id: Option<HeaderValue>,
    /// The source.
    pub origin: Origin,
    /// When it was given.
    pub at: Moment,
    /// For how long it is good from then on; `None` if there is no end to it.
    pub lifetime: Option<Duration>,
}

impl Issued {
    /// A secret without an end.
    #[must_use]
    pub fn lasting(secret: Secret, origin: Origin) -> Self {
        Self {
            secret,
            project_id: None,
            origin,
            at: Moment::now(),
            lifetime: None,
        }
    }

    /// Whether another one is the same secret, given once more.
    #[must_use]
    pub fn is_same_secret(&self, other: &Self) -> bool {
        match (&self.secret, &other.secret) {
            (Secret::Key(one), Secret::Key(other)) => {
                one.access_key == other.access_key
                    && one.secret_key.expose_secret() == other.secret_key.expose_secret()
            }
            (Secret::Text(one), Secret::Text(other)) => {
                one.expose_secret() == other.expose_secret()
            }
            _ => false,
        }
    }

    /// Whether a request may still be sent with it at this moment.
    ///
    /// Time is taken from both clocks of the machine, and the one that says later counts: the steady one
    /// stands still while a laptop sleeps, and the other one may be set back.
    #[must_use]
    pub fn is_good(&self, now: Moment) -> bool {
        self.lifetime.is_none_or(|lifetime| {
            let margin = MARGIN.min(lifetime / 10);
            now.since(self.at) < lifetime - margin
        })
    }

    /// Whether a request may be sent with it now. The clocks are only looked at if there is an end to it.
    #[must_use]
    pub fn is_good_now(&self) -> bool {
        self.lifetime.is_none() || self.is_good(Moment::now())
    }

    /// How long it is still good; `None` if there is no end to it.
    #[must_use]
    pub fn left(&self, now: Moment) -> Option<Duration> {
        Some(self.lifetime?.saturating_sub(now.since(self.at)))
    }

    /// How long it takes until it has to be renewed; `None` if it never has.
    #[must_use]
    pub fn renewal_in(&self, now: Moment) -> Option<Duration> {
        let lifetime = self.lifetime?;
        let ahead = RENEWAL.min(lifetime / 2);
        Some((lifetime - ahead).saturating_sub(now.since(self.at)))
    }
}

impl From<Found> for Issued {
    fn from(found: Found) -> Self {
        Self {
            project_id: found.project_id,
            ..Self::lasting(Secret::Key(found.credentials), found.origin)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(lifetime: u64) -> Issued {
        let origin = Origin::Environment("A");
        Issued {
            lifetime: Some(Duration::from_secs(lifetime)),
            ..Issued::lasting(Secret::Text("x".into()), origin)
        }
    }

    fn after(issued: &Issued, seconds: f64) -> Moment {
        issued.at.later_by(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn a_secret_is_used_until_a_moment_before_its_end() {
        let hour = issued(3600);
        assert!(hour.is_good(after(&hour, 3598.9)) && !hour.is_good(after(&hour, 3599.0)));
        let short = issued(2);
        assert!(short.is_good(after(&short, 1.7)) && !short.is_good(after(&short, 1.8)));
        let lasting = Issued::lasting(Secret::Text("x".into()), Origin::Environment("A"));
        assert!(lasting.is_good(after(&lasting, 1e9)));
    }

    #[test]
    fn it_is_renewed_forty_minutes_before_its_end_or_halfway() {
        let day = issued(86400);
        let in_time = day.renewal_in(day.at);
        assert_eq!(in_time, Some(Duration::from_secs(86400 - 2400)));
        let hour = issued(3600);
        assert_eq!(hour.renewal_in(hour.at), Some(Duration::from_secs(1800)));
        assert_eq!(hour.renewal_in(after(&hour, 9999.0)), Some(Duration::ZERO));
    }
}

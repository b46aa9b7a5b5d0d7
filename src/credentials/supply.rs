//! Which secrets the routes of a configuration need, and where each comes from.
//!
//! What needs no network is read at once, so that a mistake is reported before anything is served. A service
//! is asked later, by [`start`](super::start()).

use std::fmt;
use std::sync::Arc;

use super::feed::Feed;
use super::files::{Files, Stamp};
use super::issued::Issued;
use super::service::Service;
use super::{Credentials, Found, Origin};
use crate::config::{AuthMode, Config, CredentialsConfig, LargeBody};

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It signs.
    Key,
    /// It is sent as `X-Auth-Token`.
    Token,
    /// It is sent as `X-Apig-AppCode`.
    AppCode,
    /// It is sent as `Authorization: Bearer`.
    ApiKey,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Token => "token",
            Self::AppCode => "app-code",
            Self::ApiKey => "api-key",
        })
    }
}

impl From<AuthMode> for Kind {
    fn from(mode: AuthMode) -> Self {
        match mode {
            AuthMode::AkSk => Self::Key,
            AuthMode::Token => Self::Token,
            AuthMode::AppCode => Self::AppCode,
            AuthMode::ApiKey => Self::ApiKey,
        }
    }
}

/// A secret that routes need: of which set, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The number of the set in [`Config::credentials`].
    pub set: usize,
    /// What for.
    pub kind: Kind,
}

/// What the routes of a configuration need, each secret once.
#[must_use]
pub fn needs(config: &Config) -> Vec<Need> {
    let mut needs = Vec::new();
    for route in &config.routes {
        let set = route.auth.credentials;
        let main = Need {
            set,
            kind: route.auth.mode.into(),
        };
        needs.push(main);
        if main.kind == Kind::Key && route.large_body != LargeBody::Reject {
            needs.push(Need {
                set,
                kind: Kind::Token,
            });
        }
    }
    needs.sort_unstable();
    needs.dedup();
    needs
}

/// Where one secret comes from, and who gets it. Clones give to the same.
#[derive(Clone, Debug)]
pub struct Supply {
    /// What it is for.
    pub need: Need,
    pub(super) label: String,
    /// What is said of its set; `None` for one that is fixed.
    pub(super) config: Option<CredentialsConfig>,
    pub(super) source: Source,
    /// Sources that were looked at before, and why they were passed over.
    pub(super) passed_over: Vec<(&'static str, String)>,
    pub(super) feed: Arc<Feed>,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    /// It does not change.
    Fixed,
    /// Files, which looked like this when they were read.
    Files(Files, Stamp),
    /// A service.
    Service(Box<Service>),
    /// The first of these services that gives a key. It is an error if none does.
    FirstOf(Vec<Service>),
}

impl Supply {
    /// A supply of one key for ever.
    #[must_use]
    pub fn fixed(need: Need, label: &str, credentials: &Credentials) -> Self {
        let feed = Feed::new(label, need.kind);
        feed.deliver(Issued::from(Found {
            credentials: credentials.clone(),
            project_id: None,
            origin: Origin::Environment(""),
        }));
        Self::of(need, label, Source::Fixed, feed)
    }

    pub(super) fn of(need: Need, label: &str, source: Source, feed: Feed) -> Self {
        Self {
            need,
            label: label.to_owned(),
            config: None,
            source,
            passed_over: Vec::new(),
            feed: Arc::new(feed),
        }
    }

    /// Whether another supply gives the same secret: what is said of it has not changed, and neither has
    /// where it comes from.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        let is_same_source = match (&self.source, &other.source) {
            // How the files look is what may have changed.
            (Source::Files(one, _), Source::Files(other, _)) => one == other,
            (one, other) => one == other,
        };
        self.need.kind == other.need.kind && self.config == other.config && is_same_source
    }

    /// Who gets what it gives.
    #[must_use]
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// What it gives and where that is from, in a few words.
    #[must_use]
    pub fn describe(&self) -> String {
        let what = format!("{}{}", self.need.kind, self.of_set());
        match (&self.source, self.feed.current()) {
            (_, Some(issued)) => format!("{what} from {}", issued.origin),
            (Source::Service(service), None) => format!("{what} from {}", service.name()),
            (Source::FirstOf(services), None) => {
                let names: Vec<&str> = services.iter().map(Service::name).collect();
                format!("{what} from {}, if there is one", names.join(" or "))
            }
            (Source::Fixed | Source::Files(..), None) => what,
        }
    }

    /// Which set it belongs to, for people; nothing for `[credentials]` itself, which most have alone.
    pub(super) fn of_set(&self) -> String {
        match &*self.label {
            "default" => String::new(),
            label => format!(" of credentials \"{label}\""),
        }
    }
}

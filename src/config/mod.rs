//! The configuration: defaults, a file, the environment and options become one [`Config`] of valid
//! values.
//!
//! `layers` collects what is set and where (file and line, variable or option), `reader` and `value`
//! turn it into typed values, and `load` reads every key and reports all problems at once. Credential
//! sources are not opened here. Only this module reads the environment and files; secrets are read by
//! `read_secret_file` alone.

mod access;
mod activation;
mod address;
mod callers;
mod cloud;
mod credentials;
mod egress;
mod environment;
mod file;
mod inspect;
mod layers;
mod limits;
mod listen;
mod load;
mod memory;
mod origin;
pub(crate) mod owned_headers;
mod problem;
mod reader;
mod reference;
mod routes;
mod run;
mod services;
mod signing;
#[cfg(test)]
mod tests;
mod tls;
mod upstream_url;
mod value;
mod watched_files;

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::signature::normalized_path;

pub use access::{Access, CallerToken};
pub use activation::{ActivatedSocket, ActivatedSockets};
pub use address::Listen;
pub(crate) use address::local_address;
pub use callers::{
    CallerRecord, Callers, CallersFile, IssuedCaller, ListenRules, PathPattern, Rate, ReadOnly,
    ReadRule, Rights, Surrogate,
};
pub(crate) use callers::{DIGITS, random_text};
pub use cloud::CloudService;
pub(crate) use cloud::IAM;
pub use credentials::{CredentialsConfig, IamUser, TokenSource};
pub use egress::EgressProxy;
pub use environment::Environment;
pub use file::FileError;
pub(crate) use file::{read_secret_file, replace_file};
pub use inspect::{InspectConfig, ReplayPolicy};
pub use limits::{Limits, LogConfig, LogFormat, MediaRange, Methods, PoolConfig, Timeouts};
pub use listen::UnixSocketConfig;
pub use load::{Loaded, Overrides, from_text, load, load_part, with_upstream};
pub use origin::is_trustworthy_name;
pub use problem::{Place, Problem, Problems};
pub use reader::Settings;
pub use reference::{ReferenceKey, keys};
pub(crate) use routes::prefix as route_prefix;
pub use run::RunConfig;
pub use services::{ServiceError, Services};
pub use signing::RouteSigning;
pub(crate) use signing::scope;
pub use tls::{TlsFiles, TlsMaterial, UpstreamTls};
pub use upstream_url::{Scheme, UpstreamUrl};
pub(crate) use value::{project_id, time};
pub use watched_files::Watched;
pub(crate) use watched_files::{FileStamps, stamps};

/// The configuration of the proxy, in valid states only.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses for clients; at least one.
    pub listen: Vec<Listen>,
    /// The rules of the listeners; a listener without them has the default.
    pub listen_rules: Vec<ListenRules>,
    /// Who may use a unix socket.
    pub unix_socket: UnixSocketConfig,
    /// Certificate and key for TLS with callers.
    pub tls: Option<TlsFiles>,
    /// Address of the admin listener; `None` if it is off.
    pub admin: Option<Listen>,
    /// `POST /quitquitquit` on the admin listener stops the proxy.
    pub admin_quit: bool,
    /// Routes; at least one, longest prefix first.
    pub routes: Vec<Route>,
    /// Cloud services that do not accept the signatures that the proxy makes.
    pub signs_otherwise: Vec<String>,
    /// Methods that clients may use.
    pub methods: Methods,
    /// Sources of credentials: `[credentials]`, then each `[credentials.NAME]`.
    pub credentials: Vec<CredentialsConfig>,
    /// Media ranges whose bodies are streamed as `UNSIGNED-PAYLOAD`.
    pub unsigned: Vec<MediaRange>,
    /// Limits of the resources that clients can use.
    pub limits: Limits,
    /// How long each phase of a request may take.
    pub timeouts: Timeouts,
    /// How connections to the upstream are kept.
    pub pool: PoolConfig,
    /// Who may use the proxy.
    pub access: Access,
    /// The callers that may use it, where a caller is required.
    pub callers: Callers,
    /// Whether callers may only read, on all routes.
    pub read_only: ReadOnly,
    /// Trust in the upstream's certificate.
    pub upstream_tls: UpstreamTls,
    /// Signs with the gateway's time when the local clock is off.
    pub corrects_clock: bool,
    /// Format and amount of the log.
    pub log: LogConfig,
    /// The environment of the program that `apig-proxy run` starts.
    pub run: RunConfig,
    /// What the inspector keeps, and who may read it.
    pub inspect: InspectConfig,
}

/// One `[[route]]`, or the top-level `upstream` as the route for everything.
#[derive(Clone, Debug)]
pub struct Route {
    /// Path prefix without a trailing `/`; empty for the route that takes everything.
    ///
    /// It matches whole segments: `/flowers` takes `/flowers` and `/flowers/1`, not `/flowersx`.
    pub prefix: String,
    /// URL of the gateway.
    pub upstream: UpstreamUrl,
    /// Value of `x-stage`, which services do not get.
    pub stage: HeaderValue,
    /// Methods that clients may use here, out of [`Config::methods`] unless it leads to a service;
    /// `None` for all of those.
    pub methods: Option<Methods>,
    /// Paths that clients may use here; `None` for all below the prefix.
    pub paths: Option<Vec<PathPattern>>,
    /// How its requests authenticate.
    pub auth: Auth,
    /// What happens to bodies larger than [`Limits::body`].
    pub large_body: LargeBody,
    /// Headers that its requests get.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The header in which the caller's own `Authorization` goes to the backend.
    pub forward_authorization_as: Option<HeaderName>,
    /// [`Timeouts::response`] of this route.
    pub response_timeout: Option<Duration>,
    /// [`Timeouts::idle`] of this route.
    pub idle_timeout: Option<Duration>,
    /// Passes `Origin` and `Referer` of the proxy's own pages on as they are.
    pub keeps_origin: bool,
    /// How its requests are signed.
    pub signing: RouteSigning,
    /// Whether callers may only read here.
    pub read_only: ReadOnly,
    /// The cloud service that it leads to; `None` for an API of a gateway.
    pub service: Option<CloudService>,
}

impl Route {
    /// `true` if both routes use the same connections: same host, reached in the same way.
    pub fn shares_origin(&self, other: &Self) -> bool {
        let (one, two) = (&self.upstream, &other.upstream);
        (one.scheme, &one.authority, &one.connect_to, &one.egress)
            == (two.scheme, &two.authority, &two.connect_to, &two.egress)
    }

    /// How bodies authenticate that are too large to be signed; `None` if they are not sent so.
    pub fn large_body_auth(&self) -> Option<Auth> {
        let signs = self.auth.mode == AuthMode::AkSk;
        (signs && self.large_body != LargeBody::Reject).then_some(Auth {
            mode: AuthMode::Token,
            ..self.auth
        })
    }

    /// The names of the headers that the route sets, whatever the caller says in them.
    pub fn set_headers(&self) -> impl Iterator<Item = &HeaderName> {
        let set = self.headers.iter().map(|(name, _)| name);
        set.chain(&self.forward_authorization_as)
    }

    /// The prefix as a gateway may read it, without a slash at its end.
    pub fn normalized_prefix(&self) -> Vec<u8> {
        let mut prefix = normalized_path(&self.prefix).into_owned();
        // Its slashes are merged, so there is one at most.
        prefix.pop_if(|last| *last == b'/');
        prefix
    }
}

/// How requests of a route authenticate: by default with a signature and the key of
/// `[credentials]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Auth {
    /// Index of the set in [`Config::credentials`].
    pub credentials: usize,
    /// The kind of credential.
    pub mode: AuthMode,
}

/// The kind of credential that a request carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuthMode {
    /// A signature with an access key, or with the key and secret of an app.
    #[default]
    AkSk,
    /// An IAM token, as `X-Auth-Token`.
    Token,
    /// The code of an app, as `X-Apig-AppCode`.
    AppCode,
    /// An API key of ModelArts, as `Authorization: Bearer`.
    ApiKey,
}

impl AuthMode {
    /// The name of the credential in metrics, the log and the inspector.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AkSk => "key",
            Self::Token => "token",
            Self::AppCode => "app-code",
            Self::ApiKey => "api-key",
        }
    }
}

/// What happens to bodies larger than [`Limits::body`] on a route that signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LargeBody {
    /// They are rejected.
    #[default]
    Reject,
    /// They are sent with a token, up to [`Limits::large_body`].
    Token {
        /// So are bodies of unknown length.
        unknown: bool,
    },
}

//! The configuration: from what a file, the environment and options may say to what the proxy runs on.
//!
//! Three steps, one type each. `raw` collects what was said and where (file and line, variable or
//! option) without judging it. `resolve` judges it and reports every problem at once. [`Config`]
//! holds valid states only: nothing downstream meets a key that might be missing or out of range.
//!
//! This is the only place that reads the environment and files. Secrets go through [`secret`] and
//! never through figment, which retypes values (`0123`, `"ab"`) and prints them in its errors.

mod address;
mod admin;
mod bounds;
mod credentials;
mod egress;
mod environment;
mod file;
mod judge;
mod keys;
mod listen;
mod load;
mod memory;
mod origin;
mod passed;
mod problem;
mod raw;
mod resolve;
mod routes;
mod said;
pub mod secret;
mod server_tls;
#[cfg(test)]
mod tests;

use std::time::Duration;

use http::{HeaderValue, Method};

use crate::signature::normalized_path;

pub use admin::AdminAddress;
pub use credentials::{
    CredentialSource, CredentialsConfig, Endpoint, Endpoints, IamUser, TokenSource,
};
pub use egress::EgressProxy;
pub use environment::Environment;
pub use file::FileError;
pub use keys::{KEYS, Key, ROUTE_KEYS};
pub use listen::{Listen, UnixSocketConfig};
pub use load::{Loaded, Overrides, from_text, load, load_admin, load_credentials, with_upstream};
pub use origin::is_trustworthy_name;
pub use passed::{PassedAddresses, PassedError, PassedSocket, PassedSockets};
pub use problem::{Place, Problem, Problems};
pub use said::Said;
pub use secret::CallerToken;
pub use server_tls::{TlsFiles, TlsFilesError, TlsMaterial};

/// Everything the proxy needs to know, in valid states only.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where callers are accepted; at least one.
    pub listen: Vec<Listen>,
    /// Who may use a unix socket.
    pub unix_socket: UnixSocketConfig,
    /// Certificate and key for TLS with callers.
    pub tls: Option<TlsFiles>,
    /// Where health and metrics are served; `None` when switched off.
    pub admin: Option<AdminAddress>,
    /// Whether `POST /quitquitquit` there stops the proxy.
    pub admin_quit: bool,
    /// Where requests go; at least one, longest prefix first.
    pub routes: Vec<Route>,
    /// Methods that callers may use.
    pub methods: Methods,
    /// Where what requests show comes from: `[credentials]`, then each `[credentials.NAME]`.
    pub credentials: Vec<CredentialsConfig>,
    /// How payloads are signed.
    pub signing: SigningConfig,
    /// Sizes and counts that bound what a caller can make the proxy hold.
    pub limits: Limits,
    /// How long each phase of a request may take.
    pub timeouts: Timeouts,
    /// How connections to the upstream are kept.
    pub pool: PoolConfig,
    /// Who may use the port.
    pub access: Access,
    /// Trust in the upstream's certificate.
    pub upstream_tls: UpstreamTls,
    /// Whether the gateway's time is learned.
    pub clock: ClockConfig,
    /// How the log looks.
    pub log: LogConfig,
}

/// One `[[route]]`, or the top-level `upstream` as the route for everything.
#[derive(Clone, Debug)]
pub struct Route {
    /// Path prefix without a trailing `/`; empty for the route that takes everything.
    ///
    /// It matches whole segments: `/flowers` takes `/flowers` and `/flowers/1`, not `/flowersx`.
    pub prefix: String,
    /// Where requests of this route go.
    pub upstream: UpstreamUrl,
    /// Value of `x-stage`.
    pub stage: HeaderValue,
    /// Methods that callers may use here, beside being among [`Config::methods`]; `None` for all of those.
    pub methods: Option<Methods>,
    /// Paths that callers may use here; `None` for all below the prefix.
    pub paths: Option<Vec<PathRule>>,
    /// The proxy of the network that has to be passed on the way out; `None` to connect directly.
    pub egress: Option<EgressProxy>,
    /// How its requests show whose they are.
    pub auth: Auth,
    /// What happens to bodies that are too long for a signature.
    pub large_body: LargeBody,
}

impl Route {
    /// Whether two routes lead to the same host in the same way, and so over the same connections.
    #[must_use]
    pub fn shares_origin(&self, other: &Self) -> bool {
        let (one, two) = (&self.upstream, &other.upstream);
        (one.scheme, &one.host, one.port, &self.egress)
            == (two.scheme, &two.host, two.port, &other.egress)
    }

    /// The prefix as a gateway may read it, without a slash at its end.
    #[must_use]
    pub fn normalized_prefix(&self) -> Vec<u8> {
        let mut prefix = normalized_path(&self.prefix).into_owned();
        // Its slashes are merged, so there is one at most.
        prefix.pop_if(|last| *last == b'/');
        prefix
    }
}

/// How requests of a route show whose they are: by a signature with the key of `[credentials]`, unless it
/// is said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// By what.
    pub mode: AuthMode,
    /// Of which set: its number in [`Config::credentials`].
    pub credentials: usize,
}

/// By what a request shows whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMode {
    /// A signature with an access key, or with the key and secret of an app.
    #[default]
    AkSk,
    /// A token of IAM, as `X-Auth-Token`.
    Token,
    /// The code of an app, as `X-Apig-AppCode`.
    AppCode,
    /// An API key of ModelArts, as `Authorization: Bearer`.
    ApiKey,
}

/// What happens to bodies that are longer than [`Limits::body`] on a route that signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LargeBody {
    /// They are refused.
    #[default]
    Reject,
    /// They go out with a token, up to [`Limits::large_body`].
    Token {
        /// Whether bodies whose length is not known do too.
        unknown: bool,
    },
}

/// A path that callers may use, as they write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRule {
    /// This path.
    Exact(String),
    /// Every path that begins so; it ends with `/`.
    Below(String),
}

impl PathRule {
    /// Whether it allows a path, which is compared byte for byte: what is spelt otherwise is not allowed.
    #[must_use]
    pub fn allows(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Below(start) => path.starts_with(start.as_str()),
        }
    }
}

/// Where an upstream is: scheme, host, port and base path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// Plain HTTP is possible for loopback addresses only.
    pub scheme: Scheme,
    /// Host name or address, lower case; an IPv6 address without brackets.
    pub host: String,
    /// Port, the scheme's default filled in.
    pub port: u16,
    /// The `Host` header as it goes out and is signed: without the scheme's default port.
    pub authority: HeaderValue,
    /// What takes the place of the route's prefix: empty, or starts with `/` and does not end with it.
    pub base_path: String,
}

/// How an upstream is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP, to a loopback address.
    Http,
    /// HTTP over TLS.
    Https,
}

/// The methods that callers may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// Any but `CONNECT`.
    Any,
    /// These, in the order of the configuration.
    Only(Vec<Method>),
}

impl Methods {
    /// Their names, as `Allow` lists them.
    #[must_use]
    pub fn names(&self) -> String {
        match self {
            Self::Any => "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".to_owned(),
            Self::Only(methods) => {
                let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
                names.join(", ")
            }
        }
    }
}

/// How payloads are signed (`[signing]`).
#[derive(Clone, Debug)]
pub struct SigningConfig {
    /// Media ranges whose bodies are streamed as `UNSIGNED-PAYLOAD`.
    pub unsigned: Vec<MediaRange>,
}

/// A media range of `signing.unsigned`, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaRange {
    /// `*`: every request with a body, also one without a content type.
    Any,
    /// `type/*`; holds `type`.
    Type(String),
    /// `type/subtype`; holds both with the slash.
    Exact(String),
}

/// What a caller can make the proxy hold (`[limits]`). Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest request body that is forwarded.
    pub body: u64,
    /// Longest request body that is forwarded with a token, where that is wanted.
    pub large_body: u64,
    /// Bytes of all hashed bodies held at once, over all requests.
    pub buffered: u64,
    /// Connections of callers open at once.
    pub connections: usize,
    /// Longest request head.
    pub header: usize,
    /// Longest head of an answer of the gateway.
    pub answer_header: usize,
}

/// How long each phase may take (`[timeouts]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From starting a connection to the upstream until TLS is up.
    pub connect: Duration,
    /// From accepting a connection, or from the first byte of a later request, until a head is complete.
    pub header_read: Duration,
    /// From an answer until the first byte of the next request.
    pub keep_alive: Duration,
    /// Between two pieces of a request body.
    pub body_idle: Duration,
    /// From the request being sent until the response head.
    pub response: Duration,
    /// Between two pieces of a response body.
    pub idle: Duration,
    /// From the signal to stop until nothing more is accepted; may be zero.
    pub drain_delay: Duration,
    /// From then on until what is still running is cut off.
    pub shutdown: Duration,
}

/// How connections to an upstream are kept (`[pool]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Connections to one upstream open at once, over all workers.
    pub connections: usize,
    /// From a connection's last answer until it is closed.
    pub idle: Duration,
    /// From opening a connection until it takes no more requests.
    pub age: Duration,
    /// Whether small requests may share connections with HTTP/2.
    pub http2: bool,
}

/// Who may use the port (`[access]`).
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// `Host` names allowed beside the loopback names and the bound addresses: lower case, no port, no trailing dot.
    pub hosts: Vec<String>,
    /// Browser origins allowed, as `scheme://host[:port]`, lower case.
    pub origins: Vec<String>,
    /// Whether browsers may navigate to the proxy, and pages that they loaded from it may call it.
    pub browser: bool,
    /// The token that callers must send.
    pub token: Option<CallerToken>,
}

/// Trust in the upstream's certificate (`[upstream_tls]`).
#[derive(Clone, Debug, Default)]
pub struct UpstreamTls {
    /// DER certificates trusted beside the platform's roots.
    pub extra_roots: Vec<rustls::pki_types::CertificateDer<'static>>,
}

/// Whether the gateway's time is learned (`[clock]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockConfig {
    /// Sign with the gateway's time rather than this machine's.
    pub correct: bool,
}

/// How the log looks (`[log]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// One line of text or one JSON object per event.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: tracing::level_filters::LevelFilter,
    /// Whether each request is recorded, at level info.
    pub access: bool,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

//! Every error of a request, and the response that the proxy gives to it.
//!
//! One enum and one exhaustive table: a new variant does not compile until its origin, status, code
//! and retry are chosen. The `Display` of a variant is the fixed text that the caller gets: it says
//! what to do and holds no value of the caller's, no address and no secret. Details for the log are
//! in `source`.

mod origin;

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use http::StatusCode;

use crate::signature::SignatureError;
pub use origin::OriginRefusal;

// Types of `Proxy-Status` that do not fit in a row of the table.
const UPGRADE_FAILED: &str = "http_upgrade_failed";
const INTERNAL: &str = "proxy_internal_error";
const UNROUTABLE: &str = "destination_ip_unroutable";
const CONNECTION_LIMIT: &str = "connection_limit_reached";

/// The cause of an error.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
pub enum Error {
    #[error("the request is malformed: {0}")]
    BadRequest(&'static str),
    #[error("the request needs exactly one well-formed Host header")]
    BadHost,
    #[error("{0}")]
    BadTarget(#[from] SignatureError),
    #[error(
        "callers have to send the token of access.token_file as X-Apig-Proxy-Token; send it, or ask who runs the proxy for it"
    )]
    TokenRequired,
    #[error(
        "this Host may not use the proxy; call it as localhost, or add the name to access.hosts"
    )]
    HostNotAllowed { host: Untrusted },
    #[error("{reason}")]
    OriginNotAllowed {
        reason: OriginRefusal,
        value: Untrusted,
    },
    #[error(
        "no route takes this path; add a [[route]] for it, a top-level upstream, or the path to the route's paths, and write it without // and needless % escapes"
    )]
    NoRoute,
    #[error(
        "this method is not allowed; the Allow header lists those that are (configuration key: methods)"
    )]
    MethodNotAllowed { allow: String },
    #[error(
        "the request body stopped arriving; send it without long pauses, or raise timeouts.body_idle"
    )]
    BodyTimeout,
    #[error("the request body ended early; the gateway got no complete request")]
    BodyIncomplete(#[source] hyper::Error),
    #[error(
        "the body is larger than the gateway accepts; send at most {limit} bytes (configuration keys: limits.body, and limits.large_body = \"token\" to send larger ones with a token, if their length is declared or large_body is set for the route)"
    )]
    BodyTooLarge { limit: u64 },
    #[error("path and query are longer than the gateway accepts (32 KiB); send data in the body")]
    TargetTooLong,
    #[error(
        "the request head is too large; send fewer or shorter headers (limits.header, 100 headers)"
    )]
    HeaderTooLarge,
    #[error("only Expect: 100-continue is supported; send the request without another expectation")]
    ExpectationFailed,
    #[error(
        "the proxy switches to websocket only; send the request without another Upgrade header"
    )]
    UpgradeNotSupported,
    #[error("the proxy failed; the log of the proxy has details under this request_id")]
    Internal(&'static str),
    #[error("the gateway cannot be reached; check the network and the upstream's host and port")]
    UpstreamUnreachable(#[source] io::Error),
    #[error(
        "the proxy of this network does not let connections to the gateway through; correct HTTPS_PROXY, or list the gateway in NO_PROXY"
    )]
    EgressRefused { status: u16 },
    #[error(
        "the request came back to this proxy, or has passed three others; upstream leads to a proxy and has to be the gateway's address"
    )]
    Loop,
    #[error("the gateway's host name cannot be resolved; check upstream and DNS")]
    Dns(#[source] io::Error),
    #[error(
        "no trusted TLS connection to the gateway; check the certificate, upstream_tls.ca_file and the clock"
    )]
    Tls(#[source] io::Error),
    #[error(
        "the gateway closed the connection before it answered; whether it executed the request is unknown"
    )]
    UpstreamReset(#[source] Cause, Retry),
    #[error(
        "the gateway closed the connection before the request was sent; it was not executed, so try again"
    )]
    NotSent(#[source] Cause),
    #[error(
        "the gateway's response is not well-formed HTTP; check that upstream is an API gateway"
    )]
    BadResponse(#[source] Cause),
    #[error(
        "the head of the gateway's response is too large; raise limits.answer_header, or have the backend send fewer headers (500 at most)"
    )]
    AnswerHeaderTooLarge,
    #[error(
        "the proxy holds as many request bodies as it may; try again shortly, or raise limits.buffered"
    )]
    Overloaded,
    #[error(
        "all connections to the gateway are in use; try again shortly, or raise pool.connections"
    )]
    NoConnection,
    #[error(
        "the gateway refused several signatures of this key in a row and would lock it; correct the key, see X-Apig-Proxy-Hint of the refusals or the log"
    )]
    KeyLocked { retry_after: Duration },
    #[error(
        "the proxy has no valid credentials at the moment; try again shortly, the log of the proxy says why their source gives none"
    )]
    NoCredentials,
    #[error(
        "connecting to the gateway took too long; check the network, or raise timeouts.connect"
    )]
    ConnectTimeout,
    #[error(
        "the gateway did not answer in time; whether it executed the request is unknown (timeouts.response)"
    )]
    ResponseTimeout,
}

impl Error {
    /// Classifies the failure to read a request body.
    pub(crate) fn from_body(error: hyper::Error) -> Self {
        use io::ErrorKind::{InvalidData, InvalidInput};
        let cause = error
            .source()
            .and_then(|cause| cause.downcast_ref::<io::Error>());
        if cause.is_some_and(|cause| matches!(cause.kind(), InvalidData | InvalidInput)) {
            Self::BadRequest("the chunks of the body, or its trailers, are not well-formed")
        } else {
            Self::BodyIncomplete(error)
        }
    }
}

/// A caller's value, made harmless for the log: visible ASCII of at most 100 of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untrusted(String);

impl From<&[u8]> for Untrusted {
    fn from(value: &[u8]) -> Self {
        let kept = &value[..value.len().min(100)];
        let dots = if kept.len() < value.len() { "..." } else { "" };
        Self(format!("\"{}\"{dots}", kept.escape_ascii()))
    }
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The caller's.
    Client,
    /// The gateway's, or that of the network to it.
    Upstream,
    /// The proxy's own.
    Proxy,
}

/// The condition under which a request may be sent again after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The gateway may have executed it, or would fail again.
    Never,
    /// The gateway most likely closed an idle connection before it read the request.
    IfIdempotent,
    /// The gateway did not process it.
    Always,
}

/// The response to an error, and the retries that it permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whose fault it is.
    pub origin: Origin,
    /// The status.
    pub status: StatusCode,
    /// The code, without its prefix `PROXY.`.
    pub code: &'static str,
    /// The error type of `Proxy-Status` (RFC 9209 §2.3).
    pub proxy_status: &'static str,
    /// When the caller may try again.
    pub retry_after: Option<Duration>,
    /// When the proxy may send the request again.
    pub retry: Retry,
}

impl Answer {
    fn new(origin: Origin, status: u16, code: &'static str, proxy_status: &'static str) -> Self {
        Self {
            origin,
            status: StatusCode::from_u16(status).expect("the table holds valid status codes"),
            code,
            proxy_status,
            retry_after: None,
            retry: Retry::Never,
        }
    }

    /// The response to overload: the caller may try again after this time.
    fn busy(code: &'static str, proxy_status: &'static str, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Origin::Proxy, 503, code, proxy_status)
        }
    }
}

impl Error {
    /// The table of all errors.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let client = |status, code, kind| Answer::new(Origin::Client, status, code, kind);
        let upstream = |status, code, kind| Answer::new(Origin::Upstream, status, code, kind);
        let reset = |retry| Answer {
            retry,
            ..upstream(502, "upstream_reset", "connection_terminated")
        };
        let (denied, malformed) = ("http_request_denied", "http_request_error");
        let soon = Duration::from_secs(1);
        match self {
            Self::BadRequest(_) => client(400, "bad_request", malformed),
            Self::BodyIncomplete(_) => client(400, "bad_request", malformed),
            Self::BadHost => client(400, "bad_host", malformed),
            Self::BadTarget(_) => client(400, "bad_target", malformed),
            Self::TokenRequired => client(401, "token_required", denied),
            Self::HostNotAllowed { .. } => client(403, "host_not_allowed", denied),
            Self::OriginNotAllowed { .. } => client(403, "origin_not_allowed", denied),
            Self::NoRoute => client(404, "no_route", "destination_not_found"),
            Self::MethodNotAllowed { .. } => client(405, "method_not_allowed", denied),
            Self::BodyTimeout => client(408, "body_timeout", malformed),
            Self::BodyTooLarge { .. } => client(413, "body_too_large", malformed),
            Self::TargetTooLong => client(414, "target_too_long", malformed),
            Self::ExpectationFailed => client(417, "bad_request", malformed),
            Self::HeaderTooLarge => client(431, "header_too_large", malformed),
            Self::UpgradeNotSupported => client(501, "upgrade_not_supported", UPGRADE_FAILED),
            Self::Internal(_) => Answer::new(Origin::Proxy, 500, "internal", INTERNAL),
            Self::UpstreamUnreachable(_) => upstream(502, "upstream_unreachable", UNROUTABLE),
            Self::EgressRefused { .. } => upstream(502, "upstream_unreachable", UNROUTABLE),
            Self::Dns(_) => upstream(502, "dns_error", "dns_error"),
            Self::Tls(_) => upstream(502, "tls_error", "tls_protocol_error"),
            Self::UpstreamReset(_, retry) => reset(*retry),
            Self::NotSent(_) => reset(Retry::Always),
            Self::Loop => Answer::new(Origin::Proxy, 502, "loop", "proxy_loop_detected"),
            Self::BadResponse(_) => upstream(502, "bad_response", "http_protocol_error"),
            Self::AnswerHeaderTooLarge => upstream(502, "bad_response", "http_protocol_error"),
            Self::Overloaded => Answer::busy("overloaded", CONNECTION_LIMIT, soon),
            Self::NoConnection => Answer::busy("overloaded", CONNECTION_LIMIT, soon),
            Self::KeyLocked { retry_after } => Answer::busy("key_locked", denied, *retry_after),
            Self::NoCredentials => Answer::busy("no_credentials", INTERNAL, soon),
            Self::ConnectTimeout => upstream(504, "connect_timeout", "connection_timeout"),
            Self::ResponseTimeout => upstream(504, "response_timeout", "http_response_timeout"),
        }
    }

    /// What caused the error, for the log.
    #[must_use]
    pub fn cause(&self) -> String {
        let own = match self {
            Self::Internal(what) => Some((*what).to_owned()),
            Self::EgressRefused { status } => Some(format!("status {status}")),
            Self::HostNotAllowed { host: value } | Self::OriginNotAllowed { value, .. } => {
                Some(value.0.clone())
            }
            _ => None,
        };
        let sources = std::iter::successors(self.source(), |&error| error.source());
        let causes = own.into_iter().chain(sources.map(ToString::to_string));
        causes.collect::<Vec<_>>().join(": ")
    }
}

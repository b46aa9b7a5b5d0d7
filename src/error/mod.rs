//! Everything that can go wrong with a request, and what the proxy answers then.
//!
//! One enum, so that adding a variant does not compile until its origin, status and code are chosen.
//! The `Display` of a variant is the fixed text that the caller gets: it says what to do and holds no
//! value of the caller's, no address and no secret. Details for the log are in `source`.

mod origin;

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use http::StatusCode;

use crate::signature::SignatureError;
pub use origin::OriginRefusal;

/// What is behind an error.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request is not HTTP as it should be.
    #[error("the request is malformed: {0}")]
    BadRequest(&'static str),
    /// There is not exactly one well-formed `Host`.
    #[error("the request needs exactly one well-formed Host header")]
    BadHost,
    /// The target cannot be signed.
    #[error("{0}")]
    BadTarget(#[from] SignatureError),
    /// The caller did not send its token, or another one.
    #[error(
        "callers have to send the token of access.token_file as X-Apig-Proxy-Token; send it, or ask who runs the proxy for it"
    )]
    TokenRequired,
    /// The `Host` is not one of the proxy's names.
    #[error(
        "this Host may not use the proxy; call it as localhost, or add the name to access.hosts"
    )]
    HostNotAllowed {
        /// The value, for the log.
        host: Untrusted,
    },
    /// A web browser sent the request, for a page that may not use the proxy.
    #[error("{reason}")]
    OriginNotAllowed {
        /// Which rule refused it.
        reason: OriginRefusal,
        /// The header value that the rule refused, for the log.
        value: Untrusted,
    },
    /// No route takes the path.
    #[error(
        "no route takes this path; add a [[route]] for it, a top-level upstream, or the path to the route's paths, and write it without // and needless % escapes"
    )]
    NoRoute,
    /// The method is not in the configuration.
    #[error(
        "this method is not allowed; the Allow header lists those that are (configuration key: methods)"
    )]
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: String,
    },
    /// Nothing more came of the body for too long.
    #[error(
        "the request body stopped arriving; send it without long pauses, or raise timeouts.body_idle"
    )]
    BodyTimeout,
    /// The caller went away before the body was complete.
    #[error("the request body ended early; the gateway got no complete request")]
    BodyIncomplete(#[source] hyper::Error),
    /// The body is longer than the gateway takes.
    #[error(
        "the body is larger than the gateway accepts; send at most {limit} bytes (configuration keys: limits.body, and limits.large_body = \"token\" to send larger ones with a token, if their length is declared or large_body is set for the route)"
    )]
    BodyTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The target is longer than the gateway takes.
    #[error("path and query are longer than the gateway accepts (32 KiB); send data in the body")]
    TargetTooLong,
    /// The head of the request is longer than it may be.
    #[error(
        "the request head is too large; send fewer or shorter headers (limits.header, 100 headers)"
    )]
    HeaderTooLarge,
    /// The request expects something else than to be asked for its body.
    #[error("of Expect only 100-continue can be met; send the request without another one")]
    ExpectationFailed,
    /// The request asks for a protocol that is not tunnelled.
    #[error(
        "the proxy switches to websocket only; send the request without another Upgrade header"
    )]
    UpgradeNotSupported,
    /// The proxy failed in a way that is its own fault.
    #[error("the proxy failed; the log of the proxy has details under this request_id")]
    Internal(&'static str),
    /// No connection to the upstream could be made.
    #[error("the gateway cannot be reached; check the network and the upstream's host and port")]
    UpstreamUnreachable(#[source] io::Error),
    /// The proxy of the network did not let the connection through.
    #[error(
        "the proxy of this network does not let connections to the gateway through; correct HTTPS_PROXY, or list the gateway in NO_PROXY"
    )]
    EgressRefused {
        /// The status of its answer.
        status: u16,
    },
    /// The request came back to the proxy that had sent it, or passed too many proxies.
    #[error(
        "the request came back to this proxy, or has passed three others; upstream leads to a proxy and has to be the gateway's address"
    )]
    Loop,
    /// The upstream's name has no address.
    #[error("the gateway's host name cannot be resolved; check upstream and DNS")]
    Dns(#[source] io::Error),
    /// TLS with the upstream failed.
    #[error(
        "no trusted TLS connection to the gateway; check the certificate, upstream_tls.ca_file and the clock"
    )]
    Tls(#[source] io::Error),
    /// The upstream closed the connection before it answered.
    #[error(
        "the gateway closed the connection before it answered; whether it executed the request is unknown"
    )]
    UpstreamReset(#[source] Cause),
    /// The upstream closed the connection before anything of the request was sent.
    #[error(
        "the gateway closed the connection before the request was sent; it was not executed, so try again"
    )]
    NotSent(#[source] Cause),
    /// What the upstream sent is not HTTP.
    #[error("the gateway's answer is not well-formed HTTP; check that upstream is an API gateway")]
    BadResponse(#[source] Cause),
    /// The head of the upstream's answer exceeds `limits.answer_header`, or has too many fields.
    #[error(
        "the head of the gateway's answer is too large; raise limits.answer_header, or have the backend send fewer headers (500 at most)"
    )]
    AnswerHeaderTooLarge,
    /// The body could not be held, since others fill the budget.
    #[error(
        "the proxy holds as many request bodies as it may; try again shortly, or raise limits.buffered"
    )]
    Overloaded,
    /// All connections that there may be to the upstream are in use.
    #[error(
        "all connections to the gateway are in use; try again shortly, or raise pool.connections"
    )]
    NoConnection,
    /// The gateway has refused the key's signatures, and would lock it.
    #[error(
        "the gateway refused several signatures of this key in a row and would lock it; correct the key, see X-Apig-Proxy-Hint of the refusals or the log"
    )]
    KeyLocked {
        /// When the gateway is asked again.
        retry_after: Duration,
    },
    /// There is nothing that requests could show, or it has come to its end.
    #[error(
        "the proxy has no valid credentials at the moment; try again shortly, the log of the proxy says why their source gives none"
    )]
    NoCredentials,
    /// The connection to the upstream took too long.
    #[error(
        "connecting to the gateway took too long; check the network, or raise timeouts.connect"
    )]
    ConnectTimeout,
    /// The upstream took too long to answer.
    #[error(
        "the gateway did not answer in time; whether it executed the request is unknown (timeouts.response)"
    )]
    ResponseTimeout,
}

impl Error {
    /// What it means that no more can be read of a request's body.
    pub(crate) fn from_body(error: hyper::Error) -> Self {
        let cause = error
            .source()
            .and_then(|cause| cause.downcast_ref::<io::Error>());
        let is_malformed = |cause: &io::Error| {
            matches!(
                cause.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            )
        };
        if cause.is_some_and(is_malformed) {
            Self::BadRequest("the chunks of the body, or its trailers, are not well-formed")
        } else {
            Self::BodyIncomplete(error)
        }
    }
}

/// A caller's value, made harmless for the log: visible ASCII, and not long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untrusted(String);

impl Untrusted {
    /// The longest that is kept, in bytes of the value.
    const LENGTH: usize = 100;
}

impl From<&[u8]> for Untrusted {
    fn from(value: &[u8]) -> Self {
        let kept = &value[..value.len().min(Self::LENGTH)];
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

/// How an error is answered.
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
}

impl Error {
    /// How this error is answered.
    #[must_use]
    pub fn answer(&self) -> Answer {
        use Origin::{Client, Proxy, Upstream};
        let denied = "http_request_denied";
        let malformed = "http_request_error";
        let (origin, status, code, proxy_status) = match self {
            Self::BadRequest(_) => (Client, 400, "bad_request", malformed),
            Self::BodyIncomplete(_) => (Client, 400, "bad_request", malformed),
            Self::BadHost => (Client, 400, "bad_host", malformed),
            Self::BadTarget(_) => (Client, 400, "bad_target", malformed),
            Self::TokenRequired => (Client, 401, "token_required", denied),
            Self::HostNotAllowed { .. } => (Client, 403, "host_not_allowed", denied),
            Self::OriginNotAllowed { .. } => (Client, 403, "origin_not_allowed", denied),
            Self::NoRoute => (Client, 404, "no_route", "destination_not_found"),
            Self::MethodNotAllowed { .. } => (Client, 405, "method_not_allowed", denied),
            Self::BodyTimeout => (Client, 408, "body_timeout", malformed),
            Self::BodyTooLarge { .. } => (Client, 413, "body_too_large", malformed),
            Self::TargetTooLong => (Client, 414, "target_too_long", malformed),
            Self::ExpectationFailed => (Client, 417, "bad_request", malformed),
            Self::HeaderTooLarge => (Client, 431, "header_too_large", malformed),
            Self::UpgradeNotSupported => {
                (Client, 501, "upgrade_not_supported", "http_upgrade_failed")
            }
            Self::Internal(_) => (Proxy, 500, "internal", "proxy_internal_error"),
            Self::UpstreamUnreachable(_) | Self::EgressRefused { .. } => (
                Upstream,
                502,
                "upstream_unreachable",
                "destination_ip_unroutable",
            ),
            Self::Dns(_) => (Upstream, 502, "dns_error", "dns_error"),
            Self::Tls(_) => (Upstream, 502, "tls_error", "tls_protocol_error"),
            Self::UpstreamReset(_) | Self::NotSent(_) => {
                (Upstream, 502, "upstream_reset", "connection_terminated")
            }
            Self::Loop => (Proxy, 502, "loop", "proxy_loop_detected"),
            Self::BadResponse(_) | Self::AnswerHeaderTooLarge => {
                (Upstream, 502, "bad_response", "http_protocol_error")
            }
            Self::Overloaded | Self::NoConnection => {
                (Proxy, 503, "overloaded", "connection_limit_reached")
            }
            Self::KeyLocked { .. } => (Proxy, 503, "key_locked", "http_request_denied"),
            Self::NoCredentials => (Proxy, 503, "no_credentials", "proxy_internal_error"),
            Self::ConnectTimeout => (Upstream, 504, "connect_timeout", "connection_timeout"),
            Self::ResponseTimeout => (Upstream, 504, "response_timeout", "http_response_timeout"),
        };
        let retry_after = match self {
            Self::KeyLocked { retry_after } => Some(*retry_after),
            Self::Overloaded | Self::NoConnection | Self::NoCredentials => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        };
        let status = StatusCode::from_u16(status).expect("the table holds valid status codes");
        Answer {
            origin,
            status,
            code,
            proxy_status,
            retry_after,
        }
    }

    /// What caused the error, for the log.
    #[must_use]
    pub fn cause(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Internal(what) => text.push_str(what),
            Self::EgressRefused { status } => text.push_str(&format!("status {status}")),
            Self::HostNotAllowed { host: value } | Self::OriginNotAllowed { value, .. } => {
                text.push_str(&value.0);
            }
            _ => {}
        }
        let mut source = self.source();
        while let Some(error) = source {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}

//! Every error of a request, and the response that the proxy gives to it.
//!
//! One enum and one exhaustive table: a new variant does not compile until its origin, status and
//! code are chosen. The `Display` of a variant is the fixed text that the caller gets: what is
//! wrong, then a `hint:` line with what to do. It holds no value of the caller's, no address and no
//! secret; details for the log are in `source`.

mod answer;

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use crate::config::ServiceError;
use crate::signature::SignatureError;
pub use answer::{Answer, Origin, Retry};

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
        "this proxy serves callers with a token only\nhint: send the token of `access.token_file` as `X-Apig-Proxy-Token`"
    )]
    TokenRequired,
    #[error(
        "this proxy serves known callers only, and the request has no credential that it knows\nhint: send the credential of `apig-proxy caller new`, or the variables that `apig-proxy run` sets: sign with it, or send its token as `Authorization: Bearer` or `X-Apig-Proxy-Token`"
    )]
    CallerRequired,
    #[error("the caller's signature was rejected: {0}")]
    CallerSignature(String),
    #[error("this caller may not do that: {0}")]
    CallerNotAllowed(&'static str),
    #[error("{0}\nhint: try again after the time of `Retry-After`")]
    CallerLimited(&'static str, Duration),
    #[error(
        "only reading is allowed here (`read_only`): GET, HEAD and OPTIONS, without WebSockets and headers that name another method\nhint: list requests in `reads` that only read although their method is another"
    )]
    ReadOnly,
    #[error(
        "this Host may not use the proxy\nhint: call it as `localhost`, or add the name to `access.hosts`; as a reverse proxy, it cannot be used as `HTTP_PROXY`"
    )]
    HostNotAllowed { host: Untrusted },
    #[error("{reason}")]
    OriginNotAllowed {
        reason: &'static str,
        value: Untrusted,
    },
    #[error(
        "no route takes this path\nhint: add a `[[route]]` for it, a top-level `upstream`, or the path to the route's `paths`, and write it without `//` and needless `%` escapes"
    )]
    NoRoute,
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(
        "this method is not allowed\nhint: use one that the Allow header lists, without `X-HTTP-Method-Override` and the like, or add it to `methods` (not CONNECT and TRACE)"
    )]
    MethodNotAllowed { allow: String },
    #[error(
        "the request body stopped arriving\nhint: send it without long pauses, or raise `timeouts.body_idle`"
    )]
    BodyTimeout,
    #[error("the request body ended early, so the gateway got no complete request")]
    BodyIncomplete(#[source] hyper::Error),
    #[error("the body is larger than {limit} bytes\nhint: send a smaller one, or {hint}")]
    BodyTooLarge { limit: u64, hint: &'static str },
    #[error(
        "path and query are longer than the gateway accepts (32 KiB)\nhint: send data in the body"
    )]
    TargetTooLong,
    #[error(
        "the request head is too large (`limits.header`, 100 headers)\nhint: send fewer or shorter headers"
    )]
    HeaderTooLarge,
    #[error(
        "only `Expect: 100-continue` is supported\nhint: send the request without another expectation"
    )]
    ExpectationFailed,
    #[error(
        "the proxy switches to `websocket` only\nhint: send the request without another Upgrade header"
    )]
    UpgradeNotSupported,
    #[error("the proxy failed\nhint: look for this request_id in the log of the proxy")]
    Internal(&'static str),
    #[error(
        "the gateway cannot be reached\nhint: check the network, and host and port in `upstream` or `[cloud]`"
    )]
    UpstreamUnreachable(#[source] io::Error),
    #[error(
        "the egress proxy of `HTTPS_PROXY` cannot be used\nhint: check its host and port, or list the gateway in `NO_PROXY`"
    )]
    EgressUnreachable(#[source] io::Error),
    #[error(
        "the egress proxy of `HTTPS_PROXY` requires a user and a password (407)\nhint: write `http://user:password@host:port`, with special characters percent-encoded"
    )]
    EgressPassword,
    #[error(
        "the egress proxy of `HTTPS_PROXY` does not let connections to the gateway through\nhint: ask its operator to allow the gateway, or list the gateway in `NO_PROXY`"
    )]
    EgressRefused { status: u16 },
    #[error(
        "the request came back to this proxy, or has passed three others\nhint: set `upstream` to the gateway's address, not to a proxy"
    )]
    Loop,
    #[error(
        "the gateway's host name cannot be resolved\nhint: check the host in `upstream` or `[cloud]`, and DNS"
    )]
    Dns(#[source] io::Error),
    #[error("there is no trusted TLS connection to the gateway: {0}")]
    Tls(&'static str, #[source] io::Error),
    #[error(
        "the gateway requires a client certificate that it trusts\nhint: set `upstream_tls.cert_file` and `upstream_tls.key_file`"
    )]
    ClientCertificate(#[source] Cause),
    #[error(
        "the gateway closed the connection before it answered; whether it executed the request is unknown"
    )]
    UpstreamReset(#[source] Cause, Retry),
    #[error(
        "the gateway ended the upload because nothing of the body came for 8 seconds\nhint: send the body without such pauses, or have `request_body_timeout` of the gateway raised"
    )]
    UploadPaused(#[source] Cause),
    #[error(
        "the gateway closed the connection before the request was sent; it was not executed\nhint: try again"
    )]
    NotSent(#[source] Cause),
    #[error(
        "the gateway's response is not well-formed HTTP\nhint: check that `upstream` is an API gateway, and whether its port wants `https://`"
    )]
    BadResponse(#[source] Cause),
    #[error(
        "the head of the gateway's response is too large\nhint: raise `limits.answer_header`, or have the backend send fewer headers (500 at most)"
    )]
    AnswerHeaderTooLarge,
    #[error(
        "the memory for request bodies is used up\nhint: try again shortly, or raise `limits.buffered`"
    )]
    Overloaded,
    #[error(
        "all connections to the gateway are in use\nhint: try again shortly, or raise `pool.connections`"
    )]
    NoConnection,
    #[error(
        "the gateway refused several signatures of this key in a row and would lock it\nhint: correct the key; `X-Apig-Proxy-Hint` of the refusals and the log say what is wrong"
    )]
    KeyLocked { retry_after: Duration },
    #[error(
        "the gateway refused requests of this route with `//` in the path and would lock the key\nhint: send the path without `//`, which a base URL with a `/` at its end makes"
    )]
    PathsRefused { retry_after: Duration },
    #[error(
        "the proxy has no valid credentials at the moment\nhint: try again shortly; the log of the proxy says why their source gives none"
    )]
    NoCredentials,
    #[error(
        "connecting to the gateway took too long\nhint: check the network, its egress proxy (`HTTPS_PROXY`) if there is one, or raise `timeouts.connect`"
    )]
    ConnectTimeout,
    #[error(
        "the gateway did not answer in time (`timeouts.response`); whether it executed the request is unknown"
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

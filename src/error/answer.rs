//! The response that the proxy gives to each error.

use std::io;
use std::time::Duration;

use http::StatusCode;

use super::Error;
use crate::config::ServiceError;

/// Whose fault an error is.
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
#[allow(missing_docs, reason = "the types say what most fields are")]
pub struct Answer {
    pub origin: Origin,
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

const DENIED: &str = "http_request_denied";
const NOT_FOUND: &str = "destination_not_found";
const MALFORMED: &str = "http_request_error";
const UNROUTABLE: &str = "destination_ip_unroutable";

impl Error {
    /// The response to the error.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let (origin, status, code, proxy_status) = self.row();
        Answer {
            origin,
            status: StatusCode::from_u16(status).expect("the table holds valid status codes"),
            code,
            proxy_status,
            retry_after: match self {
                Self::CallerLimited(_, after) => Some(*after),
                Self::KeyLocked { retry_after } | Self::PathsRefused { retry_after } => {
                    Some(*retry_after)
                }
                Self::Overloaded | Self::NoConnection | Self::NoCredentials => {
                    Some(Duration::from_secs(1))
                }
                _ => None,
            },
            retry: match self {
                Self::UpstreamReset(_, retry) => *retry,
                Self::NotSent(_) => Retry::Always,
                _ => Retry::Never,
            },
        }
    }

    /// The table of all errors: origin, status, code, and error type of `Proxy-Status`.
    fn row(&self) -> (Origin, u16, &'static str, &'static str) {
        use Origin::{Client, Proxy, Upstream};
        use ServiceError::{NotAllowed, SignsOtherwise};
        match self {
            Self::BadRequest(_) | Self::BodyIncomplete(_) => {
                (Client, 400, "bad_request", MALFORMED)
            }
            Self::BadHost => (Client, 400, "bad_host", MALFORMED),
            Self::BadTarget(_) => (Client, 400, "bad_target", MALFORMED),
            Self::TokenRequired => (Client, 401, "token_required", DENIED),
            Self::CallerRequired => (Client, 401, "caller_required", DENIED),
            Self::CallerSignature(_) => (Client, 401, "caller_signature", DENIED),
            Self::CallerNotAllowed(_) => (Client, 403, "caller_not_allowed", DENIED),
            Self::CallerLimited(..) => (Client, 429, "caller_limited", DENIED),
            Self::ReadOnly => (Client, 403, "read_only", DENIED),
            Self::HostNotAllowed { .. } => (Client, 403, "host_not_allowed", DENIED),
            Self::OriginNotAllowed { .. } => (Client, 403, "origin_not_allowed", DENIED),
            Self::NoRoute => (Client, 404, "no_route", NOT_FOUND),
            Self::Service(NotAllowed { .. }) => (Client, 404, "service_not_allowed", NOT_FOUND),
            Self::Service(SignsOtherwise) => (Client, 501, "service_signs_otherwise", NOT_FOUND),
            Self::MethodNotAllowed { .. } => (Client, 405, "method_not_allowed", DENIED),
            Self::BodyTimeout => (Client, 408, "body_timeout", MALFORMED),
            Self::BodyTooLarge { .. } => (Client, 413, "body_too_large", MALFORMED),
            Self::TargetTooLong => (Client, 414, "target_too_long", MALFORMED),
            Self::ExpectationFailed => (Client, 417, "bad_request", MALFORMED),
            Self::HeaderTooLarge => (Client, 431, "header_too_large", MALFORMED),
            Self::UpgradeNotSupported => {
                (Client, 501, "upgrade_not_supported", "http_upgrade_failed")
            }
            Self::Internal(_) => (Proxy, 500, "internal", "proxy_internal_error"),
            Self::UpstreamUnreachable(error) if is_refused(error) => {
                (Upstream, 502, "upstream_unreachable", "connection_refused")
            }
            Self::UpstreamUnreachable(_)
            | Self::EgressUnreachable(_)
            | Self::EgressPassword
            | Self::EgressRefused { .. } => (Upstream, 502, "upstream_unreachable", UNROUTABLE),
            Self::Dns(_) => (Upstream, 502, "dns_error", "dns_error"),
            Self::Tls(..) | Self::ClientCertificate(_) => {
                (Upstream, 502, "tls_error", "tls_protocol_error")
            }
            Self::UpstreamReset(..) | Self::UploadPaused(_) | Self::NotSent(_) => {
                (Upstream, 502, "upstream_reset", "connection_terminated")
            }
            Self::Loop => (Proxy, 502, "loop", "proxy_loop_detected"),
            Self::BadResponse(_) | Self::AnswerHeaderTooLarge => {
                (Upstream, 502, "bad_response", "http_protocol_error")
            }
            Self::Overloaded | Self::NoConnection => {
                (Proxy, 503, "overloaded", "connection_limit_reached")
            }
            Self::KeyLocked { .. } | Self::PathsRefused { .. } => {
                (Proxy, 503, "key_locked", DENIED)
            }
            Self::NoCredentials => (Proxy, 503, "no_credentials", "proxy_internal_error"),
            Self::ConnectTimeout => (Upstream, 504, "connect_timeout", "connection_timeout"),
            Self::ResponseTimeout => (Upstream, 504, "response_timeout", "http_response_timeout"),
        }
    }
}

fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

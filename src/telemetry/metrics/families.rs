//! Every metric, with its type and labels: the one table that `/metrics` and the README are held to.

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name as it is exposed.
    pub name: &'static str,
    /// How it is to be read.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means, in one line.
    pub meaning: &'static str,
}

/// How a metric is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It is what it is now.
    Gauge,
    /// It counts durations in classes.
    Histogram,
}

pub(super) const REQUESTS: Family = Family {
    name: "apig_proxy_requests_total",
    kind: Kind::Counter,
    labels: &["route", "method", "code", "outcome"],
    meaning: "Requests of callers, by what became of them",
};

pub(super) const REQUEST_DURATION: Family = Family {
    name: "apig_proxy_request_duration_seconds",
    kind: Kind::Histogram,
    labels: &[],
    meaning: "From the head of a request to the last byte of its answer",
};

pub(super) const UPSTREAM_DURATION: Family = Family {
    name: "apig_proxy_upstream_duration_seconds",
    kind: Kind::Histogram,
    labels: &[],
    meaning: "From beginning to send a signed request to the head of the gateway's answer",
};

pub(super) const SIGNING_DURATION: Family = Family {
    name: "apig_proxy_signing_duration_seconds",
    kind: Kind::Histogram,
    labels: &[],
    meaning: "Making a signature, without hashing the body, which is done while that arrives",
};

pub(super) const IN_FLIGHT: Family = Family {
    name: "apig_proxy_in_flight",
    kind: Kind::Gauge,
    labels: &[],
    meaning: "Requests whose answer has not been written to its last byte, open WebSockets included",
};

pub(super) const BUFFERED: Family = Family {
    name: "apig_proxy_buffered_bytes",
    kind: Kind::Gauge,
    labels: &[],
    meaning: "Memory taken for request bodies that are hashed, out of limits.buffered",
};

pub(super) const CLOCK_SKEW: Family = Family {
    name: "apig_proxy_clock_skew_seconds",
    kind: Kind::Gauge,
    labels: &["upstream"],
    meaning: "By how much the gateway's clock is ahead of this machine's; 0 while they may agree",
};

pub(super) const GATEWAY_ERRORS: Family = Family {
    name: "apig_proxy_gateway_errors_total",
    kind: Kind::Counter,
    labels: &["error_code"],
    meaning: "Errors in the gateway's own name, those after which a request was sent again included",
};

pub(super) const CREDENTIALS_EXPIRY: Family = Family {
    name: "apig_proxy_credentials_expiry_seconds",
    kind: Kind::Gauge,
    labels: &["credentials", "kind"],
    meaning: "How long a key or token is still good; not told of those without an end",
};

pub(super) const CREDENTIALS_AGE: Family = Family {
    name: "apig_proxy_credentials_age_seconds",
    kind: Kind::Gauge,
    labels: &["credentials", "kind"],
    meaning: "How long ago a key or token was read, or given by a service",
};

pub(super) const CREDENTIALS_REFRESH: Family = Family {
    name: "apig_proxy_credentials_refresh_total",
    kind: Kind::Counter,
    labels: &["credentials", "kind", "result"],
    meaning: "How often a key or token was to be had anew: ok, or failed",
};

pub(super) const CREDENTIALS_SUCCESSFUL: Family = Family {
    name: "apig_proxy_credentials_last_refresh_successful",
    kind: Kind::Gauge,
    labels: &["credentials", "kind"],
    meaning: "1 if a key or token could be had the last time that was tried, else 0",
};

pub(super) const KEY_LOCKED: Family = Family {
    name: "apig_proxy_key_locked",
    kind: Kind::Gauge,
    labels: &[],
    meaning: "1 while requests are refused so that the gateway does not lock the key, else 0",
};

pub(super) const UPSTREAM_CONNECTIONS: Family = Family {
    name: "apig_proxy_upstream_connections",
    kind: Kind::Gauge,
    labels: &["upstream", "state"],
    meaning: "Connections to the gateway: idle ones, and active ones, which are those being opened too",
};

pub(super) const LOG_DROPPED: Family = Family {
    name: "apig_proxy_log_dropped_total",
    kind: Kind::Counter,
    labels: &[],
    meaning: "Lines of the log that standard error did not take",
};

pub(super) const BUILD: Family = Family {
    name: "apig_proxy_build_info",
    kind: Kind::Gauge,
    labels: &["version"],
    meaning: "The version that runs; always 1",
};

/// All metrics, in the order in which they are exposed.
pub const FAMILIES: [Family; 16] = [
    REQUESTS,
    REQUEST_DURATION,
    UPSTREAM_DURATION,
    SIGNING_DURATION,
    IN_FLIGHT,
    BUFFERED,
    CLOCK_SKEW,
    GATEWAY_ERRORS,
    CREDENTIALS_EXPIRY,
    CREDENTIALS_AGE,
    CREDENTIALS_REFRESH,
    CREDENTIALS_SUCCESSFUL,
    KEY_LOCKED,
    UPSTREAM_CONNECTIONS,
    LOG_DROPPED,
    BUILD,
];

//! The table of all metric families. `/metrics`, the README and the dashboard are tested against it.

use prometheus_client::metrics::MetricType;

/// A metric family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The name, as exposed.
    pub name: &'static str,
    /// The type, as exposed.
    pub kind: MetricType,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// The HELP text.
    pub help: &'static str,
}

/// All metric families, in the order of exposition.
pub const FAMILIES: [Family; 16] = [
    counter(
        "apig_proxy_requests_total",
        &["route", "method", "code", "outcome"],
        "Requests, by route, method, status code and outcome",
    ),
    histogram(
        "apig_proxy_request_duration_seconds",
        "Time from reading the request head to writing the last byte of the response",
    ),
    histogram(
        "apig_proxy_upstream_duration_seconds",
        "Time from sending a signed request to receiving the head of the gateway's response",
    ),
    histogram(
        "apig_proxy_signing_duration_seconds",
        "Time to compute a signature, without hashing the body",
    ),
    gauge(
        "apig_proxy_in_flight",
        &[],
        "Requests whose response is not yet written to its last byte, including open WebSockets",
    ),
    gauge(
        "apig_proxy_buffered_bytes",
        &[],
        "Memory held for request bodies that are hashed, bounded by limits.buffered",
    ),
    gauge(
        "apig_proxy_clock_skew_seconds",
        &["upstream"],
        "Seconds by which the gateway's clock is ahead of this machine's; 0 if they may agree",
    ),
    counter(
        "apig_proxy_gateway_errors_total",
        &["error_code"],
        "Errors returned by the gateway itself, including those followed by a retry",
    ),
    gauge(
        "apig_proxy_credentials_expiry_seconds",
        &["credentials", "kind"],
        "Seconds until the credential expires; absent if it never expires",
    ),
    gauge(
        "apig_proxy_credentials_age_seconds",
        &["credentials", "kind"],
        "Seconds since the credential was read or issued",
    ),
    counter(
        "apig_proxy_credentials_refresh_total",
        &["credentials", "kind", "result"],
        "Credential refresh attempts, by result: ok or failed",
    ),
    gauge(
        "apig_proxy_credentials_last_refresh_successful",
        &["credentials", "kind"],
        "1 if the last refresh of the credential succeeded, else 0",
    ),
    gauge(
        "apig_proxy_key_locked",
        &[],
        "1 while requests are refused to keep the gateway from locking the access key, else 0",
    ),
    gauge(
        "apig_proxy_upstream_connections",
        &["upstream", "state"],
        "Connections to the gateway, by state: idle or active; active includes those being opened",
    ),
    counter(
        "apig_proxy_log_dropped_total",
        &[],
        "Log lines dropped because standard error did not take them",
    ),
    gauge(
        "apig_proxy_build_info",
        &["version"],
        "The running version; always 1",
    ),
];

const fn counter(name: &'static str, labels: &'static [&str], help: &'static str) -> Family {
    let kind = MetricType::Counter;
    Family {
        name,
        kind,
        labels,
        help,
    }
}

const fn gauge(name: &'static str, labels: &'static [&str], help: &'static str) -> Family {
    let kind = MetricType::Gauge;
    Family {
        name,
        kind,
        labels,
        help,
    }
}

const fn histogram(name: &'static str, help: &'static str) -> Family {
    let kind = MetricType::Histogram;
    Family {
        name,
        kind,
        labels: &[],
        help,
    }
}

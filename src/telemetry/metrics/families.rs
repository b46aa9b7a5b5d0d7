//! The table of all metric families. `/metrics`, the README and the dashboard are tested against
//! it.

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
pub const FAMILIES: [Family; 17] = [
    Family {
        name: "apig_proxy_requests_total",
        kind: MetricType::Counter,
        labels: &["route", "method", "code", "outcome", "caller"],
        help: "Requests, by route, method, status code and outcome; by caller where callers are known",
    },
    Family {
        name: "apig_proxy_request_duration_seconds",
        kind: MetricType::Histogram,
        labels: &[],
        help: "Time from reading the request head to writing the last byte of the response",
    },
    Family {
        name: "apig_proxy_upstream_duration_seconds",
        kind: MetricType::Histogram,
        labels: &[],
        help: "Time from sending a signed request to receiving the head of the gateway's response",
    },
    Family {
        name: "apig_proxy_signing_duration_seconds",
        kind: MetricType::Histogram,
        labels: &[],
        help: "Time to compute a signature, without hashing the body",
    },
    Family {
        name: "apig_proxy_in_flight",
        kind: MetricType::Gauge,
        labels: &[],
        help: "Requests whose response is not yet written to its last byte, including open WebSockets",
    },
    Family {
        name: "apig_proxy_buffered_bytes",
        kind: MetricType::Gauge,
        labels: &[],
        help: "Memory held for request bodies that are hashed, bounded by limits.buffered",
    },
    Family {
        name: "apig_proxy_clock_skew_seconds",
        kind: MetricType::Gauge,
        labels: &["upstream"],
        help: "Seconds by which the gateway's clock is ahead of this machine's; 0 if they may agree",
    },
    Family {
        name: "apig_proxy_gateway_errors_total",
        kind: MetricType::Counter,
        labels: &["error_code"],
        help: "Errors returned by the gateway itself, including those followed by a retry",
    },
    Family {
        name: "apig_proxy_credentials_expiry_seconds",
        kind: MetricType::Gauge,
        labels: &["credentials", "kind"],
        help: "Seconds until the credential expires; absent if it never expires",
    },
    Family {
        name: "apig_proxy_credentials_age_seconds",
        kind: MetricType::Gauge,
        labels: &["credentials", "kind"],
        help: "Seconds since the credential was read or issued",
    },
    Family {
        name: "apig_proxy_credentials_refresh_total",
        kind: MetricType::Counter,
        labels: &["credentials", "kind", "result"],
        help: "Credential refresh attempts, by result: ok or failed",
    },
    Family {
        name: "apig_proxy_credentials_last_refresh_successful",
        kind: MetricType::Gauge,
        labels: &["credentials", "kind"],
        help: "1 if the last refresh of the credential succeeded, else 0",
    },
    Family {
        name: "apig_proxy_key_locked",
        kind: MetricType::Gauge,
        labels: &[],
        help: "1 while requests are refused to keep the gateway from locking the access key, else 0",
    },
    Family {
        name: "apig_proxy_upstream_connections",
        kind: MetricType::Gauge,
        labels: &["upstream", "state"],
        help: "Connections to the gateway, by state: idle or active; active includes those being opened",
    },
    Family {
        name: "apig_proxy_log_dropped_total",
        kind: MetricType::Counter,
        labels: &[],
        help: "Log lines dropped because standard error did not take them",
    },
    Family {
        name: "apig_proxy_inspect_dropped_total",
        kind: MetricType::Counter,
        labels: &[],
        help: "Notes of requests that the inspector lost because it did not take them in time",
    },
    Family {
        name: "apig_proxy_build_info",
        kind: MetricType::Gauge,
        labels: &["version"],
        help: "The running version; always 1",
    },
];

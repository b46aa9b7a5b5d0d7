//! The table of all metric families, and their exposition in the Prometheus text format. The
//! documentation and the dashboard are tested against the table.

use std::fmt;
use std::iter::zip;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Metrics;

/// The media type of the exposition.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Name, labels and HELP text of each family, in the order of exposition.
const FAMILIES: &str = "\
apig_proxy_requests_total|route,method,code,outcome,caller|Requests, by route, method, status code and outcome; by caller where callers are known
apig_proxy_request_duration_seconds||Time from reading the request head to writing the last byte of the response
apig_proxy_upstream_duration_seconds||Time from sending a signed request to receiving the head of the gateway's response
apig_proxy_signing_duration_seconds||Time to compute a signature, without hashing the body
apig_proxy_in_flight||Requests whose response is not yet written to its last byte, including open WebSockets
apig_proxy_buffered_bytes||Memory held for request bodies that are hashed, bounded by limits.buffered
apig_proxy_clock_skew_seconds|upstream|Seconds by which the gateway's clock is ahead of this machine's; 0 if they may agree
apig_proxy_gateway_errors_total|error_code|Errors returned by the gateway itself, including those followed by a retry
apig_proxy_credentials_expiry_seconds|credentials,kind|Seconds until the credential expires; absent if it never expires
apig_proxy_credentials_age_seconds|credentials,kind|Seconds since the credential was read or issued
apig_proxy_credentials_refresh_total|credentials,kind,result|Credential refresh attempts, by result: ok or failed
apig_proxy_credentials_last_refresh_successful|credentials,kind|1 if the last refresh of the credential succeeded, else 0
apig_proxy_key_locked||1 while requests are refused to keep the gateway from locking the access key, else 0
apig_proxy_upstream_connections|upstream,state|Connections to the gateway, by state: idle or active; active includes those being opened
apig_proxy_log_dropped_total||Log lines dropped because standard error did not take them
apig_proxy_inspect_dropped_total||Requests, and notes of requests, that came too fast for the inspector to record
apig_proxy_build_info|version|The running version; always 1";

/// A metric family.
#[derive(Clone, Debug)]
pub struct Family {
    /// The name, as exposed.
    pub name: &'static str,
    /// The type, as exposed: the end of the name tells it.
    pub kind: MetricType,
    /// The names of the labels.
    pub labels: Vec<&'static str>,
    /// The HELP text.
    pub help: &'static str,
}

/// All metric families, in the order of exposition.
pub fn families() -> impl Iterator<Item = Family> {
    FAMILIES.lines().map(|row| {
        let mut cells = row.splitn(3, '|').map(str::trim);
        let mut cell = || cells.next().unwrap_or_default();
        let (name, labels, help) = (cell(), cell(), cell());
        let kind = match name {
            _ if name.ends_with("_total") => MetricType::Counter,
            _ if name.ends_with("_duration_seconds") => MetricType::Histogram,
            _ => MetricType::Gauge,
        };
        let labels = labels.split(',').filter(|label| !label.is_empty());
        let labels = labels.collect();
        Family {
            name,
            kind,
            labels,
            help,
        }
    })
}

/// A value that is read at exposition: all that other parts of the program count or measure.
#[derive(Clone, Debug)]
pub struct Sample {
    name: &'static str,
    labels: Vec<String>,
    value: f64,
}

impl Sample {
    /// A value of the family `name`, with the values of its labels in the order of the table.
    pub fn new(name: &'static str, labels: &[&str], value: f64) -> Self {
        Self {
            name,
            labels: labels.iter().map(ToString::to_string).collect(),
            value,
        }
    }

    fn encode(&self, family: &Family, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        let names = family.labels.iter().copied();
        let labels: Vec<_> = zip(names, self.labels.iter().map(String::as_str)).collect();
        let mut encoder = encoder.encode_family(&labels)?;
        if family.kind == MetricType::Counter {
            encoder.encode_counter::<NoLabelSet, _, f64>(&(self.value as u64), None)
        } else if self.value.fract() == 0.0 {
            // Written without a fraction, as most of them are counts.
            encoder.encode_gauge(&(self.value as i64))
        } else {
            encoder.encode_gauge(&self.value)
        }
    }
}

impl Metrics {
    /// All metrics in the Prometheus text format, together with the samples of other parts.
    pub fn text(&self, mut samples: Vec<Sample>) -> String {
        let version = env!("CARGO_PKG_VERSION");
        samples.push(Sample::new("apig_proxy_build_info", &[version], 1.0));
        let metrics = self.clone();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Snapshot { metrics, samples }));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("writing to a string cannot fail");
        text
    }
}

/// All families at one moment. The registry by itself would leave out families without a sample.
#[derive(Debug)]
struct Snapshot {
    metrics: Metrics,
    samples: Vec<Sample>,
}

impl Collector for Snapshot {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        for family in families() {
            // The encoder appends the suffix to the names of counters.
            let name = family.name.trim_end_matches("_total");
            let mut encoder = out.encode_descriptor(name, family.help, None, family.kind)?;
            match family.name.trim_start_matches("apig_proxy_") {
                "requests_total" => metrics.requests.encode(encoder)?,
                "request_duration_seconds" => metrics.request_duration.encode(encoder)?,
                "upstream_duration_seconds" => metrics.upstream_duration.encode(encoder)?,
                "signing_duration_seconds" => metrics.signing_duration.encode(encoder)?,
                "in_flight" => metrics.in_flight.encode(encoder)?,
                "gateway_errors_total" => metrics.gateway_errors.encode(encoder)?,
                _ => {
                    let samples = self.samples.iter();
                    for sample in samples.filter(|sample| sample.name == family.name) {
                        sample.encode(&family, &mut encoder)?;
                    }
                }
            }
        }
        Ok(())
    }
}

//! The exposition: all families, in the Prometheus text format.

use std::fmt;
use std::iter::zip;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{FAMILIES, Family, Metrics};

/// The media type of the exposition.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// A value that is read at exposition: all that other parts of the program count or measure.
#[derive(Clone, Debug)]
pub struct Sample {
    name: &'static str,
    labels: Vec<String>,
    value: f64,
}

impl Sample {
    /// A value of the family `name`, with the values of its labels in the order of [`FAMILIES`].
    #[must_use]
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
    #[must_use]
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
        for family in &FAMILIES {
            // The encoder appends the suffix to the names of counters.
            let name = family.name.trim_end_matches("_total");
            let mut encoder = out.encode_descriptor(name, family.help, None, family.kind)?;
            match family.name {
                "apig_proxy_requests_total" => metrics.requests.encode(encoder)?,
                "apig_proxy_request_duration_seconds" => {
                    metrics.request_duration.encode(encoder)?
                }
                "apig_proxy_upstream_duration_seconds" => {
                    metrics.upstream_duration.encode(encoder)?
                }
                "apig_proxy_signing_duration_seconds" => {
                    metrics.signing_duration.encode(encoder)?
                }
                "apig_proxy_in_flight" => metrics.in_flight.encode(encoder)?,
                "apig_proxy_gateway_errors_total" => metrics.gateway_errors.encode(encoder)?,
                name => {
                    for sample in self.samples.iter().filter(|sample| sample.name == name) {
                        sample.encode(family, &mut encoder)?;
                    }
                }
            }
        }
        Ok(())
    }
}

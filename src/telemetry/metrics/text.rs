//! The text that Prometheus reads.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::families::{
    BUFFERED, BUILD, CLOCK_SKEW, CREDENTIALS_AGE, CREDENTIALS_EXPIRY, CREDENTIALS_REFRESH,
    CREDENTIALS_SUCCESSFUL, GATEWAY_ERRORS, IN_FLIGHT, KEY_LOCKED, LOG_DROPPED, REQUEST_DURATION,
    REQUESTS, SIGNING_DURATION, UPSTREAM_CONNECTIONS, UPSTREAM_DURATION,
};
use super::histogram::{Histogram, Observed};
use super::labels::RequestLabels;
use super::{Family, Kind, LONG, Metrics, NO_ROUTE, SHORT, Shard};

/// The media type of the text.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// What is not counted here, but known elsewhere at the moment.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Bytes that hashed bodies take.
    pub buffered: u64,
    /// Whether requests are refused so that the key is not locked.
    pub is_key_locked: bool,
    /// Seconds by which each upstream's clock is ahead.
    pub clock_skew: Vec<(String, i64)>,
    /// Connections to each upstream.
    pub connections: Vec<(String, Connections)>,
    /// Lines of the log that were dropped.
    pub dropped_lines: u64,
    /// Keys and tokens.
    pub credentials: Vec<Credential>,
}

/// A key or token.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The name of its set.
    pub set: String,
    /// What it is for.
    pub kind: String,
    /// How long it is still good, if that has an end.
    pub left: Option<Duration>,
    /// How long ago it was had.
    pub age: Option<Duration>,
    /// How often it was had anew.
    pub renewed: u64,
    /// How often that failed.
    pub failed: u64,
    /// Whether it failed the last time.
    pub is_failing: bool,
}

/// Connections to one upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Those that are kept for a request.
    pub idle: usize,
    /// Those that carry one, or are opened for one.
    pub active: usize,
}

impl Metrics {
    /// Everything, in the Prometheus text format.
    #[must_use]
    pub fn text(&self, state: State) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.snapshot(state)));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("writing to a string cannot fail");
        text
    }

    fn snapshot(&self, state: State) -> Snapshot {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let in_flight = shards
            .iter()
            .map(|shard| shard.in_flight.load(Ordering::Relaxed));
        let sum = |bounds, of: fn(&Shard) -> &Histogram| {
            Histogram::sum(bounds, shards.iter().map(|shard| of(shard)))
        };
        Snapshot {
            routes: self
                .routes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            requests: self.requests.sums(),
            gateway_errors: self.gateway_errors.sums(),
            in_flight: in_flight.sum(),
            durations: [
                (REQUEST_DURATION, sum(LONG, |shard| &shard.request)),
                (UPSTREAM_DURATION, sum(LONG, |shard| &shard.upstream)),
                (SIGNING_DURATION, sum(SHORT, |shard| &shard.signing)),
            ],
            state,
        }
    }
}

/// All numbers of one moment.
#[derive(Debug)]
struct Snapshot {
    routes: Vec<Arc<str>>,
    requests: Vec<(RequestLabels, u64)>,
    gateway_errors: Vec<(String, u64)>,
    in_flight: u64,
    durations: [(Family, Observed); 3],
    state: State,
}

impl Collector for Snapshot {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut out;
        self.encode_requests(out)?;
        for (family, observed) in &self.durations {
            let Observed {
                buckets,
                count,
                seconds,
            } = observed;
            begin(out, family)?.encode_histogram::<NoLabelSet>(*seconds, *count, buckets, None)?;
        }
        let state = &self.state;
        begin(out, &IN_FLIGHT)?.encode_gauge(&self.in_flight)?;
        begin(out, &BUFFERED)?.encode_gauge(&state.buffered)?;
        let mut skews = begin(out, &CLOCK_SKEW)?;
        for (upstream, ahead) in &state.clock_skew {
            let labels = [("upstream", upstream.as_str())];
            skews.encode_family(&labels)?.encode_gauge(ahead)?;
        }
        let mut errors = begin(out, &GATEWAY_ERRORS)?;
        for (code, count) in &self.gateway_errors {
            let labels = [("error_code", code.as_str())];
            encode_count(&mut errors.encode_family(&labels)?, *count)?;
        }
        self.encode_credentials(out)?;
        begin(out, &KEY_LOCKED)?.encode_gauge(&u64::from(state.is_key_locked))?;
        self.encode_connections(out)?;
        encode_count(&mut begin(out, &LOG_DROPPED)?, state.dropped_lines)?;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let mut build = begin(out, &BUILD)?;
        build.encode_family(&version)?.encode_gauge(&1_u64)
    }
}

impl Snapshot {
    fn encode_requests(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut requests = begin(out, &REQUESTS)?;
        for (labels, count) in &self.requests {
            let route = labels.route.and_then(|route| self.routes.get(route));
            let labels = [
                ("route", route.map_or(NO_ROUTE, |name| &**name)),
                ("method", labels.method.name()),
                ("code", &labels.code.to_string()),
                ("outcome", &labels.outcome.to_string()),
            ];
            encode_count(&mut requests.encode_family(&labels)?, *count)?;
        }
        Ok(())
    }

    fn encode_credentials(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = &self.state.credentials;
        let labels = |of: &Credential| [("credentials", of.set.clone()), ("kind", of.kind.clone())];
        for family in [CREDENTIALS_EXPIRY, CREDENTIALS_AGE] {
            let mut gauges = begin(out, &family)?;
            for of in all {
                let time = if family == CREDENTIALS_EXPIRY {
                    of.left
                } else {
                    of.age
                };
                if let Some(time) = time {
                    let seconds = time.as_secs_f64();
                    gauges.encode_family(&labels(of))?.encode_gauge(&seconds)?;
                }
            }
        }
        let mut refreshes = begin(out, &CREDENTIALS_REFRESH)?;
        for of in all {
            for (result, count) in [("ok", of.renewed), ("failed", of.failed)] {
                let [set, kind] = labels(of);
                let labels = [set, kind, ("result", result.to_owned())];
                encode_count(&mut refreshes.encode_family(&labels)?, count)?;
            }
        }
        let mut successes = begin(out, &CREDENTIALS_SUCCESSFUL)?;
        for of in all {
            let is_good = u64::from(!of.is_failing);
            successes
                .encode_family(&labels(of))?
                .encode_gauge(&is_good)?;
        }
        Ok(())
    }

    fn encode_connections(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut connections = begin(out, &UPSTREAM_CONNECTIONS)?;
        for (upstream, Connections { idle, active }) in &self.state.connections {
            for (state, count) in [("idle", *idle), ("active", *active)] {
                let labels = [("upstream", upstream.as_str()), ("state", state)];
                let count = count as u64;
                connections.encode_family(&labels)?.encode_gauge(&count)?;
            }
        }
        Ok(())
    }
}

/// Writes what a family is, and goes on to its numbers.
fn begin<'a>(
    out: &'a mut DescriptorEncoder<'_>,
    family: &Family,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    // The encoder adds it again to counters.
    let name = family.name.strip_suffix("_total").unwrap_or(family.name);
    out.encode_descriptor(name, family.meaning, None, kind)
}

fn encode_count(encoder: &mut MetricEncoder<'_>, count: u64) -> fmt::Result {
    encoder.encode_counter::<NoLabelSet, _, f64>(&count, None)
}

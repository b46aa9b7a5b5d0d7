//! What the pipeline knows at the moment, for whoever asks from another thread.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Settings;
use super::body::RequestBody;
use crate::credentials::FeedStatus;
use crate::telemetry;
use crate::telemetry::metrics::Sample;
use crate::upstream::{PoolStats, Upstream};

/// The pools of all workers.
#[derive(Debug, Default)]
pub(super) struct Pools(Mutex<Vec<Pool>>);

#[derive(Debug)]
struct Pool {
    origin: usize,
    upstream: String,
    stats: PoolStats,
}

impl Pools {
    /// Watches the pools of one more worker.
    pub(super) fn watch(&self, upstream: &Upstream<RequestBody>) {
        let pools = upstream.pool_stats().enumerate();
        let pools = pools.map(|(origin, (name, stats))| Pool {
            origin,
            upstream: name.to_owned(),
            stats,
        });
        self.pools().extend(pools);
    }

    fn pools(&self) -> MutexGuard<'_, Vec<Pool>> {
        // Every change leaves it whole, so a panic elsewhere does no harm.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Settings {
    /// All metrics, in the Prometheus text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.metrics.text(self.samples())
    }

    /// The names of the secrets that routes need and that cannot be used at the moment.
    #[must_use]
    pub fn missing_credentials(&self) -> Vec<String> {
        let missing = self.credentials.statuses().filter(|status| !status.is_good);
        let name = |status: FeedStatus| format!("{} of credentials {}", status.kind, status.label);
        missing.map(name).collect()
    }

    /// The metrics that are read at exposition.
    fn samples(&self) -> Vec<Sample> {
        let dropped = telemetry::dropped_lines() as f64;
        let is_locked = f64::from(self.credentials.is_refusing());
        let mut samples = vec![
            Sample::new("apig_proxy_buffered_bytes", &[], self.budget.taken() as f64),
            Sample::new("apig_proxy_key_locked", &[], is_locked),
            Sample::new("apig_proxy_log_dropped_total", &[], dropped),
        ];
        let mut upstreams = BTreeMap::new();
        for pool in self.pools.pools().iter() {
            let sum = upstreams.entry(pool.upstream.clone()).or_insert((0, 0, 0));
            sum.0 += pool.stats.idle();
            sum.1 += pool.stats.active();
            sum.2 = self.gateway_clocks[pool.origin].ahead();
        }
        for (name, (idle, active, ahead)) in upstreams {
            let connections = "apig_proxy_upstream_connections";
            samples.push(Sample::new(connections, &[&name, "idle"], idle as f64));
            samples.push(Sample::new(connections, &[&name, "active"], active as f64));
            samples.push(Sample::new(
                "apig_proxy_clock_skew_seconds",
                &[&name],
                ahead as f64,
            ));
        }
        samples.extend(self.credentials.statuses().flat_map(credential));
        samples
    }
}

fn credential(status: FeedStatus) -> Vec<Sample> {
    let (set, kind) = (status.label, status.kind.to_string());
    let refresh = |result, count| {
        let labels = [set.as_str(), &kind, result];
        Sample::new(
            "apig_proxy_credentials_refresh_total",
            &labels,
            count as f64,
        )
    };
    let mut samples = vec![
        refresh("ok", status.renewed),
        refresh("failed", status.failed),
    ];
    let labels = [set.as_str(), kind.as_str()];
    let success = f64::from(!status.is_failing);
    samples.push(Sample::new(
        "apig_proxy_credentials_last_refresh_successful",
        &labels,
        success,
    ));
    for (name, time) in [
        ("apig_proxy_credentials_expiry_seconds", status.left),
        ("apig_proxy_credentials_age_seconds", status.age),
    ] {
        samples.extend(time.map(|time| Sample::new(name, &labels, time.as_secs_f64())));
    }
    samples
}

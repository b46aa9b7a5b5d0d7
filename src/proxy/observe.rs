//! What the pipeline knows at the moment, for whoever asks from another thread.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Settings;
use super::body::RequestBody;
use crate::credentials::FeedStatus;
use crate::telemetry;
use crate::telemetry::metrics::{Connections, Credential, State};
use crate::upstream::OriginId;
use crate::upstream::{PoolStats, Upstream};

/// The pools of all workers.
#[derive(Debug, Default)]
pub(super) struct Pools(Mutex<Vec<Pool>>);

#[derive(Debug)]
struct Pool {
    origin: OriginId,
    upstream: String,
    stats: PoolStats,
}

impl Pools {
    /// Watches the pools of one more worker.
    pub(super) fn watch(&self, upstream: &Upstream<RequestBody>) {
        let pools = upstream.pool_stats().map(|(origin, name, stats)| Pool {
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
        self.metrics.text(self.state())
    }

    /// What of the secrets that routes need cannot be used at the moment, by name.
    #[must_use]
    pub fn missing_credentials(&self) -> Vec<String> {
        let missing = self.credentials.statuses().filter(|status| !status.is_good);
        let name = |status: FeedStatus| format!("{} of credentials {}", status.kind, status.label);
        missing.map(name).collect()
    }

    fn state(&self) -> State {
        let mut clock_skew = BTreeMap::new();
        let mut connections = BTreeMap::<_, Connections>::new();
        for pool in self.pools.pools().iter() {
            let name = &pool.upstream;
            let ahead = self.gateway_clocks[pool.origin.index()].ahead();
            clock_skew.insert(name.clone(), ahead);
            let sum = connections.entry(name.clone()).or_default();
            sum.idle += pool.stats.idle();
            sum.active += pool.stats.active();
        }
        State {
            buffered: self.budget.taken(),
            is_key_locked: self.credentials.is_refusing(),
            clock_skew: clock_skew.into_iter().collect(),
            connections: connections.into_iter().collect(),
            dropped_lines: telemetry::dropped_lines(),
            credentials: self.credentials.statuses().map(credential).collect(),
        }
    }
}

fn credential(status: FeedStatus) -> Credential {
    Credential {
        set: status.label,
        kind: status.kind.to_string(),
        left: status.left,
        age: status.age,
        renewed: status.renewed,
        failed: status.failed,
        is_failing: status.is_failing,
    }
}

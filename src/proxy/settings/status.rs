//! What settings show of the running proxy: to Prometheus, to the inspector, and to readiness checks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Settings;
use crate::clock::Moment;
use crate::credentials::Slot;
use crate::inspect::program::UpstreamState;
use crate::lock::lock;
use crate::telemetry;
use crate::telemetry::metrics::Sample;
use crate::upstream::PoolStats;

impl Settings {
    /// Watches the pools of one more worker.
    pub(in crate::proxy) fn watch<'a>(&self, pools: impl Iterator<Item = (&'a str, PoolStats)>) {
        lock(&self.pools).extend(pools.map(|(name, stats)| (name.to_owned(), stats)));
    }

    /// All metrics, in the Prometheus text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let dropped = telemetry::dropped_lines() as f64;
        let recorder = self.recorder.as_ref();
        let lost = recorder.map_or(0, |recorder| recorder.dropped()) as f64;
        let is_locked = f64::from(self.credentials.are_locked().any(|is_locked| is_locked));
        let mut samples = vec![
            Sample::new("apig_proxy_buffered_bytes", &[], self.budget.taken() as f64),
            Sample::new("apig_proxy_key_locked", &[], is_locked),
            Sample::new("apig_proxy_log_dropped_total", &[], dropped),
            Sample::new("apig_proxy_inspect_dropped_total", &[], lost),
        ];
        for (name, upstream) in self.upstreams() {
            let connections = "apig_proxy_upstream_connections";
            for (state, count) in [("idle", upstream.idle), ("active", upstream.active)] {
                samples.push(Sample::new(connections, &[&name, state], count as f64));
            }
            let ahead = upstream.clock_offset_s as f64;
            samples.push(Sample::new(
                "apig_proxy_clock_skew_seconds",
                &[&name],
                ahead,
            ));
        }
        samples.extend(self.credentials.slots().flat_map(credential_samples));
        self.metrics.text(samples)
    }

    /// The state of the connections to each gateway, by its name.
    fn upstreams(&self) -> BTreeMap<String, UpstreamState> {
        let mut upstreams = BTreeMap::<String, UpstreamState>::new();
        for (name, stats) in lock(&self.pools).iter() {
            let mut routes = self.config.routes.iter().zip(&self.route_states);
            let route = routes.find(|(route, _)| route.upstream.authority == name);
            let ahead = route.map_or(0, |(_, state)| state.clock.ahead());
            let sum = upstreams.entry(name.clone());
            let sum = sum.or_insert_with(|| UpstreamState {
                name: name.clone(),
                idle: 0,
                active: 0,
                clock_offset_s: ahead,
            });
            sum.idle += stats.idle();
            sum.active += stats.active();
        }
        upstreams
    }

    /// The state now, as the inspector shows it.
    pub(crate) fn program_state(&self) -> Value {
        let credentials = self.credentials.slots();
        let credentials = credentials.zip(self.credentials.are_locked());
        let credential = |(slot, is_locked): (&Slot, bool)| {
            json!({
                "name": slot.label,
                "kind": slot.kind.name(),
                "is_good": slot.is_good(),
                // Seconds until it expires, if it does.
                "left_s": slot.left().map(|left| left.as_secs()),
                // Requests with it are refused, so that the gateway does not lock it.
                "is_locked": is_locked,
            })
        };
        json!({
            "proxy": self.url,
            "kind": "proxy",
            "credentials": credentials.map(credential).collect::<Value>(),
            "upstreams": self.upstreams().into_values().collect::<Vec<_>>(),
            "buffered": self.budget.taken(),
        })
    }

    /// The names of the route credentials that are not usable now.
    #[must_use]
    pub fn missing_credentials(&self) -> Vec<String> {
        let missing = self.credentials.slots().filter(|slot| !slot.is_good());
        let name = |slot: &Slot| format!("{} of credentials {}", slot.kind.name(), slot.label);
        missing.map(name).collect()
    }
}

fn credential_samples(slot: &Slot) -> Vec<Sample> {
    let (kind, attempts) = (slot.kind.name(), slot.attempts());
    let labels = [slot.label.as_str(), kind];
    let mut samples = Vec::new();
    for (result, count) in [("ok", attempts.ok), ("failed", attempts.failed)] {
        let labels = [labels[0], labels[1], result];
        let name = "apig_proxy_credentials_refresh_total";
        samples.push(Sample::new(name, &labels, count as f64));
    }
    let success = "apig_proxy_credentials_last_refresh_successful";
    samples.push(Sample::new(
        success,
        &labels,
        f64::from(!attempts.is_failing),
    ));
    let age = slot.current().map(|lease| Moment::now().since(lease.at));
    for (name, time) in [
        ("apig_proxy_credentials_expiry_seconds", slot.left()),
        ("apig_proxy_credentials_age_seconds", age),
    ] {
        samples.extend(time.map(|time| Sample::new(name, &labels, time.as_secs_f64())));
    }
    samples
}

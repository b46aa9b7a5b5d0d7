//! What all workers share: the part of a configuration that the pipeline uses, and the state
//! that a reload hands on. Settings do not change while requests run by them; a reload makes
//! others. Metrics read them from another thread.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::callers::CallerGate;
use super::credentials::RouteCredentials;
use super::loop_detection::ProxyId;
use super::memory_budget::MemoryBudget;
use super::path_reading::LearnedReading;
use super::projects::Projects;
use super::route_matcher::RouteMatcher;
use crate::clock::Moment;
use crate::config::{
    Access, Config, Limits, MediaRange, Methods, PoolConfig, ReadOnly, Route, Timeouts,
};
use crate::credentials::Slot;
use crate::gateway::GatewayClock;
use crate::inspect::program::UpstreamState;
use crate::inspect::recorder::Recorder;
use crate::proxy::guard::Guard;
use crate::telemetry;
use crate::telemetry::metrics::{Metrics, Sample};
use crate::upstream::PoolStats;

/// The settings of the pipeline.
#[derive(Debug)]
pub struct Settings {
    pub(super) guard: Guard,
    /// Identifies callers, where they are known.
    pub(super) caller_gate: Option<CallerGate>,
    pub(super) read_only: ReadOnly,
    /// Who may use the port.
    pub access: Access,
    /// Allows `POST /quitquitquit` at the admin listener to stop the proxy.
    pub admin_quit: bool,
    /// Where requests go.
    pub routes: Vec<Route>,
    pub(super) route_matcher: RouteMatcher,
    pub(super) methods: Methods,
    /// The methods of any route: services may have more.
    pub(super) any_methods: Methods,
    pub(super) unsigned: Vec<MediaRange>,
    /// What a caller may make the proxy hold.
    pub limits: Limits,
    /// How long each phase of a request may take.
    pub timeouts: Timeouts,
    pub(super) pool: PoolConfig,
    pub(super) credentials: Arc<RouteCredentials>,
    pub(super) projects: Projects,
    pub(super) budget: Arc<MemoryBudget>,
    /// The clock of the gateway of each route.
    pub(super) gateway_clocks: Vec<Arc<GatewayClock>>,
    /// How the gateway of each route reads paths.
    pub(super) path_readings: Vec<Arc<LearnedReading>>,
    pub(super) metrics: Arc<Metrics>,
    /// The label of each route in the metrics.
    pub(super) route_labels: Vec<&'static str>,
    /// The pool of each origin of each worker, with the name of the origin.
    pools: Mutex<Vec<(String, PoolStats)>>,
    pub(super) proxy_id: ProxyId,
    /// Records requests for the inspector, if there is one.
    pub(crate) recorder: Option<Arc<Recorder>>,
    /// Where callers connect, as the inspector shows it.
    pub(crate) url: String,
}

impl Settings {
    /// The part of a configuration that the pipeline uses.
    #[must_use]
    pub fn new(config: &Config, guard: Guard, credentials: RouteCredentials) -> Self {
        Self {
            guard,
            caller_gate: CallerGate::new(config),
            read_only: config.read_only.clone(),
            access: config.access.clone(),
            admin_quit: config.admin_quit,
            routes: config.routes.clone(),
            route_matcher: RouteMatcher::new(&config.routes),
            methods: config.methods.clone(),
            any_methods: any_methods(config),
            unsigned: config.unsigned.clone(),
            limits: config.limits.clone(),
            timeouts: config.timeouts.clone(),
            pool: config.pool.clone(),
            credentials: Arc::new(credentials),
            projects: Projects::new(config),
            budget: Arc::new(MemoryBudget::new(config.limits.buffered)),
            gateway_clocks: gateway_clocks(config),
            path_readings: config.routes.iter().map(|_| Arc::default()).collect(),
            metrics: Arc::default(),
            route_labels: Vec::new(),
            pools: Mutex::default(),
            proxy_id: ProxyId::random(),
            recorder: None,
            url: String::new(),
        }
        .counting()
    }

    /// What these settings go on with after others: what was counted, what is held, what is known
    /// of clocks and keys. Requests that run stay with the others.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        self.proxy_id = before.proxy_id.clone();
        self.recorder = self.recorder.or_else(|| before.recorder.clone());
        self.metrics = Arc::clone(&before.metrics);
        self.budget = Arc::clone(&before.budget);
        self.budget.set_limit(self.limits.buffered);
        if let (Some(gate), Some(before)) = (&mut self.caller_gate, &before.caller_gate) {
            gate.remember(before);
        }
        let credentials =
            Arc::get_mut(&mut self.credentials).expect("no worker has these settings yet");
        credentials.remember(&before.credentials);
        for (at, route) in self.routes.iter().enumerate() {
            let known = before.routes.iter().enumerate();
            let mut known = known.filter(|(_, known)| known.shares_origin(route));
            if let Some((same, _)) = known.clone().next()
                && before.gateway_clocks[same].corrects() == self.gateway_clocks[at].corrects()
            {
                self.gateway_clocks[at] = Arc::clone(&before.gateway_clocks[same]);
            }
            if let Some((same, _)) = known.find(|(_, known)| known.prefix == route.prefix) {
                self.path_readings[at] = Arc::clone(&before.path_readings[same]);
            }
        }
        self.counting()
    }

    fn counting(mut self) -> Self {
        let routes = self.routes.iter();
        self.route_labels = routes
            .map(|route| self.metrics.route_label(&route.prefix))
            .collect();
        self
    }

    /// Reads the file of callers again if it has changed.
    pub fn refresh_callers(&self) {
        let gate = self.caller_gate.as_ref();
        let file = gate.and_then(|gate| gate.callers.file.as_ref());
        file.into_iter().for_each(|file| file.refresh());
    }

    /// Watches the pools of one more worker.
    pub(super) fn watch<'a>(&self, pools: impl Iterator<Item = (&'a str, PoolStats)>) {
        self.pools()
            .extend(pools.map(|(name, stats)| (name.to_owned(), stats)));
    }

    fn pools(&self) -> MutexGuard<'_, Vec<(String, PoolStats)>> {
        // Every change leaves it whole, so a panic elsewhere does no harm.
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
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
        for (name, stats) in self.pools().iter() {
            let mut routes = self.routes.iter();
            let route = routes.position(|route| route.upstream.authority == name);
            let ahead = route.map_or(0, |route| self.gateway_clocks[route].ahead());
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
                "kind": slot.kind.to_string(),
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

    /// `timeouts.response` of a route.
    pub(super) fn response_timeout(&self, route: usize) -> Duration {
        let own = self.routes[route].response_timeout;
        own.unwrap_or(self.timeouts.response)
    }

    /// `timeouts.idle` of a route.
    pub(super) fn idle_timeout(&self, route: usize) -> Duration {
        let own = self.routes[route].idle_timeout;
        own.unwrap_or(self.timeouts.idle)
    }

    /// The names of the route credentials that are not usable now.
    #[must_use]
    pub fn missing_credentials(&self) -> Vec<String> {
        let missing = self.credentials.slots().filter(|slot| !slot.is_good());
        let name = |slot: &Slot| format!("{} of credentials {}", slot.kind, slot.label);
        missing.map(name).collect()
    }
}

/// The metrics of one credential.
fn credential_samples(slot: &Slot) -> Vec<Sample> {
    let (kind, attempts) = (slot.kind.to_string(), slot.attempts());
    let labels = [slot.label.as_str(), kind.as_str()];
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

/// The methods of a configuration, and those of its services.
fn any_methods(config: &Config) -> Methods {
    let mut all = config.methods.clone();
    let services = config.routes.iter().filter(|route| route.service.is_some());
    for own in services.filter_map(|route| route.methods.as_ref()) {
        if let (Methods::Only(all), Methods::Only(own)) = (&mut all, own) {
            let new = own.iter().filter(|method| !all.contains(method)).cloned();
            all.extend(new.collect::<Vec<_>>());
        }
    }
    all
}

/// A clock for each gateway, which all routes to it share.
fn gateway_clocks(config: &Config) -> Vec<Arc<GatewayClock>> {
    let mut clocks: Vec<Arc<GatewayClock>> = Vec::new();
    for route in &config.routes {
        let mut routes = config.routes.iter();
        let first = routes.position(|known| known.shares_origin(route));
        let known = first.and_then(|first| clocks.get(first)).cloned();
        clocks.push(known.unwrap_or_else(|| Arc::new(GatewayClock::new(config.corrects_clock))));
    }
    clocks
}

#[cfg(test)]
mod tests {
    use crate::config::with_upstream;
    use crate::proxy::property_tests::settings_of;

    #[tokio::test]
    async fn a_reload_keeps_the_id_of_the_proxy_and_counts_the_bodies_that_are_held() {
        let mut config = with_upstream("https://gateway.example").unwrap();
        let before = settings_of(&config);
        let held = before.budget.reserve(100).await;
        config.limits.buffered = 50;
        let other = settings_of(&config);
        assert_ne!(before.proxy_id, other.proxy_id);
        let after = other.after(&before);
        assert_eq!(after.proxy_id, before.proxy_id);
        assert_eq!(after.budget.taken(), 100);
        drop(held);
        assert!(before.budget.reserve(51).await.is_err());
        assert!(before.budget.reserve(50).await.is_ok());
    }
}

//! What all workers share: the configuration, and the state that survives a reload. Settings do not
//! change while requests use them; a reload makes new ones. Metrics read them from another thread.

mod status;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::callers::CallerGate;
use super::credentials::RouteCredentials;
use super::double_slashes::LearnedReading;
use super::loop_detection::ProxyId;
use super::memory_budget::MemoryBudget;
use super::projects::Projects;
use super::route_matcher::RouteMatcher;
use crate::config::{Config, Methods, Route};
use crate::gateway::GatewayClock;
use crate::inspect::recorder::Recorder;
use crate::proxy::guard::Guard;
use crate::telemetry::metrics::Metrics;
use crate::upstream::PoolStats;

/// The settings of the pipeline.
#[derive(Debug)]
pub struct Settings {
    /// The configuration that they are made from.
    pub config: Config,
    pub(super) guard: Guard,
    /// Identifies callers, where they are known.
    pub(super) caller_gate: Option<CallerGate>,
    pub(super) route_matcher: RouteMatcher,
    /// The state of each route, by index.
    pub(super) route_states: Vec<RouteState>,
    /// The methods of any route: services may have more.
    pub(super) any_methods: Methods,
    pub(super) credentials: Arc<RouteCredentials>,
    pub(super) projects: Projects,
    pub(super) budget: Arc<MemoryBudget>,
    pub(super) metrics: Arc<Metrics>,
    /// The pool of each origin of each worker, with the name of the origin.
    pools: Mutex<Vec<(String, PoolStats)>>,
    pub(super) proxy_id: ProxyId,
    /// Records requests for the inspector, if there is one.
    pub(crate) recorder: Option<Arc<Recorder>>,
    /// Where callers connect, as the inspector shows it.
    pub(crate) url: String,
}

/// What is known about a route.
#[derive(Debug)]
pub(super) struct RouteState {
    /// The clock of its gateway, which all routes to the gateway share.
    pub(super) clock: Arc<GatewayClock>,
    /// How its gateway reads paths.
    pub(super) path_reading: Arc<LearnedReading>,
    /// Its label in the metrics.
    pub(super) label: &'static str,
}

impl Settings {
    /// The settings of a configuration.
    #[must_use]
    pub fn new(config: &Config, guard: Guard, credentials: RouteCredentials) -> Self {
        let metrics = Arc::<Metrics>::default();
        Self {
            guard,
            caller_gate: CallerGate::new(config),
            route_matcher: RouteMatcher::new(&config.routes),
            route_states: route_states(config, &metrics),
            any_methods: any_methods(config),
            credentials: Arc::new(credentials),
            projects: Projects::new(config),
            budget: Arc::new(MemoryBudget::new(config.limits.buffered)),
            metrics,
            pools: Mutex::default(),
            proxy_id: ProxyId::random(),
            recorder: None,
            url: String::new(),
            config: config.clone(),
        }
    }

    /// Takes over the state of the settings before a reload: what was counted, what is held, what is
    /// known about clocks and keys. Running requests stay with those settings.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        self.proxy_id = before.proxy_id.clone();
        self.recorder = self.recorder.or_else(|| before.recorder.clone());
        self.metrics = Arc::clone(&before.metrics);
        self.budget = Arc::clone(&before.budget);
        self.budget.set_limit(self.config.limits.buffered);
        if let (Some(gate), Some(before)) = (&mut self.caller_gate, &before.caller_gate) {
            gate.remember(before);
        }
        let credentials =
            Arc::get_mut(&mut self.credentials).expect("no worker has these settings yet");
        credentials.breakers = Arc::clone(&before.credentials.breakers);
        for (route, state) in self.config.routes.iter().zip(&mut self.route_states) {
            state.label = self.metrics.route_label(&route.prefix);
            let known = before.config.routes.iter().zip(&before.route_states);
            let mut known = known.filter(|(known, _)| known.shares_origin(route));
            if let Some((_, known)) = known.clone().next()
                && known.clock.corrects() == state.clock.corrects()
            {
                state.clock = Arc::clone(&known.clock);
            }
            if let Some((_, known)) = known.find(|(known, _)| known.prefix == route.prefix) {
                state.path_reading = Arc::clone(&known.path_reading);
            }
        }
        self
    }

    /// The route with this index.
    pub(super) fn route(&self, at: usize) -> &Route {
        &self.config.routes[at]
    }

    /// `timeouts.response` of a route.
    pub(super) fn response_timeout(&self, route: usize) -> Duration {
        let own = self.route(route).response_timeout;
        own.unwrap_or(self.config.timeouts.response)
    }

    /// `timeouts.idle` of a route.
    pub(super) fn idle_timeout(&self, route: usize) -> Duration {
        let own = self.route(route).idle_timeout;
        own.unwrap_or(self.config.timeouts.idle)
    }
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

fn route_states(config: &Config, metrics: &Metrics) -> Vec<RouteState> {
    let mut states = Vec::<RouteState>::new();
    for route in &config.routes {
        let mut known = config.routes.iter().zip(&states);
        let known = known.find(|(known, _)| known.shares_origin(route));
        let clock = known.map(|(_, state)| Arc::clone(&state.clock));
        states.push(RouteState {
            clock: clock.unwrap_or_else(|| Arc::new(GatewayClock::new(config.corrects_clock))),
            path_reading: Arc::default(),
            label: metrics.route_label(&route.prefix),
        });
    }
    states
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

//! What requests are served by: the part of a configuration that the pipeline works by, and what it goes
//! on with when another one takes its place.
//!
//! It does not change while requests run by it; a reload makes another one.

use std::sync::Arc;

use super::credentials::RouteCredentials;
use super::loop_detection::ProxyId;
use super::memory_budget::MemoryBudget;
use super::observe::Pools;
use super::route::RouteMatcher;
use crate::config::{Access, Config, Limits, Methods, PoolConfig, Route, SigningConfig, Timeouts};
use crate::gateway::GatewayClock;
use crate::proxy::guard::Guard;
use crate::telemetry::metrics::Metrics;

/// What all workers share: it does not change while they run.
#[derive(Debug)]
pub struct Settings {
    pub(super) guard: Guard,
    pub(super) access: Access,
    admin_quit: bool,
    pub(super) routes: Vec<Route>,
    pub(super) route_matcher: RouteMatcher,
    pub(super) methods: Methods,
    pub(super) signing: SigningConfig,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
    pub(super) pool: PoolConfig,
    pub(super) credentials: Arc<RouteCredentials>,
    pub(super) budget: MemoryBudget,
    /// The clock of each upstream, by the number of its origin.
    pub(super) gateway_clocks: Vec<Arc<GatewayClock>>,
    pub(super) metrics: Arc<Metrics>,
    /// The label of each route in the metrics.
    pub(super) route_labels: Vec<&'static str>,
    pub(super) pools: Pools,
    pub(super) proxy_id: ProxyId,
}

impl Settings {
    /// The part of a configuration that the pipeline works by.
    #[must_use]
    pub fn new(config: &Config, guard: Guard, credentials: RouteCredentials) -> Self {
        Self {
            guard,
            access: config.access.clone(),
            admin_quit: config.admin_quit,
            routes: config.routes.clone(),
            route_matcher: RouteMatcher::new(&config.routes),
            methods: config.methods.clone(),
            signing: config.signing.clone(),
            limits: config.limits.clone(),
            timeouts: config.timeouts.clone(),
            pool: config.pool.clone(),
            credentials: Arc::new(credentials),
            budget: MemoryBudget::new(config.limits.buffered),
            gateway_clocks: config
                .routes
                .iter()
                .map(|_| Arc::new(GatewayClock::new(config.clock.correct)))
                .collect(),
            metrics: Arc::default(),
            route_labels: Vec::new(),
            pools: Pools::default(),
            proxy_id: ProxyId::random(),
        }
        .counting()
    }

    /// What these settings go on with after others: what was counted, what is held, what is known of
    /// clocks and keys. Requests that run stay with the others.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        self.proxy_id = before.proxy_id.clone();
        self.metrics = Arc::clone(&before.metrics);
        self.budget = before.budget.clone();
        self.budget.resize(self.limits.buffered);
        let credentials =
            Arc::get_mut(&mut self.credentials).expect("no worker has these settings yet");
        credentials.remember(&before.credentials);
        let (origins, known) = (origins(&self.routes), origins(&before.routes));
        for (at, origin) in origins.iter().enumerate() {
            let same = known.iter().position(|known| known.shares_origin(origin));
            if let Some(clock) = same.map(|same| &before.gateway_clocks[same])
                && clock.corrects() == self.gateway_clocks[at].corrects()
            {
                self.gateway_clocks[at] = Arc::clone(clock);
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

    /// How long each phase of a request may take.
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Who may use the port.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Whether `POST /quitquitquit` at the admin listener stops the proxy.
    #[must_use]
    pub fn admin_quit(&self) -> bool {
        self.admin_quit
    }

    /// Where requests go.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// What a caller may make the proxy hold.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// The first route of each origin, by the number of the origin.
fn origins(routes: &[Route]) -> Vec<&Route> {
    let mut origins: Vec<&Route> = Vec::new();
    for route in routes {
        if !origins.iter().any(|known| known.shares_origin(route)) {
            origins.push(route);
        }
    }
    origins
}

#[cfg(test)]
mod tests {
    use crate::config::with_upstream;
    use crate::proxy::properties::settings_of;

    #[test]
    fn a_reload_keeps_the_id_that_loops_are_noticed_by() {
        let config = with_upstream("https://gateway.example").unwrap();
        let (before, other) = (settings_of(&config), settings_of(&config));
        assert_ne!(before.proxy_id, other.proxy_id);
        assert_eq!(other.after(&before).proxy_id, before.proxy_id);
    }
}

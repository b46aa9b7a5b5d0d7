//! The ids of projects, which services expect as `X-Project-Id`. IAM is asked for the project of a
//! region when the first request needs it.
//!
//! It is apart from the credentials because a request goes without the id if it cannot be had: most
//! services find the project in the path, and only sub-projects need the header.
//!
//! # What can go wrong
//!
//! IAM may refuse, hang, or know no such project. Requests wait for at most `timeouts.connect`, one
//! at a time asks, and the pauses until the next one asks grow. A request to IAM counts for the
//! breaker of its key like every signed one.

use std::sync::{Arc, Once};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::Pipeline;
use super::auth::UsableCredential;
use super::key_breaker::SignatureOutcome;
use crate::config::{Config, IAM, Route};
use crate::credentials::{CredentialsError, Lease, project_of};

/// The longest pause after a failure. The first is one second, and it doubles with each.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// The regions whose projects IAM is asked for, for all workers.
#[derive(Debug, Default)]
pub(super) struct Projects {
    regions: Vec<Region>,
    /// The region of each route, by index; `None` if nothing is asked.
    of_routes: Vec<Option<usize>>,
}

#[derive(Debug)]
struct Region {
    name: String,
    /// The last lookup. The request that asks holds the lock.
    last: Mutex<Option<Lookup>>,
    warning: Once,
}

/// The result of asking IAM.
#[derive(Debug)]
struct Lookup {
    /// The credential that asked; another one may be of another account.
    lease: Arc<Lease>,
    id: Option<HeaderValue>,
    failures: u32,
    at: Instant,
}

impl Projects {
    /// The regions of the services of a configuration.
    pub(super) fn new(config: &Config) -> Self {
        let mut all = Self::default();
        for route in &config.routes {
            let service = route.service.as_ref();
            let service = service.filter(|service| service.project_id.is_none());
            let region = service.and_then(|service| service.region.as_ref());
            let region = region.map(|name| all.number_of(name));
            all.of_routes.push(region);
        }
        all
    }

    fn number_of(&mut self, region: &str) -> usize {
        let known = self.regions.iter().position(|known| known.name == region);
        known.unwrap_or_else(|| {
            self.regions.push(Region {
                name: region.to_owned(),
                last: Mutex::default(),
                warning: Once::new(),
            });
            self.regions.len() - 1
        })
    }
}

impl Pipeline {
    /// The project id for a route and the credential in a slot; `None` if there is none, or it cannot
    /// be found out. Dropping the future cancels the lookup, and the next request starts another.
    pub(super) async fn project_id(&self, route: usize, slot: usize) -> Option<HeaderValue> {
        let region = self.settings.projects.of_routes[route]?;
        let current = self.credentials.current(slot);
        let known = current.and_then(|current| current.projects.borrow().get(&region).cloned());
        if known.is_some() {
            return known;
        }
        Box::pin(self.ask_project_id(region, route, slot)).await
    }

    async fn ask_project_id(&self, at: usize, route: usize, slot: usize) -> Option<HeaderValue> {
        let region = &self.settings.projects.regions[at];
        let deadline = Instant::now() + self.settings.config.timeouts.connect;
        let usable = timeout_at(deadline, self.credentials.usable(slot, None)).await;
        let credential = usable.ok()?.ok()?;
        let mut last = timeout_at(deadline, region.last.lock()).await.ok()?;
        let is_own = |asked: &&Lookup| Arc::ptr_eq(&asked.lease, &credential.lease);
        let before = last.as_ref().filter(is_own);
        let is_current = |asked: &Lookup| {
            let pause = Duration::from_secs(1 << asked.failures.min(16)).min(MAX_PAUSE);
            asked.id.is_some() || asked.at.elapsed() < pause
        };
        if !before.is_some_and(is_current) {
            let failures = before.map_or(0, |asked| asked.failures + 1);
            // It would say nothing of IAM, and those who wait would ask one after the other.
            if Instant::now() + self.settings.config.timeouts.connect / 2 > deadline {
                return None;
            }
            let asking = timeout_at(deadline, self.ask_iam(region, route, &credential)).await;
            let late = |_| Err("it did not answer in time".to_owned());
            let answered = asking.unwrap_or_else(late);
            if let Err(error) = &answered {
                let (name, error) = (&region.name, error.replace('\n', "; "));
                region.warning.call_once(|| {
                    tracing::warn!(
                        "IAM did not return the project of {name}, so requests to it have no X-Project-Id: {error}; \
                         set it in `cloud.projects`"
                    );
                });
            }
            *last = Some(Lookup {
                lease: Arc::clone(&credential.lease),
                id: answered.ok(),
                failures,
                at: Instant::now(),
            });
        }
        let id = last.as_ref()?.id.clone()?;
        credential.projects.borrow_mut().insert(at, id.clone());
        Some(id)
    }

    async fn ask_iam(
        &self,
        region: &Region,
        route: usize,
        credential: &UsableCredential,
    ) -> Result<HeaderValue, String> {
        let is_iam = |route: &&Route| route.service.is_some() && route.prefix[1..] == *IAM;
        let iam = self.settings.config.routes.iter().find(is_iam);
        let iam = &iam.ok_or("there is no route to it")?.upstream;
        let permit = credential.permit().await;
        let permit = permit.map_err(|error| error.to_string())?;
        let clock = self.gateway_clock(route);
        let date = self.clock.signing_date(clock.correction());
        let iam = (self.upstream.network(), iam);
        let limit = self.settings.config.timeouts.connect;
        let asking = project_of(&region.name, iam, &credential.lease.secret, &date, limit);
        let answered = asking.await;
        let outcome = match &answered {
            Ok(_) => SignatureOutcome::Accepted,
            Err(CredentialsError::Refused { status: 401, .. }) => SignatureOutcome::Rejected,
            Err(_) => SignatureOutcome::Unknown,
        };
        if let Some(permit) = permit {
            permit.settle(outcome);
        }
        answered.map_err(|error| error.to_string())
    }
}

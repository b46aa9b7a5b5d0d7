//! The ids of projects, which services want as `X-Project-Id`: IAM is asked for that of each region
//! when the first request needs it.
//!
//! It is apart from the credentials because a request goes without the id if it cannot be had: most
//! services find the project in the path, and only sub-projects need the header.
//!
//! # What can go wrong
//!
//! IAM may refuse, hang, or know no such project. Then requests wait no longer than
//! `timeouts.connect`, one at a time asks, and the pauses between the questions get longer. A
//! question counts for the breaker of its key like every signed request.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::Pipeline;
use super::credentials::UsableCredential;
use super::key_breaker::SignatureOutcome;
use crate::clock::Moment;
use crate::config::{Config, IAM, Route, UpstreamUrl};
use crate::credentials::{CredentialsError, Lease, project_of};

/// The pause after a first failure, which doubles with each, and the longest.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// The regions whose projects IAM is asked for, for all workers.
#[derive(Debug, Default)]
pub(super) struct Projects {
    regions: Vec<Region>,
    /// The region of each route, by index; `None` if nothing is asked.
    of_routes: Vec<Option<usize>>,
    iam: Option<UpstreamUrl>,
}

#[derive(Debug)]
struct Region {
    name: String,
    /// The last question. Whoever asks holds the lock.
    last: Mutex<Option<Asked>>,
    has_warned: AtomicBool,
}

/// What came of a question.
#[derive(Debug)]
struct Asked {
    /// The credential that asked; another one may be of another account.
    lease: Arc<Lease>,
    id: Option<HeaderValue>,
    failures: u32,
    at: Moment,
}

/// The known projects, as one worker sees them.
#[derive(Debug)]
pub(super) struct ProjectsView(RefCell<Vec<Option<Known>>>);

/// The project of a region, and the credential that asked for it.
type Known = (Arc<Lease>, HeaderValue);

impl Projects {
    /// The regions of the services of a configuration.
    pub(super) fn new(config: &Config) -> Self {
        let mut all = Self::default();
        for route in &config.routes {
            let region = all.region_to_ask(route);
            all.of_routes.push(region);
        }
        let is_iam = |route: &&Route| route.service.is_some() && route.prefix[1..] == *IAM;
        let iam = config.routes.iter().find(is_iam);
        all.iam = iam.map(|route| route.upstream.clone());
        all
    }

    fn region_to_ask(&mut self, route: &Route) -> Option<usize> {
        let service = route.service.as_ref()?;
        let name = service
            .region
            .as_ref()
            .filter(|_| service.project_id.is_none())?;
        let known = self.regions.iter().position(|region| region.name == *name);
        known.or_else(|| {
            self.regions.push(Region {
                name: name.clone(),
                last: Mutex::default(),
                has_warned: AtomicBool::new(false),
            });
            Some(self.regions.len() - 1)
        })
    }
}

impl ProjectsView {
    pub(super) fn new(projects: &Projects) -> Self {
        Self(RefCell::new(vec![None; projects.regions.len()]))
    }

    fn get(&self, region: usize, lease: &Arc<Lease>) -> Option<HeaderValue> {
        let known = self.0.borrow();
        let (asked_with, id) = known[region].as_ref()?;
        Arc::ptr_eq(asked_with, lease).then(|| id.clone())
    }
}

impl Pipeline {
    /// The project id for a route and the credential in a slot; `None` if there is none, or none can
    /// be had.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up a question, and the next request asks it.
    pub(super) async fn project_id(&self, route: usize, slot: usize) -> Option<HeaderValue> {
        let region = self.settings.projects.of_routes[route]?;
        let current = self.credentials.current(slot);
        let known = current.and_then(|current| self.projects.get(region, &current.lease));
        if known.is_some() {
            return known;
        }
        Box::pin(self.ask_project_id(region, route, slot)).await
    }

    async fn ask_project_id(
        &self,
        region: usize,
        route: usize,
        slot: usize,
    ) -> Option<HeaderValue> {
        let (at, region) = (region, &self.settings.projects.regions[region]);
        let deadline = Instant::now() + self.settings.timeouts.connect;
        let usable = timeout_at(deadline, self.credentials.usable(slot, None)).await;
        let credential = usable.ok()?.ok()?;
        let lease = &credential.lease;
        let mut last = timeout_at(deadline, region.last.lock()).await.ok()?;
        let before = last.take().filter(|asked| Arc::ptr_eq(&asked.lease, lease));
        let asked = match before {
            Some(asked) if asked.stands() => asked,
            before => {
                let asking = timeout_at(deadline, self.ask_iam(region, route, &credential));
                let answered = asking
                    .await
                    .unwrap_or_else(|_| Err("it did not answer in time".to_owned()));
                let failures = before.map_or(0, |asked| asked.failures);
                Asked {
                    lease: Arc::clone(lease),
                    failures: failures.saturating_add(u32::from(answered.is_err())),
                    id: answered.map_err(|error| region.warn(&error)).ok(),
                    at: Moment::now(),
                }
            }
        };
        let id = asked.id.clone();
        if let Some(id) = &id {
            self.projects.0.borrow_mut()[at] = Some((Arc::clone(lease), id.clone()));
        }
        *last = Some(asked);
        id
    }

    async fn ask_iam(
        &self,
        region: &Region,
        route: usize,
        credential: &UsableCredential,
    ) -> Result<HeaderValue, String> {
        let iam = self
            .settings
            .projects
            .iam
            .as_ref()
            .ok_or("there is no route to it")?;
        let permit = credential
            .auth
            .permit()
            .await
            .map_err(|error| error.to_string())?;
        let date = self
            .clock
            .signing_date(self.gateway_clock(route).correction());
        let iam = (self.upstream.network(), iam);
        let limit = self.settings.timeouts.connect;
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

impl Asked {
    /// True if IAM need not be asked again.
    fn stands(&self) -> bool {
        let doublings = self.failures.saturating_sub(1).min(16);
        let pause = MIN_PAUSE.saturating_mul(1 << doublings).min(MAX_PAUSE);
        self.id.is_some() || Moment::now().since(self.at) < pause
    }
}

impl Region {
    /// Says once what is missing.
    fn warn(&self, error: &str) {
        let (name, error) = (&self.name, error.replace('\n', "; "));
        if self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::debug!("IAM does not tell the project of {name}: {error}");
        } else {
            tracing::warn!(
                "IAM does not tell the project of {name}, so requests to it have no X-Project-Id: {error}; \
                 `cloud.projects` can set it"
            );
        }
    }
}

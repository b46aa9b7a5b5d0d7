//! Route credentials: what authenticates the requests of each route.
//!
//! Credentials change while requests run. Each worker has a view of its own, with everything ready
//! for use; a request only reads a version number to see whether there is a newer credential. The
//! key breakers are shared by all workers.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::auth::{PROJECT_ID, UsableCredential};
use super::headers;
use super::key_breaker::KeyBreakers;
use super::redact::Redactor;
use crate::clock::Moment;
use crate::config::{Auth, Config};
use crate::credentials::{Lease, Secret, Slot, Source};
use crate::error::Error;
use crate::lock::lock;

/// How long a request waits for a usable credential.
const CREDENTIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// The least time between two refreshes of a credential that the gateway refuses. A gateway may
/// refuse every token, because the API takes none or they are of the wrong project; without the
/// interval, each request would fetch a token from IAM, and its caller would wait for it.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// The credentials of all routes, for all workers.
#[derive(Debug)]
pub struct RouteCredentials {
    slots: Vec<SlotState>,
    pub(super) routes: Vec<RouteSlots>,
    pub(super) breakers: Arc<KeyBreakers>,
    /// Warns once of a caller without a project id.
    warning: Once,
}

/// The slots of a route.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteSlots {
    pub(super) main: usize,
    /// For bodies that are too long to be signed.
    pub(super) token: Option<usize>,
    /// The caller's `X-Project-Id` is taken.
    pub(super) takes_project_id: bool,
}

/// One credential, which may be replaced at any time.
#[derive(Debug)]
struct SlotState {
    slot: Arc<Slot>,
    project_id: Option<HeaderValue>,
    /// The refused credential that was refreshed last, and when, unless the refresh helped.
    last_refresh: Mutex<Option<(Arc<Lease>, Moment)>>,
}

impl RouteCredentials {
    /// The credentials of the routes of a configuration.
    ///
    /// # Panics
    ///
    /// If `sources` lacks one of the [`crate::credentials::requirements`] of the configuration.
    #[must_use]
    pub fn new(config: &Config, sources: &[Source]) -> Self {
        let sets = &config.credentials;
        let state = |source: &Source| SlotState {
            slot: Arc::clone(source.slot()),
            project_id: sets[source.auth.credentials].project_id.clone(),
            last_refresh: Mutex::default(),
        };
        let find = |auth: Auth| {
            let at = sources.iter().position(|source| source.auth == auth);
            at.expect("every requirement of the routes has a source")
        };
        let routes = config.routes.iter().map(|route| RouteSlots {
            main: find(route.auth),
            token: route.large_body_auth().map(find),
            takes_project_id: sets[route.auth.credentials].takes_project_id,
        });
        Self {
            routes: routes.collect(),
            slots: sources.iter().map(state).collect(),
            breakers: Arc::default(),
            warning: Once::new(),
        }
    }

    /// The project id of a caller, if the route takes it.
    pub(super) fn project_id(
        &self,
        route: usize,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, Error> {
        const NOT_ONE: &str =
            "`X-Project-Id` is not one project id\nhint: send it once, as the console shows it";
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let is_id =
            |id: &&HeaderValue| matches!(id.len(), 1..=64) && id.as_bytes().iter().all(is_part);
        if !self.routes[route].takes_project_id {
            return Ok(None);
        }
        if headers.contains_key(PROJECT_ID) {
            let id = headers::only(headers, &PROJECT_ID).filter(is_id).cloned();
            return id.map(Some).ok_or(Error::BadRequest(NOT_ONE));
        }
        self.warning.call_once(|| {
            tracing::warn!(
                "a request has no X-Project-Id, although credentials.project_id is \"caller\"; it is sent with the \
                 project id of the credential, or without one"
            );
        });
        Ok(None)
    }

    /// The slot of each credential.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().map(|state| &*state.slot)
    }

    /// True for each credential that is a key whose breaker is open.
    pub(super) fn are_locked(&self) -> impl Iterator<Item = bool> {
        let current = self.slots.iter().map(|state| state.slot.current());
        current.map(|lease| match lease.as_ref().map(|lease| &lease.secret) {
            Some(Secret::Key(credentials)) => self.breakers.key_breaker(credentials).is_open(),
            Some(Secret::Text(_)) | None => false,
        })
    }

    /// Refreshes a credential that the gateway refused. Returns true if another one may come soon:
    /// one that never expires is read from a file, which is not being replaced just now.
    pub(super) fn refused(&self, slot: usize, refused: &UsableCredential) -> bool {
        let (state, now) = (&self.slots[slot], Moment::now());
        let is_renewable = refused.lease.lifetime.is_some();
        let mut last = lock(&state.last_refresh);
        if let Some((lease, at)) = &*last
            && now.since(*at) < REFRESH_INTERVAL
        {
            let is_waited_for = now.since(*at) < CREDENTIAL_TIMEOUT;
            return is_renewable && is_waited_for && Arc::ptr_eq(lease, &refused.lease);
        }
        *last = Some((Arc::clone(&refused.lease), now));
        state.slot.request_refresh();
        is_renewable
    }

    /// Records that the gateway accepted a refreshed credential. The next refusal refreshes it at
    /// once.
    pub(super) fn refresh_helped(&self, slot: usize) {
        *lock(&self.slots[slot].last_refresh) = None;
    }
}

/// The view of the route credentials of one worker.
#[derive(Debug)]
pub(super) struct CredentialsView {
    credentials: Arc<RouteCredentials>,
    slots: Vec<RefCell<SlotView>>,
}

#[derive(Debug)]
struct SlotView {
    receiver: watch::Receiver<Option<Arc<Lease>>>,
    usable: Option<Rc<UsableCredential>>,
}

impl CredentialsView {
    pub(super) fn new(credentials: &Arc<RouteCredentials>) -> Self {
        let view = |state: &SlotState| {
            let mut receiver = state.slot.subscribe();
            receiver.mark_changed();
            let usable = None;
            RefCell::new(SlotView { receiver, usable })
        };
        Self {
            slots: credentials.slots.iter().map(view).collect(),
            credentials: Arc::clone(credentials),
        }
    }

    /// Shows redactors of all secrets that requests may be sent with now.
    pub(super) fn redactors(&self, see: &mut dyn FnMut(&Redactor)) {
        let usable = (0..self.slots.len()).filter_map(|slot| self.current(slot));
        usable.for_each(|usable| usable.redactors.iter().for_each(&mut *see));
    }

    /// The credential in a slot, expired or not.
    pub(super) fn current(&self, slot: usize) -> Option<Rc<UsableCredential>> {
        let mut view = self.slots[slot].borrow_mut();
        if view.receiver.has_changed().unwrap_or(false) {
            let lease = view.receiver.borrow_and_update().clone();
            let (state, breakers) = (&self.credentials.slots[slot], &self.credentials.breakers);
            let (kind, project_id) = (state.slot.kind, state.project_id.as_ref());
            let usable = |lease| UsableCredential::new(kind, lease, project_id, breakers);
            view.usable = lease.and_then(usable).map(Rc::new);
        }
        view.usable.clone()
    }

    /// The credential in a slot, unless it is expired or the `refused` one. Waits for another one
    /// then. Dropping the future changes nothing.
    pub(super) async fn usable(
        &self,
        slot: usize,
        refused: Option<&UsableCredential>,
    ) -> Result<Rc<UsableCredential>, Error> {
        let is_usable = |current: &Rc<UsableCredential>| {
            let is_same = |refused: &UsableCredential| Arc::ptr_eq(&current.lease, &refused.lease);
            !refused.is_some_and(is_same) && current.lease.is_good_now()
        };
        if let Some(usable) = self.current(slot).filter(is_usable) {
            return Ok(usable);
        }
        if refused.is_none() {
            self.credentials.slots[slot].slot.request_refresh();
        }
        let mut receiver = self.slots[slot].borrow().receiver.clone();
        let deadline = Instant::now() + CREDENTIAL_TIMEOUT;
        while let Ok(Ok(())) = timeout_at(deadline, receiver.changed()).await {
            if let Some(usable) = self.current(slot).filter(is_usable) {
                return Ok(usable);
            }
        }
        Err(Error::NoCredentials)
    }
}

#[cfg(test)]
mod tests;

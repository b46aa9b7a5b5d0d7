//! What each route shows, as it is at the moment.
//!
//! Secrets change while requests run. Each worker has its own copy of what is made of them, ready for
//! use, and looks at every request whether there is a newer one, which costs reading a number. What is
//! known of a key at the gateway is shared by all copies, and stays for as long as the key is the same.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::auth::RequestAuth;
use super::key_breaker::KeyBreakers;
use super::refresh_backoff::{Refresh, RefreshBackoff};
use crate::clock::Moment;
use crate::config::{Config, LargeBody};
use crate::credentials::{Feed, FeedStatus, Issued, Kind, Need, Supply};
use crate::error::Error;

/// How long a request waits for a secret when there is none that is good.
const PATIENCE: Duration = Duration::from_secs(3);

/// Everything that the routes show, for all workers.
#[derive(Debug)]
pub struct RouteCredentials {
    slots: Vec<Slot>,
    routes: Vec<RouteSlots>,
    breakers: Arc<KeyBreakers>,
}

/// What a route shows: the numbers of its slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteSlots {
    /// For most requests.
    pub(super) main: usize,
    /// For those whose body is too long to be signed.
    pub(super) token: Option<usize>,
}

/// One secret.
#[derive(Debug)]
struct Slot {
    feed: Arc<Feed>,
    project_id: Option<HeaderValue>,
    /// What was made of the secret last.
    made: Mutex<Option<Arc<UsableCredential>>>,
    refresh_backoff: RefreshBackoff,
}

/// A secret, and what was made of it.
#[derive(Clone, Debug)]
pub(super) struct UsableCredential {
    pub(super) issued: Arc<Issued>,
    pub(super) auth: RequestAuth,
}

impl RouteCredentials {
    /// What the routes of a configuration show, out of these supplies.
    ///
    /// # Panics
    ///
    /// If a supply is missing that [`crate::credentials::needs`] names.
    #[must_use]
    pub fn new(config: &Config, supplies: &[Supply]) -> Self {
        let slot = |supply: &Supply| Slot {
            feed: Arc::clone(supply.feed()),
            project_id: config.credentials[supply.need.set].project_id.clone(),
            made: Mutex::default(),
            refresh_backoff: RefreshBackoff::default(),
        };
        let find = |set, kind| {
            let need = Need { set, kind };
            let at = supplies.iter().position(|supply| supply.need == need);
            at.expect("there is a supply for every need of the routes")
        };
        let routes = config.routes.iter().map(|route| {
            let set = route.auth.credentials;
            let main = Kind::from(route.auth.mode);
            let has_token = main == Kind::Key && route.large_body != LargeBody::Reject;
            RouteSlots {
                main: find(set, main),
                token: has_token.then(|| find(set, Kind::Token)),
            }
        });
        Self {
            routes: routes.collect(),
            slots: supplies.iter().map(slot).collect(),
            breakers: Arc::default(),
        }
    }

    /// Takes over what is known of keys at the gateway from what was used before.
    pub fn remember(&mut self, before: &Self) {
        self.breakers = Arc::clone(&before.breakers);
        for slot in &self.slots {
            let same = before.slots.iter().find(|old| {
                let (old, new) = (old.feed.status(), slot.feed.status());
                old.label == new.label && old.kind == new.kind
            });
            if let Some(old) = same {
                let made = old.made().clone();
                *slot.made() = made;
            }
        }
    }

    pub(super) fn of_route(&self, route: usize) -> RouteSlots {
        self.routes[route]
    }

    /// How the secrets are.
    pub fn statuses(&self) -> impl Iterator<Item = FeedStatus> {
        self.slots.iter().map(|slot| slot.feed.status())
    }

    /// Whether one of the keys is refused, so that the gateway does not lock it.
    pub(super) fn is_refusing(&self) -> bool {
        self.slots.iter().any(|slot| {
            let made = slot.made();
            let breaker = made.as_ref().and_then(|held| held.auth.breaker());
            breaker.is_some_and(super::key_breaker::KeyBreaker::is_refusing)
        })
    }

    /// Asks for another secret than this one, which was refused. Whether there is hope for one.
    pub(super) fn refused(&self, slot: usize, held: &UsableCredential) -> bool {
        let slot = &self.slots[slot];
        match slot.refresh_backoff.refused(&held.issued, Moment::now()) {
            Refresh::Start => {
                slot.feed.hurry();
                true
            }
            Refresh::Wait => true,
            Refresh::GiveUp => false,
        }
    }

    /// What is known of refusals of a secret.
    pub(super) fn refresh_backoff(&self, slot: usize) -> &RefreshBackoff {
        &self.slots[slot].refresh_backoff
    }
}

impl Slot {
    /// What is made of a secret, which is done once for all workers.
    fn make(&self, issued: &Arc<Issued>, breakers: &KeyBreakers) -> Option<Arc<UsableCredential>> {
        let mut made = self.made();
        if let Some(held) = made
            .as_ref()
            .filter(|held| Arc::ptr_eq(&held.issued, issued))
        {
            return Some(Arc::clone(held));
        }
        let project_id = self.project_id.as_ref();
        let auth = RequestAuth::new(self.feed.kind(), issued, project_id, breakers)?;
        let held = Arc::new(UsableCredential {
            issued: Arc::clone(issued),
            auth,
        });
        *made = Some(Arc::clone(&held));
        Some(held)
    }

    fn made(&self) -> MutexGuard<'_, Option<Arc<UsableCredential>>> {
        // Every change is a single step, so a panic elsewhere leaves nothing half-done.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One worker's copies.
#[derive(Debug)]
pub(super) struct CredentialsView {
    credentials: Arc<RouteCredentials>,
    views: Vec<RefCell<View>>,
}

#[derive(Debug)]
struct View {
    receiver: watch::Receiver<Option<Arc<Issued>>>,
    held: Option<Rc<UsableCredential>>,
}

impl CredentialsView {
    pub(super) fn new(credentials: &Arc<RouteCredentials>) -> Self {
        let view = |slot: &Slot| {
            let mut receiver = slot.feed.subscribe();
            receiver.mark_changed();
            RefCell::new(View {
                receiver,
                held: None,
            })
        };
        Self {
            views: credentials.slots.iter().map(view).collect(),
            credentials: Arc::clone(credentials),
        }
    }

    /// What a slot shows at the moment, good or not.
    pub(super) fn current(&self, slot: usize) -> Option<Rc<UsableCredential>> {
        let mut view = self.views[slot].borrow_mut();
        if view.receiver.has_changed().unwrap_or(false) {
            let issued = view.receiver.borrow_and_update().clone();
            let credentials = &self.credentials;
            let held = issued
                .and_then(|issued| credentials.slots[slot].make(&issued, &credentials.breakers));
            view.held = held.map(|held| Rc::new(UsableCredential::clone(&held)));
        }
        view.held.clone()
    }

    /// What a slot shows, if it is good and not the one that was `refused`; waits for it a moment if there
    /// is none.
    ///
    /// # Errors
    ///
    /// [`Error::NoCredentials`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(super) async fn usable(
        &self,
        slot: usize,
        refused: Option<&UsableCredential>,
    ) -> Result<Rc<UsableCredential>, Error> {
        let is_other = |held: &UsableCredential| {
            refused.is_none_or(|refused| !Arc::ptr_eq(&held.issued, &refused.issued))
        };
        let usable = |held: &Rc<UsableCredential>| held.issued.is_good_now() && is_other(held);
        if let Some(held) = self.current(slot).filter(usable) {
            return Ok(held);
        }
        if refused.is_none() {
            self.credentials.slots[slot].feed.hurry();
        }
        let mut receiver = self.views[slot].borrow().receiver.clone();
        let deadline = Instant::now() + PATIENCE;
        while timeout_at(deadline, receiver.changed())
            .await
            .is_ok_and(|changed| changed.is_ok())
        {
            receiver.mark_unchanged();
            if let Some(held) = self.current(slot).filter(usable) {
                return Ok(held);
            }
        }
        Err(Error::NoCredentials)
    }
}

#[cfg(test)]
mod tests;

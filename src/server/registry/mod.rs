//! All connections of one worker. A sweep once a second closes those that exceed a limit, and the
//! connections that have been idle longest make room for others.

mod state;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::accept::Connected;
use crate::error::Error;
use crate::proxy::CallerConnection;
use state::FIRST_REQUEST;
pub(super) use state::{CloseReason, ConnectionLimits, ConnectionState, Phase};

/// The longest time between two sweeps.
const SWEEP: Duration = Duration::from_secs(1);

/// The stages of a shutdown.
#[derive(Clone, Debug, Default)]
pub(super) struct Shutdown {
    /// A stop was requested: responses carry `Connection: close`, and new requests are still served.
    pub(super) soon: CancellationToken,
    /// Idle connections are closed, and the others after their current requests.
    pub(super) now: CancellationToken,
    /// Running requests are dropped.
    pub(super) cut_off: CancellationToken,
}

/// Makes, counts and logs the response where no service can be called: a whole HTTP/1.1 response
/// with `Connection: close`. It is called once for each such response.
pub(super) type BareAnswers = Rc<dyn Fn(&Error) -> Bytes>;

/// All connections of one worker, and what they share.
pub(super) struct Registry {
    /// By the order in which they were accepted.
    pub(super) connections: RefCell<BTreeMap<u64, Weak<ConnectionState>>>,
    accepted: Cell<u64>,
    /// Other limits also apply to open connections.
    pub(super) limits: Cell<ConnectionLimits>,
    /// `limits.connections`: one permit for each connection and each further HTTP/2 stream.
    pub(super) permits: Arc<Semaphore>,
    pub(super) bare_answers: BareAnswers,
    /// These are connections of the admin listener, whose limits are not configurable.
    is_admin: bool,
    /// A stop was requested. HTTP/1.1 responses carry `Connection: close`.
    pub(super) draining: Cell<bool>,
    /// Connections take no further request.
    pub(super) stopping: Cell<bool>,
}

impl Registry {
    pub(super) fn new(
        limits: ConnectionLimits,
        permits: Arc<Semaphore>,
        bare_answers: BareAnswers,
        is_admin: bool,
    ) -> Rc<Self> {
        Rc::new(Self {
            connections: RefCell::default(),
            accepted: Cell::new(0),
            limits: Cell::new(limits),
            permits,
            bare_answers,
            is_admin,
            draining: Cell::new(false),
            stopping: Cell::new(false),
        })
    }

    /// Adds a connection that was just accepted, until its state is dropped.
    pub(super) fn register(self: &Rc<Self>, (accepted, rules): &Connected) -> Rc<ConnectionState> {
        let id = self.accepted.get();
        self.accepted.set(id + 1);
        let mut caller = CallerConnection::new(accepted.listener(), *rules);
        caller.replay = accepted.replay();
        let state = Rc::new(ConnectionState::new(Rc::clone(self), id, caller));
        let mut connections = self.connections.borrow_mut();
        connections.insert(id, Rc::downgrade(&state));
        state
    }

    fn states(&self) -> Vec<Rc<ConnectionState>> {
        let connections = self.connections.borrow();
        connections.values().filter_map(Weak::upgrade).collect()
    }

    /// Closes the connection that has been idle or silent for longest, if there is one.
    pub(super) fn close_oldest_idle(&self) {
        let now = Instant::now();
        let states = self.states().into_iter();
        let idle = states.filter_map(|state| Some((state.evictable_since(now)?, state)));
        if let Some((_, oldest)) = idle.min_by_key(|(since, _)| *since) {
            oldest.close(CloseReason::Evicted);
        }
    }

    /// Applies the limits and follows a shutdown, for as long as the worker runs.
    pub(super) async fn watch(self: Rc<Self>, shutdown: Shutdown) -> Infallible {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.interval()) => self.sweep(),
                () = shutdown.soon.cancelled(), if !self.draining.get() => self.draining.set(true),
                () = shutdown.now.cancelled(), if !self.stopping.get() => {
                    self.draining.set(true);
                    self.stopping.set(true);
                    self.states().iter().for_each(|state| state.wake());
                }
            }
        }
    }

    /// Short limits are applied more often, so that none is exceeded by much.
    fn interval(&self) -> Duration {
        let limits = self.limits.get();
        let timeouts = [limits.header_read, limits.keep_alive, limits.write_idle];
        let shortest = timeouts.into_iter().min().unwrap_or(SWEEP);
        let longest = if self.stopping.get() {
            FIRST_REQUEST
        } else {
            SWEEP
        };
        (shortest / 4).clamp(Duration::from_millis(10), longest)
    }

    fn sweep(&self) {
        let (now, limits) = (Instant::now(), self.limits.get());
        for state in self.states() {
            if let Some(reason) = state.expired(&limits, now) {
                state.close(reason);
            } else if state.phase() == Phase::Busy && !state.read_waits.get() {
                state.is_checked.set(true);
                state.wake();
            }
        }
    }
}

impl ConnectionState {
    /// Logs why the connection is closed.
    pub(super) fn log_close(&self, reason: CloseReason) {
        match reason {
            _ if self.registry.is_admin => {
                tracing::debug!(?reason, "a connection to the admin listener was closed");
            }
            CloseReason::HeadTimeout => tracing::info!(
                "a caller took too long to send a request head (timeouts.header_read)"
            ),
            CloseReason::WriteTimeout => {
                let id = self.caller.last_request.get();
                // Over HTTP/2, several responses may wait.
                let request_id = (!self.is_http2.get()).then(|| format!("{id:032x}"));
                tracing::info!(
                    request_id,
                    "the response was not read (timeouts.write_idle)"
                );
            }
            CloseReason::Evicted => tracing::debug!(
                "an idle connection was closed for another caller (limits.connections)"
            ),
            CloseReason::IdleTimeout | CloseReason::Draining | CloseReason::Reset => {}
        }
    }
}

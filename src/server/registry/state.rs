//! The state of one connection: its phase, its open requests, and why it is closed.
//!
//! hyper's own header timeout starts as soon as a connection is idle, so it cannot hold both a
//! limit for heads and one for idle connections. Each connection keeps its [`Phase`] instead, and
//! the sweep of the registry applies all limits.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Registry;
use crate::proxy::{CallerConnection, Settings};

/// How long a connection that has just been accepted may still take to bring its first request when
/// the process stops: the caller could not know.
pub(crate) const FIRST_REQUEST: Duration = Duration::from_millis(250);

/// How old the first bytes of a head have to be before its connection can be closed to make room.
const SLOW_HEAD: Duration = Duration::from_secs(1);

/// Limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// From accepting a connection, or from the first byte of a later head, until the head is
    /// complete.
    pub(crate) header_read: Duration,
    /// From a response until the first byte of the next request.
    pub(crate) keep_alive: Duration,
    /// While a response is being sent and the caller reads nothing of it.
    pub(crate) write_idle: Duration,
    /// The longest request head, in bytes; read once for each connection.
    pub(crate) max_header: usize,
}

impl From<&Settings> for ConnectionLimits {
    fn from(settings: &Settings) -> Self {
        let timeouts = &settings.config.timeouts;
        Self {
            header_read: timeouts.header_read,
            keep_alive: timeouts.keep_alive,
            write_idle: timeouts.write_idle,
            max_header: settings.config.limits.header,
        }
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No byte of a request has come. A TLS handshake is part of it.
    Silent,
    /// A part of a request head has come.
    Head,
    /// It is between two requests.
    Idle,
    /// A service runs, or a response is being made.
    Busy,
    /// The end of a response is in hyper's buffer.
    Flushing,
    /// It ends, and waits for the caller to read its response.
    Lingering,
}

/// Why a connection ends, other than by hyper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    HeadTimeout,
    IdleTimeout,
    WriteTimeout,
    /// Another caller needed the room.
    Evicted,
    /// The server stops, and no request has come.
    Draining,
    /// The caller has reset the connection.
    Reset,
}

/// The state of one connection. Its registry knows it until it is dropped.
pub(crate) struct ConnectionState {
    pub(crate) registry: Rc<Registry>,
    id: u64,
    pub(crate) caller: Rc<CallerConnection>,
    pub(crate) is_http2: Cell<bool>,
    phase: Cell<(Phase, Instant)>,
    /// The last write to the socket could not be completed.
    pub(crate) write_blocked: Cell<bool>,
    /// hyper waits for bytes of the caller, so it notices by itself that the caller has gone.
    pub(crate) read_waits: Cell<bool>,
    /// HTTP/2 responses of which hyper took a frame and has not polled for the next one.
    pub(crate) stalled: Cell<usize>,
    /// Changes whenever a part of a response moves on.
    progress: Cell<u64>,
    /// `progress` as of the last sweeps, and since when.
    seen: Cell<(u64, Instant)>,
    close: Cell<Option<CloseReason>>,
    /// The sweep asks the task to check the socket, which hyper is not reading.
    pub(crate) is_checked: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    pub(crate) open_requests: Cell<usize>,
    /// Permits of open streams, less one: the first stream uses the connection's.
    pub(crate) stream_permits: RefCell<Vec<OwnedSemaphorePermit>>,
}

impl ConnectionState {
    pub(crate) fn new(registry: Rc<Registry>, id: u64, caller: CallerConnection) -> Self {
        let now = Instant::now();
        Self {
            registry,
            id,
            caller: Rc::new(caller),
            is_http2: Cell::new(false),
            phase: Cell::new((Phase::Silent, now)),
            write_blocked: Cell::new(false),
            read_waits: Cell::new(false),
            stalled: Cell::new(0),
            progress: Cell::new(0),
            seen: Cell::new((0, now)),
            close: Cell::new(None),
            is_checked: Cell::new(false),
            waker: RefCell::default(),
            open_requests: Cell::new(0),
            stream_permits: RefCell::default(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get().0
    }

    pub(crate) fn enter(&self, phase: Phase) {
        let (before, since) = self.phase.get();
        let since = match (before, phase) {
            // The limit for the first head counts from accepting the connection. The others have no
            // limit that counts from their beginning, so the clock is not read.
            (Phase::Silent, Phase::Head) | (_, Phase::Busy | Phase::Flushing) => since,
            _ => Instant::now(),
        };
        self.phase.set((phase, since));
    }

    pub(crate) fn make_progress(&self) {
        self.progress.set(self.progress.get().wrapping_add(1));
    }

    /// Ready once the server closes the connection. Also wakes the task when the server stops or
    /// the socket is to be checked.
    pub(crate) fn poll_closed(&self, cx: &Context<'_>) -> Poll<CloseReason> {
        if let Some(reason) = self.close.get() {
            return Poll::Ready(reason);
        }
        match &mut *self.waker.borrow_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Runs a future unless the server closes the connection first.
    pub(crate) async fn unless_closed<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> Result<T, CloseReason> {
        let mut future = pin!(future);
        poll_fn(|cx| match self.poll_closed(cx) {
            Poll::Ready(reason) => Poll::Ready(Err(reason)),
            Poll::Pending => future.as_mut().poll(cx).map(Ok),
        })
        .await
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn close(&self, reason: CloseReason) {
        self.close.set(Some(reason));
        self.wake();
    }

    /// The limit that the connection has exceeded, if any.
    pub(crate) fn expired(&self, limits: &ConnectionLimits, now: Instant) -> Option<CloseReason> {
        let (phase, since) = self.phase.get();
        let age = now.saturating_duration_since(since);
        if !matches!(phase, Phase::Busy | Phase::Flushing) {
            self.seen.set((self.progress.get(), now));
        }
        match phase {
            // A caller that does not read leaves the GOAWAY of its HTTP/2 connection unanswered.
            Phase::Silent | Phase::Idle if self.registry.stopping.get() && age >= FIRST_REQUEST => {
                Some(CloseReason::Draining)
            }
            Phase::Silent | Phase::Head if age >= limits.header_read => {
                Some(CloseReason::HeadTimeout)
            }
            Phase::Idle if age >= limits.keep_alive => Some(CloseReason::IdleTimeout),
            Phase::Busy | Phase::Flushing => self.write_expired(limits, now),
            _ => None,
        }
    }

    fn write_expired(&self, limits: &ConnectionLimits, now: Instant) -> Option<CloseReason> {
        let (progress, since) = self.seen.get();
        let is_waiting = self.write_blocked.get() || self.stalled.get() > 0;
        if !is_waiting || progress != self.progress.get() {
            self.seen.set((self.progress.get(), now));
            return None;
        }
        let age = now.saturating_duration_since(since);
        (age >= limits.write_idle).then_some(CloseReason::WriteTimeout)
    }

    /// Since when the connection could be closed to make room.
    pub(crate) fn evictable_since(&self, now: Instant) -> Option<Instant> {
        let (phase, since) = self.phase.get();
        let is_evictable = match phase {
            Phase::Silent | Phase::Idle | Phase::Lingering => true,
            Phase::Head => now.saturating_duration_since(since) >= SLOW_HEAD,
            Phase::Busy | Phase::Flushing => false,
        };
        (is_evictable && self.close.get().is_none()).then_some(since)
    }
}

impl Drop for ConnectionState {
    fn drop(&mut self) {
        self.registry.connections.borrow_mut().remove(&self.id);
    }
}

//! What one connection is doing, and whether it has to end.
//!
//! hyper's own header timeout starts as soon as a connection is idle, so it cannot hold both a limit for
//! heads and one for idle connections. Each connection keeps its [`Phase`] instead, and the registry's
//! sweep applies all limits.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

/// How long a connection that has just been accepted may still take to bring its first request when
/// the process stops: the caller could not know.
pub(super) const FIRST_REQUEST: Duration = Duration::from_millis(250);

/// How old the first bytes of a head have to be before its connection can be closed to make room.
const SLOW_HEAD: Duration = Duration::from_secs(1);

/// How long connections may do nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdleLimits {
    /// From accepting a connection, or from the first byte of a later head, until the head is complete.
    pub(super) header_read: Duration,
    /// From an answer until the first byte of the next request.
    pub(super) keep_alive: Duration,
    /// While an answer is being sent and the caller reads nothing of it.
    pub(super) write_idle: Duration,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It was accepted, and no byte of a request has come. A TLS handshake is part of it.
    Silent,
    /// A part of a request head has come.
    Head,
    /// It is between two requests.
    Idle,
    /// A service runs, or an answer is being made.
    Busy,
    /// The end of an answer is in hyper's buffer.
    Flushing,
    /// It ends, and waits for the caller to read its answer.
    Lingering,
}

/// Why the server ends a connection on its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    HeadTimeout,
    IdleTimeout,
    WriteTimeout,
    /// Another caller needed the room.
    Evicted,
    /// The server stops, and no request has come.
    Draining,
}

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Tracked {
    phase: Cell<(Phase, Instant)>,
    /// Whether the last write to the socket could not be completed.
    pub(super) write_blocked: Cell<bool>,
    /// Whether hyper waits for bytes of the caller, and so learns by itself that it has gone.
    pub(super) read_waits: Cell<bool>,
    /// HTTP/2 answers of which a piece was taken and the next one was not asked for.
    pub(super) stalled: Cell<usize>,
    /// Changes whenever a part of an answer moves on.
    progress: Cell<u64>,
    /// What the last sweeps saw of `progress`, and since when.
    seen: Cell<(u64, Instant)>,
    close: Cell<Option<CloseReason>>,
    /// The sweep asks for a look at the socket, which has not been read from.
    pub(super) is_checked: Cell<bool>,
    stopping: Rc<Cell<bool>>,
    waker: RefCell<Option<Waker>>,
}

impl Tracked {
    pub(super) fn new(stopping: Rc<Cell<bool>>) -> Self {
        let now = Instant::now();
        Self {
            phase: Cell::new((Phase::Silent, now)),
            write_blocked: Cell::new(false),
            read_waits: Cell::new(false),
            stalled: Cell::new(0),
            progress: Cell::new(0),
            seen: Cell::new((0, now)),
            close: Cell::new(None),
            is_checked: Cell::new(false),
            stopping,
            waker: RefCell::new(None),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get().0
    }

    pub(super) fn enter(&self, phase: Phase) {
        let (before, since) = self.phase.get();
        let since = match (before, phase) {
            // The limit for the first head counts from accepting the connection. The others have no limit
            // that counts from their beginning, so the clock is not read.
            (Phase::Silent, Phase::Head) | (_, Phase::Busy | Phase::Flushing) => since,
            _ => Instant::now(),
        };
        self.phase.set((phase, since));
    }

    pub(super) fn make_progress(&self) {
        self.progress.set(self.progress.get().wrapping_add(1));
    }

    /// Whether the server stops, so that the connection takes no further request.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Ready once the server ends the connection. Also wakes the task when the server stops or the socket
    /// is to be checked.
    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<CloseReason> {
        if let Some(reason) = self.close.get() {
            return Poll::Ready(reason);
        }
        match &mut *self.waker.borrow_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Runs a future unless the server ends the connection first.
    pub(super) async fn unless_closed<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> Result<T, CloseReason> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(reason) = self.poll_closed(cx) {
                return Poll::Ready(Err(reason));
            }
            future.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn close(&self, reason: CloseReason) {
        self.close.set(Some(reason));
        self.wake();
    }

    /// Why the connection has been doing nothing for too long, if it has.
    pub(super) fn expired(&self, limits: &IdleLimits, now: Instant) -> Option<CloseReason> {
        let (phase, since) = self.phase.get();
        let age = now.saturating_duration_since(since);
        if !matches!(phase, Phase::Busy | Phase::Flushing) {
            self.seen.set((self.progress.get(), now));
        }
        match phase {
            // A caller that does not read leaves the GOAWAY of its HTTP/2 connection unanswered.
            Phase::Silent | Phase::Idle if self.stopping.get() && age >= FIRST_REQUEST => {
                Some(CloseReason::Draining)
            }
            Phase::Silent | Phase::Head if age >= limits.header_read => {
                Some(CloseReason::HeadTimeout)
            }
            Phase::Idle if age >= limits.keep_alive => Some(CloseReason::IdleTimeout),
            Phase::Busy | Phase::Flushing => self.has_stalled(limits, now),
            _ => None,
        }
    }

    fn has_stalled(&self, limits: &IdleLimits, now: Instant) -> Option<CloseReason> {
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
    pub(super) fn evictable(&self, now: Instant) -> Option<Instant> {
        let (phase, since) = self.phase.get();
        let is_evictable = match phase {
            Phase::Silent | Phase::Idle | Phase::Lingering => true,
            Phase::Head => now.saturating_duration_since(since) >= SLOW_HEAD,
            Phase::Busy | Phase::Flushing => false,
        };
        (is_evictable && self.close.get().is_none()).then_some(since)
    }
}
